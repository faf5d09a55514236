"""Latching, clearing, and the rules that need a history: heat that rises, chargers that go mad."""

from __future__ import annotations

import msgspec
import pytest

from cabinet.core.model import ClimateReading, Image, Input
from cabinet.core.safety import Code, Limits, SafetyState, Trip, Verdict, clear, step
from tests.support.safety import (
    NOW_MS,
    bms,
    charger,
    charging_image,
    codes,
    empty,
    image,
    inputs,
    judged,
    slot,
)

ONE = frozenset({1})
MINUTE_MS = 60_000
COOLDOWN_MS = 300_000


class Run:
    """Steps one cabinet through time."""

    def __init__(self, state: SafetyState | None = None, limits: Limits | None = None) -> None:
        self.state = state or SafetyState()
        self.limits = limits or Limits()
        self.charging: frozenset[int] = frozenset()

    def see(self, picture: Image, now_ms: int) -> Verdict:
        self.state, verdict = step(self.state, picture, self.charging, now_ms, self.limits)
        return verdict


TRIPS = [
    ("smoke", None, image(slot(1), active=(Input.SMOKE,))),
    ("flood", None, image(slot(1), active=(Input.FLOOD,))),
    ("e-stop", None, image(slot(1), active=(Input.ESTOP,))),
    ("over-temperature", 1, image(slot(1, bms=bms(temp_c=85.0)))),
    ("over-temperature", None, image(slot(1), climate=ClimateReading(NOW_MS, 85.0, 5.0))),
    ("slot-air-trip", 1, image(slot(1, charger=charger(air_temp_c=62.0)))),
]


@pytest.mark.parametrize(("code", "where", "picture"), TRIPS)
def test_a_trip_stays_until_it_is_cleared_and_its_cause_is_gone(
    code: str, where: int | None, picture: Image
) -> None:
    state, verdict = judged(picture, charging=ONE)
    assert code in codes(verdict, where)
    assert clear(state, code, where) is state, "the cause is still there"
    later = NOW_MS + COOLDOWN_MS
    good = image(slot(1, later), at_ms=later)
    state, verdict = step(state, good, frozenset(), later, Limits())
    assert code in codes(verdict, where), "it latches"
    assert 1 not in verdict.charge_factor
    assert clear(state, "nonsense", where) is state
    state = clear(state, code, where)
    assert state.trips == ()
    later += 1_000
    _, verdict = step(state, image(slot(1, later), at_ms=later), frozenset(), later, Limits())
    assert verdict.charge_factor[1] == 1.0
    assert not verdict.alarms


@pytest.mark.parametrize("name", [Input.SMOKE, Input.FLOOD, Input.ESTOP])
def test_a_contact_that_fell_silent_is_not_known_to_be_fine(name: Input) -> None:
    state, _ = judged(image(slot(1), active=(name,)), charging=ONE)
    later = NOW_MS + COOLDOWN_MS
    contacts = inputs(later)
    del contacts[name]
    state, _ = step(
        state, image(slot(1, later), at_ms=later, inputs=contacts), frozenset(), later, Limits()
    )
    assert clear(state, name.value) is state


@pytest.mark.parametrize(
    ("after_ms", "air_c", "cleared"),
    [
        (1_000, 54.9, True),
        (1_000, 55.0, False),
        (COOLDOWN_MS - 1, None, False),
        (COOLDOWN_MS, None, True),  # its probe has no power: time and cool cells must do
    ],
)
def test_when_hot_air_is_gone(after_ms: int, air_c: float | None, cleared: bool) -> None:
    state, _ = judged(image(slot(1, charger=charger(air_temp_c=62.0))), charging=ONE)
    later = NOW_MS + after_ms
    probe = None if air_c is None else charger(later, air_temp_c=air_c)
    state, _ = step(
        state, image(slot(1, later, charger=probe), at_ms=later), frozenset(), later, Limits()
    )
    assert (clear(state, "slot-air-trip", 1) is not state) is cleared


@pytest.mark.parametrize(("warmest_c", "cleared"), [(54.9, True), (55.0, False)])
def test_a_fire_is_over_only_when_everything_that_can_be_read_is_cool(
    warmest_c: float, cleared: bool
) -> None:
    state, _ = judged(image(slot(1, bms=bms(temp_c=85.0)), slot(2)), charging=ONE)
    later = NOW_MS + COOLDOWN_MS
    picture = image(
        slot(1, later, bms=None), slot(2, later, bms=bms(later, warmest_c)), at_ms=later
    )
    state, _ = step(state, picture, frozenset(), later, Limits())
    assert (clear(state, "over-temperature", 1) is not state) is cleared


def test_clearing_one_slot_leaves_the_others() -> None:
    hot = charger(air_temp_c=62.0)
    state, _ = judged(image(slot(1, charger=hot), slot(2, charger=hot)))
    later = NOW_MS + COOLDOWN_MS
    picture = image(slot(1, later), slot(2, later), at_ms=later)
    state, _ = step(state, picture, frozenset(), later, Limits())
    assert {trip.slot for trip in clear(state, "slot-air-trip", 1).trips} == {2}
    assert clear(state, "slot-air-trip", None).trips == ()
    assert clear(state, "slot-air-trip", 3) is state


def test_a_trip_of_an_earlier_boot_still_holds_and_cools_down_from_now() -> None:
    state, _ = judged(image(slot(1, bms=bms(temp_c=85.0))), charging=ONE)
    stored = msgspec.json.decode(msgspec.json.encode(state.latched), type=SafetyState)
    assert stored == state.latched
    assert stored.tracks == ()
    run = Run(stored)
    assert "over-temperature" in codes(run.see(image(slot(1)), NOW_MS), 1)
    assert clear(run.state, "over-temperature", 1) is run.state
    later = NOW_MS + COOLDOWN_MS
    run.see(image(slot(1, later), at_ms=later), later)
    assert clear(run.state, "over-temperature", 1).trips == ()


def test_latched_changes_only_with_the_trips() -> None:
    run = Run()
    before = run.state.latched
    for n in range(5):
        run.see(charging_image(NOW_MS + n * 1_000, 20.0 + n), NOW_MS + n * 1_000)
        assert run.state.latched == before
    run.see(image(slot(1), active=(Input.SMOKE,)), NOW_MS)
    assert run.state.latched != before


# --- the rise of the temperature ---------------------------------------------------------------


def heated(
    rate_c_per_min: float, minutes: float, *, charging: bool = True, start_c: float = 20.0
) -> tuple[Run, Verdict]:
    run = Run()
    verdict = run.see(charging_image(NOW_MS, start_c), NOW_MS)
    for second in range(int(minutes * 60) + 1):
        now_ms = NOW_MS + second * 1_000
        temp_c = start_c + rate_c_per_min * second / 60
        run.charging = ONE if charging else frozenset()
        picture = image(slot(1, now_ms, on=charging, bms=bms(now_ms, temp_c)), at_ms=now_ms)
        verdict = run.see(picture, now_ms)
    return run, verdict


@pytest.mark.parametrize(
    ("rate", "minutes", "charging", "trips"),
    [
        (1.2, 3.4, True, True),
        (1.2, 2.9, True, False),
        (0.98, 10.0, True, False),
        (1.2, 5.0, False, False),
        (5.0, 3.4, True, True),
    ],
)
def test_rise(rate: float, minutes: float, charging: bool, trips: bool) -> None:
    run, verdict = heated(rate, minutes, charging=charging)
    assert run.state.has(Code.RISE, 1) is trips
    assert (1 in verdict.quarantine) is trips
    assert (1 in verdict.slot_ac) is not trips
    assert not verdict.locked_slots
    assert (1 in verdict.charge_factor) is not trips


def test_two_fast_minutes_and_a_calm_one_are_no_trip() -> None:
    run = Run()
    run.charging = ONE
    temp_c, now_ms = 20.0, NOW_MS
    for minute in range(12):
        rate = 0.0 if minute % 3 == 2 else 1.5
        for _ in range(60):
            now_ms += 1_000
            temp_c += rate / 60
            run.see(charging_image(now_ms, temp_c), now_ms)
    assert run.state.trips == ()


def test_the_rise_is_released_by_a_cool_pack_or_none() -> None:
    run, _ = heated(1.2, 3.4)
    run.charging = frozenset()
    now_ms = NOW_MS + 10 * MINUTE_MS
    run.see(charging_image(now_ms, 43.0), now_ms)
    assert clear(run.state, "temperature-rise", 1) is run.state
    run.see(charging_image(now_ms, 42.9), now_ms)
    assert clear(run.state, "temperature-rise", 1).trips == ()
    run.see(image(empty(1, now_ms), at_ms=now_ms), now_ms)
    assert clear(run.state, "temperature-rise", 1).trips == ()


def test_samples_are_bounded() -> None:
    run, _ = heated(0.1, 30.0)
    assert len(run.state.tracks[0].samples) <= 3 * 6 + 3


# --- chargers ----------------------------------------------------------------------------------


def quiet(now_ms: int, answered_ms: int | None) -> Image:
    answer = None if answered_ms is None else charger(answered_ms, on=True)
    return image(slot(1, now_ms, charger=answer), slot(2, now_ms), at_ms=now_ms)


def test_a_silent_charger_loses_its_ac_and_gets_it_back_to_try_again() -> None:
    run = Run()
    run.charging = ONE
    run.see(quiet(NOW_MS, NOW_MS), NOW_MS)
    start_ms = NOW_MS + 20_000
    run.see(quiet(start_ms, start_ms), start_ms)
    assert 1 in run.see(quiet(start_ms + 5_000, start_ms), start_ms + 5_000).slot_ac
    silent = run.see(quiet(start_ms + 5_001, start_ms), start_ms + 5_001)
    assert codes(silent, 1) == {"charger-silent"}
    assert silent.slot_ac == {2}
    assert 1 not in silent.charge_factor
    assert 2 in silent.charge_factor
    run.charging = frozenset()
    retry_ms = start_ms + 5_001 + 60_000
    assert 1 not in run.see(quiet(retry_ms - 1, start_ms), retry_ms - 1).slot_ac
    again = run.see(quiet(retry_ms, start_ms), retry_ms)
    assert 1 in again.slot_ac
    assert codes(again, 1) == {"charger-silent"}
    awake_ms = retry_ms + 2_000
    back = run.see(image(slot(1, awake_ms), slot(2, awake_ms), at_ms=awake_ms), awake_ms)
    assert not back.alarms
    assert back.charge_factor[1] == 1.0


def test_a_charger_has_time_to_boot_and_then_none() -> None:
    run = Run()
    run.see(quiet(NOW_MS, None), NOW_MS)
    booting = run.see(quiet(NOW_MS + 8_000, None), NOW_MS + 8_000)
    assert not codes(booting, 1)
    assert 1 not in booting.charge_factor
    assert codes(run.see(quiet(NOW_MS + 8_001, None), NOW_MS + 8_001), 1) == {"charger-silent"}


def test_an_unpowered_charger_is_not_silent() -> None:
    run = Run()
    for n in range(100):
        now_ms = NOW_MS + n * 1_000
        verdict = run.see(
            image(slot(1, now_ms, charger=None), at_ms=now_ms, active=(Input.ESTOP,)), now_ms
        )
    assert not codes(verdict, 1)


def test_an_output_that_stays_on_against_orders_loses_its_ac() -> None:
    run = Run()
    run.see(image(slot(1)), NOW_MS)
    run.see(charging_image(NOW_MS), NOW_MS)
    assert 1 in run.see(charging_image(NOW_MS + 7_999), NOW_MS + 7_999).slot_ac
    stray = run.see(charging_image(NOW_MS + 8_000), NOW_MS + 8_000)
    assert codes(stray, 1) == {"charger-stray"}
    assert 1 not in stray.slot_ac


def test_a_protection_latched_in_the_charger_is_reset_by_its_power() -> None:
    run = Run()
    run.charging = ONE
    run.see(charging_image(NOW_MS), NOW_MS)
    now_ms = NOW_MS + 1_000
    ocp = image(slot(1, now_ms, charger=charger(now_ms, protection="ocp")), at_ms=now_ms)
    verdict = run.see(ocp, now_ms)
    assert codes(verdict, 1) == {"charger-protection"}
    assert 1 not in verdict.slot_ac
    run.charging = frozenset()
    later = now_ms + 60_000
    run.see(image(slot(1, later, charger=None), at_ms=later), later)
    run.charging = ONE
    verdict = run.see(image(slot(1, later + 1_000), at_ms=later + 1_000), later + 1_000)
    assert verdict.charge_factor[1] == 1.0


def test_unknown_trips_of_a_slot_that_is_gone_can_be_cleared() -> None:
    run = Run(SafetyState(trips=(Trip(Code.RISE, 9, -1),)))
    run.see(image(slot(1)), NOW_MS)
    assert clear(run.state, "temperature-rise", 9).trips == ()
