"""The invariants of the moment: looked at whenever a row is kept, a pulse ordered, an answer given.

The watch knows what the fleet really ordered and what really happened; the cabinet under test does
not know the watch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from cabinet.core.model import CONTACT_AGE_MAX_MS, Unlock, UnlockResult
from cabinet.core.records import EventRow, JournalRow, Write
from cabinet.core.swap_model import OpeningBack, OpeningPickup, OpeningReturn
from protocols.messages import (
    NONCE_LIFE_MS,
    TERMINAL_STEPS,
    Ack,
    BatteryBody,
    Command,
    Door,
    Event,
    Kind,
    Presence,
    Result,
    StepBody,
)

if TYPE_CHECKING:
    from fleet.core.ingest import Watermark
    from simulator.world.node import Node
    from simulator.world.truth import Bay

_STEP: Final = msgspec.json.Decoder(StepBody)
_BATTERY: Final = msgspec.json.Decoder(BatteryBody)
#: An order is alive for 20 s of the fleet, then for as long as its last nonce.
ORDER_LIFE_MS: Final = 20_000 + NONCE_LIFE_MS + 1_000
OPENING: Final = (OpeningReturn, OpeningBack, OpeningPickup)
_MINE: Final = frozenset({"accepted", "done"})


class Violation(Exception):  # noqa: N818 - not an error of the program: a finding
    """A broken invariant: a stable code, and what happened."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(slots=True)
class Order:
    """A command that the fleet really gave."""

    cabinet: str
    type: str
    swap_id: str | None
    created_ms: int
    executed: int = 0
    answer: str | None = None


class Watch:
    """What was ordered, journalled, pulsed and told so far."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.swaps: dict[str, str] = {}  # swap to cabinet
        self.ended: set[str] = set()
        self.unlocks: dict[str, tuple[str, int]] = {}  # attempt to cabinet and slot
        self.pulsed: set[str] = set()
        self.opened_by: dict[tuple[str, int], str] = {}  # open doors, by the swap that opened them
        self.nonces: dict[str, int] = {}  # when issued
        self.pulses = 0
        self._obeyed: Command | None = None
        self._fired: dict[tuple[str, int, int], int] = {}  # cabinet, boot, slot: last sure pulse

    # --- the fleet ----------------------------------------------------------------------------

    def ordered(self, command: str, order: Order) -> None:
        """The fleet has stored an order."""
        self.orders.setdefault(command, order)
        if order.swap_id is not None and order.type == "swap.start":
            self.swaps.setdefault(order.swap_id, order.cabinet)

    def acknowledges(self, cabinet: str, ack: Ack, mark: Watermark) -> None:
        """The fleet may only acknowledge what it has on its disk."""
        if (ack.epoch, ack.seq) > (mark.epoch, mark.seq) and ack.seq > 0:
            raise Violation(
                "ack-before-commit",
                f"{cabinet}: {ack.epoch}/{ack.seq} acknowledged, {mark.epoch}/{mark.seq} stored",
            )

    # --- the cabinet's journal ----------------------------------------------------------------

    def kept(self, node: Node, writes: Sequence[Write]) -> None:
        """Rows are on the disk."""
        for row in writes:
            if type(row) is EventRow:
                self._event(node, row.event)
            elif type(row) is JournalRow:
                if row.kind == "unlock":
                    self._unlock_row(node, row)
                elif row.kind == "command" and row.detail["outcome"] in _MINE:
                    self._executed(node, str(row.detail["id"]))

    def _event(self, node: Node, event: Event) -> None:
        if event.type == "swap.step":
            step = _STEP.decode(event.body)
            if step.swap_id not in self.swaps:
                raise Violation("unknown-swap", f"{node.id} tells of {step.swap_id}")
            if step.step in TERMINAL_STEPS:
                self.ended.add(step.swap_id)
            elif step.swap_id in self.ended:
                raise Violation("swap-after-its-end", f"{step.swap_id}: {step.step.value}")
        elif event.type == "battery.in":
            body = _BATTERY.decode(event.body)
            pack = node.world.packs.get(body.serial)
            if pack is not None and pack.foreign and body.cause == "swap":
                raise Violation("foreign-accepted", f"{body.serial} in {node.id}:{body.slot}")
        elif event.type == "battery.out":
            body = _BATTERY.decode(event.body)
            bay = node.rack.bays[body.slot]
            there = bay.pack is not None and bay.pack.serial == body.serial
            if there and bay.presence_read is Presence.PRESENT and body.cause != "vanished":
                raise Violation("booked-out-though-in", f"{body.serial} in {node.id}:{body.slot}")

    def _unlock_row(self, node: Node, row: JournalRow) -> None:
        attempt, slot = str(row.detail["attempt"]), int(row.detail["slot"])
        if attempt in self.unlocks:
            raise Violation("attempt-reused", f"{node.id}:{slot} {attempt}")
        self.unlocks[attempt] = (node.id, slot)

    def _executed(self, node: Node, command: str) -> None:
        order = self.orders.get(command)
        if order is None or order.cabinet != node.id:
            raise Violation("forged-command", f"{node.id} obeyed {command}")
        order.executed += 1
        if order.executed > 1:
            raise Violation("command-twice", f"{node.id} executed {command} again")
        age_ms = node.world.now_ms - order.created_ms
        if age_ms > ORDER_LIFE_MS:
            raise Violation("stale-command", f"{node.id} obeyed {command} {age_ms} ms old")
        message = node.handling
        if message is None or message.id != command:
            raise Violation("forged-command", f"{node.id} obeyed {command} out of nowhere")
        issued_ms = self.nonces.get(message.nonce)
        if issued_ms is None or node.world.now_ms - issued_ms > NONCE_LIFE_MS:
            raise Violation("stale-command", f"{node.id} obeyed {command} on an old nonce")
        self._obeyed = message

    # --- pulses -------------------------------------------------------------------------------

    def pulse(self, node: Node, unlock: Unlock) -> None:
        """A pulse goes out to a lock."""
        self.pulses += 1
        where = f"{node.id}:{unlock.slot} {unlock.attempt}"
        if self.unlocks.get(unlock.attempt) != (node.id, unlock.slot):
            raise Violation("pulse-without-journal", where)
        if unlock.attempt in self.pulsed:
            raise Violation("pulse-twice", where)
        self.pulsed.add(unlock.attempt)
        acting = node.acting
        assert acting is not None
        bay = node.rack.bays[unlock.slot]
        if acting.state.verdict.doors_locked:
            raise Violation("pulse-while-locked", where)
        age_ms = None if bay.door_read_ms is None else node.mono_ms - bay.door_read_ms
        if bay.door_read is not Door.CLOSED or age_ms is None or age_ms > CONTACT_AGE_MAX_MS:
            raise Violation(
                "pulse-at-unshut-door", f"{where}, read {bay.door_read} {age_ms} ms ago"
            )
        head, _, tail = unlock.attempt.rpartition(":")
        if head == "open":
            if tail not in self.orders:
                raise Violation("pulse-without-cause", where)
            return
        if self.swaps.get(head) != node.id or head in self.ended:
            raise Violation("pulse-without-cause", where)
        self._not_blindly(node, unlock.slot, where)
        self._one_door(node, head, unlock.slot)
        self._fit_to_offer(node, bay, where)

    def outcome(self, node: Node, unlock: Unlock, result: UnlockResult) -> None:
        """What became of a pulse is about to be told."""
        key = node.id, node.boots, unlock.slot
        if result is UnlockResult.REFUSED:
            self._fired.pop(key, None)
        else:
            self._fired[key] = node.world.now_ms

    def _not_blindly(self, node: Node, slot: int, where: str) -> None:
        """A pulse that may have fired is given its time before the next try."""
        assert node.acting is not None
        swap = node.acting.state.durable.swap
        fired_ms = self._fired.get((node.id, node.boots, slot))
        if not isinstance(swap, OPENING) or swap.door.tries < 2 or fired_ms is None:
            return
        if node.world.now_ms - fired_ms < node.config.swap.open_wait_ms:
            raise Violation("pulse-retried-blindly", where)

    def _one_door(self, node: Node, swap_id: str, slot: int) -> None:
        for (cabinet, other), opener in self.opened_by.items():
            if cabinet == node.id and opener == swap_id and other != slot:
                raise Violation("two-doors", f"{swap_id}: {slot} while {other} is open")

    def _fit_to_offer(self, node: Node, bay: Bay, where: str) -> None:
        assert node.acting is not None
        durable = node.acting.state.durable
        swap = durable.swap
        if not isinstance(swap, OpeningPickup) or swap.door.slot != bay.number:
            return
        if swap.job.kind not in {Kind.SWAP, Kind.PICKUP}:
            return
        if bay.number in durable.quarantine:
            raise Violation("quarantined-offered", where)
        if bay.pack is not None and bay.pack.foreign:
            raise Violation("foreign-offered", f"{where} {bay.pack.serial}")
        read = bay.last_bms
        if read is not None and read.protection and bay.pack is not None:
            raise Violation(
                "unwell-offered", f"{where} {bay.pack.serial} {sorted(read.protection)}"
            )

    def opened(self, node: Node, slot: int, attempt: str) -> None:
        """A door sprang open by this pulse."""
        self.opened_by[node.id, slot] = attempt.rpartition(":")[0]

    def shut(self, node: Node, slot: int) -> None:
        """A hand has shut a door."""
        self.opened_by.pop((node.id, slot), None)

    # --- answers ------------------------------------------------------------------------------

    def answered(self, node: Node, result: Result) -> None:
        """An answer goes out; a repeated command must get the answer that it got before."""
        for nonce in result.nonces:
            self.nonces[nonce] = node.world.now_ms
        order = self.orders.get(result.id)
        if order is None:
            return
        if result.outcome == "refused":
            if order.answer is not None:
                raise Violation(
                    "answer-changed", f"{result.id}: {order.answer}, then refused {result.reason}"
                )
        else:
            order.answer = result.outcome

    def used(self, node: Node, command: Command) -> None:
        """A command has been handled: its nonce is worth nothing any more if it was obeyed."""
        if node.acting is None or self._obeyed is not command:
            return
        if any(nonce.value == command.nonce for nonce in node.acting.state.nonces):
            raise Violation("nonce-reusable", f"{node.id} {command.id}")
