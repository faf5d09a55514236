"""Stations: cabinets, a charging area and amenities at one place; what may be said of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from msgspec import Struct

from fleet.core.distance import distance_m
from fleet.core.geo import Point
from fleet.core.views import CabinetView
from fleet.errors import InvalidError

STATION_ID: Final = re.compile(r"[A-Z0-9][A-Z0-9-]{1,31}")
NAME_CHARS_MAX: Final = 200
TEXT_CHARS_MAX: Final = 300
PRICE_MAX: Final = 10_000_000


class AmenityKind(StrEnum):
    """What a station may offer."""

    REPAIR_KIT = "repair-kit"
    FIRST_AID = "first-aid-kit"
    SEWING_KIT = "sewing-kit"
    WATER = "water"
    MICROWAVE = "microwave"
    REST_AREA = "rest-area"
    TOILET = "toilet"
    SHOP = "shop"  # with a discount for riders


class AmenityState(StrEnum):
    """How much is left of it."""

    OK = "ok"
    LOW = "low"
    OUT = "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class StationRecord:
    """A station as the operator keeps it. Prices are in the currency's smallest unit."""

    id: str
    name: str
    address: str = ""
    hours: str = ""
    notice: str = ""
    lat: float | None = None
    lon: float | None = None
    price_kwh_minor: int = 0
    price_hour_minor: int = 0
    photo: str | None = None


class AmenityView(Struct, frozen=True, kw_only=True):
    """One amenity. ``reported``: riders say that it is used up, and nobody has restocked it yet."""

    id: int
    kind: AmenityKind
    state: AmenityState
    note: str = ""
    updated_ms: int = 0
    reported: int = 0


class RestStationView(Struct, frozen=True, kw_only=True):
    """A station as riders see it."""

    id: str
    name: str
    address: str = ""
    hours: str = ""
    notice: str = ""
    lat: float | None = None
    lon: float | None = None
    price_kwh_minor: int = 0
    price_hour_minor: int = 0
    photo: str | None = None
    amenities: tuple[AmenityView, ...] = ()
    cabinets: tuple[CabinetView, ...] = ()

    @property
    def sockets_free(self) -> int:
        """Sockets that may be used now."""
        return sum(s.state == "idle" for c in self.cabinets if c.online for s in c.sockets)


@dataclass(frozen=True, slots=True)
class StationSpot:
    """A station in as much as is needed to find those near."""

    id: str
    name: str
    lat: float | None
    lon: float | None


def first_spots(spots: Iterable[StationSpot], here: Point | None) -> list[StationSpot]:
    """The nearest first, those whose place nobody knows last; without a place of one's own by name."""

    def key(spot: StationSpot) -> tuple[bool, int, str]:
        if here is None or spot.lat is None or spot.lon is None:
            return here is not None, 0, spot.name
        return False, distance_m(here.lat, here.lon, spot.lat, spot.lon), spot.name

    return sorted(spots, key=key)


def check_station(record: StationRecord) -> StationRecord:
    """Raise InvalidError for a field that is out of bounds."""
    if not STATION_ID.fullmatch(record.id):
        raise InvalidError(
            f"id {record.id!r}: expected 2 to 32 capital letters, digits and hyphens"
        )
    check_text("name", record.name, NAME_CHARS_MAX, least=1)
    check_text("address", record.address, TEXT_CHARS_MAX)
    check_text("hours", record.hours, NAME_CHARS_MAX)
    check_text("notice", record.notice, TEXT_CHARS_MAX)
    if (record.lat is None) is not (record.lon is None):
        raise InvalidError("lat, lon: give both or none")
    if record.lat is not None and not -90 <= record.lat <= 90:
        raise InvalidError(f"lat {record.lat}: expected -90 to 90")
    if record.lon is not None and not -180 <= record.lon <= 180:
        raise InvalidError(f"lon {record.lon}: expected -180 to 180")
    for name in ("price_kwh_minor", "price_hour_minor"):
        if not 0 <= getattr(record, name) <= PRICE_MAX:
            raise InvalidError(f"{name} {getattr(record, name)}: expected 0 to {PRICE_MAX}")
    return record


def check_text(name: str, text: str, most: int, *, least: int = 0) -> str:
    """Raise InvalidError unless it is one line of printable characters."""
    if not least <= len(text) <= most or not text.isprintable():
        raise InvalidError(f"{name}: expected {least} to {most} printable characters")
    return text


def amenity_kind(text: str) -> AmenityKind:
    """The kind of this name; raise InvalidError."""
    try:
        return AmenityKind(text)
    except ValueError:
        known = ", ".join(kind.value for kind in AmenityKind)
        raise InvalidError(f"kind {text!r}: known are {known}") from None


def amenity_state(text: str) -> AmenityState:
    """The state of this name; raise InvalidError."""
    try:
        return AmenityState(text)
    except ValueError:
        known = ", ".join(state.value for state in AmenityState)
        raise InvalidError(f"state {text!r}: expected {known}") from None
