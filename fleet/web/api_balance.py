"""REST of the 24-hour balance, for operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from fleet.errors import NotFoundError
from fleet.web.api import answers, as_json
from fleet.web.pages import web_of
from fleet.web.sessions import need_operator

router = APIRouter(prefix="/api/v1/balance", tags=["operators"])

Scope = Annotated[
    str,
    Query(max_length=80, examples=["fleet", "region:east", "feeder:F1", "cabinet:DH-0001"]),
]


@router.get("/curve", responses=answers("CurveView"))
async def curve(request: Request, scope: Scope = "fleet") -> Response:
    """Plan, measured power, limit and price by interval: the day behind and the day ahead."""
    await need_operator(request)
    balance = web_of(request).balance
    if balance is None:
        raise NotFoundError("the balance is off: name a grid in [balance] grid_file")
    return as_json(await balance.curve(scope))
