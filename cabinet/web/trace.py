"""``/trace``: the last frames on the wires, for people, and ``/trace.json`` for programs."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from cabinet.web.texts import TEXTS, language
from protocols.trace import Decoder, Direction, Filter, Frame, Ring, frame_fields, lines, one_line

LIMIT_DEFAULT: Final = 200
LIMIT_MAX: Final = 8_192
CONTAINS_CHARS_MAX: Final = 100
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
}
_STYLE: Final = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:1rem}
pre{font:13px/1.5 ui-monospace,monospace;overflow-x:auto}
input,button,select{font:inherit;min-height:2.75rem}
"""


class FrameStatus(Struct, frozen=True, kw_only=True):
    """One frame; ``hex`` are its bytes, ``stray`` says that nobody waited for them."""

    seq: int
    wall_ms: int
    mono_ms: int
    line: str
    direction: Direction
    hex: str
    text: str
    stray: bool


class TraceStatus(Struct, frozen=True, kw_only=True):
    """Frames, oldest first. ``first`` > ``since`` + 1 means that some fell out of the ring."""

    first: int
    next: int
    frames: tuple[FrameStatus, ...]


@dataclass(frozen=True, slots=True)
class TracePages:
    """The routes over one ring."""

    ring: Ring
    decode: Decoder

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/trace", self._page),
            Route("/trace.json", self._json),
            Route("/trace.txt", self._text),
        ]

    async def _json(self, request: Request) -> Response:
        try:
            since, limit, wanted = _asked(request)
        except ValueError as error:
            return _refused(error)
        found = self.ring.select(since, limit, wanted, self.decode)
        told = TraceStatus(
            first=self.ring.first_seq,
            next=self.ring.seq,
            frames=tuple(FrameStatus(**frame_fields(frame, text)) for frame, text in found),
        )
        body = msgspec.json.encode(told)
        return Response(body, media_type="application/json", headers=HEADERS)

    async def _text(self, request: Request) -> Response:
        try:
            since, limit, wanted = _asked(request)
        except ValueError as error:
            return _refused(error)
        found = self.ring.select(since, limit, wanted, self.decode)
        return PlainTextResponse("".join(f"{told}\n" for told in lines(found)), headers=HEADERS)

    async def _page(self, request: Request) -> Response:
        try:
            since, limit, wanted = _asked(request)
        except ValueError as error:
            return _refused(error)
        found = self.ring.select(since, limit, wanted, self.decode)
        return HTMLResponse(_render(found, wanted, language(request)), headers=HEADERS)


def _refused(error: ValueError) -> Response:
    return PlainTextResponse(f"{error}\n", 422, headers=HEADERS)


def _asked(request: Request) -> tuple[int, int, Filter]:
    """What a query wants; raise ValueError naming what is wrong with it."""
    query = request.query_params
    since = _number(query.get("since") or "0", "since", 0, 1 << 62)
    limit = _number(query.get("limit") or str(LIMIT_DEFAULT), "limit", 1, LIMIT_MAX)
    way = query.get("direction") or None
    if way is not None and way not in set(Direction):
        raise ValueError(f"direction {way!r}: expected out or in")
    contains = query.get("contains") or ""
    if len(contains) > CONTAINS_CHARS_MAX:
        raise ValueError(f"contains: at most {CONTAINS_CHARS_MAX} characters")
    line = query.get("line") or None
    return since, limit, Filter(line, Direction(way) if way else None, contains)


def _number(text: str, name: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high):
        raise ValueError(f"{name} {text[:20]!r}: expected a number from {low} to {high}")
    return int(text)


def _render(found: list[tuple[Frame, str]], wanted: Filter, chosen: str) -> str:
    text = TEXTS[chosen]
    e = html.escape
    rows = "\n".join(e(one_line(frame, told)) for frame, told in found)
    return (
        f'<!doctype html><html lang="{"en" if chosen == "en" else "zh-CN"}"><head>'
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{text['trace']}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{text['trace']}</h1><form>"
        f'<input type="hidden" name="lang" value="{chosen}">'
        f'<label>{text["bus"]} <input name="line" value="{e(wanted.line or "")}"></label> '
        f'<label>{text["contains"]} <input name="contains" value="{e(wanted.contains)}"></label> '
        f"<button>{text['show']}</button></form><pre>{rows or text['nothing']}</pre></main></body></html>"
    )
