"""What a command does once it is authentic, and what desired documents change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from cabinet.core import (
    commands,
    engine_claims,
    engine_holds,
    engine_manual,
    engine_service,
    engine_settings,
    engine_sockets,
    safety,
)
from cabinet.core.engine_draft import Draft
from cabinet.core.engine_model import Hold, Token, Verify
from cabinet.core.engine_settings import Fits
from cabinet.core.engine_swap import feed, lower_flag, raise_flag, start
from cabinet.core.engine_view import Sight
from cabinet.core.records import EpochRow, Lists, ListsRow
from cabinet.core.swap_model import (
    Cancel,
    GiveBack,
    Resume,
    Start,
    job_of,
    reserved_slots,
)
from protocols.command_args import (
    AlarmArgs,
    CabinetArgs,
    CommandArgs,
    HoldArgs,
    ReleaseArgs,
    SlotArgs,
    SwapArgs,
    SwapStartArgs,
)
from protocols.messages import (
    Challenge,
    Command,
    DesiredConfig,
    DesiredList,
    DesiredPlan,
    Result,
    signing_bytes,
)
from protocols.sockets import SocketArgs, SocketStartArgs, SocketStopArgs

#: More packs than any network has within reach of one cabinet.
LIST_ITEMS_MAX: Final = 500_000

Answer: TypeAlias = tuple[Literal["accepted", "done", "refused"], str | None, str]
Handler: TypeAlias = Callable[[Draft, Command, CommandArgs, Sight], Answer]


def challenged(draft: Draft, challenge: Challenge, token: Token) -> None:
    """Answer with fresh nonces."""
    pool, fresh = commands.issue(draft.state.nonces, challenge.count, token, draft.now_ms)
    draft.put(nonces=pool)
    boot_id = draft.state.boot_id
    draft.reply(Result(id=challenge.id, outcome="nonces", boot_id=boot_id, nonces=fresh))


def commanded(draft: Draft, command: Command, sight: Sight, verify: Verify, token: Token) -> None:
    """Check a command, carry it out, answer, and remember the answer."""
    if command.cabinet != draft.config.cabinet:
        _refuse(draft, command, commands.WRONG_CABINET, "", token)
        return
    stored = draft.state.results.get(command.id)
    if stored is not None:
        draft.reply(_with_nonce(draft, stored, token))
        return
    checked = commands.authenticate(
        command,
        boot_id=draft.state.boot_id,
        pool=draft.state.nonces,
        last_seq=draft.durable.command_seq,
        verify=verify,
        now=draft.now,
    )
    draft.put(nonces=checked.pool)
    if checked.refusal is not None:
        _refuse(draft, command, checked.refusal, checked.detail, token)
        return
    draft.keep(command_seq=command.seq)
    outcome, reason, evidence = _carry_out(draft, command, sight)
    if outcome == "refused":
        draft.refused(reason or "refused")
    draft.journal(
        "command",
        id=command.id,
        type=command.type,
        actor=command.actor,
        outcome=outcome,
        reason=reason,
    )
    result = Result(
        id=command.id,
        outcome=outcome,
        boot_id=draft.state.boot_id,
        reason=reason,
        evidence=evidence[:500],
    )
    draft.decide(_with_nonce(draft, result, token))


def _carry_out(draft: Draft, command: Command, sight: Sight) -> Answer:
    args = commands.arguments(command, draft.config.slots)
    if isinstance(args, str):
        return "refused", commands.BAD_ARGUMENTS, args
    if not draft.state.ready:
        return "refused", "starting", ""
    if command.precondition is not None:
        slot = sight.view.slot(command.precondition.slot)
        unmet = commands.unmet(command.precondition, slot)
        if unmet is not None:
            return "refused", commands.PRECONDITION, unmet
    return HANDLERS[command.type](draft, command, args, sight)


def _refuse(draft: Draft, command: Command, reason: str, detail: str, token: Token) -> None:
    """Not authentic: counted and answered, not stored."""
    draft.refused(reason)
    result = Result(
        id=command.id,
        outcome="refused",
        boot_id=draft.state.boot_id,
        reason=reason,
        evidence=detail[:500],
    )
    draft.reply(_with_nonce(draft, result, token))


def _with_nonce(draft: Draft, result: Result, token: Token) -> Result:
    """Every answer brings a fresh nonce, bound to this boot."""
    pool, fresh = commands.issue(draft.state.nonces, 1, token, draft.now_ms)
    draft.put(nonces=pool)
    return Result(
        id=result.id,
        outcome=result.outcome,
        boot_id=draft.state.boot_id,
        reason=result.reason,
        evidence=result.evidence,
        nonces=fresh,
    )


# --- one function per command -------------------------------------------------------------------


def _swap_start(draft: Draft, command: Command, args: CommandArgs, sight: Sight) -> Answer:
    assert isinstance(args, SwapStartArgs)
    if command.swap_id is None:
        return "refused", "no-swap-id", ""
    if args.rider_id in draft.state.lists.denied_riders:
        return "refused", "denied-rider", ""
    order = Start(command.swap_id, args.kind, args.rider_id, args.expected_serial, args.slot)
    refusal = start(draft, order, sight.view)
    if refusal is not None:
        return "refused", refusal, ""
    job = job_of(draft.durable.swap)
    evidence = f"slot_in={job.slot_in} slot_out={job.slot_out}" if job else ""
    return "accepted", None, evidence


def _swap_cancel(draft: Draft, command: Command, args: CommandArgs, sight: Sight) -> Answer:
    assert isinstance(args, SwapArgs)
    refusal = feed(draft, Cancel(command.swap_id or ""), sight.view)
    return ("accepted", None, "") if refusal is None else ("refused", refusal, "")


def _swap_resume(draft: Draft, command: Command, args: CommandArgs, sight: Sight) -> Answer:
    assert isinstance(args, SwapArgs)
    refusal = feed(draft, Resume(command.swap_id or ""), sight.view)
    return ("accepted", None, "") if refusal is None else ("refused", refusal, "")


def _swap_give_back(draft: Draft, command: Command, args: CommandArgs, sight: Sight) -> Answer:
    assert isinstance(args, SwapArgs)
    refusal = feed(draft, GiveBack(command.swap_id or ""), sight.view)
    return ("accepted", None, "") if refusal is None else ("refused", refusal, "")


def _pack_hold(draft: Draft, command: Command, args: CommandArgs, sight: Sight) -> Answer:
    assert isinstance(args, HoldArgs)
    if args.rider_id in draft.state.lists.denied_riders:
        return "refused", "denied-rider", ""
    if sight.view.doors_locked:
        return "refused", "doors-locked", ""
    wanted = Hold(command.id, args.rider_id, args.ttl_s * 1000)
    slot = engine_holds.hold(draft, wanted, sight)
    return ("refused", slot, "") if isinstance(slot, str) else ("done", None, f"slot={slot}")


def _pack_release(draft: Draft, _command: Command, args: CommandArgs, _sight: Sight) -> Answer:
    assert isinstance(args, ReleaseArgs)
    released = engine_holds.release(draft, args.hold)
    return ("done", None, "") if released else ("refused", "no-hold", "")


def _slot_open(draft: Draft, command: Command, args: CommandArgs, sight: Sight) -> Answer:
    """An operator's or a technician's opening, outside any transaction."""
    assert isinstance(args, SlotArgs)
    if engine_service.engaged(draft):
        return "refused", "busy", ""
    refusal = engine_manual.order(draft, command.id, sight.view.slot(args.slot), sight)
    if refusal is not None:
        return "refused", refusal, sight.view.slot(args.slot).door.value
    engine_claims.touched(draft, (args.slot,))
    return "accepted", None, ""


def _service_off(draft: Draft, command: Command, args: CommandArgs, _sight: Sight) -> Answer:
    assert isinstance(args, SlotArgs)
    if args.slot in reserved_slots(draft.durable.swap):
        return "refused", "busy", ""
    raise_flag(draft, args.slot, "out-of-service", command.reason or "technician")
    return "done", None, ""


def _service_on(draft: Draft, _command: Command, args: CommandArgs, _sight: Sight) -> Answer:
    """Back in service, and out of quarantine: a technician has looked at it."""
    assert isinstance(args, SlotArgs)
    lower_flag(draft, args.slot, "out-of-service")
    lower_flag(draft, args.slot, "quarantine")
    return "done", None, ""


def _quarantine(draft: Draft, command: Command, args: CommandArgs, _sight: Sight) -> Answer:
    assert isinstance(args, SlotArgs)
    if args.slot in reserved_slots(draft.durable.swap):
        return "refused", "busy", ""
    raise_flag(draft, args.slot, "quarantine", command.reason or "technician")
    return "done", None, ""


def _release(draft: Draft, _command: Command, args: CommandArgs, _sight: Sight) -> Answer:
    """Out of quarantine by order; what the sensors find unwell stays in it all the same."""
    assert isinstance(args, SlotArgs)
    lowered = lower_flag(draft, args.slot, "quarantine")
    if args.slot in draft.state.verdict.quarantine:
        return "refused", "cause-stands", ""
    return ("done", None, "") if lowered else ("refused", "not-quarantined", "")


def _open_all(draft: Draft, command: Command, args: CommandArgs, sight: Sight) -> Answer:
    assert isinstance(args, CabinetArgs)
    refusal = engine_service.open_all(draft, command.id, sight)
    return ("accepted", None, "") if refusal is None else ("refused", refusal, "")


def _restart(draft: Draft, command: Command, args: CommandArgs, _sight: Sight) -> Answer:
    assert isinstance(args, CabinetArgs)
    refusal = engine_service.restart(draft, command.id)
    return ("accepted", None, "") if refusal is None else ("refused", refusal, "")


def _socket(draft: Draft, _command: Command, args: CommandArgs, _sight: Sight) -> Answer:
    assert isinstance(args, SocketStartArgs | SocketStopArgs | SocketArgs)
    refusal = engine_sockets.ordered(draft, args)
    return ("done", None, "") if refusal is None else ("refused", refusal, "")


def _alarm_clear(draft: Draft, _command: Command, args: CommandArgs, _sight: Sight) -> Answer:
    assert isinstance(args, AlarmArgs)
    socket = engine_sockets.faulted(draft, args.code)
    if socket is not None:
        return _socket(draft, _command, SocketArgs(socket=socket), _sight)
    cleared = safety.clear(draft.state.safety, args.code, args.slot)
    changed = cleared is not draft.state.safety
    if changed:
        draft.put(safety=cleared)
        draft.keep(safety=cleared.latched)
    kept = tuple(
        s
        for s in draft.durable.latched
        if s.code != args.code or (args.slot is not None and s.slot != args.slot)
    )
    if len(kept) != len(draft.durable.latched):
        draft.keep(latched=kept)
        changed = True
    if changed:
        return "done", None, ""
    if any(trip.code == args.code for trip in draft.state.safety.trips):
        return "refused", "cause-stands", ""
    return "refused", "not-latched", ""


HANDLERS: Final[dict[str, Handler]] = {
    "swap.start": _swap_start,
    "swap.cancel": _swap_cancel,
    "swap.resume": _swap_resume,
    "slot.open": _slot_open,
    "slot.service-off": _service_off,
    "slot.service-on": _service_on,
    "slot.quarantine": _quarantine,
    "slot.release": _release,
    "cabinet.restart": _restart,
    "cabinet.open-all": _open_all,
    "alarm.clear": _alarm_clear,
    "swap.give-back": _swap_give_back,
    "pack.hold": _pack_hold,
    "pack.release": _pack_release,
    "socket.start": _socket,
    "socket.stop": _socket,
    "socket.clear": _socket,
}


# --- documents ----------------------------------------------------------------------------------


def documented(
    draft: Draft, document: DesiredPlan | DesiredConfig | DesiredList, verify: Verify, fits: Fits
) -> None:
    """Take over a desired document, if it is the fleet's, for us, and not older than ours."""
    if document.cabinet != draft.config.cabinet:
        draft.refused("document-wrong-cabinet")
    elif not verify(signing_bytes(document), document.sig):
        draft.refused("document-bad-signature")
    elif isinstance(document, DesiredPlan):
        _take_plan(draft, document)
    elif isinstance(document, DesiredConfig):
        engine_settings.take(draft, document, fits)
    else:
        _take_chunk(draft, document)


def _take_plan(draft: Draft, plan: DesiredPlan) -> None:
    old = draft.durable.plan
    if old is not None and plan.version < old.version:
        draft.refused("document-old-version")
        return
    if old != plan or draft.state.plan_received_ms is None:
        # The broker says it again at every connection: that makes it no younger.
        draft.put(plan_received_ms=draft.now_ms)
    if old != plan:
        draft.keep(plan=plan)
        draft.journal("plan", version=plan.version)


def _take_chunk(draft: Draft, chunk: DesiredList) -> None:
    """A version takes effect when its last missing chunk is here."""
    current = draft.state.lists.version
    pending = dict(draft.state.chunks)
    gathering = next(iter(pending.values())).version if pending else 0
    if chunk.version <= current or chunk.version < gathering or chunk.chunk >= chunk.chunks:
        return
    if chunk.version > gathering:
        pending = {}
    pending[chunk.chunk] = chunk
    items = sum(len(c.packs) + len(c.denied_packs) + len(c.denied_riders) for c in pending.values())
    if items > LIST_ITEMS_MAX:
        draft.refused("document-too-long")
        draft.put(chunks={})
        return
    draft.put(chunks=pending)
    if len(pending) < chunk.chunks:
        return
    parts = pending.values()
    lists = Lists(
        version=chunk.version,
        packs=frozenset(serial for part in parts for serial in part.packs),
        denied_packs=frozenset(serial for part in parts for serial in part.denied_packs),
        denied_riders=frozenset(rider for part in parts for rider in part.denied_riders),
    )
    draft.put(lists=lists, chunks={})
    draft.write(ListsRow(lists))
    draft.journal("lists", version=lists.version, packs=len(lists.packs))


# --- a replaced journal -------------------------------------------------------------------------


def outrun(draft: Draft, ack_epoch: int, acked: int) -> bool:
    """The fleet knows more than this journal ever sent: start a new epoch after both.

    ``acked`` events of the present epoch are done with; the others are numbered anew from 1.
    """
    durable = draft.durable
    if ack_epoch < durable.epoch:
        return False
    new = max(durable.epoch, ack_epoch) + 1
    draft.write(EpochRow(durable.epoch, new))
    draft.journal("epoch", old=durable.epoch, new=new)
    draft.keep(epoch=new, seq=max(0, durable.seq - acked))
    return True
