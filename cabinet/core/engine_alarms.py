"""Alarms: what stands now against what the fleet has been told, one event per edge."""

from __future__ import annotations

from typing import Final

from cabinet.core import engine_sockets
from cabinet.core.engine_draft import Draft
from cabinet.core.engine_model import Standing
from cabinet.core.engine_view import Sight
from cabinet.core.swap_model import reserved_slots
from protocols.messages import AlarmBody, Door, Presence

_CRITICAL: Final = "critical"


def raise_and_clear(draft: Draft, sight: Sight) -> None:
    """Tell what is new and what is over.

    Before every slot has been read once, only what is critical is told and nothing is cleared:
    a device that has not been read yet is not a silent one.
    """
    ready = draft.state.ready
    standing = {(alarm.code, alarm.slot): alarm for alarm in _standing(draft, sight)}
    told = {(alarm.code, alarm.slot): alarm for alarm in draft.durable.alarms}
    kept = dict(told)
    for key, alarm in sorted(standing.items(), key=_order):
        if key not in told and (ready or alarm.severity == _CRITICAL):
            kept[key] = alarm
            _tell(draft, alarm, active=True)
    for key, alarm in sorted(told.items(), key=_order):
        if ready and key not in standing:
            del kept[key]
            _tell(draft, alarm, active=False)
    if kept != told:
        draft.keep(alarms=tuple(kept.values()))


def _order(item: tuple[tuple[str, int | None], Standing]) -> tuple[bool, str, int]:
    (code, slot), alarm = item
    return alarm.severity != _CRITICAL, code, slot or 0


def _tell(draft: Draft, alarm: Standing, *, active: bool) -> None:
    body = AlarmBody(
        code=alarm.code,
        active=active,
        severity=alarm.severity if alarm.severity in {"info", _CRITICAL} else "warning",  # type: ignore[arg-type]  # one of three
        slot=alarm.slot,
    )
    draft.event("alarm", body)


def _standing(draft: Draft, sight: Sight) -> list[Standing]:
    state = draft.state
    found = [Standing(a.code, a.slot, a.severity) for a in state.verdict.alarms]
    found += state.durable.latched
    found += [Standing("duplicate-serial", slot) for slot in sorted(sight.duplicates)]
    if state.durable.offline.locked:
        found.append(Standing("keypad-locked", None, "info"))
    if state.image is not None:
        found += [Standing(f"offline-{name}") for name in sorted(state.image.devices_offline)]
    found += [Standing(*fault) for fault in engine_sockets.alarms(state)]
    found += [Standing("unidentified", slot) for slot in _unnamed(draft, sight)]
    found += [Standing("door-left-open", slot) for slot in _left_open(draft, sight)]
    return found


def _unnamed(draft: Draft, sight: Sight) -> tuple[int, ...]:
    """Packs that nobody knows and that do not tell their serial."""
    known = draft.durable.inventory.keys() | reserved_slots(draft.durable.swap)
    found = []
    for slot in sight.view.slots:
        nameless = slot.presence is Presence.PRESENT and slot.pack is None
        shut = slot.door is Door.CLOSED and slot.slot not in known
        held_ms = draft.held_ms("unnamed", slot.slot, holds=nameless and shut)
        if held_ms is not None and held_ms >= draft.config.unnamed_ms:
            found.append(slot.slot)
    return tuple(found)


def _left_open(draft: Draft, sight: Sight) -> tuple[int, ...]:
    """Doors that a rider left open, until they are shut, and doors open for too long."""
    marked = draft.durable.left_open
    by_slot = {slot.slot: slot for slot in sight.view.slots}
    kept = tuple(n for n in marked if n in by_slot and by_slot[n].door is not Door.CLOSED)
    if kept != marked and draft.state.ready:
        draft.keep(left_open=kept)
    long_open = set(kept)
    for slot in sight.view.slots:
        held_ms = draft.held_ms("open", slot.slot, holds=slot.door is Door.OPEN)
        if held_ms is not None and held_ms >= draft.config.left_open_ms:
            long_open.add(slot.slot)
    return tuple(sorted(long_open))
