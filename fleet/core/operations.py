"""What an operator may order at a cabinet: which orders there are, and what each must bring along.

Every such order carries a reason of a person, is written to the log of orders, and names what the
person saw in the slot, so that the cabinet refuses when the slot has changed meanwhile.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final

from fleet.errors import InvalidError
from protocols.messages import Kind, Precondition, Presence

REASON_CHARS_MIN: Final = 5  # "test" explains nothing to whoever reads the log
REASON_CHARS_MAX: Final = 300
#: A staff number or a name; it becomes part of a custody holder's name for load and unload.
_STAFF: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
#: What riders' ids and numbers look like: a technician of such a name would share transactions.
_RIDER_LIKE: Final = re.compile(r"R[0-9A-Z]{12}|no\..*")
_CODE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_SERIAL: Final = re.compile(r"[A-Za-z0-9._-]{1,50}")

SLOT_ORDERS: Final = (
    "slot.open",
    "slot.service-off",
    "slot.service-on",
    "slot.quarantine",
    "slot.release",
)
ALARM_CLEAR: Final = "alarm.clear"
RESTART: Final = "cabinet.restart"
OPEN_ALL: Final = "cabinet.open-all"
#: Orders that one person alone cannot give (``fleet.core.two_person``).
TWO_PERSONS: Final = frozenset({OPEN_ALL})
ORDERS: Final = (*SLOT_ORDERS, ALARM_CLEAR, RESTART, OPEN_ALL)
#: To the whole cabinet: they name no slot.
_WHOLE: Final = frozenset({RESTART, OPEN_ALL})
#: Orders that open a door: the person must have seen what stands behind it.
OPENS_A_DOOR: Final = frozenset({"slot.open"})
#: Orders whose first answer is "accepted" and whose last word comes later.
ENDS_LATER: Final = frozenset({"slot.open", RESTART, OPEN_ALL})
TECHNICIAN_KINDS: Final = frozenset({Kind.LOAD, Kind.UNLOAD})

OPERATOR: Final = "operator:"
TECHNICIAN: Final = "technician:"


@dataclass(frozen=True, slots=True)
class Expected:
    """What the person saw in the slot."""

    presence: Presence
    serial: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """An order as a person asks for it."""

    cabinet: str
    type: str
    staff: str
    reason: str
    key: str
    slot: int | None = None
    code: str | None = None  # of the alarm to clear
    expected: Expected | None = None

    @property
    def args(self) -> dict[str, Any]:
        """The arguments of the command."""
        args: dict[str, Any] = {}
        if self.type == ALARM_CLEAR:
            args["code"] = self.code
        if self.slot is not None:
            args["slot"] = self.slot
        return args

    @property
    def precondition(self) -> Precondition | None:
        """What must still hold when the command arrives."""
        return precondition(self.slot, self.expected)


def check_wish(wish: Wish, slots: int) -> None:
    """Raise InvalidError naming the field that is wrong; ``slots`` is how many the cabinet has."""
    if wish.type not in ORDERS:
        raise InvalidError(f"type {wish.type!r}: expected one of {', '.join(ORDERS)}")
    if wish.type in TWO_PERSONS:
        raise InvalidError(f"type {wish.type}: ask for it, and let another person admit it")
    check_reason(wish.reason)
    check_staff(wish.staff)
    if wish.type == ALARM_CLEAR:
        if wish.code is None or not _CODE.fullmatch(wish.code):
            raise InvalidError(f"code {wish.code!r}: expected an alarm's code such as smoke")
    elif wish.type in _WHOLE:
        if wish.slot is not None:
            raise InvalidError(f"slot {wish.slot}: {wish.type} is for the whole cabinet")
    elif wish.slot is None:
        raise InvalidError(f"slot: {wish.type} needs one")
    check_slot(wish.slot, slots)
    check_expected(wish.expected)
    if wish.type in OPENS_A_DOOR and wish.expected is None:
        raise InvalidError(f"expect: {wish.type} needs what was seen in the slot")


def check_reason(reason: str) -> str:
    """A usable reason; raise InvalidError ``reason-short`` or ``invalid``."""
    if len("".join(reason.split())) < REASON_CHARS_MIN:
        text = f"reason {reason!r}: say why, in at least {REASON_CHARS_MIN} characters"
        raise InvalidError(text, code="reason-short")
    if len(reason) > REASON_CHARS_MAX or not reason.isprintable():
        raise InvalidError(f"reason: expected at most {REASON_CHARS_MAX} printable characters")
    return reason


def check_staff(staff: str) -> str:
    """A usable staff number or name; raise InvalidError ``staff-invalid``."""
    if not _STAFF.fullmatch(staff) or _RIDER_LIKE.fullmatch(staff):
        text = f"staff {staff!r}: expected 1 to 32 of A-Z a-z 0-9 ._-, and not a rider's id"
        raise InvalidError(text, code="staff-invalid")
    return staff


def check_slot(slot: int | None, slots: int) -> None:
    """Raise InvalidError for a slot that the cabinet does not have."""
    if slot is not None and not 1 <= slot <= slots:
        raise InvalidError(f"slot {slot}: the cabinet has 1 to {slots}")


def check_expected(expected: Expected | None) -> None:
    """Raise InvalidError for a serial that no battery can have."""
    if expected and expected.serial is not None and not _SERIAL.fullmatch(expected.serial):
        raise InvalidError(f"serial {expected.serial!r}: expected 1 to 50 of A-Z a-z 0-9 ._-")


def precondition(slot: int | None, expected: Expected | None) -> Precondition | None:
    """What the cabinet checks on the slot before it obeys."""
    if slot is None or expected is None:
        return None
    return Precondition(slot=slot, presence=expected.presence, serial=expected.serial)


def order_id(cabinet: str, key: str) -> str:
    """The same key at the same cabinet is the same command, however often it is sent."""
    return "op-" + hashlib.sha256(f"{cabinet} {key}".encode()).hexdigest()[:32]


def by_staff(actor: str) -> bool:
    """Whether a command was given by a person of the operator's, and so belongs in the log."""
    return actor.startswith((OPERATOR, TECHNICIAN))
