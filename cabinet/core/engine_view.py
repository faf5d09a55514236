"""From readings to what may be relied on: who stands where, what may be offered, what is free.

Trust in a serial: a denied one is denied; one that is seen in two slots is trusted in neither;
with a list from the fleet (version 1 and up) only listed ones are known. As long as no list has
ever come, every well-formed serial counts as known: a cabinet that was never connected must charge
the packs it was commissioned with, and a stranger is still told to the fleet with every movement.
"""

from __future__ import annotations

import re
from operator import is_
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from cabinet.core.engine_model import EngineConfig, Now, State
from cabinet.core.engine_plan import offer_soc_pct, target_soc_pct
from cabinet.core.model import SOC_MAX_PCT, BmsReading, Health, SlotImage
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
from protocols.messages import CAPACITY_MAX_AH, Door, Kind, Presence

_SERIAL: Final = re.compile(r"[A-Za-z0-9._-]{1,50}")
_SEVERITY: Final = {"critical": 0, "warning": 1, "info": 2}


class Sight(Struct, frozen=True):
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
    return _sight(_slots(state, config, now.mono_ms), state, config, now)


class Eye:
    """Looks again and again at one moment; what has not changed is not worked out anew.

    States are replaced, never changed, so the same object means the same value.
    """

    __slots__ = ("_config", "_now", "_seen", "_sight", "_sight_of", "_slots_of")

    def __init__(self, config: EngineConfig, now: Now) -> None:
        self._config = config
        self._now = now
        self._slots_of: tuple[object, ...] = ()
        self._sight_of: tuple[object, ...] = ()
        self._seen: dict[int, SlotView] = {}
        self._sight: Sight | None = None

    def look(self, state: State) -> Sight:
        """The same as ``look`` with this moment and configuration."""
        durable = state.durable
        slots_of = (
            state.image,
            state.verdict,
            state.lists,
            durable.out_of_service,
            durable.quarantine,
            durable.inventory,
        )
        same = _same(slots_of, self._slots_of)
        if not same:
            self._slots_of = slots_of
            self._seen = _slots(state, self._config, self._now.mono_ms)
        sight_of = (
            durable.swap,
            durable.undetermined,
            durable.holds,
            durable.claims,
            durable.plan,
            durable.config,
            durable.openings,
        )
        if self._sight is None or not same or not _same(sight_of, self._sight_of):
            self._sight_of = sight_of
            self._sight = _sight(self._seen, state, self._config, self._now)
        return self._sight


def _same(these: tuple[object, ...], those: tuple[object, ...]) -> bool:
    return len(these) == len(those) and all(map(is_, these, those))


def _slots(state: State, config: EngineConfig, now_ms: int) -> dict[int, SlotView]:
    image = state.image
    if image is None:
        return {}
    return {slot.slot: _slot(slot, state, config, now_ms) for slot in image.slots}


def _sight(seen: dict[int, SlotView], state: State, config: EngineConfig, now: Now) -> Sight:
    now_ms, durable = now.mono_ms, state.durable
    duplicates = _duplicates(seen, state, now_ms, config)
    if duplicates:
        views = tuple(_mark(view, state, twice=view.slot in duplicates) for view in seen.values())
    else:
        views = tuple(seen.values())
    job = job_of(durable.swap) if is_active(durable.swap) else None
    reserved = reserved_slots(durable.swap)
    mine = None if job is None else job.slot_out
    # A pack a little below the target that still charges is worth more to a rider than none.
    target = min(target_soc_pct(state, config, now), offer_soc_pct(config))
    ready = []
    empty = []
    newcomers = []
    no_charge = []
    for view in views:
        good = _chargeable(view)
        if view.slot in reserved or not good:
            no_charge.append(view.slot)
        idle = view.slot not in durable.openings  # a door about to open by hand is nobody's to use
        if good and idle and _offerable(view, state, target):
            ready.append(view)
        if idle and view.slot not in reserved and _free(view, state, config, now_ms):
            empty.append(view.slot)
        if view.slot != mine and _newcomer(view, state):
            newcomers.append(view.slot)
    ready.sort(key=lambda view: (-(view.pack.soc_pct if view.pack else 0), view.slot))
    whole = View(
        slots=views,
        full=tuple(v.slot for v in ready if v.slot not in reserved),
        empty=tuple(empty),
        newcomers=tuple(newcomers),
        doors_locked=state.verdict.doors_locked,
        holds=tuple((slot, held.rider_id) for slot, held in durable.holds.items()),
        claims=durable.claims,
    )
    return Sight(whole, frozenset(no_charge), duplicates, frozenset(v.slot for v in ready))


def _health(bms: BmsReading) -> Health | None:
    """A pack that holds nothing at all tells nothing of its age, and its zero cycles are none."""
    if not 0 < bms.capacity_ah <= CAPACITY_MAX_AH or bms.cycles < 0:
        return None
    return Health(round(bms.capacity_ah, 2), bms.cycles)


def _slot(slot: SlotImage, state: State, config: EngineConfig, now_ms: int) -> SlotView:
    number, bms = slot.slot, slot.bms
    serial = serial_of(slot, now_ms)
    pack = None
    if serial is not None and bms is not None:
        unwell = _unwell(number, state) if number in state.verdict.quarantine else None
        pack = Pack(serial, bms.at_ms, bms.soc_pct, _trust(serial, state), unwell, _health(bms))
    return SlotView(
        number,
        slot.door_now(now_ms),
        slot.door_at_ms or 0,
        slot.presence_now(now_ms),
        pack,
        bms.at_ms if bms else None,
        number in state.verdict.locked_slots,
        number not in state.durable.out_of_service and number <= config.slots,
        _quarantined(number, state),
        state.durable.inventory.get(number),
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
    places: dict[str, int] = {}
    twice: set[int] = set()

    def put(serial: str, number: int) -> None:
        first = places.setdefault(serial, number)
        if first != number:
            twice.update((first, number))

    for number, serial in state.durable.inventory.items():
        view = seen.get(number)
        if view is None or view.pack is not None:
            continue
        if not vacant(view, now_ms, config.swap.bms_gone_ms):
            put(serial, number)
    for view in seen.values():
        if view.pack is not None and view.presence is not Presence.ABSENT:
            put(view.pack.serial, view.slot)
    return frozenset(twice)


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


def _chargeable(view: SlotView) -> bool:
    """Whether a pack of ours, well and named, stands behind a shut door."""
    pack = view.pack
    return (
        pack is not None
        and view.presence is Presence.PRESENT
        and pack.trust is Trust.KNOWN
        and pack.unwell is None
        and _sound(view)
    )


def _offerable(view: SlotView, state: State, target_pct: int) -> bool:
    """Whether a chargeable pack is full enough, and known to stand here."""
    pack = view.pack
    return (
        pack is not None
        and target_pct <= pack.soc_pct <= SOC_MAX_PCT
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
    return (
        view.pack is not None
        and view.door is Door.CLOSED
        and view.presence is Presence.PRESENT
        and view.slot not in state.durable.inventory
        and view.slot not in state.durable.undetermined
    )


def taking_in(state: State) -> bool:
    """Whether a pack that appears now may be the one a rider is about to return."""
    swap = state.durable.swap
    job = job_of(swap)
    if job is None or not is_active(swap):
        return False
    return job.serial_in is None and job.kind in {Kind.SWAP, Kind.RETURN, Kind.LOAD}
