"""What of the console the person who looks may open: by what the routes themselves declare.

A page's link stands where its route lets that person in; there is no second list of who may what.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from starlette.requests import HTTPConnection

from fleet.core.access import Permission, Who, may, order_permission

#: Where a request keeps who of the staff asks, once that was looked up, and by which session.
STAFF_KEY: Final = "yz_staff"


@dataclass(frozen=True, slots=True)
class Entry:
    """A page of the menu. ``parts``: what this fleet must have for the page to show anything."""

    path: str
    text: str
    parts: tuple[str, ...] = ()


MENU: Final = (
    Entry("/ops", "console.overview"),
    Entry("/ops/cabinets", "ops.cabinets"),
    Entry("/ops/alarms", "desk.alarms", ("desk",)),
    Entry("/ops/balance", "balance.title", ("balance",)),
    Entry("/ops/grid", "desk.grid", ("desk", "balance")),
    Entry("/ops/moves", "desk.moves", ("desk", "balance")),
    Entry("/ops/swaps", "desk.swaps", ("desk",)),
    Entry("/ops/packs", "desk.packs", ("desk",)),
    Entry("/ops/riders", "desk.riders", ("desk",)),
    Entry("/ops/partners", "desk.partners", ("desk",)),
    Entry("/ops/plans", "desk.plans", ("desk",)),
    Entry("/ops/stations", "area.stations", ("area",)),
    Entry("/ops/tickets", "desk.tickets", ("desk", "reports")),
    Entry("/ops/reports", "report.ops", ("area", "reports")),
    Entry("/ops/rollouts", "rollout.title", ("rollouts",)),
    Entry("/ops/audit", "audit.title"),
    Entry("/ops/views", "console.views"),
    Entry("/ops/access", "access.title", ("staff",)),
)


class Declared(Protocol):
    """What a route says that it needs: ``fleet.web.access.Need``."""

    permission: Permission | None

    def open_to(self, who: Who, path: str) -> bool:
        """Whether somebody of the staff may come to this route."""
        ...


def may_open(
    needs: Mapping[tuple[str, str], Declared], who: Who | None, path: str, method: str = "GET"
) -> bool:
    """Whether the route at ``path``, as it stands in the application, lets this person in."""
    need = needs.get((method, path))
    return need is not None and who is not None and need.open_to(who, path)


def menu_values(request: HTTPConnection, parts: Mapping[str, bool]) -> dict[str, Any]:
    """What the templates of the console need: the menu, ``can`` for other links and forms, ``can_order``."""
    who = _who(request)
    can = partial(may_open, request.app.state.needs, who)
    return {
        "menu": list(_entries(who, can, parts)),
        "can": can,
        "can_order": lambda order: who is not None and may(who, order_permission(order)),
    }


def _entries(who: Who | None, can: Any, parts: Mapping[str, bool]) -> Iterator[Entry]:
    for each in MENU if who else ():
        if all(parts[name] for name in each.parts) and can(each.path):
            yield each


def _who(request: HTTPConnection) -> Who | None:
    found: tuple[Who | None, str] = request.scope.get(STAFF_KEY, (None, ""))
    return found[0]
