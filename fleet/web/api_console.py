"""What the console's own scripts read: the map with its changes, the day, the rows of a list.

The map goes out once, kept by the browser under its version; then only changes, as bytes that were
encoded once for all who look.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from fleet.core.access import Permission
from fleet.core.console import PAGE_ROWS
from fleet.core.geo import Point, gcj02
from fleet.errors import InvalidError
from fleet.web.access import needs
from fleet.web.console import bound_of, day_part, row_part
from fleet.web.lasting import right_of
from fleet.web.pages import Web, web_of
from fleet.web.sse import FanStream, ready_event

router = APIRouter(prefix="/api/v1/ops", include_in_schema=False)

#: Reports that change no mark are no change on the map, but they make a row's figures younger.
ROWS_AGAIN_S: Final = 15.0
IDS_CHARS_MAX: Final = PAGE_ROWS * 33


@router.get("/map", dependencies=[needs(Permission.SEE_CABINETS)])
async def places(request: Request) -> Response:
    """Where everything stands: 304 for who has it already."""
    web = web_of(request)
    version, body = web.console.map()
    tag = f'"{version}"'
    if web.config.tiles is not None and web.config.tiles.datum == "gcj02":
        tag, body = f'"{version}-gcj02"', _as_drawn(body)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = _packed(body)
    return Response(body, media_type="application/json", headers=headers)


@lru_cache(maxsize=1)
def _as_drawn(body: bytes) -> bytes:
    """The places in the degrees of the licensed tiles: maps of China are shifted. Done once for all."""
    told = msgspec.json.decode(body)
    for place, (lat, lon) in enumerate(zip(told["lat"], told["lon"], strict=True)):
        if lat is not None and lon is not None:
            there = gcj02(Point(lat, lon))
            told["lat"][place], told["lon"][place] = round(there.lat, 5), round(there.lon, 5)
    shifted = [(name, gcj02(Point(lat, lon))) for name, lat, lon in told["stations"]]
    told["stations"] = [[name, round(at.lat, 5), round(at.lon, 5)] for name, at in shifted]
    return msgspec.json.encode(told)


@lru_cache(maxsize=1)
def _packed(body: bytes) -> bytes:
    """Packed once for all who ask."""
    return gzip.compress(body, 6)


@router.get("/map/stream", dependencies=[needs(Permission.SEE_CABINETS)])
async def changes(request: Request) -> Response:
    """Every cabinet's mark first, then those that change."""
    web = web_of(request)
    return FanStream(
        web.streams,
        web.console.watch,
        lambda tick: web.console.whole() if tick is None else tick[0],
        right=await right_of(request),
    )


@router.get("/day", dependencies=[needs(Permission.SEE_CABINETS)])
async def day(request: Request) -> Response:
    """The figures of the day, as a part of the page."""
    web = web_of(request)
    return _json({"type": "day", "parts": {"day": await day_part(web, web.catalogue(request))}})


_Ids = Annotated[str, Query(max_length=IDS_CHARS_MAX)]


@router.get("/cabinets", dependencies=[needs(Permission.SEE_CABINETS, narrows=True)])
async def rows(request: Request, ids: _Ids = "") -> Response:
    """Some rows of the list, as parts of the page."""
    shown = _known(web_of(request), await bound_of(request), _asked(ids))
    return _json(_document(request, shown))


@router.get("/cabinets/stream", dependencies=[needs(Permission.SEE_CABINETS, narrows=True)])
async def rows_stream(request: Request, ids: _Ids = "") -> Response:
    """Some rows of the list first, then those that change."""
    web, bound = web_of(request), await bound_of(request)
    asked = _asked(ids)

    def render(tick: tuple[bytes, frozenset[str]] | None) -> bytes:
        # A cabinet may have gone to another station meanwhile.
        shown = _known(web, bound, asked if tick is None else [e for e in asked if e in tick[1]])
        return ready_event(_document(request, shown)) if shown else b""

    right = await right_of(request)
    return FanStream(web.streams, web.console.watch, render, right=right, again_s=ROWS_AGAIN_S)


def _asked(ids: str) -> list[str]:
    """The cabinets that are named; raise InvalidError."""
    asked = [each for each in ids.split(",") if each]
    if len(asked) > PAGE_ROWS:
        raise InvalidError(f"ids: {len(asked)} cabinets; at most {PAGE_ROWS} in one request")
    return asked


def _known(web: Web, bound: frozenset[str] | None, asked: list[str]) -> list[str]:
    """Those of the cabinets that who asks may see."""
    found = ((each, web.console.row(each)) for each in asked)
    return [each for each, row in found if row and (bound is None or row.brief.station in bound)]


def _document(request: Request, ids: list[str]) -> dict[str, Any]:
    web: Web = web_of(request)
    texts = web.catalogue(request)
    found = (web.console.row(each) for each in ids)
    parts = {f"row-{row.brief.id}": row_part(web, texts, row) for row in found if row}
    return {"type": "rows", "parts": parts}


def _json(document: Any) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json")
