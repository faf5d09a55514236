"""The operator's pages: every cabinet live, and one of them in detail."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from fleet.core.access import Permission
from fleet.web.access import in_scope, needs
from fleet.web.live import detail_part, fleet_card, fleet_tiles
from fleet.web.pages import OPS_CSS, in_page, page, web_of

router = APIRouter(prefix="/ops", include_in_schema=False)

FLAGGED_MAX = 10


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
