"""Whether what is expected is true; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.scenario.model import Expect

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything that an expectation may speak of, at one instant.

    Args:
        truth: the simulator's state.
        told: the cabinet's own status.
        kiosk: what its kiosk page shows.
        events: what truly happened since the scenario began.
        slot: the number of the expectation's slot, if it has one.
        serials: serial by name of a pack; None cannot be read.
    """

    truth: Json
    told: Json
    kiosk: Json
    events: Sequence[Json]
    slot: int | None
    serials: dict[str, str | None] = field(default_factory=dict)

    @property
    def true_slot(self) -> Json:
        """The slot as it is."""
        assert self.slot is not None
        found: Json = self.truth["slots"][self.slot - 1]
        return found

    @property
    def told_slot(self) -> Json:
        """The slot as the cabinet sees it."""
        return next(s for s in self.told["telemetry"]["slots"] if s["slot"] == self.slot)


def wrong(expect: Expect, sight: Sight) -> list[str]:
    """What is not as expected, in words; nothing when all is."""
    found = _rider(expect, sight) + _happened(expect, sight)
    if sight.slot is not None:
        found += _slot(expect, sight)
    return found


def _rider(expect: Expect, sight: Sight) -> list[str]:
    prompt, alarms = sight.kiosk["prompt"], sight.told["telemetry"]["alarms"]
    found = [
        *_among("prompt", expect.prompt, prompt["key"]),
        *_among("reason", expect.reason, prompt["reason"]),
    ]
    if expect.alarm is not None and expect.alarm not in alarms:
        found.append(f"alarm: expected {expect.alarm}, there are {alarms or 'none'}")
    if expect.quiet is not None and sight.kiosk["active"] == expect.quiet:
        found.append(f"quiet: expected {expect.quiet}")
    return found


def _happened(expect: Expect, sight: Sight) -> list[str]:
    def count(kind: str) -> int:
        here = (None, sight.slot) if sight.slot is None else (sight.slot,)
        return sum(
            event["kind"] == kind and (sight.slot is None or event["slot"] in here)
            for event in sight.events
        )

    found = []
    if expect.event is not None and not count(expect.event.value):
        found.append(f"event: no {expect.event.value} so far")
    if expect.pulses_max is not None and count("lock-pulse") > expect.pulses_max:
        found.append(f"pulses_max: {count('lock-pulse')} lock pulses, {expect.pulses_max} at most")
    if expect.opened_max is not None and count("door-opened") > expect.opened_max:
        found.append(f"opened_max: {count('door-opened')} doors, {expect.opened_max} at most")
    return found


def _slot(expect: Expect, sight: Sight) -> list[str]:
    true, told = sight.true_slot, sight.told_slot
    found = list(_among("state", expect.state, told["state"]))
    if expect.door is not None and true["door"] != expect.door:
        found.append(f"door: slot {sight.slot} is {true['door']}")
    if expect.charging is not None and true["charging"] != expect.charging:
        found.append(f"charging: slot {sight.slot} is {true['charging']}")
    if expect.flag is not None and expect.flag not in told["flags"]:
        found.append(f"flag: slot {sight.slot} has {told['flags'] or 'none'}")
    if expect.holds is not None and not _holds(expect.holds, true["pack"], sight.serials):
        held = true["pack"]["serial"] if true["pack"] else "nothing"
        found.append(f"holds: slot {sight.slot} has {held}, expected {expect.holds}")
    return found


def _holds(name: str, pack: Json | None, serials: dict[str, str | None]) -> bool:
    if name == "nothing":
        return pack is None
    if pack is None:
        return False
    return name == "any" or (name in serials and pack["serial"] == serials[name])


def _among(what: str, wanted: Sequence[str] | str | None, found: str | None) -> list[str]:
    if wanted is None:
        return []
    allowed = (wanted,) if isinstance(wanted, str) else wanted
    return [] if found in allowed else [f"{what}: is {found}, expected {' or '.join(allowed)}"]
