"""Each hazard stops the charging within its stated time, by the simulator's own clock and log."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from deploy.demo.clients import Json
from deploy.demo.stack import Options
from deploy.demo.waiting import until
from tests.support.stack import SystemStack

pytestmark = [pytest.mark.system, pytest.mark.alone]

SMOKE_WITHIN_S: Final = 1.5
ESTOP_WITHIN_S: Final = 1.5
HOT_CELL_WITHIN_S: Final = 3.0
SILENT_BMS_WITHIN_S: Final = 12.5
#: No charge is ordered on a reading older than five seconds, and the last one may be a second old
#: when the silence begins. An earlier stop has another cause.
SILENT_BMS_AFTER_S: Final = 3.5
KILLED_WITHIN_S: Final = 9.0
SMOKE_AT_FLEET_WITHIN_S: Final = 1.0
#: How much longer than the limit a test looks before it gives up.
SLACK_S: Final = 10.0

HOT_CELL_C: Final = 55.0
SILENT_SLOT, HOT_SLOT, LAST_SLOT = 7, 8, 9  # the packs of the built-in cabinet that charge


@pytest.fixture(scope="module")
def stack_options(stack_options: Options) -> Options:
    """Power for every pack: none stops charging because a readier one gets its share."""
    return replace(stack_options, cabinet_values={"cabinet": {"power_default_w": 3_500}})


def stop_times_s(events: list[Json], since_ms: int, slots: set[int]) -> dict[int, float]:
    """When each slot's charging last stopped, in seconds after the hazard."""
    return {
        event["slot"]: (event["wall_ms"] - since_ms) / 1_000
        for event in events
        if event["kind"] == "charging-stopped" and event["slot"] in slots
    }


def assert_stopped(
    stack: SystemStack,
    *,
    slots: set[int],
    seq: int,
    since_ms: int,
    within_s: float,
    after_s: float = 0.0,
) -> None:
    """These slots, which charged, stopped between ``after_s`` and ``within_s`` after the hazard."""
    until(
        lambda: not (slots & stack.charging()),
        within_s=within_s + SLACK_S,
        what=f"charging of slots {sorted(slots)} stopped",
        on_timeout=stack.tails,
    )
    times_s = stop_times_s(stack.sim.events(seq), since_ms, slots)
    print(f"stopped after {times_s} s, stated {within_s} s")
    assert set(times_s) == slots
    assert min(times_s.values()) >= after_s, f"stopped for another reason: {times_s} s"
    assert max(times_s.values()) <= within_s, f"slots stopped after {times_s} s"


def hazard_ms(stack: SystemStack, kind: str, seq: int) -> int:
    """The simulator's wall clock at the hazard."""
    at_ms: int = stack.wait_event(kind, since=seq, within_s=SLACK_S)["wall_ms"]
    return at_ms


def test_silent_bms(stack: SystemStack) -> None:
    stack.wait_charging({SILENT_SLOT, HOT_SLOT, LAST_SLOT})
    seq = stack.last_seq()
    stack.sim.post(f"/devices/bms-{SILENT_SLOT:02}/silent", silent=True)
    assert_stopped(
        stack,
        slots={SILENT_SLOT},
        seq=seq,
        since_ms=hazard_ms(stack, "silent", seq),
        within_s=SILENT_BMS_WITHIN_S,
        after_s=SILENT_BMS_AFTER_S,
    )
    assert {HOT_SLOT, LAST_SLOT} <= stack.charging(), "the others charge on"


def test_hot_cell(stack: SystemStack) -> None:
    stack.wait_charging({HOT_SLOT, LAST_SLOT})
    seq = stack.last_seq()
    since_ms = stack.sim.state()["wall_ms"]
    stack.sim.post(f"/slots/{HOT_SLOT}/pack", temp_c=HOT_CELL_C, hold_temp=True)
    assert_stopped(stack, slots={HOT_SLOT}, seq=seq, since_ms=since_ms, within_s=HOT_CELL_WITHIN_S)
    assert LAST_SLOT in stack.charging(), "the others charge on"


def test_killed_daemon(stack: SystemStack) -> None:
    stack.wait_charging({LAST_SLOT})
    seq = stack.last_seq()
    since_ms = stack.sim.state()["wall_ms"]
    charging = set(stack.charging())
    stack.kill9("cabinetd")
    assert_stopped(stack, slots=charging, seq=seq, since_ms=since_ms, within_s=KILLED_WITHIN_S)
    until(
        lambda: not stack.sim.state()["outputs"]["contactor"],
        within_s=SLACK_S,
        what="the contactor's lease ran out",
    )
    stack.restart("cabinetd")
    stack.wait_charging({LAST_SLOT})


def test_emergency_stop(stack: SystemStack) -> None:
    stack.wait_charging({LAST_SLOT})
    seq = stack.last_seq()
    charging = set(stack.charging())
    stack.sim.post("/inputs/e-stop", active=True)
    assert_stopped(
        stack,
        slots=charging,
        seq=seq,
        since_ms=hazard_ms(stack, "input", seq),
        within_s=ESTOP_WITHIN_S,
    )
    assert not stack.sim.state()["outputs"]["contactor"]
