"""A silent device does not slow the others: growth of the poll period, by cabinetd's own counters."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Final

import pytest

from deploy.demo.waiting import now_s, until
from tests.support.stack import SystemStack

# Slow, and a measurement: `make prove` runs it on a machine that does nothing else.
pytestmark = [pytest.mark.system, pytest.mark.slow]

SAME_BUS_GROWTH_MAX: Final = 0.20
OTHER_BUS_GROWTH_MAX: Final = 0.05
#: Long enough that one poll more or less at the window's edge is not taken for growth.
WINDOW_S: Final = 15.0
#: The keeper has noticed by then that the device is silent; the figures are about what follows.
NOTICE_S: Final = 3.0
#: After start, and after the silence before, the chargers get their orders one by one.
SETTLE_S: Final = 10.0
SETTLE_WITHIN_S: Final = 90.0
SILENT_DEVICES: Final = ("charger-03", "board-1", "meter", "bms-05")
SAMPLE: Final = re.compile(r"^cabinet_bus_requests_total\{(?P<labels>[^}]*)\}$")
LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


def answers(stack: SystemStack) -> dict[tuple[str, str], float]:
    """Good replies so far, by bus and device."""
    counts: dict[tuple[str, str], float] = {}
    for name, value in stack.metrics().items():
        if sample := SAMPLE.match(name):
            labels = dict(LABEL.findall(sample["labels"]))
            if labels["result"] == "ok":
                counts[labels["bus"], labels["device"]] = value
    assert counts, "no bus counters in /metrics"
    return counts


def wait_s(seconds: float, what: str) -> None:
    """Let the programs run for a measured time."""
    end_s = now_s() + seconds
    until(lambda: now_s() >= end_s, within_s=seconds + 5, what=what)


def rates(stack: SystemStack, without: str) -> dict[str, float]:
    """Good replies per second of every bus, the silent device left out."""
    before, start_s = answers(stack), now_s()
    wait_s(WINDOW_S, "the window of measurement")
    after, end_s = answers(stack), now_s()
    by_bus: dict[str, float] = defaultdict(float)
    for (bus, device), count in after.items():
        if device != without:
            by_bus[bus] += (count - before.get((bus, device), 0.0)) / (end_s - start_s)
    return by_bus


def wait_steady(stack: SystemStack) -> None:
    """Wait until the same slots have charged for a while: no charger is being told anything.

    Physics put at rest before that would leave a charger for ever short of its order, and repeated
    orders would be counted as the usual rate.
    """
    seen: list[tuple[frozenset[int], float]] = []

    def steady() -> bool:
        charging, at_s = stack.charging(), now_s()
        if not seen or seen[0][0] != charging:
            seen[:] = [(charging, at_s)]
        return bool(charging) and at_s - seen[0][1] >= SETTLE_S

    until(steady, within_s=SETTLE_WITHIN_S, what="the same slots charging", on_timeout=stack.tails)


@pytest.mark.parametrize("device", SILENT_DEVICES)
def test_a_silent_device_does_not_slow_the_others(stack: SystemStack, device: str) -> None:
    wait_steady(stack)
    bus_of = {name: bus for bus, name in answers(stack)}
    # With the physics at rest no charger gets new set-points: what is counted are the polls.
    stack.sim.post("/freeze", frozen=True)
    try:
        wait_s(SETTLE_S, "the chargers hold their orders")
        usual = rates(stack, without=device)
        stack.sim.post(f"/devices/{device}/silent", silent=True)
        wait_s(NOTICE_S, "the daemon notices the silence")
        with_silence = rates(stack, without=device)
    finally:
        stack.sim.post(f"/devices/{device}/silent", silent=False)
        stack.sim.post("/freeze", frozen=False)

    def growth(buses: set[str]) -> float:
        """Of the mean poll period over these buses; a bus that has no other device has none."""
        was = sum(rate for bus, rate in usual.items() if bus in buses)
        is_now = sum(rate for bus, rate in with_silence.items() if bus in buses)
        return was / is_now - 1 if was else 0.0

    same = growth({bus_of[device]})
    others = {bus: growth({bus}) for bus in usual if bus != bus_of[device] and usual[bus]}
    print(
        f"{device}: same bus {same:+.1%}; others "
        + ", ".join(f"{bus} {value:+.1%}" for bus, value in sorted(others.items()))
    )
    assert same <= SAME_BUS_GROWTH_MAX
    slots = {bus for bus in others if bus.startswith("slot-")}
    assert growth(slots) <= OTHER_BUS_GROWTH_MAX
    for bus in others.keys() - slots:
        assert others[bus] <= OTHER_BUS_GROWTH_MAX, bus
