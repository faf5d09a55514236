"""Guards, broken one at a time, to see that the fuzz would notice.

Each mutant replaces functions of the cores (or of this package, where it stands for a shell) inside
this process and puts them back afterwards. The cores themselves have no switch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from cabinet.core import (
    act,
    commands,
    engine,
    engine_commands,
    engine_inventory,
    engine_swap,
    engine_view,
    outbox,
    swap_pickup,
    swap_return,
    swap_table,
    swap_tools,
)
from cabinet.core.act import Acting, Commit, Do, Tell
from cabinet.core.engine_model import Nonce, UnlockOutcome
from cabinet.core.model import SlotImage, UnlockResult
from cabinet.core.swap_model import ACTIVE, AwaitPickup, AwaitReturn, Idle, Sensed, Start, Trust
from fleet.core import batch, ingest
from fleet.core.ingest import Verdict, Watermark
from protocols.messages import Door
from simulator.world import fleet

_OURS: Final = ("cabinet.core", "fleet.core", "simulator.world")


class Patches:
    """What was replaced, and by what it is put back."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def everywhere(self, module: Any, name: str, value: Any) -> None:
        """Replace a function in its module and wherever it was imported by name."""
        old = getattr(module, name)
        for key, other in list(sys.modules.items()):
            if key.startswith(_OURS) and getattr(other, name, None) is old:
                self.attribute(other, name, value)

    def attribute(self, owner: Any, name: str, value: Any) -> None:
        """Replace one attribute."""
        old = getattr(owner, name)
        setattr(owner, name, value)
        self._undo.append(lambda: setattr(owner, name, old))

    def row(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        """Replace one entry of a table."""
        old = table[key]
        table[key] = value
        self._undo.append(lambda: table.__setitem__(key, old))

    def put_back(self) -> None:
        """Everything as it was."""
        while self._undo:
            self._undo.pop()()


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken guard."""

    name: str
    guard: str  # what the guard promises, in a few words
    apply: Callable[[Patches], None]


@contextmanager
def broken(name: str | None) -> Iterator[None]:
    """Break this guard for a while; None breaks nothing. Raises KeyError for an unknown name."""
    patches = Patches()
    if name is not None:
        MUTANTS[name].apply(patches)
    try:
        yield
    finally:
        patches.put_back()


# --- the act loop -------------------------------------------------------------------------------


def _act_before_commit(patches: Patches) -> None:
    def turn(self: Acting, event: Any, clock: Any) -> act.Turn:
        outcome = self.engine.step(self.state, event, clock())
        for effect in outcome.effects:
            yield Do(effect)
        yield Commit(outcome.writes)
        self.state = outcome.state
        yield Tell(outcome)

    patches.attribute(Acting, "turn", turn)


def _failed_commit_ignored(patches: Patches) -> None:
    def turn(self: Acting, event: Any, clock: Any) -> act.Turn:
        outcome = self.engine.step(self.state, event, clock())
        if outcome.writes:
            yield Commit(outcome.writes)
        self.state = outcome.state
        for effect in outcome.effects:
            yield Do(effect)
        yield Tell(outcome)

    patches.attribute(Acting, "turn", turn)


def _swap_forgotten_at_boot(patches: Patches) -> None:
    initial = engine.Engine.initial

    def forgetful(self: Any, restored: Any, boot_id: str) -> Any:
        state = initial(self, restored, boot_id)
        return msgspec.structs.replace(
            state, durable=msgspec.structs.replace(state.durable, swap=Idle())
        )

    patches.attribute(engine.Engine, "initial", forgetful)


def _journal_forgotten_at_boot(patches: Patches) -> None:
    initial = engine.Engine.initial

    def forgetful(self: Any, restored: Any, boot_id: str) -> Any:
        return initial(self, replace(restored, snapshot=None), boot_id)

    patches.attribute(engine.Engine, "initial", forgetful)


# --- doors --------------------------------------------------------------------------------------


def _attempt_reused(patches: Patches) -> None:
    first_try = swap_tools.first_try

    def same(job: Any, slot: int, ctx: Any) -> Any:
        fresh, door, pulse = first_try(msgspec.structs.replace(job, attempts=0), slot, ctx)
        return fresh, door, pulse

    patches.everywhere(swap_tools, "first_try", same)


def _pickup_before_return_is_shut(patches: Patches) -> None:
    row = swap_table.TABLE[AwaitReturn, Sensed]
    judge = swap_return._judge  # noqa: SLF001 - a mutant works inside

    def hasty(state: AwaitReturn, event: Any, ctx: Any) -> Any:
        number = state.job.slot_in or 0
        slot = ctx.view.slot(number)
        if slot.door is Door.OPEN and slot.pack is not None:
            return judge(state.job, number, slot.pack, ctx)
        return row.run(state, event, ctx)

    patches.row(swap_table.TABLE, (AwaitReturn, Sensed), replace(row, run=hasty))


def _old_reading_counts(patches: Patches) -> None:
    def door_now(self: SlotImage, _now_ms: int) -> Door:
        return self.door

    patches.attribute(SlotImage, "door_now", door_now)


def _silence_counts_as_refused(patches: Patches) -> None:
    unlocked = engine.Engine._unlocked  # noqa: SLF001 - what is to be broken

    def deaf(self: Any, draft: Any, event: UnlockOutcome) -> None:
        if event.result is UnlockResult.NO_REPLY:
            event = replace(event, result=UnlockResult.REFUSED)
        unlocked(self, draft, event)

    patches.attribute(engine.Engine, "_unlocked", deaf)


def _two_at_once(patches: Patches) -> None:
    begin = swap_table.TABLE[Idle, Start]
    for kind in ACTIVE:
        patches.row(swap_table.TABLE, (kind, Start), begin)


# --- packs --------------------------------------------------------------------------------------


def _foreign_accepted(patches: Patches) -> None:
    refusal = swap_return._refusal  # noqa: SLF001 - what is to be broken

    def mild(job: Any, pack: Any) -> str | None:
        return None if pack.trust is Trust.FOREIGN else refusal(job, pack)

    patches.everywhere(swap_return, "_refusal", mild)


def _ill_offered(patches: Patches) -> None:
    def never(_slot: int, _state: Any) -> Any:
        return None

    patches.everywhere(engine_view, "_unwell", never)
    patches.everywhere(engine_view, "_quarantined", lambda _slot, _state: False)


def _ill_since_reserved(patches: Patches) -> None:
    patches.everywhere(swap_pickup, "_fit", lambda _slot, _job: True)


def _booked_out_by_the_door(patches: Patches) -> None:
    row = swap_table.TABLE[AwaitPickup, Sensed]
    taken = swap_pickup._taken  # noqa: SLF001 - what is to be broken

    def blind(state: AwaitPickup, event: Any, ctx: Any) -> Any:
        if ctx.view.slot(state.job.slot_out or 0).door is Door.CLOSED:
            return taken(state.job, ctx)
        return row.run(state, event, ctx)

    patches.row(swap_table.TABLE, (AwaitPickup, Sensed), replace(row, run=blind))


def _strays_not_booked(patches: Patches) -> None:
    patches.everywhere(engine_inventory, "track", lambda _draft, _sight: None)


def _owner_forgotten(patches: Patches) -> None:
    patches.everywhere(engine_swap, "_remember_owner", lambda _draft, _job: None)


# --- orders -------------------------------------------------------------------------------------


def _stored_answer_ignored(patches: Patches) -> None:
    commanded = engine_commands.commanded

    def forgetful(draft: Any, command: Any, sight: Any, verify: Any, token: Any) -> None:
        draft.put(results={})
        commanded(draft, command, sight, verify, token)

    patches.everywhere(engine_commands, "commanded", forgetful)


def _nonce_reusable(patches: Patches) -> None:
    authenticate = commands.authenticate

    def generous(command: Any, *, pool: Any, **more: Any) -> Any:
        return replace(authenticate(command, pool=pool, **more), pool=pool)

    patches.everywhere(commands, "authenticate", generous)


def _orders_never_expire(patches: Patches) -> None:
    authenticate = commands.authenticate

    def patient(command: Any, *, pool: Any, now: Any, **more: Any) -> Any:
        fresh = tuple(Nonce(nonce.value, now.mono_ms) for nonce in pool)
        return authenticate(command, pool=fresh, now=replace(now, wall_synced=False), **more)

    patches.everywhere(commands, "authenticate", patient)
    patches.attribute(commands, "NONCE_LIFE_MS", 10**9)


def _signature_not_checked(patches: Patches) -> None:
    authenticate = commands.authenticate

    def trusting(command: Any, **more: Any) -> Any:
        return authenticate(command, **{**more, "verify": lambda *_: True})

    patches.everywhere(commands, "authenticate", trusting)


def _recent_swaps_forgotten(patches: Patches) -> None:
    patches.everywhere(engine_swap, "RECENT_SWAPS_MAX", 0)
    start = engine_swap.start

    def forgetful(draft: Any, order: Any, view: Any) -> str | None:
        draft.keep(recent_swaps=())
        return start(draft, order, view)

    patches.everywhere(engine_swap, "start", forgetful)


# --- delivery -----------------------------------------------------------------------------------


def _rewind_ignored(patches: Patches) -> None:
    on_ack = outbox.Sender.on_ack

    def proud(self: Any, ack: Any, now_ms: int, random: Any) -> Any:
        sender, effect = on_ack(self, ack, now_ms, random)
        if effect is outbox.AckEffect.REWOUND:
            return self, outbox.AckEffect.NOTHING
        return sender, effect

    patches.attribute(outbox.Sender, "on_ack", proud)


def _repeats_booked(patches: Patches) -> None:
    judge = ingest.judge

    def eager(mark: Watermark, epoch: int, seq: int) -> tuple[Verdict, Watermark]:
        verdict, ack = judge(mark, epoch, seq)
        return (Verdict.ACCEPT, ack) if verdict is Verdict.DUPLICATE else (verdict, ack)

    patches.everywhere(ingest, "judge", eager)


def _gap_accepted(patches: Patches) -> None:
    judge = ingest.judge

    def eager(mark: Watermark, epoch: int, seq: int) -> tuple[Verdict, Watermark]:
        verdict, ack = judge(mark, epoch, seq)
        if verdict is Verdict.GAP:
            return Verdict.ACCEPT, Watermark(epoch, seq)
        return verdict, ack

    patches.everywhere(ingest, "judge", eager)


def _acknowledged_before_commit(patches: Patches) -> None:
    """Stands for the shell: ``fleet.runtime.ingest`` commits a batch before it acknowledges it."""

    def hasty(self: fleet.Fleet) -> batch.Plan:
        plan = batch.Plan(marks=dict(self.facts.marks))
        for arrival in self.waiting_events():
            plan.judge(arrival)
        for cabinet, mark in plan.outcome.acks.items():
            self.acknowledge(cabinet, mark)
        return commit(self)

    commit = fleet.Fleet.commit_batch
    patches.attribute(fleet.Fleet, "commit_batch", hasty)


_ALL: Final = (
    Mutant("act-before-commit", "no effect before its row is on the disk", _act_before_commit),
    Mutant("failed-commit-ignored", "a failed commit moves nothing", _failed_commit_ignored),
    Mutant("swap-forgotten-at-boot", "a swap is taken up at boot", _swap_forgotten_at_boot),
    Mutant("journal-forgotten-at-boot", "numbers go on after a boot", _journal_forgotten_at_boot),
    Mutant("attempt-reused", "every pulse is an attempt of its own", _attempt_reused),
    Mutant("two-doors", "pickup waits for the return door", _pickup_before_return_is_shut),
    Mutant("old-reading-counts", "an old door reading is unknown", _old_reading_counts),
    Mutant("silence-is-refusal", "an unanswered pulse may have fired", _silence_counts_as_refused),
    Mutant("two-swaps-at-once", "one transaction at a time", _two_at_once),
    Mutant("foreign-accepted", "a foreign pack is given back", _foreign_accepted),
    Mutant("ill-offered", "an ill pack is never offered", _ill_offered),
    Mutant("ill-since-reserved", "nor one that fell ill after that", _ill_since_reserved),
    Mutant("booked-by-door", "booked out when seen gone", _booked_out_by_the_door),
    Mutant("strays-not-booked", "moved packs are found and told", _strays_not_booked),
    Mutant("owner-forgotten", "a late hand is the rider's", _owner_forgotten),
    Mutant("stored-answer-ignored", "a repeat gets the stored answer", _stored_answer_ignored),
    Mutant("nonce-reusable", "a nonce is good for one command", _nonce_reusable),
    Mutant("orders-never-expire", "a late order is refused", _orders_never_expire),
    Mutant("signature-not-checked", "only the fleet orders", _signature_not_checked),
    Mutant("recent-swaps-forgotten", "a swap runs once", _recent_swaps_forgotten),
    Mutant("rewind-ignored", "a restored ledger gets it all again", _rewind_ignored),
    Mutant("repeats-booked", "an event is booked once", _repeats_booked),
    Mutant("gap-accepted", "events are booked without a gap", _gap_accepted),
    Mutant("ack-before-commit", "acknowledged means stored", _acknowledged_before_commit),
)
MUTANTS: Final[dict[str, Mutant]] = {mutant.name: mutant for mutant in _ALL}
