"""Staged roll-out of settings or of a release: a transition table, a judge, and a pure step.

``advance`` looks at what the cabinets tell and at the time, and returns the roll-out as it is then and
what is to be sent. It is called again and again, so a process that dies between two calls loses
nothing. A stage is sent only after the one before ran and soaked without anything amiss; what is amiss
takes back all that was sent. Silence is never success.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from fleet.core.rollout_model import Fact, Kind, Member, Phase, Rollout, Send, Signal
from fleet.core.templates import laid
from fleet.errors import RefusedError

_P, _S = Phase, Signal
#: Phase and signal to the next phase. What is not here does not happen.
TABLE: Final[Mapping[tuple[Phase, Signal], Phase]] = {
    (_P.PLANNED, _S.START): _P.APPLYING,
    (_P.PLANNED, _S.ABORT): _P.STOPPED,
    (_P.APPLYING, _S.APPLIED): _P.SOAKING,
    (_P.APPLYING, _S.FAILED): _P.ROLLING_BACK,
    (_P.APPLYING, _S.PAUSE): _P.PAUSED,
    (_P.APPLYING, _S.ABORT): _P.ROLLING_BACK,
    (_P.SOAKING, _S.SOAKED): _P.APPLYING,
    (_P.SOAKING, _S.LAST_SOAKED): _P.DONE,
    (_P.SOAKING, _S.FAILED): _P.ROLLING_BACK,
    (_P.SOAKING, _S.PAUSE): _P.PAUSED,
    (_P.SOAKING, _S.ABORT): _P.ROLLING_BACK,
    (_P.PAUSED, _S.RESUME): _P.APPLYING,
    (_P.PAUSED, _S.FAILED): _P.ROLLING_BACK,
    (_P.PAUSED, _S.ABORT): _P.ROLLING_BACK,
    (_P.ROLLING_BACK, _S.REVERTED): _P.ROLLED_BACK,
}
#: What a person may say.
BY_HAND: Final = frozenset({_S.START, _S.PAUSE, _S.RESUME, _S.ABORT})
_WATCHED: Final = frozenset({_P.APPLYING, _P.SOAKING, _P.PAUSED})
_NOBODY: Final = Fact(online=False, age_ms=None)

Facts = Mapping[str, Fact]


def order(rollout: Rollout, signal: Signal, now_ms: int, cause: str = "") -> Rollout:
    """What a person says; raise RefusedError ``rollout-state`` where that does not apply."""
    if signal not in BY_HAND or (rollout.phase, signal) not in TABLE:
        raise RefusedError(f"roll-out {rollout.id} is {rollout.phase}", code="rollout-state")
    return _moved(rollout, signal, now_ms, cause)


def advance(rollout: Rollout, facts: Facts, now_ms: int) -> tuple[Rollout, tuple[Send, ...]]:
    """Judge, move on as far as the time is ripe, and say what is to be sent now."""
    if rollout.phase in _WATCHED and (amiss := trouble(rollout, facts, now_ms)):
        rollout = _moved(rollout, Signal.FAILED, now_ms, amiss)
    match rollout.phase:
        case Phase.APPLYING:
            if not _of_stage(rollout):
                return _send(rollout, facts, now_ms)
            if _applied(rollout, facts):
                return _moved(rollout, Signal.APPLIED, now_ms), ()
        case Phase.SOAKING if now_ms - rollout.since_ms >= rollout.soak_s * 1_000:
            last = len(rollout.members) >= len(rollout.cabinets)
            return _moved(rollout, Signal.LAST_SOAKED if last else Signal.SOAKED, now_ms), ()
        case Phase.ROLLING_BACK:
            return _take_back(rollout, facts, now_ms)
        case _:
            pass
    return rollout, ()


def trouble(rollout: Rollout, facts: Facts, now_ms: int) -> str:
    """Why it must stop; empty when nothing is amiss."""
    bad = {
        cabinet: why
        for cabinet, member in rollout.members.items()
        if (why := _amiss(rollout, member, facts.get(cabinet, _NOBODY), now_ms))
    }
    share = len(rollout.members) * rollout.criteria.failures_pct // 100
    if len(bad) > max(rollout.criteria.failures_max, share):
        first = min(bad)
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        return f"{first}: {bad[first]}{more}"
    return _success(rollout, facts)


def runs(rollout: Rollout, member: Member, fact: Fact) -> bool:
    """Whether a cabinet says that it runs what it was to get."""
    if rollout.kind is Kind.SOFTWARE:
        return fact.software == rollout.software
    return fact.version >= member.version and fact.refused < member.version


def _amiss(rollout: Rollout, member: Member, fact: Fact, now_ms: int) -> str:
    criteria = rollout.criteria
    if rollout.kind is Kind.CONFIG and fact.refused >= member.version:
        return f"refuses: {fact.fault}"
    if member.online:  # one that was away already may stay away
        silent_ms = now_ms - member.sent_ms if fact.age_ms is None else fact.age_ms
        if silent_ms > criteria.silent_after_s * 1_000:
            return f"silent for {silent_ms // 1_000} s"
        late = now_ms - member.sent_ms > criteria.apply_within_s * 1_000
        if rollout.kind is Kind.CONFIG and late and not runs(rollout, member, fact):
            return f"does not run version {member.version} after {criteria.apply_within_s} s"
    fresh = sorted(set(fact.alarms) - set(member.alarms))
    return f"new alarm {fresh[0]}" if fresh and (member.online or fact.online) else ""


def _success(rollout: Rollout, facts: Facts) -> str:
    own = [facts.get(cabinet, _NOBODY) for cabinet in rollout.members]
    completed, failed = sum(each.completed for each in own), sum(each.failed for each in own)
    total = completed + failed
    if total < rollout.criteria.swaps_min or total == 0:
        return ""
    usual = 100 if rollout.baseline_pct is None else rollout.baseline_pct
    if completed * 100 < (usual - rollout.criteria.success_drop_pct) * total:
        return f"{completed} of {total} swaps succeeded, {usual} % were usual"
    return ""


def _of_stage(rollout: Rollout) -> list[str]:
    return [name for name, member in rollout.members.items() if member.stage == rollout.stage]


def _applied(rollout: Rollout, facts: Facts) -> bool:
    """Whether every member that can be expected to runs it, by its own word."""
    for cabinet, member in rollout.members.items():
        fact = facts.get(cabinet, _NOBODY)
        if (member.online or fact.online) and not runs(rollout, member, fact):
            return False
    return True


def _send(rollout: Rollout, facts: Facts, now_ms: int) -> tuple[Rollout, tuple[Send, ...]]:
    """Send the stage: to those that are there; the last one to all that are left."""
    last = rollout.stage >= len(rollout.stages) - 1
    room = rollout.size(rollout.stage) - len(rollout.members)
    left = [each for each in rollout.cabinets if each not in rollout.members]
    there = [each for each in left if facts.get(each, _NOBODY).online]
    chosen = left if last else there[:room]
    if not chosen:
        if room <= 0 and not last:  # a stage that is no larger than the one before
            return replace(rollout, stage=rollout.stage + 1), ()
        return rollout, ()
    members, sends = dict(rollout.members), []
    for cabinet in chosen:
        fact = facts.get(cabinet, _NOBODY)
        version = 0
        if rollout.kind is Kind.CONFIG:
            version = _version(fact, 0, now_ms)
            sends.append(Send(cabinet, version, laid(fact.held, rollout.values)))
        members[cabinet] = Member(
            rollout.stage, version, now_ms, fact.online, dict(fact.held), fact.alarms
        )
    return replace(rollout, members=members, since_ms=now_ms), tuple(sends)


def _take_back(rollout: Rollout, facts: Facts, now_ms: int) -> tuple[Rollout, tuple[Send, ...]]:
    members, sends = dict(rollout.members), []
    for cabinet, member in rollout.members.items():
        if member.back == 0:
            version = _version(facts.get(cabinet, _NOBODY), member.version, now_ms)
            sends.append(Send(cabinet, version, member.before))
            members[cabinet] = replace(member, back=version)
    if sends:
        return replace(rollout, members=members), tuple(sends)
    waits = [
        cabinet
        for cabinet, member in members.items()
        if (fact := facts.get(cabinet, _NOBODY)).online and fact.version < member.back
    ]
    late = now_ms - rollout.since_ms > rollout.criteria.apply_within_s * 1_000
    if waits and not late:
        return rollout, ()
    note = f"; {len(waits)} have not taken it back yet" if waits else ""
    return _moved(rollout, Signal.REVERTED, now_ms, rollout.cause + note), ()


def _version(fact: Fact, sent: int, now_ms: int) -> int:
    """Above everything that this cabinet was sent or has told of, however wrong a clock was."""
    return max(now_ms, sent + 1, fact.held_version + 1, fact.version + 1, fact.refused + 1)


def _moved(rollout: Rollout, signal: Signal, now_ms: int, cause: str = "") -> Rollout:
    phase = TABLE[rollout.phase, signal]
    if phase is Phase.ROLLING_BACK and (rollout.kind is Kind.SOFTWARE or not rollout.members):
        phase = Phase.STOPPED  # there is nothing that the fleet could take back
    stage = rollout.stage + 1 if signal is Signal.SOAKED else rollout.stage
    return replace(
        rollout, phase=phase, stage=stage, since_ms=now_ms, cause=(cause or rollout.cause)[:500]
    )
