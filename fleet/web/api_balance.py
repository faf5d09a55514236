"""REST of the 24-hour balance, for operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from fleet.core.access import Permission
from fleet.errors import NotFoundError
from fleet.ports import Balance
from fleet.web.access import needs
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


def balance_of(request: Request) -> Balance:
    """The balance; raise NotFoundError where it is off."""
    balance = web_of(request).balance
    if balance is None:
        raise NotFoundError("the balance is off: name a grid in [balance] grid_file")
    return balance
