"""A full battery kept for a rider on the way: who may have one, for how long, and how it ends.

The cabinet keeps the pack and lets it go by itself when the time is up; the fleet only remembers
the agreement. A reservation that nobody came for is a no-show, and those are limited.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fleet.core.swaps import CabinetFacts, refuse_cabinet
from fleet.errors import InvalidError

MINUTES_DEFAULT: Final = 10
MINUTES_MAX: Final = 30
NO_SHOWS_MAX: Final = 3
NO_SHOW_WINDOW_MS: Final = 24 * 3_600_000

ASKED: Final = "asked"  # the cabinet has not answered yet
HELD: Final = "held"
USED: Final = "used"
RELEASED: Final = "released"
REFUSED: Final = "refused"
EXPIRED: Final = "expired"  # never stored: it follows from the time
LIVE: Final = (ASKED, HELD)
_SLOT: Final = re.compile(r"slot=([1-9][0-9]?)")


@dataclass(frozen=True, slots=True)
class Reservation:
    """One agreement; its id is the id of the command that asked the cabinet."""

    id: str
    cabinet: str
    rider: str
    state: str
    created_ms: int
    expires_ms: int
    slot: int | None = None
    reason: str | None = None

    def state_at(self, now_ms: int) -> str:
        """What it is at this moment."""
        return EXPIRED if self.state in LIVE and self.expires_ms <= now_ms else self.state

    def live_at(self, now_ms: int) -> bool:
        """Whether a pack is kept, or being asked for."""
        return self.state_at(now_ms) in LIVE


@dataclass(frozen=True, slots=True)
class RiderFacts:
    """What the ledger says of a rider who wants one."""

    denied: bool = False
    open_swap: bool = False
    elsewhere: bool = False  # has one at another cabinet
    no_shows: int = 0
    plan_refusal: str | None = None  # why the rider's plan lets no full pack go


def check_minutes(minutes: int) -> int:
    """Raise InvalidError for a time that is out of range."""
    if not 1 <= minutes <= MINUTES_MAX:
        raise InvalidError(f"minutes {minutes}: expected 1 to {MINUTES_MAX}")
    return minutes


def refuse_reservation(cabinet: CabinetFacts, rider: RiderFacts) -> str | None:
    """The code of the first rule that says no, or None. The cabinet has the last word."""
    if (code := refuse_cabinet(cabinet)) is not None:
        return code
    if rider.denied:
        return "denied-rider"
    if rider.open_swap:
        return "open-swap"
    if rider.plan_refusal is not None:
        return rider.plan_refusal
    if rider.elsewhere:
        return "reserved-elsewhere"
    if rider.no_shows >= NO_SHOWS_MAX:
        return "no-shows"
    if cabinet.full < 1:
        return "no-full-battery"
    return None


def slot_in(evidence: str) -> int | None:
    """The slot that a cabinet's answer names."""
    found = _SLOT.search(evidence)
    return int(found[1]) if found else None
