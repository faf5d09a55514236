"""REST of steering: which cabinets to ride to."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from msgspec.structs import replace
from starlette.responses import Response

from fleet.core.access import Permission, may
from fleet.errors import InvalidError
from fleet.web import limits
from fleet.web.api import answers, as_json
from fleet.web.pages import web_of
from fleet.web.sessions import address
from fleet.web.signin import staff_of

router = APIRouter(prefix="/api/v1", tags=["cabinets"])

COUNT_MAX: Final = 20
Near = Annotated[
    str,
    Query(
        max_length=40,
        pattern=r"^-?[0-9]{1,2}(\.[0-9]{1,9})?,-?[0-9]{1,3}(\.[0-9]{1,9})?$",
        description="Latitude and longitude in degrees.",
        examples=["39.9402,116.3897"],
    ),
]


@router.get("/stations", responses=answers("StationView", many=True))
async def stations(
    request: Request, near: Near, count: Annotated[int, Query(ge=1, le=COUNT_MAX)] = 5
) -> Response:
    """Cabinets within 10 km that can serve a rider from this place, the best first.

    Weighed are the way, the chance of a full battery on arrival, and what the swap does to the
    fleet's balance. Only operators see what each would cost.
    """
    web = web_of(request)
    who = await staff_of(request)
    # What a swap costs is of the whole fleet, as the pages of the balance are.
    operator = who is not None and who.scope.whole and may(who, Permission.SEE_BALANCE)
    if not operator:
        now_ms = web.clock.monotonic_ms()
        web.throttle.spend(limits.STATIONS_PER_ADDRESS, address(request), now_ms)
    lat, lon = (float(part) for part in near.split(","))
    if not (abs(lat) <= 90 and abs(lon) <= 180):
        raise InvalidError(f"near: is {near}, expected -90 to 90 degrees, then -180 to 180")
    found = await web.steering.near(lat, lon, count)
    if not operator:
        found = [replace(each, cost=None, balance_cost=None) for each in found]
    return as_json(found)
