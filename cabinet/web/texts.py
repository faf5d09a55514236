"""Words of the status page, in both languages; the keys include every ``SlotState``."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

TEXTS: Final[dict[str, dict[str, str]]] = {
    "zh": {
        "swap": "进行中",
        "store-error": "日志无法使用，柜门不会打开，也不会充电",
        "fleet": "平台",
        "connected": "已连接",
        "disconnected": "未连接",
        "power": "功率",
        "outbox": "待上报",
        "wires": "总线",
        "bus": "总线",
        "device": "设备",
        "state": "状态",
        "good": "正常",
        "bad": "异常",
        "answers": "有应答",
        "silent": "无应答（正常）",
        "missing": "失联",
        "door": "柜门",
        "door-open": "开",
        "door-closed": "关",
        "door-unknown": "未知",
        "empty": "空仓",
        "charging": "充电中",
        "waiting": "等待",
        "ready": "可换",
        "reserved": "已预留",
        "quarantine": "隔离",
        "faulted": "故障",
        "out-of-service": "停用",
        "unknown": "未知",
        "trace": "总线报文",
        "contains": "包含",
        "show": "显示",
        "nothing": "没有报文",
        "load": "负载",
        "checksum": "校验错",
        "late": "迟到",
        "echo": "适配器回显",
    },
    "en": {
        "swap": "Under way",
        "store-error": "The journal cannot be used, so no door opens and nothing is charged",
        "fleet": "Fleet",
        "connected": "connected",
        "disconnected": "not connected",
        "power": "Power",
        "outbox": "To be reported",
        "wires": "Wires",
        "bus": "Bus",
        "device": "Device",
        "state": "State",
        "good": "Good",
        "bad": "Bad",
        "answers": "answers",
        "silent": "silent, as it should be",
        "missing": "does not answer",
        "door": "Door",
        "door-open": "open",
        "door-closed": "closed",
        "door-unknown": "unknown",
        "empty": "empty",
        "charging": "charging",
        "waiting": "waiting",
        "ready": "ready",
        "reserved": "reserved",
        "quarantine": "quarantine",
        "faulted": "faulted",
        "out-of-service": "out of service",
        "unknown": "unknown",
        "trace": "Frames on the wires",
        "contains": "Contains",
        "show": "Show",
        "nothing": "no frames",
        "load": "Load",
        "checksum": "Checksum",
        "late": "Late",
        "echo": "adapter echoes",
    },
}


def language(request: Request) -> str:
    """What the page is asked for in: ``zh`` unless the query or the browser prefers English."""
    asked = request.query_params.get("lang") or request.headers.get("accept-language", "zh")
    return "en" if asked.lower().startswith("en") else "zh"
