"""Play one rider's swap by the simulator's hands, then ask ledger and simulator whether it happened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from deploy.demo.clients import Json, RiderClient, SimClient
from deploy.demo.errors import DemoError, SwapFailedError
from deploy.demo.stack import Stack
from deploy.demo.waiting import Deadline, now_s, until

SWAP_WITHIN_S: Final = 90.0
DOOR_WITHIN_S: Final = 30.0
FULL_WITHIN_S: Final = 30.0
LEDGER_WITHIN_S: Final = 30.0
OLD_PACK_SOC_PCT: Final = 18.0
TERMINAL_STEPS: Final = frozenset({"completed", "rejected", "cancelled", "faulted"})


@dataclass(slots=True)
class Played:
    """What was seen of one swap while it was played."""

    swap_id: str
    serial_in: str
    soc_in_pct: float = OLD_PACK_SOC_PCT
    serial_out: str | None = None
    slot_in: int | None = None
    slot_out: int | None = None
    steps: list[str] = field(default_factory=list)
    reason: str | None = None


class Hands:
    """A rider's hands at the cabinet; they look at the doors only, as a rider would."""

    def __init__(self, sim: SimClient) -> None:
        self._sim = sim

    def give(self, slot: int, serial: str, soc_pct: float = OLD_PACK_SOC_PCT) -> None:
        """Put a pack into the slot once its door is open, and shut the door."""
        self.wait_open(slot)
        self._sim.insert(slot, serial, soc_pct)
        self._sim.close_door(slot)

    def take(self, slot: int) -> str:
        """Take the pack out of the slot once its door is open; leave the door open."""
        self.wait_open(slot)
        return self._sim.remove(slot)

    def wait_open(self, slot: int) -> None:
        """Wait until the door has sprung open."""
        until(
            lambda: self._sim.slot(slot)["door"] == "open",
            within_s=DOOR_WITHIN_S,
            what=f"door {slot} open in the simulator",
        )


def _wait_full(stack: Stack, rider: RiderClient) -> None:
    """A pack counts as full only while its readings are fresh, which a busy machine may delay."""

    def full() -> bool:
        view = rider.cabinet(stack.options.cabinet_id)
        return view is not None and any(slot["state"] == "ready" for slot in view["slots"])

    until(full, within_s=FULL_WITHIN_S, what="a full pack to take")


def play(
    stack: Stack,
    rider: RiderClient,
    say: Callable[[str], None],
    *,
    serial: str | None = None,
    soc_pct: float = OLD_PACK_SOC_PCT,
) -> Played:
    """Tap, follow the swap and do by hand what each step asks for; return what was seen.

    The rider brings ``serial`` (None: the first rider's pack) with this much left in it.

    Raises:
        SwapFailedError: the swap ended otherwise than completed, or did not end in time.
    """
    serial_in = serial or stack.options.rider_serial
    if serial_in is None:
        raise DemoError("the rider has no pack to give back")
    _wait_full(stack, rider)
    started_s = now_s()
    first = rider.start(stack.options.cabinet_id)
    played = Played(swap_id=first["id"], serial_in=serial_in, soc_in_pct=soc_pct)
    hands = Hands(stack.sim)
    say(f"swap {played.swap_id}: the rider has {serial_in} at {soc_pct:g} %")
    for view in _views(rider, played.swap_id, Deadline.after(SWAP_WITHIN_S), stack.check_alive):
        step = view["step"]
        if step is None or (played.steps and played.steps[-1] == step):
            continue
        played.steps.append(step)
        played.reason = view["reason"]
        say(f"  {now_s() - started_s:6.2f} s  {_describe(view)}")
        _act(hands, stack.sim, view, played, say)
        if step in TERMINAL_STEPS:
            break
    if played.steps[-1:] != ["completed"]:
        end = played.steps[-1] if played.steps else "nothing"
        raise SwapFailedError(
            f"the swap ended as {end}" + (f" ({played.reason})" if played.reason else "")
        )
    return played


def verify(stack: Stack, played: Played, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Hold ledger against simulator; return the two movements.

    Raises:
        SwapFailedError: they disagree with each other or with what the hands did.
    """
    movements = until(
        lambda: _two_movements(stack, played.swap_id),
        within_s=LEDGER_WITHIN_S,
        what=f"two posted movements of swap {played.swap_id} in the ledger",
        every_s=0.5,
    )
    for row in movements:
        say(f"  ledger #{row['id']}: {row['serial']}  {row['from_holder']} -> {row['to_holder']}")
    cabinet, rider = stack.options.cabinet_id, f"rider:{stack.rider_id}"
    expected = {
        (played.serial_in, rider, f"slot:{cabinet}:{played.slot_in}"),
        (played.serial_out, f"slot:{cabinet}:{played.slot_out}", rider),
    }
    booked = {(row["serial"], row["from_holder"], row["to_holder"]) for row in movements}
    if booked != expected:
        raise SwapFailedError(f"the ledger says {booked}, the hands did {expected}")
    truth = stack.sim.serials()
    if truth.get(played.slot_in or 0) != played.serial_in or played.slot_out in truth:
        raise SwapFailedError(f"the simulator holds {truth}, not what the ledger says")
    say(
        f"  simulator: slot {played.slot_in} holds {played.serial_in}, "
        f"slot {played.slot_out} is empty, the rider has {played.serial_out}"
    )
    return movements


def ledger_of(stack: Stack, swap_id: str) -> list[dict[str, Any]]:
    """The posted movements of a swap, by ``fleetd ledger swap``."""
    found = json.loads(stack.fleet("ledger", "swap", swap_id, "--json"))
    rows: list[dict[str, Any]] = found["movements"] if isinstance(found, dict) else found
    return rows


def jam_all(stack: Stack) -> None:
    """Jam every lock, so that whichever door the cabinet tries stays shut."""
    for slot in range(1, stack.options.slots + 1):
        stack.sim.jam(slot)


def _views(
    rider: RiderClient, swap_id: str, deadline: Deadline, check_alive: Callable[[], None]
) -> Iterator[Json]:
    """Every view of the swap, by stream; a broken stream is opened again, as the page does."""
    while deadline.left_s() > 0:
        check_alive()
        try:
            for view in rider.follow(swap_id):
                if view is not None:
                    yield view
                if deadline.left_s() <= 0:
                    break
        except httpx2.TransportError:
            yield rider.swap(swap_id)
    raise SwapFailedError(f"the swap did not end within {deadline.within_s:g} s")


def _act(
    hands: Hands, sim: SimClient, view: Json, played: Played, say: Callable[[str], None]
) -> None:
    """What the rider does at a step."""
    if view["step"] == "await-return":
        played.slot_in = view["slot_in"]
        hands.give(view["slot_in"], played.serial_in, played.soc_in_pct)
        say(f"           hands: {played.serial_in} into slot {view['slot_in']}, door shut")
    elif view["step"] == "await-pickup":
        played.slot_out = view["slot_out"]
        played.serial_out = hands.take(view["slot_out"])
        say(f"           hands: {played.serial_out} out of slot {view['slot_out']}")
    elif view["step"] == "await-close":
        sim.close_door(view["slot_out"])
        say(f"           hands: door {view['slot_out']} shut")


def _describe(view: Json) -> str:
    slot = {
        "opening-return": view["slot_in"],
        "await-return": view["slot_in"],
        "verifying": view["slot_in"],
        "giving-back": view["slot_in"],
        "opening-pickup": view["slot_out"],
        "await-pickup": view["slot_out"],
        "await-close": view["slot_out"],
    }.get(view["step"])
    where = f"  slot {slot}" if slot else ""
    why = f"  reason {view['reason']}" if view["reason"] else ""
    return f"{view['step']}{where}{why}"


def _two_movements(stack: Stack, swap_id: str) -> list[dict[str, Any]] | None:
    rows = ledger_of(stack, swap_id)
    return rows if len(rows) == 2 else None
