"""Without a network: the page with number, code and ticket, and what a phone keeps to show it.

The phone opens the page by itself once it was seen: the service worker keeps its empty form, which
tells nothing of anybody; the rider's part stays in the page's own storage until he logs out.
"""

from __future__ import annotations

import base64
from typing import Final

import msgspec
import segno
from fastapi import APIRouter, Request
from starlette.responses import Response

from fleet.core.views import OfflineView
from fleet.web import limits
from fleet.web.pages import OFFLINE_SCRIPT, SERVICE_WORKER, page, web_of
from fleet.web.sessions import need_rider, rider_of
from protocols.offline import CODE_STEP_S, month_of, step_of, totp

router = APIRouter()

QR_BORDER: Final = 4  # the quiet zone that the standard asks for


class OfflinePass(OfflineView, frozen=True, kw_only=True):
    """With the ticket's QR code: the path of an SVG stroke one wide, in a square of ``qr_size``."""

    qr_size: int
    qr_path: str


@router.get(
    "/api/v1/me/offline",
    responses={
        200: {
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/OfflinePass"}}
            }
        },
        "4XX": {
            "description": "Refused",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        },
    },
    tags=["login"],
)
async def my_pass(request: Request) -> Response:
    """Number, code secrets of the month and ticket of the rider who is logged in. Keep them secret."""
    rider_id = await need_rider(request)
    body = msgspec.json.encode(await _pass(request, rider_id))
    return Response(body, media_type="application/json")


@router.get("/offline", include_in_schema=False)
async def offline_page(request: Request, *, shell: bool = False) -> Response:
    """Number, code and ticket; ``shell`` is the form without a rider, to be kept by the phone."""
    rider_id = None if shell else await rider_of(request)
    web = web_of(request)
    if rider_id is None:
        return page(
            request, "offline.html", js_urls=[OFFLINE_SCRIPT.url], mine=None, code="", left=0
        )
    mine = await _pass(request, rider_id)
    now_ms = web.clock.wall_ms()
    secret = base64.b64decode(mine.secrets[month_of(now_ms)])
    return page(
        request,
        "offline.html",
        js_urls=[OFFLINE_SCRIPT.url],
        mine=mine,
        code=totp(secret, step_of(now_ms)),
        left=CODE_STEP_S - now_ms // 1_000 % CODE_STEP_S,
    )


@router.get("/sw.js", include_in_schema=False)
async def service_worker() -> Response:
    """At the root, since it may serve only what lies below it."""
    headers = {"Cache-Control": "no-cache"}
    return Response(SERVICE_WORKER, media_type="text/javascript", headers=headers)


async def _pass(request: Request, rider_id: str) -> OfflinePass:
    web = web_of(request)
    web.throttle.spend(limits.OFFLINE_PER_RIDER, rider_id, web.clock.monotonic_ms())
    view = await web.offline.passes(rider_id)
    size, path = qr_drawing(view.ticket)
    return OfflinePass(**msgspec.structs.asdict(view), qr_size=size, qr_path=path)


def qr_drawing(text: str) -> tuple[int, str]:
    """A QR code as the side of its square and the path of its dark modules."""
    matrix = segno.make(text, error="l", micro=False).matrix
    rows = []
    for y, row in enumerate(matrix):
        x, strokes = 0, []
        while x < len(row):
            end = x
            while end < len(row) and row[end] == row[x]:
                end += 1
            strokes.append(f"h{end - x}" if row[x] else f"m{end - x} 0")
            x = end
        rows.append(f"M{QR_BORDER} {y + QR_BORDER}.5{''.join(strokes)}")
    return len(matrix) + 2 * QR_BORDER, "".join(rows)
