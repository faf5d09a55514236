"""Do swaps, their legs and their movements say the same? And what the cabinets told of them?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fleet.core.audit import Link, Violation
from fleet.core.ids import in_cabinet, slot_holder
from fleet.core.ledger import Leg, SwapState, Transfer, actor_holder, legs
from fleet.core.offline import is_unresolved, twin_id
from fleet.core.swaps import FLEET_VERDICT_RANK
from protocols.messages import STEP_RANK, Kind, Step

#: Why a swap is cancelled whose rider took the own pack back.
OWN_BATTERY = "own-battery"


@dataclass(frozen=True, slots=True)
class Told:
    """One step of a transaction, as its cabinet told it."""

    cabinet: str
    swap_id: str
    step: Step


def check_legs(
    swaps: Iterable[SwapState], links: Iterable[Link], transfers: Iterable[Transfer]
) -> list[Violation]:
    """Every leg is the swap's own, and every posted leg is exactly one of its movements."""
    moves: dict[str, list[Link]] = {}
    for link in links:
        if link.swap_id is not None:
            moves.setdefault(link.swap_id, []).append(link)
    by_swap: dict[str, dict[Leg, Transfer]] = {}
    for transfer in transfers:
        by_swap.setdefault(transfer.swap_id, {})[transfer.leg] = transfer
    found: list[Violation] = []
    known: set[str] = set()
    for swap in swaps:
        known.add(swap.id)
        own, rows = by_swap.get(swap.id, {}), moves.get(swap.id, [])
        found += _legs_of(swap, own)
        left = _unmatched(swap, own, rows, found)
        found += _extra(swap, own, left)
    found += [
        Violation("orphan-movement", swap_id, f"movement {rows[0].id} of no such swap")
        for swap_id, rows in moves.items()
        if swap_id not in known
    ]
    return found


def _legs_of(swap: SwapState, own: Mapping[Leg, Transfer]) -> Iterable[Violation]:
    wanted = legs(swap.kind)
    for leg in wanted:
        if leg not in own:
            yield Violation("missing-leg", swap.id, f"a {swap.kind} has a leg {leg}")
    person = actor_holder(swap)
    for leg, transfer in own.items():
        if leg not in wanted:
            yield Violation("extra-leg", swap.id, f"a {swap.kind} has no leg {leg}")
            continue
        ends = (transfer.from_holder, transfer.to_holder)
        mine, place = ends if leg == "in" else ends[::-1]
        if mine != person:
            yield Violation("wrong-leg", swap.id, f"leg {leg} is of {mine}, not of {person}")
        if transfer.state != "posted":
            continue
        number = swap.slot_in if leg == "in" else swap.slot_out
        told = None if number is None else slot_holder(swap.cabinet, number)
        done = swap.step is Step.COMPLETED and told is not None
        if not in_cabinet(place or "", swap.cabinet) or (done and place != told):
            yield Violation("wrong-leg", swap.id, f"leg {leg} is at {place}, the swap at {told}")


def _unmatched(
    swap: SwapState, own: Mapping[Leg, Transfer], rows: list[Link], found: list[Violation]
) -> list[Link]:
    """The movements that are no posted leg; legs without a movement go into ``found``."""
    left = list(rows)
    for leg, transfer in own.items():
        if transfer.state != "posted":
            continue
        match = next((row for row in left if _is_leg(transfer, row)), None)
        if match is None:
            text = f"leg {leg} of {transfer.serial} is posted without its movement"
            found.append(Violation("unmatched-leg", swap.id, text))
        else:
            left.remove(match)
    return left


def _is_leg(transfer: Transfer, row: Link) -> bool:
    if row.serial != transfer.serial:
        return False
    # What was done under a number keeps the number in its row after the number is claimed.
    claimed = is_unresolved(row.to_holder.removeprefix("rider:"))
    return row.to_holder == transfer.to_holder or (transfer.leg == "out" and claimed)


def _extra(swap: SwapState, own: Mapping[Leg, Transfer], left: list[Link]) -> Iterable[Violation]:
    """What is left is wrong, but for the own pack that went back to its rider."""
    given, taken = own.get("in"), own.get("out")
    back = [row for row in left if given and given.state == "posted" and row.serial == given.serial]
    ended_own = swap.step is Step.CANCELLED and swap.reason == OWN_BATTERY
    posted_in = given is not None and given.state == "posted"
    if ended_own:
        wrong = len(left) != len(back) or len(back) != int(posted_in)
        if wrong or swap.kind is not Kind.SWAP or (taken is not None and taken.state != "void"):
            text = f"{len(left)} movements besides its legs; the own pack went back"
            yield Violation("wrong-own-battery", swap.id, text)
        return
    if swap.step is Step.COMPLETED:
        return  # counted by check_swaps
    allowed = swap.kind is Kind.SWAP and len(back) == 1 and len(left) == 1
    if left and not (allowed and (swap.open or swap.step is Step.FAULTED)):
        text = f"movement {left[0].id} of {left[0].serial} is no leg of it"
        yield Violation("unposted-movement", swap.id, text)


def check_steps(
    swaps: Iterable[SwapState], told: Iterable[Told], open_swaps: Mapping[str, bool]
) -> list[Violation]:
    """A swap stands where its cabinet said, and is stored as open as long as it is.

    ``open_swaps`` is the stored column by swap; it must follow from the step.
    """
    furthest: dict[tuple[str, str], Step] = {}
    for each in told:
        key = (each.cabinet, each.swap_id)
        if key not in furthest or STEP_RANK[each.step] >= STEP_RANK[furthest[key]]:
            furthest[key] = each.step
    by_id = {swap.id: swap for swap in swaps}
    found: list[Violation] = []
    heard: set[str] = set()
    for (cabinet, swap_id), step in furthest.items():
        twin = twin_id(swap_id, cabinet)
        mine = [by_id[name] for name in (swap_id, twin) if name in by_id]
        mine = [swap for swap in mine if swap.cabinet == cabinet]
        heard.update(swap.id for swap in mine)
        if not mine:
            found.append(Violation("missing-swap", swap_id, f"{cabinet} told of it"))
        elif len(mine) == 1 and mine[0].step is not step:  # two uses of a ticket share their steps
            text = f"stands at {_name(mine[0].step)}, its cabinet told {step.value}"
            found.append(Violation("wrong-step", mine[0].id, text))
    for swap in by_id.values():
        if swap.id not in heard and swap.rank not in (0, FLEET_VERDICT_RANK):
            text = f"stands at {_name(swap.step)}, no cabinet told of it"
            found.append(Violation("wrong-step", swap.id, text))
        expected = 0 if swap.step is None else STEP_RANK[swap.step]
        if swap.rank not in (expected, FLEET_VERDICT_RANK if not swap.open else expected):
            text = f"rank {swap.rank} at {_name(swap.step)}"
            found.append(Violation("wrong-rank", swap.id, text))
        if open_swaps.get(swap.id, swap.open) is not swap.open:
            text = f"stored as {'open' if not swap.open else 'ended'} at {_name(swap.step)}"
            found.append(Violation("wrong-open", swap.id, text))
    return found


def _name(step: Step | None) -> str:
    return "nothing" if step is None else step.value
