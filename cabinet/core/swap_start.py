"""How a transaction begins: slots are reserved, an earlier one is taken up again, or it is refused.

A rider whose last transaction here ended in a fault is not sent round again. The next scan goes on
where that one stopped, as a new transaction: the same return door, or straight on with the pack that
stands behind it; the same full pack; and no second pack is asked of a rider who has given one.
The engine forgets such claims after some minutes, and at once when another order or a manual opening
touches the slot.
"""

from __future__ import annotations

from msgspec.structs import replace

from cabinet.core import swap_pickup, swap_return
from cabinet.core.swap_model import (
    Accepted,
    Action,
    Claim,
    Idle,
    Job,
    Start,
    State,
    Terminal,
    Turn,
    job_of,
)
from cabinet.core.swap_tools import Context, refuse, report, stay
from protocols.messages import Door, Kind, Presence, Step


def start(state: Idle | Terminal, event: Start, ctx: Context) -> Turn:
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
    claims = tuple(claim for claim in ctx.view.claims if claim.rider_id == job.rider_id)
    owed = _owed(job, claims)
    if owed and event.authority == "fleet" and job.kind is Kind.SWAP:
        return refuse(state, "pickup-owed")  # it will know in a moment, and order a pick-up
    if owed:
        job = replace(job, kind=Kind.PICKUP, owed=True)
    back = _unfinished_return(job, claims, ctx)
    reserved = _reserve(job, event.slot, back, claims, ctx)
    if isinstance(reserved, str):
        return refuse(state, reserved)
    if reserved.slot_in is not None:  # what stands in another slot by now is not the rider's
        reserved = replace(reserved, tried=ctx.view.newcomers)
    job, told = report(reserved, Step.RESERVED, detail=_earlier(claims))
    return _begin(job, back, ctx, Accepted(), told)


def busy(state: State, event: Start, _ctx: Context) -> Turn:
    """The same order again has no effect; another one must wait."""
    return stay(state, Accepted()) if _id_of(state) == event.swap_id else refuse(state, "busy")


def _id_of(state: State) -> str | None:
    job = job_of(state)
    return job.swap_id if job else None


def _begin(job: Job, back: int | None, ctx: Context, *before: Action) -> Turn:
    if job.slot_in is None:
        return swap_pickup.open_pickup(job, ctx, *before)
    if back is None or back in ctx.view.empty:
        return swap_return.open_return(job, job.slot_in, ctx, *before)
    slot = ctx.view.slot(back)
    if slot.door is Door.OPEN:
        return swap_return.await_open(job, ctx, *before)
    return swap_return.verify(job, ctx.now_ms, ctx, *before)


# --- second scan --------------------------------------------------------------------------------


def _owed(job: Job, claims: tuple[Claim, ...]) -> bool:
    """Whether this rider's pack is in here already and no full one was taken for it.

    A fleet that names another pack knows of a newer one: then it is an ordinary swap.
    """
    if job.kind not in {Kind.SWAP, Kind.PICKUP}:
        return False
    given = {claim.serial for claim in claims if claim.role == "in"}
    newer = job.expected_serial is not None and job.expected_serial not in given
    return any(claim.owed for claim in claims) and not newer


def _unfinished_return(job: Job, claims: tuple[Claim, ...], ctx: Context) -> int | None:
    """The slot whose return was under way, while it can be gone on with."""
    if job.kind not in {Kind.SWAP, Kind.RETURN}:
        return None
    for claim in claims:
        slot = ctx.view.slot(claim.slot)
        if claim.role != "in" or claim.serial is not None or ctx.barred(slot):
            continue
        standing = slot.door is Door.CLOSED and slot.presence is Presence.PRESENT
        if standing or slot.door is Door.OPEN or claim.slot in ctx.view.empty:
            return claim.slot
    return None


def _earlier(claims: tuple[Claim, ...]) -> str:
    return f"second scan of {claims[0].swap_id}" if claims else ""


# --- reserving ----------------------------------------------------------------------------------


def _reserve(
    job: Job, slot: int | None, back: int | None, claims: tuple[Claim, ...], ctx: Context
) -> Job | str:
    """The job with its slots, or why there are none."""
    match job.kind:
        case Kind.SWAP | Kind.PICKUP:
            promised = {claim.slot for claim in claims if claim.role == "out"}
            offered = [n for n in ctx.view.offered(job.rider_id) if n != back]
            full = sorted(offered, key=lambda n: n not in promised)
            if not full:
                return "no-full-battery"
            if job.kind is Kind.PICKUP:
                return _with_full(job, full[0], ctx)
            empty = (back, *ctx.view.empty) if back is not None else ctx.view.empty
            if not empty:
                return "no-empty-slot"
            return _with_full(replace(job, slot_in=empty[0]), full[0], ctx)
        case Kind.RETURN:
            return replace(job, slot_in=back) if back is not None else _for_return(job, ctx)
        case Kind.LOAD:
            return _for_load(job, slot, ctx)
        case Kind.UNLOAD:
            return _for_unload(job, slot, ctx)


def _with_full(job: Job, slot: int, ctx: Context) -> Job:
    pack = ctx.view.slot(slot).pack
    return replace(job, slot_out=slot, serial_out=pack.serial if pack else None)


def _for_return(job: Job, ctx: Context) -> Job | str:
    """Without an empty slot nobody could swap any more: the last ones are not for returns."""
    if not ctx.view.empty:
        return "no-empty-slot"
    if len(ctx.view.empty) <= ctx.limits.keep_empty:
        return "last-empty-slot"
    return replace(job, slot_in=ctx.view.empty[0])


def _for_load(job: Job, slot: int | None, ctx: Context) -> Job | str:
    if slot is None:
        return _for_return(job, ctx)
    seen = ctx.view.slot(slot)
    if seen.locked:
        return "slot-locked"
    if seen.door is not Door.CLOSED or not ctx.vacant(seen):
        return "slot-not-empty"
    if len([n for n in ctx.view.empty if n != slot]) < ctx.limits.keep_empty:
        return "last-empty-slot"
    return replace(job, slot_in=slot)


def _for_unload(job: Job, slot: int | None, ctx: Context) -> Job | str:
    if slot is None:
        return "slot-required"
    seen = ctx.view.slot(slot)
    if seen.locked:
        return "slot-locked"
    if seen.door is not Door.CLOSED or ctx.vacant(seen):
        return "slot-not-loaded"
    job = _with_full(job, slot, ctx)
    # A pack that does not talk is the one that was booked into this slot.
    return job if job.serial_out is not None else replace(job, serial_out=seen.booked)
