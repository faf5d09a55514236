"""Real time drives the model, and the same deeds give the same run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from simulator.config import Config
from simulator.control.state import snapshot
from simulator.models.cabinet import Cabinet, PackOrder
from simulator.models.wiring import OUTPUT_PINS, Output, door_pin, presence_pin
from simulator.serve import build
from simulator.ticker import CATCH_UP_MAX_S, STEP_MIN_S, Ticker


@dataclass
class HandClock:
    """A clock that a test turns."""

    now_s: float = 100.0

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        return 1_700_000_000_000


def test_the_cabinet_follows_the_clock() -> None:
    clock, cabinet = HandClock(), Cabinet()
    ticker = Ticker(cabinet, clock, 0.1)
    for step_s in (0.25, STEP_MIN_S / 2, STEP_MIN_S / 2, 1.5):
        clock.now_s += step_s
        ticker.catch_up()
    assert ticker.now().log.sim_s == pytest.approx(clock.now_s - 100.0)


def test_time_of_a_stopped_machine_stays_lost() -> None:
    clock, cabinet = HandClock(), Cabinet()
    ticker = Ticker(cabinet, clock, 0.1)
    clock.now_s += 3_600.0
    assert ticker.now().log.sim_s == pytest.approx(CATCH_UP_MAX_S)
    clock.now_s += 1.0
    assert ticker.now().log.sim_s == pytest.approx(CATCH_UP_MAX_S + 1.0)


def test_frozen_time_is_not_made_up_for() -> None:
    clock, cabinet = HandClock(), Cabinet()
    ticker = Ticker(cabinet, clock, 0.1)
    ticker.now().freeze(frozen=True)
    clock.now_s += 5.0
    ticker.now().freeze(frozen=False)
    clock.now_s += 1.0
    assert ticker.now().log.sim_s == pytest.approx(1.0)


def test_the_configuration_becomes_a_cabinet() -> None:
    cabinet = build(Config(), HandClock()).now()
    held = [slot.pack.serial if slot.pack else None for slot in cabinet.slots]
    assert held == [f"YZ48-{number:06d}" for number in range(1, 10)] + [None] * 3
    assert all(slot.door.latched for slot in cabinet.slots)


def story(seed: int) -> object:
    cabinet = Cabinet(seed=seed, pace=30.0)
    cabinet.stock(1, PackOrder("A", soc_pct=30))
    for pin in (OUTPUT_PINS[Output.CONTACTOR], presence_pin(1)):
        cabinet.boards[pin.board].set(pin.channel, on=True)
    charger = cabinet.slot(1).charger
    charger.voltage_set_v, charger.current_set_a = 54.6, 6.0
    charger.set_output(on=True)
    for _ in range(50):
        cabinet.advance(0.37)
    pin = door_pin(1)
    cabinet.boards[pin.board].flash(pin.channel, 0.5, on=True)
    cabinet.remove(1)
    cabinet.advance(0.9)
    cabinet.insert(1, PackOrder("A"))
    cabinet.push_door(1)
    cabinet.advance(100.0)
    events = [dataclasses.asdict(event) for event in cabinet.log.since(0)]
    return snapshot(cabinet, 0).model_dump(), events


def test_the_same_seed_gives_the_same_run_and_another_does_not() -> None:
    assert story(5) == story(5)
    assert story(5) != story(6)
