"""Smoke: charging off, doors locked, siren and extinguisher on, and the fleet knows within a second."""

from __future__ import annotations

from typing import Final

import httpx2
import pytest

from deploy.demo.errors import DemoError
from deploy.demo.waiting import now_s, until
from tests.support.stack import SystemStack

pytestmark = pytest.mark.system

CHARGING_OFF_WITHIN_S: Final = 1.5
AT_FLEET_WITHIN_S: Final = 1.0
LOOK_FOR_S: Final = 60.0


@pytest.mark.alone
def test_smoke(stack: SystemStack) -> None:
    stack.wait_charging({7, 8, 9})
    seq = stack.last_seq()
    charging = set(stack.charging())
    raised_s = now_s()
    stack.sim.post("/inputs/smoke", active=True)

    def at_fleet() -> float | None:
        view = stack.rider.cabinet(stack.options.cabinet_id)
        known = view is not None and any("smoke" in alarm for alarm in view["alarms"])
        return now_s() - raised_s if known else None

    at_fleet_s = until(
        at_fleet, within_s=LOOK_FOR_S, what="the fleet shows the alarm", on_timeout=stack.tails
    )
    until(lambda: not stack.charging(), within_s=LOOK_FOR_S, what="no slot charges")
    events = stack.sim.events(seq)
    smoke_ms = next(e["wall_ms"] for e in events if e["kind"] == "input")
    stopped_s = {
        e["slot"]: (e["wall_ms"] - smoke_ms) / 1_000
        for e in events
        if e["kind"] == "charging-stopped"
    }
    print(f"stopped after {stopped_s} s; at the fleet after {at_fleet_s:.3f} s")
    assert set(stopped_s) >= charging
    assert max(stopped_s.values()) <= CHARGING_OFF_WITHIN_S
    assert at_fleet_s < AT_FLEET_WITHIN_S

    until(
        lambda: stack.sim.state()["outputs"]["siren"], within_s=LOOK_FOR_S, what="the siren is on"
    )
    outputs = stack.sim.state()["outputs"]
    assert outputs["extinguisher"]
    assert not outputs["contactor"]

    with pytest.raises(DemoError, match="409"):
        stack.start_swap()
    assert all(slot["door"] == "closed" for slot in stack.sim.state()["slots"])


def test_the_trip_stands_after_the_smoke_has_gone_and_after_a_restart(stack: SystemStack) -> None:
    stack.sim.post("/inputs/smoke", active=False)
    stack.kill9("cabinetd")
    stack.restart("cabinetd")
    stack.wait_cabinet_online()
    view = until(
        lambda: (
            view
            if (view := stack.rider.cabinet(stack.options.cabinet_id)) and view["age_ms"] < 3_000
            else None
        ),
        within_s=LOOK_FOR_S,
        what="fresh telemetry after the restart",
    )
    assert any("smoke" in alarm for alarm in view["alarms"])
    assert not stack.charging()
    assert not stack.sim.state()["outputs"]["contactor"]


def test_the_wires_of_the_running_cabinet_can_be_read_along(stack: SystemStack) -> None:
    told = stack._run("cabinetd", "trace", "--config", str(stack.cabinet_config), "--line", "bus-a")
    assert "board-1: read inputs 0 to 7" in told
    page = httpx2.get(f"{stack.cabinet_url}/trace.json?contains=bms-01", trust_env=False).json()
    assert any("%" in frame["text"] for frame in page["frames"])
    metrics = stack.metrics()
    assert metrics['cabinet_bus_open{bus="bus-a"}'] == 1.0
