"""Every reachable situation of a tiny cabinet, breadth first, against the table and the invariants."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

import pytest

from cabinet.core.swap_model import ACTIVE, EVENTS, STATES, TERMINAL, Recovered, Start
from cabinet.core.swap_table import TABLE
from protocols.messages import Kind
from tests.support.swap_space import Scenario, Search, Trust

PROVE = bool(os.environ.get("YIZHAN_PROVE"))
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
    Scenario(Kind.SWAP, ONE, faults=2),
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
    Scenario(
        Kind.SWAP, ONE, waits_ms=(0, 1_000, 4_000, 9_000, 20_000, 40_000, 70_000, 130_000, 200_000)
    ),
)
WORLDS_MIN = 300_000 if PROVE else 20_000


@pytest.mark.timeout(3_000 if PROVE else 120)
def test_every_reachable_situation() -> None:
    searches: list[Search] = []
    for scenario in (*QUICK, *LONG) if PROVE else QUICK:
        search = Search(scenario).run()
        searches.append(search)
        seeds = search.second_scans()
        authorities = ("fleet", "code") if PROVE else ("fleet",)
        searches += [Search(replace(scenario, authority=name)).run(seeds) for name in authorities]
    worlds = sum(len(search.seen) for search in searches)
    turns = sum(search.turns for search in searches)
    pairs: Counter[tuple[type, type]] = Counter()
    for search in searches:
        pairs.update(search.pairs)
    print(
        f"\nswap table: {worlds} reachable situations, {turns} turns, every one of "
        f"{len(pairs)} pairs of state and event visited, invariants hold"
    )
    assert worlds > WORLDS_MIN
    assert set(pairs) == {(state, event) for state in STATES for event in EVENTS}
    check_declared(searches)


def check_declared(searches: list[Search]) -> None:
    """What is declared also happens somewhere (starts count from any end)."""
    outcomes: dict[tuple[type, type, type], set[str]] = {}
    refused: set[tuple[type, type, str]] = set()
    for search in searches:
        refused |= search.refused
        for key, actions in search.outcomes.items():
            outcomes.setdefault(key, set()).update(actions)
    began = {after for _, event, after in outcomes if event is Start}
    turned_down = {reason for _, event, reason in refused if event is Start}
    vain = []
    for (state, event), row in TABLE.items():
        for after in row.states():
            here = event is Start and state not in ACTIVE and after not in TERMINAL
            if (after not in began) if here else ((state, event, after) not in outcomes):
                vain.append((state.__name__, event.__name__, after.__name__))
        vain += [
            (state.__name__, event.__name__, after.__name__, name)
            for after in row.states()
            for name in row.actions(after) - outcomes.get((state, event, after), set())
            if PROVE and event is not Start and not _rare(name, event)
        ]
        for reason in row.refuses:
            if event is Start and state not in ACTIVE:
                happened = reason in turned_down
            else:
                happened = (state, event, reason) in refused
            if not happened:
                vain.append((state.__name__, event.__name__, reason))
    assert not vain, f"declared in vain: {vain}"


def _rare(action: str, event: type) -> bool:
    """What a restart rarely leads to at once is seen in looks."""
    return event is Recovered and action in {"FlagSlot", "Alarm", "LeftOpen", "Report", "Prompt"}


def test_a_guard_that_is_broken_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search can fail: with the other door taken for shut, two rider doors open."""
    from cabinet.core.swap_tools import Context  # noqa: PLC0415

    monkeypatch.setattr(Context, "shut", lambda _context, _number: True)
    with pytest.raises(AssertionError, match="two rider doors"):
        Search(Scenario(Kind.SWAP, ONE)).run()
