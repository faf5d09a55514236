"""What a row of the swap table is, and the rows that are the same in many states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from cabinet.core.swap_model import (
    Accepted,
    AwaitReturn,
    Event,
    GiveBack,
    Opening,
    OpeningPickup,
    OpeningReturn,
    Pulsed,
    Refused,
    Resume,
    State,
    Turn,
    Verifying,
)
from cabinet.core.swap_tools import Context, refuse, stay, with_outcome


@dataclass(frozen=True, slots=True)
class To:
    """One outcome: the next state, when, and the actions that may go with it, by name.

    A ``late`` one comes only after a deadline, so never at once after a restart.
    """

    state: type
    when: str
    does: str = ""
    late: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What one event does in one state."""

    run: Callable[..., Turn]
    to: tuple[To, ...] = ()
    refuses: tuple[str, ...] = ()

    def states(self) -> frozenset[type]:
        """Every state that this row may lead to, besides staying."""
        return frozenset(outcome.state for outcome in self.to)

    def actions(self, state: type) -> frozenset[str]:
        """The names of the actions that may go with this next state."""
        return frozenset(
            name for outcome in self.to if outcome.state is state for name in outcome.does.split()
        )


# --- rows that are the same in many states ------------------------------------------------------


def pulsed(state: Opening, event: Pulsed, ctx: Context) -> Turn:
    """The bus tells; the door sensor has the last word."""
    if event.attempt != state.door.attempt:
        return refuse(state, "old-attempt")
    return Turn(replace(state, door=with_outcome(state.door, fired=event.fired, ctx=ctx)))


def resume_opening(state: Opening, _event: Resume | GiveBack, ctx: Context) -> Turn:
    """Try again at once, with all tries."""
    if state.door.pulse == "pending":
        return stay(state, Accepted())
    door = replace(state.door, due_ms=ctx.now_ms, tries=0)
    return stay(replace(state, door=door), Accepted())


def nothing_returned(state: State, _event: GiveBack, _ctx: Context) -> Turn:
    """There is no pack of the rider's in the cabinet yet: a cancel is what is wanted."""
    return refuse(state, "nothing-returned")


def too_late(state: State, _event: GiveBack, _ctx: Context) -> Turn:
    """The full pack is with the rider."""
    return refuse(state, "too-late")


def already(state: State, _event: Event, _ctx: Context) -> Turn:
    """The command asks for what is so already."""
    return stay(state, Accepted())


def nothing(state: State, _event: Event, _ctx: Context) -> Turn:
    """Looking changes nothing here."""
    return stay(state)


def out_of_place(state: State, _event: Event, _ctx: Context) -> Turn:
    """It cannot be meant for this state."""
    return Turn(state, (Refused("out-of-place"),))


def no_swap(state: State, _event: Event, _ctx: Context) -> Turn:
    """Nothing is under way."""
    return refuse(state, "no-swap")


# --- starting, trying again ---------------------------------------------------------------------

_OPENS: Final = "Accepted Report Pulse Prompt"
START: Final = (
    To(OpeningReturn, "a pack is to come in: its slot is reserved, the door ordered open", _OPENS),
    To(OpeningPickup, "only a pack is to go out: it is reserved, its door ordered open", _OPENS),
    To(
        AwaitReturn,
        "second scan: the door of the unfinished return stands open",
        "Accepted Report",
    ),
    To(
        Verifying,
        "second scan: the pack of the unfinished return stands behind its shut door",
        "Accepted Report Prompt",
    ),
)
START_REFUSED: Final = (
    "doors-locked",
    "no-full-battery",
    "no-empty-slot",
    "last-empty-slot",
    "pickup-owed",
    "slot-locked",
    "slot-not-empty",
    "slot-not-loaded",
    "slot-required",
)
AGAIN: Final = "the same order again changes nothing"
TRIED: Final = "the bus has told whether the pulse was sent"
ALL_TRIES: Final = "all tries again"
