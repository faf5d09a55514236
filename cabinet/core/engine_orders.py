"""Power: which leases are held, which outputs are on, and what each charger is told.

Orders are given on change only; the actuator renews what is held. Until every slot has been read
once since start nothing is held and nothing charges.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from cabinet.core import charge
from cabinet.core.charge import Demand, Order
from cabinet.core.engine_draft import Draft
from cabinet.core.engine_plan import charge_soc_pct, power_limit_w
from cabinet.core.engine_view import Sight
from cabinet.core.model import ChargerReading, Image, Output, SetCharger, SetOutput, SetSlotAc

#: Orders are computed anew this often, and at once when what they rest on has changed.
DECIDE_MS: Final = 1_000
#: A charger gets this long to show what it was told before it is told again.
OBEY_MS: Final = 2_500
_SETPOINT_GAP: Final = 0.06


def charging(draft: Draft) -> frozenset[int]:
    """The slots that have been ordered to charge."""
    orders = draft.state.issued.chargers
    return frozenset(slot for slot, order in orders.items() if order.on)


def hold_power(draft: Draft) -> None:
    """Bring outputs and AC leases to what the verdict says."""
    state = draft.state
    verdict, issued = state.verdict, state.issued
    outputs = {
        Output.CONTACTOR: state.ready and verdict.cabinet_ac,
        Output.SIREN: verdict.siren,
        Output.EXTINGUISHER: verdict.extinguisher,
        Output.FAN: verdict.fan,
    }
    for output, on in outputs.items():
        if issued.outputs.get(output) is not on:
            draft.effect(SetOutput(output, on))
    may = verdict.slot_ac if state.ready and verdict.cabinet_ac else frozenset()
    slot_ac = {number: number in may for number in range(1, draft.config.slots + 1)}
    for number, on in slot_ac.items():
        if issued.slot_ac.get(number) is not on:
            draft.effect(SetSlotAc(number, on))
    if outputs != issued.outputs or slot_ac != issued.slot_ac:
        draft.put(issued=replace(issued, outputs=outputs, slot_ac=slot_ac))


def order_chargers(draft: Draft, image: Image, sight: Sight) -> None:
    """Decide about once a second, tell what changed, and repeat what was not obeyed."""
    demand = Demand(
        power_limit_w=_left_w(draft),
        target_soc_pct=charge_soc_pct(draft.state, draft.config, draft.now),
        excluded=sight.no_charge,
        pack=draft.config.pack,
    )
    verdict = draft.state.verdict
    basis = (
        draft.state.ready,
        demand,
        tuple(sorted(verdict.charge_factor.items())),
        verdict.power_cap_w,
        verdict.quarantine,
    )
    issued = draft.state.issued
    fresh = issued.decided_at_ms is not None and draft.now_ms - issued.decided_at_ms < DECIDE_MS
    if fresh and issued.basis == basis:
        return
    if draft.state.ready:
        orders = charge.allocate(image, verdict, demand, draft.now_ms)
    else:
        orders = tuple(Order(slot.slot, on=False) for slot in image.slots)
    told = dict(issued.chargers)
    told_at_ms = dict(issued.chargers_at_ms)
    for order in orders:
        if told.get(order.slot) != order or _disobeyed(draft, image, order):
            told[order.slot] = order
            told_at_ms[order.slot] = draft.now_ms
            draft.effect(_setting(order))
    draft.put(
        issued=replace(
            draft.state.issued,
            chargers=told,
            chargers_at_ms=told_at_ms,
            decided_at_ms=draft.now_ms,
            basis=basis,
        )
    )


def _left_w(draft: Draft) -> int:
    """What the sockets leave of the plan, and in the worst case of the breaker."""
    taken, cap_w = draft.state.sockets_share, draft.state.verdict.power_cap_w
    plan_w = power_limit_w(draft.state, draft.config, draft.now) - taken.expected_w
    if taken.bound_w:
        plan_w = min(plan_w, cap_w - taken.bound_w)
    return max(0, plan_w)


def _setting(order: Order) -> SetCharger:
    return SetCharger(order.slot, order.on, order.voltage_v, order.current_a)


def _disobeyed(draft: Draft, image: Image, order: Order) -> bool:
    """Whether a reading from well after the order shows something else."""
    told_ms = draft.state.issued.chargers_at_ms.get(order.slot, draft.now_ms)
    reading = image.slot(order.slot).charger_now(draft.now_ms)
    if reading is None or reading.at_ms - told_ms < OBEY_MS:
        return False
    return not _shows(reading, order)


def _shows(reading: ChargerReading, order: Order) -> bool:
    if reading.output_on != order.on:
        return False
    return not order.on or (
        abs(reading.voltage_set_v - order.voltage_v) < _SETPOINT_GAP
        and abs(reading.current_set_a - order.current_a) < _SETPOINT_GAP
    )
