"""Staff come in and go: password and code, one-time links, an identity provider. No script is needed."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.staff import PASSWORD_CHARS_MIN, LinkError, LinkFor, SignInError, check_same
from fleet.errors import FleetError, InvalidError, LimitedError, NotFoundError
from fleet.web import limits
from fleet.web.access import anybody
from fleet.web.guessing import remember_device, spend_sign_in
from fleet.web.lasting import staff_changed
from fleet.web.pages import OPS_CSS, explained, page, web_of
from fleet.web.rider import SEE_OTHER
from fleet.web.sessions import address, cookie_name
from fleet.web.signin import (
    came_from,
    ops_next,
    set_staff_cookie,
    sign_in_page,
    staff_cookie,
    staff_port,
)

router = APIRouter(prefix="/ops", include_in_schema=False, dependencies=[anybody()])

FIELD_MAX: Final = 300  # of any field that is typed; longer ones are nobody's
PROVIDER_COOKIE: Final = "yz_sso"
PROVIDER_COOKIE_AGE_S: Final = 600
_Text = Annotated[str, Form(max_length=FIELD_MAX)]
_Query = Annotated[str, Query(max_length=2_000)]


@router.get("/login")
async def login(request: Request, token: _Query = "", next: _Query = "/ops") -> Response:  # noqa: A002 - its public name
    """The form; or a one-time link, which signs in or leads to where a password is chosen."""
    if not token:
        return sign_in_page(request, onwards=next)
    try:
        _spend_address(request)
        seen = await staff_port(request).link(token)
        if seen is not None and seen[0] is not LinkFor.SIGN_IN:
            return RedirectResponse(f"/ops/join?{urlencode({'token': token})}", SEE_OTHER)
        session = await staff_port(request).use_link(token, "", "", came_from(request))
    except (LinkError, LimitedError) as error:
        notice = explained(web_of(request).catalogue(request), error)
        return sign_in_page(request, status=error.status, notice=notice)
    return await _signed_in(request, session, "/ops")


@router.post("/login")
async def sign_in(
    request: Request,
    name: _Text = "",
    password: _Text = "",
    code: _Text = "",
    next: _Text = "/ops",  # noqa: A002 - its public name
) -> Response:
    """Check all three at once: a refusal does not say which was wrong."""
    web, name = web_of(request), name.strip()
    try:
        code, came = code.strip(), came_from(request)
        await spend_sign_in(request, name, code)
        session = await staff_port(request).sign_in(name, password, code, came)
    except (SignInError, LimitedError) as error:
        notice = explained(web.catalogue(request), error)
        response = sign_in_page(
            request, status=error.status, notice=notice, onwards=next, name=name
        )
        if isinstance(error, LimitedError):
            response.headers["Retry-After"] = str(error.retry_after_s)
        return response
    return await _signed_in(request, session, ops_next(next))


@router.post("/logout")
async def logout(request: Request) -> Response:
    """End the session."""
    token = staff_cookie(request)
    if token:
        await staff_port(request).sign_out(token)
        staff_changed(request)
    response = RedirectResponse("/ops/login", SEE_OTHER)
    set_staff_cookie(request, response, "")
    return response


@router.get("/join")
async def join_page(request: Request, token: _Query = "") -> Response:
    """Where a one-time link leads: looking at it does not use it up."""
    return await _join(request, token)


@router.post("/join")
async def join(
    request: Request, token: _Text, password: _Text = "", again: _Text = "", name: _Text = ""
) -> Response:
    """Choose a password, and be signed in."""
    try:
        _spend_address(request)
        check_same(password, again)
        came = came_from(request)
        session = await staff_port(request).use_link(token, name.strip(), password, came)
        staff_changed(request)
    except (InvalidError, LimitedError) as error:
        return await _join(request, token, name.strip(), error)
    except LinkError as error:
        notice = explained(web_of(request).catalogue(request), error)
        return sign_in_page(request, status=error.status, notice=notice)
    return await _signed_in(request, session, "/ops/me")


async def _join(
    request: Request, token: str, name: str = "", error: FleetError | None = None
) -> Response:
    texts = web_of(request).catalogue(request)
    _spend_address(request)
    seen = await staff_port(request).link(token)
    if seen is None or seen[0] is LinkFor.SIGN_IN:
        gone = LinkError("this link was used, or has expired")
        return sign_in_page(request, status=gone.status, notice=explained(texts, gone))
    account = seen[1]
    return page(
        request,
        "ops_join.html",
        status=error.status if error else 200,
        css=OPS_CSS,
        operator=False,
        token=token,
        first=account is None,
        name=account.name if account else name[:32],
        chars_min=PASSWORD_CHARS_MIN,
        notice=explained(texts, error) if error else None,
    )


# --- identity provider --------------------------------------------------------------------------


@router.get("/sso")
async def to_provider(request: Request, next: _Query = "/ops") -> Response:  # noqa: A002 - its public name
    """Off to the identity provider."""
    web = web_of(request)
    if web.provider is None:
        raise NotFoundError("no identity provider is configured")
    _spend_address(request)
    url, kept = await web.provider.begin(ops_next(next), web.clock.wall_ms())
    response = RedirectResponse(url, SEE_OTHER)
    _keep(request, response, kept)
    return response


@router.get("/sso/back")
async def from_provider(
    request: Request, state: _Query = "", code: _Query = "", error: _Query = ""
) -> Response:
    """Back from it: the state must be the one that this browser left with."""
    web = web_of(request)
    if web.provider is None:
        raise NotFoundError("no identity provider is configured")
    try:
        _spend_address(request)
        kept = request.cookies.get(cookie_name(web, PROVIDER_COOKIE), "")
        answer = "" if error else code
        provided, onwards = await web.provider.end(kept, state, answer, web.clock.wall_ms())
        session = await staff_port(request).sign_in_by(provided, came_from(request))
    except FleetError as refusal:
        notice = explained(web.catalogue(request), refusal)
        response = sign_in_page(request, status=refusal.status, notice=notice)
    else:
        response = await _signed_in(request, session, ops_next(onwards))
    _keep(request, response, "")
    return response


def _keep(request: Request, response: Response, kept: str) -> None:
    web = web_of(request)
    response.set_cookie(
        cookie_name(web, PROVIDER_COOKIE),
        kept,
        max_age=PROVIDER_COOKIE_AGE_S if kept else 0,
        path="/" if web.config.secure else "/ops/sso",  # as the name's prefix wants it
        secure=web.config.secure,
        httponly=True,
        samesite="lax",
    )


def _spend_address(request: Request) -> None:
    web = web_of(request)
    web.staff_throttle.spend(limits.WAYS_IN_PER_ADDRESS, address(request), web.clock.monotonic_ms())


async def _signed_in(request: Request, session: str, onwards: str) -> Response:
    """Keep the new session; the one that this browser had is over, whosever it was."""
    staff, before = staff_port(request), staff_cookie(request)
    if before:
        await staff.sign_out(before)
    staff_changed(request)  # a provider's word may have changed the role as well
    response = RedirectResponse(onwards, SEE_OTHER)
    set_staff_cookie(request, response, session)
    opened = await staff.of_session(session)
    if opened is not None:
        await remember_device(request, response, opened[0].name)
    return response
