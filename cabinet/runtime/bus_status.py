"""One bus at this instant, for the status page."""

from __future__ import annotations

from collections.abc import Collection

from cabinet.runtime.bus import Bus, Station
from cabinet.runtime.bus_metrics import Result
from cabinet.status import BusStatus, DeviceStatus
from protocols.decoding import Spoilt


def bus_status(bus: Bus, port: str, missing: Collection[str], now_ms: int) -> BusStatus:
    """How it does. ``missing`` names the devices that are silent and should not be."""
    metrics = bus.metrics
    waits = metrics.queue_wait
    return BusStatus(
        name=bus.name,
        port=port,
        is_open=bus.is_open,
        turn_age_ms=now_ms - bus.last_turn_ms,
        utilisation_pct=round(100 * metrics.usage.share(now_ms / 1_000)),
        queue_wait_ms=round(waits.sum_ms / waits.count, 1) if waits.count else 0.0,
        echoes=bus.echoes,
        devices=tuple(_device(bus, station, missing) for station in bus.stations),
    )


def _device(bus: Bus, station: Station, missing: Collection[str]) -> DeviceStatus:
    name, metrics = station.name, bus.metrics
    counts = {result: metrics.requests.get((name, result), 0) for result in Result}
    good = counts.pop(Result.OK)
    return DeviceStatus(
        name=name,
        silent=station.is_offline,
        missing=name in missing,
        good=good,
        bad=sum(counts.values()),
        checksum=metrics.spoilt.get((name, Spoilt.CHECKSUM), 0),
        late=metrics.late.get(name, 0),
        retries=metrics.retries.get(name, 0),
        state=station.health.state,
    )
