"""The documents of live pages: whole state as JSON, and the parts of the page that it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from fleet.core.console_views import TURNED_AWAY
from fleet.core.operations import TECHNICIAN_KINDS
from fleet.core.plans import PLAN_REFUSALS
from fleet.core.reservations import HELD, MINUTES_DEFAULT, REFUSED
from fleet.core.steering import StationView
from fleet.core.views import CabinetView, OrderView, RiderView, SwapView
from fleet.errors import NotFoundError
from fleet.web.drawing import draw
from fleet.web.i18n import Catalogue
from fleet.web.pages import Part, Web, part
from fleet.web.present import (
    Choice,
    SwapPage,
    choices,
    may_reserve,
    step_now,
    swap_page,
)
from protocols.messages import Kind, Step

OPEN_SWAPS_LOOKED_AT: Final = 5
NEARBY_MAX: Final = 2
#: How many movements a completed transaction has, once the ledger has posted them.
MOVEMENTS: Final = {Kind.SWAP: 2, Kind.PICKUP: 1, Kind.RETURN: 1, Kind.LOAD: 1, Kind.UNLOAD: 1}
#: How long the page tells that the cabinet kept no pack.
FAILED_SHOWN_MS: Final = 60_000
#: An order without a last word for so long gets none.
LAST_WORD_AGE_MAX_MS: Final = 60_000
#: How an alarm begins that names a device which does not answer on its wire.
SILENT: Final = "offline-"
#: Refusals with which another cabinet would help.
ELSEWHERE: Final = frozenset({"offline", "alarm", "no-full-battery", "no-empty-slot", "busy"})


@dataclass(frozen=True, slots=True)
class SwapDocument:
    """A swap's page and its live parts; a settled one changes no more."""

    page: SwapPage
    parts: Mapping[str, Part]
    settled: bool


async def open_swap_of(web: Web, rider_id: str) -> SwapView | None:
    """The rider's unfinished swap, if there is one."""
    swaps = await web.swaps.of_rider(rider_id, OPEN_SWAPS_LOOKED_AT)
    return next((swap for swap in swaps if not swap.done), None)


async def _elsewhere(web: Web, here: CabinetView) -> list[StationView]:
    """Cabinets that a rider who stands here in vain is sent to."""
    if here.lat is None or here.lon is None:
        return []
    found = await web.steering.near(here.lat, here.lon, NEARBY_MAX + 1)
    return [each for each in found if each.cabinet != here.id][:NEARBY_MAX]


def _around(here: CabinetView) -> str:
    """The first page's query for what is near a cabinet; empty where nobody knows its place."""
    if here.lat is None or here.lon is None:
        return ""
    return urlencode({"lat": f"{here.lat:.4f}", "lon": f"{here.lon:.4f}"})


async def cabinet_parts(
    web: Web, texts: Catalogue, cabinet: CabinetView, rider_id: str | None
) -> dict[str, Part]:
    """A cabinet as a rider, or a stranger, sees it."""
    rider, open_swap = await _rider(web, rider_id)
    kept = await web.reservations.of_rider(rider.id) if rider else None
    reserved = kept is not None and kept.cabinet_id == cabinet.id and kept.state == HELD
    plan = await web.membership.plan_of(rider.id) if rider and web.membership else None
    no_plan = plan.refusal if plan else None
    offered = choices(cabinet, rider, open_swap, reserved=reserved, plan_refusal=no_plan)
    others: list[StationView] = []
    refusal = offered[0].refusal
    if rider is not None and open_swap is None and refusal in TURNED_AWAY:
        web.records.turned_away(rider.id, cabinet.id, refusal)
    if refusal in ELSEWHERE:
        others = await _elsewhere(web, cabinet)
    state = part(texts, web.config, "_cabinet_state.html", c=cabinet, drawing=draw(cabinet))
    act = part(
        texts,
        web.config,
        "_cabinet_act.html",
        c=cabinet,
        rider=rider,
        open_swap=open_swap,
        choices=offered,
    )
    why = part(
        texts,
        web.config,
        "_cabinet_why.html",
        choices=() if open_swap else offered,
        nearby=others,
        around=_around(cabinet) if refusal in ELSEWHERE else "",
        plan_says_no=refusal in PLAN_REFUSALS,
        why=_why(texts, cabinet, offered),
    )
    keep = part(
        texts,
        web.config,
        "_cabinet_keep.html",
        c=cabinet,
        kept=None if open_swap else kept,
        failed=await _failed(web, rider, cabinet) if rider and kept is None else None,
    )
    may = rider is not None and kept is None and may_reserve(cabinet, rider, open_swap, no_plan)
    offer = part(
        texts, web.config, "_cabinet_offer.html", c=cabinet, may=may, minutes=MINUTES_DEFAULT
    )
    return {"why": why, "state": state, "act": act, "keep": keep, "offer": offer}


async def _failed(web: Web, rider: RiderView, cabinet: CabinetView) -> str | None:
    """Why the cabinet kept no pack, if that was just now."""
    last = await web.reservations.at(rider_id=rider.id, cabinet_id=cabinet.id)
    if last is None or last.state != REFUSED:
        return None
    new = web.clock.wall_ms() - last.created_ms <= FAILED_SHOWN_MS
    return (last.reason or "unknown") if new else None


async def cabinet_document(
    web: Web, texts: Catalogue, cabinet: CabinetView, rider_id: str | None
) -> dict[str, Any]:
    """What the cabinet's page gets at every change."""
    return {"type": "cabinet", "parts": await cabinet_parts(web, texts, cabinet, rider_id)}


async def swap_parts(web: Web, texts: Catalogue, swap: SwapView) -> SwapDocument:
    """A swap as its rider sees it."""
    cabinet = await web.cabinets.get(swap.cabinet_id)
    page = swap_page(swap, texts, web.clock.wall_ms())
    settled = swap.done and (
        swap.step is not Step.COMPLETED or len(swap.movements) >= MOVEMENTS[swap.kind]
    )
    charge = await web.membership.charge_of(swap.id) if web.membership and swap.done else None
    values = {
        "page": page,
        "c": cabinet,
        "settled": settled,
        "charge": charge,
        "report": report_link(web, swap),
    }
    stage = part(
        texts,
        web.config,
        "_swap_stage.html",
        **values,
        drawing=draw(cabinet, page.slot, last_known=True),
        soc=_soc(cabinet, swap),
    )
    deed = part(texts, web.config, "_swap_act.html", **values)
    return SwapDocument(page, {"stage": stage, "deed": deed}, settled)


def report_link(web: Web, swap: SwapView) -> str:
    """Where a rider tells what is wrong with a transaction; empty where nobody takes reports."""
    if web.reports is None or swap.kind in TECHNICIAN_KINDS:
        return ""
    query = {"topic": "cabinet", "cabinet": swap.cabinet_id, "swap": swap.id}
    return f"/reports/new?{urlencode(query)}"


async def swap_document(web: Web, texts: Catalogue, swap: SwapView) -> dict[str, Any]:
    """What the swap's page gets at every change: the whole view, and its parts."""
    document = await swap_parts(web, texts, swap)
    return {
        **swap_json(swap),
        "parts": document.parts,
        "say": document.page.say,
        "buzz": document.page.mood in ("act", "done", "bad"),
        "settled": document.settled,
    }


def swap_json(swap: SwapView) -> dict[str, Any]:
    """The event of a swap's stream: the whole view."""
    return {"type": "swap", **msgspec.to_builtins(swap)}


def detail_part(web: Web, texts: Catalogue, cabinet: CabinetView) -> Part:
    """All that is known of one cabinet."""
    return part(
        texts,
        web.config,
        "_ops_detail.html",
        c=cabinet,
        drawing=draw(cabinet),
        last=draw(cabinet, last_known=True),
        silent=[code[len(SILENT) :] for code in cabinet.alarms if code.startswith(SILENT)],
    )


def detail_document(web: Web, texts: Catalogue, cabinet: CabinetView) -> dict[str, Any]:
    """What the operator's page of one cabinet gets at every change."""
    return {"type": "cabinet", "parts": {"detail": detail_part(web, texts, cabinet)}}


async def order_part(web: Web, texts: Catalogue, order: OrderView) -> Part:
    """An order and what has become of it, in words."""
    cabinet = await web.cabinets.get(order.cabinet_id)
    shown = [each for each in cabinet.slots if order.slot in (None, each.slot)]
    return part(texts, web.config, "_ops_order.html", o=order, c=cabinet, shown=shown)


async def order_document(web: Web, texts: Catalogue, order: OrderView) -> dict[str, Any]:
    """What the page of an order gets at every change."""
    return {
        "type": "order",
        "parts": {"order": await order_part(web, texts, order)},
        "say": texts.text(f"order.{order.outcome}.title"),
        "settled": order_settled(order, web.clock.wall_ms()),
    }


def order_settled(order: OrderView, now_ms: int) -> bool:
    """Whether nothing more is to be expected of an order."""
    pending = order.outcome in ("ordered", "accepted")
    return not pending or now_ms - order.created_ms > LAST_WORD_AGE_MAX_MS


async def _rider(web: Web, rider_id: str | None) -> tuple[RiderView | None, SwapView | None]:
    if rider_id is None:
        return None, None
    try:
        rider = await web.riders.get(rider_id)
    except NotFoundError:  # an account that was deleted: its session is a stranger's
        return None, None
    return rider, await open_swap_of(web, rider_id)


def _why(texts: Catalogue, cabinet: CabinetView, offered: Sequence[Choice]) -> str:
    refusal = offered[0].refusal
    if refusal is None:
        return ""
    names = ", ".join(texts.alarm(code) for code in cabinet.alarms)
    return texts.reason(refusal, alarm=names)


def _soc(cabinet: CabinetView, swap: SwapView) -> int | None:
    """The charge of the pack that waits behind the pick-up door."""
    if step_now(swap) not in (Step.OPENING_PICKUP, Step.AWAIT_PICKUP):
        return None
    slots = (slot for slot in cabinet.slots if slot.slot == swap.slot_out)
    return next((slot.soc_pct for slot in slots), None)
