"""Keeps other pages of the same browser out of the control API.

The API has no login and listens on this computer only. A page from elsewhere could still ask a
browser on this computer to call it; so a request must name this computer as its host (else a name
that an attacker points to 127.0.0.1 would do), and a browser must say that its own page asks.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

#: Methods that change nothing.
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITES: Final = frozenset({"same-origin", "none"})


class OwnPagesOnly:
    """Refuses with 403 what a foreign page makes a browser ask."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it through, or say why not."""
        if scope["type"] == "http":
            why = _refusal(scope["method"], Headers(scope=scope))
            if why is not None:
                await JSONResponse({"detail": why}, status_code=403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refusal(method: str, headers: Headers) -> str | None:
    host = headers.get("host", "")
    if not _loopback(host):
        return f"host {host[:80]!r} is not this computer: use 127.0.0.1 or localhost"
    if method in SAFE:
        return None
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    foreign = site not in OWN_SITES if site else origin is not None and _host(origin) != host
    return "only the simulator's own page may ask this" if foreign else None


def _host(origin: str) -> str:
    return urlsplit(origin).netloc


def _loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
