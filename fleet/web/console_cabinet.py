"""The operator's pages of one cabinet: as it stands, what it wrote, what crosses the broker."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from fleet.core.access import Permission
from fleet.core.views import CabinetView
from fleet.web.access import needs
from fleet.web.live import detail_part
from fleet.web.pages import OPS_CSS, in_page, page, web_of
from fleet.web.rollouts import rollouts_of
from protocols.messages import EVENT_BODIES
from protocols.settings import SETTINGS
from protocols.topics import Leaf

router = APIRouter(prefix="/ops", include_in_schema=False)

EVENTS_SHOWN: Final = 100
EVENTS_EXPORTED: Final = 5_000
MESSAGES_SHOWN: Final = 50
#: Leaves that the recorder keeps, as a filter offers them.
LEAVES: Final = tuple(
    each.value
    for each in (Leaf.TELEMETRY, Leaf.STATUS, Leaf.EVENT, Leaf.COMMAND, Leaf.RESULT, Leaf.ACK)
)

_Word = Annotated[str, Query(max_length=60)]


@router.get("/cabinets/{cabinet_id}", dependencies=[needs(Permission.SEE_CABINETS)])
async def cabinet(request: Request, cabinet_id: str) -> Response:
    """One cabinet, every slot."""
    web = web_of(request)
    view = await web.cabinets.get(cabinet_id)
    detail = in_page(detail_part(web, web.catalogue(request), view))
    held = await web.rollouts.settings(cabinet_id) if web.rollouts is not None else None
    return page(
        request, "ops_cabinet.html", css=OPS_CSS, operator=True, c=view, part=detail, held=held
    )


@router.get("/cabinets/{cabinet_id}/settings", dependencies=[needs(Permission.SEE_CABINETS)])
async def settings(request: Request, cabinet_id: str) -> Response:
    """What the fleet wishes a cabinet to be set to, beside what is in force there."""
    view = await web_of(request).cabinets.get(cabinet_id)
    return page(
        request,
        "ops_settings.html",
        css=OPS_CSS,
        operator=True,
        c=view,
        held=await rollouts_of(request).settings(cabinet_id),
        declared=SETTINGS,
    )


@router.get("/cabinets/{cabinet_id}/events", dependencies=[needs(Permission.SEE_CABINETS)])
async def events(request: Request, cabinet_id: str, type: _Word = "") -> Response:  # noqa: A002 - the URL's word
    """What a cabinet wrote in its journal and the fleet has stored, the newest first."""
    web = web_of(request)
    view = await web.cabinets.get(cabinet_id)
    return page(
        request,
        "ops_events.html",
        css=OPS_CSS,
        operator=True,
        c=view,
        rows=await web.records.events(cabinet_id, type, EVENTS_SHOWN),
        type=type,
        types=EVENT_BODIES,
        most=EVENTS_SHOWN,
        export=f"/ops/cabinets/{cabinet_id}/events.jsonl?{urlencode({'type': type})}",
    )


@router.get("/cabinets/{cabinet_id}/events.jsonl", dependencies=[needs(Permission.SEE_CABINETS)])
async def events_export(request: Request, cabinet_id: str, type: _Word = "") -> Response:  # noqa: A002 - the URL's word
    """The same as lines of JSON, as many as are given out at once."""
    web = web_of(request)
    view = await web.cabinets.get(cabinet_id)
    rows = await web.records.events(cabinet_id, type, EVENTS_EXPORTED)
    return _lines(view, "events", [msgspec.json.encode(each) for each in rows])


@router.get("/cabinets/{cabinet_id}/messages", dependencies=[needs(Permission.SEE_CABINETS)])
async def messages(request: Request, cabinet_id: str, leaf: _Word = "", q: _Word = "") -> Response:
    """Raw messages since somebody began to look, the newest first."""
    web = web_of(request)
    view = await web.cabinets.get(cabinet_id)
    found = web.records.messages(cabinet_id, leaf, q)
    return page(
        request,
        "ops_messages.html",
        css=OPS_CSS,
        operator=True,
        c=view,
        rows=found[:MESSAGES_SHOWN],
        total=len(found),
        leaf=leaf,
        q=q,
        leaves=LEAVES,
        export=f"/ops/cabinets/{cabinet_id}/messages.jsonl?{urlencode({'leaf': leaf, 'q': q})}",
    )


@router.get("/cabinets/{cabinet_id}/messages.jsonl", dependencies=[needs(Permission.SEE_CABINETS)])
async def messages_export(
    request: Request, cabinet_id: str, leaf: _Word = "", q: _Word = ""
) -> Response:
    """The same as lines of JSON."""
    web = web_of(request)
    view = await web.cabinets.get(cabinet_id)
    found = web.records.messages(cabinet_id, leaf, q)
    return _lines(view, "messages", [msgspec.json.encode(each) for each in found])


def _lines(cabinet: CabinetView, what: str, rows: list[bytes]) -> Response:
    name = f'attachment; filename="{cabinet.id}-{what}.jsonl"'
    body = b"".join(row + b"\n" for row in rows)
    return Response(body, media_type="application/jsonl", headers={"Content-Disposition": name})
