"""The operator's 24 hours: plan, fact, limit, price, forecast and shortage, and what if it were otherwise."""

from __future__ import annotations

import re
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from fleet.core.access import Permission
from fleet.core.balance.curve import CurveView
from fleet.core.balance.what_if import Change, WhatIfView
from fleet.errors import FleetError, InvalidError, LimitedError, RefusedError
from fleet.ports_charts import Asking
from fleet.web.access import needs, permitted
from fleet.web.api_balance import balance_of, spend_question
from fleet.web.csv_out import Cell, csv_response, each_of
from fleet.web.curve import HEIGHT, LEFT, PRICE_TOP, SWAPS_TOP, WIDTH, hourly, picture
from fleet.web.ops_lists import link
from fleet.web.ops_views import view_bar
from fleet.web.pages import OPS_CSS, explained, page, web_of

router = APIRouter(prefix="/ops", include_in_schema=False)

SCOPE_CHARS_MAX: Final = 80
MOVES_SHOWN_MAX: Final = 20
FEEDERS_SHOWN_MAX: Final = 200
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
Field = Annotated[str, Query(max_length=16)]
Scope = Annotated[str, Query(max_length=SCOPE_CHARS_MAX)]


@router.get("/balance", dependencies=[needs(Permission.SEE_BALANCE)])
async def balance(  # noqa: PLR0917 - the fields of one form
    request: Request,
    scope: Scope = "fleet",
    limit_kw: Field = "",
    begin: Annotated[str, Query(max_length=16, alias="from")] = "",
    end: Annotated[str, Query(max_length=16, alias="to")] = "",
    price_pct: Field = "",
    lost: Field = "",
) -> Response:
    """The day behind and ahead, and beside it the plan for another grid if one is asked for."""
    web, balancing = web_of(request), balance_of(request)
    asked = {"limit_kw": limit_kw, "from": begin, "to": end, "price_pct": price_pct, "lost": lost}
    scope = scope or "fleet"
    view = await balancing.curve(scope)
    charts = web.charts
    asking = charts.asking if charts else None
    other, error = await _other(request, asking, scope, asked)
    scopes = await asking.scopes() if asking is not None else None
    return page(
        request,
        "ops_balance.html",
        view_bar=await view_bar(request, "load"),
        status=error.status if error else 200,
        css=OPS_CSS,
        operator=True,
        v=view,
        carried=await balancing.moves(),
        moves_max=MOVES_SHOWN_MAX,
        drawn=picture(view, ZoneInfo(web.config.timezone), other),
        hours=hourly(view, other),
        summary=_summary(view),
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        price_top=PRICE_TOP,
        swaps_top=SWAPS_TOP,
        scopes=scopes,
        feeders=scopes.feeders[:FEEDERS_SHOWN_MAX] if scopes else (),
        asks=asking is not None,
        asked=asked,
        other=other,
        csv_url=link("/ops/balance.csv", {"scope": scope}),
        may_edit=charts is not None
        and charts.grid is not None
        and await permitted(request, Permission.EDIT_GRID),
        notice=explained(web.catalogue(request), error) if error else None,
        mistake=str(error) if isinstance(error, InvalidError) else "",
    )


@router.get("/balance.csv", dependencies=[needs(Permission.SEE_BALANCE)])
async def balance_csv(request: Request, scope: Scope = "fleet") -> Response:
    """Every interval of the picture, as a table."""
    view = await balance_of(request).curve(scope)
    rows: list[list[Cell]] = [
        [each.start_ms, each.plan_w, each.actual_w, each.limit_w, each.price, each.swaps,
         each.shortfall_wh]
        for each in view.points
    ]  # fmt: skip
    header = (
        "start_ms", "plan_w", "actual_w", "limit_w", "price_per_kwh", "swaps", "shortfall_wh",
    )  # fmt: skip
    return csv_response("load", header, each_of(rows))


async def _other(
    request: Request, asking: Asking | None, scope: str, asked: dict[str, str]
) -> tuple[WhatIfView | None, FleetError | None]:
    """The plan that is asked for, or why there is none; neither where nothing is asked."""
    if asking is None or not any(asked.values()):
        return None, None
    try:
        change = change_of(asked)
        await spend_question(request)
        return await asking.what_if(scope, change), None
    except (InvalidError, LimitedError, RefusedError) as refusal:
        return None, refusal


def change_of(asked: dict[str, str]) -> Change:
    """What the form asks for; raise InvalidError naming the field."""
    limit_kw, price = (
        _number("limit_kw", asked["limit_kw"]),
        _number("price_pct", asked["price_pct"]),
    )
    return Change(
        limit_w=None if limit_kw is None else round(limit_kw * 1_000),
        from_min=_minute("from", asked["from"]),
        to_min=_minute("to", asked["to"]),
        price_pct=None if price is None else round(price),
        lost_swap_price=_number("lost", asked["lost"]),
    )


def _number(name: str, text: str) -> float | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,4})?", text):
        raise InvalidError(f"{name}: is {text!r}, expected a number from 0 on")
    return float(text)


def _minute(name: str, text: str) -> int | None:
    if not text:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidError(f"{name}: is {text!r}, expected HH:MM")
    return int(match[1]) * 60 + int(match[2])


def _summary(view: CurveView) -> dict[str, float | int | None]:
    """The picture in a sentence: the highest planned load and when, and what comes too late."""
    ahead = [each for each in view.points if each.start_ms + view.interval_s * 1_000 > view.now_ms]
    planned = [each for each in ahead if each.plan_w is not None]
    top = max(planned, key=lambda each: each.plan_w or 0, default=None)
    return {
        "peak_kw": None if top is None else (top.plan_w or 0) / 1_000,
        "at_ms": None if top is None else top.start_ms,
        "swaps": sum(each.swaps or 0.0 for each in ahead),
        "short_kwh": sum(each.shortfall_wh or 0 for each in ahead) / 1_000,
    }
