"""Batteries to carry: who lacks, who can spare, and that nothing better could be carried."""

from __future__ import annotations

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.core.balance.moves import (
    LOST_MIN,
    MovesView,
    Place,
    Stock,
    charged,
    lost_riders,
    propose,
    spare_packs,
    transport,
)

T = 8
PLACES: list[Place | None] = [(39.90, 116.40), (39.91, 116.40), (39.90, 116.42), (39.99, 116.40)]


def stock(
    ready: list[float], riders: list[list[float]], kept: list[list[float]] | None = None
) -> Stock:
    return Stock(
        ready=np.array(ready, float),
        jobs_wh=np.tile(np.array([[200.0, 500.0, 0.0]]), (len(ready), 1)),
        jobs_h=np.tile(np.array([[0.25, 0.5, 0.0]]), (len(ready), 1)),
        back_wh=800.0,
        back_h=1.0,
        ends_h=np.arange(1, T + 1) * 0.25,
        riders=np.cumsum(np.array(riders, np.float32), axis=1),
        kept=np.array(kept if kept is not None else [[1.0] * T] * len(ready), np.float32),
    )


def energy(*rows: int) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    return np.repeat(np.array(rows, np.int32)[:, None], T, axis=1)


def proposed(of: Stock, plan: np.ndarray[tuple[int, int], np.dtype[np.int32]]) -> MovesView:
    return propose(
        of,
        plan,
        np.cumsum(2 * plan, axis=1, dtype=np.int64),
        np.array([False, True, False, False])[: len(of.ready)],
        cabinets=["A", "B", "C", "D"][: len(of.ready)],
        places=PLACES[: len(of.ready)],
        starts_ms=np.arange(T) * 900_000,
        version=7,
        lost_swap_price=2.0,
    )


def test_the_plan_makes_the_readiest_ready_first() -> None:
    found = charged(stock([0.0], [[1.0] * T]), energy(100))
    assert found[0].tolist() == pytest.approx([0.5, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.125])


def test_no_power_makes_a_pack_ready_before_its_charger_could() -> None:
    found = charged(stock([0.0], [[0.5] * T]), energy(9_000))
    assert found[0].tolist() == [1, 2, 2, 2, 2.5, 3, 3.5, 4], "returned ones after an hour"


def test_a_lost_rider_asks_for_nothing_later() -> None:
    of = stock([1.0], [[0, 3, 0, 0, 0, 0, 0, 1]])
    lost = lost_riders(of, np.array([[0, 0, 0, 1, 1, 1, 1, 1]], float))
    assert lost[0].tolist() == [0, 2, 2, 2, 2, 2, 2, 2], "the last one takes what was charged since"


@given(
    ready=st.integers(0, 4),
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=T, max_size=T),
)
def test_lost_riders_are_those_of_a_counter_played_through(
    ready: int, steps: list[tuple[int, int]]
) -> None:
    of = stock([float(ready)], [[float(came) for came, _ in steps]])
    done = np.cumsum([[float(more) for _, more in steps]], axis=1)
    packs, lost, told = ready, 0, lost_riders(of, done)[0]
    for place, (came, more) in enumerate(steps):
        packs += more
        lost += max(came - packs, 0)
        packs = max(packs - came, 0)
        assert told[place] == lost


def test_a_giver_keeps_its_stock_at_every_interval() -> None:
    of = stock([5.0, 5.0], [[0] * T] * 2, [[1.0] * T, [1.0] * (T - 1) + [6.0]])
    done = np.zeros((2, T))
    assert spare_packs(of, done).tolist() == [4, 0]
    assert spare_packs(of, np.cumsum(np.full((2, T), 0.25), axis=1)).tolist() == [4, 1]


def test_the_soonest_short_is_helped_by_its_neighbour() -> None:
    of = stock([6.0, 0.0, 0.0, 9.0], [[0] * T, [0, 2] + [0] * 6, [1] + [0] * 7, [0] * T])
    found = proposed(of, energy(0, 0, 0, 0))
    assert [(move.giver, move.taker, move.packs, move.by_ms) for move in found.moves] == [
        ("A", "C", 1, 0),
        ("A", "B", 2, 900_000),
    ]
    assert [move.why for move in found.moves] == ["busy", "limit"]
    assert (found.lost, found.lost_after, found.version) == (3.0, 0.0, 7)


def test_no_way_that_costs_more_than_a_rider_is_worth_is_proposed() -> None:
    of = stock([0.0, 0.0, 0.0, 9.0], [[1] + [0] * 7, [0] * T, [0] * T, [0] * T])
    found = proposed(of, energy(0, 0, 0, 0))
    assert found.moves == ()
    assert found.lost == found.lost_after == 1.0


@settings(deadline=None)
@given(st.data())
def test_nobody_gives_what_is_needed_and_nobody_gets_more_than_lacks(data: st.DataObject) -> None:
    few = st.integers(0, 3).map(float)
    of = stock(
        data.draw(st.lists(st.integers(0, 9).map(float), min_size=4, max_size=4)),
        data.draw(st.lists(st.lists(few, min_size=T, max_size=T), min_size=4, max_size=4)),
        data.draw(st.lists(st.lists(few, min_size=T, max_size=T), min_size=4, max_size=4)),
    )
    plan = energy(*data.draw(st.lists(st.integers(0, 200), min_size=4, max_size=4)))
    found = proposed(of, plan)
    spare = spare_packs(of, charged(of, 2 * plan))
    lost = lost_riders(of, charged(of, plan))[:, -1]
    names = ["A", "B", "C", "D"]
    for place, name in enumerate(names):
        given_away = sum(move.packs for move in found.moves if move.giver == name)
        got = sum(move.packs for move in found.moves if move.taker == name)
        assert given_away <= spare[place]
        assert given_away == 0 or lost[place] < LOST_MIN
        assert got <= min(max(round(lost[place]), 1), 2), "and no more than empty ones to give back"
        assert got == 0 or lost[place] >= LOST_MIN
    assert 0.0 <= found.lost_after <= found.lost + 1e-9


@settings(deadline=None)
@given(st.data())
def test_what_is_carried_is_worth_as_much_as_the_best(data: st.DataObject) -> None:
    need = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=5))
    spare = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=5))
    pairs = [(i, j) for i in range(len(need)) for j in range(len(spare))]
    chosen = data.draw(st.lists(st.sampled_from(pairs), unique=True, max_size=12))
    arcs = [(i, j, data.draw(st.integers(1, 40)) / 8) for i, j in chosen]
    flow = transport(need, spare, arcs)
    assert all(packs >= 0 for packs in flow)
    for i, most in enumerate(need):
        assert sum(f for f, arc in zip(flow, arcs, strict=True) if arc[0] == i) <= most
    for j, most in enumerate(spare):
        assert sum(f for f, arc in zip(flow, arcs, strict=True) if arc[1] == j) <= most
    worth = sum(f * arc[2] for f, arc in zip(flow, arcs, strict=True))
    assert worth == pytest.approx(best(need, spare, arcs))


def best(need: list[int], spare: list[int], arcs: list[tuple[int, int, float]]) -> float:
    """By an LP solver; a transport problem's optimum is whole."""
    model = highspy.Highs()
    model.setOptionValue("threads", 1)  # of one number in a process, once and for all
    model.setOptionValue("output_flag", False)
    for _, _, worth in arcs:
        model.addVar(0.0, highspy.kHighsInf)
        model.changeColCost(model.getNumCol() - 1, -worth)
    for end, limits in enumerate((need, spare)):
        for place, most in enumerate(limits):
            columns = [n for n, arc in enumerate(arcs) if arc[end] == place]
            model.addRow(-highspy.kHighsInf, most, len(columns), columns, [1.0] * len(columns))
    model.run()
    return -float(model.getObjectiveValue())
