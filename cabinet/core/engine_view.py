"""From readings to what may be relied on: who stands where, what may be offered, what is free.

Trust in a serial: a denied one is denied; one that is seen in two slots is trusted in neither;
with a list from the fleet (version 1 and up) only listed ones are known. As long as no list has
ever come, every well-formed serial counts as known: a cabinet that was never connected must charge
the packs it was commissioned with, and a stranger is still told to the fleet with every movement.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from cabinet.core.engine_model import EngineConfig, Now, State
from cabinet.core.engine_plan import target_soc_pct
from cabinet.core.model import Image, SlotImage
from cabinet.core.swap_model import (
    Pack,
    SlotView,
    Trust,
    View,
    is_active,
    job_of,
    reserved_slots,
    vacant,
)
from protocols.messages import Door, Kind, Presence

_SERIAL: Final = re.compile(r"[A-Za-z0-9._-]{1,50}")
_SEVERITY: Final = {"critical": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Sight:
    """The view for the swap table, and what charging and reports need besides."""

    view: View
    no_charge: frozenset[int]  # must not be charged, whatever safety says
    duplicates: frozenset[int]
    ready: frozenset[int]  # hold a pack that may be offered


def serial_of(slot: SlotImage, now_ms: int) -> str | None:
    """The serial of a fresh reading, None when there is none or it is not well-formed."""
    bms = slot.bms_now(now_ms)
    if bms is None or bms.serial is None or not _SERIAL.fullmatch(bms.serial):
        return None
    return bms.serial


def look(state: State, config: EngineConfig, now: Now) -> Sight:
    """The cabinet as it may be relied on now."""
    image = state.image or Image(slots=())
    seen = {slot.slot: _slot(slot, state, config, now) for slot in image.slots}
    duplicates = _duplicates(seen, state, now.mono_ms, config)
    views = tuple(_mark(view, state, twice=view.slot in duplicates) for view in seen.values())
    reserved = reserved_slots(state.durable.swap)
    # A pack a little below the target that still charges is worth more to a rider than none.
    target = min(target_soc_pct(state, config, now), config.offer_soc_pct)
    ready = [view for view in views if _offerable(view, state, target)]
    ready.sort(key=lambda view: (-(view.pack.soc_pct if view.pack else 0), view.slot))
    free = [view for view in views if _free(view, state, config, now.mono_ms)]
    view = View(
        slots=views,
        full=tuple(v.slot for v in ready if v.slot not in reserved),
        empty=tuple(v.slot for v in free if v.slot not in reserved),
        newcomers=tuple(v.slot for v in views if _newcomer(v, state)),
        doors_locked=state.verdict.doors_locked,
        holds=tuple((slot, held.rider_id) for slot, held in state.durable.holds.items()),
        claims=state.durable.claims,
    )
    no_charge = frozenset(v.slot for v in views if v.slot in reserved or not _chargeable(v))
    return Sight(view, no_charge, duplicates, frozenset(v.slot for v in ready))


def _slot(slot: SlotImage, state: State, config: EngineConfig, now: Now) -> SlotView:
    serial = serial_of(slot, now.mono_ms)
    bms = slot.bms
    pack = None
    if serial is not None and bms is not None:
        unwell = _unwell(slot.slot, state) if slot.slot in state.verdict.quarantine else None
        pack = Pack(serial, bms.at_ms, bms.soc_pct, _trust(serial, state), unwell)
    return SlotView(
        slot=slot.slot,
        door=slot.door_now(now.mono_ms),
        door_at_ms=slot.door_at_ms or 0,
        presence=slot.presence_now(now.mono_ms),
        pack=pack,
        bms_at_ms=bms.at_ms if bms else None,
        locked=slot.slot in state.verdict.locked_slots,
        in_service=slot.slot not in state.durable.out_of_service and slot.slot <= config.slots,
        quarantined=_quarantined(slot.slot, state),
    )


def _quarantined(slot: int, state: State) -> bool:
    return slot in state.durable.quarantine or slot in state.verdict.quarantine


def _unwell(slot: int, state: State) -> str:
    alarms = [alarm for alarm in state.verdict.alarms if alarm.slot == slot]
    alarms.sort(key=lambda alarm: (_SEVERITY.get(alarm.severity, 3), alarm.code))
    return alarms[0].code if alarms else "unwell"


def _trust(serial: str, state: State) -> Trust:
    lists = state.lists
    if serial in lists.denied_packs:
        return Trust.DENIED
    return Trust.KNOWN if lists.version == 0 or serial in lists.packs else Trust.FOREIGN


def _duplicates(
    seen: dict[int, SlotView], state: State, now_ms: int, config: EngineConfig
) -> frozenset[int]:
    """Slots whose serial is also somewhere else: seen there, or booked there and not seen gone."""
    places: dict[str, set[int]] = {}
    for number, serial in state.durable.inventory.items():
        view = seen.get(number)
        named = view.pack.serial if view and view.pack else None
        if view and named is None and not vacant(view, now_ms, config.swap.bms_gone_ms):
            places.setdefault(serial, set()).add(number)
    for view in seen.values():
        if view.pack and view.presence is not Presence.ABSENT:
            places.setdefault(view.pack.serial, set()).add(view.slot)
    return frozenset(slot for slots in places.values() if len(slots) > 1 for slot in slots)


def _mark(view: SlotView, state: State, *, twice: bool) -> SlotView:
    """A serial that is seen twice is trusted nowhere."""
    if not twice or view.pack is None:
        return view
    pack = view.pack
    job = job_of(state.durable.swap)
    if job is not None and is_active(state.durable.swap) and view.slot == job.slot_out:
        return view  # promised already; the newcomer is the one to be refused
    doubted = replace(pack, trust=Trust.DUPLICATE)
    return replace(view, pack=doubted)


def _sound(view: SlotView) -> bool:
    held_back = view.locked or view.quarantined or not view.in_service
    return not held_back and view.door is Door.CLOSED


def _offerable(view: SlotView, state: State, target_pct: int) -> bool:
    pack = view.pack
    return (
        pack is not None
        and _sound(view)
        and view.presence is Presence.PRESENT
        and pack.trust is Trust.KNOWN
        and pack.unwell is None
        and pack.soc_pct >= target_pct
        and state.durable.inventory.get(view.slot) == pack.serial
    )


def _free(view: SlotView, state: State, config: EngineConfig, now_ms: int) -> bool:
    return (
        _sound(view)
        and vacant(view, now_ms, config.swap.bms_gone_ms)
        and view.slot not in state.durable.inventory
        and view.slot not in state.durable.undetermined
    )


def _newcomer(view: SlotView, state: State) -> bool:
    job = job_of(state.durable.swap)
    mine = job.slot_out if job is not None and is_active(state.durable.swap) else None
    return (
        view.pack is not None
        and view.door is Door.CLOSED
        and view.presence is Presence.PRESENT
        and view.slot != mine
        and view.slot not in state.durable.inventory
        and view.slot not in state.durable.undetermined
    )


def _chargeable(view: SlotView) -> bool:
    pack = view.pack
    return (
        pack is not None
        and _sound(view)
        and view.presence is Presence.PRESENT
        and pack.trust is Trust.KNOWN
        and pack.unwell is None
    )


def taking_in(state: State) -> bool:
    """Whether a pack that appears now may be the one a rider is about to return."""
    swap = state.durable.swap
    job = job_of(swap)
    if job is None or not is_active(swap):
        return False
    return job.serial_in is None and job.kind in {Kind.SWAP, Kind.RETURN, Kind.LOAD}
