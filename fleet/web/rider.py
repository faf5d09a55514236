"""The rider's pages: cabinets, the one tap, the swap, the account. They work without a script."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.access import Permission
from fleet.core.balance.hours import HourView
from fleet.core.operations import TECHNICIAN_KINDS
from fleet.core.reservations import MINUTES_DEFAULT
from fleet.core.views import CabinetView, ReservationView, SwapView
from fleet.errors import (
    DeniedError,
    FleetError,
    InvalidError,
    LimitedError,
    NotFoundError,
    RefusedError,
)
from fleet.web import limits
from fleet.web.access import permitted, place_of
from fleet.web.drawing import is_live
from fleet.web.entering import enter
from fleet.web.finding import way_to
from fleet.web.live import cabinet_parts, open_swap_of, report_link, swap_parts
from fleet.web.pages import OFFLINE_SCRIPT, Web, in_page, page, web_of
from fleet.web.present import point_of
from fleet.web.refusal import refusal_of
from fleet.web.security import KeyMissingError, LoginRequiredError
from fleet.web.sessions import need_rider, rider_of
from fleet.web.signin import staff_of
from protocols.messages import Kind

router = APIRouter(include_in_schema=False)

KEY: Final = re.compile(r"[\x21-\x7e]{8,128}")
KEY_BYTES: Final = 18
RIDER_KINDS: Final = {kind.value: kind for kind in (Kind.SWAP, Kind.PICKUP, Kind.RETURN)}
SEE_OTHER: Final = 303
#: What sends somebody back to the form.
REFUSALS: Final = (RefusedError, LimitedError, InvalidError, NotFoundError)


@router.get("/c/{cabinet_id}")
async def cabinet_page(request: Request, cabinet_id: str) -> Response:
    """Where the QR code leads."""
    web = web_of(request)
    cabinet = await web.cabinets.get(cabinet_id)
    if (link := request.query_params.get("pt")) is not None:
        return await enter(request, link, f"/c/{cabinet.id}")
    rider_id = await rider_of(request)
    parts = await cabinet_parts(web, web.catalogue(request), cabinet, rider_id)
    return page(
        request,
        "cabinet.html",
        c=cabinet,
        station=await web.stations.of_cabinet(cabinet_id) if web.stations else None,
        parts={name: in_page(piece) for name, piece in parts.items()},
        key=fresh_key(),
        notice=notice_of(request),
        way=way_to(cabinet.name, point_of(cabinet)),
        hours=await good_hours(web, cabinet),
        js_urls=[OFFLINE_SCRIPT.url] if rider_id else [],
    )


async def good_hours(web: Web, cabinet: CabinetView) -> tuple[HourView, ...]:
    """What to expect of a cabinet; nothing where the balance is off or knows nothing of it."""
    if web.balance is None or not is_live(cabinet):
        return ()
    return await web.balance.hours(cabinet.id, cabinet.full, cabinet.slots_total)


@router.post("/c/{cabinet_id}/swap")
async def start_swap(
    request: Request, cabinet_id: str, kind: Annotated[str, Form()], key: Annotated[str, Form()]
) -> Response:
    """The one tap. The key of the form makes a second tap the same swap."""
    here = f"/c/{cabinet_id}"
    rider_id = await rider_of(request)
    if rider_id is None:
        return RedirectResponse(f"/login?{urlencode({'next': here})}", SEE_OTHER)
    try:
        swap = await start(web_of(request), rider_id, cabinet_id, kind, key)
    except RefusedError as error:
        if error.code == "open-swap":
            unfinished = await open_swap_of(web_of(request), rider_id)
            if unfinished is not None:
                return RedirectResponse(f"/s/{unfinished.id}", SEE_OTHER)
        return refused(here, error)
    except LimitedError as error:
        return refused(here, error)
    return RedirectResponse(f"/s/{swap.id}", SEE_OTHER)


@router.get("/s/{swap_id}")
async def swap_page(request: Request, swap_id: str) -> Response:
    """One swap, as a function of its state."""
    web = web_of(request)
    swap = await readable_swap(request, swap_id)
    document = await swap_parts(web, web.catalogue(request), swap)
    return page(
        request,
        "swap.html",
        page=document.page,
        parts={name: in_page(piece) for name, piece in document.parts.items()},
        settled=document.settled,
        report=report_link(web, swap),
        key=fresh_key(),
        notice=notice_of(request),
    )


@router.post("/s/{swap_id}/resume")
async def resume_swap(request: Request, swap_id: str, key: Annotated[str, Form()]) -> Response:
    """Open the waited-for door once more."""
    rider_id = await actor_of(request, await readable_swap(request, swap_id))
    try:
        await resume(web_of(request), rider_id, swap_id, key)
    except (RefusedError, LimitedError) as error:
        return refused(f"/s/{swap_id}", error)
    return RedirectResponse(f"/s/{swap_id}", SEE_OTHER)


@router.post("/s/{swap_id}/cancel")
async def cancel_swap(request: Request, swap_id: str) -> Response:
    """Ask to cancel."""
    rider_id = await actor_of(request, await readable_swap(request, swap_id))
    try:
        await web_of(request).swaps.cancel(swap_id=swap_id, rider_id=rider_id)
    except RefusedError as error:
        return refused(f"/s/{swap_id}", error)
    return RedirectResponse(f"/s/{swap_id}", SEE_OTHER)


@router.post("/s/{swap_id}/give-back")
async def give_back_swap(request: Request, swap_id: str, key: Annotated[str, Form()]) -> Response:
    """The own battery back."""
    rider_id = await need_rider(request)
    try:
        await give_back(web_of(request), rider_id, swap_id, key)
    except (RefusedError, LimitedError) as error:
        return refused(f"/s/{swap_id}", error)
    return RedirectResponse(f"/s/{swap_id}", SEE_OTHER)


@router.post("/c/{cabinet_id}/reserve")
async def reserve_pack(
    request: Request, cabinet_id: str, minutes: Annotated[int, Form()] = MINUTES_DEFAULT
) -> Response:
    """Have a full battery kept."""
    here = f"/c/{cabinet_id}"
    rider_id = await rider_of(request)
    if rider_id is None:
        return RedirectResponse(f"/login?{urlencode({'next': here})}", SEE_OTHER)
    try:
        await reserve(web_of(request), rider_id, cabinet_id, minutes)
    except (RefusedError, LimitedError) as error:
        return refused(here, error)
    return RedirectResponse(here, SEE_OTHER)


@router.post("/c/{cabinet_id}/release")
async def release_pack(request: Request, cabinet_id: str) -> Response:
    """Give the kept battery free again."""
    rider_id = await need_rider(request)
    try:
        await web_of(request).reservations.release(rider_id=rider_id, cabinet_id=cabinet_id)
    except (RefusedError, NotFoundError) as error:
        return refused(f"/c/{cabinet_id}", error)
    return RedirectResponse(f"/c/{cabinet_id}", SEE_OTHER)


async def start(web: Web, rider_id: str, cabinet_id: str, kind: str, key: str) -> SwapView:
    """Start a transaction of a rider; the same key returns the same one.

    Raises:
        InvalidError: not a rider's kind, or not a key.
        LimitedError: too many taps.
        NotFoundError, RefusedError: as ``fleet.ports.Swaps.start``.
    """
    if kind not in RIDER_KINDS:
        raise InvalidError(f"kind {kind!r}: expected one of {', '.join(RIDER_KINDS)}")
    check_key(key)
    _spend_start(web, rider_id)
    return await web.swaps.start(
        rider_id=rider_id, cabinet_id=cabinet_id, kind=RIDER_KINDS[kind], idempotency_key=key
    )


async def resume(web: Web, rider_id: str, swap_id: str, key: str) -> SwapView:
    """Open the waited-for door once more, once per key."""
    return await _once(web, "resume", rider_id, swap_id, key)


async def give_back(web: Web, rider_id: str, swap_id: str, key: str) -> SwapView:
    """Ask for the own battery back, once per key."""
    return await _once(web, "give-back", rider_id, swap_id, key)


async def reserve(web: Web, rider_id: str, cabinet_id: str, minutes: int) -> ReservationView:
    """Have a full battery kept for a rider.

    Raises:
        LimitedError: too many taps.
        NotFoundError, InvalidError, RefusedError: as ``fleet.ports.Reservations.reserve``.
    """
    web.throttle.spend(limits.RESERVATIONS_PER_RIDER, rider_id, web.clock.monotonic_ms())
    return await web.reservations.reserve(rider_id=rider_id, cabinet_id=cabinet_id, minutes=minutes)


async def _once(web: Web, what: str, rider_id: str, swap_id: str, key: str) -> SwapView:
    check_key(key)
    now_ms = web.clock.monotonic_ms()
    once = (what, rider_id, swap_id, key)
    if not web.once.first(once, now_ms):
        return await web.swaps.get(swap_id)
    act = web.swaps.resume if what == "resume" else web.swaps.give_back
    try:
        _spend_start(web, rider_id)
        return await act(swap_id=swap_id, rider_id=rider_id)
    except FleetError:
        web.once.forget(once)
        raise


def _spend_start(web: Web, rider_id: str) -> None:
    rate = limits.starts_per_rider(web.config.starts_per_minute)
    web.throttle.spend(rate, rider_id, web.clock.monotonic_ms())


async def readable_swap(request: Request, swap_id: str) -> SwapView:
    """The swap, for its rider and for operators.

    Raises:
        LoginRequiredError, DeniedError, NotFoundError.
    """
    rider_id = await rider_of(request)
    staff = await staff_of(request)
    if rider_id is None and staff is None:
        raise LoginRequiredError("log in to see a swap")
    swap = await web_of(request).swaps.get(swap_id)
    if swap.rider_id == rider_id:
        return swap
    place = await place_of(request, "swap_id", swap_id)
    if not await permitted(request, Permission.SEE_SWAPS, place):
        raise DeniedError("this is not your swap")
    return swap


async def actor_of(request: Request, swap: SwapView) -> str:
    """Who acts on a swap: its rider, or for a technician's work the operator who is logged in.

    Raises:
        LoginRequiredError: nobody who may.
    """
    place = await place_of(request, "swap_id", swap.id)
    if swap.kind in TECHNICIAN_KINDS and await permitted(request, Permission.LOAD_UNLOAD, place):
        return swap.rider_id
    return await need_rider(request)


def check_key(key: str | None) -> str:
    """A usable Idempotency-Key; raise KeyMissingError."""
    if key is None or not KEY.fullmatch(key):
        raise KeyMissingError(
            "header Idempotency-Key: expected 8 to 128 visible ASCII characters, the same for "
            "every try of one tap"
        )
    return key


def fresh_key() -> str:
    """A new key for the next tap."""
    return secrets.token_urlsafe(KEY_BYTES)


def refused(path: str, error: FleetError) -> RedirectResponse:
    """Back to the page, which says why: a reload does no harm there."""
    query = {"refused": error.code}
    if isinstance(error, LimitedError):
        query["wait"] = str(error.retry_after_s)
    return RedirectResponse(f"{path}?{urlencode(query)}", SEE_OTHER)


async def gone_to(back: str, work: Awaitable[str]) -> RedirectResponse:
    """Where the work of a form leads, or back to the page with why it was refused."""
    try:
        target = await work
    except REFUSALS as error:
        return refused(back, error)
    return RedirectResponse(target, SEE_OTHER)


def notice_of(request: Request) -> tuple[str, str] | None:
    """Reason and advice of a refusal that led here; only codes that have a text are shown."""
    texts, bad = web_of(request).catalogue(request), refusal_of(request)
    if bad.form:
        return texts.reason(bad.code, wait=bad.wait_s), texts.advice(bad.code)
    code = request.query_params.get("refused", "")
    if not texts.has(f"reason.{code}"):
        return None
    wait = request.query_params.get("wait", "")
    seconds = wait if wait.isascii() and wait.isdigit() else "60"
    return texts.reason(code, wait=seconds[:6]), texts.advice(code)
