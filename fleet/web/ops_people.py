"""The operator's pages of people: riders, partners, plans; and of tickets and battery moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.access import Permission
from fleet.core.balance.moves import MoveView
from fleet.core.balance.versions import REASON_CHARS_MAX
from fleet.core.console import PAGES_MAX, one_page
from fleet.core.desk import RiderFilter, RiderRow, SwapFilter
from fleet.core.phones import check_phone
from fleet.core.reports import ANSWERED, CLOSED, OPEN, ReportView, TicketFilter, Topic
from fleet.errors import FleetError, InvalidError
from fleet.web.access import cabinets_known, need_staff, needs
from fleet.web.api_balance import balance_of
from fleet.web.area import reports_of
from fleet.web.csv_out import PAGE_ROWS, Cell, csv_response, each_of, paged
from fleet.web.ops_lists import SHORT, actor_of, charts_of, link, pager, place_of_row
from fleet.web.ops_views import view_bar
from fleet.web.pages import OPS_CSS, explained, page, web_of

router = APIRouter(prefix="/ops", include_in_schema=False)

SEE_OTHER: Final = 303
SWAPS_SHOWN: Final = 20
STATES: Final = (OPEN, ANSWERED, CLOSED)
TOPICS: Final = tuple(topic.value for topic in Topic)
Text = Annotated[str, Query(max_length=SHORT)]
Reason = Annotated[str, Form(max_length=2 * REASON_CHARS_MAX)]
Staff = Annotated[str, Form(max_length=SHORT)]


@router.get("/riders", dependencies=[needs(Permission.SEE_RIDERS)])
async def riders(request: Request, q: Text = "", blocked: Text = "", after: Text = "") -> Response:
    """Riders by id."""
    asked = {"q": q, "blocked": blocked}
    wanted = RiderFilter(query=q.strip(), blocked=blocked == "1", after=after)
    rows = await charts_of(request).desk.riders(wanted)
    more = len(rows) == wanted.limit
    return page(
        request,
        "ops_riders.html",
        css=OPS_CSS,
        operator=True,
        rows=rows,
        asked=asked,
        csv_url=link("/ops/riders.csv", asked),
        next_url=link("/ops/riders", asked, after=rows[-1].id) if more else "",
    )


@router.get("/riders.csv", dependencies=[needs(Permission.SEE_RIDERS)])
async def riders_csv(request: Request, q: Text = "", blocked: Text = "") -> Response:
    """The same, all of them, as a table."""
    first = RiderFilter(query=q.strip(), blocked=blocked == "1", limit=PAGE_ROWS)
    desk = charts_of(request).desk

    async def fetch(last: RiderRow | None) -> list[RiderRow]:
        return await desk.riders(replace(first, after=last.id if last else ""))

    def cells(row: RiderRow) -> list[Cell]:
        tail, why = row.phone_tail, row.denied_reason
        return [row.id, row.number, tail, row.created_ms, row.denied, why, row.packs]

    header = ("id", "number", "phone_tail", "created_ms", "blocked", "reason", "packs")
    return csv_response("riders", header, paged(fetch, cells))


@router.post("/riders/find", dependencies=[needs(Permission.SEE_RIDERS)])
async def find_rider(
    request: Request, q: Staff = "", blocked: Annotated[str, Form()] = ""
) -> Response:
    """To the rider of a phone number, which no address and no log may hold; else to the list."""
    if _is_phone(q):
        found = await web_of(request).riders.by_phone(_phone(q), create=False)
        target = f"/ops/riders/{found.id}" if found else "/ops/riders?q=none"
    else:
        asked = {"q": q.strip(), "blocked": "1" if blocked == "1" else ""}
        target = link("/ops/riders", asked)
    return RedirectResponse(target, SEE_OTHER)


@router.get("/riders/{rider_id}", dependencies=[needs(Permission.SEE_RIDERS)])
async def rider(request: Request, rider_id: str) -> Response:
    """One rider: packs, plan, last swaps; to block and to let again."""
    return await _rider_page(request, rider_id)


async def _rider_page(request: Request, rider_id: str, error: FleetError | None = None) -> Response:
    web = web_of(request)
    found = await web.riders.get(rider_id[:SHORT])
    plan = await web.membership.plan_of(found.id) if web.membership else None
    wanted = SwapFilter(rider=found.id, limit=SWAPS_SHOWN)
    return page(
        request,
        "ops_rider.html",
        status=error.status if error else 200,
        css=OPS_CSS,
        operator=True,
        r=found,
        plan=plan,
        swaps=await charts_of(request).desk.swaps(wanted),
        by_link=(await need_staff(request)).shared,
        reason_max=REASON_CHARS_MAX,
        notice=explained(web.catalogue(request), error) if error else None,
    )


@router.post("/riders/{rider_id}/judge", dependencies=[needs(Permission.EDIT_RIDERS)])
async def judge_rider(
    request: Request,
    rider_id: str,
    what: Annotated[str, Form(max_length=8)],
    reason: Reason = "",
    staff: Staff = "",
) -> Response:
    """Block a rider everywhere, or end it."""
    try:
        denied = _either(what, "block", "allow")
        actor = await actor_of(request, staff)
        text = " ".join(reason.split())
        await charts_of(request).desk.judge_rider(rider_id, text, actor, denied=denied)
    except InvalidError as error:
        return await _rider_page(request, rider_id, error)
    return RedirectResponse(f"/ops/riders/{rider_id}", SEE_OTHER)


@router.get("/partners", dependencies=[needs(Permission.SEE_PARTNERS, narrows=True)])
async def partners(request: Request) -> Response:
    """Partners with what their riders used in the last 24 hours."""
    return await _partners_page(request)


async def _partners_page(request: Request, error: FleetError | None = None) -> Response:
    who = await need_staff(request)
    known = who.scope.partners
    found = [
        each
        for each in await charts_of(request).desk.partners()
        if known is None or each.id in known
    ]
    return page(
        request,
        "ops_partners.html",
        status=error.status if error else 200,
        css=OPS_CSS,
        operator=True,
        rows=found,
        by_link=who.shared,
        reason_max=REASON_CHARS_MAX,
        notice=explained(web_of(request).catalogue(request), error) if error else None,
    )


@router.post("/partners/{partner_id}/judge", dependencies=[needs(Permission.EDIT_PARTNERS)])
async def judge_partner(
    request: Request,
    partner_id: str,
    what: Annotated[str, Form(max_length=8)],
    reason: Reason = "",
    staff: Staff = "",
) -> Response:
    """Let a partner's riders take no more packs, or again."""
    try:
        off = _either(what, "off", "on")
        actor = await actor_of(request, staff)
        text = " ".join(reason.split())
        await charts_of(request).desk.judge_partner(partner_id, text, actor, off=off)
    except InvalidError as error:
        return await _partners_page(request, error)
    return RedirectResponse("/ops/partners", SEE_OTHER)


@router.get("/plans", dependencies=[needs(Permission.SEE_PLANS)])
async def plans(request: Request) -> Response:
    """Plans that riders swap by."""
    rows = await charts_of(request).desk.plans()
    return page(request, "ops_plans.html", css=OPS_CSS, operator=True, rows=rows)


@router.get("/plans.csv", dependencies=[needs(Permission.SEE_PLANS)])
async def plans_csv(request: Request) -> Response:
    """The same as a table."""
    header = (
        "id", "name_zh", "name_en", "per", "price_minor", "currency", "quota", "days", "default",
        "riders",
    )  # fmt: skip
    rows: list[list[Cell]] = [
        [each.id, each.name_zh, each.name_en, each.per, each.price_minor, each.currency,
         each.quota, each.days, each.is_default, count]
        for each, count in await charts_of(request).desk.plans()
    ]  # fmt: skip
    return csv_response("plans", header, each_of(rows))


@router.get("/tickets", dependencies=[needs(Permission.SEE_REPORTS, narrows=True, cabinets=True)])
async def tickets(
    request: Request, state: Text = "open", topic: Text = "", cabinet: Text = "", after: Text = ""
) -> Response:
    """What riders reported, with filters, a page at a time."""
    asked = {"state": state, "topic": topic, "cabinet": cabinet}
    wanted = replace(await _tickets(request, asked), after=place_of_row(after))
    rows = await reports_of(request).tickets(wanted)
    more = len(rows) == wanted.limit
    return page(
        request,
        "ops_tickets.html",
        view_bar=await view_bar(request, "tickets"),
        css=OPS_CSS,
        operator=True,
        rows=rows,
        asked=asked,
        topics=TOPICS,
        csv_url=link("/ops/tickets.csv", asked),
        next_url=link("/ops/tickets", asked, after=f"{rows[-1].created_ms}.{rows[-1].id}")
        if more
        else "",
    )


@router.get(
    "/tickets.csv", dependencies=[needs(Permission.SEE_REPORTS, narrows=True, cabinets=True)]
)
async def tickets_csv(
    request: Request, state: Text = "open", topic: Text = "", cabinet: Text = ""
) -> Response:
    """The same, all of them, as a table."""
    asked = {"state": state, "topic": topic, "cabinet": cabinet}
    wanted, port = replace(await _tickets(request, asked), limit=PAGE_ROWS), reports_of(request)

    async def fetch(last: ReportView | None) -> list[ReportView]:
        after = None if last is None else (last.created_ms, last.id)
        return await port.tickets(replace(wanted, after=after))

    header = (
        "id", "created_ms", "topic", "state", "place", "cabinet", "station", "swap", "text",
        "answered_by", "answered_ms", "answer",
    )  # fmt: skip
    return csv_response("tickets", header, paged(fetch, _ticket_cells))


def _ticket_cells(row: ReportView) -> list[Cell]:
    return [
        row.id, row.created_ms, row.topic.value, row.state, row.place, row.cabinet_id,
        row.station_id, row.swap_id, row.text, row.answered_by, row.answered_ms, row.answer,
    ]  # fmt: skip


async def _tickets(request: Request, asked: dict[str, str]) -> TicketFilter:
    known, who = await cabinets_known(request), await need_staff(request)
    return TicketFilter(
        state=asked["state"] if asked["state"] in STATES else "",
        topic=asked["topic"] if asked["topic"] in TOPICS else "",
        cabinet=asked["cabinet"].strip(),
        places=None if known is None else (known, who.scope.stations or frozenset()),
    )


@router.get("/moves", dependencies=[needs(Permission.SEE_BALANCE)])
async def moves(
    request: Request,
    cabinet: Text = "",
    why: Text = "",
    page_no: Annotated[int, Query(alias="page", ge=1, le=PAGES_MAX)] = 1,
) -> Response:
    """Batteries to carry, by the plan that holds, a page at a time."""
    asked = {"cabinet": cabinet, "why": why}
    view = await balance_of(request).moves()
    found = _chosen(view.moves, asked)
    rows, page_no, pages = one_page(found, page_no)
    return page(
        request,
        "ops_moves.html",
        css=OPS_CSS,
        operator=True,
        carried=view,
        rows=rows,
        total=len(found),
        asked=asked,
        csv_url=link("/ops/moves.csv", asked),
        pager=pager("/ops/moves", asked, page_no, pages),
    )


@router.get("/moves.csv", dependencies=[needs(Permission.SEE_BALANCE)])
async def moves_csv(request: Request, cabinet: Text = "", why: Text = "") -> Response:
    """The same as a table."""
    view = await balance_of(request).moves()
    rows: list[list[Cell]] = [
        [each.giver, each.taker, each.packs, each.by_ms, each.distance_m, each.why, each.lost]
        for each in _chosen(view.moves, {"cabinet": cabinet, "why": why})
    ]
    header = ("giver", "taker", "packs", "by_ms", "distance_m", "why", "lost_riders")
    return csv_response("moves", header, each_of(rows))


def _chosen(found: tuple[MoveView, ...], asked: dict[str, str]) -> list[MoveView]:
    cabinet = asked["cabinet"].strip()
    return [
        each
        for each in found
        if cabinet in ("", each.giver, each.taker) and asked["why"] in ("", each.why)
    ]


def _is_phone(text: str) -> bool:
    try:
        _phone(text)
    except InvalidError:
        return False
    return True


def _phone(text: str) -> str:
    plain = "".join(text.split())
    if plain.isdigit() and len(plain) == 11:
        plain = f"+86{plain}"
    if not plain.startswith("+"):
        raise InvalidError("phone: expected + and the country's code")
    return check_phone(plain)


def _either(what: str, yes: str, no: str) -> bool:
    if what not in (yes, no):
        raise InvalidError(f"what: is {what[:20]!r}, expected {yes} or {no}")
    return what == yes
