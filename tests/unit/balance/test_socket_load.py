"""Sockets within the 24-hour balance: their load stands on the feeder, and in what is ordered."""

from __future__ import annotations

import numpy as np

from fleet.core.balance import horizon
from fleet.core.balance.horizon import Problem, Site, Standing
from fleet.core.balance.instance import Plan
from protocols.sockets import SocketState, SocketTelemetry
from tests.support.balance_rig import NOW_MS, ZONE, grid, slots, steady

STARTS = horizon.interval_starts(NOW_MS, 900)


def socket(number: int = 1, **more: object) -> SocketTelemetry:
    given = {"state": SocketState.ON, "power_w": 180.0, "power_max_w": 500, "duration_s": 600}
    return SocketTelemetry(socket=number, **(given | {"left_s": 3_600} | more))  # type: ignore[arg-type]


def loads(*sockets: SocketTelemetry, state: Standing = Standing.FOLLOWS) -> list[int]:
    sites = [Site("A-1", state, sockets=sockets)]
    return [int(each) for each in horizon.socket_loads(sites, STARTS, NOW_MS, 900)[0]]


def test_a_session_goes_on_as_it_is_until_its_limit() -> None:
    load = loads(socket())
    assert load[:5] == [180] * 5  # the first interval is well under way, an hour is left
    assert load[5:] == [0] * 91


def test_what_is_not_known_counts_with_its_most() -> None:
    assert loads(socket(power_w=None))[0] == 500
    assert loads(socket(duration_s=10))[0] == 500
    assert loads(socket(state=SocketState.PAUSED))[0] == 500
    assert loads(socket(), socket(2, power_w=90.5))[0] == 271
    assert loads(socket(state=SocketState.IDLE, power_w=0.0))[0] == 0
    assert loads(socket(state=SocketState.FAULTED))[0] == 0


def test_who_does_not_follow_is_reserved_for_otherwise() -> None:
    for state in (Standing.SILENT, Standing.STUBBORN):
        assert sum(loads(socket(), state=state)) == 0


def test_the_load_is_off_the_feeder_and_in_the_order() -> None:
    def made(*sockets: SocketTelemetry) -> Problem:
        packs = slots(99, 99)
        sites = [
            Site(name, Standing.FOLLOWS, slots=packs, sockets=sockets if name == "A-1" else ())
            for name in ("A-1", "A-2", "B-1")
        ]
        return horizon.build(
            grid(), sites, steady(3, mean=0.0), now_ms=NOW_MS, interval_s=900, zone=ZONE,
            peak_w=np.zeros(2),
        )  # fmt: skip

    bare, used = made(), made(socket(left_s=7_200), socket(2, left_s=7_200))
    taken = bare.instance.feeder_max_wh - used.instance.feeder_max_wh
    assert taken[0, 1] == 90  # 360 W for a quarter of an hour
    assert not taken[1:].any()
    nothing = np.zeros_like(used.instance.step_max_wh)
    plan = Plan(nothing, nothing, 0.0, 0.0, 0.0)
    ordered = horizon.powers(grid(), used, plan)
    assert (ordered[0, 1], ordered[1, 1]) == (360, 0)
