"""Puts the pages and the API together; everything they need is given from outside."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from fleet.web import (
    account,
    api,
    api_area,
    api_asks,
    api_balance,
    api_console,
    api_grid,
    api_orders,
    api_stations,
    area,
    console_cabinet,
    errors,
    finding,
    my,
    ops_alarms,
    ops_grid,
    ops_load,
    ops_packs,
    ops_people,
    ops_swaps,
    ops_views,
    orders,
    partner,
    rider,
    staff_admin,
    staff_me,
    system,
)
from fleet.web import asks as ask_pages
from fleet.web import console as console_pages
from fleet.web import offline as offline_pages
from fleet.web import reports as report_pages
from fleet.web import rollouts as rollout_pages
from fleet.web import staff as staff_pages
from fleet.web.access import declared
from fleet.web.config import WebConfig
from fleet.web.pages import OPS_CSS, RIDER_CSS, Web
from fleet.web.security import SecurityMiddleware, content_policy, strict_headers
from fleet.web.sse import Streams

GZIP_MINIMUM_BYTES = 600
_PARTS: Final = (
    api,
    api_orders,
    api_balance,
    api_grid,
    api_stations,
    finding,
    rider,
    my,
    partner,
    account,
    offline_pages,
    staff_pages,
    staff_me,
    staff_admin,
    ops_alarms,
    ops_grid,
    ops_load,
    ops_packs,
    ops_people,
    ops_swaps,
    ops_views,
    console_pages,
    console_cabinet,
    api_console,
    orders,
    ask_pages,
    rollout_pages,
    api_asks,
    system,
)
_PLACE_PARTS: Final = (api_area, area, report_pages)


def create_app(web: Web) -> FastAPI:
    """The whole web side of the fleet.

    Before the server is told to stop, call ``stop_streams``: uvicorn waits for open responses, and
    streams end by this call only.
    """
    app = FastAPI(
        title="Yizhan fleet",
        version=_version(),
        description="Battery-swap cabinets: availability, swaps, login.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # its pages load scripts from other sites
        redoc_url=None,
    )
    app.state.web = web
    errors.install(app)
    _routes(app, places=web.stations is not None)
    _guards(app, web.config)
    return app


def _routes(app: FastAPI, *, places: bool) -> None:
    """Every page and every resource; those of places where there are any."""
    for part in _PARTS + (_PLACE_PARTS if places else ()):
        app.include_router(part.router)
    app.state.needs = declared(app)
    api.publish_schemas(app, *api_grid.VIEWS)


def _guards(app: FastAPI, config: WebConfig) -> None:
    """What stands before every route: headers, sizes, where a request comes from."""
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_MINIMUM_BYTES)
    policy = content_policy((RIDER_CSS, OPS_CSS), [config.tiles.origin] if config.tiles else [])
    app.state.headers = strict_headers(config.origin, policy)
    app.add_middleware(
        SecurityMiddleware,
        origin=config.origin,
        policy=policy,
        refuse=errors.answer,
        bodies={report_pages.FILE_PATH: report_pages.FORM_BYTES_MAX},
    )


def streams_of(config: WebConfig) -> Streams:
    """Streams at the configured pace."""
    return Streams(heartbeat_s=config.heartbeat_s, recheck_s=config.recheck_s)


def stop_streams(app: FastAPI) -> None:
    """End every open stream, so that the server can stop at once."""
    web: Web = app.state.web
    web.streams.stop()


def _version() -> str:
    try:
        return version("yizhan")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0"
