"""What stands where, as the fleet has been told: kept true by the sensors.

``Durable.inventory`` is the sum of all ``battery.in`` and ``battery.out`` events. A pack that
appears or vanishes without a transaction, for example while the power was off, is told with cause
``found`` or ``vanished`` and an alarm, once it has stayed so for a while. Slots of a transaction
under way belong to that transaction.
"""

from __future__ import annotations

from cabinet.core import engine_claims
from cabinet.core.engine_draft import Draft
from cabinet.core.engine_model import Standing
from cabinet.core.engine_view import Sight, taking_in
from cabinet.core.model import told_soc
from cabinet.core.swap_model import SlotView, reserved_slots, vacant
from protocols.messages import (
    BatteryBody,
    Door,
    InventoryBody,
    InventorySlot,
    Presence,
    SlotFlagBody,
)


def book_in(draft: Draft, body: BatteryBody) -> None:
    """A pack entered a slot; one that was booked elsewhere leaves there first."""
    for slot, serial in sorted(draft.durable.inventory.items()):
        if serial == body.serial and slot != body.slot:
            book_out(draft, BatteryBody(serial=serial, slot=slot, cause="vanished"))
    _exchanged(draft, body)
    draft.event("battery.in", body)
    undetermined = tuple(s for s in draft.durable.undetermined if s != body.slot)
    inventory = {**draft.durable.inventory, body.slot: body.serial}
    draft.keep(inventory=inventory, undetermined=undetermined)


def book_out(draft: Draft, body: BatteryBody) -> None:
    """A pack left a slot, and its quarantine with it."""
    _exchanged(draft, body)
    draft.event("battery.out", body)
    durable = draft.durable
    inventory = {slot: serial for slot, serial in durable.inventory.items() if slot != body.slot}
    draft.keep(inventory=inventory)
    if body.slot in durable.quarantine:
        kept = {slot: why for slot, why in durable.quarantine.items() if slot != body.slot}
        draft.keep(quarantine=kept)
        flag = SlotFlagBody(slot=body.slot, flag="quarantine", active=False, detail="pack left")
        draft.event("slot.flag", flag)


def _exchanged(draft: Draft, body: BatteryBody) -> None:
    """Another pack than the booked one comes or goes: the booked one had left unseen."""
    told = draft.durable.inventory.get(body.slot)
    if told is None or told == body.serial:
        return
    owner = draft.durable.owners.get(body.slot)
    gone = BatteryBody(
        serial=told,
        slot=body.slot,
        swap_id=owner.swap_id if owner else None,
        rider_id=owner.rider_id if owner else None,
        cause="vanished",
    )
    draft.event("battery.out", gone)
    inventory = {slot: serial for slot, serial in draft.durable.inventory.items() if serial != told}
    draft.keep(inventory=inventory)


def adopt(draft: Draft, sight: Sight) -> None:
    """The very first reading of a new journal: take what stands here as given."""
    inventory: dict[int, str] = {}
    undetermined = []
    for slot in sight.view.slots:
        if slot.pack is not None and slot.slot not in sight.duplicates:
            inventory[slot.slot] = slot.pack.serial
        elif not vacant(slot, draft.now_ms, draft.config.swap.bms_gone_ms):
            undetermined.append(slot.slot)
    draft.keep(adopted=True, inventory=inventory, undetermined=tuple(undetermined))


def tell_all(draft: Draft, sight: Sight) -> None:
    """Event ``inventory``."""
    slots = tuple(
        InventorySlot(
            slot=slot.slot,
            door=slot.door,
            presence=slot.presence,
            serial=slot.pack.serial if slot.pack else None,
            soc_pct=told_soc(slot.pack.soc_pct) if slot.pack else None,
        )
        for slot in sight.view.slots
    )
    draft.event("inventory", InventoryBody(slots=slots))


def track(draft: Draft, sight: Sight) -> None:
    """Compare what is seen with what was told, and tell what is different and stays so."""
    busy = reserved_slots(draft.durable.swap)
    slots = [slot for slot in sight.view.slots if slot.slot not in busy]
    for slot in slots:
        _track_vanished(draft, slot)
    for slot in slots:
        _track_found(draft, slot, sight)
        _settle(draft, slot)
    for number in busy:
        for what in ("vanished", "found", "settled"):
            draft.held_ms(what, number, holds=False)


def _track_vanished(draft: Draft, slot: SlotView) -> None:
    number = slot.slot
    told = draft.durable.inventory.get(number)
    empty = vacant(slot, draft.now_ms, draft.config.swap.bms_gone_ms)
    other = slot.pack is not None and slot.pack.serial != told and slot.door is Door.CLOSED
    held_ms = draft.held_ms("vanished", number, holds=told is not None and (empty or other))
    if told is None or held_ms is None or held_ms < draft.config.settle_ms:
        if empty and told is None and number in draft.durable.undetermined:
            kept = tuple(s for s in draft.durable.undetermined if s != number)
            draft.keep(undetermined=kept)
        return
    owner = draft.durable.owners.get(number)
    by_hand = number in draft.state.opened_by_hand
    body = BatteryBody(
        serial=told,
        slot=number,
        swap_id=owner.swap_id if owner else None,
        rider_id=owner.rider_id if owner else None,
        cause="technician" if by_hand else "vanished",
    )
    book_out(draft, body)
    engine_claims.went_out(draft, number)
    if not by_hand:
        latch(draft, "battery-vanished", number)


def _track_found(draft: Draft, slot: SlotView, sight: Sight) -> None:
    number, pack = slot.slot, slot.pack
    seen = (
        pack is not None
        and slot.door is Door.CLOSED
        and slot.presence is Presence.PRESENT
        and number not in draft.durable.inventory
        and number not in sight.duplicates
        and not taking_in(draft.state)
    )
    held_ms = draft.held_ms("found", number, holds=seen)
    first = number in draft.durable.undetermined  # stood here all along, told its name late
    if pack is None or held_ms is None or (held_ms < draft.config.settle_ms and not first):
        return
    owner = draft.durable.owners.get(number)
    by_hand = number in draft.state.opened_by_hand
    body = BatteryBody(
        serial=pack.serial,
        slot=number,
        swap_id=owner.swap_id if owner else None,
        rider_id=owner.rider_id if owner else None,
        soc_pct=told_soc(pack.soc_pct),
        cause="technician" if by_hand else "found",
    )
    book_in(draft, body)
    engine_claims.came_in(draft, number, pack.serial)
    if not (by_hand or first):
        latch(draft, "battery-appeared", number)


def _settle(draft: Draft, slot: SlotView) -> None:
    """Nothing more is expected of a slot whose shut door hides what was told."""
    number = slot.slot
    told = draft.durable.inventory.get(number)
    empty = vacant(slot, draft.now_ms, draft.config.swap.bms_gone_ms)
    same = empty if told is None else slot.pack is not None and slot.pack.serial == told
    expected = number in draft.durable.owners or number in draft.state.opened_by_hand
    calm = expected and same and slot.door is Door.CLOSED
    held_ms = draft.held_ms("settled", number, holds=calm)
    if held_ms is None or held_ms < 2 * draft.config.settle_ms:
        return
    owners = draft.durable.owners
    if number in owners:
        draft.keep(owners={s: owner for s, owner in owners.items() if s != number})
    draft.put(opened_by_hand=draft.state.opened_by_hand - {number})


def latch(draft: Draft, code: str, slot: int) -> None:
    """Raise an alarm of ours that a technician clears."""
    standing = Standing(code, slot, "warning")
    if standing not in draft.durable.latched:
        draft.keep(latched=(*draft.durable.latched, standing))
