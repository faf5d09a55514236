"""Words of the commissioning commands and of the printed report, in English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cabinet.core.commission.advice import Language
from cabinet.core.commission.findings import Check, Facts, Verdict
from cabinet.core.commission.walk import Stage

_WORDS: Final[Mapping[Language, Mapping[str, str]]] = MappingProxyType(
    {
        "en": {
            "title": "Commissioning report",
            "cabinet": "Cabinet",
            "made": "Made",
            "software": "Software",
            "by": "By",
            "config": "Configuration (SHA-256)",
            "result": "Result",
            "check": "Check",
            "what": "What",
            "seen": "Seen",
            "advice": "Likely cause and next step",
            "cause": "likely cause",
            "next": "next step",
            "signature": "Signature (Ed25519)",
            "key": "Public key",
            "sign": "Technician, date, signature",
            "clock": "the clock was not vouched for",
        },
        "zh": {
            "title": "调试验收报告",
            "cabinet": "换电柜",
            "made": "时间",
            "software": "软件版本",
            "by": "技术员",
            "config": "配置文件（SHA-256）",
            "result": "结果",
            "check": "检查",
            "what": "对象",
            "seen": "读数",
            "advice": "可能原因与下一步",
            "cause": "可能原因",
            "next": "下一步",
            "signature": "签名（Ed25519）",
            "key": "公钥",
            "sign": "技术员、日期、签字",
            "clock": "时钟未经校准",
        },
    }
)

_CHECKS: Final[Mapping[Language, Mapping[Check, str]]] = MappingProxyType(
    {
        "en": {
            Check.SCAN: "scan",
            Check.LOCK: "lock",
            Check.DOOR: "door",
            Check.BMS: "battery",
            Check.CHARGER: "charger",
            Check.METER: "meter",
            Check.CLIMATE: "climate",
            Check.WALK: "slot walk",
            Check.ADDRESS: "address",
        },
        "zh": {
            Check.SCAN: "扫描",
            Check.LOCK: "锁",
            Check.DOOR: "门",
            Check.BMS: "电池",
            Check.CHARGER: "充电器",
            Check.METER: "电表",
            Check.CLIMATE: "温湿度",
            Check.WALK: "逐仓走查",
            Check.ADDRESS: "地址",
        },
    }
)

_VERDICTS: Final[Mapping[Language, Mapping[Verdict, str]]] = MappingProxyType(
    {
        "en": {
            Verdict.OK: "ok",
            Verdict.WARN: "look at it",
            Verdict.SKIPPED: "not tried",
            Verdict.FAILED: "FAILED",
        },
        "zh": {
            Verdict.OK: "正常",
            Verdict.WARN: "需查看",
            Verdict.SKIPPED: "未测",
            Verdict.FAILED: "不合格",
        },
    }
)

#: What a check saw, by the name of the fact without its unit; English names are their own words.
_FACTS_ZH: Final[Mapping[str, str]] = MappingProxyType(
    {
        "air_temp": "仓温",
        "cell_spread": "压差",
        "cells": "电芯数",
        "changes": "变化次数",
        "closed": "门关闭",
        "current": "电流",
        "current_after": "关闭后电流",
        "current_max": "最大电流",
        "cycles": "循环次数",
        "detail": "详情",
        "energy": "电能",
        "humidity": "湿度",
        "identity": "识别",
        "line": "线路",
        "new": "新地址",
        "old": "旧地址",
        "opened_slots": "打开的仓",
        "answers_at_slot": "应答的仓",
        "pack_current": "电池电流",
        "power": "功率",
        "present": "有电池",
        "protection": "保护",
        "serial": "序列号",
        "soc": "电量",
        "stage": "步骤",
        "temp": "温度",
        "temp_max": "最高温度",
        "trial_charge": "试充",
        "type": "型号",
        "voltage": "电压",
    }
)

_STAGES_ZH: Final[Mapping[str, str]] = MappingProxyType(
    {
        Stage.CLOSED: "门已关",
        Stage.OPEN: "开门",
        Stage.INSERT: "放入",
        Stage.BMS: "读电池",
        Stage.SHUT: "关门",
        Stage.CHARGE: "试充",
        Stage.REOPEN: "再开门",
        Stage.REMOVE: "取出",
        Stage.SHUT_EMPTY: "再关门",
    }
)
_UNITS: Final = {"v": "V", "a": "A", "w": "W", "wh": "Wh", "c": "°C", "pct": "%"}
_YES: Final[Mapping[Language, tuple[str, str]]] = MappingProxyType(
    {"en": ("no", "yes"), "zh": ("否", "是")}
)

_PROMPTS: Final[Mapping[Language, Mapping[Stage, str]]] = MappingProxyType(
    {
        "en": {
            Stage.CLOSED: "close the door",
            Stage.OPEN: "the door opens: keep clear",
            Stage.INSERT: "put the reference battery in, up to the stop",
            Stage.BMS: "wait: the battery is asked",
            Stage.SHUT: "close the door",
            Stage.CHARGE: "wait: a short charge",
            Stage.REOPEN: "the door opens again: keep clear",
            Stage.REMOVE: "take the reference battery out",
            Stage.SHUT_EMPTY: "close the door",
            Stage.DONE: "done",
        },
        "zh": {
            Stage.CLOSED: "请关门",
            Stage.OPEN: "门将打开，请避开",
            Stage.INSERT: "放入参考电池，推到底",
            Stage.BMS: "请等待：读取电池",
            Stage.SHUT: "请关门",
            Stage.CHARGE: "请等待：短时充电",
            Stage.REOPEN: "门将再次打开，请避开",
            Stage.REMOVE: "取出参考电池",
            Stage.SHUT_EMPTY: "请关门",
            Stage.DONE: "完成",
        },
    }
)


def word(key: str, language: Language) -> str:
    """A word of the report; raise KeyError when there is none."""
    return _WORDS[language][key]


def check_name(check: Check, language: Language) -> str:
    """What was looked at, in words."""
    return _CHECKS[language][check]


def verdict_name(verdict: Verdict, language: Language) -> str:
    """A verdict in words."""
    return _VERDICTS[language][verdict]


def prompt(slot: int, stage: Stage, language: Language) -> str:
    """What the person before a slot does, or waits for, now."""
    where = f"slot {slot}: " if language == "en" else f"{slot} 号仓："
    return where + _PROMPTS[language][stage]


def subject_name(subject: str, language: Language) -> str:
    """A slot in words; a device or port keeps its name."""
    slot = re.fullmatch(r"slot (\d+)", subject)
    return f"{slot[1]} 号仓" if slot and language == "zh" else subject


def facts_text(facts: Facts, language: Language = "en") -> str:
    """What was seen, in one line."""
    shown = ((key, value) for key, value in facts.items() if value not in {None, ""})
    return (", " if language == "en" else "，").join(
        _fact(key, value, language) for key, value in shown
    )


def _fact(key: str, value: object, language: Language) -> str:
    stem, _, last = key.rpartition("_")
    unit = _UNITS.get(last) if stem else None
    name = stem if unit else key
    told = f"{_FACTS_ZH.get(name, name)} " if language == "zh" else f"{name.replace('_', ' ')} "
    if language == "zh" and name == "stage":
        value = _STAGES_ZH.get(str(value), value)
    return told + _value(value, language) + (f" {unit}" if unit else "")


def _value(value: object, language: Language) -> str:
    if isinstance(value, bool):
        return _YES[language][value]
    return f"{value:g}" if isinstance(value, float) else str(value)
