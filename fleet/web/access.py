"""How a route says what it needs, and how that is checked.

    @router.get("/ops/things", dependencies=[needs(Permission.SEE_CABINETS)])

Every route of the operator has such a line; a test looks for it. What the path names (a cabinet, a
station, an order, a report) must lie in the scope of who asks. A route that names none is refused to
those who are bound to some stations or partners, unless it says ``narrows=True``: then it cuts what
it shows by itself, as by ``cabinets_known``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import HTTPConnection

from fleet.core.access import AtStation, OfPartner, Permission, Place, Who, may, must
from fleet.errors import DeniedError
from fleet.web.pages import web_of
from fleet.web.security import LoginRequiredError
from fleet.web.signin import staff_of

#: Parts of a path that say where.
_PLACED: Final = frozenset(
    {"cabinet_id", "station_id", "command_id", "report_id", "swap_id", "partner_id"}
)
_NEED: Final = "yz_need"


class Need:
    """A dependency that lets only those through who have the permission. Made by ``needs``."""

    def __init__(
        self, permission: Permission | None, *, narrows: bool = False, cabinets: bool = False
    ) -> None:
        self.permission = permission  # None: open to everybody, on purpose
        self.narrows = narrows
        self.cabinets = cabinets  # shows what is at cabinets, and nothing that is a partner's

    def open_to(self, who: Who, path: str) -> bool:
        """Whether somebody may come to this route; if its path names a place, to one at least."""
        if self.permission is None:
            return True
        if not may(who, self.permission) or self._foreign(who):
            return False
        placed = any(f"{{{name}}}" in path for name in _PLACED)
        return who.scope.whole or self.narrows or placed

    def _foreign(self, who: Who) -> bool:
        """Whether nothing of it is within the scope."""
        return self.cabinets and who.scope.partners is not None

    async def __call__(self, request: Request) -> Who | None:
        """Who asks; raise LoginRequiredError or DeniedError."""
        if self.permission is None:
            return None
        request.scope[_NEED] = self
        who = await need_staff(request)
        must(who, self.permission)
        if self._foreign(who):
            raise DeniedError(f"{who.name}: bound to partners, this is of cabinets", code="scope")
        if who.scope.whole:
            return who
        named = _PLACED & request.path_params.keys()
        if named:
            for name in sorted(named):
                place = await place_of(request, name, str(request.path_params[name]))
                must(who, self.permission, place)
        elif not self.narrows:
            raise DeniedError(f"{who.name}: this shows the whole fleet", code="scope")
        return who


async def need_again(request: Request) -> None:
    """What the route declares, once more; raise LoginRequiredError or DeniedError."""
    need: Need | None = request.scope.get(_NEED)
    if need is not None:
        await need(request)


def needs(permission: Permission, *, narrows: bool = False, cabinets: bool = False) -> Any:
    """What a route of the staff declares, in its ``dependencies``."""
    return Depends(Need(permission, narrows=narrows, cabinets=cabinets))


def declared(app: FastAPI) -> Mapping[tuple[str, str], Need]:
    """What each route of the staff says that it needs, by its method and its path."""
    found: dict[tuple[str, str], Need] = {}
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute) and context.path is not None:
            calls = [each.call for each in context.dependant.dependencies]
            need = next((call for call in calls if isinstance(call, Need)), None)
            if need is not None:
                found |= {(method, context.path): need for method in context.methods or ()}
    return found


def anybody() -> Any:
    """What a route of the staff declares that must work before anybody is logged in."""
    return Depends(Need(None))


async def need_staff(request: HTTPConnection) -> Who:
    """Who of the staff asks; raise LoginRequiredError."""
    who = await staff_of(request)
    if who is None:
        raise LoginRequiredError("staff only: log in at /ops/login, or send a Bearer token")
    return who


async def permitted(
    request: HTTPConnection, permission: Permission, place: Place | None = None
) -> bool:
    """Whether somebody of the staff asks who may; for routes that riders use as well."""
    who = await staff_of(request)
    return who is not None and may(who, permission, place)


async def need(request: HTTPConnection, permission: Permission, place: Place | None = None) -> Who:
    """The same as an order: raise LoginRequiredError or DeniedError."""
    who = await need_staff(request)
    must(who, permission, place)
    return who


async def cabinets_known(request: HTTPConnection) -> frozenset[str] | None:
    """The cabinets at the stations that who asks is bound to; None: not bound."""
    who, web = await staff_of(request), web_of(request)
    if who is None or who.scope.stations is None:
        return None
    if web.stations is None:
        return frozenset()
    return await web.stations.cabinets_at(who.scope.stations)


async def place_of(request: HTTPConnection, name: str, value: str) -> Place:
    """Where the thing is that a part of a path names; at no station when nothing is known of it."""
    web = web_of(request)
    cabinet: str | None = None
    match name:
        case "partner_id":
            return OfPartner(value)
        case "station_id":
            return AtStation(value)
        case "cabinet_id":
            cabinet = value
        case "command_id":
            cabinet = (await web.operations.get(value)).cabinet_id
        case "swap_id":
            cabinet = (await web.swaps.get(value)).cabinet_id
        case "report_id" if web.reports is not None:
            report = await web.reports.get(value, rider_id=None)
            if report.station_id is not None:
                return AtStation(report.station_id)
            cabinet = report.cabinet_id
    if cabinet is None or web.stations is None:
        return AtStation(None)
    return AtStation(await web.stations.where(cabinet))
