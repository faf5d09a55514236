"""The guided walk through one slot: what to ask a person for, what the sensors must say, and when.

Sensor-driven: nobody presses a key, so a person and a script walk it alike. A stage ends when the
sensors show it done, or fails at its deadline and ends the walk of this slot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from cabinet.core.commission.findings import Cause, Check, Facts, Finding, Verdict, bad, good
from cabinet.core.commission.judge import PackKind, judge_bms
from cabinet.core.model import BmsReading

#: From a pulse to the door's switch; a spring needs less than a second.
OPEN_WAIT_MS: Final = 5_000
#: A battery's BMS wakes up within this time of being put in.
BMS_WAIT_MS: Final = 15_000


class Stage(StrEnum):
    """In the order in which they come; a slot with a battery in it skips some."""

    CLOSED = "closed"  # the door is shut to begin with
    OPEN = "open"
    INSERT = "insert"
    BMS = "bms"
    SHUT = "shut"
    CHARGE = "charge"
    REOPEN = "reopen"
    REMOVE = "remove"
    SHUT_EMPTY = "shut-empty"
    DONE = "done"


class Order(StrEnum):
    """What the shell does."""

    UNLOCK = "unlock"
    CHARGE = "charge"


WITH_PACK: Final = (Stage.CLOSED, Stage.OPEN, Stage.BMS, Stage.SHUT, Stage.CHARGE, Stage.DONE)
EMPTY: Final = (
    Stage.CLOSED,
    Stage.OPEN,
    Stage.INSERT,
    Stage.BMS,
    Stage.SHUT,
    Stage.CHARGE,
    Stage.REOPEN,
    Stage.REMOVE,
    Stage.SHUT_EMPTY,
    Stage.DONE,
)
#: A person does these, in his own time.
BY_HAND: Final = frozenset({Stage.CLOSED, Stage.INSERT, Stage.SHUT, Stage.REMOVE, Stage.SHUT_EMPTY})
_TOO_LATE: Final = {
    Stage.CLOSED: Cause.DOOR_NEVER_CLOSED,
    Stage.OPEN: Cause.LOCK_JAMMED,
    Stage.INSERT: Cause.NOT_INSERTED,
    Stage.BMS: Cause.BMS_SILENT,
    Stage.SHUT: Cause.DOOR_NEVER_CLOSED,
    Stage.CHARGE: Cause.NO_CURRENT,
    Stage.REOPEN: Cause.LOCK_JAMMED,
    Stage.REMOVE: Cause.NOT_REMOVED,
    Stage.SHUT_EMPTY: Cause.DOOR_NEVER_CLOSED,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the wires show now; None is unknown and never counts as either."""

    closed: bool | None = None
    present: bool | None = None
    bms: BmsReading | None = None
    opened_elsewhere: tuple[int, ...] = ()  # other doors that opened since the pulse
    bms_elsewhere: int | None = None  # another, empty slot's port at which a battery answers
    charged: Finding | None = None  # the trial charge, once it is over


@dataclass(frozen=True, slots=True)
class Limits:
    """How long people and the trial charge may take, and which batteries are ours."""

    hand_wait_ms: int
    charge_ms: int
    pack: PackKind
    charge: bool = True


@dataclass(frozen=True, slots=True)
class Walk:
    """Where the walk stands."""

    slot: int
    stages: tuple[Stage, ...]  # the present one first
    deadline_ms: int
    findings: tuple[Finding, ...] = ()

    @property
    def stage(self) -> Stage:
        """What is waited for now."""
        return self.stages[0]

    @property
    def is_over(self) -> bool:
        """Nothing more comes."""
        return self.stage is Stage.DONE


def begin(slot: int, seen: Seen, now_ms: int, limits: Limits) -> Walk:
    """Start at a slot; a battery that stands in it is used."""
    stages: tuple[Stage, ...] = WITH_PACK if seen.present else EMPTY
    if not limits.charge:
        stages = tuple(stage for stage in stages if stage is not Stage.CHARGE)
    return Walk(slot, stages, now_ms + limits.hand_wait_ms)


def step(walk: Walk, seen: Seen, now_ms: int, limits: Limits) -> tuple[Walk, Order | None]:
    """Look at the sensors once: stay, go on, or end at a failure."""
    if walk.is_over:
        return walk, None
    outcome = _outcome(walk, seen, limits)
    if outcome is None:
        if now_ms < walk.deadline_ms:
            return walk, None
        outcome = _bad(walk, _TOO_LATE[walk.stage])
    findings = (*walk.findings, outcome)
    if outcome.verdict is Verdict.FAILED:
        return replace(walk, stages=(Stage.DONE,), findings=findings), None
    following = replace(walk, stages=walk.stages[1:], findings=findings)
    wait_ms = _wait_ms(following.stage, limits)
    return replace(following, deadline_ms=now_ms + wait_ms), _order(following.stage)


def subject(slot: int) -> str:
    """How findings name a slot."""
    return f"slot {slot}"


def _outcome(walk: Walk, seen: Seen, limits: Limits) -> Finding | None:
    """What the sensors say about the present stage; None: not yet."""
    match walk.stage:
        case Stage.CLOSED | Stage.SHUT | Stage.SHUT_EMPTY:
            return _good(walk) if seen.closed else None
        case Stage.OPEN | Stage.REOPEN:
            if seen.opened_elsewhere:
                moved = ",".join(map(str, seen.opened_elsewhere))
                return _bad(walk, Cause.DOOR_ELSEWHERE, opened_slots=moved)
            return _good(walk) if seen.closed is False else None
        case Stage.INSERT:
            return _good(walk) if seen.present else None
        case Stage.BMS:
            if seen.bms is not None:
                told = judge_bms(subject(walk.slot), seen.bms, present=True, pack=limits.pack)
                facts: Facts = {"stage": walk.stage.value, **told.facts}
                return Finding(
                    check=Check.WALK,
                    subject=told.subject,
                    verdict=told.verdict,
                    cause=told.cause,
                    facts=facts,
                )
            if seen.bms_elsewhere is not None:
                return _bad(walk, Cause.BMS_ELSEWHERE, answers_at_slot=seen.bms_elsewhere)
            return None
        case Stage.CHARGE:
            return seen.charged
        case Stage.REMOVE:
            return _good(walk) if seen.present is False else None
        case Stage.DONE:
            return None


def _wait_ms(stage: Stage, limits: Limits) -> int:
    if stage in BY_HAND:
        return limits.hand_wait_ms
    if stage is Stage.CHARGE:
        return 2 * limits.charge_ms + BMS_WAIT_MS
    return BMS_WAIT_MS if stage is Stage.BMS else OPEN_WAIT_MS


def _order(stage: Stage) -> Order | None:
    if stage in {Stage.OPEN, Stage.REOPEN}:
        return Order.UNLOCK
    return Order.CHARGE if stage is Stage.CHARGE else None


def _good(walk: Walk) -> Finding:
    return good(Check.WALK, subject(walk.slot), stage=walk.stage.value)


def _bad(walk: Walk, cause: Cause, **facts: str | float | bool | None) -> Finding:
    return bad(Check.WALK, subject(walk.slot), cause, stage=walk.stage.value, **facts)
