"""The operator's page of alarms: what stands, since when, what to do, who looks after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.access import Permission
from fleet.core.balance.versions import REASON_CHARS_MAX
from fleet.core.console import PAGES_MAX, Row, read_query
from fleet.core.desk import OFFLINE, AlarmFilter, StandingAlarm
from fleet.errors import FleetError, InvalidError, NotFoundError, RefusedError
from fleet.web.access import need_staff, needs
from fleet.web.csv_out import Cell, csv_response
from fleet.web.i18n import Catalogue
from fleet.web.ops_lists import SHORT, actor_of, charts_of, link, pager
from fleet.web.ops_views import view_bar
from fleet.web.pages import OPS_CSS, explained, page, web_of

router = APIRouter(prefix="/ops", include_in_schema=False)

Text = Annotated[str, Query(max_length=SHORT)]
SEE_OTHER: Final = 303
_NOTED: Final = {"yes": True, "no": False}
#: What to do about an alarm, by what it is about.
_ADVICE: Final = {
    "fire": ("smoke", "fire", "heat", "smoke-unknown"),
    "stop": ("e-stop", "e-stop-unknown"),
    "water": ("flood",),
    "service": ("service-door",),
    "hot": ("over-temperature", "slot-air-trip", "slot-air-warm", "temperature-rise", "cell-hot",
            "cell-warm", "cell-cold"),
    "pack": ("cell-over-voltage", "cell-under-voltage", "wrong-pack", "bms-silent",
             "bms-protection", "no-serial", "foreign", "duplicate", "denied", "unidentified",
             "quarantine"),
    "charger": ("charger-silent", "charger-stray", "charger-protection", "over-power"),
    "door": ("door-left-open", "door-stuck", "locked", "slot-occupied"),
    "moved": ("battery-appeared", "battery-vanished"),
    "store": ("store",),
    "keypad": ("keypad-locked",),
    "offline": (OFFLINE,),
}  # fmt: skip
_ADVICE_OF: Final = {code: key for key, codes in _ADVICE.items() for code in codes}


@router.get("/alarms", dependencies=[needs(Permission.SEE_ALARMS, narrows=True, cabinets=True)])
async def alarms(
    request: Request,
    code: Text = "",
    cabinet: Text = "",
    noted: Text = "",
    page_no: Annotated[int, Query(alias="page", ge=1, le=PAGES_MAX)] = 1,
) -> Response:
    """What stands, the gravest first, a page at a time."""
    return await _page(request, {"code": code, "cabinet": cabinet, "noted": noted}, page_no)


async def _page(
    request: Request, asked: dict[str, str], page_no: int = 1, error: FleetError | None = None
) -> Response:
    web = web_of(request)
    texts = web.catalogue(request)
    rows = await _rows(request, asked)
    found = await charts_of(request).alarms.page(rows, replace(_wanted(asked), page=page_no))
    codes = {each: alarm_name(texts, each) for each in (*found.codes, asked["code"]) if each}
    return page(
        request,
        "ops_alarms.html",
        view_bar=await view_bar(request, "alarms"),
        status=error.status if error else 200,
        css=OPS_CSS,
        operator=True,
        rows=[
            (each, alarm_name(texts, each.code), advice_on(texts, each.code)) for each in found.rows
        ],
        total=found.total,
        codes=sorted(codes.items()),
        asked=asked,
        filtered=any(asked.values()),
        now_ms=web.clock.wall_ms(),
        csv_url=link("/ops/alarms.csv", asked),
        pager=pager("/ops/alarms", asked, found.page, found.pages),
        by_link=(await need_staff(request)).shared,
        reason_max=REASON_CHARS_MAX,
        notice=explained(texts, error) if error else None,
    )


@router.get("/alarms.csv", dependencies=[needs(Permission.SEE_ALARMS, narrows=True, cabinets=True)])
async def alarms_csv(
    request: Request, code: Text = "", cabinet: Text = "", noted: Text = ""
) -> Response:
    """The same, all of them, as a table."""
    asked = {"code": code, "cabinet": cabinet, "noted": noted}
    every = charts_of(request).alarms.every(await _rows(request, asked), _wanted(asked))

    async def rows() -> AsyncIterator[list[Cell]]:
        async for each in every:
            yield _cells(each)

    header = (
        "cabinet", "code", "slot", "severity", "since_ms", "online", "noted_by", "noted_ms", "note",
    )  # fmt: skip
    return csv_response("alarms", header, rows())


@router.post(
    "/cabinets/{cabinet_id}/alarms/{code}/note", dependencies=[needs(Permission.NOTE_ALARMS)]
)
async def note(  # noqa: PLR0917 - the fields of one form
    request: Request,
    cabinet_id: str,
    code: str,
    reason: Annotated[str, Form(max_length=2 * REASON_CHARS_MAX)] = "",
    slot: Annotated[str, Form(max_length=3)] = "",
    staff: Annotated[str, Form(max_length=SHORT)] = "",
) -> Response:
    """Say that it is being looked after."""
    try:
        actor = await actor_of(request, staff)
        row = _row(request, cabinet_id)
        number = int(slot) if slot.isdecimal() else None
        text = " ".join(reason.split())
        await charts_of(request).alarms.note(row, code, number, reason=text, actor=actor)
    except (InvalidError, NotFoundError, RefusedError) as error:
        return await _page(request, {"code": "", "cabinet": "", "noted": ""}, error=error)
    return RedirectResponse("/ops/alarms", SEE_OTHER)


def alarm_name(texts: Catalogue, code: str) -> str:
    """An alarm in words; of a cabinet that is silent, that it is."""
    return texts.text("desk.offline") if code == OFFLINE else texts.alarm(code)


def advice_on(texts: Catalogue, code: str) -> str:
    """What the operator does about it."""
    kind = "device" if code.startswith("offline-") else _ADVICE_OF.get(code, "other")
    return texts.text(f"desk.advice-{kind}")


def _row(request: Request, cabinet_id: str) -> Row:
    row = web_of(request).console.row(cabinet_id)
    if row is None:
        raise NotFoundError(f"no cabinet {cabinet_id}")
    return row


async def _rows(request: Request, asked: dict[str, str]) -> list[Row]:
    bound = (await need_staff(request)).scope.stations
    return web_of(request).console.unwell(read_query({"q": asked["cabinet"]}), bound)


def _wanted(asked: dict[str, str]) -> AlarmFilter:
    return AlarmFilter(code=asked["code"], noted=_NOTED.get(asked["noted"]))


def _cells(each: StandingAlarm) -> list[Cell]:
    note_ = each.note
    return [
        each.cabinet_id, each.code, each.slot, each.severity, each.since_ms, each.online,
        note_.actor if note_ else None, note_.at_ms if note_ else None,
        note_.reason if note_ else None,
    ]  # fmt: skip
