"""Rider pages of the station: where it is and what it has, a socket, a session. No script needed."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Path, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.access import Permission
from fleet.core.reports import Photo
from fleet.core.sockets import ENDED, OPEN
from fleet.core.station_views import SessionView
from fleet.core.stations import RestStationView
from fleet.errors import DeniedError, LimitedError, NotFoundError, RefusedError
from fleet.ports import Reports, Sockets, Stations
from fleet.web import limits
from fleet.web.access import permitted, place_of
from fleet.web.drawing import is_live
from fleet.web.finding import Degrees, map_of, reader_at, stops_of, way_to
from fleet.web.i18n import Catalogue
from fleet.web.pages import FIND_SCRIPT, Part, Web, in_page, page, part, web_of
from fleet.web.present import point_of
from fleet.web.rider import SEE_OTHER, check_key, fresh_key, notice_of, refused
from fleet.web.security import LoginRequiredError
from fleet.web.sessions import need_rider, rider_of
from fleet.web.signin import staff_of
from protocols.sockets import ENERGY_WH_MAX, SOCKETS_MAX

router = APIRouter(include_in_schema=False)

#: As many as somebody reads on a phone.
LISTED_MAX: Final = 30
#: What the page offers; the cabinet ends a session when the battery is full anyway.
CHOICES_WH: Final = (ENERGY_WH_MAX, 250, 500, 1_000)
CHOICES_H: Final = (8, 2, 4, 12)
#: A picture is a picture: whatever it holds, nothing of it may run.
PHOTO_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Content-Disposition": "inline",
    "Cache-Control": "private, max-age=3600",
}
T = TypeVar("T")
SocketNumber = Annotated[int, Path(ge=1, le=SOCKETS_MAX)]


def have(part_: T | None) -> T:
    """A part of the fleet that is switched on; raise NotFoundError."""
    if part_ is None:
        raise NotFoundError("this fleet has no stations")
    return part_


def sockets_of(request: Request) -> Sockets:
    """The sockets' service."""
    return have(web_of(request).sockets)


def stations_of(request: Request) -> Stations:
    """The stations' service."""
    return have(web_of(request).stations)


def reports_of(request: Request) -> Reports:
    """The reports' service."""
    return have(web_of(request).reports)


@router.get("/stations")
async def stations_page(request: Request, lat: Degrees = None, lon: Degrees = None) -> Response:
    """The stations, the nearest first where the reader told his place, and their map."""
    here = reader_at(lat, lon)
    near, more = await stations_of(request).near(here, LISTED_MAX)
    stops = stops_of(near, here)
    places = [place for each in stops if each.number and (place := point_of(each.station))]
    return page(
        request,
        "stations.html",
        stops=stops,
        here=here,
        more=more,
        **map_of(web_of(request), places, here),
        js_urls=[FIND_SCRIPT.url],
    )


@router.get("/st/{station_id}")
async def station_page(request: Request, station_id: str) -> Response:
    """One station: its cabinets, sockets and amenities."""
    station = await stations_of(request).get(station_id)
    place = point_of(station)
    return page(
        request,
        "station.html",
        s=station,
        cabinets=[(each, is_live(each)) for each in station.cabinets],
        way=way_to(station.name, place),
        near=urlencode({"lat": f"{place.lat:.4f}", "lon": f"{place.lon:.4f}"}) if place else "",
        # One pin says something on streets only.
        **map_of(web_of(request), [place] if place and web_of(request).config.tiles else [], None),
        thanks=request.query_params.get("thanks") == "1",
        notice=notice_of(request),
    )


@router.post("/st/{station_id}/restock")
async def restock(request: Request, station_id: str, amenity: Annotated[int, Form()]) -> Response:
    """A rider says that something is used up."""
    here = f"/st/{station_id}"
    rider_id = await rider_of(request)
    if rider_id is None:
        return RedirectResponse(f"/login?{urlencode({'next': here})}", SEE_OTHER)
    try:
        await reports_of(request).restock(rider_id=rider_id, station_id=station_id, amenity=amenity)
    except LimitedError as error:
        return refused(here, error)
    return RedirectResponse(f"{here}?thanks=1", SEE_OTHER)


@router.get("/photos/{photo_id}")
async def station_photo(request: Request, photo_id: str) -> Response:
    """The picture of a station."""
    return picture(await stations_of(request).photo(photo_id))


def picture(photo: Photo) -> Response:
    """A stored picture, fenced in."""
    return Response(photo.body, media_type=photo.media_type, headers=PHOTO_HEADERS)


# --- sockets ------------------------------------------------------------------------------------


@router.get("/p/{cabinet_id}/{socket}")
async def socket_page(request: Request, cabinet_id: str, socket: int) -> Response:
    """Where the QR code of a socket leads."""
    web = web_of(request)
    cabinet = await web.cabinets.get(cabinet_id)
    seen = next((each for each in cabinet.sockets if each.socket == socket), None)
    if seen is None:
        raise NotFoundError(f"no socket {socket} at {cabinet_id}")
    rider_id = await rider_of(request)
    return page(
        request,
        "socket.html",
        c=cabinet,
        live=is_live(cabinet),
        n=seen,
        station=await stations_of(request).of_cabinet(cabinet_id),
        mine=await _open_of(request, rider_id),
        rider=rider_id,
        plan=await web.membership.plan_of(rider_id) if web.membership and rider_id else None,
        key=fresh_key(),
        choices_wh=CHOICES_WH,
        choices_h=CHOICES_H,
        full_wh=ENERGY_WH_MAX,
        notice=notice_of(request),
    )


async def _open_of(request: Request, rider_id: str | None) -> SessionView | None:
    if rider_id is None:
        return None
    last = await sockets_of(request).of_rider(rider_id, 1)
    return last[0] if last and last[0].state in OPEN else None


@router.post("/p/{cabinet_id}/{socket}")
async def start_session(  # noqa: PLR0917 - the fields of one form
    request: Request,
    cabinet_id: str,
    socket: SocketNumber,
    key: Annotated[str, Form()],
    limit_wh: Annotated[int, Form()] = ENERGY_WH_MAX,
    hours: Annotated[int, Form(ge=1, le=24)] = CHOICES_H[0],
) -> Response:
    """Power on. The key of the form makes a second tap the same session."""
    here = f"/p/{cabinet_id}/{socket}"
    rider_id = await rider_of(request)
    if rider_id is None:
        return RedirectResponse(f"/login?{urlencode({'next': here})}", SEE_OTHER)
    try:
        session = await begin(
            web_of(request), rider_id, cabinet_id, socket, limit_wh, hours * 3_600, key
        )
    except (RefusedError, LimitedError) as error:
        return refused(here, error)
    return RedirectResponse(f"/e/{session.id}", SEE_OTHER)


async def begin(  # noqa: PLR0917 - the fields of one order
    web: Web, rider_id: str, cabinet_id: str, socket: int, limit_wh: int, limit_s: int, key: str
) -> SessionView:
    """Start a session of a rider; the same key returns the same one.

    Raises:
        LimitedError: too many taps.
        NotFoundError, InvalidError, RefusedError: as ``fleet.ports.Sockets.start``.
    """
    check_key(key)
    rate = limits.starts_per_rider(web.config.starts_per_minute)
    web.throttle.spend(rate, rider_id, web.clock.monotonic_ms())
    return await have(web.sockets).start(
        rider_id=rider_id,
        cabinet_id=cabinet_id,
        socket=socket,
        limit_wh=limit_wh,
        limit_s=limit_s,
        idempotency_key=key,
    )


@router.get("/e/{session_id}")
async def session_page(request: Request, session_id: str) -> Response:
    """One session, as it stands, and afterwards its receipt."""
    web = web_of(request)
    session = await readable_session(request, session_id)
    return page(
        request,
        "session.html",
        e=session,
        stage=in_page(session_part(web, web.catalogue(request), session)),
        settled=session.state not in OPEN,
        stopping=request.query_params.get("stopping") == "1" and session.state in OPEN,
        notice=notice_of(request),
    )


@router.post("/e/{session_id}/stop")
async def stop_session(request: Request, session_id: str) -> Response:
    """Power off."""
    rider_id = await need_rider(request)
    try:
        await sockets_of(request).stop(session_id=session_id, rider_id=rider_id)
    except (RefusedError, LimitedError) as error:
        if error.code != "done":
            return refused(f"/e/{session_id}", error)
        return RedirectResponse(f"/e/{session_id}", SEE_OTHER)
    return RedirectResponse(f"/e/{session_id}?stopping=1", SEE_OTHER)


@router.get("/charging")
async def my_sessions(request: Request) -> Response:
    """The rider's sessions with what they cost."""
    rider_id = await need_rider(request)
    return page(request, "charging.html", sessions=await sockets_of(request).of_rider(rider_id))


async def readable_session(request: Request, session_id: str) -> SessionView:
    """The session, for its rider and for operators.

    Raises:
        LoginRequiredError, DeniedError, NotFoundError.
    """
    rider_id, staff = await rider_of(request), await staff_of(request)
    if rider_id is None and staff is None:
        raise LoginRequiredError("log in to see a session")
    session = await sockets_of(request).get(session_id)
    if session.rider_id == rider_id:
        return session
    place = await place_of(request, "cabinet_id", session.cabinet_id)
    if not await permitted(request, Permission.SEE_SWAPS, place):
        raise DeniedError("this is not your session")
    return session


def session_part(web: Web, texts: Catalogue, session: SessionView) -> Part:
    """The piece of the page that changes."""
    ended_well = session.state == ENDED and session.reason in {
        "full",
        "stopped",
        "limit-energy",
        "limit-time",
    }
    return part(texts, web.config, "_session.html", e=session, ended_well=ended_well)


def session_document(web: Web, texts: Catalogue, session: SessionView) -> dict[str, Any]:
    """What the page gets at every change."""
    stage = session_part(web, texts, session)
    return {"parts": {"stage": stage}, "settled": session.state not in OPEN}


def plain_station(station: RestStationView, cabinets: tuple[Any, ...]) -> dict[str, Any]:
    """A station for the API, with cabinets as this reader may see them."""
    fields = {name: getattr(station, name) for name in station.__struct_fields__}
    return {**fields, "cabinets": cabinets}
