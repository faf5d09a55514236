"""The swap table for people: as text, as data, and as a state diagram; all made from ``TABLE``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

from cabinet.core.swap_model import ACTIVE, EVENTS, STATES, TERMINAL, Faulted, Idle, Recovered
from cabinet.core.swap_rows import Row, To
from cabinet.core.swap_table import TABLE

#: A cancel, resume or give-back of another transaction, in every state with one under way.
OTHER_SWAP: Final = "other-swap"


def rows() -> list[dict[str, Any]]:
    """Every pair of state and event, with what may come of it; JSON values."""
    return [
        {
            "state": state.__name__,
            "event": event.__name__,
            "about": _about(TABLE[state, event].run),
            "outcomes": [_outcome(outcome) for outcome in TABLE[state, event].to],
            "refused": list(TABLE[state, event].refuses),
        }
        for state in STATES
        for event in EVENTS
    ]


def lines() -> Iterator[str]:
    """The table as text."""
    for state in STATES:
        yield f"{state.__name__}: {_about(state)}"
        for event in EVENTS:
            yield from _pair(state, event, TABLE[state, event])
        yield ""
    yield f"{len(STATES)} states x {len(EVENTS)} events = {len(TABLE)} rows"
    yield f"Cancel, Resume and GiveBack of another transaction are refused: {OTHER_SWAP}"


def diagram() -> str:
    """The states and what leads from one to the next, as Mermaid.

    What ends in ``Faulted`` stands in ``faults``: nearly every state can, and the arrows would hide
    the others. A restart leads where looking leads, and a new order starts from every end as from
    ``Idle``: neither is drawn.
    """
    arrows: dict[tuple[type, type], list[str]] = {}
    for (state, event), row in TABLE.items():
        if state in TERMINAL or event is Recovered:
            continue
        for target in STATES:
            if target in row.states() and target not in {state, Faulted}:
                arrows.setdefault((state, target), []).append(event.__name__)
    text = ["stateDiagram-v2", "    [*] --> Idle"]
    text += [
        f"    {state.__name__} --> {target.__name__}: {', '.join(events)}"
        for (state, target), events in arrows.items()
    ]
    text += [f"    {end.__name__} --> [*]" for end in TERMINAL if end is not Faulted]
    return "\n".join(text) + "\n"


def faults() -> str:
    """Which state ends in ``Faulted`` by which event, and when: a Markdown table."""
    text = ["| state | event | when |", "|---|---|---|"]
    for state in (Idle, *ACTIVE):
        for event in EVENTS:
            text += [
                f"| {state.__name__} | {event.__name__} | {outcome.when} |"
                for outcome in TABLE[state, event].to
                if outcome.state is Faulted and event is not Recovered
            ]
    return "\n".join(text) + "\n"


def _about(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n", maxsplit=1)[0]


def _outcome(outcome: To) -> dict[str, Any]:
    return {
        "next": outcome.state.__name__,
        "when": outcome.when,
        "actions": outcome.does.split(),
    }


def _pair(state: type, event: type, row: Row) -> Iterator[str]:
    name = f"  {event.__name__:<10}"
    refused = f"refused: {', '.join(row.refuses)}" if row.refuses else ""
    if not row.to:
        yield f"{name} {refused or 'changes nothing'}"
        return
    yield f"{name} {_about(row.run)}"
    for outcome in row.to:
        target = "stays" if outcome.state is state else f"-> {outcome.state.__name__}"
        actions = f" [{', '.join(outcome.does.split())}]" if outcome.does else ""
        yield f"{'':13}{target}: {outcome.when}{actions}"
    if refused:
        yield f"{'':13}{refused}"
