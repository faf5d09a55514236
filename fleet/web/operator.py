"""The operator's pages: every cabinet live, and one of them in detail."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.access import Permission
from fleet.web.access import anybody, in_scope, needs
from fleet.web.live import detail_part, fleet_card, fleet_tiles
from fleet.web.pages import OPS_CSS, in_page, page, web_of
from fleet.web.sessions import OPERATOR_COOKIE, log_in_operator, log_out

router = APIRouter(prefix="/ops", include_in_schema=False)

SEE_OTHER = 303
FLAGGED_MAX = 10


@router.get("/login", dependencies=[anybody()])
async def login(request: Request, token: str = "") -> Response:
    """The link that fleetd printed: its token becomes a cookie and leaves the address bar."""
    response = RedirectResponse("/ops", SEE_OTHER)
    if token and await log_in_operator(request, response, token):
        return response
    texts = web_of(request).catalogue(request)
    notice = (texts.reason("operator-token"), texts.advice("operator-token")) if token else None
    return page(
        request,
        "ops_login.html",
        status=403 if token else 200,
        css=OPS_CSS,
        notice=notice,
        operator=False,
    )


@router.post("/logout", dependencies=[anybody()])
async def logout(request: Request) -> Response:
    """End the operator's session."""
    response = RedirectResponse("/ops/login", SEE_OTHER)
    await log_out(request, response, OPERATOR_COOKIE)
    return response


@router.get("", dependencies=[needs(Permission.SEE_CABINETS, narrows=True)])
async def overview(request: Request) -> Response:
    """All cabinets with their slots."""
    web = web_of(request)
    texts = web.catalogue(request)
    cabinets = await in_scope(request, await web.cabinets.all())
    return page(
        request,
        "ops.html",
        css=OPS_CSS,
        operator=True,
        balance=web.balance is not None,
        desk=web.charts is not None,
        area=web.stations is not None,
        tiles_part=in_page(await fleet_tiles(web, texts, cabinets)),
        flagged=[
            (swap, [texts.flag(each) for each in swap.flags])
            for swap in await web.swaps.flagged(FLAGGED_MAX)
        ],
        cards=[(each, in_page(fleet_card(web, texts, each))) for each in cabinets],
    )


@router.get("/cabinets/{cabinet_id}", dependencies=[needs(Permission.SEE_CABINETS)])
async def cabinet(request: Request, cabinet_id: str) -> Response:
    """One cabinet, every slot."""
    web = web_of(request)
    view = await web.cabinets.get(cabinet_id)
    detail = in_page(detail_part(web, web.catalogue(request), view))
    return page(request, "ops_cabinet.html", css=OPS_CSS, operator=True, c=view, part=detail)
