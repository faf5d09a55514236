"""Readings to verdicts, and a verdict's words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cabinet.core.commission.addressing import RULES, risks
from cabinet.core.commission.advice import advice
from cabinet.core.commission.findings import (
    Cause,
    Check,
    Finding,
    Verdict,
    bad,
    counts,
    good,
    warn,
    worst,
)
from cabinet.core.commission.judge import (
    Level,
    PackKind,
    judge_bms,
    judge_charge,
    judge_charger,
    judge_climate,
    judge_contact,
    judge_meter,
    judge_unlock,
    repeated_serials,
)
from cabinet.core.model import BmsReading, ChargerReading, ClimateReading, MeterReading
from protocols.devices import DEVICES
from tests.support.readings import CHARGER
from tests.support.readings import PACK as GOOD

PACK = PackKind(54.6)


def bms(**changes: Any) -> BmsReading:
    return msgspec.structs.replace(GOOD, **changes)


@pytest.mark.parametrize(
    ("reading", "present", "verdict", "cause"),
    [
        (GOOD, True, Verdict.OK, None),
        (None, False, Verdict.SKIPPED, Cause.EMPTY_SLOT),
        (None, True, Verdict.FAILED, Cause.BMS_SILENT),
        (None, None, Verdict.FAILED, Cause.NO_ANSWER),
        (GOOD, False, Verdict.WARN, Cause.BMS_WITHOUT_SWITCH),
        (bms(serial=None), True, Verdict.FAILED, Cause.NO_SERIAL),
        (bms(protection=frozenset({"short-circuit"})), True, Verdict.FAILED, Cause.PROTECTION),
        (bms(voltage_v=72.0, cell_v=(3.6,) * 20), True, Verdict.FAILED, Cause.PACK_FOREIGN),
        (bms(voltage_v=44.0), True, Verdict.FAILED, Cause.CELL_IMPLAUSIBLE),
        (bms(cell_v=()), True, Verdict.FAILED, Cause.CELL_IMPLAUSIBLE),
        (bms(cell_v=(*(3.8,) * 12, 1.9), voltage_v=47.5), True, Verdict.FAILED,
         Cause.CELL_IMPLAUSIBLE),
        (bms(cell_v=(*(3.7,) * 12, 3.35)), True, Verdict.FAILED, Cause.CELL_IMBALANCE),
        (bms(cell_v=(*(3.7,) * 12, 3.58)), True, Verdict.WARN, Cause.CELL_IMBALANCE),
        (bms(temps_c=()), True, Verdict.FAILED, Cause.NO_SENSOR),
        (bms(temps_c=(25.0, 46.0)), True, Verdict.FAILED, Cause.PACK_HOT),
        (bms(temps_c=(-3.0, 5.0)), True, Verdict.WARN, Cause.PACK_COLD),
    ],
)  # fmt: skip
def test_a_battery(
    reading: BmsReading | None, present: bool | None, verdict: Verdict, cause: Cause | None
) -> None:
    told = judge_bms("slot 1", reading, present=present, pack=PACK)
    assert (told.verdict, told.cause) == (verdict, cause)


def test_the_same_serial_twice_fails_both_and_nobody_else() -> None:
    told = repeated_serials({"slot 1": GOOD, "slot 2": bms(serial="X"), "slot 3": GOOD})
    assert {finding.subject for finding in told} == {"slot 1", "slot 3"}
    assert repeated_serials({"slot 1": bms(serial=None), "slot 2": bms(serial=None)}) == []


@pytest.mark.parametrize(
    ("reading", "powered", "verdict", "cause"),
    [
        (CHARGER, True, Verdict.OK, None),
        (None, True, Verdict.FAILED, Cause.NO_ANSWER),
        (None, False, Verdict.SKIPPED, Cause.NEEDS_YES),
        (msgspec.structs.replace(CHARGER, output_on=True), True, Verdict.FAILED, Cause.OUTPUT_ON),
        (
            msgspec.structs.replace(CHARGER, protection="ovp"),
            True,
            Verdict.FAILED,
            Cause.CHARGER_LATCHED,
        ),
    ],
)
def test_a_charger(
    reading: ChargerReading | None, powered: bool, verdict: Verdict, cause: Cause | None
) -> None:
    told = judge_charger("slot 1", reading, powered=powered)
    assert (told.verdict, told.cause) == (verdict, cause)


FLOWS = msgspec.structs.replace(CHARGER, output_on=True, current_a=0.5)


@pytest.mark.parametrize(
    ("during", "after", "soc_pct", "seen_a", "verdict", "cause"),
    [
        ([FLOWS], CHARGER, 50, 0.5, Verdict.OK, None),
        ([FLOWS], CHARGER, 50, None, Verdict.OK, None),
        ([FLOWS], CHARGER, 50, 0.0, Verdict.WARN, Cause.CURRENT_ELSEWHERE),
        ([CHARGER], CHARGER, 50, 0.0, Verdict.FAILED, Cause.NO_CURRENT),
        ([CHARGER], CHARGER, 99, 0.0, Verdict.WARN, Cause.PACK_FULL),
        ([FLOWS], FLOWS, 50, 0.5, Verdict.FAILED, Cause.CURRENT_UNSTOPPED),
        ([FLOWS], None, 50, 0.5, Verdict.FAILED, Cause.CURRENT_UNSTOPPED),
        ([], CHARGER, 50, 0.0, Verdict.FAILED, Cause.NO_CURRENT),
    ],
)
def test_a_trial_charge(
    *,
    during: list[ChargerReading],
    after: ChargerReading | None,
    soc_pct: int,
    seen_a: float | None,
    verdict: Verdict,
    cause: Cause | None,
) -> None:
    told = judge_charge("slot 1", during, after, soc_pct=soc_pct, pack_current_a=seen_a)
    assert (told.verdict, told.cause) == (verdict, cause)


@pytest.mark.parametrize(
    ("voltage_v", "power_w", "cause"),
    [
        (230.0, 100.0, None),
        (None, 100.0, None),
        (180.0, 100.0, Cause.MAINS_VOLTAGE),
        (390.0, 100.0, Cause.MAINS_VOLTAGE),
        (230.0, -500.0, Cause.POWER_NEGATIVE),
        (230.0, -1.0, None),
    ],
)
def test_a_meter(voltage_v: float | None, power_w: float, cause: Cause | None) -> None:
    reading = MeterReading(at_ms=0, power_w=power_w, energy_wh=1.0, voltage_v=voltage_v)
    assert judge_meter("meter", reading).cause is cause
    assert judge_meter("meter", None).cause is Cause.NO_ANSWER


def test_a_climate() -> None:
    def told(temp_c: float, humidity_pct: float) -> Cause | None:
        return judge_climate("climate", ClimateReading(0, temp_c, humidity_pct)).cause

    assert told(25.0, 50.0) is None
    assert told(2_500.0, 50.0) is Cause.CLIMATE_IMPLAUSIBLE
    assert told(25.0, 0.0) is Cause.CLIMATE_IMPLAUSIBLE
    assert judge_climate("climate", None).cause is Cause.NO_ANSWER


@pytest.mark.parametrize(
    ("closed", "opened", "sure", "others", "cause"),
    [
        (True, True, True, (), None),
        (True, True, False, (), None),
        (True, False, True, (), Cause.LOCK_JAMMED),
        (True, False, False, (), Cause.PULSE_UNSURE),
        (False, True, True, (), Cause.DOOR_OPEN),
        (True, False, True, (4,), Cause.DOOR_ELSEWHERE),
    ],
)
def test_a_lock(
    closed: bool, opened: bool, sure: bool, others: tuple[int, ...], cause: Cause | None
) -> None:
    told = judge_unlock("slot 1", closed_before=closed, opened=opened, sure=sure, others=others)
    assert told.cause is cause


@pytest.mark.parametrize(
    ("levels", "cause"),
    [
        ([(0, True), (900, False), (2_000, True)], None),
        ([(0, True)], Cause.DOOR_NOT_MOVED),
        ([(0, False)], Cause.DOOR_NEVER_CLOSED),
        ([(0, True), (500, False), (550, True), (600, False), (640, True)], Cause.DOOR_BOUNCES),
        ([(0, True), (500, False), (560, True)], None),
    ],
    ids=["worked", "stuck-closed", "stuck-open", "chatters", "one-bounce"],
)
def test_a_door_switch(levels: list[tuple[int, bool]], cause: Cause | None) -> None:
    told = judge_contact("slot 1", [Level(at_ms, on) for at_ms, on in levels])
    assert told.cause is cause


def test_one_failure_decides() -> None:
    fine, doubt = good(Check.BMS, "slot 1"), warn(Check.BMS, "slot 2", Cause.PACK_COLD)
    failed = bad(Check.BMS, "slot 3", Cause.BMS_SILENT)
    assert worst([fine, failed, doubt]) is Verdict.FAILED
    assert worst([fine, doubt]) is Verdict.WARN
    assert worst([]) is Verdict.SKIPPED
    assert counts([fine, failed])[Verdict.FAILED] == 1


def test_a_finding_goes_through_json() -> None:
    finding = bad(Check.BMS, "slot 3", Cause.BMS_SILENT, soc_pct=3, serial=None)
    assert msgspec.json.decode(msgspec.json.encode(finding), type=Finding) == finding


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_its_words_in_both_languages(cause: Cause) -> None:
    english, chinese = advice(cause, "en"), advice(cause, "zh")
    assert english.cause
    assert english.next_step
    assert any("一" <= letter <= "鿿" for letter in chinese.cause)
    assert any("一" <= letter <= "鿿" for letter in chinese.next_step)


@pytest.mark.parametrize("kind", sorted(RULES))
def test_an_address_is_written_where_the_device_keeps_it(kind: str) -> None:
    rule = RULES[kind]
    assert kind in DEVICES
    assert rule.register.writable
    written = rule.write(17)
    assert rule.register.decode(written.values) == 17
    assert any("17" in text for text in risks(kind, 3, 17))
