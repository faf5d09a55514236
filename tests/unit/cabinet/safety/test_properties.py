"""What holds for any image whatever, and over any history."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cabinet.core.model import (
    BmsReading,
    ChargerReading,
    ClimateReading,
    Image,
    Input,
    InputReading,
    MeterReading,
    SlotImage,
)
from cabinet.core.safety import LATCHED, Code, Limits, SafetyState, clear, step
from protocols.messages import Door, Presence

NOW_MS = 1_000_000
LIMITS = Limits()
ages = st.sampled_from((0, 999, 1_001, 3_001, 5_001, 9_999, 10_000, 60_000))
temps = st.sampled_from(
    (-21.0, -0.1, 0.0, 25.0, 40.0, 44.9, 45.1, 50.0, 55.0, 60.0, 79.9, 80.0)
) | st.floats(-40.0, 120.0)


@st.composite
def bms_readings(draw: st.DrawFn, now_ms: int) -> BmsReading:
    return BmsReading(
        at_ms=now_ms - draw(ages),
        serial=draw(st.sampled_from((None, "A", "B"))),
        soc_pct=draw(st.integers(0, 100)),
        voltage_v=48.0,
        current_a=0.0,
        cell_v=(draw(st.sampled_from((1.0, 3.7, 4.2, 4.25))),) * draw(st.sampled_from((0, 10, 13))),
        temps_c=tuple(draw(st.lists(temps, max_size=3))),
        protection=draw(st.sampled_from((frozenset(), frozenset({"short-circuit"})))),
    )


@st.composite
def charger_readings(draw: st.DrawFn, now_ms: int) -> ChargerReading:
    on = draw(st.booleans())
    return ChargerReading(
        at_ms=now_ms - draw(ages),
        output_on=on,
        voltage_set_v=54.6,
        current_set_a=6.0,
        voltage_v=48.0,
        current_a=5.0 if on else 0.0,
        power_w=240.0 if on else 0.0,
        air_temp_c=draw(st.none() | temps),
        protection=draw(st.sampled_from((None, None, "ovp"))),
    )


@st.composite
def images(draw: st.DrawFn, now_ms: int = NOW_MS) -> Image:
    slots = tuple(
        SlotImage(
            slot=n + 1,
            door=draw(st.sampled_from(Door)),
            door_at_ms=now_ms - draw(ages),
            presence=draw(st.sampled_from(Presence)),
            presence_at_ms=now_ms - draw(ages),
            bms=draw(st.none() | bms_readings(now_ms)),
            charger=draw(st.none() | charger_readings(now_ms)),
        )
        for n in range(draw(st.integers(1, 3)))
    )
    return Image(
        slots=slots,
        inputs={
            name: InputReading(draw(st.booleans()), now_ms - draw(ages))
            for name in draw(st.sets(st.sampled_from(Input)))
        },
        meter=draw(
            st.none() | st.builds(MeterReading, st.just(now_ms), st.floats(0, 9_000), st.just(0.0))
        ),
        climate=draw(st.none() | st.builds(ClimateReading, st.just(now_ms), temps, st.just(50.0))),
    )


charging_sets = st.sets(st.integers(1, 3)).map(frozenset)


@settings(max_examples=400)
@given(images(), charging_sets)
def test_nothing_charges_without_every_permission(picture: Image, charging: frozenset[int]) -> None:
    _, verdict = step(SafetyState(), picture, charging, NOW_MS, LIMITS)
    for number, factor in verdict.charge_factor.items():
        slot = picture.slot(number)
        assert 0.0 < factor <= 1.0
        assert verdict.cabinet_ac
        assert number in verdict.slot_ac
        assert number not in verdict.quarantine
        assert slot.door_now(NOW_MS) is Door.CLOSED
        assert slot.presence_now(NOW_MS) is Presence.PRESENT
        bms = slot.bms_now(NOW_MS, LIMITS.bms_silent_ms - 1)
        assert bms is not None
        assert bms.temps_c
        assert min(bms.temps_c) >= 0.0
        assert max(bms.temps_c) <= 45.0
        assert max(bms.cell_v) < 4.25
        assert not bms.protection
        charger = slot.charger_now(NOW_MS)
        assert charger is not None
        assert charger.protection is None
        for name in (Input.SMOKE, Input.ESTOP):
            reading = picture.inputs[name]
            assert not reading.active
            assert NOW_MS - reading.at_ms <= 3_000


@settings(max_examples=200)
@given(images(), charging_sets)
def test_fire_takes_everything(picture: Image, charging: frozenset[int]) -> None:
    smoke = replace(picture, inputs={**picture.inputs, Input.SMOKE: InputReading(True, NOW_MS)})
    state, verdict = step(SafetyState(), smoke, charging, NOW_MS, LIMITS)
    assert verdict.siren
    assert verdict.extinguisher
    assert verdict.doors_locked
    assert not any((verdict.cabinet_ac, verdict.slot_ac, verdict.charge_factor, verdict.fan))
    assert clear(state, "smoke") is state


@settings(max_examples=200)
@given(images(), charging_sets)
def test_the_extinguisher_needs_evidence(picture: Image, charging: frozenset[int]) -> None:
    _, verdict = step(SafetyState(), picture, charging, NOW_MS, LIMITS)
    smoke = picture.inputs.get(Input.SMOKE)
    seen = smoke is not None and smoke.active and NOW_MS - smoke.at_ms <= 3_000
    hot = picture.climate is not None and picture.climate.temp_c >= 80.0
    for slot in picture.slots:
        bms, charger = slot.bms_now(NOW_MS, 9_999), slot.charger_now(NOW_MS, 5_000)
        hot |= bms is not None and max(bms.temps_c, default=0.0) >= 80.0
        hot |= charger is not None and (charger.air_temp_c or 0.0) >= 80.0
    assert verdict.extinguisher is (seen or hot)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_trips_only_grow_without_a_clear_and_survive_a_restart(data: st.DataObject) -> None:
    state, now_ms = SafetyState(), NOW_MS
    before: set[tuple[Code, int | None]] = set()
    for _ in range(data.draw(st.integers(1, 6))):
        now_ms += data.draw(st.sampled_from((100, 1_000, 60_000, 400_000)))
        picture = data.draw(images(now_ms))
        if data.draw(st.booleans()):
            state = msgspec.json.decode(msgspec.json.encode(state.latched), type=SafetyState)
        state, verdict = step(state, picture, data.draw(charging_sets), now_ms, LIMITS)
        trips = {(trip.code, trip.slot) for trip in state.trips}
        assert before <= trips
        assert all(trip.code in LATCHED for trip in state.trips)
        alarms = {(alarm.code, alarm.slot) for alarm in verdict.alarms}
        assert {(code.value, slot) for code, slot in trips} <= alarms
        assert 0 <= verdict.power_cap_w <= LIMITS.breaker_w
        before = trips


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_clear_never_releases_what_is_still_there(data: st.DataObject) -> None:
    state, _ = step(SafetyState(), data.draw(images()), frozenset(), NOW_MS, LIMITS)
    later = NOW_MS + data.draw(st.sampled_from((1_000, 400_000)))
    picture = data.draw(images(later))
    state, _ = step(state, picture, frozenset(), later, LIMITS)
    for trip in state.trips:
        cleared = clear(state, trip.code.value, trip.slot)
        assert (cleared is state) is trip.active
        again, _ = step(cleared, picture, frozenset(), later, LIMITS)
        if not trip.active:
            assert not again.has(trip.code, trip.slot), "a released trip came back by itself"
