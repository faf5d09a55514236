"""Identifiers: holders of custody, swaps, riders, commands.

Randomness and time come in as parameters, so that the core stays reproducible.
"""

from __future__ import annotations

import re
from typing import Final

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_RANDOM_BYTES: Final = 10
_RIDER_BYTES: Final = 8
_SERIAL: Final = re.compile(r"[A-Za-z0-9._-]{1,50}")
_HOLDER: Final = re.compile(
    r"slot:[A-Z0-9-]{3,32}:[1-9][0-9]?"
    r"|(rider|depot|transit|workshop):[A-Za-z0-9._-]{1,64}"
    r"|lost|scrapped|unknown"
)

UNKNOWN: Final = "unknown"


def ulid(wall_ms: int, random: bytes) -> str:
    """26 characters that sort by time: 48 bits of time, then 80 random bits."""
    if len(random) != _ULID_RANDOM_BYTES:
        raise ValueError(f"ulid: expected {_ULID_RANDOM_BYTES} random bytes, got {len(random)}")
    number = (wall_ms << 80) | int.from_bytes(random)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def rider_id(random: bytes) -> str:
    """``R`` and 12 base-32 characters out of 8 random bytes."""
    if len(random) != _RIDER_BYTES:
        raise ValueError(f"rider id: expected {_RIDER_BYTES} random bytes, got {len(random)}")
    number = int.from_bytes(random)
    return "R" + "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(55, -1, -5))


def slot_holder(cabinet: str, slot: int) -> str:
    """The holder that a slot is."""
    return f"slot:{cabinet}:{slot}"


def rider_holder(rider: str) -> str:
    """The holder that a rider is."""
    return f"rider:{rider}"


def is_rider(holder: str) -> bool:
    """True for a rider."""
    return holder.startswith("rider:")


def transit_holder(actor: str) -> str:
    """The holder that a technician on the road is."""
    return f"transit:{actor}"


def is_slot(holder: str) -> bool:
    """True for a place that sensors watch; every other holder is known from papers only."""
    return holder.startswith("slot:")


def in_cabinet(holder: str, cabinet: str) -> bool:
    """True for a slot of this cabinet."""
    return holder.startswith(f"slot:{cabinet}:")


def valid_holder(holder: str) -> bool:
    """True when the text names a holder."""
    return _HOLDER.fullmatch(holder) is not None


def valid_serial(serial: str) -> bool:
    """True when the text can be a battery's serial."""
    return _SERIAL.fullmatch(serial) is not None
