"""What a staged roll-out is made of: plan, members, what cabinets tell, and what is to be sent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from fleet.core.templates import Values, Wishes
from fleet.errors import InvalidError

CABINETS_MAX: Final = 100_000
STAGES_MAX: Final = 10
SOAK_S_MAX: Final = 14 * 24 * 3600
#: One cabinet, 5 %, 25 %, all.
STAGES_DEFAULT: Final = (0, 5, 25, 100)
SOAK_S_DEFAULT: Final = 1800


class Kind(StrEnum):
    """What is rolled out."""

    CONFIG = "config"  # settings, which the fleet sends
    SOFTWARE = (
        "software"  # a release, which technicians or their tools install: a record that watches
    )


class Phase(StrEnum):
    """How far it is."""

    PLANNED = "planned"
    APPLYING = "applying"  # a stage was sent and is not running everywhere yet
    SOAKING = "soaking"  # it runs; is anything amiss?
    PAUSED = "paused"
    ROLLING_BACK = "rolling-back"
    DONE = "done"
    ROLLED_BACK = "rolled-back"
    STOPPED = "stopped"


OVER: Final = frozenset({Phase.DONE, Phase.ROLLED_BACK, Phase.STOPPED})


class Signal(StrEnum):
    """What moves it on."""

    START = "start"
    APPLIED = "applied"  # every cabinet of the stage that is there runs it
    SOAKED = "soaked"
    LAST_SOAKED = "last-soaked"
    FAILED = "failed"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    REVERTED = "reverted"


class Criteria(Struct, frozen=True):
    """When it stops by itself. Every figure is a bound that must not be passed."""

    failures_max: int = 0  # cabinets that refuse, fall silent or raise alarms
    failures_pct: int = 2  # or as many of those that have it, where that is more
    apply_within_s: int = 600  # an online cabinet takes settings over after the swap under way
    silent_after_s: int = 180
    swaps_min: int = 20  # fewer say nothing about success
    success_drop_pct: int = 5  # below what it was on the day before


class Member(Struct, frozen=True):
    """One cabinet that has been sent something."""

    stage: int
    version: int  # sent; 0 where nothing is sent
    sent_ms: int
    online: bool  # when it was sent; one that was away holds nobody up
    before: Values = {}
    alarms: tuple[str, ...] = ()  # that stood already
    back: int = 0  # the version that takes it back


class Rollout(Struct, frozen=True, kw_only=True):
    """One roll-out, whole; its steps are in ``fleet.core.rollout``."""

    id: str
    kind: Kind
    model: str
    actor: str
    reason: str
    created_ms: int
    cabinets: tuple[str, ...]
    values: Wishes = {}  # None gives a setting back
    software: str = ""
    stages: tuple[int, ...] = STAGES_DEFAULT  # percent of all, rising; 0 is one cabinet
    soak_s: int = SOAK_S_DEFAULT
    criteria: Criteria = Criteria()
    baseline_pct: int | None = None  # of swaps that succeeded on the day before
    phase: Phase = Phase.PLANNED
    stage: int = 0
    since_ms: int = 0  # of the phase
    members: dict[str, Member] = {}
    cause: str = ""  # why it stopped

    @property
    def over(self) -> bool:
        """Whether nothing will happen any more."""
        return self.phase in OVER

    def size(self, stage: int) -> int:
        """How many cabinets have it once this stage is through."""
        total = len(self.cabinets)
        if stage >= len(self.stages) - 1:
            return total
        return min(total, max(1, math.ceil(total * self.stages[stage] / 100)))


class Fact(Struct, frozen=True):
    """What one cabinet tells now, and what the fleet has sent it so far."""

    online: bool
    age_ms: int | None  # of its telemetry
    version: int = 0  # of the settings that it runs
    refused: int = 0
    fault: str = ""
    software: str = ""
    alarms: tuple[str, ...] = ()
    completed: int = 0  # swaps since the roll-out began
    failed: int = 0
    held_version: int = 0
    held: Values = {}  # the settings that the fleet wishes it to have


class Send(Struct, frozen=True):
    """The settings that one cabinet is to have from now on, whole."""

    cabinet: str
    version: int
    values: Values


def check_stages(stages: Sequence[int], soak_s: int) -> tuple[int, ...]:
    """Usable stages; raise InvalidError naming the field."""
    if not 1 <= len(stages) <= STAGES_MAX:
        raise InvalidError(f"stages: expected 1 to {STAGES_MAX} of them")
    if list(stages) != sorted(set(stages)) or stages[0] < 0 or stages[-1] != 100:
        text = "expected rising percentages up to 100; 0 stands for one cabinet"
        raise InvalidError(f"stages {','.join(map(str, stages))}: {text}")
    if not 0 <= soak_s <= SOAK_S_MAX:
        raise InvalidError(f"soak_s {soak_s}: expected 0 to {SOAK_S_MAX} seconds")
    return tuple(stages)


def parse_stages(text: str) -> tuple[int, ...]:
    """``0,5,25,100`` as numbers; raise InvalidError."""
    try:
        return tuple(int(each) for each in text.replace(" ", "").split(","))
    except ValueError as error:
        what = "expected rising percentages up to 100, such as 0,5,25,100"
        raise InvalidError(f"stages {text!r}: {what}", code="stages-invalid") from error
