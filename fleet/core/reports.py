"""Riders' reports (随手报): what may be reported, how often, and how an answer reaches the rider."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from msgspec import Struct

from fleet.errors import InvalidError

TEXT_CHARS_MAX: Final = 1_000
PLACE_CHARS_MAX: Final = 200
ANSWER_CHARS_MAX: Final = 1_000
#: Per rider; a photo is some megabytes, and people have to read it all.
PER_DAY_MAX: Final = 10
DAY_MS: Final = 24 * 3_600_000
#: In all: beyond it reports are taken without their photos.
PHOTO_STORE_BYTES_MAX: Final = 4 * 1024**3

OPEN: Final = "open"
ANSWERED: Final = "answered"
CLOSED: Final = "closed"


class Topic(StrEnum):
    """What a report is about."""

    CABINET = "cabinet"
    BATTERY = "battery"
    SOCKET = "socket"
    STATION = "station"
    RESTOCK = "restock"  # an amenity is used up
    ROAD = "road"  # what a rider sees on the way
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture and nothing else."""

    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReport:
    """A report as it was filed; ``photo`` is a stripped picture."""

    id: str
    rider: str
    topic: Topic
    place: str
    text: str
    now_ms: int
    station: str | None = None
    cabinet: str | None = None
    swap_id: str | None = None
    amenity: int | None = None
    photo: Photo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketFilter:
    """Which reports; what is empty does not restrict. ``places``: at these cabinets and stations only.

    Those that wait stand with the oldest first, others with the newest first; ``after`` is where the
    page before ended.
    """

    state: str = ""
    topic: str = ""
    cabinet: str = ""
    places: tuple[frozenset[str], frozenset[str]] | None = None
    after: tuple[int, str] | None = None
    limit: int = 50


class ReportView(Struct, frozen=True, kw_only=True):
    """A report and what became of it, for its rider and for operators."""

    id: str
    rider_id: str
    topic: Topic
    place: str
    text: str
    state: str
    created_ms: int
    station_id: str | None = None
    cabinet_id: str | None = None
    swap_id: str | None = None
    amenity_id: int | None = None
    has_photo: bool = False
    answer: str = ""
    answered_by: str = ""
    answered_ms: int | None = None


def check_topic(text: str) -> Topic:
    """The topic of this name; raise InvalidError."""
    try:
        return Topic(text)
    except ValueError:
        known = ", ".join(topic.value for topic in Topic)
        raise InvalidError(f"topic {text!r}: known are {known}") from None


def clean_text(name: str, text: str, most: int, *, least: int = 0) -> str:
    """Several lines of plain text, control characters taken out; raise InvalidError."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = "\n".join("".join(c for c in line if c.isprintable()) for line in lines).strip()
    if not least <= len(kept) <= most:
        raise InvalidError(f"{name}: expected {least} to {most} characters, got {len(kept)}")
    return kept
