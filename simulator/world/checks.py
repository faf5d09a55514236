"""What must be true when everything has been healed, connected and left to settle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cabinet.core.swap_model import is_active
from fleet.core.audit import (
    Link,
    SequenceSpan,
    check_chains,
    check_sequences,
    check_slots,
    check_swaps,
)
from fleet.core.audit_swaps import check_legs
from fleet.core.ids import is_slot
from simulator.world.watch import Violation

if TYPE_CHECKING:
    from simulator.world.world import World


def settled(world: World) -> str | None:
    """What still moves, None when nothing does."""
    if not world.fleet.up or world.fleet.waiting():
        return "the fleet has work"
    for node in world.nodes:
        acting, delivery = node.acting, node.delivery
        if acting is None or delivery is None or not acting.state.ready:
            return f"{node.id} is not up"
        if acting.store_error is not None:
            return f"{node.id} cannot write"
        if is_active(acting.state.durable.swap):
            return f"{node.id} has a swap: {type(acting.state.durable.swap).__name__}"
        if node.present:
            return f"{node.present[0].name} is at {node.id}"
        if not node.link.up or delivery.depth:
            return f"{node.id} has {delivery.depth} events to deliver"
    return None


def final(world: World) -> None:
    """Raise the first violation."""
    _ends(world)
    _delivered(world)
    _custody(world)
    _audit(world)


def _ends(world: World) -> None:
    """Every swap has reached an end, here and there."""
    for swap in world.fleet.facts.swaps.values():
        if swap.open:
            raise Violation("swap-without-end", f"{swap.id} at {swap.cabinet}: {swap.step}")


def _delivered(world: World) -> None:
    for node in world.nodes:
        assert node.acting is not None
        durable = node.acting.state.durable
        mark = world.fleet.facts.marks[node.id]
        if (mark.epoch, mark.seq) != (durable.epoch, durable.seq):
            raise Violation(
                "event-lost",
                f"{node.id} wrote up to {durable.epoch}/{durable.seq}, "
                f"the ledger has {mark.epoch}/{mark.seq}",
            )
        for slot, bay in node.rack.bays.items():
            told = durable.inventory.get(slot)
            real = bay.pack.serial if bay.pack is not None else None
            if told != real:
                raise Violation("inventory-wrong", f"{node.id}:{slot} holds {real}, told {told}")


def _custody(world: World) -> None:
    """The ledger is the physical truth."""
    batteries = world.fleet.facts.batteries
    for pack in world.packs.values():
        battery = batteries.get(pack.serial)
        if pack.foreign and not is_slot(pack.place):
            # Nobody registered it: the ledger need not know who carries it about.
            if battery is not None and is_slot(battery.holder):
                raise Violation("custody-wrong", f"{pack.serial} is gone from {battery.holder}")
            continue
        if battery is None:
            raise Violation("battery-lost", f"{pack.serial} at {pack.place} is not in the ledger")
        if battery.holder != pack.place:
            raise Violation(
                "custody-wrong",
                f"{pack.serial} is at {pack.place}, the ledger says {battery.holder}",
            )


def _audit(world: World) -> None:
    """The fleet's own audit finds nothing."""
    facts = world.fleet.facts
    links = [
        Link(number, m.serial, m.from_holder, m.to_holder, m.swap_id, m.moves)
        for number, m in enumerate(facts.movements)
    ]
    spans = [
        SequenceSpan(cabinet, epoch, first, last, count)
        for (cabinet, epoch), (first, last, count) in sorted(facts.spans.items())
    ]
    found = check_chains(links, facts.batteries)
    found += check_slots(facts.batteries.values())
    found += check_swaps(facts.swaps.values(), links, facts.transfers.values())
    found += check_legs(facts.swaps.values(), links, facts.transfers.values())
    found += check_sequences(spans, facts.marks)
    if found:
        first = found[0]
        raise Violation(f"audit-{first.code}", f"{first.subject}: {first.detail}")
    if facts.poison:
        raise Violation("poison-event", facts.poison[0])
