"""What the plan that holds says of each cabinet's next hours, worked out once per plan."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fleet.core.balance import horizon, margin, moves
from fleet.core.balance.moves import MovesView
from fleet.runtime.live import LivePicture
from fleet.runtime.planner import Orders, Planner
from protocols.messages import SlotState, SlotTelemetry

#: Riders to come are the mean of so long.
RATE_H: Final = 1.0


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one cabinet."""

    rate_per_h: float
    ready_in_h: tuple[float, ...]
    energy_cost: float
    lost_swap_price: float


class Outlook:
    """Reads the planner's last orders; heavy parts once for each of them."""

    def __init__(self, planner: Planner, live: LivePicture) -> None:
        self._planner = planner
        self._live = live
        self._lock = threading.Lock()
        self._orders: Orders | None = None
        self._place: dict[str, int] = {}
        self._rate: list[float] = []
        self._price: list[float] = []
        self._moves: MovesView | None = None
        curve = horizon.pack_curve(planner.grid.pack)
        self._hours = curve.tables[1]

    def refresh(self) -> None:
        """Take up the present orders; called outside the loop."""
        with self._lock:
            orders = self._planner.orders
            if orders is self._orders:
                return
            self._moves = None
            if orders is None or len(orders.power_w) != len(self._planner.grid.ids):
                self._orders, self._place = orders, {}
                return
            grid, instance = self._planner.grid, orders.problem.instance
            self._hours = horizon.pack_curve(grid.pack).tables[1]
            count = max(round(RATE_H * 3600 / instance.step_s), 1)
            span_h = count * instance.step_s / 3600
            riders = orders.problem.stock.riders
            self._rate = (riders[:, min(count, riders.shape[1]) - 1] / span_h).tolist()
            price = margin.energy_price(instance, orders.plan, grid.power.breaker_w)
            self._price = (price * orders.problem.stock.back_wh / 1_000).tolist()
            self._place = {cabinet: place for place, cabinet in enumerate(grid.ids)}
            self._orders = orders

    def of(self, cabinet: str, slots: Sequence[SlotTelemetry]) -> Seen | None:
        """One cabinet; None where no plan knows it."""
        place = self._place.get(cabinet)
        if place is None:
            return None
        table = self._hours
        ready_in = [
            float(np.interp(slot.soc_pct / 100 * (len(table) - 1), np.arange(len(table)), table))
            for slot in slots
            if slot.state is SlotState.CHARGING and slot.soc_pct is not None
        ]
        return Seen(
            rate_per_h=self._rate[place],
            ready_in_h=tuple(sorted(ready_in)),
            energy_cost=self._price[place],
            lost_swap_price=self._planner.lost_swap_price,
        )

    def moves(self) -> MovesView:
        """Batteries to carry; called outside the loop."""
        self.refresh()
        with self._lock:
            orders = self._orders
            if orders is None or not self._place:
                return MovesView(version=0, moves=(), lost=0.0, lost_after=0.0)
            if self._moves is None:
                grid, places = self._planner.grid, self._live.places()
                self._moves = moves.propose(
                    orders.problem.stock,
                    orders.plan.step_wh,
                    orders.problem.instance.energy_max_wh,
                    np.asarray(orders.plan.shortfall_wh.any(axis=1)),
                    cabinets=grid.ids,
                    places=[places.get(cabinet) for cabinet in grid.ids],
                    starts_ms=orders.problem.starts_ms,
                    version=orders.version,
                    lost_swap_price=self._planner.lost_swap_price,
                )
            return self._moves
