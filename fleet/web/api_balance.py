"""REST of the 24-hour balance, for operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from fleet.core.access import Permission
from fleet.core.balance.grid import POWER_MAX_W, PRICE_MAX
from fleet.core.balance.what_if import PRICE_PCT_MAX, Change
from fleet.errors import NotFoundError
from fleet.ports import Balance
from fleet.ports_charts import Asking
from fleet.web import limits
from fleet.web.access import need_staff, needs
from fleet.web.api import answers, as_json
from fleet.web.pages import web_of

router = APIRouter(prefix="/api/v1/balance", tags=["operators"])

Scope = Annotated[
    str,
    Query(max_length=80, examples=["fleet", "region:east", "feeder:F1", "cabinet:DH-0001"]),
]


@router.get("/curve", responses=answers("CurveView"), dependencies=[needs(Permission.SEE_BALANCE)])
async def curve(request: Request, scope: Scope = "fleet") -> Response:
    """Plan, measured power, limit and price by interval: the day behind and the day ahead."""
    return as_json(await balance_of(request).curve(scope))


@router.get("/moves", responses=answers("MovesView"), dependencies=[needs(Permission.SEE_BALANCE)])
async def moves(request: Request) -> Response:
    """Batteries to carry from cabinet to cabinet where charging alone cannot meet the demand."""
    return as_json(await balance_of(request).moves())


_Time = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["18:00"])]


class WhatIfBody(BaseModel):
    """What would be different; what is left out stays as it is. At least one of the three."""

    model_config = ConfigDict(extra="forbid")

    scope: str = Field(default="fleet", max_length=80, examples=["region:east"])
    limit_w: int | None = Field(default=None, ge=0, le=POWER_MAX_W)
    start: _Time | None = Field(default=None, description="The limit holds from then on, daily.")
    end: _Time | None = None
    price_pct: int | None = Field(
        default=None, ge=1, le=PRICE_PCT_MAX, description="Of today's price of energy."
    )
    lost_swap_price: float | None = Field(
        default=None, gt=0, le=PRICE_MAX, allow_inf_nan=False, description="The service level."
    )


@router.post(
    "/what-if", responses=answers("WhatIfView"), dependencies=[needs(Permission.SEE_BALANCE)]
)
async def what_if(request: Request, body: WhatIfBody) -> Response:
    """The next 24 hours as they are planned, and as they would be with another limit or price.

    Both are computed by the planner on the same state and forecast, in 12 s at most; nothing
    changes. One question is answered at a time (else ``what-if-busy``), and twelve in a minute for
    each who asks (else 429).
    """
    asking = asking_of(request)
    await spend_question(request)
    change = Change(
        limit_w=body.limit_w,
        from_min=_minute(body.start),
        to_min=_minute(body.end),
        price_pct=body.price_pct,
        lost_swap_price=body.lost_swap_price,
    )
    return as_json(await asking.what_if(body.scope, change))


async def spend_question(request: Request) -> None:
    """Count a question to the planner, which takes a core for seconds; raise LimitedError."""
    web, who = web_of(request), await need_staff(request)
    web.staff_throttle.spend(limits.WHAT_IF, who.id, web.clock.monotonic_ms())


def asking_of(request: Request) -> Asking:
    """Who answers questions to the planner; raise NotFoundError where the balance is off."""
    charts = web_of(request).charts
    if charts is None or charts.asking is None:
        raise NotFoundError("the balance is off: name a grid in [balance] grid_file")
    return charts.asking


def _minute(text: str | None) -> int | None:
    return None if text is None else int(text[:2]) * 60 + int(text[3:])


def balance_of(request: Request) -> Balance:
    """The balance; raise NotFoundError where it is off."""
    balance = web_of(request).balance
    if balance is None:
        raise NotFoundError("the balance is off: name a grid in [balance] grid_file")
    return balance
