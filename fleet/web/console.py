"""The operator's overview, the list of cabinets with its export, and the search over everything."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import groupby, islice
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi import Query as Parameter
from starlette.responses import RedirectResponse, Response, StreamingResponse

from fleet.core.access import Permission
from fleet.core.console import GROUPS, MARKS, PLACE_OF_MARK, TEXT_MAX, Query, Row, read_query
from fleet.core.console_views import Find
from fleet.web.access import cabinets_known, need_staff, needs, permitted
from fleet.web.i18n import Catalogue
from fleet.web.ops_views import view_bar
from fleet.web.pages import MAP_SCRIPT, OPS_CSS, Part, Web, in_page, page, part, web_of

router = APIRouter(prefix="/ops", include_in_schema=False)

SEE_OTHER: Final = 303
FLAGGED_MAX: Final = 10
WORST_MAX: Final = 8
CSV_ROWS: Final = 500  # in one piece; other requests are served between two
SEARCH_MIN: Final = 2
#: What a search needs beyond seeing cabinets, by what it finds.
FIND_NEEDS: Final = {
    "battery": Permission.SEE_CABINETS,
    "swap": Permission.SEE_SWAPS,
    "rider": Permission.SEE_RIDERS,
}
COLUMNS: Final = (
    "id", "name", "station", "station_name", "state", "age_s", "full", "empty", "slots", "power_w",
    "limit_w", "temp_c", "alarms", "lat", "lon",
)  # fmt: skip
_AT: Final = re.compile(r"-?[0-9]{1,2}\.[0-9]{1,5},-?[0-9]{1,3}\.[0-9]{1,5},[0-9]{1,8}")
#: A spreadsheet would take a cell that begins so for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Sorting:
    """The head of a column: its link, and how the list stands by it now."""

    name: str
    url: str
    aria: str  # ascending, descending, none


@router.get("", dependencies=[needs(Permission.SEE_CABINETS, narrows=True)])
async def overview(request: Request) -> Response:
    """The fleet in figures, on a map, and what wants attention first."""
    web, bound = web_of(request), await bound_of(request)
    texts, whole = web.catalogue(request), (await need_staff(request)).scope.whole
    only = read_query({"state": request.query_params.get("state", "")}).state
    worst = web.console.listed(Query(state="trouble", sort="state"), bound)
    flagged = await web.swaps.flagged(FLAGGED_MAX) if whole else []
    known = await cabinets_known(request)
    sees_orders = web.asks is not None and await permitted(request, Permission.SEE_ORDERS)
    asks = await web.asks.waiting() if web.asks is not None and sees_orders else []
    return page(
        request,
        "ops.html",
        view_bar=await view_bar(request, "map"),
        css=OPS_CSS,
        js_urls=[MAP_SCRIPT.url],
        operator=True,
        whole=whole,
        counts=web.console.counts(bound),
        marks=MARKS,
        groups=GROUPS,
        only=only,
        shown=[PLACE_OF_MARK[each] for each in MARKS if each in GROUPS.get(only, MARKS)],
        at=_viewport(request.query_params.get("at", "")),
        tiles=web.config.tiles,
        day_part=in_page(await day_part(web, texts)) if whole else None,
        flagged=[(swap, [texts.flag(each) for each in swap.flags]) for swap in flagged],
        asks=[each for each in asks if known is None or each.cabinet_id in known],
        worst=worst.rows[:WORST_MAX],
        worst_total=worst.total,
    )


def _viewport(text: str) -> str:
    """Where the map is opened: latitude, longitude and scale; empty for all of it."""
    return text if _AT.fullmatch(text) else ""


async def day_part(web: Web, texts: Catalogue) -> Part:
    """What the day has brought so far; a figure that is not known says so."""
    since_ms = midnight_ms(web)
    return part(
        texts,
        web.config,
        "_ops_day.html",
        swaps=await web.records.swap_day(since_ms),
        energy=await web.records.energy_day(),
    )


def midnight_ms(web: Web) -> int:
    """When the operator's day began."""
    now: datetime = datetime.fromtimestamp(web.clock.wall_ms() / 1_000, UTC)
    local = now.astimezone(ZoneInfo(web.config.timezone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return int(midnight.timestamp() * 1_000)


async def bound_of(request: Request) -> frozenset[str] | None:
    """The stations that who asks is bound to; None: not bound."""
    return (await need_staff(request)).scope.stations


@router.get("/cabinets", dependencies=[needs(Permission.SEE_CABINETS, narrows=True)])
async def cabinets(request: Request) -> Response:
    """The list: filtered and sorted by its URL, which therefore is a saved view."""
    web, bound = web_of(request), await bound_of(request)
    query = read_query(request.query_params)
    listing = web.console.listed(query, bound)
    stations = [each for each in web.console.stations() if bound is None or each[0] in bound]
    params = query.params(page=1)
    live = urlencode({"ids": ",".join(row.brief.id for row in listing.rows)})
    return page(
        request,
        "ops_cabinets.html",
        view_bar=await view_bar(request, "cabinets"),
        css=OPS_CSS,
        operator=True,
        query=query,
        listing=listing,
        counted=web.console.counts(bound).total,
        rows=[(row, in_page(row_part(web, web.catalogue(request), row))) for row in listing.rows],
        sortings=sortings(query),
        stations=stations,
        groups=GROUPS,
        text_max=TEXT_MAX,
        live=live,
        csv_url="/ops/cabinets.csv?" + urlencode(params),
        before_url=_url(query, page=listing.page - 1) if listing.page > 1 else "",
        after_url=_url(query, page=listing.page + 1) if listing.page < listing.pages else "",
    )


def row_part(web: Web, texts: Catalogue, row: Row) -> Part:
    """One line of the list."""
    return part(texts, web.config, "_ops_row.html", row=row, b=row.brief)


def sortings(query: Query) -> dict[str, Sorting]:
    """The heads of the columns; a click on the sorted one turns it round."""
    heads = {}
    for name in ("id", "name", "station", "state", "full", "empty", "power", "temp", "age"):
        up, down = query.sort == name, query.sort == f"-{name}"
        aria = "ascending" if up else "descending" if down else "none"
        heads[name] = Sorting(name, _url(query, sort=f"-{name}" if up else name, page=1), aria)
    return heads


def _url(query: Query, **changed: str | int) -> str:
    return "/ops/cabinets?" + urlencode(query.params(**changed))


@router.get("/cabinets.csv", dependencies=[needs(Permission.SEE_CABINETS, narrows=True)])
async def cabinets_csv(request: Request) -> Response:
    """The whole list of the same query, row by row as it is written."""
    web, bound = web_of(request), await bound_of(request)
    rows = web.console.rows(read_query(request.query_params), bound)

    async def lines() -> AsyncIterator[str]:
        yield "\ufeff" + _csv([COLUMNS])  # so that spreadsheets take it for UTF-8
        while some := list(islice(rows, CSV_ROWS)):
            yield _csv(_cells(row) for row in some)
            await web.clock.sleep(0)

    return StreamingResponse(
        lines(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="cabinets.csv"'},
    )


def _cells(row: Row) -> list[Any]:
    b = row.brief
    age_s = None if row.age_ms is None else row.age_ms // 1_000
    values = (
        b.id, b.name, b.station, b.station_name, row.mark.value, age_s, b.full, b.empty, b.slots,
        b.power_w, b.limit_w, b.temp_c, " ".join(b.alarms), b.lat, b.lon,
    )  # fmt: skip
    return [f"'{each}" if isinstance(each, str) and each.startswith(_FORMULA) else each for each in values]  # fmt: skip


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


@router.get("/search", dependencies=[needs(Permission.SEE_CABINETS, narrows=True)])
async def search(request: Request, q: Annotated[str, Parameter(max_length=200)] = "") -> Response:
    """One box for everything. A cabinet's whole id goes there at once."""
    web, bound, text = web_of(request), await bound_of(request), q.strip()[:TEXT_MAX]
    found: list[Find] = []
    if len(text) >= SEARCH_MIN:
        exact = web.console.row(text.upper())
        if exact is not None and (bound is None or exact.brief.station in bound):
            return RedirectResponse(f"/ops/cabinets/{exact.brief.id}", SEE_OTHER)
        found = await _finds(request, text, bound)
    groups = {kind: list(some) for kind, some in groupby(found, key=lambda each: each.kind)}
    return page(
        request,
        "ops_search.html",
        css=OPS_CSS,
        operator=True,
        text=text,
        short=len(text) < SEARCH_MIN,
        groups=groups,
        link=partial(link_of, desk=web.charts is not None),
    )


async def _finds(request: Request, text: str, bound: frozenset[str] | None) -> list[Find]:
    """What who asks may know of. Packs, orders and riders belong to no station."""
    web = web_of(request)
    if not (await need_staff(request)).scope.whole:
        rows = web.console.listed(Query(q=text), bound).rows
        return [
            Find(kind="cabinet", id=r.brief.id, title=r.brief.name, detail=r.mark.value)
            for r in rows
        ]
    allowed = {kind: await permitted(request, need) for kind, need in FIND_NEEDS.items()}
    return [each for each in await web.records.search(text) if allowed.get(each.kind, True)]


def link_of(find: Find, *, desk: bool) -> str:
    """Where a find leads; empty where there is no page of it."""
    name = quote(find.id, safe="")
    there: Mapping[str, str] = {
        "cabinet": f"/ops/cabinets/{name}",
        "station": f"/ops/cabinets?{urlencode({'station': find.id})}",
        "swap": f"/ops/swaps/{name}" if desk else f"/s/{name}",
        "battery": f"/ops/packs/{name}" if desk else "",
        "rider": f"/ops/riders/{name}" if desk else "",
    }
    return there[find.kind]
