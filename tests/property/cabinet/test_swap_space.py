"""Every reachable situation of a tiny cabinet, breadth first, against the table and the invariants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest

from cabinet.core.swap_model import ACTIVE, EVENTS, STATES, TERMINAL, Recovered, Start
from cabinet.core.swap_table import TABLE
from protocols.messages import Kind
from tests.support import proof
from tests.support.swap_space import Scenario, Search, Trust

ONE, TWO, THREE = ("F1", None), ("F1", "F2", None), ("F1", None, None)

QUICK = (
    Scenario(Kind.SWAP, ONE),
    Scenario(Kind.SWAP, TWO, faults=0),
    Scenario(Kind.SWAP, THREE, faults=0),
    Scenario(Kind.SWAP, ONE, trust=Trust.FOREIGN, mishaps=frozenset({"smoke"})),
    Scenario(Kind.SWAP, ONE, unwell="cell-hot", faults=0),
    Scenario(Kind.PICKUP, ONE),
    Scenario(Kind.RETURN, (None, None), faults=0),
    Scenario(
        Kind.UNLOAD,
        ONE,
        faults=2,
        mishaps=frozenset({"locked", "smoke", "silent", "vanished in the dark"}),
    ),
)
LONG = (
    Scenario(Kind.SWAP, TWO),
    Scenario(Kind.SWAP, THREE),
    Scenario(Kind.SWAP, ONE, trust=Trust.FOREIGN),
    Scenario(Kind.SWAP, ONE, trust=Trust.DENIED, faults=0),
    Scenario(Kind.SWAP, ONE, unwell="cell-hot"),
    Scenario(Kind.SWAP, ONE, unwell="wrong-pack"),
    Scenario(Kind.SWAP, ONE, authority="code"),
    Scenario(Kind.PICKUP, ("F1", "F2")),
    Scenario(Kind.RETURN, (None, None)),
    Scenario(Kind.LOAD, (None, None), trust=Trust.FOREIGN),
    Scenario(Kind.UNLOAD, ONE, faults=2),
    Scenario(Kind.SWAP, ONE, waits_ms=(0, 1_000, 4_000, 9_000, 20_000, 70_000, 200_000)),
)
#: So many situations there are at least; fewer mean that the search goes nowhere.
WORLDS_MIN, WORLDS_LONG_MIN = 20_000, 300_000


def test_every_reachable_situation() -> None:
    searches = search(QUICK)
    said, worlds = figures(searches)
    print(f"\nswap table: {said}")
    assert worlds > WORLDS_MIN
    check_visited(searches)
    assert vain_outcomes(searches) == []


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_every_reachable_situation_of_larger_cabinets_with_more_faults() -> None:
    searches = search((*QUICK, *LONG), authorities=("fleet", "code"))
    said, worlds = figures(searches)
    proof.record(
        "swap table, exhaustively", said, f"{WORLDS_LONG_MIN} situations", worlds >= WORLDS_LONG_MIN
    )
    assert worlds >= WORLDS_LONG_MIN
    check_visited(searches)
    assert vain_outcomes(searches) + vain_actions(searches) == []


def search(
    scenarios: Iterable[Scenario], authorities: tuple[str, ...] = ("fleet",)
) -> list[Search]:
    """Each scenario, then the second scan from every fault that it can end in."""
    searches: list[Search] = []
    for scenario in scenarios:
        first = Search(scenario).run()
        seeds = first.second_scans()
        searches.append(first)
        searches += [Search(replace(scenario, authority=name)).run(seeds) for name in authorities]
    return searches


def figures(searches: list[Search]) -> tuple[str, int]:
    worlds = sum(len(each.seen) for each in searches)
    turns = sum(each.turns for each in searches)
    return f"{worlds} reachable situations, {turns} turns", worlds


def check_visited(searches: list[Search]) -> None:
    pairs: Counter[tuple[type, type]] = Counter()
    for each in searches:
        pairs.update(each.pairs)
    assert set(pairs) == {(state, event) for state in STATES for event in EVENTS}


def gathered(searches: list[Search]) -> dict[tuple[type, type, type], set[str]]:
    outcomes: dict[tuple[type, type, type], set[str]] = {}
    for each in searches:
        for key, actions in each.outcomes.items():
            outcomes.setdefault(key, set()).update(actions)
    return outcomes


def vain_outcomes(searches: list[Search]) -> list[tuple[str, ...]]:
    """Next states and refusals that are declared and never come (starts count from any end)."""
    outcomes = gathered(searches)
    refused = {key for each in searches for key in each.refused}
    began = {after for _, event, after in outcomes if event is Start}
    turned_down = {reason for _, event, reason in refused if event is Start}
    vain: list[tuple[str, ...]] = []
    for (state, event), row in TABLE.items():
        starts = event is Start and state not in ACTIVE
        for after in row.states():
            anywhere = starts and after not in TERMINAL
            if (after not in began) if anywhere else ((state, event, after) not in outcomes):
                vain.append((state.__name__, event.__name__, after.__name__))
        vain += [
            (state.__name__, event.__name__, reason)
            for reason in row.refuses
            if (reason not in turned_down if starts else (state, event, reason) not in refused)
        ]
    return vain


def vain_actions(searches: list[Search]) -> list[tuple[str, ...]]:
    """Actions that are declared and never taken; what a restart rarely does is seen in looks."""
    outcomes = gathered(searches)
    return [
        (state.__name__, event.__name__, after.__name__, name)
        for (state, event), row in TABLE.items()
        if event not in {Start, Recovered}
        for after in row.states()
        for name in row.actions(after) - outcomes.get((state, event, after), set())
    ]


def test_a_guard_that_is_broken_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search can fail: with the other door taken for shut, two rider doors open."""
    from cabinet.core.swap_tools import Context  # noqa: PLC0415

    monkeypatch.setattr(Context, "shut", lambda _context, _number: True)
    with pytest.raises(AssertionError, match="two rider doors"):
        Search(Scenario(Kind.SWAP, ONE)).run()
