"""Who has what in a transaction, by its movements."""

from __future__ import annotations

from fleet.core.ids import rider_holder, transit_holder
from fleet.core.operations import TECHNICIAN_KINDS
from fleet.core.views import MovementView, SwapView
from protocols.messages import Kind


def hands(swap: SwapView) -> tuple[MovementView | None, MovementView | None]:
    """The pack that the person gave in, and the one that the person has got."""
    of_technician = swap.kind in TECHNICIAN_KINDS
    person = transit_holder(swap.rider_id) if of_technician else rider_holder(swap.rider_id)
    given = next((row for row in swap.movements if row.from_holder == person), None)
    if given is None:  # by a sensor: the ledger believed it elsewhere
        given = next((row for row in swap.movements if row.to_holder.startswith("slot:")), None)
    return given, next((row for row in swap.movements if row.to_holder == person), None)


def is_owed(swap: SwapView) -> bool:
    """Whether a swap has ended with the old pack in and no pack out."""
    given, taken = hands(swap)
    return swap.done and swap.kind is Kind.SWAP and given is not None and taken is None
