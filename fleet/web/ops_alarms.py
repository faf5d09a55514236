"""The operator's page of alarms: what stands, since when, what to do, who looks after it."""

from __future__ import annotations

from heapq import nsmallest
from typing import Annotated, Final

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.access import Permission
from fleet.core.balance.versions import REASON_CHARS_MAX
from fleet.core.console import GROUPS, PLACE_OF_MARK, Mark, Row, read_query
from fleet.core.desk import OFFLINE, StandingAlarm
from fleet.errors import FleetError, InvalidError, NotFoundError, RefusedError
from fleet.web.access import need_staff, needs
from fleet.web.csv_out import Cell, csv_response, each_of
from fleet.web.i18n import Catalogue
from fleet.web.ops_lists import SHORT, actor_of, bounded, charts_of, link
from fleet.web.pages import OPS_CSS, explained, page, web_of

router = APIRouter(prefix="/ops", include_in_schema=False)

Text = Annotated[str, Query(max_length=SHORT)]
SEE_OTHER: Final = 303
CABINETS_MAX: Final = 2_000  # of which alarms are worked out for one page
_WELL: Final = frozenset({Mark.OK, Mark.SHORT})
_NOTED: Final = ("yes", "no")
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


@router.get("/alarms", dependencies=[needs(Permission.SEE_ALARMS, narrows=True)])
async def alarms(
    request: Request, code: Text = "", cabinet: Text = "", noted: Text = ""
) -> Response:
    """What stands, the gravest first."""
    return await _page(request, {"code": code, "cabinet": cabinet, "noted": noted})


async def _page(
    request: Request, asked: dict[str, str], error: FleetError | None = None
) -> Response:
    web = web_of(request)
    texts = web.catalogue(request)
    found, left_out = await _standing(request, asked)
    everything = found if not asked["code"] else (await _standing(request, {}))[0]
    return page(
        request,
        "ops_alarms.html",
        status=error.status if error else 200,
        css=OPS_CSS,
        operator=True,
        rows=[(each, alarm_name(texts, each.code), advice_on(texts, each.code)) for each in found],
        left_out=left_out,
        codes=sorted({each.code for each in everything} | ({asked["code"]} - {""})),
        asked=asked,
        now_ms=web.clock.wall_ms(),
        csv_url=link("/ops/alarms.csv", asked),
        by_link=(await need_staff(request)).shared,
        reason_max=REASON_CHARS_MAX,
        notice=explained(texts, error) if error else None,
    )


@router.get("/alarms.csv", dependencies=[needs(Permission.SEE_ALARMS, narrows=True)])
async def alarms_csv(
    request: Request, code: Text = "", cabinet: Text = "", noted: Text = ""
) -> Response:
    """The same as a table."""
    asked = {"code": code, "cabinet": cabinet, "noted": noted}
    found, _ = await _standing(request, asked)
    header = (
        "cabinet", "code", "slot", "severity", "since_ms", "online", "noted_by", "noted_ms", "note",
    )  # fmt: skip
    return csv_response("alarms", header, each_of([_cells(each) for each in found]))


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
        view = await web_of(request).cabinets.get(cabinet_id)
        number = int(slot) if slot.isdigit() else None
        text = " ".join(reason.split())
        await charts_of(request).alarms.note(view, code, number, reason=text, actor=actor)
    except (InvalidError, NotFoundError, RefusedError) as error:
        return await _page(request, {"code": "", "cabinet": "", "noted": ""}, error)
    return RedirectResponse("/ops/alarms", SEE_OTHER)


def alarm_name(texts: Catalogue, code: str) -> str:
    """An alarm in words; of a silent device, which."""
    if code == OFFLINE:
        return texts.text("desk.offline")
    if code.startswith("offline-"):
        return texts.text("desk.device-offline", device=code.removeprefix("offline-"))
    return texts.alarm(code)


def advice_on(texts: Catalogue, code: str) -> str:
    """What the operator does about it."""
    kind = "device" if code.startswith("offline-") else _ADVICE_OF.get(code, "other")
    return texts.text(f"desk.advice-{kind}")


async def _standing(request: Request, asked: dict[str, str]) -> tuple[list[StandingAlarm], int]:
    await bounded(request)
    web, bound = web_of(request), (await need_staff(request)).scope.stations
    query = read_query({"q": asked.get("cabinet", "")})
    rows = [row for row in web.console.rows(query, bound) if row.mark not in _WELL]
    # In a night when half of the fleet is silent, the one that burns must not stand beyond the end.
    shown = nsmallest(CABINETS_MAX, rows, key=_gravity)
    cabinets = [await web.cabinets.get(row.brief.id) for row in shown]
    found, left_out = await charts_of(request).alarms.standing(cabinets)
    left_out += sum(map(_alarms_of, rows)) - sum(map(_alarms_of, shown))
    code, noted = asked.get("code", ""), asked.get("noted", "")
    if code:
        found = [each for each in found if each.code == code]
    if noted in _NOTED:
        found = [each for each in found if (each.note is not None) == (noted == "yes")]
    return found, left_out


def _gravity(row: Row) -> tuple[bool, bool, int]:
    """What keeps doors shut first, then whoever tells an alarm or told one before falling silent."""
    return not row.brief.doors_shut, not row.brief.alarms, PLACE_OF_MARK[row.mark]


def _alarms_of(row: Row) -> int:
    """How many alarms a cabinet has, its silence among them."""
    return len(row.brief.alarms) + (row.mark in GROUPS["silent"])


def _cells(each: StandingAlarm) -> list[Cell]:
    note_ = each.note
    return [
        each.cabinet_id, each.code, each.slot, each.severity, each.since_ms, each.online,
        note_.actor if note_ else None, note_.at_ms if note_ else None,
        note_.reason if note_ else None,
    ]  # fmt: skip
