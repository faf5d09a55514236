"""What the cabinet tells Prometheus; base units, names as the fleet's alerts expect them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cabinet.core.engine import Outcome
from cabinet.core.records import EventRow, JournalRow
from cabinet.runtime.bus import Bus
from cabinet.runtime.bus_families import bus_families
from cabinet.status import Snapshot
from protocols.messages import SlotState, Step, StepBody, event_body

SWAP_BUCKETS_S: Final = (5, 10, 20, 30, 45, 60, 90, 120, 180, 300)
_ENDS: Final = {Step.COMPLETED, Step.REJECTED, Step.CANCELLED, Step.FAULTED}


class _Now(Collector):
    """Reads the present state when asked."""

    def __init__(self, snapshot: Callable[[], Snapshot], buses: Mapping[str, Bus]) -> None:
        self._snapshot = snapshot
        self._buses = buses

    def collect(self) -> Iterable[Metric]:
        """The families."""
        yield from bus_families(self._buses)
        yield from self._cabinet_families(self._snapshot())

    def describe(self) -> Iterable[Metric]:
        """Nothing before the first reading."""
        return ()

    @staticmethod
    def _cabinet_families(now: Snapshot) -> Iterable[Metric]:
        states = GaugeMetricFamily("cabinet_slots", "Slots in a state.", labels=("state",))
        for state in SlotState:
            count = sum(slot.state is state for slot in now.telemetry.slots)
            states.add_metric((state.value,), count)
        temps = GaugeMetricFamily(
            "cabinet_slot_temperature_celsius", "Hottest cell of a slot.", labels=("slot",)
        )
        for slot in now.telemetry.slots:
            if slot.cell_temp_c is not None:
                temps.add_metric((str(slot.slot),), slot.cell_temp_c)
        gauges = {
            "cabinet_power_watts": ("Power by the meter.", now.telemetry.power_w),
            "cabinet_power_limit_watts": ("Limit in force.", now.telemetry.power_limit_w),
            "cabinet_temperature_celsius": ("Air in the cabinet.", now.telemetry.temp_c),
            "cabinet_alarms": ("Alarms that stand.", len(now.telemetry.alarms)),
            "cabinet_uplink_connected": ("1 while the fleet is reached.", now.uplink.connected),
            "cabinet_outbox_events": ("Events not acknowledged.", now.uplink.outbox_depth),
            "cabinet_store_failed": (
                "1 while nothing can be written.",
                now.store_error is not None,
            ),
            "cabinet_loops_stuck": ("Loops that no longer turn.", len(now.stuck)),
        }
        draws = GaugeMetricFamily(
            "cabinet_socket_power_watts", "Drawn from a socket.", labels=("socket", "state")
        )
        for socket in now.telemetry.sockets:
            if socket.power_w is not None:
                draws.add_metric((str(socket.socket), socket.state.value), socket.power_w)
        yield states
        yield temps
        yield draws
        for name, (text, value) in gauges.items():
            if value is not None:
                yield GaugeMetricFamily(name, text, value=float(value))


class Metrics:
    """Counts what the pump decides; ``text`` is the page that Prometheus reads."""

    def __init__(self, snapshot: Callable[[], Snapshot], buses: Mapping[str, Bus]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Now(snapshot, buses))
        self._swaps = Counter(
            "swap_attempts_total", "Transactions ended.", ("result",), registry=self._registry
        )
        self._duration = Histogram(
            "swap_duration_seconds",
            "From reservation to the end.",
            buckets=SWAP_BUCKETS_S,
            registry=self._registry,
        )
        self._steps = Histogram(
            "swap_step_duration_seconds", "Time in a step.", ("step",), registry=self._registry
        )
        self._unlocks = Counter(
            "unlock_commands_total", "Lock pulses.", ("result",), registry=self._registry
        )
        self._refusals = Counter(
            "commands_refused_total", "Commands refused.", ("reason",), registry=self._registry
        )
        self._refused: dict[str, int] = {}
        self._started: tuple[str, int] | None = None
        self._step: tuple[str, int] | None = None

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)

    def on_outcome(self, outcome: Outcome) -> None:
        """Count one decision."""
        for row in outcome.writes:
            if isinstance(row, EventRow) and row.event.type == "swap.step":
                body = event_body(row.event)
                if isinstance(body, StepBody):
                    self._on_step(body, row.event.mono_ms)
            elif isinstance(row, JournalRow) and row.kind == "unlock-outcome":
                self._unlocks.labels(str(row.detail.get("result", "unknown"))).inc()
        for reason, count in outcome.state.refusals.items():
            grown = count - self._refused.get(reason, 0)
            if grown > 0:
                self._refusals.labels(reason).inc(grown)
            self._refused[reason] = count

    def _on_step(self, body: StepBody, mono_ms: int) -> None:
        if self._step is not None:
            name, since_ms = self._step
            self._steps.labels(name).observe(max(0, mono_ms - since_ms) / 1000)
        if self._started is None or self._started[0] != body.swap_id:
            self._started = (body.swap_id, mono_ms)
        self._step = (body.step.value, mono_ms)
        if body.step in _ENDS:
            self._swaps.labels(body.step.value).inc()
            self._duration.observe(max(0, mono_ms - self._started[1]) / 1000)
            self._started = self._step = None
