"""Which rider is asking: session cookies."""

from __future__ import annotations

from collections.abc import MutableMapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final

from starlette.requests import HTTPConnection
from starlette.responses import Response

from fleet.core.login import SESSION_LIFE_MS, Identity, Verdict, normalise_code
from fleet.errors import FleetError, InvalidError
from fleet.web import limits
from fleet.web.pages import BRAND_COOKIE, Web, web_of
from fleet.web.security import LoginRequiredError

RIDER_COOKIE: Final = "yz_session"
_V6_BITS: Final = 64
_SEEN: Final = "yz_identities"


class CodeWrongError(InvalidError):
    """The same for a wrong, an old and a never sent code: it tells nothing about the number."""

    code = "code-wrong"


async def rider_of(request: HTTPConnection) -> str | None:
    """The rider who is logged in, or None."""
    identity = await _identity(request, RIDER_COOKIE)
    return identity.rider_id if identity else None


def forget_rider(scope: MutableMapping[str, Any]) -> dict[str, Any]:
    """The same request, as if no rider had been looked up yet."""
    return {name: value for name, value in scope.items() if name != _SEEN}


async def need_rider(request: HTTPConnection) -> str:
    """The rider who is logged in; raise LoginRequiredError."""
    rider_id = await rider_of(request)
    if rider_id is None:
        raise LoginRequiredError("log in first: POST /api/v1/login/code, then /api/v1/login")
    return rider_id


async def send_code(request: HTTPConnection, phone: str) -> None:
    """Send a login code to an E.164 phone, known or not; raise LimitedError or FleetError."""
    web = web_of(request)
    now_ms = web.clock.monotonic_ms()
    web.throttle.spend(limits.CODES_PER_ADDRESS, address(request), now_ms)
    web.throttle.spend(limits.CODES_IN_ALL, "", now_ms)
    code = await web.accounts.ask_code(phone, web.clock.wall_ms())
    text = web.catalogue(request).text("login.sms", code=code)
    try:
        await web.sms.send(phone, text)
    except FleetError:
        await web.accounts.drop_code(phone)
        raise


async def log_in(request: HTTPConnection, response: Response, phone: str, typed: str) -> str:
    """Check a code and open a session; return the rider, who is registered when new.

    Raises:
        CodeWrongError: wrong, expired, or too many tries.
        LimitedError: too many tries from one address.
    """
    web = web_of(request)
    web.throttle.spend(limits.CHECKS_PER_ADDRESS, address(request), web.clock.monotonic_ms())
    code = normalise_code(typed)
    verdict = Verdict.WRONG
    if code is not None:
        verdict = await web.accounts.check_code(phone, code, web.clock.wall_ms())
    if verdict is not Verdict.RIGHT:
        raise CodeWrongError("the code is wrong or has expired")
    rider = await web.riders.by_phone(phone, create=True)
    if rider is None:
        raise CodeWrongError("the code is wrong or has expired")
    await open_rider_session(request, response, rider.id)
    return rider.id


async def open_rider_session(request: HTTPConnection, response: Response, rider_id: str) -> None:
    """Log a rider in whose identity is proven."""
    web = web_of(request)
    token = await web.accounts.open_session(Identity(rider_id=rider_id), web.clock.wall_ms())
    _set_cookie(web, response, RIDER_COOKIE, token)


async def log_out(request: HTTPConnection, response: Response, cookie: str) -> None:
    """End a session, here and in the store."""
    web = web_of(request)
    token = request.cookies.get(cookie_name(web, cookie))
    if token:
        rider_id = await rider_of(request) if cookie == RIDER_COOKIE else None
        await web.accounts.close_session(token)
        if rider_id is not None:
            web.streams.rights_changed(rider_key(rider_id))
    response.delete_cookie(
        cookie_name(web, cookie), secure=web.config.secure, httponly=True, samesite="lax"
    )
    if cookie == RIDER_COOKIE:
        response.delete_cookie(BRAND_COOKIE, httponly=True, samesite="lax")
        # What the phone kept for the time without a network goes too.
        response.headers["Clear-Site-Data"] = '"storage"'


def rider_key(rider_id: str) -> str:
    """What a rider's streams are known by."""
    return f"rider:{rider_id}"


def address(request: HTTPConnection) -> str:
    """Where a request comes from; of IPv6 the network, since one caller has all of its addresses."""
    host = request.client.host if request.client else "unknown"
    try:
        known = ip_address(host)
    except ValueError:
        return host
    if not isinstance(known, IPv6Address):
        return host
    inner = known.ipv4_mapped
    return str(inner) if inner else str(ip_network(f"{known}/{_V6_BITS}", strict=False))


def cookie_name(web: Web, name: str) -> str:
    """Over https a name that no other host and no plain http may set."""
    return f"__Host-{name}" if web.config.secure else name


def _set_cookie(web: Web, response: Response, name: str, token: str) -> None:
    response.set_cookie(
        cookie_name(web, name),
        token,
        max_age=SESSION_LIFE_MS // 1_000,
        secure=web.config.secure,
        httponly=True,
        samesite="lax",
    )


async def _identity(request: HTTPConnection, name: str) -> Identity | None:
    """The session of a cookie, looked up once per request."""
    seen: dict[str, Identity | None] = request.scope.setdefault(_SEEN, {})
    if name not in seen:
        web = web_of(request)
        token = request.cookies.get(cookie_name(web, name))
        seen[name] = await web.accounts.identity(token, web.clock.wall_ms()) if token else None
    return seen[name]
