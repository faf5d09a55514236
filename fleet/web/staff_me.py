"""One's own account: password, second factor, and where one is signed in."""

from __future__ import annotations

import io
from typing import Annotated, Final

import segno
from fastapi import APIRouter, Form, Request
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from fleet.core.access import Permission, Who
from fleet.core.staff import PASSWORD_CHARS_MIN, SignInError, check_same, totp_text, totp_url
from fleet.errors import DeniedError, FleetError, InvalidError
from fleet.web import limits
from fleet.web.access import need_staff, needs
from fleet.web.lasting import staff_changed
from fleet.web.pages import OPS_CSS, explained, page, web_of
from fleet.web.proof import proven
from fleet.web.rider import SEE_OTHER, notice_of, refused
from fleet.web.signin import ops_next, session_of, set_staff_cookie, staff_port
from fleet.web.staff import FIELD_MAX

router = APIRouter(
    prefix="/ops/me",
    include_in_schema=False,
    dependencies=[needs(Permission.OWN_ACCOUNT, narrows=True)],
)

HERE: Final = "/ops/me"
APP_NAME: Final = "Yizhan"
_Text = Annotated[str, Form(max_length=FIELD_MAX)]


@router.get("")
async def me(request: Request) -> Response:
    """The account and its sessions."""
    who = await _myself(request)
    staff = staff_port(request)
    return page(
        request,
        "ops_me.html",
        css=OPS_CSS,
        operator=True,
        a=await staff.account(who.name),
        sessions=await staff.sessions(who.id),
        codes_left=await staff.codes_left(who.id),
        here=await session_of(request),
        chars_min=PASSWORD_CHARS_MIN,
        notice=notice_of(request),
    )


@router.post("/password")
async def password(
    request: Request, old: _Text = "", password: _Text = "", again: _Text = ""
) -> Response:
    """Another password; one signs in anew with it."""
    who = await _myself(request)
    try:
        _spend(request, who)
        check_same(password, again)
        await staff_port(request).change_password(who.name, old, password)
        staff_changed(request)
    except (InvalidError, SignInError) as error:
        return refused(HERE, error)
    response = RedirectResponse("/ops/login", SEE_OTHER)
    set_staff_cookie(request, response, "")
    return response


@router.get("/totp", dependencies=[proven()])
async def totp(request: Request) -> Response:
    """The secret as a QR code, to be confirmed by the app's first code."""
    return await _totp(request, await _myself(request))


async def _totp(request: Request, who: Who, error: FleetError | None = None) -> Response:
    texts = web_of(request).catalogue(request)
    try:
        secret = await staff_port(request).offer_totp(who.name)
    except InvalidError as done:
        return refused(HERE, done)
    return page(
        request,
        "ops_totp.html",
        status=error.status if error else 200,
        css=OPS_CSS,
        operator=True,
        qr=_qr(totp_url(secret, who.name, APP_NAME)),
        secret=totp_text(secret),
        notice=explained(texts, error) if error else None,
    )


@router.post("/totp", dependencies=[proven()])
async def confirm(request: Request, code: _Text = "") -> Response:
    """Switch it on and show the recovery codes, this once."""
    who = await _myself(request)
    _spend(request, who)
    try:
        found = await staff_port(request).confirm_totp(who.name, code)
    except InvalidError as error:
        if error.code == "totp-wrong":
            return await _totp(request, who, error)
        return refused(HERE, error)
    return page(request, "ops_codes.html", css=OPS_CSS, operator=True, codes=found)


@router.post("/codes", dependencies=[proven()])
async def codes(request: Request) -> Response:
    """Other recovery codes, shown this once; the older ones end."""
    who = await _myself(request)
    try:
        found = await staff_port(request).renew_codes(who.name)
    except InvalidError as error:
        return refused(HERE, error)
    return page(request, "ops_codes.html", css=OPS_CSS, operator=True, codes=found)


@router.post("/prove", dependencies=[proven()])
async def prove(next: _Text = HERE) -> Response:  # noqa: A002 - its public name
    """Go on to the page that asked for the password."""
    return RedirectResponse(ops_next(next), SEE_OTHER)


@router.post("/totp/off")
async def drop(request: Request, password: _Text = "", code: _Text = "") -> Response:
    """Switch it off, against the password and a code: a stolen password alone must not do it."""
    who = await _myself(request)
    try:
        _spend(request, who)
        await staff_port(request).drop_totp(who.name, password, code.strip())
    except SignInError as error:
        return refused(HERE, error)
    return RedirectResponse(HERE, SEE_OTHER)


@router.post("/sessions/{session_id}/end")
async def end(request: Request, session_id: str) -> Response:
    """End one of the own sessions."""
    who = await _myself(request)
    await staff_port(request).end_session(who.id, session_id)
    staff_changed(request)
    return RedirectResponse(HERE, SEE_OTHER)


async def _myself(request: Request) -> Who:
    """Who asks; raise DeniedError for a seat that is nobody's own."""
    who = await need_staff(request)
    if who.shared:
        raise DeniedError("this is nobody's own account", code="role")
    return who


def _spend(request: Request, who: Who) -> None:
    web = web_of(request)
    web.staff_throttle.spend(limits.PROOFS_PER_ACCOUNT, who.id, web.clock.monotonic_ms())


def _qr(text: str) -> Markup:
    out = io.BytesIO()
    code = segno.make(text, error="m", micro=False)
    code.save(out, kind="svg", xmldecl=False, svgns=False, scale=5, border=4, light="#fff")
    return Markup(out.getvalue().decode())  # noqa: S704 - drawn by us, of our own text
