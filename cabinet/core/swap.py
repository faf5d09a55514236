"""One transaction at the cabinet: a table, total over state and event.

``step`` takes a state, an event and what the slots look like now, and returns the next state and
the actions. It never raises for an event out of place: it answers ``Refused`` and changes nothing.
The rows stand in ``swap_table``; the functions behind them in ``swap_start`` (reserving, and the
second scan), ``swap_return`` (a pack comes in), ``swap_back`` (one is given back, or all is undone)
and ``swap_pickup`` (one goes out).

Rules that hold in every row:

- one full and one empty slot are reserved before any door moves;
- a door is pulsed only when it is read shut, its slot is not locked and the safety verdict lets
  rider doors move; each pulse is a new attempt with its own id;
- the pickup door is ordered open only after the return door was seen shut, and the other way round:
  never two rider doors for one swap;
- a pack is booked in once, after its BMS has named it behind a shut door; it is booked out once,
  when the slot is seen empty (or with another pack in it);
- every wait ends: by a sensor, a command, a trip or its deadline;
- steps told to the fleet never go back (``protocols.messages.STEP_RANK``).

Rows read levels, not edges: what the sensors show now together with the state decides. So the same
rows serve after a restart, where ``Recovered`` only starts the deadlines anew and lets an opening
whose door is still shut try again at once, as a new attempt.
"""

from __future__ import annotations

from typing import Final

from cabinet.core.swap_model import (
    ACTIVE,
    Cancel,
    Event,
    GiveBack,
    Resume,
    State,
    SwapLimits,
    Turn,
    View,
    job_of,
)
from cabinet.core.swap_table import TABLE
from cabinet.core.swap_tools import Context, refuse

DEFAULT_LIMITS: Final = SwapLimits()


def step(
    state: State, event: Event, view: View, now_ms: int, limits: SwapLimits = DEFAULT_LIMITS
) -> Turn:
    """The next state and the actions; an event out of place is refused and changes nothing."""
    if isinstance(event, Cancel | Resume | GiveBack):
        job = job_of(state)
        if job is not None and isinstance(state, ACTIVE) and job.swap_id != event.swap_id:
            return refuse(state, "other-swap")
    return TABLE[type(state), type(event)].run(state, event, Context(view, now_ms, limits))
