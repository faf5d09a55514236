"""The kiosk page ``/kiosk``: for a touch screen at the cabinet, served to this computer.

Nothing here opens a door by itself: every wish goes to the engine together with a rider's number
and code, or his ticket. Questions are taken only from the page itself: the request must come from
the same origin, carry the token that this process gave to the page, and name this computer or an
address as its host, so that no page from elsewhere can ask through the kiosk's browser.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import ipaddress
import secrets
from collections.abc import AsyncIterator
from functools import lru_cache
from importlib import resources
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
import segno
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from cabinet.core.engine_model import OfflineAnswer, Wish
from cabinet.kiosk import Kiosk
from cabinet.web.kiosk_texts import say, texts
from protocols.messages import Kind
from protocols.offline import TICKET_CHARS_MAX

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
HEADER: Final = "x-kiosk-token"
MARK: Final = "{{token}}"  # where the page's token goes
BODY_BYTES_MAX: Final = 2_048
#: One screen, and a technician's laptop or two.
STREAMS_MAX: Final = 8
QUESTIONS_MAX: Final = 4
LOOK_EVERY_S: Final = 0.2
#: A stream says something at least this often, so that both ends notice when the other is gone.
BEAT_EVERY: Final = 50
_STATIC: Final = {
    "kiosk.js": "text/javascript; charset=utf-8",
    "kiosk.css": "text/css; charset=utf-8",
}

F = TypeVar("F", bound=Struct)


class CodeForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What the number pad sends."""

    number: Annotated[str, Meta(max_length=16)]
    code: Annotated[str, Meta(max_length=16)]
    kind: Kind = Kind.SWAP
    wish: Wish = "go"


class TicketForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What a scanner in keyboard mode typed."""

    text: Annotated[str, Meta(min_length=1, max_length=TICKET_CHARS_MAX)]
    wish: Wish = "go"


class WishForm(Struct, frozen=True, forbid_unknown_fields=True):
    """What the next ticket at the scanner is to mean."""

    wish: Wish


class _RefusedError(Exception):
    """The request is not one of the page's."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class KioskPages:
    """The routes of the kiosk. ``page_url`` is what the QR code says; empty: there is none."""

    def __init__(self, kiosk: Kiosk, *, host: str, page_url: str) -> None:
        self._kiosk = kiosk
        self._host = host
        self._page_url = page_url
        self._secret = secrets.token_bytes(32)
        self._streams = 0
        self._recently, self._again_s = b"", 0.0
        self._questions = 0

    def routes(self) -> list[Route]:
        """To be mounted in the cabinet's own application."""
        return [
            Route("/kiosk", self.page),
            Route("/kiosk/state", self.state),
            Route("/kiosk/events", self.events),
            Route("/kiosk/texts.json", self.words),
            Route("/kiosk/qr.svg", self.qr),
            Route("/kiosk/static/{name}", self.static),
            Route("/kiosk/code", self.code, methods=["POST"]),
            Route("/kiosk/ticket", self.ticket, methods=["POST"]),
            Route("/kiosk/wish", self.wish, methods=["POST"]),
        ]

    # --- looking --------------------------------------------------------------------------------

    async def page(self, request: Request) -> Response:
        """The page, with a token of its own."""
        if not self._own_host(request):
            return _json({"reason": "host"}, 403)
        body = _file("kiosk.html").replace(MARK, self._token())
        return Response(body, media_type="text/html; charset=utf-8", headers=HEADERS)

    async def static(self, request: Request) -> Response:
        """Script and style."""
        name = request.path_params["name"]
        if name not in _STATIC:
            return _json({"reason": "not-found"}, 404)
        return Response(_file(name), media_type=_STATIC[name], headers=HEADERS)

    async def words(self, _request: Request) -> Response:
        """Every word of the page in both languages."""
        return _json(texts())

    async def qr(self, _request: Request) -> Response:
        """The cabinet's page in the fleet as a QR code."""
        if not self._page_url:
            return _json({"reason": "not-found"}, 404)
        out = io.BytesIO()
        code = segno.make(self._page_url, error="m", micro=False)
        code.save(out, kind="svg", scale=8, border=4, light="#fff")
        return Response(out.getvalue(), media_type="image/svg+xml", headers=HEADERS)

    async def state(self, _request: Request) -> Response:
        """The cabinet at this instant, with the sentence to say."""
        return Response(self._look(), media_type="application/json", headers=HEADERS)

    async def events(self, _request: Request) -> Response:
        """The same whenever it changes, as server-sent events."""
        if self._streams >= STREAMS_MAX:
            return _json({"reason": "limited"}, 503)
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers=HEADERS)

    async def _stream(self) -> AsyncIterator[bytes]:
        self._streams += 1
        try:
            shown, quiet = b"", 0
            while True:
                now = self._recent()
                if now != shown:
                    shown, quiet = now, 0
                    yield b"data: " + now + b"\n\n"
                elif (quiet := quiet + 1) >= BEAT_EVERY:
                    quiet = 0
                    yield b": still here\n\n"
                await self._kiosk.pause(LOOK_EVERY_S)
        finally:
            self._streams -= 1

    def _recent(self) -> bytes:
        """One look serves every stream of this instant."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._again_s:
            self._recently, self._again_s = self._look(), now_s + LOOK_EVERY_S / 2
        return self._recently

    def _look(self) -> bytes:
        view = self._kiosk.view()
        shown: dict[str, Any] = msgspec.to_builtins(view)
        shown["qr"] = bool(self._page_url)
        shown["prompt"]["say"] = say(view.prompt.key, view.prompt.slot, view.prompt.reason)
        return msgspec.json.encode(shown)

    # --- asking ---------------------------------------------------------------------------------

    async def code(self, request: Request) -> Response:
        """Number and code."""
        try:
            form = await self._form(request, CodeForm)
        except _RefusedError as error:
            return _json({"reason": error.code}, error.status)
        return await self._answered(self._kiosk.code(form.number, form.code, form.kind, form.wish))

    async def ticket(self, request: Request) -> Response:
        """A ticket."""
        try:
            form = await self._form(request, TicketForm)
        except _RefusedError as error:
            return _json({"reason": error.code}, error.status)
        return await self._answered(self._kiosk.ticket(form.text, form.wish))

    async def wish(self, request: Request) -> Response:
        """What the next ticket at the scanner is to mean."""
        try:
            form = await self._form(request, WishForm)
        except _RefusedError as error:
            return _json({"reason": error.code}, error.status)
        self._kiosk.next_scan(form.wish)
        return _json({})

    async def _answered(self, asking: Any) -> Response:
        if self._questions >= QUESTIONS_MAX:
            asking.close()
            return _json({"reason": "limited"}, 429)
        self._questions += 1
        try:
            answer: OfflineAnswer | None = await asking
        finally:
            self._questions -= 1
        if answer is None:
            return _json({"reason": "store"}, 503)
        if answer.reason is None:
            return _json({"swap_id": answer.swap_id})
        wait_s = -(-answer.wait_ms // 1000)
        return _json({"reason": answer.reason, "wait_s": wait_s}, 409)

    async def _form(self, request: Request, kind: type[F]) -> F:
        """The form of a request that is surely the page's own."""
        if not (self._own_host(request) and _same_origin(request)):
            raise _RefusedError(403, "origin")
        if not self._knows(request.headers.get(HEADER, "")):
            raise _RefusedError(403, "token")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise _RefusedError(415, "form")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise _RefusedError(413, "form")
        try:
            return msgspec.json.decode(bytes(body), type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _RefusedError(400, "form") from error

    def _own_host(self, request: Request) -> bool:
        """Whether the host is an address or one of our names: no name that others may point here."""
        name = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if name in {"localhost", self._host}:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    # --- the token ------------------------------------------------------------------------------

    def _token(self) -> str:
        nonce = secrets.token_hex(16)
        return f"{nonce}.{self._sealed(nonce)}"

    def _knows(self, token: str) -> bool:
        nonce, _, seal = token.partition(".")
        return hmac.compare_digest(seal.encode(), self._sealed(nonce).encode())

    def _sealed(self, nonce: str) -> str:
        return hmac.digest(self._secret, nonce.encode(), hashlib.sha256).hex()


def _same_origin(request: Request) -> bool:
    """A browser tells where a POST comes from; one that does not is not the kiosk's."""
    origin = request.headers.get("origin", "")
    site = request.headers.get("sec-fetch-site", "same-origin")
    return site == "same-origin" and origin == f"{request.url.scheme}://{request.url.netloc}"


@lru_cache(maxsize=len(_STATIC) + 1)
def _file(name: str) -> str:
    return (resources.files("cabinet.web") / "static" / name).read_text(encoding="utf-8")


def _json(body: object, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(body), status, media_type="application/json", headers=HEADERS
    )
