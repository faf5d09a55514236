"""The guided walk through a slot, sensor by sensor."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cabinet.core.commission.findings import Cause, Check, Verdict, bad, good, skipped
from cabinet.core.commission.judge import PackKind
from cabinet.core.commission.walk import (
    BMS_WAIT_MS,
    OPEN_WAIT_MS,
    Limits,
    Order,
    Seen,
    Stage,
    Walk,
    begin,
    step,
)
from cabinet.core.model import BmsReading

LIMITS = Limits(hand_wait_ms=60_000, charge_ms=30_000, pack=PackKind(54.6))
PACK = BmsReading(
    at_ms=0,
    serial="REF-1",
    soc_pct=50,
    voltage_v=48.1,
    current_a=0.0,
    cell_v=(3.7,) * 13,
    temps_c=(25.0,),
)
SHUT = Seen(closed=True, present=False)
OPEN = Seen(closed=False, present=False)
IN = Seen(closed=False, present=True)
SHUT_IN = Seen(closed=True, present=True)
CHARGED = replace(SHUT_IN, charged=good(Check.WALK, "slot 3"))


def walked(
    seen: list[Seen], first: Seen = SHUT, limits: Limits = LIMITS
) -> tuple[Walk, list[Order]]:
    walk, orders = begin(3, first, 0, limits), []
    for now_ms, each in enumerate(seen):
        walk, order = step(walk, each, now_ms, limits)
        if order is not None:
            orders.append(order)
    return walk, orders


THROUGH = [SHUT, OPEN, IN, replace(IN, bms=PACK), SHUT_IN, CHARGED, IN, OPEN, SHUT]


def test_an_empty_slot_is_walked_from_end_to_end() -> None:
    walk, orders = walked(THROUGH)
    assert walk.is_over
    assert [finding.verdict for finding in walk.findings] == [Verdict.OK] * 9
    assert orders == [Order.UNLOCK, Order.CHARGE, Order.UNLOCK]
    assert walk.findings[3].facts["serial"] == "REF-1"


def test_a_battery_that_stands_there_is_used_and_stays() -> None:
    walk, orders = walked([SHUT_IN, IN, replace(IN, bms=PACK), SHUT_IN, CHARGED], first=SHUT_IN)
    assert walk.is_over
    assert [f.facts.get("stage") for f in walk.findings][:4] == ["closed", "open", "bms", "shut"]
    assert orders == [Order.UNLOCK, Order.CHARGE]


def test_without_the_charge() -> None:
    limits = replace(LIMITS, charge=False)
    walk, orders = walked([s for s in THROUGH if s is not CHARGED], limits=limits)
    assert walk.is_over
    assert orders == [Order.UNLOCK, Order.UNLOCK]


def test_unknown_sensors_never_count() -> None:
    walk, orders = walked([Seen(), Seen(), Seen()])
    assert walk.stage is Stage.CLOSED
    assert orders == []


def test_nothing_is_unlocked_before_the_door_was_seen_shut() -> None:
    walk, orders = walked([OPEN, OPEN, OPEN], first=OPEN)
    assert walk.stage is Stage.CLOSED
    assert orders == []


@pytest.mark.parametrize(
    ("seen", "now_ms", "cause"),
    [
        ([], 60_000, Cause.DOOR_NEVER_CLOSED),
        (THROUGH[:1], OPEN_WAIT_MS, Cause.LOCK_JAMMED),
        (THROUGH[:2], 60_001, Cause.NOT_INSERTED),
        (THROUGH[:3], BMS_WAIT_MS + 2, Cause.BMS_SILENT),
        (THROUGH[:4], 60_003, Cause.DOOR_NEVER_CLOSED),
        (THROUGH[:5], 2 * 30_000 + BMS_WAIT_MS + 4, Cause.NO_CURRENT),
        (THROUGH[:6], OPEN_WAIT_MS + 5, Cause.LOCK_JAMMED),
        (THROUGH[:7], 60_006, Cause.NOT_REMOVED),
        (THROUGH[:8], 60_007, Cause.DOOR_NEVER_CLOSED),
    ],
)
def test_a_stage_that_takes_too_long_ends_the_walk(
    seen: list[Seen], now_ms: int, cause: Cause
) -> None:
    walk, _ = walked(seen)
    early, _ = step(walk, Seen(), now_ms - 1, LIMITS)
    assert not early.is_over
    late, order = step(walk, Seen(), now_ms, LIMITS)
    assert late.is_over
    assert order is None
    assert late.findings[-1].cause is cause


def test_another_door_that_opens_is_named() -> None:
    walk, _ = walked([SHUT, replace(SHUT, opened_elsewhere=(4,))])
    assert walk.is_over
    assert walk.findings[-1].cause is Cause.DOOR_ELSEWHERE
    assert walk.findings[-1].facts["opened_slots"] == "4"


def test_a_battery_that_answers_at_another_port_is_named() -> None:
    walk, _ = walked([*THROUGH[:3], replace(IN, bms_elsewhere=7)])
    assert walk.findings[-1].cause is Cause.BMS_ELSEWHERE
    assert walk.findings[-1].facts["answers_at_slot"] == 7


def test_a_battery_that_fails_is_not_charged() -> None:
    walk, orders = walked([*THROUGH[:3], replace(IN, bms=None), replace(IN, bms=_hot())])
    assert walk.is_over
    assert walk.findings[-1].cause is Cause.PACK_HOT
    assert Order.CHARGE not in orders


def test_a_charge_that_was_not_tried_lets_the_walk_go_on() -> None:
    untried = replace(SHUT_IN, charged=skipped(Check.WALK, "slot 3", Cause.PACK_COLD))
    walk, _ = walked([*THROUGH[:5], untried])
    assert walk.stage is Stage.REOPEN
    failed = replace(SHUT_IN, charged=bad(Check.WALK, "slot 3", Cause.CURRENT_UNSTOPPED))
    walk, _ = walked([*THROUGH[:5], failed])
    assert walk.is_over


def test_after_the_end_nothing_happens() -> None:
    walk, _ = walked(THROUGH)
    assert step(walk, SHUT, 99_999, LIMITS) == (walk, None)


def _hot() -> BmsReading:
    return BmsReading(
        at_ms=0,
        serial="REF-1",
        soc_pct=50,
        voltage_v=48.1,
        current_a=0.0,
        cell_v=(3.7,) * 13,
        temps_c=(60.0,),
    )
