"""Physics of pack and charger: bounds, energy, the shape of a charge."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.models.charger import LEAD_OHM, Charger, Latch
from simulator.models.pack import OCV_SOC, OCV_V, SERIES_OHM, Pack, PackSpec
from simulator.models.slot import Slot
from simulator.models.truth import Kind, TruthLog

FULL_V = 54.6


def charged_slot(soc: float = 0.2, voltage_v: float = FULL_V, current_a: float = 6.0) -> Slot:
    slot = Slot(1, TruthLog())
    slot.pack = Pack("A", soc, 25.0)
    charger = slot.charger
    charger.set_power(powered=True)
    charger.voltage_set_v, charger.current_set_a = voltage_v, current_a
    charger.set_output(on=True)
    slot.settle()
    return slot


def stored_wh(pack: Pack, soc_from: float, soc_to: float, parts: int = 2_000) -> float:
    """Energy of the resting pack between two states of charge, by numeric integration."""
    width = (soc_to - soc_from) / parts
    total = 0.0
    for index in range(parts):
        soc = soc_from + (index + 0.5) * width
        right = next(i for i in range(1, len(OCV_SOC)) if soc <= OCV_SOC[i])
        share = (soc - OCV_SOC[right - 1]) / (OCV_SOC[right] - OCV_SOC[right - 1])
        total += OCV_V[right - 1] + share * (OCV_V[right] - OCV_V[right - 1])
    return total * width * pack.spec.series * pack.capacity_ah


def test_charge_is_constant_current_then_constant_voltage_then_taper() -> None:
    slot = charged_slot()
    trace = []
    for _ in range(6 * 3_600 // 5):
        slot.advance(5.0, 25.0)
        charger = slot.charger
        trace.append((charger.constant_current, charger.current_a, charger.voltage_v))
    turn = next(index for index, (constant, _, _) in enumerate(trace) if not constant)
    assert all(constant for constant, _, _ in trace[:turn])
    assert all(current == 6.0 for _, current, _ in trace[:turn])
    assert not any(constant for constant, _, _ in trace[turn:])
    assert all(volt == pytest.approx(FULL_V, abs=0.01) for _, _, volt in trace[turn:])
    taper = [current for _, current, _ in trace[turn:]]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(taper))
    assert taper[-1] < 0.05
    # Constant current lasts to a high state of charge, and the tail takes some tens of minutes.
    assert 2.5 * 3_600 < turn * 5 < 3.5 * 3_600
    tail_s = next(i for i, current in enumerate(taper) if current < 0.6) * 5
    assert 15 * 60 < tail_s < 60 * 60
    assert slot.pack is not None
    assert slot.pack.soc_pct == 100


@given(
    soc=st.floats(0.0, 0.98),
    current_a=st.floats(0.1, 6.0),
    voltage_v=st.floats(40.0, 54.6),
    minutes=st.integers(1, 240),
)
def test_energy_in_is_stored_or_heat(
    soc: float, current_a: float, voltage_v: float, minutes: int
) -> None:
    slot = charged_slot(soc, voltage_v, current_a)
    pack = slot.pack
    assert pack is not None
    for _ in range(minutes * 6):
        slot.advance(10.0, 25.0)
    stored = stored_wh(pack, soc, pack.soc) if pack.soc > soc else 0.0
    capacitor_wh = 0.5 * (120.0 / 0.10) * pack.slow_v**2 / 3_600.0
    assert pack.energy_in_wh == pytest.approx(
        stored + pack.heat_wh + capacitor_wh, rel=0.01, abs=0.1
    )


@given(
    steps=st.lists(
        st.tuples(st.floats(0.01, 600.0), st.floats(-40.0, 40.0), st.floats(-30.0, 60.0)),
        max_size=40,
    ),
    soc=st.floats(-0.5, 1.5),
)
def test_state_of_charge_stays_in_bounds(
    steps: list[tuple[float, float, float]], soc: float
) -> None:
    pack = Pack("A", soc, 25.0)
    for dt_s, current_a, air_c in steps:
        pack.advance(dt_s, current_a, air_c)
        assert 0.0 <= pack.soc <= 1.0
        assert 0 <= pack.soc_pct <= 100
        assert sum(pack.cell_v) == pytest.approx(pack.voltage_v)


@given(st.floats(-20.0, 80.0), st.floats(-20.0, 80.0))
def test_an_idle_pack_drifts_to_its_air_and_never_past(start_c: float, air_c: float) -> None:
    pack = Pack("A", 0.5, start_c)
    for _ in range(100):
        pack.advance(60.0, 0.0, air_c)
        low, high = sorted((start_c, air_c))
        assert low - 1e-6 <= pack.temp_c <= high + 1e-6
    assert abs(pack.temp_c - air_c) <= abs(start_c - air_c) * 0.3 + 1e-6


def test_held_temperature_stays() -> None:
    pack = Pack("A", 0.5, 62.0, hold_temp=True)
    pack.advance(3_600.0, 6.0, 20.0)
    assert pack.temp_c == 62.0


def test_the_same_seed_gives_the_same_cells_and_another_seed_others() -> None:
    assert Pack("A", 0.5, 25.0, seed=7).cell_v == Pack("A", 0.5, 25.0, seed=7).cell_v
    assert Pack("A", 0.5, 25.0, seed=7).cell_v != Pack("A", 0.5, 25.0, seed=8).cell_v
    assert Pack("A", 0.5, 25.0, seed=7).cell_v != Pack("B", 0.5, 25.0, seed=7).cell_v


def test_balancing_levels_the_cells_of_a_full_pack() -> None:
    pack = Pack("A", 0.97, 25.0)
    before = max(pack.cell_v) - min(pack.cell_v)
    assert pack.balancing
    for _ in range(2_000):
        pack.advance(60.0, 0.0, 25.0)
    assert max(pack.cell_v) - min(pack.cell_v) < before / 5
    assert not pack.balancing


@pytest.mark.parametrize(
    ("temp_c", "standing"),
    [
        (25.0, set()),
        (60.5, {"charge-over-temp"}),
        (71.0, {"charge-over-temp", "discharge-over-temp"}),
        (-2.0, {"charge-under-temp"}),
        (-21.0, {"charge-under-temp", "discharge-under-temp"}),
    ],
)
def test_temperature_protections(temp_c: float, standing: set[str]) -> None:
    pack = Pack("A", 0.5, temp_c)
    assert pack.protection == standing
    assert pack.charge_fet_on == (not standing)


def test_a_protection_releases_only_below_its_release_point() -> None:
    pack = Pack("A", 0.5, 61.0)
    for temp_c, charge in ((61.0, False), (55.0, False), (50.5, False), (49.5, True), (55.0, True)):
        pack.temp_c = temp_c
        pack.check()
        assert pack.charge_fet_on is charge, temp_c
    assert pack.trips == {"charge-over-temp": 1}


def test_a_cut_charge_path_stops_the_current_at_once() -> None:
    slot = charged_slot()
    assert slot.charging
    assert slot.pack is not None
    slot.pack.temp_c = 65.0
    slot.advance(0.1, 25.0)
    assert not slot.charging
    assert slot.pack.current_a == 0.0
    kinds = [event.kind for event in slot.log.since(0)]
    assert kinds == [Kind.CHARGING_STARTED, Kind.PROTECTION, Kind.CHARGING_STOPPED]


@pytest.mark.parametrize("name", ["short-circuit", "afe-error", "mos-lock"])
def test_hard_faults_open_both_paths(name: str) -> None:
    pack = Pack("A", 0.5, 25.0)
    pack.force(frozenset({name}))
    assert (pack.charge_fet_on, pack.discharge_fet_on, pack.terminal_v) == (False, False, 0.0)
    pack.force(frozenset())
    assert (pack.charge_fet_on, pack.discharge_fet_on) == (True, True)


def test_a_worn_pack_fills_sooner() -> None:
    new, worn = Pack("A", 0.2, 25.0), Pack("A", 0.2, 25.0, spec=PackSpec(soh_pct=70.0))
    for pack in (new, worn):
        pack.advance(3_600.0, 6.0, 25.0)
    assert new.soc == pytest.approx(0.2 + 6 / 24)
    assert worn.soc == pytest.approx(0.2 + 6 / (24 * 0.7))


def test_set_points_below_the_pack_bring_no_current() -> None:
    slot = charged_slot(soc=0.5, voltage_v=40.0)
    assert slot.charger.current_a == 0.0
    assert not slot.charging
    assert slot.pack is not None
    assert slot.charger.voltage_v == pytest.approx(slot.pack.voltage_v)


def test_no_pack_gives_set_voltage_and_no_current() -> None:
    slot = Slot(1, TruthLog())
    slot.charger.set_power(powered=True)
    slot.charger.voltage_set_v, slot.charger.current_set_a = 50.0, 3.0
    slot.charger.set_output(on=True)
    slot.settle()
    assert (slot.charger.voltage_v, slot.charger.current_a) == (50.0, 0.0)
    assert not slot.charger.battery_mode


@pytest.mark.parametrize(
    ("ovp_v", "ocp_a", "latch"),
    [(45.0, 6.2, Latch.OVP), (62.0, 2.0, Latch.OCP), (62.0, 6.2, Latch.NONE)],
)
def test_charger_latches(ovp_v: float, ocp_a: float, latch: Latch) -> None:
    slot = charged_slot()
    slot.charger.ovp_v, slot.charger.ocp_a = ovp_v, ocp_a
    slot.settle()
    assert slot.charger.latch is latch
    assert slot.charger.output_on is (latch is Latch.NONE)
    assert slot.charging is (latch is Latch.NONE)
    slot.charger.ovp_v, slot.charger.ocp_a = 62.0, 6.2
    slot.charger.set_output(on=True)
    slot.settle()
    assert slot.charging


@pytest.mark.parametrize("boot", [False, True])
def test_power_return_switches_the_output_on_only_by_boot_setting(boot: bool) -> None:
    charger = Charger()
    charger.boot_power_on = boot
    charger.set_power(powered=True)
    charger.set_output(on=True)
    charger.set_power(powered=False)
    assert not charger.output_on
    charger.set_output(on=True)
    assert not charger.output_on
    charger.set_power(powered=True)
    assert charger.output_on is boot


def test_lead_and_series_resistance_shape_the_terminal_voltage() -> None:
    slot = charged_slot()
    assert slot.pack is not None
    emf_v = slot.pack.emf_v
    assert slot.charger.voltage_v == pytest.approx(emf_v + 6.0 * (SERIES_OHM + LEAD_OHM))
