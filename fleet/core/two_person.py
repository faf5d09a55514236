"""The two-person rule: one asks, another admits within a time to live, and only then it is ordered.

Who somebody is comes from his session, never from a form. The link that everybody may use stands for
one and the same person, so with it alone nothing of this kind can be ordered.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from msgspec import Struct

from fleet.errors import RefusedError

#: Long enough to fetch a colleague, too short to be found lying about the next day.
ASK_LIFE_MS: Final = 10 * 60_000
ASKED: Final = "asked"
ADMITTED: Final = "admitted"
WITHDRAWN: Final = "withdrawn"
LAPSED: Final = "lapsed"


class Ask(Struct, frozen=True, kw_only=True):
    """A wish for an order that needs a second person. ``*_by`` are ids of accounts, ``*_name`` names."""

    id: str
    cabinet_id: str
    type: str
    reason: str
    asked_by: str
    asked_name: str
    asked_ms: int
    expires_ms: int
    state: str = ASKED
    admitted_by: str | None = None
    admitted_name: str | None = None
    command_id: str | None = None

    def state_at(self, now_ms: int) -> str:
        """The same, once its time is over."""
        return LAPSED if self.state == ASKED and now_ms >= self.expires_ms else self.state


def check_admission(ask: Ask, person: str, now_ms: int) -> None:
    """Raise RefusedError ``ask-over`` or ``same-person`` unless this person may admit it now."""
    if (state := ask.state_at(now_ms)) != ASKED:
        raise RefusedError(f"ask {ask.id}: is {state}", code="ask-over")
    if person.casefold() == ask.asked_by.casefold():
        raise RefusedError(f"ask {ask.id}: {person} asked for it", code="same-person")


def doors_alone(slots: int) -> int:
    """How many doors of a cabinet may be ordered open one by one within the time of an ask.

    More of them are as good as all of them, and those need a second person.
    """
    return max(1, slots // 2)


def check_doors(doors: Set[int], most: int) -> None:
    """Raise RefusedError ``second-person`` when these doors are more than may be opened so."""
    if len(doors) > most:
        text = f"{len(doors)} doors ordered open in a while: more than {most} need two people"
        raise RefusedError(text, code="second-person")


def check_withdrawal(ask: Ask, now_ms: int) -> None:
    """Raise RefusedError ``ask-over`` unless it still stands; anybody may withdraw."""
    if (state := ask.state_at(now_ms)) != ASKED:
        raise RefusedError(f"ask {ask.id}: is {state}", code="ask-over")
