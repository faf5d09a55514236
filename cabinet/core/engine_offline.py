"""Number and code, or a ticket, inside the engine: starts, resumes or ends the rider's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec import structs

from cabinet.core import offline
from cabinet.core.engine_draft import Draft
from cabinet.core.engine_model import OfflineAnswer, OfflineCode, OfflineTicket, Verify, Wish
from cabinet.core.engine_swap import feed, start
from cabinet.core.engine_view import Sight
from cabinet.core.offline import Checked, Instant
from cabinet.core.swap_model import Cancel, GiveBack, Resume, Start, is_active, job_of
from protocols.messages import Authority, Kind
from protocols.offline import Ticket, valid_number

_WISHES: Final[dict[Wish, type[Cancel | GiveBack | Resume]]] = {
    "go": Resume,
    "cancel": Cancel,
    "give-back": GiveBack,
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A rider who has shown who he is. ``names`` are what transactions may call him."""

    number: str
    names: frozenset[str]
    rider_id: str
    kind: Kind
    authority: Authority
    ticket: Ticket | None = None


def passing(draft: Draft) -> None:
    """Time passes: locks begin and end."""
    memory = draft.durable.offline
    if not (memory.locked or memory.tries or draft.state.waits.since_ms):
        return
    checked = offline.waiting(memory, draft.state.waits, draft.now_ms, draft.config.offline)
    if memory.locked and not checked.memory.locked:
        draft.journal("keypad", locked=False)
    _take_over(draft, checked)


def asked(
    draft: Draft,
    event: OfflineCode | OfflineTicket,
    sight: Sight,
    verify: Verify,
    group_keys: tuple[bytes, ...],
) -> None:
    """Check, act, write down and answer."""
    passing(draft)
    reason, wait_ms, who, swap_id = _decide(draft, event, sight, verify, group_keys)
    if reason is not None:
        refusals = draft.state.refusals
        draft.put(refusals={**refusals, reason: refusals.get(reason, 0) + 1})
    draft.journal(
        "offline",
        by="code" if isinstance(event, OfflineCode) else "ticket",
        wish=event.wish,
        rider=who,
        swap_id=swap_id,
        reason=reason,
    )
    draft.answer(OfflineAnswer(event.ref, reason, swap_id, wait_ms))


def _decide(
    draft: Draft,
    event: OfflineCode | OfflineTicket,
    sight: Sight,
    verify: Verify,
    group_keys: tuple[bytes, ...],
) -> tuple[str | None, int, str | None, str | None]:
    """Refusal, how long it lasts, rider and transaction."""
    if not draft.state.ready:
        return offline.STARTING, 0, None, None
    if event.until_ms is not None and draft.now_ms > event.until_ms:
        return offline.STALE, 0, None, None
    before = draft.durable.offline
    found = _who(draft, event, verify, group_keys)
    if isinstance(found, Checked):
        if found.memory.locked and not before.locked:
            draft.journal("keypad", locked=True)
        number = event.number if isinstance(event, OfflineCode) else ""
        who = number if valid_number(number) else None
        return found.reason, found.wait_ms, who, None
    reason, swap_id = _wish(draft, event.wish, found, sight)
    return reason, 0, found.rider_id, swap_id


def _who(
    draft: Draft, event: OfflineCode | OfflineTicket, verify: Verify, group_keys: tuple[bytes, ...]
) -> _Asked | Checked:
    """Who this is, or why it is nobody. What the check has changed is taken over either way."""
    memory, waits, limits = draft.durable.offline, draft.state.waits, draft.config.offline
    now = Instant(draft.now.mono_ms, draft.now.wall_ms, draft.now.wall_synced)
    if isinstance(event, OfflineCode):
        checked = offline.check_code(
            memory,
            waits,
            number=event.number,
            code=event.code,
            now=now,
            limits=limits,
            group_keys=group_keys,
        )
    else:
        checked = offline.check_ticket(
            memory,
            waits,
            text=event.text,
            now=now,
            limits=limits,
            cabinet=draft.config.cabinet,
            verify=verify,
        )
    _take_over(draft, checked)
    if checked.reason is not None:
        return checked
    ticket = checked.ticket
    if ticket is not None:
        names = frozenset({ticket.rider_id, f"no.{ticket.number}"})
        return _Asked(ticket.number, names, ticket.rider_id, ticket.kind, "ticket", ticket)
    assert isinstance(event, OfflineCode)
    rider_id = f"no.{event.number}"
    return _Asked(event.number, frozenset({rider_id}), rider_id, event.kind, "code")


def _take_over(draft: Draft, checked: Checked) -> None:
    if checked.memory is not draft.durable.offline:
        draft.keep(offline=checked.memory)
    if checked.waits is not draft.state.waits:
        draft.put(waits=checked.waits)


# --- the wish -----------------------------------------------------------------------------------


def _wish(draft: Draft, wish: Wish, who: _Asked, sight: Sight) -> tuple[str | None, str | None]:
    """Carry it out: why not, and which transaction it is about."""
    job = job_of(draft.durable.swap)
    if job is not None and is_active(draft.durable.swap) and _is_his(draft, job.rider_id, who):
        return feed(draft, _WISHES[wish](job.swap_id), sight.view), job.swap_id
    if wish != "go":
        return offline.NO_SWAP, None
    return _begin(draft, who, sight)


def _is_his(draft: Draft, rider_id: str, who: _Asked) -> bool:
    running = draft.durable.offline.running
    job = job_of(draft.durable.swap)
    same = running is not None and job is not None and running.swap_id == job.swap_id
    return rider_id in who.names or (same and running is not None and running.number == who.number)


def _begin(draft: Draft, who: _Asked, sight: Sight) -> tuple[str | None, str | None]:
    memory, limits, ticket = draft.durable.offline, draft.config.offline, who.ticket
    wall_ms = draft.now.wall_ms
    if ticket is None and who.kind not in limits.code_kinds:
        return offline.NEEDS_TICKET, None
    if ticket is not None and ticket.id in memory.tickets:
        return offline.TICKET_USED, ticket.id
    if who.names & draft.state.lists.denied_riders:
        return offline.DENIED_RIDER, None
    if offline.over_limit(memory, who.number, wall_ms, limits):
        return offline.DAY_LIMIT, None
    minted, swap_id = offline.next_id(memory, draft.config.cabinet, draft.durable.epoch, wall_ms)
    if ticket is not None:
        minted, swap_id = memory.minted, ticket.id
    if swap_id in draft.durable.recent_swaps:
        return offline.TICKET_USED, swap_id
    serial = ticket.expected_serial if ticket else None
    order = Start(swap_id, who.kind, who.rider_id, serial, authority=who.authority)
    refusal = start(draft, order, sight.view)
    if refusal is not None:
        return refusal, None
    memory = offline.accepted(draft.durable.offline, swap_id, who.number, wall_ms, ticket)
    if not is_active(draft.durable.swap):
        memory = offline.ended(memory, swap_id, moved=False)
    draft.keep(offline=structs.replace(memory, minted=minted))
    return None, swap_id
