"""Pages of orders to a whole cabinet, of those that need two people, and of packs in quarantine."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.access import Permission, Who
from fleet.core.operations import OPEN_ALL, REASON_CHARS_MAX, REASON_CHARS_MIN
from fleet.core.quarantine import slot_with
from fleet.core.two_person import ASK_LIFE_MS, Ask
from fleet.errors import (
    NotFoundError,
    RefusedError,
)
from fleet.ports_orders import Asks, Quarantines
from fleet.web.access import need_staff, needs
from fleet.web.pages import OPS_CSS, page, web_of
from fleet.web.refusal import again
from fleet.web.rider import REFUSALS, check_key, fresh_key, gone_to, notice_of
from fleet.web.signin import session_of

router = APIRouter(prefix="/ops", include_in_schema=False)

SEE_OTHER: Final = 303
ORDERS_SHOWN: Final = 10


def asks_of(request: Request) -> Asks:
    """The port; raise NotFoundError where there is none."""
    found = web_of(request).asks
    if found is None:
        raise NotFoundError("no orders for two people here")
    return found


def quarantines_of(request: Request) -> Quarantines:
    """The port; raise NotFoundError where there is none."""
    found = web_of(request).quarantines
    if found is None:
        raise NotFoundError("no quarantine here")
    return found


async def person_of(request: Request) -> Who:
    """Who asks or admits; raise RefusedError ``not-a-person`` for a shared seat or a program.

    Somebody with an account could be the second person of himself by either.
    """
    who = await need_staff(request)
    if who.shared or not await session_of(request):
        text = f"{who.name}: two people need an account each, and be signed in"
        raise RefusedError(text, code="not-a-person")
    return who


async def ask_at(request: Request, cabinet_id: str, ask_id: str) -> Ask:
    """An ask at this cabinet; raise NotFoundError for another's, whose place was not looked at."""
    ask = await asks_of(request).get(ask_id)
    if ask.cabinet_id != cabinet_id:
        raise NotFoundError(f"no ask {ask_id} at {cabinet_id}")
    return ask


@router.get("/cabinets/{cabinet_id}/orders", dependencies=[needs(Permission.SEE_ORDERS)])
async def whole_page(request: Request, cabinet_id: str) -> Response:
    """Orders to the whole cabinet: what may be ordered, what waits for a second person, what was."""
    web, who = web_of(request), await need_staff(request)
    return page(
        request,
        "ops_whole.html",
        css=OPS_CSS,
        operator=True,
        c=await web.cabinets.get(cabinet_id),
        asks=await web.asks.of_cabinet(cabinet_id) if web.asks else None,
        orders=await web.operations.of_cabinet(cabinet_id, ORDERS_SHOWN),
        me=who.id,
        shared=who.shared,
        name=who.name,
        key=fresh_key(),
        minutes=ASK_LIFE_MS // 60_000,
        reason_min=REASON_CHARS_MIN,
        reason_max=REASON_CHARS_MAX,
        notice=notice_of(request),
    )


@router.post("/cabinets/{cabinet_id}/asks", dependencies=[needs(Permission.OPEN_DOOR)])
async def ask(
    request: Request,
    cabinet_id: str,
    key: Annotated[str, Form()],
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Ask for every door to be opened; nothing moves before somebody else admits it."""
    here = f"/ops/cabinets/{cabinet_id}/orders"
    check_key(key)
    try:
        who = await person_of(request)
        await asks_of(request).ask(
            cabinet=cabinet_id,
            type_=OPEN_ALL,
            person=who.id,
            name=who.name,
            reason=" ".join(reason.split()),
            key=key,
        )
    except REFUSALS as error:
        typed, shown = {"reason": reason}, whole_page(request, cabinet_id)
        return await again(request, error, "ask", typed, here, shown)
    return RedirectResponse(here, SEE_OTHER)


@router.post("/cabinets/{cabinet_id}/asks/{ask_id}/admit", dependencies=[needs(Permission.APPROVE)])
async def admit(request: Request, cabinet_id: str, ask_id: str) -> Response:
    """Admit what another person asked for; the order goes out at once."""
    here = f"/ops/cabinets/{cabinet_id}/orders"
    await ask_at(request, cabinet_id, ask_id)

    async def work() -> str:
        who = await person_of(request)
        admitted = await asks_of(request).admit(ask_id, person=who.id, name=who.name)
        return f"/ops/orders/{admitted.command_id}"

    return await gone_to(here, work())


@router.post(
    "/cabinets/{cabinet_id}/asks/{ask_id}/withdraw", dependencies=[needs(Permission.GIVE_ORDERS)]
)
async def withdraw(request: Request, cabinet_id: str, ask_id: str) -> Response:
    """Take an ask back."""
    who, here = await need_staff(request), f"/ops/cabinets/{cabinet_id}/orders"
    await ask_at(request, cabinet_id, ask_id)

    async def work() -> str:
        await asks_of(request).withdraw(ask_id, name=who.name)
        return here

    return await gone_to(here, work())


@router.get("/batteries/{serial}/quarantine", dependencies=[needs(Permission.QUARANTINE)])
async def quarantine_page(request: Request, serial: str) -> Response:
    """Whether a battery is in quarantine, and whether the slot in which it stands shows it."""
    web = web_of(request)
    pack = await quarantines_of(request).get(serial)
    cabinet = None
    if pack.cabinet is not None and web.console.row(pack.cabinet) is not None:
        cabinet = await web.cabinets.get(pack.cabinet)
    return page(
        request,
        "ops_quarantine.html",
        css=OPS_CSS,
        operator=True,
        pack=pack,
        c=cabinet,
        s=slot_with(cabinet, serial),
        name=(await need_staff(request)).name,
        reason_min=REASON_CHARS_MIN,
        reason_max=REASON_CHARS_MAX,
        notice=notice_of(request),
    )


@router.post("/batteries/{serial}/quarantine", dependencies=[needs(Permission.QUARANTINE)])
async def quarantine(
    request: Request,
    serial: str,
    what: Annotated[str, Form()],
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Put a battery into quarantine wherever it is, or end that."""
    who, here = await need_staff(request), f"/ops/batteries/{serial}/quarantine"
    port, why = quarantines_of(request), " ".join(reason.split())
    try:
        change = port.lift if what == "release" else port.put
        await change(serial=serial, name=who.name, reason=why)
    except REFUSALS as error:
        typed, shown = {"reason": reason}, quarantine_page(request, serial)
        return await again(request, error, "quarantine", typed, here, shown)
    return RedirectResponse(here, SEE_OTHER)
