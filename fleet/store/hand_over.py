"""What a cabinet told of a pack as it came or went: read from the event that a movement rests on."""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import ColumnElement, and_

from fleet.store import tables as t
from protocols.messages import BatteryBody

_BODIES: Final = msgspec.json.Decoder(BatteryBody)
_NOTHING: Final = BatteryBody(serial="none", slot=1)


def telling() -> ColumnElement[bool]:
    """Joins ``movement`` with the event that it rests on."""
    move, own = t.movement.c, t.event.c
    return and_(own.cabinet == move.cabinet, own.epoch == move.epoch, own.seq == move.seq)


def told_of(serial: str, body: str | None) -> BatteryBody:
    """The event about this pack; one that says nothing where it is about another, or of another kind.

    (What came into a slot tells that another pack has left it, and nothing of that one.)
    """
    try:
        told = _BODIES.decode(body or "")
    except msgspec.MsgspecError:
        return _NOTHING
    return told if told.serial == serial else _NOTHING
