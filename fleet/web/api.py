"""REST under ``/api/v1``. Views go out as they are; errors as ``{"error": {"code", "message"}}``."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, FastAPI, Header, Query, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from fleet.core.access import Permission
from fleet.core.account_views import ChargeView, PartnerView, SessionCharge
from fleet.core.balance.curve import CurveView
from fleet.core.balance.moves import MovesView
from fleet.core.balance.what_if import WhatIfView
from fleet.core.login import normalise_phone
from fleet.core.reports import ReportView
from fleet.core.reservations import MINUTES_DEFAULT, MINUTES_MAX
from fleet.core.rollout_model import Rollout
from fleet.core.station_views import SessionView
from fleet.core.stations import RestStationView
from fleet.core.steering import StationView
from fleet.core.templates import SettingsView
from fleet.core.two_person import Ask
from fleet.core.views import (
    CabinetView,
    LogView,
    OrderView,
    ReservationView,
    RiderView,
    SwapView,
)
from fleet.errors import NotFoundError
from fleet.web import rider
from fleet.web.access import cabinets_known, need, need_staff, permitted, place_of
from fleet.web.lasting import right_of
from fleet.web.live import (
    cabinet_document,
    detail_document,
    swap_document,
    swap_json,
)
from fleet.web.offline import OfflinePass
from fleet.web.pages import web_of
from fleet.web.sessions import (
    RIDER_COOKIE,
    log_in,
    log_out,
    need_rider,
    rider_of,
    send_code,
)
from fleet.web.signin import staff_of
from fleet.web.sse import Batch, EventStream, one_stream
from protocols.messages import STEP_RANK

router = APIRouter(prefix="/api/v1")

FLEET_GAP_S: Final = 1.0  # an operator's list of many cabinets changes once a second at most
RESEND_AFTER_S: Final = 60
CABINETS_MAX: Final = 500  # in one answer

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Required. 8 to 128 visible ASCII characters, the same for every try.",
    ),
]
#: ``page`` and ``ops`` ask for the parts of our own pages instead of plain views.
View = Annotated[Literal["page", "ops"] | None, Query(include_in_schema=False)]


class PhoneBody(BaseModel):
    """Who asks for a code."""

    phone: str = Field(max_length=40, examples=["+8613800138000"])


class LoginBody(BaseModel):
    """A phone and the code that was sent to it."""

    phone: str = Field(max_length=40, examples=["+8613800138000"])
    code: str = Field(max_length=12, examples=["123456"])


class StartBody(BaseModel):
    """What to start, and where."""

    cabinet_id: str = Field(max_length=32, examples=["DH-0001"])
    kind: Literal["swap", "pickup", "return"] = "swap"


class ReservationBody(BaseModel):
    """For how long."""

    minutes: int = Field(default=MINUTES_DEFAULT, ge=1, le=MINUTES_MAX)


def answers(schema: str, *, many: bool = False) -> dict[int | str, dict[str, Any]]:
    """The answers of an operation, for the OpenAPI document."""
    one: dict[str, Any] = {"$ref": f"#/components/schemas/{schema}"}
    shown = {"type": "array", "items": one} if many else one
    error = {"$ref": "#/components/schemas/Error"}
    return {
        200: {"content": {"application/json": {"schema": shown}}},
        "4XX": {"description": "Refused", "content": {"application/json": {"schema": error}}},
    }


def events(schema: str) -> dict[int | str, dict[str, Any]]:
    """The stream of an operation, for the OpenAPI document."""
    text = (
        f"Default events whose JSON has a `type`: `heartbeat` every 2 s, else whole {schema} views. "
        "`ended` is the last one when the login or token that opened the stream may no more."
    )
    return {200: {"description": text, "content": {"text/event-stream": {}}}}


# --- login --------------------------------------------------------------------------------------


@router.post("/login/code", status_code=202, tags=["login"])
async def ask_code(request: Request, body: PhoneBody) -> JSONResponse:
    """Send a login code. The answer is the same for every number."""
    await send_code(request, normalise_phone(body.phone))
    return JSONResponse({"sent": True, "resend_after_s": RESEND_AFTER_S}, status_code=202)


@router.post("/login", tags=["login"])
async def login(request: Request, response: Response, body: LoginBody) -> dict[str, str]:
    """Log in; the session is a cookie."""
    rider_id = await log_in(request, response, normalise_phone(body.phone), body.code)
    return {"rider_id": rider_id}


@router.post("/logout", tags=["login"])
async def logout(request: Request) -> JSONResponse:
    """End the session."""
    response = JSONResponse({"rider_id": None})
    await log_out(request, response, RIDER_COOKIE)
    return response


@router.get("/me", responses=answers("RiderView"), tags=["login"])
async def me(request: Request) -> Response:
    """The rider who is logged in, and the packs that the ledger says are held."""
    return as_json(await web_of(request).riders.get(await need_rider(request)))


# --- cabinets -----------------------------------------------------------------------------------


@router.get("/cabinets", responses=answers("CabinetView", many=True), tags=["cabinets"])
async def cabinets(
    request: Request,
    after: Annotated[str, Query(max_length=32)] = "",
    limit: Annotated[int, Query(ge=1, le=CABINETS_MAX)] = CABINETS_MAX,
) -> Response:
    """Cabinets by id, those after ``after``. Fewer than ``limit`` are the last. Serials are for staff."""
    web = web_of(request)
    operator = await permitted(request, Permission.SEE_CABINETS)
    known = await cabinets_known(request)
    if known is None:
        found = await web.cabinets.page(after, limit)
    else:
        ids = sorted(each for each in known if each > after)[:limit]
        found = [await web.cabinets.get(each) for each in ids]
    return as_json([shown(each, operator=operator) for each in found])


@router.get("/cabinets/stream", responses=events("CabinetView"), tags=["cabinets"])
async def cabinets_stream(request: Request) -> Response:
    """Cabinets that change; with ``all`` true too many did, and the list is to be read again."""
    web = web_of(request)
    await need(request, Permission.SEE_CABINETS)

    async def render(batch: Batch[CabinetView]) -> Any:
        known = await cabinets_known(request)
        changed = () if batch is None else batch.values()
        seen = [shown(each, operator=True) for each in changed if known is None or each.id in known]
        return {"type": "cabinets", "all": batch is None, "cabinets": seen}

    return EventStream(
        web.streams,
        web.cabinets.watch,
        lambda each: each.id,
        render,
        right=await right_of(request, lambda asked: need(asked, Permission.SEE_CABINETS)),
        whole_first=True,
        gap_s=FLEET_GAP_S,
    )


@router.get("/cabinets/{cabinet_id}", responses=answers("CabinetView"), tags=["cabinets"])
async def cabinet(request: Request, cabinet_id: str, view: View = None) -> Response:
    """One cabinet as it stands. Serials are for operators only."""
    found = await web_of(request).cabinets.get(cabinet_id)
    return as_json(await _cabinet_json(request, found, view))


@router.get("/cabinets/{cabinet_id}/stream", responses=events("CabinetView"), tags=["cabinets"])
async def cabinet_stream(request: Request, cabinet_id: str, view: View = None) -> Response:
    """One cabinet, first as it stands, then at every change."""
    web = web_of(request)
    await _cabinet_json(request, await web.cabinets.get(cabinet_id), view)  # may refuse

    async def render(batch: Batch[CabinetView]) -> Any:
        found = batch[cabinet_id] if batch else await web.cabinets.get(cabinet_id)
        document = await _cabinet_json(request, found, view)
        return document if view else {"type": "cabinet", "cabinet": document}

    return EventStream(
        web.streams,
        lambda: web.cabinets.watch(cabinet_id),
        lambda each: each.id,
        render,
        right=await right_of(request),
        whole_first=True,
    )


async def _cabinet_json(request: Request, found: CabinetView, view: str | None) -> Any:
    web = web_of(request)
    if view == "page":
        return await cabinet_document(web, web.catalogue(request), found, await rider_of(request))
    if view == "ops":
        await need_staff(request)
    elif await staff_of(request) is None:
        return shown(found, operator=False)
    place = await place_of(request, "cabinet_id", found.id)
    if view == "ops":
        await need(request, Permission.SEE_CABINETS, place)
        return detail_document(web, web.catalogue(request), found)
    return shown(found, operator=await permitted(request, Permission.SEE_CABINETS, place))


# --- swaps --------------------------------------------------------------------------------------


@router.post("/swaps", status_code=201, responses=answers("SwapView"), tags=["swaps"])
async def start_swap(request: Request, body: StartBody, idempotency_key: Key = None) -> Response:
    """Authorise a transaction and order the cabinet; the same key returns the same one."""
    key = rider.check_key(idempotency_key)
    rider_id = await need_rider(request)
    swap = await rider.start(web_of(request), rider_id, body.cabinet_id, body.kind, key)
    return as_json(swap, status=201, headers={"Location": f"/api/v1/swaps/{swap.id}"})


@router.get("/swaps", responses=answers("SwapView", many=True), tags=["swaps"])
async def my_swaps(request: Request, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Response:
    """The rider's own swaps, newest first."""
    return as_json(await web_of(request).swaps.of_rider(await need_rider(request), limit))


@router.get("/swaps/{swap_id}", responses=answers("SwapView"), tags=["swaps"])
async def swap(
    request: Request,
    swap_id: str,
    since: Annotated[int | None, Query(ge=0, le=max(STEP_RANK.values()))] = None,
    view: View = None,
) -> Response:
    """One swap, for its rider and for operators; 204 when its rank is not above ``since``."""
    found = await rider.readable_swap(request, swap_id)
    web = web_of(request)
    if view is not None:
        return as_json(await swap_document(web, web.catalogue(request), found))
    return (
        Response(status_code=204) if since is not None and found.rank <= since else as_json(found)
    )


@router.get("/swaps/{swap_id}/stream", responses=events("SwapView"), tags=["swaps"])
async def swap_stream(request: Request, swap_id: str, view: View = None) -> Response:
    """One swap, first as it stands, then at every change."""
    await rider.readable_swap(request, swap_id)
    web = web_of(request)
    texts = web.catalogue(request)

    async def told(found: SwapView) -> Any:
        return swap_json(found) if view is None else await swap_document(web, texts, found)

    right = await right_of(request, lambda asked: rider.readable_swap(asked, swap_id))
    port = web.swaps
    return one_stream(web.streams, swap_id, port.watch, port.get, told, right=right)


@router.post("/swaps/{swap_id}/resume", responses=answers("SwapView"), tags=["swaps"])
async def resume_swap(request: Request, swap_id: str, idempotency_key: Key = None) -> Response:
    """Open the waited-for door once more, once per key."""
    key = rider.check_key(idempotency_key)
    rider_id = await rider.actor_of(request, await rider.readable_swap(request, swap_id))
    return as_json(await rider.resume(web_of(request), rider_id, swap_id, key))


@router.post("/swaps/{swap_id}/cancel", responses=answers("SwapView"), tags=["swaps"])
async def cancel_swap(request: Request, swap_id: str) -> Response:
    """Ask the cabinet to cancel; refused once a pack has been taken in."""
    rider_id = await rider.actor_of(request, await rider.readable_swap(request, swap_id))
    return as_json(await web_of(request).swaps.cancel(swap_id=swap_id, rider_id=rider_id))


@router.post("/swaps/{swap_id}/give-back", responses=answers("SwapView"), tags=["swaps"])
async def give_back(request: Request, swap_id: str, idempotency_key: Key = None) -> Response:
    """The own battery back in place of the full one, once per key.

    Possible from the moment the old pack was taken in until the full one is taken out.
    """
    key = rider.check_key(idempotency_key)
    rider_id = await need_rider(request)
    await rider.readable_swap(request, swap_id)
    return as_json(await rider.give_back(web_of(request), rider_id, swap_id, key))


# --- reservations -------------------------------------------------------------------------------


@router.post(
    "/cabinets/{cabinet_id}/reservation",
    status_code=201,
    responses=answers("ReservationView"),
    tags=["reservations"],
)
async def reserve(
    request: Request, cabinet_id: str, body: ReservationBody | None = None
) -> Response:
    """Have a full battery kept. A rider has one at a time: the live one here is returned."""
    rider_id = await need_rider(request)
    minutes = (body or ReservationBody()).minutes
    view = await rider.reserve(web_of(request), rider_id, cabinet_id, minutes)
    return as_json(view, status=201)


@router.get(
    "/cabinets/{cabinet_id}/reservation",
    responses=answers("ReservationView"),
    tags=["reservations"],
)
async def my_reservation(request: Request, cabinet_id: str) -> Response:
    """The rider's last reservation at this cabinet, however it ended."""
    rider_id = await need_rider(request)
    found = await web_of(request).reservations.at(rider_id=rider_id, cabinet_id=cabinet_id)
    if found is None:
        raise NotFoundError(f"no reservation at {cabinet_id}", code="no-reservation")
    return as_json(found)


@router.delete(
    "/cabinets/{cabinet_id}/reservation",
    responses=answers("ReservationView"),
    tags=["reservations"],
)
async def release(request: Request, cabinet_id: str) -> Response:
    """Give the kept battery free again."""
    rider_id = await need_rider(request)
    web = web_of(request)
    return as_json(await web.reservations.release(rider_id=rider_id, cabinet_id=cabinet_id))


# --- OpenAPI ------------------------------------------------------------------------------------


def publish_schemas(app: FastAPI, *more: type) -> None:
    """Add the views, which are Structs and not models, to the OpenAPI document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            _, views = msgspec.json.schema_components(
                (
                    CabinetView,
                    SwapView,
                    RiderView,
                    OfflinePass,
                    OrderView,
                    LogView,
                    Ask,
                    Rollout,
                    SettingsView,
                    ReservationView,
                    CurveView,
                    RestStationView,
                    SessionView,
                    ReportView,
                    MovesView,
                    StationView,
                    PartnerView,
                    ChargeView,
                    SessionCharge,
                    WhatIfView,
                    *more,
                ),
                ref_template="#/components/schemas/{name}",
            )
            components = document.setdefault("components", {}).setdefault("schemas", {})
            components.update(views, Error=_ERROR_SCHEMA)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


_ERROR_SCHEMA: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "stable, kebab-case"},
                "message": {"type": "string", "description": "for developers, English"},
            },
        }
    },
}


def shown(view: CabinetView, *, operator: bool) -> CabinetView:
    """What this reader may know of a cabinet: serials and sessions are for operators."""
    if operator:
        return view
    slots = tuple(msgspec.structs.replace(slot, serial=None, flags=()) for slot in view.slots)
    sockets = tuple(msgspec.structs.replace(each, session=None) for each in view.sockets)
    return msgspec.structs.replace(view, slots=slots, sockets=sockets)


def as_json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A view as JSON."""
    body = msgspec.json.encode(value)
    return Response(body, status_code=status, headers=headers, media_type="application/json")
