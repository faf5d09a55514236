"""Sockets within the 24-hour balance: their load stands on the feeder, and in what is ordered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fleet.core.balance import horizon
from fleet.core.balance.horizon import Problem, Site, Standing
from fleet.core.balance.instance import Plan
from fleet.core.balance.sockets import SocketUse, socket_loads
from fleet.runtime.demand import Demand
from protocols.sockets import SocketState, SocketTelemetry
from tests.support.balance_rig import NOW_MS, ZONE, grid, slots, steady

STARTS = horizon.interval_starts(NOW_MS, 900)


def socket(number: int = 1, **more: object) -> SocketTelemetry:
    given = {"state": SocketState.ON, "power_w": 180.0, "power_max_w": 500, "duration_s": 600}
    return SocketTelemetry(socket=number, **(given | {"left_s": 3_600} | more))  # type: ignore[arg-type]


def loads(*sockets: SocketTelemetry, expected_w: float | None = None) -> list[int]:
    expected = None if expected_w is None else np.full((1, len(STARTS) + 1), expected_w)
    return [int(each) for each in socket_loads([sockets], STARTS, NOW_MS, 900, expected)[0]]


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
    expected = np.full((3, len(STARTS) + 1), 300.0)
    for state in (Standing.SILENT, Standing.STUBBORN):
        sites = [Site(name, state, sockets=(socket(),)) for name in ("A-1", "A-2", "B-1")]
        swaps = replace(steady(3, mean=0.0), socket_w=expected)
        made = horizon.build(
            grid(), sites, swaps, now_ms=NOW_MS, interval_s=900, zone=ZONE, peak_w=np.zeros(2)
        )
        assert not made.socket_w.any()


def test_sockets_that_are_free_count_with_what_is_to_be_expected_of_them() -> None:
    idle = socket(2, state=SocketState.IDLE, power_w=0.0, left_s=0)
    assert loads(idle, expected_w=120.0) == [120] * 96
    both = loads(socket(), idle, expected_w=120.0)
    assert both[:5] == [180 + 60] * 5, "half of the sockets, half of the power"
    assert both[5:] == [120] * 91, "the session is over by then"
    assert loads(idle, expected_w=9_000.0)[0] == 500, "never more than it may take"
    assert loads(socket(state=SocketState.FAULTED), expected_w=120.0) == [0] * 96
    assert loads(expected_w=120.0) == [0] * 96, "a cabinet without sockets"
    worn = (idle, socket(3, state=SocketState.UNKNOWN))
    assert loads(*worn, expected_w=120.0)[0] == 120


def test_a_days_use_is_learnt_where_it_was_and_until_the_next_morning() -> None:
    use = SocketUse(3, 3_600)
    there = np.array([True, True, False])
    assert not use.expected_w().any()
    for _ in range(30):
        use.learn([(0, 22, 400.0, 4 * 3_600.0), (0, 8, 100.0, 60.0)], there)
    used, other, new = use.expected_w()
    seen = {hour: float(watts) for hour, watts in enumerate(used) if watts}
    assert seen.keys() == {22, 23, 0, 1, 8}
    for watts in seen.values():
        assert watts == pytest.approx(100.0, rel=0.01)
    assert 0 < other[22] < 15, "thirty days without a session say more than its neighbours"
    assert new[22] == pytest.approx(100.0, rel=0.01), "of a new one nothing else is known"


def test_what_was_long_ago_fades() -> None:
    use = SocketUse(1, 3_600)
    there = np.array([True])
    for day in range(80):
        use.learn([(0, 12, 500.0, 60.0)] if day < 10 else [], there)
    assert use.expected_w()[0, 12] < 40


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
    ordered = horizon.powers(used, plan)
    assert (ordered[0, 1], ordered[1, 1]) == (360, 0)


class Booked:
    """A ledger without swaps, whose first cabinet gave power yesterday from ten to noon."""

    async def taken_by_interval(self, *_: int) -> list[tuple[str, int, int]]:
        return []

    async def registered_ms(self) -> dict[str, int]:
        return dict.fromkeys(("A-1", "A-2"), 0)

    async def drawn_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int
    ) -> list[tuple[str, int, int, float]]:
        begun_ms = NOW_MS - 24 * 3_600_000
        begun_ms -= begun_ms % 3_600_000
        if not since_ms <= begun_ms < until_ms:
            return []
        return [
            ("A-1", (begun_ms - since_ms) // interval_ms, 800, 7_200.0),
            ("GONE", 3, 9_000, 60.0),
        ]


async def test_the_forecast_has_what_sockets_took_at_this_time_of_day() -> None:
    rows = Booked()
    demand = Demand(rows, rows, cabinets=["A-1", "A-2"], interval_s=900, zone=ZONE, sockets=rows)
    await demand.catch_up(NOW_MS)
    watts = demand.forecast(NOW_MS - NOW_MS % 3_600_000, 97).socket_w
    assert watts is not None
    assert watts.shape == (2, 97)
    assert watts[0, :8].min() > 10 * watts[1, :8].max() > 0, "there more than elsewhere"
    assert not watts[:, 8:96].any(), "at no other time of day"
    assert watts[0, 96] == watts[0, 0], "tomorrow again"
    bare = Demand(rows, rows, cabinets=["A-1"], interval_s=900, zone=ZONE)
    assert bare.forecast(NOW_MS, 97).socket_w is None
