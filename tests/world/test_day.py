"""The closed loop: its twin of the charge rule, its physics, its books, and what the plan is worth."""

from __future__ import annotations

import json
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cabinet.core.charge import Demand, allocate, voltage_bound_v
from cabinet.core.safety import Verdict
from simulator.main import app
from simulator.world import day_kernels as kernels
from simulator.world.day import POLICIES, READY_SOC, run
from simulator.world.day_plan import Tuning
from simulator.world.day_town import PACKS, build, curve
from tests.support.safety import NOW_MS, bms, charger, image, slot

SLOT = st.tuples(
    st.integers(0, 100),  # per cent
    st.integers(440, 546),  # pack, tenths of a volt
    st.integers(0, 75),  # set-point, tenths of an ampere
    st.integers(0, 75),  # drawn
    st.integers(440, 546),  # charger
    st.booleans(),  # on
    st.booleans(),  # stands there
)


@settings(max_examples=400, deadline=None)
@given(st.lists(SLOT, min_size=1, max_size=12), st.integers(0, 5_000), st.integers(50, 100))
def test_the_twin_gives_the_orders_of_the_charge_rule(
    packs: list[tuple[int, int, int, int, int, bool, bool]], limit_w: int, target: int
) -> None:
    pictures = []
    count = len(packs)
    pct, on = np.full(count, -1), np.zeros(count, bool)
    volts, most = np.zeros(count), np.zeros(count, np.int64)
    draws, set_da = np.full(count, kernels.NONE), np.zeros(count, np.int64)
    for n, (soc, pack_dv, order_da, drawn_da, charger_dv, running, there) in enumerate(packs):
        reading = charger(
            on=running,
            current_set_a=order_da / 10,
            current_a=drawn_da / 10,
            voltage_v=charger_dv / 10,
        )
        pack = bms(serial=f"P{n}", soc_pct=soc, voltage_v=pack_dv / 10)
        picture = slot(n + 1, bms=pack if there else None, charger=reading)
        pictures.append(picture)
        if there and soc < target:
            pct[n], on[n], set_da[n] = soc, running, order_da
            volts[n] = voltage_bound_v(picture, kernels.LIMITS)
            most[n] = kernels.most_da(volts[n])
            drawn = int(drawn_da / 10 * 10.0) + 1
            if running and charger_dv / 10 >= 54.6 - 0.5 and order_da - drawn >= 2:
                draws[n] = drawn
    ruling = Verdict(
        cabinet_ac=True,
        slot_ac=frozenset(range(1, count + 1)),
        charge_factor=MappingProxyType(dict.fromkeys(range(1, count + 1), 1.0)),
        power_cap_w=10_000,
        doors_locked=False,
    )
    wanted = Demand(power_limit_w=limit_w, target_soc_pct=target, base_w=0, pack=kernels.LIMITS)
    orders = allocate(image(*pictures), ruling, wanted, NOW_MS)
    given_da = np.zeros(count, np.int64)
    kernels.spread(pct, on, volts, most, draws, set_da, float(limit_w), given_da)
    assert [round(order.current_a * 10) if order.on else 0 for order in orders] == list(given_da)


def test_a_pack_charges_in_about_two_hours_and_tapers() -> None:
    power, energy = curve()
    assert 380 < power[20] < 410
    assert power[95] < 0.6 * power[80]
    assert energy[90] - energy[20] == pytest.approx(930, abs=40)
    soc, hours, mains = 0.2, 0.0, 0.0
    while soc < 0.9 and hours < 5:
        soc, wh, amps = kernels.take(soc, 0.9, 75, 1 / 12)
        hours += 1 / 12
        mains += wh
        assert 0 < amps <= 7.5
    assert 2.0 < hours < 2.6
    assert mains == pytest.approx(energy[90] - energy[20], rel=0.03)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.02, 0.95), min_size=12, max_size=12), st.floats(0.0, 4_500.0))
def test_a_cabinet_never_draws_more_than_it_may(soc: list[float], limit_w: float) -> None:
    state = np.array(soc)
    set_da, drawn_a = np.zeros(12, np.int64), np.zeros(12)
    for _ in range(6):
        before = state.copy()
        energy = kernels.charge(state, set_da, drawn_a, 0.9, limit_w, 1 / 12)
        assert energy <= limit_w / 12 + 1e-9
        assert np.all(state >= before)
        assert np.all(state <= np.maximum(before, 0.9) + 1e-12)


def test_a_rider_takes_the_fullest_pack_and_leaves_the_own() -> None:
    soc = np.array([0.92, 0.95, 0.4, -1.0])
    set_da, drawn_a = np.full(4, 70), np.full(4, 7.0)
    owed, owe = np.zeros(1), np.zeros(1)
    brought = np.array([0.1, 0.2, 0.3])
    lost, handed = kernels.riders(soc, set_da, drawn_a, 3, 0, brought, 0.9, 0.9, owed, owe)
    assert (lost, handed) == (1, pytest.approx(1.87))
    assert sorted(soc) == [-1.0, 0.1, 0.2, 0.4]
    assert set_da[1] == 0
    assert owe[0] == 0


def test_who_got_less_comes_back_with_less() -> None:
    soc = np.array([0.8, 0.5])
    owed, owe = np.zeros(1), np.zeros(1)
    args = (np.zeros(2, np.int64), np.zeros(2), 1, 0, np.array([0.3]), 0.75, 0.9)
    kernels.riders(soc, *args, owed, owe)
    assert owe[0] == pytest.approx(0.1)
    soc[0] = 0.9
    kernels.riders(soc, *args, owe, owed)
    assert soc[0] == pytest.approx(0.2)
    assert owe[0] == pytest.approx(0.0)


@pytest.mark.parametrize("name", POLICIES)
def test_books_balance_and_limits_hold(name: str) -> None:
    town = build(24, 1, 45.0, 7, history=7)
    result = run(town, name)
    assert 0 < result.lost < result.riders
    assert result.lost == result.lost_by_cabinet.sum()
    served = result.riders - result.lost
    _, mains = curve()
    before = np.interp(town.soc[town.soc >= 0], np.arange(101) / 100, mains).sum() / 1000
    handed = served * np.interp(result.handed_soc, np.arange(101) / 100, mains) / 1000
    returned = before + result.energy_kwh - handed - result.stock_kwh  # minus what came back
    assert -returned == pytest.approx(served * float(mains[22]) / 1000, rel=0.15)
    feeders = town.region_w[:, : result.region_w.shape[1]]
    assert np.all(result.region_w <= feeders * 1.001)
    assert result.unplaced_share < 0.03
    assert result.handed_soc >= 0.75


def test_the_plan_is_cheaper_than_charging_at_once_and_loses_no_more() -> None:
    town = build(60, 2, 30.0, 3)
    once, plan = run(town, "at-once"), run(town, "plan")
    assert plan.lost_share <= once.lost_share + 0.002
    assert plan.valued_cost < 0.93 * once.valued_cost
    assert plan.peak_cost < once.peak_cost
    assert plan.unplaced_share <= 0.02


def test_the_same_seed_gives_the_same_days() -> None:
    first, second = (run(build(12, 1, 30.0, 4, history=3), "plan") for _ in range(2))
    assert first.region_w.tobytes() == second.region_w.tobytes()
    assert first.lost == second.lost


def test_more_caution_loses_less() -> None:
    town = build(40, 1, 30.0, 5)
    bold, careful = (
        run(town, "plan", Tuning(z=z, lost_price=0.0, low=READY_SOC)) for z in (0.5, 4.0)
    )
    assert careful.lost < bold.lost


def test_one_slot_is_free() -> None:
    town = build(5, 1, 30.0, 1, history=1)
    assert np.all((town.soc >= 0).sum(axis=1) == PACKS)


def test_the_command_prints_a_table_and_json() -> None:
    arguments = ["day", "--cabinets", "6", "--days", "1", "--policy", "at-once,n-slots"]
    plain = CliRunner().invoke(app, arguments)
    assert plain.exit_code == 0, plain.output
    assert "n-slots" in plain.output
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    facts = json.loads(answer.stdout)
    assert [row["policy"] for row in facts["policies"]] == ["at-once", "n-slots"]
    assert facts["policies"][0]["saving"] == 0.0


@pytest.mark.parametrize(
    "wrong", [["--policy", "hope"], ["--seeds", "3..1"], ["--seeds", "x"], ["--cabinets", "0"]]
)
def test_wrong_usage_is_refused(wrong: list[str]) -> None:
    assert CliRunner().invoke(app, ["day", *wrong]).exit_code == 2
