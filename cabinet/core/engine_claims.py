"""What a faulted transaction leaves behind for its rider's next scan, and when that is forgotten.

A claim lives for ``EngineConfig.second_scan_ms``, counted anew after a restart. It ends at once when
another order or a manual opening touches its slot, and when its rider starts again: then it has
served. What the inventory finds out in the meantime (the pack came in after all, or was taken after
all) changes what the rider is owed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec.structs import replace

from cabinet.core.engine_draft import Draft
from cabinet.core.swap_model import Claim, Job
from protocols.messages import Kind

_TIMER = "claim"
_RIDER_KINDS = frozenset({Kind.SWAP, Kind.PICKUP, Kind.RETURN})


def leave(draft: Draft, job: Job) -> None:
    """The job has faulted: keep its slots in mind."""
    draft.keep(claims=(*draft.durable.claims, *claims_of(job)))


def claims_of(job: Job) -> tuple[Claim, ...]:
    """What a faulted job leaves: its slots, as far as nothing final was booked there."""
    if job.kind not in _RIDER_KINDS:
        return ()
    given = job.serial_in is not None and not job.back_booked
    owed = job.owed or (job.kind is Kind.SWAP and given)
    claims = []
    if job.slot_in is not None and not job.back_booked:
        claims.append(_claim(job, job.slot_in, "in", job.serial_in, owed=owed))
    if job.slot_out is not None and not job.out_booked:
        claims.append(_claim(job, job.slot_out, "out", job.serial_out, owed=owed))
    return tuple(claims)


def _claim(
    job: Job, slot: int, role: Literal["in", "out"], serial: str | None, *, owed: bool
) -> Claim:
    return Claim(
        slot=slot,
        role=role,
        swap_id=job.swap_id,
        rider_id=job.rider_id,
        kind=job.kind,
        serial=serial,
        owed=owed,
    )


def touched(draft: Draft, slots: Iterable[int]) -> None:
    """Another order or a hand has been at these slots: nothing there can be gone on with."""
    _forget(draft, frozenset(c for c in draft.durable.claims if c.slot in slots))


def served(draft: Draft, rider_id: str) -> None:
    """The rider has started again."""
    _forget(draft, frozenset(c for c in draft.durable.claims if c.rider_id == rider_id))


def expire(draft: Draft) -> None:
    """Forget what is too old."""
    old = set()
    for claim in draft.durable.claims:
        held_ms = draft.held_ms(_TIMER, claim.slot, holds=True) or 0
        if held_ms >= draft.config.second_scan_ms:
            old.add(claim)
    _forget(draft, frozenset(old))


def came_in(draft: Draft, slot: int, serial: str) -> None:
    """The pack of an unfinished return was found in its slot and booked."""
    claims = draft.durable.claims
    mine = next((c for c in claims if (c.slot, c.role, c.serial) == (slot, "in", None)), None)
    if mine is None:
        return
    owed = mine.kind is Kind.SWAP
    changed = []
    for claim in claims:
        if claim is mine:
            changed.append(replace(claim, serial=serial, owed=owed))
        elif claim.swap_id == mine.swap_id:
            changed.append(replace(claim, owed=owed))
        else:
            changed.append(claim)
    draft.keep(claims=tuple(changed))


def went_out(draft: Draft, slot: int) -> None:
    """A pack of a faulted transaction is gone: the rider has the full one, or the own one back."""
    mine = next((c for c in draft.durable.claims if c.slot == slot), None)
    if mine is not None:
        served(draft, mine.rider_id)


def _forget(draft: Draft, gone: frozenset[Claim]) -> None:
    if not gone:
        return
    for claim in gone:
        draft.held_ms(_TIMER, claim.slot, holds=False)
    draft.keep(claims=tuple(c for c in draft.durable.claims if c not in gone))
