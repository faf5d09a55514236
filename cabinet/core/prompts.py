"""What the rider in front of the cabinet should do now, as a stable key; the words are the page's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from cabinet.core.swap_model import (
    TERMINAL,
    AwaitBack,
    AwaitClose,
    AwaitPickup,
    AwaitReturn,
    Cancelled,
    Cancelling,
    Completed,
    Faulted,
    Idle,
    OpeningBack,
    OpeningPickup,
    OpeningReturn,
    PickupHeld,
    Rejected,
    ReturnShut,
    State,
    Verifying,
)

#: rest: nothing to do; act: the rider's turn; wait: the cabinet's turn; good and bad: it has ended.
Tone: TypeAlias = Literal["rest", "act", "wait", "good", "bad"]

#: Every key that ``prompt`` gives for a transaction.
SWAP_KEYS = (
    "open-return", "put-battery", "nothing-in", "checking", "take-back", "open-pickup",
    "take-battery", "not-taken", "close-door", "cancelling", "done", "rejected", "cancelled",
    "faulted",
)  # fmt: skip
#: And the others.
REST_KEYS = (
    "welcome", "welcome-offline", "starting", "keep-away", "no-full-battery", "no-empty-slot",
    "clock-untrusted", "store",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prompt:
    """One thing to say: ``slot`` is the number to show big, ``reason`` why it came to that."""

    key: str
    tone: Tone
    slot: int | None = None
    reason: str | None = None


#: State to key, tone and which of the transaction's slots it is about.
_ROWS: Final[dict[type, tuple[str, Tone, Literal["in", "out", "none"]]]] = {
    OpeningReturn: ("open-return", "wait", "in"),
    AwaitReturn: ("put-battery", "act", "in"),
    ReturnShut: ("nothing-in", "act", "in"),
    Verifying: ("checking", "wait", "in"),
    OpeningBack: ("take-back", "act", "in"),
    AwaitBack: ("take-back", "act", "in"),
    OpeningPickup: ("open-pickup", "wait", "out"),
    AwaitPickup: ("take-battery", "act", "out"),
    PickupHeld: ("not-taken", "act", "out"),
    AwaitClose: ("close-door", "act", "out"),
    Cancelling: ("cancelling", "act", "none"),
    Completed: ("done", "good", "none"),
    Rejected: ("rejected", "bad", "none"),
    Cancelled: ("cancelled", "rest", "none"),
    Faulted: ("faulted", "bad", "none"),
}


def of_swap(state: State) -> Prompt | None:
    """What to do in a transaction, or how it ended; None when there is none."""
    if isinstance(state, Idle):
        return None
    key, tone, which = _ROWS[type(state)]
    slots = {"in": state.job.slot_in, "out": state.job.slot_out, "none": None}
    slot = state.slot if isinstance(state, Cancelling) else slots[which]
    # The reason of a state that goes on is for the fleet; of one that ended, for the rider.
    told = isinstance(state, (OpeningBack, AwaitBack, *TERMINAL))
    return Prompt(key, tone, slot, getattr(state, "reason", None) if told else None)
