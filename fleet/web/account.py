"""Login in two small steps, and logout. No script is needed."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.login import normalise_phone
from fleet.core.phones import phone_tail
from fleet.errors import FleetError, InvalidError, LimitedError
from fleet.web.pages import explained, page, safe_next, web_of
from fleet.web.rider import SEE_OTHER, notice_of
from fleet.web.sessions import RIDER_COOKIE, CodeWrongError, log_in, log_out, send_code

router = APIRouter(include_in_schema=False)

PHONE_COOKIE: Final = "yz_phone"  # from the first step to the second, on the rider's own phone
PHONE_COOKIE_AGE_S: Final = 600
_TEXT = Annotated[str, Form()]


@router.get("/login")
async def phone_page(request: Request, next: str = "/") -> Response:  # noqa: A002 - its public name
    """First step: the phone."""
    return page(request, "login.html", next=safe_next(next), phone="", notice=notice_of(request))


@router.post("/login")
async def ask_code(request: Request, phone: _TEXT, next: _TEXT = "/") -> Response:  # noqa: A002 - its public name
    """Send a code, to any number alike."""
    onwards = safe_next(next)
    query = {"next": onwards}
    try:
        number = normalise_phone(phone)
        await send_code(request, number)
    except LimitedError as error:
        # An earlier code may still be on its way: let the rider type it.
        if request.cookies.get(PHONE_COOKIE) is None:
            return _phone_again(request, phone, onwards, error)
        query |= {"refused": error.code, "wait": str(error.retry_after_s)}
        number = normalise_phone(phone)
    except FleetError as error:
        return _phone_again(request, phone, onwards, error)
    response = RedirectResponse(f"/login/code?{urlencode(query)}", SEE_OTHER)
    response.set_cookie(
        PHONE_COOKIE,
        number,
        max_age=PHONE_COOKIE_AGE_S,
        path="/login",
        secure=web_of(request).config.secure,
        httponly=True,
        samesite="lax",
    )
    return response


@router.get("/login/code")
async def code_page(request: Request, next: str = "/") -> Response:  # noqa: A002 - its public name
    """Second step: the code."""
    onwards = safe_next(next)
    try:
        number = normalise_phone(request.cookies.get(PHONE_COOKIE, ""))
    except InvalidError:
        return RedirectResponse(f"/login?{urlencode({'next': onwards})}", SEE_OTHER)
    return page(
        request,
        "code.html",
        next=onwards,
        phone=number,
        tail=phone_tail(number),
        notice=notice_of(request),
    )


@router.post("/login/code")
async def enter_code(request: Request, code: _TEXT, next: _TEXT = "/") -> Response:  # noqa: A002 - its public name
    """Log in and go on to where the rider came from."""
    onwards = safe_next(next)
    response = RedirectResponse(onwards, SEE_OTHER)
    try:
        number = normalise_phone(request.cookies.get(PHONE_COOKIE, ""))
        await log_in(request, response, number, code)
    except (CodeWrongError, LimitedError) as error:
        query = {"next": onwards, "refused": error.code}
        if isinstance(error, LimitedError):
            query["wait"] = str(error.retry_after_s)
        return RedirectResponse(f"/login/code?{urlencode(query)}", SEE_OTHER)
    except InvalidError:
        return RedirectResponse(f"/login?{urlencode({'next': onwards})}", SEE_OTHER)
    response.delete_cookie(PHONE_COOKIE, path="/login")
    return response


@router.post("/logout")
async def logout(request: Request) -> Response:
    """Forget this browser."""
    response = RedirectResponse("/", SEE_OTHER)
    await log_out(request, response, RIDER_COOKIE)
    return response


def _phone_again(request: Request, phone: str, onwards: str, error: FleetError) -> Response:
    texts = web_of(request).catalogue(request)
    return page(
        request,
        "login.html",
        status=error.status,
        next=onwards,
        phone=phone[:40],
        notice=explained(texts, error),
    )
