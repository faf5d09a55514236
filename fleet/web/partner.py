"""What a partner's server may ask: itself, its riders' plans and swaps."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from fleet.core.account_views import PartnerView
from fleet.errors import DeniedError
from fleet.web import limits
from fleet.web.api import answers, as_json
from fleet.web.entering import membership_of
from fleet.web.pages import web_of
from fleet.web.sessions import address

router = APIRouter(prefix="/api/v1/partner", tags=["partners"])

TIME_MS_MAX: Final = 253_402_300_799_999  # the end of the year 9999
BEARER: Final = "bearer "


class PlanBody(BaseModel):
    """Until when a rider has the partner's plan; no time for until further notice."""

    until_ms: int | None = Field(default=None, ge=0, le=TIME_MS_MAX)


@router.get("", responses=answers("PartnerView"))
async def myself(request: Request) -> Response:
    """The partner itself: its plan, its quota, and the swaps and sessions of the last 24 hours."""
    return as_json(await _partner(request))


@router.get("/swaps", responses=answers("ChargeView", many=True))
async def swaps(
    request: Request,
    since_ms: Annotated[int, Query(ge=0, le=TIME_MS_MAX)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """The swaps of the partner's riders, newest first; ``state`` void costs and counts nothing."""
    partner = await _partner(request)
    return as_json(await membership_of(web_of(request)).partner_swaps(partner.id, since_ms, limit))


@router.get("/sessions", responses=answers("SessionCharge", many=True))
async def sessions(
    request: Request,
    since_ms: Annotated[int, Query(ge=0, le=TIME_MS_MAX)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """The sessions at sockets of the partner's riders, newest first."""
    partner = await _partner(request)
    membership = membership_of(web_of(request))
    return as_json(await membership.partner_sessions(partner.id, since_ms, limit))


@router.put("/riders/{subject}/plan", responses=answers("PartnerView"))
async def set_plan(request: Request, subject: str, body: PlanBody) -> Response:
    """Give one of the partner's riders its plan, or end it with a time that is over."""
    partner = await _partner(request)
    await membership_of(web_of(request)).set_plan(partner, subject, body.until_ms)
    return as_json({"subject": subject, "until_ms": body.until_ms})


async def _partner(request: Request) -> PartnerView:
    web = web_of(request)
    now_ms = web.clock.monotonic_ms()
    web.throttle.spend(limits.PARTNER_CALLS, address(request), now_ms)
    header = request.headers.get("authorization", "")
    if not header.lower().startswith(BEARER):
        error = DeniedError("Authorization: expected Bearer and a partner's API token")
        error.status = 401
        raise error
    return await membership_of(web).partner_by_token(header[len(BEARER) :].strip())
