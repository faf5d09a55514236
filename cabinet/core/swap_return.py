"""The half of the swap table that takes a pack in."""

from __future__ import annotations

from typing import Final, assert_never

from msgspec.structs import replace

from cabinet.core import swap_pickup
from cabinet.core.model import told_soc
from cabinet.core.swap_back import give_back
from cabinet.core.swap_model import (
    Accepted,
    Action,
    Alarm,
    AwaitReturn,
    BatteryIn,
    FlagSlot,
    Job,
    OpeningReturn,
    Pack,
    Prompt,
    Resume,
    ReturnShut,
    Sensed,
    Trip,
    Trust,
    Turn,
    Verifying,
    seated,
)
from cabinet.core.swap_tools import (
    Context,
    cancelled,
    complete,
    fault,
    first_try,
    give_up_slot,
    left_open,
    next_try,
    refuse,
    remind,
    report,
    stay,
    verdict_on,
)
from protocols.messages import Door, Kind, Presence, Step

#: What safety says of a pack of another voltage or make.
WRONG_PACK: Final = "wrong-pack"


def open_return(
    job: Job, slot: int, ctx: Context, *before: Action, reason: str | None = None
) -> Turn:
    """Order the return door open."""
    job = replace(job, slot_in=slot)
    job, door, pulse = first_try(job, slot, ctx)
    job, told = report(job, Step.OPENING_RETURN, reason)
    prompt = Prompt(slot, "open", "reseat-battery" if reason == "reseat" else "insert-battery")
    return Turn(OpeningReturn(job=job, door=door), (*before, told, pulse, prompt))


def await_open(job: Job, ctx: Context, *before: Action) -> Turn:
    """The return door stands open: the rider's turn."""
    job, told = report(job, Step.AWAIT_RETURN)
    return Turn(AwaitReturn(job=job, since_ms=ctx.now_ms), (*before, told))


def verify(job: Job, closed_ms: int, ctx: Context, *before: Action, detail: str = "") -> Turn:
    """The return door is shut on a pack: ask who it is, of readings since ``closed_ms``."""
    job, told = report(job, Step.VERIFYING, detail=detail)
    state = Verifying(job=job, since_ms=ctx.now_ms, closed_ms=closed_ms)
    return Turn(state, (*before, told, Prompt(job.slot_in or 0, "wait", "checking-battery")))


# --- opening the return door --------------------------------------------------------------------


def opening_return(state: OpeningReturn, _event: Sensed, ctx: Context) -> Turn:
    """Wait for the door; pulse again, or try another slot."""
    job, door = state.job, state.door
    slot = ctx.view.slot(door.slot)
    if slot.door is Door.OPEN:
        return await_open(job, ctx)
    occupied = slot.door is Door.CLOSED and slot.presence is Presence.PRESENT
    if occupied and not job.reseats:
        # Shut, with a pack in it: either its opening was missed, or it never was empty.
        if door.pulse == "maybe":
            return verify(job, slot.door_at_ms, ctx)
        if door.pulse == "refused":
            alarm = Alarm(door.slot, "slot-occupied")
            return _other_return(job, door.slot, "occupied", ctx, alarm)
    if job.reseats and door.pulse == "maybe" and slot.door is Door.CLOSED and ctx.vacant(slot):
        return Turn(ReturnShut(job=job, since_ms=ctx.now_ms), ())  # taken out unseen
    match verdict_on(door, ctx):
        case "wait":
            return stay(state)
        case "again":
            job, door, pulse = next_try(job, door, ctx)
            return Turn(replace(state, job=job, door=door), (pulse,))
        case "door-unknown":
            job, flags = give_up_slot(job, door.slot, "door-unknown")
            return fault(job, "door-unknown", *flags)
        case ("door-stuck" | "slot-locked") as why:
            return _other_return(job, door.slot, why, ctx)
        case never:
            assert_never(never)


def _other_return(job: Job, slot: int, why: str, ctx: Context, *before: Action) -> Turn:
    job, flags = give_up_slot(job, slot, why)
    flags = (*before, *flags)
    others = [number for number in ctx.view.empty if number not in job.tried]
    if job.reseats or not others or ctx.view.doors_locked:
        return fault(job, why, *flags)  # with a pack behind the door, another slot is no help
    return open_return(job, others[0], ctx, *flags, reason=why)


# --- the return door is open --------------------------------------------------------------------


def await_return(state: AwaitReturn, _event: Sensed, ctx: Context) -> Turn:
    """Wait for the pack and the shut door."""
    job, number = state.job, state.job.slot_in or 0
    slot = ctx.view.slot(number)
    if slot.door is Door.CLOSED:
        if seated(slot, slot.door_at_ms):
            return verify(job, slot.door_at_ms, ctx)
        return Turn(
            ReturnShut(job=job, since_ms=ctx.now_ms), (Prompt(number, "wait", "no-battery"),)
        )
    if ctx.now_ms - state.since_ms >= ctx.limits.return_ms:
        if slot.door is Door.UNKNOWN:
            return fault(job, "door-unknown")
        if ctx.vacant(slot):
            return cancelled(job, "return-timeout", *left_open(number, ctx))
        return fault(job, "door-left-open", *left_open(number, ctx))
    full = slot.presence is Presence.PRESENT or bool(set(ctx.view.newcomers) - set(job.tried))
    prompt = "close-door" if full else "insert-battery"
    reminders, said = remind(state.reminders, state.since_ms, ctx, number, prompt)
    return Turn(replace(state, reminders=reminders), said)


def return_shut(state: ReturnShut, _event: Sensed, ctx: Context) -> Turn:
    """Shut and empty: the pack may be in another slot, or the rider thinks again."""
    job, number = state.job, state.job.slot_in or 0
    slot = ctx.view.slot(number)
    if slot.door is Door.OPEN:
        return await_open(job, ctx)
    if slot.door is Door.CLOSED and seated(slot, state.since_ms):
        return verify(job, max(state.since_ms, slot.door_at_ms), ctx)
    strays = [n for n in ctx.view.newcomers if n != number and n not in job.tried]
    if slot.door is Door.CLOSED and ctx.vacant(slot) and len(strays) == 1:
        detail = f"wrong-slot {number}->{strays[0]}"
        moved = replace(job, slot_in=strays[0])
        off = Prompt(number, "off", "")
        return verify(moved, ctx.now_ms, ctx, off, detail=detail)
    waited_ms = ctx.now_ms - state.since_ms
    if waited_ms >= ctx.limits.shut_empty_ms and slot.door is Door.CLOSED and ctx.vacant(slot):
        return cancelled(job, "nothing-inserted")
    if waited_ms >= ctx.limits.return_ms:
        return fault(job, "slot-unknown")
    return stay(state)


# --- who is it? ---------------------------------------------------------------------------------


def verifying(state: Verifying, _event: Sensed, ctx: Context) -> Turn:
    """Decide as soon as a reading from after the closing names the pack."""
    job, number = state.job, state.job.slot_in or 0
    slot = ctx.view.slot(number)
    if slot.door is Door.OPEN:
        return await_open(job, ctx)
    late = ctx.now_ms - state.since_ms >= ctx.limits.verify_ms
    if slot.door is Door.UNKNOWN:
        return _blind(state, ctx)
    if slot.pack is not None and slot.pack.at_ms >= state.closed_ms:
        return _judge(job, number, slot.pack, ctx)
    if ctx.vacant(slot):
        return Turn(ReturnShut(job=job, since_ms=ctx.now_ms), ())
    if not late:
        return stay(state)
    if ctx.barred(slot):
        return fault(job, "no-bms", detail="slot locked")
    if job.reseats == 0:
        return open_return(replace(job, reseats=1), number, ctx, reason="reseat")
    return give_back(job, "no-bms", ctx)


def _blind(state: Verifying, ctx: Context) -> Turn:
    waited_ms = ctx.now_ms - state.since_ms
    if waited_ms < ctx.limits.verify_ms + ctx.limits.door_unknown_ms:
        return stay(state)
    return fault(state.job, "door-unknown")


def _refusal(job: Job, pack: Pack) -> str | None:
    """Why this pack goes back to its rider, None when it is taken."""
    if pack.unwell == WRONG_PACK:
        return WRONG_PACK
    match pack.trust:
        case Trust.DENIED:
            return "denied-pack"
        case Trust.DUPLICATE:
            return "duplicate-serial"
        case Trust.FOREIGN:
            # A technician may bring packs that the list does not have yet; they are not charged.
            return None if job.kind is Kind.LOAD else "foreign-pack"
        case Trust.KNOWN:
            return None


def _judge(job: Job, number: int, pack: Pack, ctx: Context) -> Turn:
    refusal = _refusal(job, pack)
    slot = ctx.view.slot(number)
    if refusal is not None:
        if ctx.barred(slot):
            return fault(job, refusal, detail=f"{pack.serial} behind a locked door")
        return give_back(job, refusal, ctx, detail=pack.serial)
    job, booked, detail = _book_in(job, number, pack)
    if job.kind is not Kind.SWAP:
        return complete(job, *booked, detail=detail)
    return swap_pickup.open_pickup(job, ctx, *booked, detail=detail)


def _book_in(job: Job, number: int, pack: Pack) -> tuple[Job, tuple[Action, ...], str]:
    job = replace(job, serial_in=pack.serial, slot_in=number)
    booked: tuple[Action, ...] = (
        BatteryIn(job, number, pack.serial, told_soc(pack.soc_pct), pack.health),
    )
    notes = []
    if job.expected_serial is not None and job.expected_serial != pack.serial:
        notes.append(f"other-pack {pack.serial}")
    if pack.trust is Trust.FOREIGN:
        notes.append("unlisted-pack")
    if pack.unwell is not None:
        booked = (*booked, FlagSlot(number, "quarantine", pack.unwell))
        notes.append(f"quarantine {pack.unwell}")
    return job, booked, " ".join(notes)


# --- resume and trip ----------------------------------------------------------------------------


def resume_shut(state: ReturnShut, _event: Resume, ctx: Context) -> Turn:
    """Open the same return door again."""
    number = state.job.slot_in or 0
    slot = ctx.view.slot(number)
    if ctx.barred(slot) or slot.door is not Door.CLOSED:
        return refuse(state, "slot-locked" if ctx.barred(slot) else "door-not-shut")
    turn = open_return(state.job, number, ctx, reason="resumed")
    return Turn(turn.state, (Accepted(), *turn.actions))


def trip_empty(state: OpeningReturn | AwaitReturn | ReturnShut, event: Trip, _ctx: Context) -> Turn:
    """No door may move any more and nothing is booked."""
    return fault(state.job, event.reason)


def trip_verifying(state: Verifying, event: Trip, ctx: Context) -> Turn:
    """The pack is behind a door that stays shut: book it if it has told who it is."""
    job, number = state.job, state.job.slot_in or 0
    slot = ctx.view.slot(number)
    named = slot.pack if slot.pack and slot.pack.at_ms >= state.closed_ms else None
    if slot.door is Door.CLOSED and named is not None and _refusal(job, named) is None:
        job, booked, detail = _book_in(job, number, named)
        return fault(job, event.reason, *booked, detail=detail)
    return fault(job, event.reason, detail="pack not identified")
