"""What the rows of the swap table share: reporting, opening doors, ending.

Every ``Pulse`` of a swap is made here, so the rules for pulsing stand in one place: a new attempt
id each time, only on a door read shut, never on a locked slot, never while the safety verdict locks
the doors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from msgspec.structs import replace

from cabinet.core.swap_model import (
    Action,
    BatteryOut,
    Cancelled,
    Completed,
    Faulted,
    FlagSlot,
    Job,
    LeftOpen,
    Prompt,
    Pulse,
    Refused,
    Report,
    SlotView,
    State,
    SwapLimits,
    Try,
    Turn,
    View,
    vacant,
)
from protocols.messages import STEP_RANK, Door, Kind, Step


@dataclass(frozen=True, slots=True)
class Context:
    """What a row may look at besides state and event."""

    view: View
    now_ms: int
    limits: SwapLimits

    def vacant(self, slot: SlotView) -> bool:
        """Whether the slot is surely empty."""
        return vacant(slot, self.now_ms, self.limits.bms_gone_ms)

    def barred(self, slot: SlotView) -> bool:
        """Whether safety forbids to open this slot's door."""
        return slot.locked or self.view.doors_locked

    def shut(self, number: int | None) -> bool:
        """Whether this door is read shut; no slot counts as shut."""
        return number is None or self.view.slot(number).door is Door.CLOSED


def stay(state: State, *actions: Action) -> Turn:
    """No change of state."""
    return Turn(state, actions)


def refuse(state: State, reason: str) -> Turn:
    """Out of place: nothing changes."""
    return Turn(state, (Refused(reason),))


def report(job: Job, step: Step, reason: str | None = None, detail: str = "") -> tuple[Job, Report]:
    """Tell of a step. One that would go back is told as detail of the furthest step instead."""
    if STEP_RANK[step] < STEP_RANK[job.step]:
        detail = f"{step.value} {detail}".rstrip()
        return job, Report(job, job.step, reason, detail)
    job = replace(job, step=step)
    return job, Report(job, step, reason, detail)


# --- opening ------------------------------------------------------------------------------------


def first_try(job: Job, slot: int, ctx: Context) -> tuple[Job, Try, Pulse]:
    """Order a door open for the first time."""
    job = replace(job, attempts=job.attempts + 1)
    attempt = f"{job.swap_id}:{job.attempts}"
    due_ms = ctx.now_ms + ctx.limits.outcome_wait_ms
    door = Try(slot=slot, attempt=attempt, tries=1, since_ms=ctx.now_ms, due_ms=due_ms)
    return job, door, Pulse(slot, attempt)


def next_try(job: Job, door: Try, ctx: Context) -> tuple[Job, Try, Pulse]:
    """Order the same door open again, as a new attempt."""
    job, fresh, pulse = first_try(job, door.slot, ctx)
    return job, replace(fresh, tries=door.tries + 1, since_ms=door.since_ms), pulse


def with_outcome(door: Try, *, fired: bool, ctx: Context) -> Try:
    """The pulse's outcome is known; the door sensor has the last word, until ``due_ms``."""
    wait_ms = ctx.limits.open_wait_ms if fired else ctx.limits.refused_wait_ms
    pulse: Literal["maybe", "refused"] = "maybe" if fired else "refused"
    return replace(door, pulse=pulse, due_ms=ctx.now_ms + wait_ms)


#: Why a slot cannot be opened.
Stuck: TypeAlias = Literal["door-stuck", "door-unknown", "slot-locked"]


def verdict_on(door: Try, ctx: Context) -> Literal["wait", "again"] | Stuck:
    """What to do about a door that is not open yet."""
    slot = ctx.view.slot(door.slot)
    if ctx.now_ms < door.due_ms:
        return "wait"
    if slot.door is not Door.CLOSED:
        late = ctx.now_ms - door.due_ms >= ctx.limits.door_unknown_ms
        return "door-unknown" if late else "wait"
    if ctx.barred(slot):
        return "slot-locked"
    return "door-stuck" if door.tries >= ctx.limits.open_tries else "again"


def give_up_slot(job: Job, slot: int, why: str) -> tuple[Job, tuple[Action, ...]]:
    """Leave this slot; a door that does not obey goes out of service until a technician came."""
    job = replace(job, tried=(*job.tried, slot))
    if why == "door-stuck":
        return job, (FlagSlot(slot, "out-of-service", why), Prompt(slot, "fault", why))
    return job, (Prompt(slot, "off", ""),)


# --- ending -------------------------------------------------------------------------------------


def lights_off(job: Job, light: str, prompt: str) -> tuple[Prompt, ...]:
    """The last light of every slot that the job touched."""
    slots = {slot for slot in (job.slot_in, job.slot_out) if slot is not None}
    return tuple(Prompt(slot, light, prompt) for slot in sorted(slots))


def complete(job: Job, *before: Action, reason: str | None = None, detail: str = "") -> Turn:
    """All booked."""
    job, told = report(job, Step.COMPLETED, reason, detail)
    return Turn(Completed(job=job, reason=reason), (*before, told, *lights_off(job, "off", "done")))


def fault(job: Job, reason: str, *before: Action, detail: str = "") -> Turn:
    """Cannot be finished: what is booked stays, the rest is void."""
    job, told = report(job, Step.FAULTED, reason, detail)
    return Turn(Faulted(job=job, reason=reason), (*before, told, *lights_off(job, "fault", reason)))


def cancelled(job: Job, reason: str, *before: Action) -> Turn:
    """Nothing changed hands."""
    job, told = report(job, Step.CANCELLED, reason)
    lights = lights_off(job, "off", "cancelled")
    return Turn(Cancelled(job=job, reason=reason), (*before, told, *lights))


# --- booking the pack out -----------------------------------------------------------------------


def gone(slot: SlotView, job: Job, ctx: Context) -> bool:
    """Whether the reserved pack has left: the slot is empty, or another pack stands in it."""
    if ctx.vacant(slot):
        return True
    other = slot.pack is not None and job.serial_out is not None
    return other and slot.pack is not None and slot.pack.serial != job.serial_out


def book_out(job: Job, slot: int) -> tuple[Job, tuple[Action, ...]]:
    """Book the reserved pack out, once; an unload of a dumb pack books nothing."""
    if job.out_booked or job.serial_out is None:
        return job, ()
    job = replace(job, out_booked=True)
    return job, (BatteryOut(job, slot, job.serial_out or "", job.soc_out, job.health_out),)


def left_open(slot: int, ctx: Context) -> tuple[Action, ...]:
    """An alarm, unless the door is read shut."""
    return () if ctx.shut(slot) else (LeftOpen(slot),)


def remind(
    reminders: int, since_ms: int, ctx: Context, slot: int, prompt: str
) -> tuple[int, tuple[Action, ...]]:
    """Say it again when it is time to."""
    due = (ctx.now_ms - since_ms) // ctx.limits.remind_ms
    if due <= reminders:
        return reminders, ()
    return due, (Prompt(slot, "open", prompt),)


def may_undo_pickup(job: Job) -> bool:
    """Whether a cancel at the pickup door leaves nobody without a pack."""
    return job.kind in {Kind.PICKUP, Kind.UNLOAD}
