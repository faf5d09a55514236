"""The part of the swap table that undoes: a pack goes back to its rider, a transaction is cancelled.

A refused pack was never booked, so giving it back books nothing. A rider who wants the own pack
after it was booked in gets it booked out again, under the same transaction, once it is seen gone;
the pickup door is seen shut on the full pack before the other door opens.
"""

from __future__ import annotations

from typing import Final, assert_never

from msgspec.structs import replace

from cabinet.core import swap_pickup
from cabinet.core.swap_model import (
    Accepted,
    Action,
    AwaitBack,
    AwaitPickup,
    AwaitReturn,
    BatteryOut,
    Cancel,
    Cancelling,
    GiveBack,
    Job,
    OpeningBack,
    OpeningPickup,
    OpeningReturn,
    PickupHeld,
    Prompt,
    Rejected,
    Resume,
    ReturnShut,
    Sensed,
    SlotView,
    Trip,
    Turn,
    Verifying,
)
from cabinet.core.swap_tools import (
    Context,
    book_out,
    cancelled,
    complete,
    fault,
    first_try,
    give_up_slot,
    gone,
    left_open,
    lights_off,
    next_try,
    refuse,
    remind,
    report,
    stay,
    verdict_on,
)
from protocols.messages import Door, Presence, Step

#: Why a rider gets the own pack back that nobody refused.
OWN: Final = "own-battery"
CANCELLED: Final = "cancelled"


def give_back(job: Job, reason: str, ctx: Context, *before: Action, detail: str = "") -> Turn:
    """Order the return door open so that the rider takes the pack out again.

    The caller has seen it shut, not locked, and the pickup door shut.
    """
    slot = job.slot_in or 0
    job, door, pulse = first_try(job, slot, ctx)
    job, told = report(job, Step.GIVING_BACK, reason, detail)
    prompt = Prompt(slot, "open", "take-battery-back")
    return Turn(OpeningBack(job=job, door=door, reason=reason), (*before, told, pulse, prompt))


def _returned(job: Job, reason: str, *before: Action) -> Turn:
    """The pack is back with its rider; one that was booked in is booked out."""
    if job.serial_in is not None and not job.back_booked:
        job = replace(job, back_booked=True)
        before = (BatteryOut(job, job.slot_in or 0, job.serial_in or ""), *before)
    if reason in {CANCELLED, OWN}:
        return cancelled(job, "rider" if reason == CANCELLED else OWN, *before)
    job, told = report(job, Step.REJECTED, reason)
    return Turn(Rejected(job=job, reason=reason), (*before, told, *lights_off(job, "off", reason)))


def _emptied(slot: SlotView, job: Job, ctx: Context) -> bool:
    """Whether the pack that is given back has left its slot."""
    if ctx.vacant(slot):
        return True
    named = slot.pack is not None and job.serial_in is not None
    return named and slot.pack is not None and slot.pack.serial != job.serial_in


# --- giving back --------------------------------------------------------------------------------


def opening_back(state: OpeningBack, _event: Sensed, ctx: Context) -> Turn:
    """Wait for the door of the pack that is given back."""
    job, door = state.job, state.door
    slot = ctx.view.slot(door.slot)
    if slot.door is Door.OPEN:
        return Turn(AwaitBack(job=job, since_ms=ctx.now_ms, reason=state.reason), ())
    if slot.door is Door.CLOSED and door.pulse == "maybe" and _emptied(slot, job, ctx):
        return _returned(job, state.reason)
    what = verdict_on(door, ctx)
    if what == "again" and job.serial_in is not None and not ctx.shut(job.slot_out):
        return _blocked(state, ctx)
    match what:
        case "wait":
            return stay(state)
        case "again":
            job, door, pulse = next_try(job, door, ctx)
            return Turn(replace(state, job=job, door=door), (pulse,))
        case ("door-stuck" | "door-unknown" | "slot-locked") as why:
            job, flags = give_up_slot(job, door.slot, why)
            return fault(job, why, *flags, detail=f"not given back: {state.reason}")
        case never:
            assert_never(never)


def _blocked(state: OpeningBack, ctx: Context) -> Turn:
    """The pickup door is not shut any more: never two rider doors open for one swap."""
    if ctx.now_ms - state.door.since_ms < ctx.limits.close_ms:
        return stay(state)
    number = state.job.slot_out or 0
    return fault(state.job, "door-left-open", *left_open(number, ctx))


def await_back(state: AwaitBack, _event: Sensed, ctx: Context) -> Turn:
    """Wait until the pack is out and the door shut."""
    job, number = state.job, state.job.slot_in or 0
    slot = ctx.view.slot(number)
    out = _emptied(slot, job, ctx)
    if slot.door is Door.CLOSED and out:
        return _returned(job, state.reason)
    if ctx.now_ms - state.since_ms >= ctx.limits.back_ms:
        if out:
            return _returned(job, state.reason, *left_open(number, ctx))
        detail = f"not taken back: {state.reason}"
        return fault(job, "not-taken-back", *left_open(number, ctx), detail=detail)
    reminders, said = remind(state.reminders, state.since_ms, ctx, number, "take-battery-back")
    return Turn(replace(state, reminders=reminders), said)


def resume_back(state: AwaitBack, _event: Resume | GiveBack, ctx: Context) -> Turn:
    """Open the door again, when it was shut on the pack."""
    slot = ctx.view.slot(state.job.slot_in or 0)
    if slot.door is Door.OPEN:
        return Turn(state, (Accepted(),))
    if ctx.barred(slot) or slot.door is Door.UNKNOWN:
        return refuse(state, "slot-locked" if ctx.barred(slot) else "door-not-shut")
    if state.job.serial_in is not None and not ctx.shut(state.job.slot_out):
        return refuse(state, "door-not-shut")
    return give_back(state.job, state.reason, ctx, Accepted())


def trip_back(state: OpeningBack | AwaitBack, event: Trip, ctx: Context) -> Turn:
    """The pack is out already, or stays in."""
    number = state.job.slot_in or 0
    if _emptied(ctx.view.slot(number), state.job, ctx):
        return _returned(state.job, state.reason, *left_open(number, ctx))
    return fault(state.job, event.reason, detail=f"not given back: {state.reason}")


# --- the own battery back -----------------------------------------------------------------------


def own_verifying(state: Verifying, _event: GiveBack, ctx: Context) -> Turn:
    """It is not booked yet: give it back as it is."""
    return _back_unbooked(state, OWN, ctx)


def own_pickup(state: OpeningPickup | AwaitPickup, _event: GiveBack, ctx: Context) -> Turn:
    """First the pickup door must be seen shut on the full pack."""
    why = _why_not_own(state.job, ctx)
    if why is not None:
        return refuse(state, why)
    settle_ms = ctx.now_ms + (ctx.limits.settle_ms if isinstance(state, OpeningPickup) else 0)
    slot = state.job.slot_out or 0
    after = Cancelling(
        job=state.job, slot=slot, since_ms=ctx.now_ms, settle_ms=settle_ms, reason=OWN
    )
    return Turn(after, (Accepted(), Prompt(slot, "open", "close-door")))


def own_held(state: PickupHeld, _event: GiveBack, ctx: Context) -> Turn:
    """The pickup door is shut on the full pack."""
    why = _why_not_own(state.job, ctx)
    if why is None and not ctx.shut(state.job.slot_out):
        why = "door-not-shut"
    if why is not None:
        return refuse(state, why)
    return give_back(state.job, OWN, ctx, Accepted())


def _why_not_own(job: Job, ctx: Context) -> str | None:
    """Why the own pack cannot be given back, None when it can."""
    if job.serial_in is None:
        return "nothing-returned"
    slot = ctx.view.slot(job.slot_in or 0)
    if ctx.barred(slot):
        return "slot-locked"
    if slot.quarantined or (slot.pack is not None and slot.pack.unwell is not None):
        return "quarantined"
    if slot.door is not Door.CLOSED:
        return "door-not-shut"
    return "slot-not-loaded" if _emptied(slot, job, ctx) else None


# --- cancelling ---------------------------------------------------------------------------------


def cancelling(state: Cancelling, _event: Sensed, ctx: Context) -> Turn:
    """See the door shut, then give back what was put in.

    The switch counts only once it was read after the door: a pack put in and the door shut at once
    would else stand in a slot that is told empty, and be taken for the next rider's.
    """
    shut = ctx.view.slot(state.slot).door is Door.CLOSED
    if shut is (state.shut_ms is None):
        state = replace(state, shut_ms=ctx.now_ms if shut else None)
    settled = (
        state.shut_ms is not None
        and ctx.now_ms - state.shut_ms >= ctx.limits.contact_ms
        and ctx.now_ms >= state.settle_ms
    )
    late = ctx.now_ms - state.since_ms >= ctx.limits.cancel_ms
    if state.job.slot_in == state.slot:
        return _cancelling_return(state, ctx, settled=settled, late=late)
    return _cancelling_pickup(state, ctx, settled=settled, late=late)


def _cancelling_return(state: Cancelling, ctx: Context, *, settled: bool, late: bool) -> Turn:
    """Nothing is booked yet."""
    job, slot = state.job, ctx.view.slot(state.slot)
    if settled and ctx.vacant(slot):
        return cancelled(job, state.reason)
    if settled and slot.presence is Presence.PRESENT:
        return fault(job, "slot-locked") if ctx.barred(slot) else give_back(job, CANCELLED, ctx)
    if not late:
        return stay(state)
    if slot.presence is not Presence.ABSENT:
        return fault(job, "door-left-open", *left_open(state.slot, ctx))
    return cancelled(job, state.reason, *left_open(state.slot, ctx))


def _cancelling_pickup(state: Cancelling, ctx: Context, *, settled: bool, late: bool) -> Turn:
    """The full pack may have been taken all the same."""
    job, slot = state.job, ctx.view.slot(state.slot)
    taken = gone(slot, job, ctx)
    if settled and taken:
        job, booked = book_out(job, state.slot)
        return complete(job, *booked, detail="taken before the cancel")
    if settled and slot.presence is Presence.PRESENT:
        if state.reason != OWN:
            return cancelled(job, state.reason)
        why = _why_not_own(job, ctx)
        return give_back(job, OWN, ctx) if why is None else fault(job, why)
    if not late:
        return stay(state)
    if taken:
        job, booked = book_out(job, state.slot)
        return complete(job, *booked, *left_open(state.slot, ctx), reason="door-left-open")
    if state.reason == OWN:  # neither pack is with the rider
        return fault(job, "door-left-open", *left_open(state.slot, ctx))
    return cancelled(job, state.reason, *left_open(state.slot, ctx))


def cancel_return(
    state: OpeningReturn | AwaitReturn | ReturnShut, _event: Cancel, ctx: Context
) -> Turn:
    """Nothing is in yet, as far as is known."""
    settle_ms = ctx.now_ms + (ctx.limits.settle_ms if isinstance(state, OpeningReturn) else 0)
    slot = state.job.slot_in or 0
    after = Cancelling(job=state.job, slot=slot, since_ms=ctx.now_ms, settle_ms=settle_ms)
    return Turn(after, (Accepted(), Prompt(slot, "open", "close-door")))


def cancel_verifying(state: Verifying, _event: Cancel, ctx: Context) -> Turn:
    """The rider wants it undone: the pack is not booked yet."""
    return _back_unbooked(state, CANCELLED, ctx)


def _back_unbooked(state: Verifying, reason: str, ctx: Context) -> Turn:
    slot = ctx.view.slot(state.job.slot_in or 0)
    if ctx.barred(slot):
        return refuse(state, "slot-locked")
    if slot.door is not Door.CLOSED:
        return refuse(state, "door-not-shut")
    return give_back(state.job, reason, ctx, Accepted())


def trip_cancelling(state: Cancelling, event: Trip, ctx: Context) -> Turn:
    """Cancelled if the slot proves that nothing changed hands."""
    job, slot = state.job, ctx.view.slot(state.slot)
    if job.slot_in == state.slot:
        return cancelled(job, state.reason) if ctx.vacant(slot) else fault(job, event.reason)
    return swap_pickup.settle_trip(job, event.reason, ctx)
