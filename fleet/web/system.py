"""What machines and printers ask for: static files, QR codes, metrics, health."""

from __future__ import annotations

import asyncio
import io
from typing import Final

import segno
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from fleet.checks import passes
from fleet.errors import NotFoundError
from fleet.web.pages import ICON, STATIC, page, web_of

router = APIRouter(include_in_schema=False)

FOREVER: Final = "public, max-age=31536000, immutable"
_FILES: Final = {file.url: file for file in STATIC}


@router.get("/static/{name}")
async def static_file(name: str) -> Response:
    """A file of ours; its name holds its content's hash."""
    file = _FILES.get(f"/static/{name}")
    if file is None:
        raise NotFoundError(f"no file {name}")
    return Response(file.body, media_type=file.media_type, headers={"Cache-Control": FOREVER})


@router.get("/favicon.ico")
async def favicon() -> Response:
    """For browsers that ask without looking at the page."""
    return Response(ICON.body, media_type=ICON.media_type)


@router.get("/qr/{cabinet_id}.svg")
async def qr_code(request: Request, cabinet_id: str) -> Response:
    """The QR code of a cabinet, to be printed."""
    web = web_of(request)
    cabinet = await web.cabinets.get(cabinet_id)
    return _qr(_cabinet_url(request, cabinet.id))


def _qr(url: str) -> Response:
    out = io.BytesIO()
    segno.make(url, error="m", micro=False).save(out, kind="svg", scale=8, border=4, light="#fff")
    return Response(out.getvalue(), media_type="image/svg+xml")


@router.get("/qr/{cabinet_id}/{socket}.svg")
async def socket_qr_code(request: Request, cabinet_id: str, socket: int) -> Response:
    """The QR code of a socket beside a cabinet, to be printed."""
    cabinet = await web_of(request).cabinets.get(cabinet_id)
    if not any(each.socket == socket for each in cabinet.sockets):
        raise NotFoundError(f"no socket {socket} at {cabinet_id}")
    home = web_of(request).config.public_url.rstrip("/")
    return _qr(f"{home}/p/{cabinet.id}/{socket}")


@router.get("/c/{cabinet_id}/label")
async def label(request: Request, cabinet_id: str) -> Response:
    """A page to print: the QR code and the cabinet's name."""
    cabinet = await web_of(request).cabinets.get(cabinet_id)
    return page(request, "label.html", c=cabinet, url=_cabinet_url(request, cabinet.id))


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus text."""
    text = web_of(request).metrics_text()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/healthz")
async def health() -> Response:
    """The event loop turns."""
    return PlainTextResponse("ok\n")


@router.get("/readyz")
async def ready(request: Request) -> Response:
    """Whether every part is there, each by name."""
    checks = web_of(request).checks
    answers = await asyncio.gather(*(passes(check) for check in checks.values()))
    results = dict(zip(checks, answers, strict=True))
    good = all(answers)
    return JSONResponse({"ready": good, "checks": results}, status_code=200 if good else 503)


def _cabinet_url(request: Request, cabinet_id: str) -> str:
    return f"{web_of(request).config.public_url.rstrip('/')}/c/{cabinet_id}"
