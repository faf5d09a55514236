"""Coming by a partner's signed link: the rider is logged in, and the pages carry the partner's brand."""

from __future__ import annotations

import json
from typing import Final

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from fleet.errors import NotFoundError
from fleet.ports import Entered, Membership
from fleet.web import limits
from fleet.web.pages import BRAND_COOKIE, Web, web_of
from fleet.web.sessions import address, open_rider_session

SEE_OTHER: Final = 303
BRAND_AGE_S: Final = 30 * 24 * 3_600


async def enter(request: Request, link: str, onwards: str) -> Response:
    """Log the rider of a partner's link in, and go on without the link in the address.

    Raises:
        LinkError: it is forged, expired or was used; nobody is logged in.
        LimitedError: too many from one address.
    """
    web = web_of(request)
    membership = membership_of(web)
    now_ms = web.clock.monotonic_ms()
    web.throttle.spend(limits.LINKS_PER_ADDRESS, address(request), now_ms)
    entered = await membership.enter(link)
    response = RedirectResponse(onwards, SEE_OTHER)
    response.headers["Referrer-Policy"] = "no-referrer"
    await open_rider_session(request, response, entered.rider_id)
    _set_brand(web, response, entered)
    return response


def membership_of(web: Web) -> Membership:
    """The part that knows of plans and partners; raise NotFoundError where there is none."""
    if web.membership is None:
        raise NotFoundError("this fleet keeps no plans and partners")
    return web.membership


def _set_brand(web: Web, response: Response, entered: Entered) -> None:
    """The platform's name and colour stay with the browser, as the session does."""
    brand = {
        "name": entered.partner_name,
        "colour": entered.colour,
        "phone": entered.support_phone,
    }
    response.set_cookie(
        BRAND_COOKIE,
        json.dumps(brand).encode().hex(),
        max_age=BRAND_AGE_S,
        secure=web.config.secure,
        httponly=True,
        samesite="lax",
    )
