"""A socket from the rider's tap to the receipt, through every program; faults and a killed daemon."""

from __future__ import annotations

from typing import Final

import pytest

from deploy.demo.clients import Json
from deploy.demo.stack import Options
from deploy.demo.waiting import until
from tests.support.stack import SystemStack
from tests.system.conftest import BROKER

pytestmark = pytest.mark.system

WITHIN_S: Final = 60.0
#: What the cabinet may take in all; one socket may take 500 W of it, and the cabinet itself 40 W.
LIMIT_W: Final = 800
DRAW_W: Final = 400.0
FAULT_MAX_MS: Final = 2_000


@pytest.fixture(scope="module")
def stack_options() -> Options:
    return Options(
        broker=BROKER,
        sockets=2,
        cabinet_values={"cabinet": {"power_default_w": LIMIT_W}, "fleet": {"telemetry_s": 1.0}},
    )


def started(stack: SystemStack, socket: int = 1, **limits: int) -> str:
    """A session that gives power."""
    session: str = stack.rider.charge(stack.options.cabinet_id, socket, **limits)["id"]
    wait(stack, session, lambda e: e["state"] == "on" and (e["power_w"] or 0) > 300, "power")
    return session


def wait(stack: SystemStack, session: str, holds: object, what: str) -> Json:
    assert callable(holds)
    seen: list[Json] = []

    def there() -> Json | None:
        seen[:] = [stack.rider.session(session)]
        return seen[0] if holds(seen[0]) else None

    return until(
        there, within_s=WITHIN_S, what=what, on_timeout=lambda: f"(last {seen})\n{stack.tails()}"
    )


def relay_fell_ms(stack: SystemStack, number: int, since: int) -> tuple[int, int]:
    """When the simulator spoilt the socket, and when its relay fell, by its own clock."""
    spoilt = fell = None
    for event in stack.sim.events(since):
        if event["kind"] == "socket-spoilt" and event["extra_w"] > 0:
            spoilt = event["sim_ms"]
        off = event["kind"] == "relay" and event["name"] == f"socket-{number}" and not event["on"]
        if spoilt is not None and off:
            fell = event["sim_ms"]
    assert spoilt is not None
    assert fell is not None
    return spoilt, fell


def spoil(stack: SystemStack, number: int) -> int:
    """Far too much current at a socket; how long until its relay fell, in ms."""
    since = max((event["seq"] for event in stack.sim.events()), default=0)
    stack.sim.post(f"/sockets/{number}/spoil", extra_w=2_000)
    until(
        lambda: not stack.sim.sockets()[number - 1]["relay_on"],
        within_s=WITHIN_S,
        what="the relay off",
        on_timeout=stack.tails,
    )
    spoilt_ms, fell_ms = relay_fell_ms(stack, number, since)
    stack.sim.post(f"/sockets/{number}/spoil", extra_w=0)
    return fell_ms - spoilt_ms


def test_from_tap_to_receipt_within_the_limit_through_a_kill_and_a_fault(
    stack: SystemStack,
) -> None:
    for socket in (1, 2):
        stack.sim.post(f"/sockets/{socket}/plug", power_w=DRAW_W, missing_wh=300.0)
    session = started(stack)

    # Within the cabinet's limit: packs charge with what is left.
    def below() -> bool:
        charging = sum(each["charge_power_w"] for each in stack.sim.state()["slots"])
        view = stack.rider.cabinet(stack.options.cabinet_id)
        return bool(
            view and charging + DRAW_W <= LIMIT_W and (view["power_w"] or LIMIT_W) < LIMIT_W
        )

    until(below, within_s=WITHIN_S, what="all below the limit", on_timeout=stack.tails)
    wait(stack, session, lambda e: e["duration_s"] >= 2, "a while")
    stack.rider.stop_charging(session)
    receipt = wait(stack, session, lambda e: e["state"] == "ended", "the end")
    assert receipt["reason"] == "stopped"
    assert receipt["duration_s"] >= 2
    truth_wh = stack.sim.sockets()[0]["meter_wh"]
    assert receipt["energy_wh"] == pytest.approx(truth_wh, abs=1.0)
    assert receipt["amount_minor"] >= 0

    # Killed in mid-session: the lease drops, and after the start it goes on with its account.
    session = started(stack)
    stack.kill9("cabinetd")
    until(
        lambda: not stack.sim.sockets()[0]["relay_on"],
        within_s=WITHIN_S,
        what="the lease over",
        on_timeout=stack.tails,
    )
    stack.restart("cabinetd")
    stack.wait_cabinet_online()
    until(
        lambda: stack.sim.sockets()[0]["relay_on"],
        within_s=WITHIN_S,
        what="the session going on",
        on_timeout=stack.tails,
    )

    # A fault ends it, bills what was drawn, and puts the socket out of use.
    spoil(stack, 1)
    ended = wait(stack, session, lambda e: e["state"] == "ended", "the fault's end")
    assert ended["reason"] == "over-current"
    drawn_wh = stack.sim.sockets()[0]["meter_wh"] - truth_wh
    assert ended["energy_wh"] == pytest.approx(drawn_wh, abs=2.0)

    def out_of_use() -> bool:
        view = stack.rider.cabinet(stack.options.cabinet_id)
        return bool(view and "socket-fault-1" in view["alarms"])

    until(out_of_use, within_s=WITHIN_S, what="the socket's alarm", on_timeout=stack.tails)
    stack.audit()


@pytest.mark.slow
def test_a_fault_is_over_within_two_seconds(stack: SystemStack) -> None:
    """Measured by the simulator's own clock, from the current to the fallen relay."""
    if not stack.sim.sockets()[1]["plugged"]:
        stack.sim.post("/sockets/2/plug", power_w=DRAW_W, missing_wh=300.0)
    started(stack, 2)
    took_ms = spoil(stack, 2)
    print(f"socket off {took_ms} ms after the over-current began")
    assert took_ms <= FAULT_MAX_MS
