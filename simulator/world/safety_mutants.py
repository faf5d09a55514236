"""The rules of local safety, broken one at a time, each with the scenario that notices.

A scenario drives the real engine and returns what is wrong, or None. With the rules as they are it
must return None; with its rule broken it must not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cabinet.core import engine_orders, safety, safety_slot, safety_state
from cabinet.core.model import Input, Output, SlotImage
from cabinet.core.safety_limits import Limits
from cabinet.core.safety_state import Code, SafetyState
from protocols.messages import Door, SlotState
from simulator.world.mutants import Patches
from simulator.world.safety_bench import Bench

Scenario = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, how it is broken, and who notices."""

    name: str
    promise: str
    apply: Callable[[Patches], None]
    scenario: Scenario


def catches(rule: Rule) -> tuple[str | None, str | None]:
    """What the scenario says with the rule whole, and with it broken."""
    whole = rule.scenario()
    patches = Patches()
    rule.apply(patches)
    try:
        return whole, rule.scenario()
    finally:
        patches.put_back()


# --- ways to break ------------------------------------------------------------------------------


def _no_code(code: Code) -> Callable[[Patches], None]:
    def apply(patches: Patches) -> None:
        codes = safety_slot._codes  # noqa: SLF001 - a mutant works inside
        patches.everywhere(safety_slot, "_codes", lambda *args: codes(*args) - {code})

    return apply


def _no_trip(code: Code) -> Callable[[Patches], None]:
    def apply(patches: Patches) -> None:
        with_trip = safety_state.with_trip

        def blind(state: Any, trip: Any) -> Any:
            return state if trip.code is code else with_trip(state, trip)

        patches.everywhere(safety_state, "with_trip", blind)

    return apply


def _verdict(**fields: Any) -> Callable[[Patches], None]:
    def apply(patches: Patches) -> None:
        judged = safety._verdict  # noqa: SLF001 - what is to be broken

        def changed(*args: Any) -> Any:
            return msgspec.structs.replace(judged(*args), **fields)

        patches.attribute(safety, "_verdict", changed)

    return apply


def _finding(**fields: Any) -> Callable[[Patches], None]:
    def apply(patches: Patches) -> None:
        judge = safety_slot.judge

        def changed(*args: Any, **more: Any) -> Any:
            return msgspec.structs.replace(judge(*args, **more), **fields)

        patches.everywhere(safety_slot, "judge", changed)

    return apply


def _track_without(**fields: Any) -> Callable[[Patches], None]:
    def apply(patches: Patches) -> None:
        judge = safety_slot.judge

        def changed(slot: Any, track: Any, **more: Any) -> Any:
            return judge(slot, msgspec.structs.replace(track, **fields), **more)

        patches.everywhere(safety_slot, "judge", changed)

    return apply


def _set(owner: Any, name: str, value: Any) -> Callable[[Patches], None]:
    def apply(patches: Patches) -> None:
        patches.attribute(owner, name, value)

    return apply


def _released(patches: Patches) -> None:
    trip = safety._trip  # noqa: SLF001 - what is to be broken

    def forgiving(*args: Any) -> Any:
        state = trip(*args)
        return msgspec.structs.replace(state, trips=tuple(t for t in state.trips if t.active))

    patches.attribute(safety, "_trip", forgiving)


def _any_clear(patches: Patches) -> None:
    def clear(state: SafetyState, code: str, slot: int | None = None) -> SafetyState:
        kept = tuple(t for t in state.trips if t.code != code or slot not in {None, t.slot})
        return msgspec.structs.replace(state, trips=kept)

    patches.attribute(safety, "clear", clear)


# --- scenarios ----------------------------------------------------------------------------------


def _cell(what: str, **fields: Any) -> Scenario:
    """With the pack like this it is not charged."""

    def scenario() -> str | None:
        bench = Bench()
        if not bench.charges():
            return "a healthy pack is not charged"
        for name, value in fields.items():
            setattr(bench.cells[1], name, value)
        bench.run(14_000)
        return f"charged {what}" if bench.charges() else None

    return scenario


def _contact(name: Input) -> Scenario:
    def scenario() -> str | None:
        bench = Bench()
        bench.contacts[name] = True
        bench.run(1_000)
        return f"AC in spite of {name.value}" if bench.live else None

    return scenario


def _stale_contact(name: Input) -> Scenario:
    def scenario() -> str | None:
        bench = Bench()
        bench.contacts[name] = None
        bench.run(6_000)
        return f"charges though {name.value} is not read" if bench.charges() else None

    return scenario


def _derated() -> str | None:
    bench = Bench()
    full = bench.amps()
    bench.cells[1].temp_c = 43.0
    bench.run(5_000)
    return "full current at 43 °C" if bench.amps() >= full else None


def _resumes_late() -> str | None:
    bench = Bench()
    bench.cells[1].temp_c = 46.0
    bench.run(3_000)
    bench.cells[1].temp_c = 44.5
    bench.run(3_000)
    return "charges again before it is cool" if bench.charges() else None


def _hot_cut() -> str | None:
    bench = Bench()
    bench.cells[1].temp_c = 52.0
    bench.run(2_000)
    return "slot AC held at 52 °C" if bench.ac.get(1) else None


def _hot_offered() -> str | None:
    bench = Bench()
    bench.cells[2].temp_c = 52.0
    bench.run(2_000)
    return "a hot pack is offered" if _state(bench, 2) is SlotState.READY else None


def _state(bench: Bench, slot: int) -> SlotState:
    from cabinet.core.engine import Now  # noqa: PLC0415 - a name for one line

    now = Now(bench.now_ms, bench.now_ms, wall_synced=True)
    return bench.engine.telemetry(bench.state, now).slots[slot - 1].state


def _air_trip() -> str | None:
    bench = Bench()
    bench.cells[1].air_c = 61.0
    bench.run(2_000)
    bench.cells[1].air_c = 30.0
    bench.run(2_000)
    return "AC after 61 °C of air" if bench.ac.get(1) else None


def _air_locks() -> str | None:
    bench = Bench()
    bench.cells[1].air_c = 61.0
    bench.run(2_000)
    return None if 1 in bench.state.verdict.locked_slots else "the door may open on a hot slot"


def _air_warns() -> str | None:
    bench = Bench()
    bench.cells[1].air_c = 56.0
    bench.run(2_000)
    codes = {alarm.code for alarm in bench.state.durable.alarms}
    return None if Code.AIR_WARM.value in codes else "no word of warm air"


def _rise() -> str | None:
    bench = Bench()
    for _ in range(10):
        bench.cells[1].temp_c += 0.75
        bench.run(30_000)
    return "charges on a fast rise" if bench.charges() else None


def _fire() -> str | None:
    bench = Bench()
    bench.climate_c = 82.0
    bench.run(1_000)
    bench.climate_c = 30.0
    bench.run(1_000)
    return "AC after 82 °C" if bench.live else None


def _burning(output: Output, *, on: bool) -> Scenario:
    def scenario() -> str | None:
        bench = Bench()
        bench.climate_c = 40.0
        bench.run(1_000)
        bench.contacts[Input.SMOKE] = True
        bench.run(1_000)
        wrong = bench.outputs.get(output, False) is not on
        return f"{output.value} is {'off' if on else 'on'} in smoke" if wrong else None

    return scenario


def _doors(name: Input) -> Scenario:
    def scenario() -> str | None:
        bench = Bench()
        bench.contacts[name] = True
        bench.run(1_000)
        locked = bench.state.verdict.doors_locked
        return None if locked else f"rider doors move with {name.value}"

    return scenario


def _latched() -> str | None:
    bench = Bench()
    bench.contacts[Input.SMOKE] = True
    bench.run(1_000)
    bench.contacts[Input.SMOKE] = False
    bench.run(600_000 // 20)
    return "AC came back by itself" if bench.live else None


def _cleared_only_when_gone() -> str | None:
    bench = Bench()
    bench.contacts[Input.SMOKE] = True
    bench.run(1_000)
    cleared = safety.clear(bench.state.safety, Code.SMOKE.value)
    return None if cleared.has(Code.SMOKE) else "cleared while it smokes"


def _survives() -> str | None:
    bench = Bench()
    bench.contacts[Input.SMOKE] = True
    bench.run(1_000)
    bench.contacts[Input.SMOKE] = False
    bench.reboot()
    return "a restart released the trip" if bench.live else None


def _breaker() -> str | None:
    bench = Bench()
    bench.power_w = 4_000.0
    bench.run(3_000)
    shed = bench.state.verdict.power_cap_w < 3_500
    return None if shed else "nothing is shed above the breaker"


def _quarantine_charged() -> str | None:
    bench = Bench()
    bench.cells[1].protection = frozenset({"short-circuit"})
    bench.run(5_000)
    return None if 1 in bench.state.verdict.quarantine else "an ill pack is not in quarantine"


def _before_first_read() -> str | None:
    bench = Bench()
    bench.cells[2].door = Door.UNKNOWN
    bench.state = bench.engine.initial(_nothing(), "boot-3")
    bench.safe()
    bench.run(2_000)
    return "power before every slot was read" if bench.live else None


def _nothing() -> Any:
    from cabinet.core.records import Restored  # noqa: PLC0415 - a name for one line

    return Restored()


def _always_ready(patches: Patches) -> None:
    hold = engine_orders.hold_power

    def eager(draft: Any) -> None:
        ready = draft.state.ready
        draft.put(ready=True)
        hold(draft)
        draft.put(ready=ready)

    patches.attribute(engine_orders, "hold_power", eager)


def _no_shed(patches: Patches) -> None:
    patches.attribute(safety, "_shed", lambda shed, *_: shed)


RULES: Final = (
    Rule("cold", "no charge below 0 °C", _no_code(Code.CELL_COLD), _cell("at -5 °C", temp_c=-5.0)),
    Rule("warm", "no charge from 45 °C", _no_code(Code.CELL_WARM), _cell("at 46 °C", temp_c=46.0)),
    Rule("hot", "no charge from 50 °C", _no_code(Code.CELL_HOT), _hot_cut),
    Rule("derate", "less current from 40 °C", _set(Limits, "derate", lambda *_: 1.0), _derated),
    Rule("resume", "cool before charging again", _track_without(warm=False), _resumes_late),
    Rule("hot-ac", "slot AC goes at 50 °C", _set(safety_slot, "AC_OFF", frozenset()), _hot_cut),
    Rule(
        "hot-offer", "a hot pack is not offered", _set(safety_slot, "QUARANTINE", frozenset()),
        _hot_offered,
    ),
    Rule(
        "over-voltage", "no charge of a full cell", _no_code(Code.CELL_OVER_VOLTAGE),
        _cell("at 4.3 V", volts=4.3),
    ),
    Rule(
        "damaged", "no charge of a cell below 2 V", _no_code(Code.CELL_DAMAGED),
        _cell("at 1.5 V", volts=1.5),
    ),
    Rule(
        "protection", "no charge against the pack's own guard", _no_code(Code.BMS_PROTECTION),
        _cell("against its guard", protection=frozenset({"cell-over-voltage"})),
    ),
    Rule(
        "ill", "an ill pack goes into quarantine", _set(safety_slot, "_ill", lambda _: False),
        _quarantine_charged,
    ),
    Rule(
        "bms-silent", "no charge on an old BMS reading",
        _set(SlotImage, "bms_now", lambda slot, *_: slot.bms),
        _cell("without its BMS", silent=True),
    ),
    Rule(
        "charger", "a charger that strays or trips loses its AC",
        _set(safety_slot, "_watch_charger", lambda track, *_, **__: track),
        _cell("by a tripped charger", charger="ovp"),
    ),
    Rule("door", "no charge behind an open door",
         _set(SlotImage, "door_now", lambda *_: Door.CLOSED),
         _cell("behind an open door", door=Door.OPEN)),
    Rule("air-warn", "warm air is told", _no_code(Code.AIR_WARM), _air_warns),
    Rule("air-trip", "60 °C of air takes the AC", _finding(air_tripped=False), _air_trip),
    Rule("air-lock", "and locks the door", _verdict(locked_slots=frozenset()), _air_locks),
    Rule("rise", "no charge on a fast rise", _set(safety_slot, "rises", lambda *_: False), _rise),
    Rule("fire", "80 °C takes all AC", _no_trip(Code.FIRE), _fire),
    Rule("smoke", "smoke takes all AC", _no_trip(Code.SMOKE), _contact(Input.SMOKE)),
    Rule("flood", "water takes all AC", _no_trip(Code.FLOOD), _contact(Input.FLOOD)),
    Rule("e-stop", "the e-stop takes all AC", _no_trip(Code.ESTOP), _contact(Input.ESTOP)),
    Rule(
        "smoke-read", "no charge with smoke unread", _set(safety, "_NEEDED", ()),
        _stale_contact(Input.SMOKE),
    ),
    Rule(
        "siren", "smoke sounds the siren", _verdict(siren=False), _burning(Output.SIREN, on=True)
    ),
    Rule(
        "extinguisher", "smoke releases the extinguisher", _verdict(extinguisher=False),
        _burning(Output.EXTINGUISHER, on=True),
    ),
    Rule("fan", "no fan in a fire", _verdict(fan=True), _burning(Output.FAN, on=False)),
    Rule("fire-doors", "smoke locks the doors", _verdict(doors_locked=False), _doors(Input.SMOKE)),
    Rule(
        "service-doors", "so does the service door", _verdict(doors_locked=False),
        _doors(Input.SERVICE_DOOR),
    ),
    Rule("latch", "a trip stays", _released, _latched),
    Rule("clear", "cleared only when its cause is gone", _any_clear, _cleared_only_when_gone),
    Rule(
        "restart", "a trip outlives a restart",
        _set(SafetyState, "latched", property(lambda _: SafetyState())), _survives,
    ),
    Rule("breaker", "above the breaker power is shed", _no_shed, _breaker),
    Rule("first-read", "no power before all is read", _always_ready, _before_first_read),
)  # fmt: skip
