"""REST of the station: places to rest, sessions at sockets, riders' reports."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from fleet.core.access import AtStation, Permission
from fleet.core.reports import PLACE_CHARS_MAX, TEXT_CHARS_MAX
from fleet.core.stations import RestStationView
from fleet.core.views import CabinetView
from fleet.web.access import permitted
from fleet.web.api import Key, View, answers, as_json, events, shown
from fleet.web.area import (
    SocketNumber,
    begin,
    plain_station,
    readable_session,
    reports_of,
    session_document,
    sockets_of,
    stations_of,
)
from fleet.web.lasting import right_of
from fleet.web.pages import web_of
from fleet.web.rider import check_key
from fleet.web.sessions import need_rider
from fleet.web.sse import Batch, EventStream
from protocols.sockets import (
    DURATION_S_MAX,
    DURATION_S_MIN,
    ENERGY_WH_MAX,
    ENERGY_WH_MIN,
)

router = APIRouter(prefix="/api/v1")

STATIONS_MAX: Final = 100  # in one answer, each with its cabinets slot by slot


class SessionBody(BaseModel):
    """When the session ends at the latest."""

    limit_wh: int = Field(default=ENERGY_WH_MAX, ge=ENERGY_WH_MIN, le=ENERGY_WH_MAX)
    limit_s: int = Field(default=8 * 3_600, ge=DURATION_S_MIN, le=DURATION_S_MAX)


class ReportBody(BaseModel):
    """A report without a picture."""

    topic: str = Field(max_length=16, examples=["cabinet"])
    place: str = Field(default="", max_length=PLACE_CHARS_MAX)
    text: str = Field(max_length=TEXT_CHARS_MAX)
    station_id: str | None = Field(default=None, max_length=32)
    cabinet_id: str | None = Field(default=None, max_length=32)
    swap_id: str | None = Field(default=None, max_length=64)


class RestockBody(BaseModel):
    """What is used up."""

    amenity: int


@router.get("/rest-stations", responses=answers("RestStationView", many=True), tags=["stations"])
async def rest_stations(
    request: Request,
    after: Annotated[str, Query(max_length=32)] = "",
    limit: Annotated[int, Query(ge=1, le=STATIONS_MAX)] = STATIONS_MAX,
) -> Response:
    """Stations by id, those after ``after``. Fewer than ``limit`` are the last."""
    found = [
        _plain(each, operator=await permitted(request, Permission.SEE_STATIONS, AtStation(each.id)))
        for each in await stations_of(request).page(after, limit)
    ]
    return as_json(found)


@router.get("/rest-stations/{station_id}", responses=answers("RestStationView"), tags=["stations"])
async def rest_station(request: Request, station_id: str) -> Response:
    """One station."""
    station = await stations_of(request).get(station_id)
    place = AtStation(station.id)
    return as_json(
        _plain(station, operator=await permitted(request, Permission.SEE_STATIONS, place))
    )


@router.post(
    "/rest-stations/{station_id}/restock", responses=answers("ReportView"), tags=["stations"]
)
async def restock(request: Request, station_id: str, body: RestockBody) -> Response:
    """Say that an amenity is used up; once per rider until it is restocked."""
    rider_id = await need_rider(request)
    service = reports_of(request)
    return as_json(
        await service.restock(rider_id=rider_id, station_id=station_id, amenity=body.amenity)
    )


@router.post(
    "/cabinets/{cabinet_id}/sockets/{socket}/sessions",
    status_code=201,
    responses=answers("SessionView"),
    tags=["sockets"],
)
async def start_session(
    request: Request,
    cabinet_id: str,
    socket: SocketNumber,
    body: SessionBody | None = None,
    idempotency_key: Key = None,
) -> Response:
    """Order power from a socket; the same key returns the same session."""
    key = check_key(idempotency_key)
    rider_id = await need_rider(request)
    wish, web = body or SessionBody(), web_of(request)
    session = await begin(web, rider_id, cabinet_id, socket, wish.limit_wh, wish.limit_s, key)
    return as_json(session, status=201, headers={"Location": f"/api/v1/sessions/{session.id}"})


@router.get("/sessions", responses=answers("SessionView", many=True), tags=["sockets"])
async def my_sessions(
    request: Request, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Response:
    """The rider's own sessions, newest first."""
    rider_id = await need_rider(request)
    return as_json(await sockets_of(request).of_rider(rider_id, limit))


@router.get("/sessions/{session_id}", responses=answers("SessionView"), tags=["sockets"])
async def one_session(request: Request, session_id: str, view: View = None) -> Response:
    """One session, for its rider and for operators."""
    session = await readable_session(request, session_id)
    web = web_of(request)
    if view is not None:
        return as_json(session_document(web, web.catalogue(request), session))
    return as_json(session)


@router.get("/sessions/{session_id}/stream", responses=events("SessionView"), tags=["sockets"])
async def session_stream(request: Request, session_id: str, view: View = None) -> Response:
    """One session, first as it stands, then whenever its cabinet tells something."""
    session = await readable_session(request, session_id)
    web = web_of(request)
    texts = web.catalogue(request)

    async def render(_: Batch[CabinetView]) -> Any:
        found = await sockets_of(request).get(session_id)
        if view is not None:
            return session_document(web, texts, found)
        return {"type": "session", **msgspec.to_builtins(found)}

    return EventStream(
        web.streams,
        lambda: web.cabinets.watch(session.cabinet_id),
        lambda each: each.id,
        render,
        right=await right_of(request, lambda asked: readable_session(asked, session_id)),
        whole_first=True,
    )


@router.post("/sessions/{session_id}/stop", responses=answers("SessionView"), tags=["sockets"])
async def stop_session(request: Request, session_id: str) -> Response:
    """End a session early."""
    rider_id = await need_rider(request)
    return as_json(await sockets_of(request).stop(session_id=session_id, rider_id=rider_id))


@router.get("/reports", responses=answers("ReportView", many=True), tags=["reports"])
async def my_reports(request: Request) -> Response:
    """The rider's own reports and their answers, newest first."""
    return as_json(await reports_of(request).of_rider(await need_rider(request)))


@router.post("/reports", status_code=201, responses=answers("ReportView"), tags=["reports"])
async def file_report(request: Request, body: ReportBody) -> Response:
    """File a report without a picture."""
    rider_id = await need_rider(request)
    fields = body.model_dump()
    return as_json(await reports_of(request).file(rider_id=rider_id, **fields), status=201)


def _plain(station: RestStationView, *, operator: bool) -> dict[str, Any]:
    cabinets = tuple(shown(each, operator=operator) for each in station.cabinets)
    return plain_station(station, cabinets)
