"""REST of operators: orders at a cabinet, load and unload, the log of orders."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from fleet.core.access import Permission, acting, order_permission
from fleet.core.operations import REASON_CHARS_MAX, REASON_CHARS_MIN, Expected, Wish
from fleet.core.records import LogFilter
from fleet.core.views import OrderView, SwapView
from fleet.errors import InvalidError
from fleet.web import rider
from fleet.web.access import need, need_staff, needs
from fleet.web.api import Key, View, answers, as_json, events
from fleet.web.lasting import right_of
from fleet.web.live import order_document
from fleet.web.pages import web_of
from fleet.web.sse import one_stream
from protocols.messages import SLOTS_MAX, Kind, Presence

router = APIRouter(prefix="/api/v1", tags=["operators"])

LOG_ROWS_MAX = 1_000


class ExpectBody(BaseModel):
    """What was seen in the slot; the cabinet refuses when it has changed."""

    presence: Presence
    serial: str | None = Field(default=None, max_length=50)


class OrderBody(BaseModel):
    """An order, by whom and why."""

    type: Literal[
        "slot.open",
        "slot.service-off",
        "slot.service-on",
        "slot.quarantine",
        "slot.release",
        "alarm.clear",
        "cabinet.restart",
    ]
    staff: str = Field(max_length=32, examples=["zhang.wei"])
    reason: str = Field(
        min_length=REASON_CHARS_MIN, max_length=REASON_CHARS_MAX, examples=["rider's pack is stuck"]
    )
    slot: int | None = Field(default=None, ge=1, le=SLOTS_MAX)
    code: str | None = Field(default=None, max_length=64, description="Of the alarm to clear.")
    expect: ExpectBody | None = Field(default=None, description="Required for slot.open.")


class TechnicianBody(BaseModel):
    """A technician's load or unload."""

    technician: str = Field(max_length=32, examples=["zhang.wei"])
    slot: int | None = Field(default=None, ge=1, le=SLOTS_MAX)
    reason: str = Field(default="", max_length=REASON_CHARS_MAX)
    expect: ExpectBody | None = None


@router.post(
    "/cabinets/{cabinet_id}/commands",
    status_code=201,
    responses=answers("OrderView"),
    dependencies=[needs(Permission.GIVE_ORDERS)],
)
async def order(
    request: Request, cabinet_id: str, body: OrderBody, idempotency_key: Key = None
) -> Response:
    """Give an order; it is logged with its reason. The same key gives it once."""
    key = rider.check_key(idempotency_key)
    who = await need(request, order_permission(body.type))
    wish = Wish(
        cabinet=cabinet_id,
        type=body.type,
        staff=acting(who, body.staff),
        reason=body.reason,
        key=key,
        slot=body.slot,
        code=body.code,
        expected=_expected(body.expect),
    )
    view = await web_of(request).operations.order(wish)
    return as_json(view, status=201, headers={"Location": f"/api/v1/commands/{view.id}"})


@router.get(
    "/cabinets/{cabinet_id}/commands",
    responses=answers("OrderView", many=True),
    dependencies=[needs(Permission.SEE_ORDERS)],
)
async def orders(
    request: Request, cabinet_id: str, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Response:
    """The orders at a cabinet, newest first."""
    return as_json(await web_of(request).operations.of_cabinet(cabinet_id, limit))


@router.get(
    "/commands/{command_id}",
    responses=answers("OrderView"),
    dependencies=[needs(Permission.SEE_ORDERS)],
)
async def one_order(request: Request, command_id: str, view: View = None) -> Response:
    """One order and what has become of it."""
    web = web_of(request)
    found = await web.operations.get(command_id)
    if view is not None:
        return as_json(await order_document(web, web.catalogue(request), found))
    return as_json(found)


@router.get(
    "/commands/{command_id}/stream",
    responses=events("OrderView"),
    dependencies=[needs(Permission.SEE_ORDERS)],
)
async def order_stream(request: Request, command_id: str, view: View = None) -> Response:
    """One order, first as it stands, then at every change."""
    web = web_of(request)
    await web.operations.get(command_id)  # may be unknown
    texts = web.catalogue(request)

    async def told(found: OrderView) -> Any:
        if view is not None:
            return await order_document(web, texts, found)
        return {"type": "order", "order": found}

    port, right = web.operations, await right_of(request)
    return one_stream(web.streams, command_id, port.watch, port.get, told, right=right)


@router.get(
    "/audit", responses=answers("LogView", many=True), dependencies=[needs(Permission.SEE_AUDIT)]
)
async def log(
    request: Request,
    cabinet: Annotated[str | None, Query(max_length=32)] = None,
    staff: Annotated[str | None, Query(max_length=32)] = None,
    action: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=LOG_ROWS_MAX)] = 100,
) -> Response:
    """The log of orders, newest first; each row carries the hash of its chain."""
    wanted = LogFilter(cabinet, staff, action, limit)
    return as_json(await web_of(request).operations.log(wanted))


@router.post(
    "/cabinets/{cabinet_id}/load",
    status_code=201,
    responses=answers("SwapView"),
    dependencies=[needs(Permission.LOAD_UNLOAD)],
)
async def load(
    request: Request, cabinet_id: str, body: TechnicianBody, idempotency_key: Key = None
) -> Response:
    """A technician puts a pack in: into the slot named, or the best empty one."""
    return await _serve(request, cabinet_id, Kind.LOAD, body, idempotency_key)


@router.post(
    "/cabinets/{cabinet_id}/unload",
    status_code=201,
    responses=answers("SwapView"),
    dependencies=[needs(Permission.LOAD_UNLOAD)],
)
async def unload(
    request: Request, cabinet_id: str, body: TechnicianBody, idempotency_key: Key = None
) -> Response:
    """A technician takes the pack out of the slot named."""
    return await _serve(request, cabinet_id, Kind.UNLOAD, body, idempotency_key)


async def _serve(
    request: Request, cabinet_id: str, kind: Kind, body: TechnicianBody, given: str | None
) -> Response:
    key = rider.check_key(given)
    technician = acting(await need_staff(request), body.technician)
    swap: SwapView = await web_of(request).swaps.serve(
        kind=kind,
        cabinet_id=cabinet_id,
        technician=technician,
        slot=body.slot,
        reason=body.reason or f"{kind.value} by {technician}",
        expected=_expected(body.expect),
        idempotency_key=key,
    )
    return as_json(swap, status=201, headers={"Location": f"/api/v1/swaps/{swap.id}"})


def _expected(body: ExpectBody | None) -> Expected | None:
    return None if body is None else Expected(body.presence, body.serial)


def presence_of(text: str) -> Presence:
    """A presence out of a form; raise InvalidError."""
    try:
        return Presence(text)
    except ValueError as error:
        raise InvalidError(f"presence {text!r}: expected present, absent or unknown") from error
