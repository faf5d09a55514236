"""Runs the swap table inside the engine: its actions become events, flags, effects and journal."""

from __future__ import annotations

from cabinet.core import engine_claims, engine_holds, engine_service, offline, swap
from cabinet.core.engine_draft import Draft
from cabinet.core.engine_inventory import book_in, book_out, latch
from cabinet.core.engine_model import RECENT_SWAPS_MAX, Owner, Standing
from cabinet.core.engine_plan import is_quiet
from cabinet.core.model import Indicate, Unlock
from cabinet.core.swap_back import OWN
from cabinet.core.swap_model import (
    Accepted,
    Action,
    Alarm,
    BatteryIn,
    BatteryOut,
    Cancelled,
    Event,
    Faulted,
    FlagSlot,
    Job,
    LeftOpen,
    OpeningBack,
    OpeningPickup,
    OpeningReturn,
    Prompt,
    Pulse,
    Pulsed,
    Recovered,
    Refused,
    Rejected,
    Report,
    Sensed,
    Start,
    State,
    Trip,
    View,
    is_active,
    job_of,
    reserved_slots,
)
from protocols.messages import BatteryBody, Kind, SlotFlagBody, StepBody


def sensed(draft: Draft, view: View, *, recovered: bool) -> None:
    """The sensors or the time have changed."""
    if recovered:
        feed(draft, Recovered(), view)
    if draft.state.verdict.doors_locked and is_active(draft.durable.swap):
        feed(draft, Trip(_why_locked(draft)), draft.sight().view)
    elif not recovered:
        feed(draft, Sensed(), view)


def start(draft: Draft, order: Start, view: View) -> str | None:
    """Start a transaction; None when it runs or ran, else why it is refused."""
    if order.swap_id in draft.durable.recent_swaps:
        return None
    if engine_service.engaged(draft):
        return "busy"
    refusal = feed(draft, order, view)
    job = job_of(draft.durable.swap)
    if refusal is None and job is not None and job.swap_id == order.swap_id:
        recent = (*draft.durable.recent_swaps, order.swap_id)[-RECENT_SWAPS_MAX:]
        draft.keep(recent_swaps=recent)
        engine_claims.served(draft, job.rider_id)
        if job.slot_out is not None:
            engine_holds.used(draft, job.rider_id)
    return refusal


def feed(draft: Draft, event: Event, view: View) -> str | None:
    """One step of the table; why the event was refused, or None."""
    before = draft.durable.swap
    turn = swap.step(before, event, view, draft.now_ms, draft.config.swap)
    if turn.state != before:
        draft.keep(swap=turn.state)
        if type(turn.state) is not type(before):
            _journal(draft, event)
    refusal = None
    for action in turn.actions:
        if isinstance(action, Refused):
            refusal = action.reason
        elif not isinstance(action, Accepted):
            _act(draft, action)
    if is_active(turn.state):
        _occupy(draft, turn.state)
    if isinstance(turn.state, Faulted) and is_active(before):
        _remember_owner(draft, turn.state.job)
        engine_claims.leave(draft, turn.state.job)
    if isinstance(turn.state, Cancelled) and is_active(before) and turn.state.reason != OWN:
        _remember_owner(draft, turn.state.job)  # a hand may be in the slot yet
    _remember_given_up(draft, before, turn.state)
    if is_active(before) and not is_active(turn.state):
        _settle_offline(draft)
    return refusal


def _settle_offline(draft: Draft) -> None:
    """What a rider began at the cabinet counts for his day unless nothing changed hands."""
    state, memory = draft.durable.swap, draft.durable.offline
    job = job_of(state)
    if job is None or memory.running is None:
        return
    booked = job.serial_in is not None or job.out_booked
    moved = booked and not isinstance(state, Cancelled | Rejected)
    draft.keep(offline=offline.ended(memory, job.swap_id, moved=moved))


def _occupy(draft: Draft, state: State) -> None:
    """Its slots belong to the transaction under way and to no earlier one.

    But what is unloaded may not be what is booked there: until it has told, the rider before may have
    that one.
    """
    slots, job = reserved_slots(state), job_of(state)
    mine = slots
    if job is not None and job.kind is Kind.UNLOAD and not job.out_booked:
        mine = frozenset()
    owners = draft.durable.owners
    if owners.keys() & mine:
        draft.keep(owners={s: owner for s, owner in owners.items() if s not in mine})
    engine_claims.touched(draft, slots)


def _journal(draft: Draft, event: Event) -> None:
    state = draft.durable.swap
    job = job_of(state)
    draft.journal(
        "swap",
        event=type(event).__name__,
        state=type(state).__name__,
        swap_id=job.swap_id if job else None,
    )


def _act(draft: Draft, action: Action) -> None:
    match action:
        case Pulse(slot, attempt):
            _pulse(draft, slot, attempt)
        case Report():
            _report(draft, action)
        case BatteryIn(job, slot, serial, soc_pct, health):
            body = BatteryBody(
                serial=serial,
                slot=slot,
                swap_id=job.swap_id,
                rider_id=job.rider_id,
                soc_pct=soc_pct,
                cause="technician" if job.kind is Kind.LOAD else "swap",
                capacity_ah=health.capacity_ah if health else None,
                cycles=health.cycles if health else None,
            )
            book_in(draft, body)
        case BatteryOut(job, slot, serial, soc_out, health):
            body = BatteryBody(
                serial=serial,
                slot=slot,
                swap_id=job.swap_id,
                rider_id=job.rider_id,
                soc_pct=soc_out,
                cause="technician" if job.kind is Kind.UNLOAD else "swap",
                capacity_ah=health.capacity_ah if health else None,
                cycles=health.cycles if health else None,
            )
            book_out(draft, body)
        case FlagSlot(slot, flag, reason):
            raise_flag(draft, slot, flag, reason)
        case LeftOpen(slot):
            if slot not in draft.durable.left_open:
                draft.keep(left_open=(*draft.durable.left_open, slot))
        case Alarm(slot, code):
            latch(draft, code, slot)
        case Prompt(slot, light, prompt):
            aloud = "" if is_quiet(draft.config, draft.now) else prompt
            draft.effect(Indicate(slot, light, aloud))
        case Accepted() | Refused():
            raise AssertionError("answered by the caller")


def _report(draft: Draft, told: Report) -> None:
    job = told.job
    draft.event(
        "swap.step",
        StepBody(
            swap_id=job.swap_id,
            kind=job.kind,
            step=told.step,
            rider_id=job.rider_id,
            slot_in=job.slot_in,
            slot_out=job.slot_out,
            reason=told.reason,
            detail=told.detail[:500],
            authority=job.authority,
        ),
    )


def _pulse(draft: Draft, slot: int, attempt: str) -> None:
    """The last guard before a door: the table has asked safety too."""
    verdict = draft.state.verdict
    if verdict.doors_locked or slot in verdict.locked_slots:
        draft.journal("unlock-withheld", slot=slot, attempt=attempt)
        state = draft.durable.swap
        if isinstance(state, OpeningReturn | OpeningBack | OpeningPickup):
            view = draft.sight().view
            feed(draft, Pulsed(attempt, fired=False), view)
        return
    draft.journal("unlock", slot=slot, attempt=attempt)
    draft.effect(Unlock(slot, attempt))


def raise_flag(draft: Draft, slot: int, flag: str, reason: str) -> None:
    """Flag a slot and tell the fleet, once."""
    durable = draft.durable
    flags = durable.quarantine if flag == "quarantine" else durable.out_of_service
    if slot in flags:
        return
    flags = {**flags, slot: reason}
    if flag == "quarantine":
        draft.keep(quarantine=flags)
    else:
        draft.keep(out_of_service=flags)
    if reason == "door-stuck":
        standing = Standing("door-stuck", slot, "warning")
        draft.keep(latched=(*draft.durable.latched, standing))
    draft.event("slot.flag", SlotFlagBody(slot=slot, flag=flag, active=True, detail=reason))


def lower_flag(draft: Draft, slot: int, flag: str) -> bool:
    """Take a flag back and tell the fleet; False when it was not set."""
    durable = draft.durable
    flags = durable.quarantine if flag == "quarantine" else durable.out_of_service
    if slot not in flags:
        return False
    kept = {other: reason for other, reason in flags.items() if other != slot}
    draft.keep(**{"quarantine" if flag == "quarantine" else "out_of_service": kept})
    latched = tuple(s for s in durable.latched if (s.code, s.slot) != ("door-stuck", slot))
    if flag == "out-of-service" and latched != durable.latched:
        draft.keep(latched=latched)
    draft.event("slot.flag", SlotFlagBody(slot=slot, flag=flag, active=False))
    return True


def _remember_given_up(draft: Draft, before: State, after: State) -> None:
    """A pack whose door was ordered open, and then another's: its rider may have it all the same."""
    old, new = job_of(before), job_of(after)
    if old is None or new is None or old.swap_id != new.swap_id or old.out_booked:
        return
    if old.slot_out is not None and new.slot_out != old.slot_out and old.attempts:
        owner = Owner(old.swap_id, old.rider_id)
        draft.keep(owners={**draft.durable.owners, old.slot_out: owner})


def _remember_owner(draft: Draft, job: Job) -> None:
    """What turns up or goes missing in these slots soon is this rider's."""
    owner = Owner(job.swap_id, job.rider_id)
    owners = dict(draft.durable.owners)
    if job.slot_in is not None and job.serial_in is None:
        owners[job.slot_in] = owner
    if job.slot_out is not None and not job.out_booked:
        owners[job.slot_out] = owner
    draft.keep(owners=owners)


def _why_locked(draft: Draft) -> str:
    codes = sorted(
        alarm.code
        for alarm in draft.state.verdict.alarms
        if alarm.severity == "critical" or alarm.code == "service-door"
    )
    for code in ("smoke", "over-temperature", "service-door"):
        if code in codes:
            return code
    return "doors-locked"


def resume_id(draft: Draft) -> str | None:
    """The transaction that is taken up again at start."""
    job = job_of(draft.durable.swap)
    return job.swap_id if job is not None and is_active(draft.durable.swap) else None
