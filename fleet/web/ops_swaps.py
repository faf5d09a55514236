"""The operator's pages of swaps: a list with filters, and one swap step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from fleet.core.access import Permission
from fleet.core.desk import OUTCOMES, SwapFilter, SwapRow
from fleet.errors import FleetError, NotFoundError
from fleet.web.access import cabinets_known, needs
from fleet.web.csv_out import PAGE_ROWS, Cell, csv_response, paged
from fleet.web.lifeline import LEFT, WIDTH, waterfall
from fleet.web.ops_lists import SHORT, charts_of, day_ms, link, place_of_row, zone_of
from fleet.web.ops_views import view_bar
from fleet.web.pages import OPS_CSS, page, web_of
from protocols.messages import Kind

router = APIRouter(prefix="/ops", include_in_schema=False)

Text = Annotated[str, Query(max_length=SHORT)]
_KINDS = tuple(kind.value for kind in Kind)
_HEADER = (
    "id", "cabinet", "rider", "kind", "step", "open", "slot_in", "slot_out", "reason", "flags",
    "authority", "created_ms", "updated_ms",
)  # fmt: skip


def asked_of(  # noqa: PLR0917 - the filters of one list
    q: Text = "",
    cabinet: Text = "",
    rider: Text = "",
    kind: Text = "",
    outcome: Text = "",
    reason: Text = "",
    flagged: Text = "",
    since: Text = "",
    until: Text = "",
) -> dict[str, str]:
    """The filters as they stand in the address."""
    return {
        "q": q, "cabinet": cabinet, "rider": rider, "kind": kind, "outcome": outcome,
        "reason": reason, "flagged": flagged, "since": since, "until": until,
    }  # fmt: skip


Asked = Annotated[dict[str, str], Depends(asked_of)]


@router.get("/swaps", dependencies=[needs(Permission.SEE_SWAPS, narrows=True, cabinets=True)])
async def swaps(request: Request, asked: Asked, before: Text = "") -> Response:
    """Swaps, the newest first, a page at a time."""
    wanted = await _filter(request, asked)
    rows = await charts_of(request).desk.swaps(replace(wanted, before=place_of_row(before)))
    more = len(rows) == wanted.limit
    texts = web_of(request).catalogue(request)
    return page(
        request,
        "ops_swaps.html",
        view_bar=await view_bar(request, "swaps"),
        css=OPS_CSS,
        operator=True,
        rows=[(each, [texts.flag(flag) for flag in each.flags]) for each in rows],
        asked=asked,
        kinds=_KINDS,
        outcomes=OUTCOMES,
        csv_url=link("/ops/swaps.csv", asked),
        next_url=link("/ops/swaps", asked, before=f"{rows[-1].created_ms}.{rows[-1].id}")
        if more
        else "",
    )


@router.get("/swaps.csv", dependencies=[needs(Permission.SEE_SWAPS, narrows=True, cabinets=True)])
async def swaps_csv(request: Request, asked: Asked) -> Response:
    """The same, all of them, as a table."""
    wanted = replace(await _filter(request, asked), limit=PAGE_ROWS)
    desk = charts_of(request).desk

    async def fetch(last: SwapRow | None) -> list[SwapRow]:
        before = None if last is None else (last.created_ms, last.id)
        return await desk.swaps(replace(wanted, before=before))

    return csv_response("swaps", _HEADER, paged(fetch, _cells))


@router.get("/swaps/{swap_id}", dependencies=[needs(Permission.SEE_SWAPS)])
async def swap(request: Request, swap_id: str) -> Response:
    """One swap: its steps with their times, what moved, who asked for what."""
    web, desk = web_of(request), charts_of(request).desk
    rows = await desk.swaps(SwapFilter(swap=swap_id[:SHORT], limit=1))
    if not rows:
        raise NotFoundError(f"no swap {swap_id}")
    found = rows[0]
    events = await desk.swap_events(found)
    try:
        charge = await web.membership.charge_of(found.id) if web.membership else None
    except FleetError:
        charge = None
    texts = web.catalogue(request)
    return page(
        request,
        "ops_swap.html",
        css=OPS_CSS,
        operator=True,
        s=found,
        v=await web.swaps.get(found.id),
        flags=[texts.flag(each) for each in found.flags],
        falls=waterfall(events),
        orders=[each for each in events if each.what in ("order", "answer")],
        charge=charge,
        width=WIDTH,
        left=LEFT,
    )


async def _filter(request: Request, asked: dict[str, str]) -> SwapFilter:
    zone = zone_of(request)
    return SwapFilter(
        swap=asked["q"].strip(),
        cabinet=asked["cabinet"].strip(),
        rider=asked["rider"].strip(),
        kind=asked["kind"] if asked["kind"] in _KINDS else "",
        outcome=asked["outcome"] if asked["outcome"] in OUTCOMES else "",
        reason=asked["reason"].strip(),
        flagged=asked["flagged"] == "1",
        since_ms=day_ms(asked["since"], zone, "since"),
        until_ms=day_ms(asked["until"], zone, "until", end=True),
        cabinets=await cabinets_known(request),
    )


def _cells(row: SwapRow) -> list[Cell]:
    return [
        row.id, row.cabinet_id, row.rider_id, row.kind, row.step, row.open, row.slot_in,
        row.slot_out, row.reason, " ".join(row.flags), row.authority, row.created_ms,
        row.updated_ms,
    ]  # fmt: skip
