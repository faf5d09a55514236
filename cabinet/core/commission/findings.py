"""The outcome of a check as data: a verdict, what was seen, the likely cause and the next step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct, field

#: What a check saw, by name; the unit ends the name.
Facts = Mapping[str, str | int | float | bool | None]


class Check(StrEnum):
    """What was looked at."""

    SCAN = "scan"
    LOCK = "lock"
    DOOR = "door"
    BMS = "bms"
    CHARGER = "charger"
    METER = "meter"
    CLIMATE = "climate"
    WALK = "slot-walk"
    ADDRESS = "address"


class Verdict(StrEnum):
    """Only ``FAILED`` makes a command fail; ``SKIPPED`` was not tried and proves nothing."""

    OK = "ok"
    WARN = "warn"
    SKIPPED = "skipped"
    FAILED = "failed"


class Cause(StrEnum):
    """Why a check did not simply pass; each has its texts in ``advice``."""

    NO_ANSWER = "no-answer"
    EMPTY_SLOT = "empty-slot"
    NO_MAINS = "no-mains"
    NOISE = "noise"
    ECHO = "echo"
    COLLISION = "collision"
    PORT_BUSY = "port-busy"
    PORT_MISSING = "port-missing"
    PORT_DENIED = "port-denied"
    PORT_UNFIT = "port-unfit"
    UNKNOWN_DEVICE = "unknown-device"
    UNSTEADY = "unsteady"
    SLOW = "slow"
    SCANNER_PORT = "scanner-port"
    NEEDS_YES = "needs-yes"
    REFUSED = "refused"
    BAD_REPLY = "bad-reply"
    LOCK_JAMMED = "lock-jammed"
    DOOR_OPEN = "door-open"
    DOOR_NEVER_CLOSED = "door-never-closed"
    DOOR_NOT_MOVED = "door-not-moved"
    DOOR_BOUNCES = "door-bounces"
    DOOR_ELSEWHERE = "door-elsewhere"
    PULSE_UNSURE = "pulse-unsure"
    NOT_INSERTED = "not-inserted"
    NOT_REMOVED = "not-removed"
    BMS_SILENT = "bms-silent"
    BMS_WITHOUT_SWITCH = "bms-without-switch"
    BMS_ELSEWHERE = "bms-elsewhere"
    NO_SERIAL = "no-serial"
    SERIAL_TWICE = "serial-twice"
    PROTECTION = "protection"
    CELL_IMBALANCE = "cell-imbalance"
    CELL_IMPLAUSIBLE = "cell-implausible"
    PACK_FOREIGN = "pack-foreign"
    PACK_HOT = "pack-hot"
    PACK_COLD = "pack-cold"
    NO_SENSOR = "no-sensor"
    OUTPUT_ON = "output-on"
    CHARGER_LATCHED = "charger-latched"
    NO_CURRENT = "no-current"
    CURRENT_ELSEWHERE = "current-elsewhere"
    CURRENT_UNSTOPPED = "current-unstopped"
    PACK_FULL = "pack-full"
    MAINS_VOLTAGE = "mains-voltage"
    POWER_NEGATIVE = "power-negative"
    CLIMATE_IMPLAUSIBLE = "climate-implausible"
    ADDRESS_TAKEN = "address-taken"
    ADDRESS_NOT_TAKEN_UP = "address-not-taken-up"
    ADDRESS_AFTER_POWER = "address-after-power"


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One check of one thing. ``cause`` is there whenever the verdict is not simply ok."""

    check: Check
    subject: str  # a device or port by its name, or "slot 3"
    verdict: Verdict
    cause: Cause | None = None
    facts: Facts = field(default_factory=dict)


def good(check: Check, subject: str, **facts: str | float | bool | None) -> Finding:
    """It passed."""
    return Finding(check=check, subject=subject, verdict=Verdict.OK, facts=facts)


def bad(check: Check, subject: str, cause: Cause, **facts: str | float | bool | None) -> Finding:
    """It failed, most likely for this cause."""
    return Finding(check=check, subject=subject, verdict=Verdict.FAILED, cause=cause, facts=facts)


def warn(check: Check, subject: str, cause: Cause, **facts: str | float | bool | None) -> Finding:
    """It works, but somebody should look at it."""
    return Finding(check=check, subject=subject, verdict=Verdict.WARN, cause=cause, facts=facts)


def skipped(
    check: Check, subject: str, cause: Cause, **facts: str | float | bool | None
) -> Finding:
    """It was not tried."""
    return Finding(check=check, subject=subject, verdict=Verdict.SKIPPED, cause=cause, facts=facts)


def worst(findings: Iterable[Finding]) -> Verdict:
    """The verdict of all together; skipped when there is none."""
    rank = (Verdict.SKIPPED, Verdict.OK, Verdict.WARN, Verdict.FAILED)
    return max((finding.verdict for finding in findings), key=rank.index, default=Verdict.SKIPPED)


def counts(findings: Iterable[Finding]) -> dict[Verdict, int]:
    """How many there are of each verdict; every verdict is a key."""
    found = dict.fromkeys(Verdict, 0)
    for finding in findings:
        found[finding.verdict] += 1
    return found
