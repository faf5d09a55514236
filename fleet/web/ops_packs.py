"""The operator's pages of packs: a list with filters, and a passport of each."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from fleet.core.access import Permission
from fleet.core.desk import PLACES, PackFilter, PackRow, passport_within
from fleet.core.ids import in_cabinet, is_slot
from fleet.errors import DeniedError
from fleet.web.access import cabinets_known, needs
from fleet.web.csv_out import PAGE_ROWS, Cell, csv_response, paged
from fleet.web.lifeline import LEFT, WIDTH, lifeline
from fleet.web.ops_lists import SHORT, charts_of, link
from fleet.web.ops_views import view_bar
from fleet.web.pages import OPS_CSS, page, web_of

router = APIRouter(prefix="/ops", include_in_schema=False)

LIFE_SHOWN = 200
Text = Annotated[str, Query(max_length=SHORT)]


def asked_of(
    q: Text = "", place: Text = "", cabinet: Text = "", state: Text = "", disputed: Text = ""
) -> dict[str, str]:
    """The filters as they stand in the address."""
    return {"q": q, "place": place, "cabinet": cabinet, "state": state, "disputed": disputed}


Asked = Annotated[dict[str, str], Depends(asked_of)]


@router.get("/packs", dependencies=[needs(Permission.SEE_CABINETS, narrows=True, cabinets=True)])
async def packs(request: Request, asked: Asked, after: Text = "") -> Response:
    """Packs by serial, a page at a time."""
    wanted = await _filter(request, asked, after)
    rows = await charts_of(request).desk.packs(wanted)
    more = len(rows) == wanted.limit
    return page(
        request,
        "ops_packs.html",
        view_bar=await view_bar(request, "packs"),
        css=OPS_CSS,
        operator=True,
        rows=rows,
        asked=asked,
        places=PLACES,
        csv_url=link("/ops/packs.csv", asked),
        next_url=link("/ops/packs", asked, after=rows[-1].serial) if more else "",
    )


@router.get(
    "/packs.csv", dependencies=[needs(Permission.SEE_CABINETS, narrows=True, cabinets=True)]
)
async def packs_csv(request: Request, asked: Asked) -> Response:
    """The same, all of them, as a table."""
    first = await _filter(request, asked, "", PAGE_ROWS)
    desk = charts_of(request).desk

    async def fetch(last: PackRow | None) -> list[PackRow]:
        return await desk.packs(replace(first, after=last.serial if last else ""))

    header = ("serial", "model", "capacity_wh", "holder", "state", "disputed", "since_ms")
    return csv_response("packs", header, paged(fetch, _cells))


@router.get(
    "/packs/{serial}", dependencies=[needs(Permission.SEE_CABINETS, narrows=True, cabinets=True)]
)
async def passport(request: Request, serial: str) -> Response:
    """One pack: where it was, what it did, how it is."""
    found = await charts_of(request).desk.passport(serial[:SHORT])
    cabinets = await cabinets_known(request)
    holder = found.pack.holder
    if cabinets is not None and not any(in_cabinet(holder, each) for each in cabinets):
        raise DeniedError(f"battery {serial}: is elsewhere", code="scope")
    now_ms = web_of(request).clock.wall_ms()
    drawn = lifeline(found.life, now_ms) if cabinets is None else None  # its line would have gaps
    if cabinets is not None:
        found = passport_within(found, cabinets)
    return page(
        request,
        "ops_pack.html",
        css=OPS_CSS,
        operator=True,
        p=found,
        in_slot=is_slot(holder),
        shown=found.life[-LIFE_SHOWN:][::-1],
        drawn=drawn,
        part=cabinets is not None,
        width=WIDTH,
        left=LEFT,
    )


async def _filter(
    request: Request, asked: dict[str, str], after: str, limit: int = 50
) -> PackFilter:
    return PackFilter(
        serial=asked["q"].strip(),
        place=asked["place"] if asked["place"] in PLACES else "",
        cabinet=asked["cabinet"].strip(),
        state=asked["state"].strip(),
        disputed=asked["disputed"] == "1",
        after=after,
        limit=limit,
        cabinets=await cabinets_known(request),
    )


def _cells(row: PackRow) -> list[Cell]:
    return [
        row.serial, row.model, row.capacity_wh, row.holder, row.state, row.disputed, row.since_ms,
    ]  # fmt: skip
