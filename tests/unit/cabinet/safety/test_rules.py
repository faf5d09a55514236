"""Each safety rule by itself: the value that trips it, and the one beside it that does not."""

from __future__ import annotations

import pytest

from cabinet.core.model import (
    ClimateReading,
    Image,
    Input,
    InputReading,
    MeterReading,
)
from cabinet.core.safety import Limits, SafetyState, Verdict, step
from protocols.messages import Door, Presence
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


def verdict_of(picture: Image, charging: frozenset[int] = ONE) -> Verdict:
    return judged(picture, charging=charging)[1]


def factor(picture: Image, charging: frozenset[int] = ONE) -> float:
    return verdict_of(picture, charging).charge_factor.get(1, 0.0)


def test_a_healthy_cabinet_charges_and_is_quiet() -> None:
    verdict = verdict_of(image(slot(1), empty(2)))
    assert dict(verdict.charge_factor) == {1: 1.0}
    assert verdict.cabinet_ac
    assert verdict.slot_ac == {1, 2}
    assert verdict.power_cap_w == 3_500
    assert not verdict.alarms
    assert not any((verdict.doors_locked, verdict.locked_slots, verdict.quarantine))
    assert not any((verdict.siren, verdict.extinguisher, verdict.fan))


def test_the_default_verdict_permits_nothing() -> None:
    verdict = Verdict()
    assert verdict.doors_locked
    assert not any((verdict.cabinet_ac, verdict.slot_ac, verdict.charge_factor))


@pytest.mark.parametrize(
    ("temp_c", "expected"),
    [
        (-20.0, 0.0), (-0.1, 0.0), (0.0, 1.0), (25.0, 1.0), (40.0, 1.0), (42.5, 0.6), (45.0, 0.2),
        (45.1, 0.0), (49.9, 0.0), (50.0, 0.0), (79.0, 0.0),
    ],
)  # fmt: skip
def test_the_cell_window(temp_c: float, expected: float) -> None:
    assert factor(charging_image(NOW_MS, temp_c)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("first_c", "then_c", "charges"),
    [
        (46.0, 44.9, False), (46.0, 43.0, False), (46.0, 42.9, True),
        (50.0, 43.0, False), (50.0, 42.9, True),
        (44.9, 44.9, True), (45.0, 44.0, True),
        (-1.0, 0.0, False), (-1.0, 2.0, False), (-1.0, 2.1, True), (0.0, 0.0, True),
    ],
)  # fmt: skip
def test_the_window_has_hysteresis(first_c: float, then_c: float, charges: bool) -> None:
    state, _ = judged(charging_image(NOW_MS, first_c), charging=ONE)
    later = NOW_MS + 1_000
    _, verdict = step(state, charging_image(later, then_c), frozenset(), later, Limits())
    assert (verdict.charge_factor.get(1, 0.0) > 0.0) is charges


def test_a_pack_that_leaves_takes_its_heat_with_it() -> None:
    state, hot = judged(charging_image(NOW_MS, 51.0), charging=ONE)
    assert "cell-hot" in codes(hot, 1)
    away = image(empty(1, NOW_MS + 1_000), at_ms=NOW_MS + 1_000)
    state, _ = step(state, away, frozenset(), NOW_MS + 1_000, Limits())
    _, verdict = step(
        state, charging_image(NOW_MS + 2_000, 44.0), frozenset(), NOW_MS + 2_000, Limits()
    )
    assert verdict.charge_factor[1] > 0.0


def test_a_hot_cell_drops_the_ac_and_isolates_the_pack() -> None:
    hot = verdict_of(image(slot(1, bms=bms(temp_c=50.0)), slot(2)))
    assert hot.slot_ac == {2}
    assert hot.quarantine == {1}
    assert codes(hot, 1) == {"cell-hot"}
    warm = verdict_of(image(slot(1, bms=bms(temp_c=49.9)), slot(2)))
    assert warm.slot_ac == {1, 2}
    assert not warm.quarantine
    assert codes(warm, 1) == {"cell-warm"}


def test_a_hot_pack_stays_isolated_until_it_is_cool() -> None:
    state, _ = judged(charging_image(NOW_MS, 50.0), charging=ONE)
    for second, (temp_c, isolated) in enumerate([(46.0, True), (43.0, True), (42.9, False)], 1):
        now_ms = NOW_MS + second * 1_000
        state, verdict = step(state, charging_image(now_ms, temp_c), frozenset(), now_ms, Limits())
        assert (1 in verdict.quarantine) is isolated
        assert (1 in verdict.slot_ac) is not isolated


@pytest.mark.parametrize(
    ("air_c", "expected", "ac", "locked"),
    [
        (54.9, set(), True, False),
        (55.0, {"slot-air-warm"}, True, False),
        (59.9, {"slot-air-warm"}, True, False),
        (60.0, {"slot-air-warm", "slot-air-trip"}, False, True),
    ],
)
def test_slot_air(air_c: float, expected: set[str], ac: bool, locked: bool) -> None:
    verdict = verdict_of(image(slot(1, charger=charger(air_temp_c=air_c)), slot(2)))
    assert codes(verdict, 1) == expected
    assert (1 in verdict.slot_ac) is ac
    assert (1 in verdict.locked_slots) is locked
    assert (1 in verdict.charge_factor) is ac
    assert 2 in verdict.slot_ac
    assert not verdict.doors_locked


@pytest.mark.parametrize(
    ("picture", "code", "where"),
    [
        (image(slot(1), active=(Input.SMOKE,)), "smoke", None),
        (image(slot(1, bms=bms(temp_c=80.0))), "over-temperature", 1),
        (image(slot(1, charger=charger(air_temp_c=80.0))), "over-temperature", 1),
        (image(slot(1), climate=ClimateReading(NOW_MS, 80.0, 10.0)), "over-temperature", None),
    ],
)
def test_fire_by_smoke_or_heat(picture: Image, code: str, where: int | None) -> None:
    verdict = verdict_of(picture)
    assert code in codes(verdict, where)
    assert not verdict.cabinet_ac
    assert not verdict.slot_ac
    assert not verdict.charge_factor
    assert verdict.siren
    assert verdict.extinguisher
    assert verdict.doors_locked
    assert not verdict.fan
    assert {a.severity for a in verdict.alarms if a.code == code} == {"critical"}


def test_just_below_fire_is_no_fire() -> None:
    verdict = verdict_of(image(slot(1, bms=bms(temp_c=79.9))))
    assert verdict.cabinet_ac
    assert not verdict.extinguisher


def test_flood_takes_the_ac_but_not_the_doors() -> None:
    verdict = verdict_of(image(slot(1), active=(Input.FLOOD,)))
    assert codes(verdict) == {"flood"}
    assert not any((verdict.cabinet_ac, verdict.slot_ac, verdict.charge_factor))
    assert not any((verdict.doors_locked, verdict.extinguisher, verdict.siren))


def test_emergency_stop() -> None:
    verdict = verdict_of(image(slot(1), active=(Input.ESTOP,)))
    assert codes(verdict) == {"e-stop"}
    assert not any((verdict.cabinet_ac, verdict.slot_ac, verdict.charge_factor))
    assert not verdict.extinguisher


def test_the_service_door_locks_riders_out_but_charging_goes_on() -> None:
    verdict = verdict_of(image(slot(1), active=(Input.SERVICE_DOOR,)))
    assert codes(verdict) == {"service-door"}
    assert verdict.doors_locked
    assert verdict.charge_factor[1] == 1.0


@pytest.mark.parametrize(
    ("missing", "code"), [(Input.SMOKE, "smoke-unknown"), (Input.ESTOP, "e-stop-unknown")]
)
@pytest.mark.parametrize("old", [True, False])
def test_an_unknown_contact_is_no_permission_and_no_fire(
    missing: Input, code: str, old: bool
) -> None:
    contacts = inputs()
    if old:
        contacts[missing] = InputReading(active=False, at_ms=NOW_MS - 3_001)
    else:
        del contacts[missing]
    verdict = verdict_of(image(slot(1), inputs=contacts))
    assert codes(verdict) == {code}
    assert not verdict.charge_factor
    assert not verdict.extinguisher
    contacts[missing] = InputReading(active=False, at_ms=NOW_MS - 3_000)
    assert verdict_of(image(slot(1), inputs=contacts)).charge_factor


def test_only_an_e_stop_that_is_not_fitted_may_be_silent() -> None:
    contacts = inputs()
    del contacts[Input.ESTOP]
    limits = Limits(estop_fitted=False)
    _, verdict = judged(image(slot(1), inputs=contacts), charging=ONE, limits=limits)
    assert verdict.charge_factor
    assert not verdict.alarms
    del contacts[Input.SMOKE]
    _, verdict = judged(image(slot(1), inputs=contacts), charging=ONE, limits=limits)
    assert not verdict.charge_factor


@pytest.mark.parametrize(
    "spoilt",
    [
        slot(1, door=Door.OPEN),
        slot(1, door=Door.UNKNOWN),
        slot(1, door_at_ms=NOW_MS - 1_001),
        slot(1, door_at_ms=None),
        slot(1, presence=Presence.ABSENT),
        slot(1, presence_at_ms=NOW_MS - 1_001),
        slot(1, bms=None),
        slot(1, bms=bms(temps_c=())),
        slot(1, bms=bms(cell_v=())),
        slot(1, charger=None),
        slot(1, charger=charger(NOW_MS - 5_001)),
        slot(1, bms=bms(cell_v=(4.25,) + (4.1,) * 12)),
        slot(1, bms=bms(cell_v=(1.99,) + (3.0,) * 12)),
        slot(1, bms=bms(cell_v=(3.7,) * 12)),  # 54.6 V would be 4.55 V on each of 12 cells
        slot(1, bms=bms(protection=frozenset({"charge-over-current"}))),
        slot(1, bms=bms(protection=frozenset({"never heard of"}))),
        slot(1, charger=charger(protection="ovp")),
    ],
)
def test_what_does_not_charge(spoilt: object) -> None:
    picture = image(spoilt)  # type: ignore[arg-type]  # a SlotImage, by the table
    assert factor(picture) == 0.0
    assert factor(picture, frozenset()) == 0.0


@pytest.mark.parametrize(
    "cured", ["cell-under-voltage", "pack-under-voltage", "discharge-over-current"]
)
def test_protections_that_charging_cures_do_not_stop_it(cured: str) -> None:
    verdict = verdict_of(image(slot(1, bms=bms(protection=frozenset({cured})))))
    assert verdict.charge_factor[1] == 1.0
    assert not verdict.alarms
    assert not verdict.quarantine


@pytest.mark.parametrize(
    ("spoilt", "isolated"),
    [
        (bms(protection=frozenset({"short-circuit"})), True),
        (bms(protection=frozenset({"cell-over-voltage"})), False),
        (bms(cell_v=(1.0,) * 13), True),
        (bms(cell_v=(3.7,) * 10), True),
        (bms(temp_c=50.0), True),
    ],
)
def test_quarantine(spoilt: object, isolated: bool) -> None:
    verdict = verdict_of(image(slot(1, bms=spoilt)), frozenset())
    assert (1 in verdict.quarantine) is isolated
    assert 1 not in verdict.charge_factor


def test_over_voltage_holds_until_the_cell_has_relaxed() -> None:
    def picture(at_ms: int, volts: float) -> Image:
        return image(slot(1, at_ms, bms=bms(at_ms, cell_v=(volts,) * 13)), at_ms=at_ms)

    state, first = judged(picture(NOW_MS, 4.25), charging=ONE)
    assert codes(first, 1) == {"cell-over-voltage"}
    state, held = step(state, picture(NOW_MS + 1_000, 4.21), ONE, NOW_MS + 1_000, Limits())
    assert not held.charge_factor
    _, free = step(state, picture(NOW_MS + 2_000, 4.20), ONE, NOW_MS + 2_000, Limits())
    assert free.charge_factor


@pytest.mark.parametrize(("age_ms", "silent"), [(9_999, False), (10_000, True)])
def test_a_silent_bms_while_charging(age_ms: int, silent: bool) -> None:
    picture = image(slot(1, on=True, bms=bms(NOW_MS - age_ms)), slot(2))
    verdict = verdict_of(picture)
    assert (codes(verdict, 1) == {"bms-silent"}) is silent
    assert (1 in verdict.charge_factor) is not silent
    assert 2 in verdict.charge_factor


def test_a_silent_bms_is_no_alarm_at_rest_but_no_permission_either() -> None:
    verdict = verdict_of(image(slot(1, bms=bms(NOW_MS - 5_001))), frozenset())
    assert not verdict.alarms
    assert not verdict.charge_factor


def test_a_bms_that_answers_again_charges_again() -> None:
    state, _ = judged(image(slot(1, on=True, bms=bms(NOW_MS - 10_000))), charging=ONE)
    later = NOW_MS + 1_000
    state, still = step(
        state, image(slot(1, later, bms=bms(NOW_MS - 10_000)), at_ms=later), frozenset(), later,
        Limits(),
    )  # fmt: skip
    assert codes(still, 1) == {"bms-silent"}
    later += 1_000
    _, verdict = step(state, charging_image(later), frozenset(), later, Limits())
    assert verdict.charge_factor[1] == 1.0
    assert not verdict.alarms


def test_an_output_that_flows_counts_as_charging_without_an_order() -> None:
    picture = image(slot(1, on=True, bms=bms(NOW_MS - 10_000)))
    assert codes(verdict_of(picture, frozenset()), 1) == {"bms-silent"}


@pytest.mark.parametrize(
    ("air_c", "was_on", "on"),
    [(34.9, False, False), (35.0, False, True), (32.0, True, True), (31.9, True, False)],
)
def test_the_fan(air_c: float, was_on: bool, on: bool) -> None:
    picture = image(slot(1, charger=charger(air_temp_c=air_c)))
    _, verdict = step(SafetyState(fan=was_on), picture, ONE, NOW_MS, Limits())
    assert verdict.fan is on


def test_the_meter_above_the_breaker_sheds_and_gives_back_slowly() -> None:
    limits = Limits(breaker_w=1_000)
    state = SafetyState()

    def at(now_ms: int, power_w: float) -> Verdict:
        nonlocal state
        picture = image(slot(1, now_ms), at_ms=now_ms, meter=MeterReading(now_ms, power_w, 0.0))
        state, verdict = step(state, picture, ONE, now_ms, limits)
        return verdict

    assert at(NOW_MS, 1_000.0).power_cap_w == 1_000
    over = at(NOW_MS + 1_000, 1_200.0)
    assert over.power_cap_w == 1_000 - 200 - 1 - 50
    assert codes(over) == {"over-power"}
    assert at(NOW_MS + 2_000, 800.0).power_cap_w == over.power_cap_w
    assert at(NOW_MS + 31_000, 800.0).power_cap_w == over.power_cap_w
    assert at(NOW_MS + 32_000, 800.0).power_cap_w == over.power_cap_w + 50
    assert at(NOW_MS + 33_000, 9_000.0).power_cap_w == 0
    caps = [at(NOW_MS + 40_000 + n * 1_000, 100.0).power_cap_w for n in range(1_000)]
    assert caps == sorted(caps)
    assert caps[-1] == 1_000


def test_one_meter_reading_is_judged_once() -> None:
    limits = Limits(breaker_w=1_000)
    state = SafetyState()
    picture = image(slot(1), meter=MeterReading(NOW_MS, 1_100.0, 0.0))
    caps = set()
    for _ in range(5):
        state, verdict = step(state, picture, ONE, NOW_MS, limits)
        caps.add(verdict.power_cap_w)
    assert len(caps) == 1
