"""Charging: who gets how much, and never more than there is."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from cabinet.core.charge import (
    EFFICIENCY,
    STEP_MIN_DA,
    Demand,
    Order,
    PackLimits,
    ac_power_w,
    allocate,
    voltage_bound_v,
)
from cabinet.core.model import Image, SlotImage
from cabinet.core.safety import Verdict
from tests.support.safety import NOW_MS, bms, charger, image, slot

PLENTY_W = 10_000


def verdict(*numbers: int, cap_w: int = PLENTY_W, **factors: float) -> Verdict:
    factor = {number: factors.get(f"slot_{number}", 1.0) for number in numbers}
    return Verdict(
        cabinet_ac=True,
        slot_ac=frozenset(numbers),
        charge_factor=MappingProxyType(factor),
        power_cap_w=cap_w,
        doors_locked=False,
    )


def pack(number: int, soc_pct: int, *, on: bool = False, **over: Any) -> SlotImage:
    reading = bms(serial=f"P{number}", soc_pct=soc_pct, **over)
    return slot(number, on=on, bms=reading)


def demand(limit_w: int = PLENTY_W, target: int = 90, **over: Any) -> Demand:
    return Demand(power_limit_w=limit_w, target_soc_pct=target, base_w=0, **over)


def currents(orders: tuple[Order, ...]) -> dict[int, float]:
    return {order.slot: order.current_a for order in orders if order.on}


def room_w(packs: int) -> int:
    """Power for so many packs at full current (48.5 V bound, 6 A)."""
    return int(ac_power_w(6.0, 48.5) * packs) + 1


def test_all_that_need_it_are_charged_when_there_is_power() -> None:
    picture = image(pack(1, 20), pack(2, 89), pack(3, 90), pack(4, 100))
    orders = allocate(picture, verdict(1, 2, 3, 4), demand(), NOW_MS)
    assert [order.slot for order in orders] == [1, 2, 3, 4]
    assert currents(orders) == {1: 6.0, 2: 6.0}
    assert all(order.voltage_v == 54.6 for order in orders if order.on)
    assert all(order.voltage_v == 0.0 for order in orders if not order.on)


@pytest.mark.parametrize(
    ("limit_w", "expected"),
    [
        (0, {}),
        (50, {}),
        (room_w(1), {2: 6.0}),
        (room_w(2), {2: 6.0, 3: 6.0}),
        (room_w(1) + 100, {2: 6.0, 3: 1.8}),  # 100 W x 0.9 / 48.5 V = 1.85 A
        (room_w(1) + 40, {2: 6.0}),  # too little left to be of use
        (room_w(3), {1: 6.0, 2: 6.0, 3: 6.0}),
    ],
)
def test_the_readiest_first(limit_w: int, expected: dict[int, float]) -> None:
    picture = image(pack(1, 20), pack(2, 80), pack(3, 50))
    assert currents(allocate(picture, verdict(1, 2, 3), demand(limit_w), NOW_MS)) == expected


def test_the_cap_of_safety_is_a_limit_too_and_the_cabinet_itself_takes_some() -> None:
    picture = image(pack(1, 20), pack(2, 80))
    capped = allocate(picture, verdict(1, 2, cap_w=room_w(1)), demand(), NOW_MS)
    assert currents(capped) == {2: 6.0}
    own = replace(demand(room_w(1)), base_w=room_w(1))
    assert currents(allocate(picture, verdict(1, 2), own, NOW_MS)) == {}


@pytest.mark.parametrize(
    "picture",
    [
        image(slot(1, bms=None)),
        image(slot(1, charger=None)),
        image(slot(1, bms=changed(bms(), serial=None))),
        image(slot(1, bms=bms(serial="TWIN")), slot(2, bms=bms(serial="TWIN"))),
        image(slot(1, bms=bms(soc_pct=95))),
    ],
)
def test_what_gets_nothing(picture: Image) -> None:
    assert currents(allocate(picture, verdict(1, 2), demand(), NOW_MS)) == {}


def test_excluded_quarantined_and_unpermitted_slots_get_nothing() -> None:
    picture = image(*(pack(n, 50) for n in range(1, 5)))
    ruling = changed(verdict(1, 2, 3), quarantine=frozenset({2}))
    orders = allocate(picture, ruling, demand(excluded=frozenset({1})), NOW_MS)
    assert currents(orders) == {3: 6.0}


@pytest.mark.parametrize(
    ("spoilt", "factor", "limits", "expected_a"),
    [
        ({}, 1.0, {}, 6.0),
        ({}, 0.6, {}, 3.6),
        ({}, 0.2, {}, 1.2),
        ({}, 0.05, {}, 0.3),
        ({}, 0.01, {}, None),
        ({"cell_v": (2.79,) + (3.3,) * 12}, 1.0, {}, 1.0),
        ({"cell_v": (2.80,) + (3.3,) * 12}, 1.0, {}, 6.0),
        ({}, 1.0, {"current_max_a": 4.0}, 4.0),
        ({}, 1.0, {"charger_current_max_a": 5.0}, 5.0),
        ({}, 1.0, {"charger_power_max_w": 194.0}, 4.0),  # 194 W / 48.5 V
    ],
)
def test_the_current_is_bounded_by_pack_charger_power_and_heat(
    spoilt: dict[str, Any], factor: float, limits: dict[str, float], expected_a: float | None
) -> None:
    wanted = demand(pack=PackLimits(**limits))
    orders = allocate(image(pack(1, 50, **spoilt)), verdict(1, slot_1=factor), wanted, NOW_MS)
    assert currents(orders).get(1) == expected_a


def tapering(number: int, soc_pct: int, current_a: float, set_a: float = 6.0) -> SlotImage:
    reading = charger(on=True, current_a=current_a, current_set_a=set_a, voltage_v=54.5)
    return changed(pack(number, soc_pct, voltage_v=54.2), charger=reading)


def test_a_tapering_pack_passes_on_what_it_does_not_take() -> None:
    picture = image(tapering(1, 85, 2.0), pack(2, 40))
    orders = allocate(picture, verdict(1, 2), demand(room_w(1)), NOW_MS)
    given = currents(orders)
    assert given[1] == pytest.approx(2.4)
    assert given[2] == pytest.approx(3.3)  # (324 W x 0.9 - 2.4 A x 54.6 V) / 48.5 V


def test_a_taper_runs_to_its_end() -> None:
    orders = allocate(image(tapering(1, 89, 0.0, 0.4)), verdict(1), demand(), NOW_MS)
    assert currents(orders) == {1: 0.4}


@pytest.mark.parametrize(
    ("set_a", "drawn_a", "expected_a"),
    [(6.0, 5.9, 6.0), (5.9, 5.9, 6.0 - 0.1), (5.0, 4.9, 6.0), (3.0, 2.5, 3.0), (3.0, 2.4, 3.0), (3.0, 2.3, 2.7)],
)  # fmt: skip
def test_small_steps_are_not_worth_a_write(set_a: float, drawn_a: float, expected_a: float) -> None:
    picture = image(tapering(1, 85, drawn_a, set_a))
    given = currents(allocate(picture, verdict(1), demand(), NOW_MS))[1]
    assert given == pytest.approx(expected_a)


def test_a_pack_at_rest_needs_more_to_start_than_one_under_way_to_go_on() -> None:
    limit_w = int(ac_power_w(0.7, 48.5)) + 1
    resting = allocate(image(pack(1, 50)), verdict(1), demand(limit_w), NOW_MS)
    assert currents(resting) == {}
    low = charger(on=True, current_set_a=0.7, current_a=0.7, voltage_v=48.0)
    under_way = image(changed(pack(1, 50), charger=low))
    assert currents(allocate(under_way, verdict(1), demand(limit_w), NOW_MS)) == {1: 0.7}


def test_of_two_equal_packs_the_one_under_way_goes_on() -> None:
    picture = image(pack(1, 50), pack(2, 50, on=True))
    assert list(currents(allocate(picture, verdict(1, 2), demand(room_w(1)), NOW_MS))) == [2]


def test_silence_permits_nothing() -> None:
    assert currents(allocate(image(pack(1, 50)), Verdict(), demand(), NOW_MS)) == {}


@pytest.mark.parametrize("name", ["voltage_max_v", "current_max_a", "charger_power_max_w"])
def test_pack_limits_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        PackLimits(**{name: 0.0})


@st.composite
def slots(draw: st.DrawFn, number: int) -> SlotImage:
    on = draw(st.booleans())
    reading = bms(
        serial=draw(st.sampled_from((f"P{number}", "TWIN"))),
        soc_pct=draw(st.integers(0, 100)),
        voltage_v=draw(st.floats(36.0, 54.6)),
    )
    set_a = draw(st.integers(0, 60)) / 10
    return slot(
        number,
        bms=draw(st.sampled_from((reading, None, reading, reading))),
        charger=charger(
            on=on,
            current_set_a=set_a,
            current_a=draw(st.floats(0.0, set_a)) if on else 0.0,
            voltage_v=draw(st.floats(36.0, 54.6)) if on else 0.0,
        ),
    )


@st.composite
def pictures(draw: st.DrawFn) -> Image:
    return image(*(draw(slots(n + 1)) for n in range(draw(st.integers(1, 12)))))


@settings(max_examples=500)
@given(
    pictures(),
    st.builds(
        demand,
        st.integers(0, 4_000),
        st.integers(0, 100),
        excluded=st.sets(st.integers(1, 12)).map(frozenset),
    ),
    st.integers(0, 4_000),
    st.floats(0.0, 1.0),
)
def test_no_limit_is_ever_passed(picture: Image, wanted: Demand, cap_w: int, factor: float) -> None:
    numbers = [s.slot for s in picture.slots]
    ruling = verdict(*numbers, cap_w=cap_w, **{f"slot_{n}": factor for n in numbers})
    orders = allocate(picture, ruling, wanted, NOW_MS)
    assert [order.slot for order in orders] == numbers
    bound_w = 0.0
    for order in orders:
        if not order.on:
            continue
        seen = picture.slot(order.slot)
        assert order.slot not in wanted.excluded
        assert seen.bms is not None
        assert seen.bms.soc_pct < wanted.target_soc_pct
        assert 0.0 < order.current_a <= 6.0 * factor + 1e-9
        assert round(order.current_a * 10) == pytest.approx(order.current_a * 10)
        assert order.voltage_v == 54.6
        bound_w += ac_power_w(order.current_a, voltage_bound_v(seen, wanted.pack))
    assert bound_w <= min(wanted.power_limit_w, cap_w) + 1e-6


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 89), st.floats(40.0, 54.0)), min_size=1, max_size=12),
    st.integers(0, 4_000),
)
def test_orders_that_were_carried_out_are_given_again(
    packs: list[tuple[int, float]], limit_w: int
) -> None:
    """No flapping: with the set-points in place and taken, the same orders come again."""
    resting = [
        slot(n + 1, bms=bms(serial=f"P{n}", soc_pct=soc_pct, voltage_v=volts))
        for n, (soc_pct, volts) in enumerate(packs)
    ]
    ruling = verdict(*range(1, len(packs) + 1))
    first = allocate(image(*resting), ruling, demand(limit_w), NOW_MS)
    obeyed = [
        changed(
            seen,
            charger=charger(
                on=order.on,
                current_set_a=order.current_a,
                current_a=order.current_a,
                voltage_v=volts,
            ),
        )
        for seen, order, (_, volts) in zip(resting, first, packs, strict=True)
    ]
    assert allocate(image(*obeyed), ruling, demand(limit_w), NOW_MS) == first


def test_constants_are_sane() -> None:
    assert 0.5 < EFFICIENCY < 1.0
    assert STEP_MIN_DA >= 1
