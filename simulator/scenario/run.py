"""Plays a scenario: hands and faults through the control API, riders through the kiosk page."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from simulator.clock import Clock
from simulator.control.client import call
from simulator.errors import RequestRefusedError, SimulatorError, UnreachableError
from simulator.scenario.cabinet import CabinetLink, Json, signed_ticket
from simulator.scenario.judge import Sight, wrong
from simulator.scenario.model import Ask, Expect, FaultStep, Hand, Scenario, Step

LOOK_EVERY_S: Final = 0.1
#: A door that the cabinet has promised to open.
DOOR_WITHIN_S: Final = 30.0
#: A cabinet that has been started again reads every slot before it serves.
BACK_WITHIN_S: Final = 90.0
#: The longest that a transaction may still hang on after a failed scenario.
REST_WITHIN_S: Final = 260.0
RESTART_WITHIN_S: Final = 120.0
LEAD_OWN: Final = "YZ48-"
SERIAL_OWN: Final = "YZ48-000101"
SERIAL_FOREIGN: Final = "XX99-000001"
#: Charge of a pack that a rider brings: enough to be lent again, so that the stock lasts.
SOC_PCT: Final = 96.0
TEMP_C: Final = 25.0
IN_PROMPTS: Final = frozenset({"open-return", "put-battery", "nothing-in", "checking", "take-back"})
OUT_PROMPTS: Final = frozenset({"open-pickup", "take-battery", "not-taken", "close-door"})


class StepFailedError(SimulatorError):
    """A step did not go as the scenario says."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a run plays on.

    Args:
        sim_url: the simulator's control API.
        cabinet: the cabinetd on its wires.
        clock: for waiting.
        sleep: waits so many seconds.
        restart: command that ends cabinetd hard and starts it again; None: there is none.
        riders_from: running number of the first rider; each may swap twice a day.
        ticket_key: private half of the key that the cabinet checks tickets with; None: unknown.
    """

    sim_url: str
    cabinet: CabinetLink
    clock: Clock
    sleep: Callable[[float], None]
    restart: Sequence[str] | None = None
    riders_from: int = 1_000
    ticket_key: str | None = None


@dataclass(slots=True)
class Player:
    """One run of one scenario. ``say`` hears each step before it is done."""

    bench: Bench
    scenario: Scenario
    say: Callable[[int, Step], None]
    slots: dict[str, int] = field(default_factory=dict)
    serials: dict[str, str | None] = field(default_factory=dict)
    tickets: dict[int, str] = field(default_factory=dict)
    since: int = 0

    def play(self) -> None:
        """Every step, then back to rest, whatever came.

        Raises:
            SimulatorError: a step failed; the message names it.
        """
        self._rest()
        self.since = self._sim("GET", "/state")["event_seq"]
        self.serials["own"] = self._own()
        self.serials["foreign"], self.serials["nameless"] = SERIAL_FOREIGN, None
        try:
            for number, step in enumerate(self.scenario.steps, start=1):
                self.say(number, step)
                try:
                    self._do(step)
                except SimulatorError as error:
                    place = f"step {number} ({step.actions[0]})"
                    raise StepFailedError(f"{place}: {error}") from error
        finally:
            self._mend()
        self._rest()

    # --- steps ----------------------------------------------------------------------------------

    def _do(self, step: Step) -> None:
        match step:
            case Step(ask=Ask() as ask):
                self._ask(ask)
            case Step(hand=Hand() as hand):
                self._hand(hand)
            case Step(fault=FaultStep() as fault):
                self._fault(fault)
            case Step(expect=Expect() as expect):
                self._expect(expect)
            case Step(cabinet="restart"):
                self._restart()
            case Step(wait_s=float() as wait_s):
                self.bench.sleep(wait_s)
            case _:
                self._change(step)

    def _change(self, step: Step) -> None:
        """What is one request to the simulator."""
        if step.pack is not None:
            body = _given(step.pack, "soc_pct", "temp_c", "hold_temp", "bms_silent")
            for number in self._slots(step.pack.slot):
                self._sim("POST", f"/slots/{number}/pack", body)
        elif step.clear is not None:
            self._clear(step.clear)
        elif step.mend is not None:
            self._sim("DELETE", f"/faults?kind={step.mend.value}")
        elif step.contact is not None:
            name, active = step.contact.name.value, step.contact.active
            self._sim("POST", f"/inputs/{name}", {"active": active})
        else:
            self._sim("POST", "/speed", {"factor": step.speed})

    def _ask(self, ask: Ask) -> None:
        rider = self.bench.riders_from + ask.rider
        if ask.ticket is not None:
            text = self._ticket(ask.ticket, rider, ask.kind)
            reason = self.bench.cabinet.ticket(text, ask.wish)
        else:
            reason = self.bench.cabinet.code(rider, ask.wish, wrong=ask.code == "wrong")
        if reason != ask.refused:
            said = "yes" if reason is None else reason
            raise StepFailedError(f"the cabinet said {said}, expected {ask.refused or 'yes'}")
        if ask.wish == "go" and reason is None:
            self._bind()

    def _ticket(self, number: int, rider: int, kind: str) -> str:
        """This ticket of the scenario, signed when it is first shown."""
        key = self.bench.ticket_key
        if key is None:
            raise StepFailedError("there is no --ticket-key")
        if number not in self.tickets:
            wall_ms = self.bench.clock.wall_ms()
            name = f"scenario-{wall_ms}-{number}"
            self.tickets[number] = signed_ticket(rider, kind, name, wall_ms, key)
        return self.tickets[number]

    def _hand(self, hand: Hand) -> None:
        number = self._slot(hand.slot)
        path = f"/slots/{number}"
        if hand.do in {"insert", "remove"}:
            self._until(lambda: self._open(number), f"door {number} open")
        if hand.do == "insert":
            body: Json = {"soc_pct": SOC_PCT, "temp_c": TEMP_C, "bms_silent": False}
            body |= _given(hand, "soc_pct", "temp_c", "bms_silent")
            body["hold_temp"] = hand.temp_c is not None
            if hand.pack == "other":
                self.serials["other"] = self._fresh()
            self._sim("POST", f"{path}/insert", {**body, "serial": self._serial(hand.pack)})
        elif hand.do == "remove":
            self.serials["taken"] = self._sim("POST", f"{path}/remove")["serial"]
        else:
            self._sim("POST", f"{path}/door", {"action": hand.do})

    def _fault(self, fault: FaultStep) -> None:
        if fault.target is not None:
            self._strike(fault, fault.target)
        if fault.slot is not None:
            scopes = {k["kind"]: k["scope"] for k in self._sim("GET", "/faults/kinds")}
            lead = "slot" if scopes[fault.kind.value] in {"slot", "line"} else "bms"
            for number in self._slots(fault.slot):
                self._strike(fault, f"{lead}-{number:02d}")

    def _strike(self, fault: FaultStep, target: str) -> None:
        body = _given(fault, "value", "probability", "count", "duration_s")
        kind = {"target": target, "kind": fault.kind.value, "seed": self.scenario.seed}
        self._sim("POST", "/faults", {**body, **kind})

    def _clear(self, what: str) -> None:
        if what == "faults":
            self._sim("DELETE", "/faults")
            return
        for name, active in self._sim("GET", "/state")["inputs"].items():
            if active:
                self._sim("POST", f"/inputs/{name}", {"active": False})

    def _restart(self) -> None:
        if self.bench.restart is None:
            raise StepFailedError("there is no --restart command")
        command = list(self.bench.restart)
        done = subprocess.run(  # noqa: S603 - the user's own command, no shell
            command, capture_output=True, text=True, timeout=RESTART_WITHIN_S, check=False
        )
        if done.returncode != 0:
            raise StepFailedError(
                f"{command[0]} ended with {done.returncode}: {done.stderr[-200:]}"
            )
        self._until(self._serves, "cabinetd back", BACK_WITHIN_S)

    def _serves(self) -> bool:
        try:
            ready: bool = self.bench.cabinet.status()["ready"]
        except UnreachableError:
            return False
        return ready and self.bench.cabinet.kiosk()["prompt"]["key"] != "starting"

    def _expect(self, expect: Expect) -> None:
        end_s = self.bench.clock.monotonic_s() + expect.within_s
        while problems := self._wrong(expect):
            if self.bench.clock.monotonic_s() >= end_s:
                raise StepFailedError(f"after {expect.within_s:g} s: " + "; ".join(problems))
            self.bench.sleep(LOOK_EVERY_S)
        end_s = self.bench.clock.monotonic_s() + expect.for_s
        while self.bench.clock.monotonic_s() < end_s:
            if problems := self._wrong(expect):
                raise StepFailedError("it did not stay so: " + "; ".join(problems))
            self.bench.sleep(LOOK_EVERY_S)

    def _wrong(self, expect: Expect) -> list[str]:
        self._bind()
        slot = None if expect.slot is None else self._slot(expect.slot)
        events = self._sim("GET", f"/events?since={self.since}")["events"]
        cabinet = self.bench.cabinet
        truth, told, kiosk = self._sim("GET", "/state"), cabinet.status(), cabinet.kiosk()
        return wrong(expect, Sight(truth, told, kiosk, events, slot, self.serials))

    # --- names ----------------------------------------------------------------------------------

    def _bind(self) -> dict[str, int]:
        """Learn which doors the cabinet speaks of; every slot by name so far."""
        prompt = self.bench.cabinet.kiosk()["prompt"]
        if prompt["slot"] is not None:
            if prompt["key"] in IN_PROMPTS:
                if self.slots.get("in") not in {None, prompt["slot"]}:
                    self.slots.setdefault("before", self.slots["in"])
                self.slots["in"] = prompt["slot"]
            elif prompt["key"] in OUT_PROMPTS:
                self.slots["out"] = prompt["slot"]
        return self.slots

    def _slot(self, ref: int | str) -> int:
        if isinstance(ref, int):
            return ref
        if ref in {"in", "before", "out"}:
            self._until(lambda: ref in self._bind(), f"the cabinet names slot {ref}")
        elif ref not in self.slots:
            self.slots[ref] = self._idle_slot(ref)
        return self.slots[ref]

    def _slots(self, ref: int | str) -> list[int]:
        """The slots that a name of several stands for; the one slot of any other name."""
        if ref == "every-empty":
            return self._idle_slots({"empty"})
        if ref == "every-full":
            return self._idle_slots({"ready", "charging", "waiting", "reserved"})
        return [self._slot(ref)]

    def _idle_slot(self, ref: str) -> int:
        """A shut, healthy slot that no rider was told of."""
        states = {"empty": {"empty"}, "full": {"ready"}, "charging": {"charging"}}[ref]
        self._until(lambda: self._idle_slots(states), f"a free slot that is {ref}")
        return self._idle_slots(states)[0]

    def _idle_slots(self, states: set[str]) -> list[int]:
        told = {s["slot"]: s["state"] for s in self.bench.cabinet.status()["telemetry"]["slots"]}
        return [
            slot["slot"]
            for slot in self._sim("GET", "/state")["slots"]
            if told.get(slot["slot"]) in states
            and slot["door"] == "closed"
            and slot["slot"] not in self.slots.values()
        ]

    def _own(self) -> str:
        """The pack in the rider's hand: one that left this cabinet, else a new one."""
        left = [pack["id"] for pack in self._sim("GET", "/shelf") if pack["fresh"] is None]
        good = [serial for serial in left if serial.startswith(LEAD_OWN)]
        stand = [
            slot["pack"]["serial"] for slot in self._sim("GET", "/state")["slots"] if slot["pack"]
        ]
        if good:
            return str(good[0])
        return SERIAL_OWN if SERIAL_OWN not in stand else self._fresh()

    def _serial(self, name: str) -> str | None:
        if name not in self.serials:
            raise StepFailedError(f"nobody has a pack that is {name} so far")
        return self.serials[name]

    def _fresh(self) -> str:
        found = next(pack for pack in self._sim("GET", "/shelf") if pack["fresh"] == "low")
        return str(found["body"]["serial"])

    # --- before and after -----------------------------------------------------------------------

    def _mend(self) -> None:
        """Nothing of the scenario stands on: faults, contacts, open doors, a quicker time."""
        self._clear("faults")
        self._clear("contacts")
        self._sim("POST", "/speed", {"factor": 1.0})

    def _rest(self) -> None:
        """Shut what is open and wait until nothing is under way."""

        def resting() -> bool:
            for slot in self._sim("GET", "/state")["slots"]:
                if slot["door"] == "open":
                    self._sim("POST", f"/slots/{slot['slot']}/door", {"action": "close"})
            kiosk = self.bench.cabinet.kiosk()
            return not kiosk["active"] and kiosk["prompt"]["key"] != "starting"

        self._until(resting, "the cabinet at rest", REST_WITHIN_S)

    # --- helpers --------------------------------------------------------------------------------

    def _open(self, number: int) -> bool:
        """Whether the door is open and the cabinet has seen it: no hand is quicker than that."""
        slots = self.bench.cabinet.status()["telemetry"]["slots"]
        told = next((slot["door"] for slot in slots if slot["slot"] == number), None)
        true = self._sim("GET", "/state")["slots"][number - 1]["door"]
        return bool(told == true == "open")

    def _until(
        self, condition: Callable[[], object], what: str, within_s: float = DOOR_WITHIN_S
    ) -> None:
        end_s = self.bench.clock.monotonic_s() + within_s
        while not condition():
            if self.bench.clock.monotonic_s() >= end_s:
                raise StepFailedError(f"not within {within_s:g} s: {what}")
            self.bench.sleep(LOOK_EVERY_S)

    def _sim(self, method: str, path: str, body: Json | None = None) -> Any:
        try:
            return call(self.bench.sim_url, method, path, body if method == "POST" else None)
        except RequestRefusedError as error:
            raise StepFailedError(f"{method} {path}: {error}") from error


def _given(part: object, *names: str) -> Json:
    return {name: value for name in names if (value := getattr(part, name)) is not None}
