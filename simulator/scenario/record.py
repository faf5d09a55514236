"""Makes a scenario of what a cabinet was seen to do: recorded on hardware, played on the simulator.

Looks only at what cabinetd tells on its status and kiosk pages, so it works on a real cabinet, over
the network, without touching it. Pure: looks go in, steps come out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

Json = dict[str, Any]
ENDS: Final = frozenset({"done", "rejected", "cancelled", "faulted"})
#: What the rider is told while the cabinet works; too short-lived to be waited for again.
FLEETING: Final = frozenset({"open-return", "open-pickup", "checking", "starting"})
IN_PROMPTS: Final = frozenset({"put-battery", "nothing-in", "take-back"})
OUT_PROMPTS: Final = frozenset({"take-battery", "not-taken", "close-door"})
REPLAY_WITHIN_S: Final = 60


@dataclass(slots=True)
class Recorder:
    """Feed it looks; ``steps`` grows."""

    steps: list[Json] = field(default_factory=list)
    _names: dict[int, str] = field(default_factory=dict)
    _slots: dict[int, Json] = field(default_factory=dict)
    _prompt: str = ""
    _active: bool = False

    def look(self, told: Json, kiosk: Json) -> None:
        """One look at status and kiosk page."""
        self._transaction(kiosk)
        swap = told.get("swap") or {}  # names both doors from the reservation on
        for key, name in (("slot_in", "in"), ("slot_out", "out")):
            if swap.get(key) is not None:
                self._names[swap[key]] = name
        before, self._slots = self._slots, {s["slot"]: s for s in told["telemetry"]["slots"]}
        for number, slot in self._slots.items():
            if number in before:
                self.steps += _hands(before[number], slot, self._names.get(number, number))
        self._say(kiosk["prompt"])

    def _transaction(self, kiosk: Json) -> None:
        prompt = kiosk["prompt"]
        if kiosk["active"] and not self._active:
            self.steps.append({"ask": {"rider": 1}})
            self._names = {}
        self._active = kiosk["active"]
        if prompt["slot"] is not None:
            if prompt["key"] in IN_PROMPTS | {"open-return", "checking"}:
                self._names[prompt["slot"]] = "in"
            elif prompt["key"] in OUT_PROMPTS | {"open-pickup"}:
                self._names[prompt["slot"]] = "out"

    def _say(self, prompt: Json) -> None:
        key = prompt["key"]
        known = key in IN_PROMPTS | OUT_PROMPTS | ENDS
        if key != self._prompt and known and key not in FLEETING and self.steps:
            expect: Json = {"prompt": key, "within_s": REPLAY_WITHIN_S}
            if prompt["reason"]:
                expect["reason"] = prompt["reason"]
            self.steps.append({"expect": expect})
        self._prompt = key


def scenario_text(steps: list[Json], name: str, title: str) -> str:
    """The file that holds these steps."""
    document = {"schema": 1, "name": name, "title": title, "steps": steps}
    found: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return found


def _hands(before: Json, now: Json, name: int | str) -> Iterator[Json]:
    """What hands did at one slot between two looks."""
    was, present = before["presence"], now["presence"]
    if (was, present) == ("absent", "present"):
        yield {"hand": {"do": "insert", "slot": name, "pack": "own"}}
    elif (was, present) == ("present", "absent"):
        yield {"hand": {"do": "remove", "slot": name}}
    if (before["door"], now["door"]) == ("open", "closed"):
        yield {"hand": {"do": "close", "slot": name}}
