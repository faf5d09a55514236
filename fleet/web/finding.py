"""Finding a cabinet: the list and map of those near, a typed code, a scanned one. No script is needed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.distance import distance_m
from fleet.core.geo import Point, gcj02, sketch
from fleet.core.stations import RestStationView
from fleet.core.swaps import refuse_cabinet
from fleet.core.tiles import chart
from fleet.core.views import CabinetView
from fleet.errors import NotFoundError
from fleet.web.drawing import is_live
from fleet.web.entering import enter
from fleet.web.pages import FIND_SCRIPT, QR_WORKER, Web, page, web_of
from fleet.web.present import cabinet_facts, point_of

router = APIRouter(include_in_schema=False)

LISTED_MAX: Final = 20
MAPPED_MAX: Final = 9  # more numbers than that can't be told apart on a phone
MAP_WIDTH, MAP_HEIGHT, MAP_MARGIN = 328, 220, 28
SEE_OTHER: Final = 303
QUERY_MAX: Final = 200
#: A code as printed under the QR code, or the link that is in it.
_LINK: Final = re.compile(r"(?:https?://[^/\s]+)?/?(?:c/)?([A-Za-z0-9-]{3,32})/?(?:[?#].*)?")
_SOCKET_LINK: Final = re.compile(
    r"(?:https?://[^/\s]+)?/?p/([A-Za-z0-9-]{3,32})/([1-9][0-9]?)/?(?:[?#].*)?"
)

Degrees = Annotated[float | None, Query(ge=-180, le=180)]
_Text = Annotated[str, Query(max_length=QUERY_MAX)]


@dataclass(frozen=True, slots=True)
class Found:
    """One cabinet of the list. ``able``: it can serve a swap now."""

    cabinet: CabinetView
    live: bool
    able: bool
    distance_m: int | None
    number: int  # on the map, 0 for none


@router.get("/")
async def home(request: Request, lat: Degrees = None, lon: Degrees = None, q: _Text = "") -> Response:  # fmt: skip
    """The cabinets, nearest first where the reader told his place; or those that a word names."""
    if (link := request.query_params.get("pt")) is not None:
        return await enter(request, link, "/")
    here = reader_at(lat, lon)
    web, wanted = web_of(request), q.strip()
    if (exact := await code_in(wanted, web)) is not None:
        return RedirectResponse(f"/c/{exact.id}", SEE_OTHER)
    briefs, more = web.console.found(wanted, here, LISTED_MAX)
    found = _found([await web.cabinets.get(each.id) for each in briefs], here)
    places = [place for each in found if each.number and (place := point_of(each.cabinet))]
    map_ = map_of(web, places, here)
    return page(
        request,
        "home.html",
        found=found,
        more=more and not wanted,
        here=here,
        q=wanted,
        area=web.stations is not None,
        offs=[each.number for each in found if each.number and not each.able],
        **map_,
        js_urls=[FIND_SCRIPT.url],
    )


def reader_at(lat: float | None, lon: float | None) -> Point | None:
    """Where the reader says that he is."""
    return Point(lat, lon) if lat is not None and lon is not None and abs(lat) <= 90 else None


@router.get("/scan")
async def scan(request: Request, code: _Text = "") -> Response:
    """The camera where the browser can read codes, and a field to type the code into."""
    typed = code.strip()
    if typed:
        web = web_of(request)
        if (socket := await socket_in(typed, web)) is not None:
            return RedirectResponse(f"/p/{socket[0]}/{socket[1]}", SEE_OTHER)
        if (exact := await code_in(typed, web)) is not None:
            return RedirectResponse(f"/c/{exact.id}", SEE_OTHER)
    return page(
        request, "scan.html", typed=typed[:40], worker=QR_WORKER.url, js_urls=[FIND_SCRIPT.url]
    )


@dataclass(frozen=True, slots=True)
class Stop:
    """One station of the list."""

    station: RestStationView
    full: int
    distance_m: int | None
    number: int  # on the map, 0 for none


def stops_of(stations: list[RestStationView], here: Point | None) -> list[Stop]:
    """The nearest first where the reader told his place, else by name."""
    rows = []
    for each in stations:
        place = point_of(each)
        away_m = distance_m(here.lat, here.lon, place.lat, place.lon) if here and place else None
        rows.append((away_m is None, away_m or 0, each.name, away_m, each))
    found, number = [], 0
    for *_, away_m, station in sorted(rows, key=lambda row: row[:3]):
        mapped = point_of(station) is not None and number < MAPPED_MAX
        number += mapped
        full = sum(each.full for each in station.cabinets if is_live(each))
        found.append(Stop(station, full, away_m, number if mapped else 0))
    return found


async def code_in(text: str, web: Web) -> CabinetView | None:
    """The cabinet that a typed code or a scanned link names; case and site don't count."""
    match = _LINK.fullmatch(text)
    return await _cabinet(match[1].upper(), web) if match else None


async def socket_in(text: str, web: Web) -> tuple[str, int] | None:
    """The cabinet and the socket that the link on a socket names."""
    match = _SOCKET_LINK.fullmatch(text)
    cabinet = await _cabinet(match[1].upper(), web) if match else None
    if match is None or cabinet is None:
        return None
    number = int(match[2])
    return (cabinet.id, number) if any(s.socket == number for s in cabinet.sockets) else None


async def _cabinet(cabinet_id: str, web: Web) -> CabinetView | None:
    try:
        return await web.cabinets.get(cabinet_id)
    except NotFoundError:
        return None


def map_of(web: Web, places: list[Point], here: Point | None) -> dict[str, Any]:
    """What ``map.html`` draws: licensed tiles where they are configured, else a schematic map."""
    size: dict[str, int] = {"width": MAP_WIDTH, "height": MAP_HEIGHT, "margin": MAP_MARGIN}
    if web.config.tiles is None:
        return {"drawing": sketch(places, here, **size), "tiles": (), "attribution": ""}
    drawn = chart(web.config.tiles, places, here, **size)
    if drawn is None:
        return {"drawing": None, "tiles": (), "attribution": ""}
    return {"drawing": drawn.sketch, "tiles": drawn.tiles, "attribution": drawn.attribution}


def way_to(name: str, place: Point | None) -> str | None:
    """A link that opens the phone's navigation by bicycle; coordinates in GCJ-02, as it wants them."""
    if place is None:
        return None
    there = gcj02(place)
    name = quote(name.replace(",", " "), safe="")
    to = f"{there.lon:.6f},{there.lat:.6f},{name}"
    return f"https://uri.amap.com/navigation?to={to}&{urlencode({'mode': 'ride', 'coordinate': 'gaode'})}"


def _found(cabinets: list[CabinetView], here: Point | None) -> list[Found]:
    rows = []
    for each in cabinets:
        place = point_of(each)
        away_m = distance_m(here.lat, here.lon, place.lat, place.lon) if here and place else None
        able = refuse_cabinet(cabinet_facts(each)) is None and bool(each.full and each.empty)
        rows.append((each, away_m, able))
    # Those that can't serve stand last; by distance where it is known, else by id.
    rows.sort(key=lambda row: (row[1] is None, row[1] or 0, row[0].id))
    rows.sort(key=lambda row: not row[2])
    found, number = [], 0
    for cabinet, away_m, able in rows:
        mapped = point_of(cabinet) is not None and number < MAPPED_MAX
        number += mapped
        live = is_live(cabinet)
        found.append(Found(cabinet, live, able, away_m, number if mapped else 0))
    return found
