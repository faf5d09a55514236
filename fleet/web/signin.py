"""Who of the staff is signed in, by cookie or Bearer token, and the page that asks for it."""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from typing import Any, Final

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from fleet.core.access import EVERYWHERE, Role, Who
from fleet.core.staff import SESSION_LIFE_MS, TOKEN_PREFIX
from fleet.errors import NotFoundError
from fleet.ports_access import Came, Staff
from fleet.web import limits
from fleet.web.menu import STAFF_KEY
from fleet.web.pages import OPS_CSS, page, safe_next, web_of
from fleet.web.security import LoginRequiredError
from fleet.web.sessions import address, cookie_name

STAFF_SESSION_COOKIE: Final = "yz_ops"
_BEARER: Final = "bearer "
#: Commands on this machine, and nobody else: the file with the token is for its owner only.
LOCAL: Final = Who("local", "local", Role.ADMIN, EVERYWHERE, shared=True)


async def staff_of(request: HTTPConnection) -> Who | None:
    """Who of the staff asks; None when nobody is signed in. Looked up once per request.

    Raises:
        LoginRequiredError: an API token came that is forged, revoked or expired.
        LimitedError: too many of those, or too many calls of one program.
    """
    return (await _asker(request))[0]


def signed_in(request: HTTPConnection) -> bool:
    """Whether it is known by now that somebody of the staff asks."""
    return request.scope.get(STAFF_KEY, (None, ""))[0] is not None


async def session_of(request: HTTPConnection) -> str:
    """The id of the session that asks; empty for a program."""
    return (await _asker(request))[1]


def staff_port(request: HTTPConnection) -> Staff:
    """The accounts; raise NotFoundError where there are none."""
    staff = web_of(request).staff
    if staff is None:
        raise NotFoundError("this fleet has no accounts of staff")
    return staff


def came_from(request: Request) -> Came:
    """From where somebody signs in."""
    agent = request.headers.get("user-agent", "")
    return Came(address(request), "".join(each for each in agent if each.isprintable())[:200])


def staff_cookie(request: HTTPConnection) -> str:
    """The session's token that the browser sent; empty without one."""
    return request.cookies.get(cookie_name(web_of(request), STAFF_SESSION_COOKIE), "")


def set_staff_cookie(request: HTTPConnection, response: Response, token: str) -> None:
    """Let the browser keep a session's token; an empty one is forgotten."""
    web = web_of(request)
    response.set_cookie(
        cookie_name(web, STAFF_SESSION_COOKIE),
        token,
        max_age=SESSION_LIFE_MS // 1_000 if token else 0,
        secure=web.config.secure,
        httponly=True,
        samesite="lax",
    )


def ops_next(path: str) -> str:
    """A page of the staff to go on to, or the first one."""
    onwards = safe_next(path)
    inside = onwards == "/ops" or onwards.startswith(("/ops/", "/ops?"))
    return onwards if inside and not onwards.startswith("/ops/log") else "/ops"


def sign_in_page(
    request: HTTPConnection,
    *,
    status: int = 200,
    notice: tuple[str, str] | None = None,
    onwards: str = "/ops",
    name: str = "",
) -> Response:
    """Name, password and code; and the identity provider where there is one."""
    provider = web_of(request).provider
    return page(
        request,
        "ops_login.html",
        status=status,
        css=OPS_CSS,
        notice=notice,
        operator=False,
        onwards=ops_next(onwards),
        name=name[:32],
        provider=provider.name if provider else "",
    )


async def who_asks(request: HTTPConnection) -> tuple[Who | None, str]:
    """Who of the staff asks and by which session, looked up now; counts no call.

    Raises:
        LoginRequiredError: an API token came that is forged, revoked or expired.
    """
    web = web_of(request)
    bearer = _bearer(request)
    if bearer is None:
        token = staff_cookie(request)
        session = await web.staff.of_session(token) if web.staff and token else None
        return session or (None, "")
    if secrets.compare_digest(bearer.encode(), web.config.local_token.encode()):
        return LOCAL, ""
    if not bearer.startswith(TOKEN_PREFIX) or web.staff is None:
        return None, ""  # not of ours, such as a partner's
    who = await web.staff.of_token(bearer)
    if who is None:
        raise LoginRequiredError("Authorization: this token is unknown, revoked or expired")
    return who, ""


def forget_staff(scope: MutableMapping[str, Any]) -> dict[str, Any]:
    """The same request, as if nobody had been looked up yet."""
    return {name: value for name, value in scope.items() if name != STAFF_KEY}


async def _asker(request: HTTPConnection) -> tuple[Who | None, str]:
    if STAFF_KEY not in request.scope:
        web, now_ms = web_of(request), web_of(request).clock.monotonic_ms()
        try:
            found = await who_asks(request)
        except LoginRequiredError:
            web.throttle.spend(limits.FORGED_TOKENS, address(request), now_ms)
            raise
        who = found[0]
        if who is not None and who is not LOCAL and _bearer(request) is not None:
            web.throttle.spend(limits.TOKEN_CALLS, who.id, now_ms)
        request.scope[STAFF_KEY] = found
    asker: tuple[Who | None, str] = request.scope[STAFF_KEY]
    return asker


def _bearer(request: HTTPConnection) -> str | None:
    """The program's token; pages take none."""
    header = request.headers.get("authorization", "")
    program = request.url.path.startswith("/api/") and header.lower().startswith(_BEARER)
    return header[len(_BEARER) :].strip() if program else None
