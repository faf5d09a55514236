"""What the balance loop counts; only where it runs."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SOLVE_BUCKETS_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)
ALARMS: Final = ("failed", "late", "unpublished", "grid", "over-limit", "unruly", "stale")


class BalanceMetrics:
    """Series of the 24-hour balance; powers are of all cabinets together."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"fleet_balance_{name}", text, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"fleet_balance_{name}_total", text, labels, registry=registry)

        self.solve_seconds = Histogram(
            "fleet_balance_solve_seconds",
            "From the state of the fleet to its plan",
            buckets=_SOLVE_BUCKETS_S,
            registry=registry,
        )
        self.runs = counter("runs", "Plans made or not, by result", "result")
        self.gap_ratio = gauge("gap_ratio", "How far the plan may be from the optimum, of its cost")
        self.plan_age_seconds = gauge("plan_age_seconds", "Since the plan that holds was made")
        self.planned_watts = gauge("planned_watts", "Ordered now, worst cases included")
        self.actual_watts = gauge("actual_watts", "Measured now, of the cabinets that are heard")
        self.shortfall_watthours = gauge(
            "shortfall_watthours", "Energy that the plan can't deliver in time"
        )
        self.planned_cabinets = gauge("planned_cabinets", "Cabinets that the plan orders")
        self.acknowledged_cabinets = gauge(
            "acknowledged_cabinets", "Of them, those that say they have the plan"
        )
        self.reserved_cabinets = gauge(
            "reserved_cabinets", "Cabinets counted at their worst: silent, or without the plan"
        )
        self.lost_swap_price = gauge(
            "lost_swap_price", "What losing a rider is taken to cost, by the service so far"
        )
        self.riders = counter(
            "riders", "Riders who came: served, or turned away for want of a full battery"
        )
        self.riders_lost = counter("riders_lost", "Of them, those turned away")
        self.riders_lost_at_once = counter(
            "riders_lost_at_once",
            "Whom charging every battery as soon as it is back would have turned away",
        )
        self.alarm = Gauge(
            "fleet_balance_alarm", "1 while something is wrong", ["code"], registry=registry
        )
        for code in ALARMS:
            self.alarm.labels(code).set(0)

    def held_to(self, seen: tuple[int, int, int], price: float) -> None:
        """Riders who came, were lost, and lost by charging at once; and what that makes a swap worth."""
        came, lost, mirrored = seen
        self.riders.inc(came)
        self.riders_lost.inc(lost)
        self.riders_lost_at_once.inc(mirrored)
        self.lost_swap_price.set(price)
