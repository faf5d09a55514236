"""The fleet: its real core over facts in memory, with crashes and restored backups.

Same order as ``fleet.runtime``: a batch is judged, booked and stored in one go, and only then
acknowledged; a command is stored before it is sent, and sent until it is answered or too old.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fleet.core.arrears import Arrears
from fleet.core.batch import Keys, Pending, Plan
from fleet.core.commands import (
    Ask,
    Expired,
    Lane,
    QueuedCommand,
    Send,
    Wait,
    envelope,
    next_seq,
    verdict_on,
)
from fleet.core.ids import rider_holder
from fleet.core.ingest import Arrival, Watermark, open_payload
from fleet.core.ledger import Battery, Book, Leg, Movement, SwapState, Transfer, reserve
from fleet.core.swaps import (
    NO_ANSWER,
    RIDER_KINDS,
    LedgerFacts,
    end_unstarted,
    facts_of,
    refuse,
    refuse_cabinet,
)
from protocols.messages import (
    Ack,
    Challenge,
    DesiredList,
    Kind,
    Result,
    Status,
    Telemetry,
    decode,
    encode,
)
from protocols.topics import Leaf
from simulator.world.node import WALL_MS
from simulator.world.watch import Order

if TYPE_CHECKING:
    from simulator.world.world import World

BATCH_WAIT_MS: Final = 20
ORDER_LIFE_MS: Final = 20_000
QUEUED: Final = "queued"


@dataclass(slots=True)
class Facts:
    """What the fleet has on its disk. ``copy`` is a backup."""

    incarnation: str
    batteries: dict[str, Battery] = field(default_factory=dict)
    swaps: dict[str, SwapState] = field(default_factory=dict)
    transfers: dict[tuple[str, Leg], Transfer] = field(default_factory=dict)
    owed: set[tuple[str, str]] = field(default_factory=set)
    movements: list[Movement] = field(default_factory=list)
    marks: dict[str, Watermark] = field(default_factory=dict)
    spans: dict[tuple[str, int], tuple[int, int, int]] = field(default_factory=dict)
    poison: list[str] = field(default_factory=list)
    outbox: dict[str, tuple[QueuedCommand, str]] = field(default_factory=dict)
    command_seq: dict[str, int] = field(default_factory=dict)
    keys: dict[tuple[str, str], str] = field(default_factory=dict)
    lists_version: int = 0

    def copy(self) -> Facts:
        """The same facts, apart."""
        return Facts(
            self.incarnation,
            dict(self.batteries),
            dict(self.swaps),
            dict(self.transfers),
            set(self.owed),
            list(self.movements),
            dict(self.marks),
            dict(self.spans),
            list(self.poison),
            dict(self.outbox),
            dict(self.command_seq),
            dict(self.keys),
            self.lists_version,
        )

    def book(self, keys: Keys) -> Book:
        """The facts for these keys, as the store reads them."""
        batteries = {
            serial: battery
            for serial, battery in self.batteries.items()
            if serial in keys.serials or battery.holder in keys.holders
        }
        swaps = {
            id_: swap
            for id_, swap in self.swaps.items()
            if id_ in keys.swaps or (swap.open and swap.cabinet in keys.inventories)
        }
        transfers = {}
        for id_ in swaps:
            for leg in ("in", "out"):
                found = self.transfers.get((id_, leg))
                if found is not None:
                    transfers[id_, found.leg] = found
        owed = {(serial, holder) for serial, holder in self.owed if serial in batteries}
        return Book(batteries, swaps, transfers, owed)

    def write(self, pending: Pending) -> None:
        """Take up a folded batch."""
        self.movements += pending.movements
        self.batteries.update(pending.batteries)
        for id_, swap in pending.swaps.items():
            if id_ not in self.swaps or self.swaps[id_].rank <= swap.rank:
                self.swaps[id_] = swap
        self.transfers.update(pending.transfers)
        self.owed = (self.owed - pending.settled) | pending.owed


@dataclass(slots=True)
class _Live:
    status: Status | None = None
    telemetry: Telemetry | None = None
    received_ms: int | None = None


class Fleet:
    """One fleetd with its store."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.facts = Facts(incarnation="i-1")
        self.backup = self.facts.copy()
        self.up = True
        self._restores = 0
        self._ids = 0
        self._lanes: dict[str, Lane] = {}
        self._queue: deque[Arrival] = deque()
        self._live: dict[str, _Live] = {}
        self._greet: set[str] = set()
        self._arrears = Arrears()
        self._commit_armed = False
        self._starts = 0

    # --- life ---------------------------------------------------------------------------------

    def crash(self, down_ms: int) -> None:
        """What was in memory is gone."""
        if not self.up:
            return
        self.world.note("fleet-down", down_ms)
        self.up = False
        self._lanes.clear()
        self._queue.clear()
        self._live.clear()
        self._greet.clear()
        self._arrears = Arrears()
        self._commit_armed = False
        self.world.time.after(down_ms, self._start)

    def restore(self, down_ms: int) -> None:
        """An earlier backup takes the place of the store, under a new incarnation."""
        self._restores += 1
        facts = self.backup.copy()
        facts.incarnation = f"i-{self._restores + 1}"
        self.facts = facts
        self.world.note("fleet-restore", facts.incarnation, len(facts.movements))
        self.crash(down_ms)

    def save_backup(self) -> None:
        """Make the backup that a restore will use."""
        self.backup = self.facts.copy()

    def _start(self) -> None:
        self.up = True
        self._starts += 1
        for command, state in self.facts.outbox.values():
            if state == QUEUED:
                self._submit(command)
        for node in self.world.nodes:
            node.tell_status()
        self.publish_lists()

    @property
    def _wall_ms(self) -> int:
        return WALL_MS + self.world.time.now_ms

    def _id(self, what: str) -> str:
        self._ids += 1
        return f"{what}-{self._ids}"

    # --- from the cabinets --------------------------------------------------------------------

    def on_message(self, cabinet: str, leaf: Leaf, payload: bytes) -> None:
        """A message of a cabinet, as the broker brings it."""
        if not self.up:
            return
        if leaf is Leaf.EVENT:
            self._queue.append(open_payload(cabinet, payload))
            self._arm_commit()
        elif leaf is Leaf.RESULT:
            self._on_result(cabinet, decode(payload, Result))
        elif leaf is Leaf.TELEMETRY:
            live = self._live.setdefault(cabinet, _Live())
            live.telemetry, live.received_ms = decode(payload, Telemetry), self.world.time.now_ms
            told = live.telemetry
            if self._arrears.written(cabinet, told.epoch, told.seq, self.world.time.now_ms):
                self._greet.add(cabinet)
                self._arm_commit()
        elif leaf is Leaf.STATUS:
            self._on_status(cabinet, decode(payload, Status))

    def _on_status(self, cabinet: str, status: Status) -> None:
        live = self._live.setdefault(cabinet, _Live())
        known = live.status
        if known is not None and status.session < known.session:
            return
        live.status = status
        if status.online:
            self._greet.add(cabinet)
            self._arm_commit()

    def _arm_commit(self) -> None:
        if not self._commit_armed:
            self._commit_armed = True
            self.world.time.after(BATCH_WAIT_MS, self._commit, self._starts)

    def _commit(self, start: int) -> None:
        if start != self._starts or not self.up:
            return
        self._commit_armed = False
        if self._queue:
            plan = self.commit_batch()
            if self.world.chance(self.world.profile.visit["fleet-crash"] * 0.02):
                self.crash(1_000 + int(self.world.rng.random() * 8_000))
                return
            for cabinet, mark in plan.outcome.acks.items():
                self.acknowledge(cabinet, mark)
            self._greet -= plan.outcome.acks.keys()
        for cabinet in sorted(self._greet):
            self.acknowledge(cabinet, self.facts.marks[cabinet])
        self._greet.clear()

    def waiting_events(self) -> tuple[Arrival, ...]:
        """What has come and is not stored yet."""
        return tuple(self._queue)

    def commit_batch(self) -> Plan:
        """Judge, book and store what has come, in one transaction."""
        plan = Plan(marks=dict(self.facts.marks))
        while self._queue:
            plan.judge(self._queue.popleft())
        pending = plan.work_out(self.facts.book(plan.keys()), self._wall_ms)
        self.facts.write(pending)
        for arrival, event, _ in plan.sound:
            self._count(arrival.cabinet, event.epoch, event.seq)
        for arrival, error in plan.poison:
            self.facts.poison.append(f"{arrival.cabinet} {arrival.epoch}/{arrival.seq}: {error}")
        for cabinet in plan.moved:
            self.facts.marks[cabinet] = plan.marks[cabinet]
        return plan

    def _count(self, cabinet: str, epoch: int, seq: int) -> None:
        first, last, count = self.facts.spans.get((cabinet, epoch), (seq, 0, 0))
        span = (min(first, seq), max(last, seq), count + 1)
        self.facts.spans[cabinet, epoch] = span

    def acknowledge(self, cabinet: str, mark: Watermark) -> None:
        """Tell a cabinet what is stored."""
        self._arrears.stored(cabinet, mark)
        ack = Ack(epoch=mark.epoch, seq=mark.seq, incarnation=self.facts.incarnation)
        self.world.watch.acknowledges(cabinet, ack, self.facts.marks[cabinet])
        self.world.node(cabinet).link.downwards(Leaf.ACK, encode(ack))

    # --- orders -------------------------------------------------------------------------------

    def serials_of(self, rider: str) -> tuple[str, ...]:
        """The packs that the ledger says a rider holds."""
        holder = rider_holder(rider)
        return tuple(sorted(b.serial for b in self.facts.batteries.values() if b.holder == holder))

    def begin(
        self,
        rider: str,
        cabinet: str,
        kind: Kind,
        key: str,
        slot: int | None = None,
        *,
        racing: bool = False,
    ) -> tuple[str | None, str]:
        """Authorise a transaction: its id, or None and why not.

        ``racing``: by a worker that does not see what another one has just authorised.
        """
        if not self.up:
            return None, "fleet-down"
        facts = self.facts
        if (known := facts.keys.get((rider, key))) is not None:
            return known, ""
        live = self._live.get(cabinet, _Live())
        age_ms = None
        if live.received_ms is not None:
            age_ms = self.world.time.now_ms - live.received_ms
        seen = facts_of(live.status, live.telemetry, age_ms)
        mine = self._open_swap(lambda swap: swap.rider == rider)
        other = self._open_swap(lambda swap: swap.cabinet == cabinet and swap.rider != rider)
        serials = self.serials_of(rider)
        if kind in RIDER_KINDS:
            code = refuse(kind, seen, LedgerFacts(serials, mine, cabinet_open_swap=other))
        else:
            code = refuse_cabinet(seen) or ("busy" if mine or other else None)
        if code is not None and not racing:
            return None, code
        swap_id = self._id("swap")
        expected = serials[0] if len(serials) == 1 and kind in RIDER_KINDS else None
        swap = SwapState(swap_id, cabinet, rider, kind)
        args: dict[str, Any] = {"kind": kind.value, "rider_id": rider}
        if expected is not None:
            args["expected_serial"] = expected
        if slot is not None:
            args["slot"] = slot
        facts.swaps[swap_id] = swap
        for leg in reserve(swap, expected):
            facts.transfers[leg.swap_id, leg.leg] = leg
        facts.keys[rider, key] = swap_id
        id_ = f"start-{swap_id}"
        self._submit(self._store(id_, cabinet, "swap.start", args, actor=rider, swap_id=swap_id))
        return swap_id, ""

    def _open_swap(self, which: Any) -> str | None:
        return next((s.id for s in self.facts.swaps.values() if s.open and which(s)), None)

    def order(
        self,
        cabinet: str,
        type_: str,
        args: dict[str, Any] | None = None,
        *,
        actor: str = "T1",
        swap_id: str | None = None,
    ) -> str | None:
        """Store a command and send it; its id."""
        if not self.up:
            return None
        command = self._store(
            self._id("cmd"), cabinet, type_, args or {}, actor=actor, swap_id=swap_id
        )
        self._submit(command)
        return command.id

    def _store(
        self,
        command_id: str,
        cabinet: str,
        type_: str,
        args: dict[str, Any],
        *,
        actor: str,
        swap_id: str | None,
    ) -> QueuedCommand:
        facts = self.facts
        seq = next_seq(facts.command_seq.get(cabinet, 0), self._wall_ms)
        facts.command_seq[cabinet] = seq
        command = QueuedCommand(
            id=command_id,
            cabinet=cabinet,
            seq=seq,
            type=type_,
            args=args,
            actor=actor,
            created_ms=self._wall_ms,
            expires_ms=self._wall_ms + ORDER_LIFE_MS,
            swap_id=swap_id,
        )
        facts.outbox[command.id] = (command, QUEUED)
        self.world.watch.ordered(command.id, Order(cabinet, type_, swap_id, self.world.time.now_ms))
        self.world.note("order", cabinet, type_, command.id, args)
        return command

    def _submit(self, command: QueuedCommand) -> None:
        life_ms = command.expires_ms - self._wall_ms
        lane = self._lanes.setdefault(command.cabinet, Lane())
        lane.add(command, self.world.time.now_ms + life_ms)
        self.world.time.after(0, self._advance, self._starts, command.cabinet)

    def _advance(self, start: int, cabinet: str) -> None:
        lane = self._lanes.get(cabinet)
        if start != self._starts or not self.up or lane is None:
            return
        link = self.world.node(cabinet).link
        while True:
            match lane.next(self.world.time.now_ms):
                case Ask():
                    challenge = Challenge(id=self._id("ask"), count=2)
                    link.downwards(Leaf.CHALLENGE, encode(challenge))
                case Send(command, nonce):
                    link.downwards(Leaf.COMMAND, encode(self.world.sign(envelope(command, nonce))))
                case Expired(command, sent):
                    self._settle(command, None, sent=sent)
                case Wait(until_ms):
                    if until_ms is not None:
                        delay_ms = max(1, until_ms - self.world.time.now_ms)
                        self.world.time.after(delay_ms, self._advance, start, cabinet)
                    return

    def _on_result(self, cabinet: str, result: Result) -> None:
        lane = self._lanes.get(cabinet)
        if lane is None:
            return
        command = lane.take(result, self.world.time.now_ms)
        if command is not None:
            self._settle(command, result, sent=True)
        self._advance(self._starts, cabinet)

    def _settle(self, command: QueuedCommand, result: Result | None, *, sent: bool) -> None:
        state = "expired" if result is None else result.outcome
        reason = NO_ANSWER if result is None else result.reason
        self.world.note("settled", command.id, state, reason)
        facts = self.facts
        if command.id not in facts.outbox or facts.outbox[command.id][1] != QUEUED:
            return
        facts.outbox[command.id] = (command, state)
        verdict = verdict_on(command, result)
        if verdict is None or command.swap_id is None or command.swap_id not in facts.swaps:
            return
        evidence = "sent, unanswered" if result is None and sent else ""
        swap = facts.swaps[command.swap_id]
        legs = [t for (id_, _), t in facts.transfers.items() if id_ == swap.id]
        changes = end_unstarted(swap, legs, verdict, reason, evidence)
        if changes is not None:
            pending = Pending()
            pending.add(changes)
            facts.write(pending)

    # --- what could go wrong on its side ------------------------------------------------------

    def echo(self, swap_id: str) -> None:
        """Two workers of one fleet: a swap is ordered again, under another command id."""
        swap = self.facts.swaps.get(swap_id)
        start = self.facts.outbox.get(f"start-{swap_id}")
        order = self.world.watch.orders.get(f"start-{swap_id}")
        if not self.up or swap is None or start is None or order is None or order.answer is None:
            return  # only what a cabinet has taken up is of interest
        first = start[0]
        again = self._store(
            self._id("echo"),
            first.cabinet,
            first.type,
            first.args,
            actor=first.actor,
            swap_id=swap_id,
        )
        self._submit(again)

    def publish_lists(self) -> None:
        """The known packs, retained at every cabinet."""
        version = max(self._wall_ms, self.facts.lists_version + 1)
        self.facts.lists_version = version
        known = tuple(sorted(p.serial for p in self.world.packs.values() if not p.foreign))
        for node in self.world.nodes:
            document = DesiredList(cabinet=node.id, version=version, chunk=0, chunks=1, packs=known)
            node.link.downwards(Leaf.DESIRED_LISTS, encode(self.world.sign(document)))

    def waiting(self) -> bool:
        """Whether commands or events are still under way here."""
        return bool(self._queue) or any(lane.queue for lane in self._lanes.values())
