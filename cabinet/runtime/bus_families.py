"""What the buses tell Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from cabinet.runtime.bus import Bus
from cabinet.runtime.bus_health import State
from cabinet.runtime.bus_metrics import BUCKETS_MS, BusMetrics, Histogram


def bus_families(buses: Mapping[str, Bus]) -> Iterable[Metric]:
    """Every family, as the buses stand now."""
    counts = {name: bus.metrics for name, bus in buses.items()}
    yield from _lines(buses)
    yield from _devices(counts)
    yield from _histograms(counts)
    yield _states(buses)


def _lines(buses: Mapping[str, Bus]) -> Iterable[Metric]:
    """Per line."""
    counters = {
        "busy_seconds": "Time in which a bus was in use.",
        "queue_wait_seconds": "Time requests waited for a bus.",
        "opens": "Times the port was opened.",
        "strays": "Times bytes came that nobody waited for.",
    }
    gauges = {
        "open": "1 while the port is there.",
        "echoes": "1 while the adapter hears itself.",
        "queue_length": "Requests that wait.",
        "oldest_wait_seconds": "How long the request has waited that waits longest.",
    }
    made: dict[str, CounterMetricFamily | GaugeMetricFamily] = {
        key: CounterMetricFamily(f"cabinet_bus_{key}", text, labels=("bus",))
        for key, text in counters.items()
    }
    made |= {
        key: GaugeMetricFamily(f"cabinet_bus_{key}", text, labels=("bus",))
        for key, text in gauges.items()
    }
    for name, bus in buses.items():
        metrics = bus.metrics
        values = {
            "busy_seconds": metrics.busy_ms / 1_000,
            "queue_wait_seconds": metrics.queue_wait.sum_ms / 1_000,
            "opens": metrics.opens,
            "strays": metrics.strays,
            "open": bus.is_open,
            "echoes": bus.echoes,
            "queue_length": bus.queued,
            "oldest_wait_seconds": bus.oldest_s,
        }
        for key, value in values.items():
            made[key].add_metric((name,), float(value))
    return made.values()


def _devices(counts: Mapping[str, BusMetrics]) -> Iterable[Metric]:
    """Per device."""
    where = ("bus", "device")
    requests = CounterMetricFamily(
        "cabinet_bus_requests",
        "Transactions on a bus, by how they ended.",
        labels=(*where, "result"),
    )
    spoilt = CounterMetricFamily(
        "cabinet_bus_spoilt",
        "Answers that were none: checksum, foreign, short or noise.",
        labels=(*where, "why"),
    )
    for name, metrics in counts.items():
        for (device, result), count in metrics.requests.items():
            requests.add_metric((name, device, result.value), count)
        for (device, why), count in metrics.spoilt.items():
            spoilt.add_metric((name, device, why.value), count)
    yield from (requests, spoilt)
    for key, text in (
        ("retries", "Reads repeated."),
        ("late_replies", "Answers that came after their time-out."),
        ("probes", "Requests to a device that counts as offline, to see whether it is back."),
        ("skipped", "Requests not sent, since their device is offline."),
    ):
        family = CounterMetricFamily(f"cabinet_bus_{key}", text, labels=where)
        for name, metrics in counts.items():
            told = {
                "retries": metrics.retries,
                "late_replies": metrics.late,
                "probes": metrics.probes,
                "skipped": metrics.skipped,
            }
            for device, count in told[key].items():
                family.add_metric((name, device), count)
        yield family


def _histograms(counts: Mapping[str, BusMetrics]) -> Iterable[Metric]:
    latency = HistogramMetricFamily(
        "cabinet_bus_latency_seconds",
        "From a request to its good reply.",
        labels=("bus", "device"),
    )
    wait = HistogramMetricFamily(
        "cabinet_bus_wait_seconds", "From a call to its request on the wire.", labels=("bus",)
    )
    for name, metrics in counts.items():
        for device, told in metrics.latency.items():
            latency.add_metric((name, device), _cumulated(told), told.sum_ms / 1_000)
        waited = metrics.queue_wait
        wait.add_metric((name,), _cumulated(waited), waited.sum_ms / 1_000)
    return (latency, wait)


def _states(buses: Mapping[str, Bus]) -> Metric:
    family = GaugeMetricFamily(
        "cabinet_bus_device_state",
        "1 for the state a device is in: good, suspect or offline.",
        labels=("bus", "device", "state"),
    )
    for name, bus in buses.items():
        for station in bus.stations:
            for state in State:
                family.add_metric(
                    (name, station.name, state.value), float(station.health.state is state)
                )
    return family


def _cumulated(histogram: Histogram) -> list[tuple[str, float]]:
    """Counts up to each bound in seconds, as Prometheus wants them."""
    bounds = [str(bound_ms / 1_000) for bound_ms in BUCKETS_MS] + ["+Inf"]
    return list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
