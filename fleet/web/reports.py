"""Riders' reports (随手报): filing one with a picture, reading the answer; operators answering."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Path, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import RedirectResponse, Response

from fleet.core.access import AtStation, Permission, acting, may
from fleet.core.photos import PHOTO_BYTES_MAX
from fleet.core.reports import PLACE_CHARS_MAX, TEXT_CHARS_MAX, ReportView, Topic
from fleet.core.stations import amenity_state
from fleet.errors import DeniedError, FleetError, InvalidError, LimitedError
from fleet.web.access import need_staff, needs, permitted, place_of
from fleet.web.area import picture, reports_of, stations_of
from fleet.web.orders import STAFF_COOKIE, STAFF_COOKIE_AGE_S
from fleet.web.pages import OPS_CSS, PHOTO_SCRIPT, explained, page, web_of
from fleet.web.rider import SEE_OTHER
from fleet.web.security import LoginRequiredError
from fleet.web.sessions import need_rider, rider_of

router = APIRouter(include_in_schema=False)

AmenityNumber = Annotated[int, Path(ge=1, le=2**53)]
FILE_PATH: Final = "/reports"
#: The form around a picture is small.
FORM_BYTES_MAX: Final = PHOTO_BYTES_MAX + 64 * 1024
FIELDS_MAX: Final = 10
FIELD_BYTES_MAX: Final = 16 * 1024
#: A rider chooses among these; restocking has a button of its own.
TOPICS: Final = tuple(topic for topic in Topic if topic is not Topic.RESTOCK)


@router.get("/reports")
async def my_reports(request: Request) -> Response:
    """The rider's reports and their answers."""
    rider_id = await need_rider(request)
    return page(request, "reports.html", reports=await reports_of(request).of_rider(rider_id))


@router.get("/reports/new")
async def new_report(
    request: Request, topic: str = "", station: str = "", cabinet: str = "", swap: str = ""
) -> Response:
    """The form; links from stations, cabinets and swaps fill it in."""
    if await rider_of(request) is None:
        query = urlencode({"next": f"/reports/new?{request.url.query}"[:200]})
        return RedirectResponse(f"/login?{query}", SEE_OTHER)
    given = {"topic": topic, "station": station, "cabinet": cabinet, "swap": swap}
    given["place"] = await _place(request, station, cabinet)
    return _form(request, {name: text[:PLACE_CHARS_MAX] for name, text in given.items()})


async def _place(request: Request, station: str, cabinet: str) -> str:
    """The name of where the rider came from; whatever the link says is only a proposal."""
    try:
        if station:
            return (await stations_of(request).get(station)).name
        if cabinet:
            return (await web_of(request).cabinets.get(cabinet)).name
    except FleetError:
        return ""
    return ""


def _form(request: Request, given: dict[str, str], error: FleetError | None = None) -> Response:
    texts = web_of(request).catalogue(request)
    return page(
        request,
        "report_form.html",
        status=error.status if error else 200,
        given={"topic": "", "place": "", "text": "", "station": "", "cabinet": "", "swap": ""}
        | given,
        topics=TOPICS,
        text_max=TEXT_CHARS_MAX,
        place_max=PLACE_CHARS_MAX,
        notice=explained(texts, error) if error else None,
        js_urls=[PHOTO_SCRIPT.url],
    )


@router.post(FILE_PATH)
async def file_report(request: Request) -> Response:
    """Take a report. Who is not logged in is turned away before the body is read."""
    rider_id = await need_rider(request)
    async with request.form(
        max_files=1, max_fields=FIELDS_MAX, max_part_size=FIELD_BYTES_MAX
    ) as form:
        given = {name: _text(form, name) for name in ("topic", "place", "text")}
        links = {name: _text(form, name) for name in ("station", "cabinet", "swap")}
        try:
            photo = await _photo(form)
            report = await reports_of(request).file(
                rider_id=rider_id,
                topic=given["topic"],
                place=given["place"],
                text=given["text"],
                photo=photo,
                station_id=links["station"] or None,
                cabinet_id=links["cabinet"] or None,
                swap_id=links["swap"] or None,
            )
        except (InvalidError, LimitedError) as error:
            return _form(request, given | links, error)
    return RedirectResponse(f"/reports/{report.id}", SEE_OTHER)


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    if not isinstance(value, str):
        raise InvalidError(f"{name}: expected text")
    return value


async def _photo(form: FormData) -> bytes | None:
    """The bytes that were sent as a picture; None when the field was left empty."""
    upload = form.get("photo")
    if not isinstance(upload, UploadFile):
        return None
    data = await upload.read(PHOTO_BYTES_MAX + 1)
    return data or None


@router.get("/reports/{report_id}")
async def report_page(request: Request, report_id: str) -> Response:
    """One report and its answer."""
    report = await _readable(request, report_id)
    return page(request, "report.html", r=report)


@router.get("/reports/{report_id}/photo")
async def report_photo(request: Request, report_id: str) -> Response:
    """Its picture, for its rider and for operators."""
    rider_id = await _reader(request)
    return picture(await reports_of(request).photo(report_id, rider_id=rider_id))


async def _readable(request: Request, report_id: str) -> ReportView:
    rider_id = await _reader(request)
    return await reports_of(request).get(report_id, rider_id=rider_id)


async def _reader(request: Request) -> str | None:
    """The rider who reads; None: an operator. Raise LoginRequiredError."""
    place = await place_of(request, "report_id", str(request.path_params["report_id"]))
    if await permitted(request, Permission.SEE_REPORTS, place):
        return None
    rider_id = await rider_of(request)
    if rider_id is None:
        raise LoginRequiredError("log in to see a report")
    return rider_id


# --- operators ----------------------------------------------------------------------------------


@router.get("/ops/stations", dependencies=[needs(Permission.SEE_STATIONS, narrows=True)])
async def ops_stations(request: Request) -> Response:
    """Every station with what it offers, and what is used up."""
    who = await need_staff(request)
    stations = [
        each
        for each in await stations_of(request).all()
        if may(who, Permission.SEE_STATIONS, AtStation(each.id))
    ]
    return page(request, "ops_stations.html", css=OPS_CSS, operator=True, stations=stations)


@router.post(
    "/ops/stations/{station_id}/amenities/{amenity}", dependencies=[needs(Permission.TEND_STATIONS)]
)
async def ops_amenity(
    request: Request, station_id: str, amenity: AmenityNumber, state: Annotated[str, Form()]
) -> Response:
    """Say how much is left; restocked, it answers those who reported it."""
    await stations_of(request).set_amenity(station_id, amenity, amenity_state(state), None)
    return RedirectResponse("/ops/stations", SEE_OTHER)


@router.get("/ops/reports", dependencies=[needs(Permission.SEE_REPORTS)])
async def ops_reports(request: Request, show: str = "open") -> Response:
    """Reports that wait for an answer, the oldest first; or all."""
    waiting = show != "all"
    found = await reports_of(request).listed(waiting=waiting)
    return page(
        request, "ops_reports.html", css=OPS_CSS, operator=True, reports=found, waiting=waiting
    )


@router.get("/ops/reports/{report_id}", dependencies=[needs(Permission.SEE_REPORTS)])
async def ops_report(request: Request, report_id: str) -> Response:
    """One report, to be answered."""
    return await _ops_report(request, report_id)


async def _ops_report(
    request: Request, report_id: str, error: FleetError | None = None
) -> Response:
    texts = web_of(request).catalogue(request)
    return page(
        request,
        "ops_report.html",
        status=error.status if error else 200,
        css=OPS_CSS,
        operator=True,
        r=await reports_of(request).get(report_id, rider_id=None),
        staff=request.cookies.get(STAFF_COOKIE, "")[:32],
        text_max=TEXT_CHARS_MAX,
        notice=explained(texts, error) if error else None,
    )


@router.post("/ops/reports/{report_id}/answer", dependencies=[needs(Permission.ANSWER_REPORTS)])
async def ops_answer(
    request: Request,
    report_id: str,
    text: Annotated[str, Form(max_length=TEXT_CHARS_MAX * 2)] = "",
    staff: Annotated[str, Form(max_length=64)] = "",
    close: Annotated[str, Form(max_length=8)] = "",
) -> Response:
    """Answer a report; its rider sees it at once."""
    who = await need_staff(request)
    try:
        await reports_of(request).answer(
            report_id, text=text, staff=acting(who, staff.strip()), close=close == "1"
        )
    except (InvalidError, DeniedError) as error:
        return await _ops_report(request, report_id, error)
    response = RedirectResponse("/ops/reports", SEE_OTHER)
    response.set_cookie(
        STAFF_COOKIE,
        staff.strip(),
        max_age=STAFF_COOKIE_AGE_S,
        path="/ops",
        secure=web_of(request).config.secure,
        httponly=True,
        samesite="lax",
    )
    return response
