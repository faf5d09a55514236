"""What ``fleetd station`` does: on the store, while fleetd runs or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from fleet.adapters.clock import SystemClock
from fleet.config import FleetConfig
from fleet.core import photos
from fleet.core.reports import Photo
from fleet.core.stations import (
    TEXT_CHARS_MAX,
    RestStationView,
    StationRecord,
    amenity_kind,
    amenity_state,
    check_station,
    check_text,
)
from fleet.errors import InvalidError, NotFoundError
from fleet.oneshot import to_json
from fleet.runtime.commands import new_id
from fleet.stores import open_stores

__all__ = [
    "as_data",
    "list_stations",
    "place_cabinet",
    "read_photo",
    "set_amenity",
    "set_photo",
    "set_station",
    "to_json",
]


async def set_station(config: FleetConfig, station: str, changes: dict[str, Any]) -> StationRecord:
    """Make a station, or change it; raise InvalidError."""
    async with open_stores(config.store_url) as stores:
        try:
            record = await stores.stations.record(station)
        except NotFoundError:
            record = StationRecord(id=station, name="")
        record = check_station(replace(record, **changes))
        await stores.stations.put(record, SystemClock().wall_ms())
        return record


async def list_stations(config: FleetConfig) -> list[tuple[RestStationView, tuple[str, ...]]]:
    """Every station with its cabinets' ids."""
    async with open_stores(config.store_url) as stores:
        return await stores.stations.all()


def as_data(view: RestStationView, cabinets: tuple[str, ...]) -> dict[str, Any]:
    """A station as JSON shows it here: cabinets by their ids."""
    data: dict[str, Any] = msgspec.to_builtins(view)
    return {**data, "cabinets": list(cabinets)}


async def place_cabinet(config: FleetConfig, cabinet: str, station: str | None) -> None:
    """A cabinet stands at a station, or at none; raise NotFoundError."""
    async with open_stores(config.store_url) as stores:
        await stores.stations.place(cabinet, station)


async def set_amenity(
    config: FleetConfig, station: str, amenity: str, note: str | None, state: str, *, remove: bool
) -> int:
    """Add, change or remove an amenity; its number. Raise InvalidError, NotFoundError."""
    number = int(amenity) if amenity.isascii() and amenity.isdigit() else None
    if note is not None:
        check_text("note", note, TEXT_CHARS_MAX)
    async with open_stores(config.store_url) as stores:
        if remove:
            if number is None:
                raise InvalidError(f"amenity {amenity!r}: expected the number of one")
            await stores.stations.drop_amenity(station, number)
            return number
        return await stores.stations.set_amenity(
            station,
            kind=None if number is not None else amenity_kind(amenity),
            state=amenity_state(state),
            note=note,
            now_ms=SystemClock().wall_ms(),
            amenity=number,
        )


def read_photo(file: Path) -> Photo:
    """The picture in a file; raise InvalidError."""
    try:
        if file.stat().st_size > photos.PHOTO_BYTES_MAX:
            raise InvalidError(f"{file}: larger than {photos.PHOTO_BYTES_MAX} bytes")
        data = file.read_bytes()
    except OSError as error:
        raise InvalidError(f"{file}: {error.strerror}") from error
    return photos.strip(data)


async def set_photo(config: FleetConfig, station: str, picture: Photo) -> None:
    """A picture of the station; raise NotFoundError."""
    now_ms = SystemClock().wall_ms()
    async with open_stores(config.store_url) as stores:
        await stores.stations.set_photo(station, picture, f"photo-{new_id(now_ms)}", now_ms)
