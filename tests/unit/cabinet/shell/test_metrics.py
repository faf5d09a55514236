"""The numbers for Prometheus: right, whole, and in its own format."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cabinet.core.engine import Outcome
from cabinet.core.records import EventRow
from cabinet.runtime.bus_health import Health
from cabinet.runtime.bus_metrics import BUCKETS_MS, USAGE_S, BusMetrics, Result, Usage
from cabinet.runtime.metrics import Metrics
from cabinet.status import Snapshot, UplinkStatus
from protocols.decoding import Spoilt
from protocols.messages import Door, Presence, SlotState, SlotTelemetry, Telemetry
from tests.support.cabinet_rig import Rig


def snapshot() -> Snapshot:
    slots = (
        SlotTelemetry(
            slot=1, state=SlotState.READY, door=Door.CLOSED, presence=Presence.PRESENT,
            serial="A", cell_temp_c=31.5,
        ),
        SlotTelemetry(slot=2, state=SlotState.EMPTY, door=Door.OPEN, presence=Presence.ABSENT),
    )  # fmt: skip
    return Snapshot(
        cabinet="DH-0001", name="", software="0", uptime_s=1, ready=True, store_error=None,
        telemetry=Telemetry(wall_ms=0, boot_id="b", mono_ms=0, slots=slots, power_w=812.0),
        buses=(), uplink=UplinkStatus(configured=True, outbox_depth=3),
    )  # fmt: skip


def scraped(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def one(values: dict[Any, float], name: str, **labels: str) -> float:
    return values[name, tuple(sorted(labels.items()))]


def test_how_things_stand() -> None:
    values = scraped(Metrics(snapshot, {}))
    assert one(values, "cabinet_power_watts") == 812.0
    assert one(values, "cabinet_slots", state="ready") == 1
    assert one(values, "cabinet_slots", state="charging") == 0
    assert one(values, "cabinet_slot_temperature_celsius", slot="1") == 31.5
    assert ("cabinet_slot_temperature_celsius", (("slot", "2"),)) not in values
    assert one(values, "cabinet_outbox_events") == 3


def test_a_bus_tells_results_and_latency() -> None:
    counts = BusMetrics()
    for latency_ms in (1.5, 15.0, 5_000.0):
        counts.good("meter", latency_ms)
    counts.requests["meter", Result.TIMEOUT] += 2
    counts.spoilt["meter", Spoilt.CHECKSUM] += 4
    counts.late["meter"] += 1
    counts.retries["meter"] += 6
    counts.queue_wait.add(12.0)
    station = SimpleNamespace(name="meter", health=Health())
    bus: Any = SimpleNamespace(
        metrics=counts, is_open=True, echoes=True, queued=3, oldest_s=0.5, stations=[station]
    )
    values = scraped(Metrics(snapshot, {"bus-a": bus}))
    where = {"bus": "bus-a", "device": "meter"}
    assert one(values, "cabinet_bus_requests_total", result="ok", **where) == 3
    assert one(values, "cabinet_bus_requests_total", result="timeout", **where) == 2
    assert one(values, "cabinet_bus_spoilt_total", why="checksum", **where) == 4
    assert one(values, "cabinet_bus_late_replies_total", **where) == 1
    assert one(values, "cabinet_bus_retries_total", **where) == 6
    assert one(values, "cabinet_bus_device_state", state="good", **where) == 1
    assert one(values, "cabinet_bus_device_state", state="offline", **where) == 0
    line = {"bus": "bus-a"}
    assert one(values, "cabinet_bus_echoes", **line) == 1
    assert one(values, "cabinet_bus_open", **line) == 1
    assert one(values, "cabinet_bus_queue_length", **line) == 3
    assert one(values, "cabinet_bus_oldest_wait_seconds", **line) == 0.5
    assert one(values, "cabinet_bus_wait_seconds_bucket", le="0.02", **line) == 1
    latency = "cabinet_bus_latency_seconds"
    assert one(values, f"{latency}_count", **where) == 3
    assert one(values, f"{latency}_sum", **where) == pytest.approx(5.0165)
    steps = [one(values, f"{latency}_bucket", le=str(b / 1000), **where) for b in BUCKETS_MS]
    assert steps == sorted(steps)
    assert one(values, f"{latency}_bucket", le="0.002", **where) == 1
    assert one(values, f"{latency}_bucket", le="2.0", **where) == 2
    assert one(values, f"{latency}_bucket", le="+Inf", **where) == 3


def test_a_whole_swap_is_counted_once_with_its_steps() -> None:
    rig = Rig().ready()
    metrics = Metrics(snapshot, {})
    seen = len(rig.writes)
    rig.whole_swap()
    refused = rig.command("swap.start", {"kind": "nonsense"}, swap_id="SWAP-2")
    assert refused.outcome == "refused"
    metrics.on_outcome(Outcome(rig.state, writes=tuple(rig.writes[seen:])))
    values = scraped(metrics)
    assert one(values, "swap_attempts_total", result="completed") == 1
    assert one(values, "swap_duration_seconds_count") == 1
    assert one(values, "swap_step_duration_seconds_count", step="await-return") == 1
    assert one(values, "unlock_commands_total", result="sent") == 2
    assert sum(v for (name, _), v in values.items() if name == "commands_refused_total") == 1
    again = scraped(metrics)
    assert one(again, "swap_attempts_total", result="completed") == 1
    assert any(isinstance(row, EventRow) for row in rig.writes)


def test_utilisation_is_that_of_the_last_whole_seconds() -> None:
    usage = Usage()
    for second in range(100, 100 + USAGE_S):
        usage.add(second + 0.2, 0.1)
        usage.add(second + 0.9, 0.15)
    assert usage.share(100 + USAGE_S + 0.5) == pytest.approx(0.25)
    assert usage.share(100 + 2 * USAGE_S) == 0.0
    assert Usage().share(7.0) == 0.0
