"""The rider's own page: batteries, plan, receipts; and his data, to take along or to be forgotten."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.account_views import PackView
from fleet.errors import RefusedError
from fleet.web.entering import membership_of
from fleet.web.pages import OFFLINE_SCRIPT, page, web_of
from fleet.web.rider import SEE_OTHER, notice_of, refused
from fleet.web.sessions import RIDER_COOKIE, log_out, need_rider

router = APIRouter(include_in_schema=False)

HISTORY_FIRST: Final = 20
HISTORY_MAX: Final = 100  # what is older stands in the file of one's own data


@router.get("/me")
async def account(
    request: Request,
    *,
    all_: Annotated[bool, Query(alias="all")] = False,
) -> Response:
    """The rider's batteries, plan and receipts: the last ones, or all that are listed."""
    web = web_of(request)
    rider_id = await need_rider(request)
    rider = await web.riders.get(rider_id)
    packs: tuple[PackView, ...] = tuple(
        PackView(serial=serial, since_ms=0) for serial in rider.serials
    )
    plan = None
    if web.membership is not None:
        packs = await web.membership.packs_of(rider_id)
        plan = await web.membership.plan_of(rider_id)
    most = HISTORY_MAX if all_ else HISTORY_FIRST
    swaps = await web.swaps.of_rider(rider_id, most)
    return page(
        request,
        "me.html",
        rider=rider,
        packs=packs,
        plan=plan,
        swaps=swaps,
        older=len(swaps) == HISTORY_FIRST and not all_,
        js_urls=[OFFLINE_SCRIPT.url],
        area=web.stations is not None,
        data=web.membership is not None,
    )


@router.get("/me/data")
async def my_data(request: Request) -> Response:
    """What may be done with what is kept of the rider."""
    await need_rider(request)
    membership_of(web_of(request))
    return page(request, "data.html", notice=notice_of(request))


@router.get("/me/data.json")
async def export(request: Request) -> Response:
    """Everything that is kept of the rider, as a file."""
    rider_id = await need_rider(request)
    view = await membership_of(web_of(request)).export(rider_id)
    headers = {"Content-Disposition": f'attachment; filename="yizhan-{rider_id}.json"'}
    body = msgspec.json.format(msgspec.json.encode(view), indent=1)
    return Response(body, media_type="application/json", headers=headers)


@router.post("/me/delete")
async def delete(request: Request) -> Response:
    """Forget the rider, who must hold no battery."""
    rider_id = await need_rider(request)
    try:
        await membership_of(web_of(request)).forget(rider_id)
    except RefusedError as error:
        return refused("/me/data", error)
    response = RedirectResponse("/", SEE_OTHER)
    await log_out(request, response, RIDER_COOKIE)
    return response
