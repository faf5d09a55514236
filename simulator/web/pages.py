"""The page, its style, scripts and words; no template, no build step."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Final

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from simulator.texts import LANGUAGES, texts

HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_TYPES: Final = {
    "sim.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(
        (
            f"{name}.mjs"
            for name in ("base", "drag", "draw", "faults", "panel", "sim", "trace", "world")
        ),
        "text/javascript; charset=utf-8",
    ),
}


def add_pages(app: FastAPI) -> None:
    """Serve the page at ``/`` and what it needs under ``/ui``."""

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response(_file("sim.html"), media_type="text/html; charset=utf-8", headers=HEADERS)

    @app.get("/ui/texts.json", include_in_schema=False)
    async def words() -> Response:
        return JSONResponse({each: dict(texts(each)) for each in LANGUAGES}, headers=HEADERS)

    @app.get("/ui/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        if name not in _TYPES:
            return JSONResponse({"detail": f"{name}: there is no such file"}, status_code=404)
        return Response(_file(name), media_type=_TYPES[name], headers=HEADERS)


@lru_cache(maxsize=len(_TYPES) + 1)
def _file(name: str) -> str:
    source = resources.files("simulator").joinpath("web", "static", name)
    return source.read_text(encoding="utf-8")
