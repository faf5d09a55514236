"""The rows of the swap table: for every state and event the function, and what may come of it.

A row declares the states that it may lead to, when, and the actions that it may take; and the
reasons for which it may refuse. ``cabinetd swap-table`` prints these rows, the state diagram is
drawn from them, and tests hold every turn of walks and of an exhaustive search to them: no turn may
be other than declared, and none may be declared in vain. Staying as it is, without any action, is
never declared.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from cabinet.core import swap_back, swap_pickup, swap_return, swap_start
from cabinet.core.swap_model import (
    ACTIVE,
    EVENTS,
    STATES,
    TERMINAL,
    AwaitBack,
    AwaitClose,
    AwaitPickup,
    AwaitReturn,
    Cancel,
    Cancelled,
    Cancelling,
    Completed,
    Faulted,
    GiveBack,
    Idle,
    OpeningBack,
    OpeningPickup,
    OpeningReturn,
    PickupHeld,
    Pulsed,
    Recovered,
    Rejected,
    Resume,
    ReturnShut,
    Sensed,
    Start,
    State,
    Trip,
    Turn,
    Verifying,
)
from cabinet.core.swap_rows import (
    AGAIN,
    ALL_TRIES,
    START,
    START_REFUSED,
    TRIED,
    Row,
    To,
    already,
    no_swap,
    nothing,
    nothing_returned,
    out_of_place,
    pulsed,
    resume_opening,
    too_late,
)
from cabinet.core.swap_tools import Context, stay


def _recovered(state: State, _event: Recovered, ctx: Context) -> Turn:
    """Start the deadlines anew, then decide by the sensors."""
    match state:
        case Idle() | Completed() | Rejected() | Cancelled() | Faulted():
            return stay(state)
        case OpeningReturn() | OpeningBack() | OpeningPickup():
            # The intent was journalled; the pulse may or may not have been sent.
            door = replace(
                state.door, since_ms=ctx.now_ms, due_ms=ctx.now_ms, tries=0, pulse="maybe"
            )
            fresh: State = replace(state, door=door)
        case AwaitReturn() | AwaitBack() | AwaitPickup() | AwaitClose():
            fresh = replace(state, since_ms=ctx.now_ms, reminders=0)
        case Verifying():
            fresh = replace(state, since_ms=ctx.now_ms, closed_ms=ctx.now_ms)
        case Cancelling():
            settle_ms = ctx.now_ms + ctx.limits.settle_ms
            fresh = replace(state, since_ms=ctx.now_ms, settle_ms=settle_ms, shut_ms=None)
        case ReturnShut() | PickupHeld():
            fresh = replace(state, since_ms=ctx.now_ms)
    if ctx.view.doors_locked:
        return stay(fresh)  # the Trip that follows settles it
    return TABLE[type(fresh), Sensed].run(fresh, Sensed(), ctx)


# --- the rows -----------------------------------------------------------------------------------

_NOT_OWN: Final = (
    "nothing-returned",
    "slot-locked",
    "quarantined",
    "door-not-shut",
    "slot-not-loaded",
)
_OUT_TRIPPED: Final = (
    To(Completed, "it is out already", "BatteryOut LeftOpen Report Prompt"),
    To(Faulted, "it stays in", "LeftOpen Report Prompt"),
)
_BACK_TRIPPED: Final = (
    To(Rejected, "a refused pack is out already", "LeftOpen Report Prompt"),
    To(Cancelled, "the own pack is out already", "BatteryOut LeftOpen Report Prompt"),
    To(Faulted, "it stays in", "Report Prompt"),
)
_BACK_AGAIN: Final = (
    To(AwaitBack, "it is open already", "Accepted"),
    To(OpeningBack, "shut: the same door again", "Accepted Report Pulse Prompt"),
)
_SHUT_IN: Final = ("slot-locked", "door-not-shut")

_ROWS: Final[dict[tuple[type, type], Row]] = {
    (Idle, Start): Row(swap_start.start, START, START_REFUSED),
    **{
        (kind, Start): Row(swap_start.start, (*START, To(kind, AGAIN, "Accepted")), START_REFUSED)
        for kind in TERMINAL
    },
    **{
        (kind, Start): Row(swap_start.busy, (To(kind, AGAIN, "Accepted"),), ("busy",))
        for kind in ACTIVE
    },
    **{(kind, Sensed): Row(nothing) for kind in (Idle, *TERMINAL)},
    **{
        (kind, event): Row(no_swap, (), ("no-swap",))
        for kind in (Idle, *TERMINAL)
        for event in (Cancel, Resume, GiveBack)
    },
    **{
        (kind, Pulsed): Row(pulsed, (To(kind, TRIED),), ("old-attempt",))
        for kind in (OpeningReturn, OpeningBack, OpeningPickup)
    },
    # --- a pack comes in
    (OpeningReturn, Sensed): Row(
        swap_return.opening_return,
        (
            To(AwaitReturn, "the door is open", "Report"),
            To(
                OpeningReturn,
                "still shut: a new attempt, then another empty slot",
                "FlagSlot Alarm Report Pulse Prompt",
            ),
            To(Verifying, "shut on a pack after a pulse that may have been sent", "Report Prompt"),
            To(ReturnShut, "asked to reseat, and shut again with nothing in it"),
            To(
                Faulted,
                "the door cannot be read, or no slot is left to try",
                "FlagSlot Alarm Report Prompt",
            ),
        ),
    ),
    (OpeningReturn, Cancel): Row(
        swap_back.cancel_return,
        (To(Cancelling, "a pulse under way may still open the door", "Accepted Prompt"),),
    ),
    (OpeningReturn, Resume): Row(resume_opening, (To(OpeningReturn, ALL_TRIES, "Accepted"),)),
    (OpeningReturn, GiveBack): Row(nothing_returned, (), ("nothing-returned",)),
    (OpeningReturn, Trip): Row(
        swap_return.trip_empty, (To(Faulted, "nothing is booked", "Report Prompt"),)
    ),
    (AwaitReturn, Sensed): Row(
        swap_return.await_return,
        (
            To(Verifying, "shut on a pack", "Report Prompt"),
            To(ReturnShut, "shut with nothing in it", "Prompt"),
            To(AwaitReturn, "open: say it again now and then", "Prompt"),
            To(
                Cancelled,
                "open for too long, with nothing in it",
                "LeftOpen Report Prompt",
                late=True,
            ),
            To(
                Faulted,
                "open for too long with a pack in it, or the door cannot be read",
                "LeftOpen Report Prompt",
                late=True,
            ),
        ),
    ),
    (AwaitReturn, Cancel): Row(
        swap_back.cancel_return, (To(Cancelling, "the door must shut", "Accepted Prompt"),)
    ),
    (AwaitReturn, Resume): Row(already, (To(AwaitReturn, "it is open already", "Accepted"),)),
    (AwaitReturn, GiveBack): Row(nothing_returned, (), ("nothing-returned",)),
    (AwaitReturn, Trip): Row(
        swap_return.trip_empty, (To(Faulted, "nothing is booked", "Report Prompt"),)
    ),
    (ReturnShut, Sensed): Row(
        swap_return.return_shut,
        (
            To(AwaitReturn, "the door is open again", "Report"),
            To(
                Verifying,
                "a pack is in it after all, or one newcomer stands in another slot",
                "Report Prompt",
            ),
            To(Cancelled, "nothing was put in", "Report Prompt", late=True),
            To(Faulted, "the slot cannot be read", "Report Prompt", late=True),
        ),
    ),
    (ReturnShut, Cancel): Row(
        swap_back.cancel_return, (To(Cancelling, "the door is shut", "Accepted Prompt"),)
    ),
    (ReturnShut, Resume): Row(
        swap_return.resume_shut,
        (To(OpeningReturn, "the same door again", "Accepted Report Pulse Prompt"),),
        _SHUT_IN,
    ),
    (ReturnShut, GiveBack): Row(nothing_returned, (), ("nothing-returned",)),
    (ReturnShut, Trip): Row(
        swap_return.trip_empty, (To(Faulted, "nothing is booked", "Report Prompt"),)
    ),
    (Verifying, Sensed): Row(
        swap_return.verifying,
        (
            To(
                OpeningPickup,
                "one of ours: booked in, the full pack's door ordered open",
                "BatteryIn FlagSlot Report Pulse Prompt",
            ),
            To(
                Completed,
                "one of ours: booked in, and nothing is to go out",
                "BatteryIn Report Prompt",
            ),
            To(
                OpeningBack,
                "not ours, or silent even after it was plugged in again",
                "Report Pulse Prompt",
            ),
            To(OpeningReturn, "silent: plug it in again, once", "Report Pulse Prompt", late=True),
            To(AwaitReturn, "the door is open again", "Report"),
            To(ReturnShut, "nothing is in it after all"),
            To(
                Faulted,
                "it may not be given back, the door cannot be read, or nothing is full",
                "BatteryIn FlagSlot Report Prompt",
            ),
        ),
    ),
    (Verifying, Cancel): Row(
        swap_back.cancel_verifying,
        (To(OpeningBack, "not booked yet: given back", "Accepted Report Pulse Prompt"),),
        _SHUT_IN,
    ),
    (Verifying, Resume): Row(already, (To(Verifying, "there is nothing to open", "Accepted"),)),
    (Verifying, GiveBack): Row(
        swap_back.own_verifying,
        (To(OpeningBack, "not booked yet: given back", "Accepted Report Pulse Prompt"),),
        _SHUT_IN,
    ),
    (Verifying, Trip): Row(
        swap_return.trip_verifying,
        (
            To(
                Faulted,
                "booked in if it has told who it is; it stays behind its door",
                "BatteryIn FlagSlot Report Prompt",
            ),
        ),
    ),
    # --- a pack goes back
    (OpeningBack, Sensed): Row(
        swap_back.opening_back,
        (
            To(AwaitBack, "the door is open"),
            To(OpeningBack, "still shut: a new attempt", "Pulse"),
            To(Rejected, "a refused pack was taken out unseen", "Report Prompt"),
            To(Cancelled, "the own pack was taken out unseen", "BatteryOut Report Prompt"),
            To(
                Faulted,
                "the door does not open, cannot be read, or the other one is not shut",
                "FlagSlot LeftOpen Report Prompt",
            ),
        ),
    ),
    (OpeningBack, Resume): Row(resume_opening, (To(OpeningBack, ALL_TRIES, "Accepted"),)),
    (OpeningBack, GiveBack): Row(resume_opening, (To(OpeningBack, ALL_TRIES, "Accepted"),)),
    (OpeningBack, Trip): Row(swap_back.trip_back, _BACK_TRIPPED),
    (AwaitBack, Sensed): Row(
        swap_back.await_back,
        (
            To(Rejected, "a refused pack is out", "LeftOpen Report Prompt"),
            To(
                Cancelled,
                "the own pack is out: booked out if it was booked in",
                "BatteryOut LeftOpen Report Prompt",
            ),
            To(AwaitBack, "still in: say it again now and then", "Prompt"),
            To(Faulted, "not taken for too long", "LeftOpen Report Prompt", late=True),
        ),
    ),
    (AwaitBack, Resume): Row(
        swap_back.resume_back,
        _BACK_AGAIN,
        _SHUT_IN,
    ),
    (AwaitBack, GiveBack): Row(
        swap_back.resume_back,
        _BACK_AGAIN,
        _SHUT_IN,
    ),
    (AwaitBack, Trip): Row(
        swap_back.trip_back,
        _BACK_TRIPPED,
    ),
    # --- a pack goes out
    (OpeningPickup, Sensed): Row(
        swap_pickup.opening_pickup,
        (
            To(AwaitPickup, "the door is open", "Report"),
            To(
                OpeningPickup,
                "still shut: a new attempt, then the next full pack",
                "FlagSlot Report Pulse Prompt",
            ),
            To(Completed, "opened, emptied and shut unseen", "BatteryOut Report Prompt"),
            To(
                Faulted,
                "no full pack is left, or a door cannot be read or is not shut",
                "FlagSlot LeftOpen Report Prompt",
            ),
        ),
    ),
    (OpeningPickup, Cancel): Row(
        swap_pickup.cancel_pickup,
        (To(Cancelling, "only where nothing was given in", "Accepted Prompt"),),
        ("too-late",),
    ),
    (OpeningPickup, Resume): Row(resume_opening, (To(OpeningPickup, ALL_TRIES, "Accepted"),)),
    (OpeningPickup, GiveBack): Row(
        swap_back.own_pickup,
        (To(Cancelling, "first the full pack's door must be seen shut", "Accepted Prompt"),),
        _NOT_OWN,
    ),
    (OpeningPickup, Trip): Row(
        swap_pickup.trip_pickup,
        _OUT_TRIPPED,
    ),
    (AwaitPickup, Sensed): Row(
        swap_pickup.await_pickup,
        (
            To(
                AwaitClose, "the pack is out, the door open: booked out", "BatteryOut Report Prompt"
            ),
            To(Completed, "the pack is out, the door shut: booked out", "BatteryOut Report Prompt"),
            To(
                PickupHeld,
                "shut on the full pack: locked again, kept for its rider",
                "Report Prompt",
            ),
            To(AwaitPickup, "still in: say it again now and then", "Prompt"),
            To(Faulted, "unloaded, and nobody knows what it was", "LeftOpen Report Prompt"),
            To(
                Faulted,
                "not taken for too long, or the door cannot be read",
                "LeftOpen Report Prompt",
                late=True,
            ),
        ),
    ),
    (AwaitPickup, Cancel): Row(
        swap_pickup.cancel_pickup,
        (To(Cancelling, "only where nothing was given in", "Accepted Prompt"),),
        ("too-late",),
    ),
    (AwaitPickup, Resume): Row(already, (To(AwaitPickup, "it is open already", "Accepted"),)),
    (AwaitPickup, GiveBack): Row(
        swap_back.own_pickup,
        (To(Cancelling, "first the full pack's door must be seen shut", "Accepted Prompt"),),
        _NOT_OWN,
    ),
    (AwaitPickup, Trip): Row(
        swap_pickup.trip_pickup,
        _OUT_TRIPPED,
    ),
    (PickupHeld, Sensed): Row(
        swap_pickup.pickup_held,
        (
            To(AwaitPickup, "the door is open again", "Report"),
            To(Completed, "gone after all: booked out", "BatteryOut Report Prompt"),
            To(Faulted, "gone after all, and nobody knows what it was", "Report Prompt"),
            To(
                Faulted,
                "kept for too long; the rider's next scan opens it again",
                "Report Prompt",
                late=True,
            ),
        ),
    ),
    (PickupHeld, Cancel): Row(
        swap_pickup.cancel_held,
        (To(Cancelled, "only where nothing was given in", "Accepted Report Prompt"),),
        ("too-late",),
    ),
    (PickupHeld, Resume): Row(
        swap_pickup.resume_held,
        (
            To(OpeningPickup, "the same door again", "Accepted Report Pulse Prompt"),
            To(Faulted, "neither this pack nor another can be had", "Accepted Report Prompt"),
        ),
        _SHUT_IN,
    ),
    (PickupHeld, GiveBack): Row(
        swap_back.own_held,
        (
            To(
                OpeningBack,
                "the full pack is shut in: the own one's door is ordered open",
                "Accepted Report Pulse Prompt",
            ),
        ),
        _NOT_OWN,
    ),
    (PickupHeld, Trip): Row(
        swap_pickup.trip_pickup,
        _OUT_TRIPPED,
    ),
    (AwaitClose, Sensed): Row(
        swap_pickup.await_close,
        (
            To(Completed, "shut, or left open for too long: an alarm", "LeftOpen Report Prompt"),
            To(AwaitClose, "open: say it again now and then", "Prompt"),
        ),
    ),
    (AwaitClose, Resume): Row(already, (To(AwaitClose, "there is nothing to open", "Accepted"),)),
    (AwaitClose, GiveBack): Row(too_late, (), ("too-late",)),
    (AwaitClose, Trip): Row(
        swap_pickup.trip_close, (To(Completed, "both packs are booked", "LeftOpen Report Prompt"),)
    ),
    # --- undone
    (Cancelling, Sensed): Row(
        swap_back.cancelling,
        (
            To(
                Cancelled,
                "shut, and nothing has changed hands",
                "LeftOpen Report Prompt",
                late=True,
            ),
            To(
                OpeningBack,
                "shut on a pack that is the rider's: it is given back",
                "Report Pulse Prompt",
                late=True,
            ),
            To(
                Completed,
                "the full pack was taken all the same: booked out",
                "BatteryOut LeftOpen Report Prompt",
                late=True,
            ),
            To(
                Faulted,
                "a pack stands behind an open or locked door",
                "LeftOpen Report Prompt",
                late=True,
            ),
        ),
    ),
    (Cancelling, Cancel): Row(already, (To(Cancelling, "it is under way", "Accepted"),)),
    (Cancelling, GiveBack): Row(already, (To(Cancelling, "it is under way", "Accepted"),)),
    (Cancelling, Trip): Row(
        swap_back.trip_cancelling,
        (
            To(Cancelled, "nothing has changed hands", "Report Prompt"),
            To(Completed, "the full pack is out already", "BatteryOut LeftOpen Report Prompt"),
            To(Faulted, "a pack may stand in the slot", "LeftOpen Report Prompt"),
        ),
    ),
}


def _at_once(row: Row) -> tuple[To, ...]:
    return tuple(outcome for outcome in row.to if not outcome.late)


def _table() -> dict[tuple[type, type], Row]:
    """Every state with every event: what is not a row is out of place."""
    table: dict[tuple[type, type], Row] = {}
    for state in STATES:
        for event in EVENTS:
            if event is Recovered:
                table[state, event] = Row(_recovered, _at_once(_ROWS[state, Sensed]))
            else:
                default = Row(out_of_place, (), ("out-of-place",))
                table[state, event] = _ROWS.get((state, event), default)
    return table


#: All pairs of state and event.
TABLE: Final[dict[tuple[type, type], Row]] = _table()
