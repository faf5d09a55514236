"""One transaction at the cabinet: a table, total over state and event.

``step`` takes a state, an event and what the slots look like now, and returns the next state and
the actions. It never raises for an event out of place: it answers ``Refused`` and changes nothing.
The rows stand in ``TABLE``; the functions behind them in ``swap_return`` (a pack comes in, or is
given back) and ``swap_pickup`` (a pack goes out).

Rules that hold in every row:

- one full and one empty slot are reserved before any door moves;
- a door is pulsed only when it is read shut, its slot is not locked and the safety verdict lets
  rider doors move; each pulse is a new attempt with its own id;
- the pickup door is ordered open only after the return door was seen shut: never two rider doors
  for one swap;
- a pack is booked in once, after its BMS has named it behind a shut door; it is booked out once,
  when the slot is seen empty (or with another pack in it);
- every wait ends: by a sensor, a command, a trip or its deadline;
- steps told to the fleet never go back (``protocols.messages.STEP_RANK``).

Rows read levels, not edges: what the sensors show now together with the state decides. So the same
rows serve after a restart, where ``Recovered`` only starts the deadlines anew and lets an opening
whose door is still shut try again at once, as a new attempt.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from cabinet.core import swap_back, swap_pickup, swap_return
from cabinet.core.swap_model import (
    ACTIVE,
    Accepted,
    AwaitBack,
    AwaitClose,
    AwaitPickup,
    AwaitReturn,
    Cancel,
    Cancelled,
    Cancelling,
    Completed,
    Event,
    Faulted,
    GiveBack,
    Idle,
    Job,
    Opening,
    OpeningBack,
    OpeningPickup,
    OpeningReturn,
    PickupHeld,
    Pulsed,
    Recovered,
    Refused,
    Rejected,
    Resume,
    ReturnShut,
    Sensed,
    Start,
    State,
    SwapLimits,
    Terminal,
    Trip,
    Turn,
    Verifying,
    View,
    job_of,
)
from cabinet.core.swap_tools import Context, Row, refuse, report, stay, with_outcome
from protocols.messages import Door, Kind, Step

DEFAULT_LIMITS: Final = SwapLimits()


def step(
    state: State, event: Event, view: View, now_ms: int, limits: SwapLimits = DEFAULT_LIMITS
) -> Turn:
    """The next state and the actions; an event out of place is refused and changes nothing."""
    ctx = Context(view, now_ms, limits)
    if isinstance(event, Cancel | Resume | GiveBack):
        job = job_of(state)
        if job is None or not isinstance(state, ACTIVE):
            return refuse(state, "no-swap")
        if job.swap_id != event.swap_id:
            return refuse(state, "other-swap")
    if isinstance(event, Recovered):
        return _recovered(state, ctx)
    row = TABLE.get((type(state), type(event)), _out_of_place)
    return row(state, event, ctx)


# --- starting -----------------------------------------------------------------------------------


def _start(state: Idle | Terminal, event: Start, ctx: Context) -> Turn:
    """Reserve what the kind needs, then open the first door."""
    job = Job(
        swap_id=event.swap_id,
        kind=event.kind,
        rider_id=event.rider_id,
        expected_serial=event.expected_serial,
        authority=event.authority,
    )
    if job.swap_id == _id_of(state):
        return stay(state, Accepted())  # done already: the events told how
    if ctx.view.doors_locked:
        return refuse(state, "doors-locked")
    reserved = _reserve(job, event.slot, ctx)
    if isinstance(reserved, str):
        return refuse(state, reserved)
    job, told = report(reserved, Step.RESERVED)
    if job.slot_in is not None:
        return swap_return.open_return(job, job.slot_in, ctx, Accepted(), told)
    return swap_pickup.open_pickup(job, ctx, Accepted(), told)


def _id_of(state: State) -> str | None:
    job = job_of(state)
    return job.swap_id if job else None


def _reserve(job: Job, slot: int | None, ctx: Context) -> Job | str:
    """The job with its slots, or why there are none."""
    full = ctx.view.offered(job.rider_id)
    match job.kind:
        case Kind.SWAP:
            if not full:
                return "no-full-battery"
            if not ctx.view.empty:
                return "no-empty-slot"
            return _with_full(replace(job, slot_in=ctx.view.empty[0]), full[0], ctx)
        case Kind.PICKUP:
            return _with_full(job, full[0], ctx) if full else "no-full-battery"
        case Kind.RETURN:
            empty = ctx.view.empty
            return replace(job, slot_in=empty[0]) if empty else "no-empty-slot"
        case Kind.LOAD:
            return _for_load(job, slot, ctx)
        case Kind.UNLOAD:
            return _for_unload(job, slot, ctx)


def _with_full(job: Job, slot: int, ctx: Context) -> Job:
    pack = ctx.view.slot(slot).pack
    return replace(job, slot_out=slot, serial_out=pack.serial if pack else None)


def _for_load(job: Job, slot: int | None, ctx: Context) -> Job | str:
    if slot is None:
        return replace(job, slot_in=ctx.view.empty[0]) if ctx.view.empty else "no-empty-slot"
    seen = ctx.view.slot(slot)
    if seen.locked:
        return "slot-locked"
    if seen.door is not Door.CLOSED or not ctx.vacant(seen):
        return "slot-not-empty"
    return replace(job, slot_in=slot)


def _for_unload(job: Job, slot: int | None, ctx: Context) -> Job | str:
    if slot is None:
        return "slot-required"
    seen = ctx.view.slot(slot)
    if seen.locked:
        return "slot-locked"
    if seen.door is not Door.CLOSED or ctx.vacant(seen):
        return "slot-not-loaded"
    return _with_full(job, slot, ctx)


def _busy(state: State, event: Start, _ctx: Context) -> Turn:
    """The same order again has no effect; another one must wait."""
    return stay(state, Accepted()) if _id_of(state) == event.swap_id else refuse(state, "busy")


# --- pulses, resumes, restarts ------------------------------------------------------------------


def _pulsed(state: Opening, event: Pulsed, ctx: Context) -> Turn:
    if event.attempt != state.door.attempt:
        return refuse(state, "old-attempt")
    return Turn(replace(state, door=with_outcome(state.door, fired=event.fired, ctx=ctx)))


def _resume_opening(state: Opening, _event: Resume | GiveBack, ctx: Context) -> Turn:
    """Try again at once, with all tries."""
    if state.door.pulse == "pending":
        return stay(state, Accepted())
    door = replace(state.door, due_ms=ctx.now_ms, tries=0)
    return stay(replace(state, door=door), Accepted())


def _nothing_returned(state: State, _event: GiveBack, _ctx: Context) -> Turn:
    """There is no pack of the rider's in the cabinet yet: a cancel is what is wanted."""
    return refuse(state, "nothing-returned")


def _too_late(state: State, _event: GiveBack, _ctx: Context) -> Turn:
    """The full pack is with the rider."""
    return refuse(state, "too-late")


def _already(state: State, _event: Event, _ctx: Context) -> Turn:
    """The command asks for what is so already."""
    return stay(state, Accepted())


def _nothing(state: State, _event: Event, _ctx: Context) -> Turn:
    """Looking changes nothing here."""
    return stay(state)


def _out_of_place(state: State, _event: Event, _ctx: Context) -> Turn:
    return Turn(state, (Refused("out-of-place"),))


def _recovered(state: State, ctx: Context) -> Turn:
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
        case AwaitReturn() | AwaitBack() | AwaitPickup():
            fresh = replace(state, since_ms=ctx.now_ms, reminders=0)
        case Verifying():
            fresh = replace(state, since_ms=ctx.now_ms, closed_ms=ctx.now_ms)
        case Cancelling():
            settle_ms = ctx.now_ms + ctx.limits.settle_ms
            fresh = replace(state, since_ms=ctx.now_ms, settle_ms=settle_ms)
        case ReturnShut() | PickupHeld() | AwaitClose():
            fresh = replace(state, since_ms=ctx.now_ms)
    if ctx.view.doors_locked:
        return stay(fresh)  # the Trip that follows settles it
    return TABLE[type(fresh), Sensed](fresh, Sensed(), ctx)


# --- the table ----------------------------------------------------------------------------------

TABLE: Final[dict[tuple[type, type], Row]] = {
    **{(kind, Start): _start for kind in (Idle, Completed, Rejected, Cancelled, Faulted)},
    **{(kind, Start): _busy for kind in ACTIVE},
    **{(kind, Sensed): _nothing for kind in (Idle, Completed, Rejected, Cancelled, Faulted)},
    **{(kind, Pulsed): _pulsed for kind in (OpeningReturn, OpeningBack, OpeningPickup)},
    (OpeningReturn, Sensed): swap_return.opening_return,
    (OpeningReturn, Cancel): swap_back.cancel_return,
    (OpeningReturn, Resume): _resume_opening,
    (OpeningReturn, GiveBack): _nothing_returned,
    (OpeningReturn, Trip): swap_return.trip_empty,
    (AwaitReturn, Sensed): swap_return.await_return,
    (AwaitReturn, Cancel): swap_back.cancel_return,
    (AwaitReturn, Resume): _already,
    (AwaitReturn, GiveBack): _nothing_returned,
    (AwaitReturn, Trip): swap_return.trip_empty,
    (ReturnShut, Sensed): swap_return.return_shut,
    (ReturnShut, Cancel): swap_back.cancel_return,
    (ReturnShut, Resume): swap_return.resume_shut,
    (ReturnShut, GiveBack): _nothing_returned,
    (ReturnShut, Trip): swap_return.trip_empty,
    (Verifying, Sensed): swap_return.verifying,
    (Verifying, Cancel): swap_back.cancel_verifying,
    (Verifying, Resume): _already,
    (Verifying, GiveBack): swap_back.own_verifying,
    (Verifying, Trip): swap_return.trip_verifying,
    (OpeningBack, Sensed): swap_back.opening_back,
    (OpeningBack, Resume): _resume_opening,
    (OpeningBack, GiveBack): _resume_opening,
    (OpeningBack, Trip): swap_back.trip_back,
    (AwaitBack, Sensed): swap_back.await_back,
    (AwaitBack, Resume): swap_back.resume_back,
    (AwaitBack, GiveBack): swap_back.resume_back,
    (AwaitBack, Trip): swap_back.trip_back,
    (OpeningPickup, Sensed): swap_pickup.opening_pickup,
    (OpeningPickup, Cancel): swap_pickup.cancel_pickup,
    (OpeningPickup, Resume): _resume_opening,
    (OpeningPickup, GiveBack): swap_back.own_pickup,
    (OpeningPickup, Trip): swap_pickup.trip_pickup,
    (AwaitPickup, Sensed): swap_pickup.await_pickup,
    (AwaitPickup, Cancel): swap_pickup.cancel_pickup,
    (AwaitPickup, Resume): _already,
    (AwaitPickup, GiveBack): swap_back.own_pickup,
    (AwaitPickup, Trip): swap_pickup.trip_pickup,
    (PickupHeld, Sensed): swap_pickup.pickup_held,
    (PickupHeld, Cancel): swap_pickup.cancel_held,
    (PickupHeld, Resume): swap_pickup.resume_held,
    (PickupHeld, GiveBack): swap_back.own_held,
    (PickupHeld, Trip): swap_pickup.trip_pickup,
    (AwaitClose, Sensed): swap_pickup.await_close,
    (AwaitClose, Resume): _already,
    (AwaitClose, GiveBack): _too_late,
    (AwaitClose, Trip): swap_pickup.trip_close,
    (Cancelling, Sensed): swap_back.cancelling,
    (Cancelling, Cancel): _already,
    (Cancelling, GiveBack): _already,
    (Cancelling, Trip): swap_back.trip_cancelling,
}
