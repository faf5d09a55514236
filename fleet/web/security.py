"""Walls around every request: same-origin writes, small bodies, strict headers."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleet.errors import DeniedError, FleetError, InvalidError

BODY_BYTES_MAX: Final = 16 * 1024
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
HSTS: Final = "max-age=31536000"


class LoginRequiredError(DeniedError):
    """Nobody is logged in."""

    code = "login-required"
    status = 401


class KeyMissingError(InvalidError):
    """A request that opens a door came without its key."""

    code = "idempotency-key"
    status = 400


def content_policy(styles: Iterable[str], pictures: Iterable[str] = ()) -> str:
    """The Content-Security-Policy that allows our own script and exactly these inline styles.

    ``pictures`` are other origins that pictures may come from: those of a licensed map.
    """
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"
        for style in styles
    )
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src {hashes}",
            " ".join(("img-src 'self'", *pictures)),
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def strict_headers(origin: str, policy: str) -> dict[str, str]:
    """What stands on every answer."""
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        # Not no-referrer: with that, browsers send "Origin: null" with our own forms.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=(self)",
    }
    if origin.startswith("https:"):
        headers["Strict-Transport-Security"] = HSTS
    return headers


def same_origin(method: str, headers: Headers, origin: str) -> bool:
    """Whether a request comes from our own page, from a person, or from a program.

    Browsers name the site in Sec-Fetch-Site or, over plain http and in older ones, in Origin. What
    names neither is no current browser; it may send JSON, which no foreign form can.
    """
    if method in SAFE_METHODS:
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    named = headers.get("origin")
    if named is not None:
        return named == origin or urlsplit(named).netloc == headers.get("host")
    return headers.get("content-type", "").split(";")[0].strip().lower() == "application/json"


class SecurityMiddleware:
    """Refuses foreign writes and large bodies; puts the security headers on every answer."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        origin: str,
        policy: str,
        refuse: Callable[[Request, FleetError], Response],
        bodies: Mapping[str, int] | None = None,
    ) -> None:
        self._app = app
        self._bodies = dict(bodies or {})  # paths whose bodies may be larger, and how large
        self._origin = origin
        self._headers = strict_headers(origin, policy)
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    out.setdefault(name, value)
                out.setdefault("Cache-Control", "no-store")
            await send(message)

        most = self._bodies.get(scope["path"], BODY_BYTES_MAX)
        if (error := self._wrong(scope["method"], headers, most)) is not None:
            refusal = self._refuse(Request(scope), error)
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, _bounded(receive, most), send_with_headers)

    def _wrong(self, method: str, headers: Headers, most: int) -> FleetError | None:
        if not same_origin(method, headers, self._origin):
            return DeniedError("this request comes from another site", code="cross-origin")
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return refused_with(400, "invalid", "header Content-Length: not a number")
        if int(length) > most:
            return refused_with(413, "too-large", f"at most {most} bytes")
        return None


def _bounded(receive: Receive, most: int) -> Receive:
    """The same for a body that comes in chunks, without its length being told first."""
    left = most

    async def bounded() -> Message:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, f"at most {most} bytes")
        return message

    return bounded


def refused_with(status: int, code: str, message: str) -> FleetError:
    """An error of HTTP itself, in the shape of ours."""
    error = FleetError(message, code=code)
    error.status = status
    return error
