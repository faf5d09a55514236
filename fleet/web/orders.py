"""The operator's pages of orders: a slot and what may be done there, one order, the log."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.access import Permission, acting, order_permission
from fleet.core.operations import (
    ALARM_CLEAR,
    ORDERS,
    REASON_CHARS_MAX,
    REASON_CHARS_MIN,
    Expected,
    Wish,
    check_reason,
)
from fleet.core.records import LogFilter
from fleet.core.rollout_model import Phase
from fleet.core.views import CabinetView
from fleet.errors import FleetError, InvalidError, LimitedError, NotFoundError, RefusedError
from fleet.web.access import need, need_staff, needs
from fleet.web.api_orders import presence_of
from fleet.web.asks import whole_page
from fleet.web.live import order_part, order_settled
from fleet.web.pages import OPS_CSS, Web, in_page, page, web_of
from fleet.web.refusal import again
from fleet.web.rider import check_key, fresh_key, notice_of
from protocols.messages import Kind, Presence, SlotTelemetry

router = APIRouter(prefix="/ops", include_in_schema=False)

SEE_OTHER: Final = 303
STAFF_COOKIE: Final = "yz_staff"
STAFF_COOKIE_AGE_S: Final = 90 * 24 * 3600
LOG_ROWS: Final = 200
ORDERS_SHOWN: Final = 10
#: Of the log, besides orders at cabinets.
OTHER_ACTIONS: Final = (
    "battery.quarantine",
    "battery.release",
    "template.set",
    "template.assign",
    "command-key.begin",
    "command-key.end",
    *(f"rollout.{phase.value}" for phase in Phase if phase is not Phase.PLANNED),
)
_KINDS: Final = {"load": Kind.LOAD, "unload": Kind.UNLOAD}


@router.get("/cabinets/{cabinet_id}/slots/{slot}", dependencies=[needs(Permission.SEE_CABINETS)])
async def slot_page(request: Request, cabinet_id: str, slot: int) -> Response:
    """What stands in a slot, and what may be ordered there."""
    web = web_of(request)
    cabinet = await web.cabinets.get(cabinet_id)
    if not 1 <= slot <= cabinet.slots_total:
        raise NotFoundError(f"no slot {slot} at {cabinet_id}")
    seen = next((each for each in cabinet.slots if each.slot == slot), None)
    return await _form(request, cabinet, slot=slot, seen=seen, codes=seen.flags if seen else ())


@router.get("/cabinets/{cabinet_id}/alarms/{code}", dependencies=[needs(Permission.SEE_CABINETS)])
async def alarm_page(request: Request, cabinet_id: str, code: str) -> Response:
    """Clearing a latched alarm of the whole cabinet."""
    cabinet = await web_of(request).cabinets.get(cabinet_id)
    return await _form(request, cabinet, slot=None, seen=None, codes=(code,))


async def _form(
    request: Request,
    cabinet: CabinetView,
    *,
    slot: int | None,
    seen: SlotTelemetry | None,
    codes: tuple[str, ...],
) -> Response:
    who = await need_staff(request)
    return page(
        request,
        "ops_order_form.html",
        css=OPS_CSS,
        operator=True,
        c=cabinet,
        slot=slot,
        s=seen,
        codes=codes,
        packed=seen is not None and seen.presence is Presence.PRESENT,
        vacant=seen is not None and seen.presence is Presence.ABSENT,
        key=fresh_key(),
        shared=who.shared,
        staff=request.cookies.get(STAFF_COOKIE, "")[:32] if who.shared else who.name,
        reason_min=REASON_CHARS_MIN,
        reason_max=REASON_CHARS_MAX,
        notice=notice_of(request),
    )


@router.post("/cabinets/{cabinet_id}/orders", dependencies=[needs(Permission.GIVE_ORDERS)])
async def give(  # noqa: PLR0917 - the fields of one form
    request: Request,
    cabinet_id: str,
    what: Annotated[str, Form()],
    key: Annotated[str, Form()],
    staff: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
    slot: Annotated[int | None, Form()] = None,
    presence: Annotated[str, Form()] = "",
    serial: Annotated[str, Form()] = "",
    code: Annotated[str, Form()] = "",
) -> Response:
    """Give the order of a form; the form's key makes a second tap the same order."""
    who = await need(request, order_permission(what))
    check_key(key)
    typed = {"staff": staff, "reason": reason, "code": code}
    staff, reason = acting(who, staff.strip()), " ".join(reason.split())
    expected = Expected(presence_of(presence), serial or None) if presence else None
    web = web_of(request)
    wish = Wish(
        cabinet=cabinet_id,
        type=what,
        staff=staff,
        reason=reason,
        key=key,
        slot=slot,
        code=code or None if what == ALARM_CLEAR else None,
        expected=expected,
    )
    try:
        target = await _given(web, wish)
    except (RefusedError, LimitedError, InvalidError) as error:
        return await _again(request, error, typed, cabinet_id, slot)
    response = RedirectResponse(target, SEE_OTHER)
    response.set_cookie(
        STAFF_COOKIE,
        staff,
        max_age=STAFF_COOKIE_AGE_S,
        secure=web.config.secure,
        httponly=True,
        samesite="lax",
    )
    return response


async def _given(web: Web, wish: Wish) -> str:
    """Give an order; returns where it is followed."""
    if wish.type not in _KINDS:
        return f"/ops/orders/{(await web.operations.order(wish)).id}"
    swap = await web.swaps.serve(
        kind=_KINDS[wish.type],
        cabinet_id=wish.cabinet,
        technician=wish.staff,
        slot=wish.slot,
        reason=check_reason(wish.reason),
        expected=wish.expected,
        idempotency_key=wish.key,
    )
    return f"/s/{swap.id}"


async def _again(
    request: Request, error: FleetError, typed: dict[str, str], cabinet_id: str, slot: int | None
) -> Response:
    """The page from which the order came."""
    here, code = f"/ops/cabinets/{cabinet_id}", typed["code"]
    if slot is not None:
        shown, here = slot_page(request, cabinet_id, slot), f"{here}/slots/{slot}"
    elif code:
        shown, here = alarm_page(request, cabinet_id, code), f"{here}/alarms/{quote(code)}"
    else:
        shown, here = whole_page(request, cabinet_id), f"{here}/orders"
    form = "restart" if slot is None and not code else "order"
    return await again(request, error, form, typed, here, shown)


@router.get("/orders/{command_id}", dependencies=[needs(Permission.SEE_ORDERS)])
async def order_page(request: Request, command_id: str) -> Response:
    """One order, live until the cabinet's last word."""
    web = web_of(request)
    order = await web.operations.get(command_id)
    texts = web.catalogue(request)
    return page(
        request,
        "ops_order.html",
        css=OPS_CSS,
        operator=True,
        order=order,
        part=in_page(await order_part(web, texts, order)),
        settled=order_settled(order, web.clock.wall_ms()),
    )


@router.get("/audit", dependencies=[needs(Permission.SEE_AUDIT)])
async def log_page(
    request: Request,
    cabinet: Annotated[str, Query(max_length=32)] = "",
    staff: Annotated[str, Query(max_length=32)] = "",
    action: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """The log of orders, newest first."""
    wanted = LogFilter(
        cabinet=cabinet.strip() or None,
        staff=staff.strip() or None,
        action=action.strip() or None,
        limit=LOG_ROWS,
    )
    rows = await web_of(request).operations.log(wanted)
    return page(
        request,
        "ops_audit.html",
        css=OPS_CSS,
        operator=True,
        rows=rows,
        cabinet=cabinet,
        staff=staff,
        action=action,
        actions=(*ORDERS, *(f"swap.start:{kind}" for kind in _KINDS), *OTHER_ACTIONS),
    )
