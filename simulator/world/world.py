"""One seeded world: a fleet, one or two small cabinets, riders, a technician, and what happens."""

from __future__ import annotations

import hashlib
from collections import Counter
from random import Random
from typing import Any, Final, TypeVar

import msgspec

from cabinet.core.swap_model import is_active
from fleet.core.arrears import PATIENCE_MS
from fleet.core.ids import UNKNOWN, slot_holder
from fleet.core.ingest import Watermark
from fleet.core.ledger import Battery, Movement
from protocols.messages import Kind, Signed, Step, signing_bytes
from simulator.world import checks, faults, profile
from simulator.world.fleet import Fleet
from simulator.world.node import WALL_MS, Node
from simulator.world.people import Person
from simulator.world.timeline import Timeline
from simulator.world.truth import Bay, Pack
from simulator.world.watch import Violation, Watch

RIDERS: Final = 4
#: A world in which nobody is served any more must end too.
VISITS_PER_SWAP: Final = 12
SETTLE_MS: Final = 3_600_000
CALM_MS: Final = PATIENCE_MS + 20_000  # by then a cabinet that was not told is told again
#: Part of the riders who come though the map shows nothing for them, and of the faults with no swap.
IDLE_SHARE: Final = 0.06
FULL_PCT: Final = 90
#: Longer than clocks may be apart: the ledger can tell which cabinet saw a pack first.
TRAVEL_MS: Final = 120_000
#: An honest rider may still be turned away for these.
EXCUSES: Final = frozenset({"no-empty-slot", "no-full-battery", "pickup-owed"})
_KEY: Final = b"the fleet's command key of a world"
S = TypeVar("S", bound=Signed)


class World:
    """Everything that one seed decides."""

    def __init__(self, seed: int, swaps: int) -> None:
        self.rng = Random(seed)  # noqa: S311 - reproducible is what it must be
        self.time = Timeline()
        self.profile = profile.draw(self.rng)
        self.watch = Watch()
        self.packs: dict[str, Pack] = {}
        self.trace: list[tuple[Any, ...]] = []
        self.quota = swaps
        self.begun = 0
        self.visits = 0
        self.healing = False
        self.refusals: Counter[str] = Counter()
        self.fleet = Fleet(self)
        count = 2 if self.rng.random() < 0.3 else 1
        self.nodes = [
            Node(self, f"DH-000{n}", self.rng.choice((4, 5, 6))) for n in range(1, count + 1)
        ]
        self._by_id = {node.id: node for node in self.nodes}
        self.riders = [Person(self, f"R{n}") for n in range(1, RIDERS + 1)]
        self.technician = Person(self, "T1", technician=True)
        self._furnish()

    @property
    def now_ms(self) -> int:
        """True time since the world began."""
        return self.time.now_ms

    def node(self, cabinet: str) -> Node:
        """The cabinet of this name."""
        return self._by_id[cabinet]

    def note(self, *what: Any) -> None:
        """A line of the trace."""
        self.trace.append((self.time.now_ms, *what))

    def chance(self, rate: float) -> bool:
        """Whether it happens; a rate of nothing takes no dice."""
        return rate > 0.0 and self.rng.random() < rate

    # --- keys ---------------------------------------------------------------------------------

    def sign(self, message: S) -> S:
        """As the fleet signs; a keyed hash stands for Ed25519, which is not what is tested here."""
        return msgspec.structs.replace(message, sig=_mac(signing_bytes(message)))

    def verify(self, data: bytes, sig: str) -> bool:
        """As the cabinet verifies."""
        return sig == _mac(data)

    # --- furniture ----------------------------------------------------------------------------

    def _furnish(self) -> None:
        facts = self.fleet.facts
        for node in self.nodes:
            slots = len(node.rack.bays)
            for number in range(1, slots - 1):
                pack = self._new_pack(slot_holder(node.id, number))
                node.rack.bays[number].pack = pack
            facts.marks[node.id] = Watermark()
        for rider in self.riders[: RIDERS - 1]:
            pack = self._new_pack(rider.holder)
            rider.hands.append(pack)
        for pack in self.packs.values():
            facts.batteries[pack.serial] = Battery(pack.serial, pack.place, 1, since_ms=WALL_MS - 1)
            facts.movements.append(
                Movement(pack.serial, UNKNOWN, pack.place, "import", WALL_MS - 1)
            )
        self.fleet.save_backup()

    def _new_pack(self, place: str, *, foreign: bool = False) -> Pack:
        letter = "F" if foreign else "YZ"
        pack = Pack(f"{letter}-{len(self.packs) + 1:04d}", foreign=foreign)
        pack.place = place
        self.packs[pack.serial] = pack
        return pack

    def foreign_pack(self, person: Person) -> Pack:
        """A pack that the network does not know, in somebody's hands."""
        return self._new_pack(person.holder, foreign=True)

    # --- the course of things -----------------------------------------------------------------

    def run(self) -> None:
        """Play it all; raise the first Violation."""
        self.fleet.publish_lists()
        for node in self.nodes:
            node.boot()
            self.time.after(4_000, self._next_visit, node)
        self.time.after(60_000, self._backup)
        self.time.run_until(self._served, 10 * 86_400_000)
        self._heal()
        self._settle()
        checks.final(self)
        self._still_serves()
        self._settle()
        checks.final(self)

    def _served(self) -> bool:
        enough = self.begun >= self.quota or self.visits >= self.quota * VISITS_PER_SWAP
        return enough and not any(node.present for node in self.nodes)

    def _backup(self) -> None:
        self.fleet.save_backup()
        self.time.after(60_000 + int(self.rng.random() * 600_000), self._backup)

    def _next_visit(self, node: Node) -> None:
        if self.healing or self.begun >= self.quota:
            return
        if self._worth_a_visit(node):
            self.visits += 1
            faults.plan(node, IDLE_SHARE)
            if not self._technician_comes(node):
                self._rider_comes(node)
        delay_ms = 2_000 + int(self.rng.random() * 8_000)
        self.time.after(delay_ms, self._next_visit, node)

    def _worth_a_visit(self, node: Node) -> bool:
        """Riders look at the map before they come; some come all the same."""
        if node.present:
            return False
        acting = node.acting
        serves = acting is not None and node.link.up and not is_active(acting.state.durable.swap)
        full = any(
            bay.pack is not None and bay.pack.soc >= FULL_PCT for bay in node.rack.bays.values()
        )
        return (serves and full) or self.rng.random() < IDLE_SHARE

    def _rider_comes(self, node: Node) -> None:
        idle = self._idle(node)
        if not idle:
            return
        rider = idle[int(self.rng.random() * len(idle))]
        for pack in rider.hands:
            if pack.place == rider.holder and not pack.foreign:
                pack.soc = 5 + int(self.rng.random() * 40)
        self._dress(rider)
        kind = Kind.PICKUP
        if rider.hands:
            kind = Kind.RETURN if self.rng.random() < 0.12 else Kind.SWAP
        rider.come(node, kind)

    def _idle(self, node: Node) -> list[Person]:
        return [rider for rider in self.riders if self._can_be_here(rider, node)]

    def _can_be_here(self, person: Person, node: Node) -> bool:
        """Whether nothing else is in hand; the way from another cabinet takes its time."""
        arrived = person.last is node or person.left_ms <= self.now_ms - TRAVEL_MS
        return person.node is None and arrived

    def _dress(self, rider: Person) -> None:
        """What the rider carries today: the own pack, or a stranger's."""
        rider.hands += rider.home
        rider.home = []
        real = [pack for pack in rider.hands if not pack.foreign]
        strange = [pack for pack in rider.hands if pack.foreign]
        rider.hands, rider.home = real, strange
        if real and self.chance(self.profile.rider["foreign"]):
            if not strange:
                strange = [self.foreign_pack(rider)]
            rider.hands, rider.home = strange, real

    def begun_swap(self, person: Person) -> None:
        """A transaction was authorised."""
        self.begun += 1
        node = person.node
        if node is not None:
            faults.plan(node)
        if (
            node is not None
            and not person.technician
            and self.chance(self.profile.rider["second-rider"])
        ):
            delay_ms = int(self.rng.random() * 20_000)
            self.time.after(delay_ms, self._second_rider, node)

    def _second_rider(self, node: Node) -> None:
        """Someone else taps while the cabinet serves."""
        idle = self._idle(node)
        if idle and not self.healing:
            kind = Kind.SWAP if idle[0].hands else Kind.PICKUP
            idle[0].come(node, kind, racing=self.chance(self.profile.rider["race"] * 5))

    def refused(self, why: str) -> None:
        """The fleet said no."""
        self.refusals[why] += 1

    def left(self, person: Person, node: Node) -> None:
        """Somebody has gone."""
        if person.technician:
            for pack in person.hands:
                pack.ill = None
        for bay in node.rack.bays.values():
            if bay.door_open:
                self.passer_by(node, bay)

    def passer_by(self, node: Node, bay: Bay) -> None:
        """In the end somebody shuts an open door."""
        delay_ms = 40_000 + int(self.rng.random() * 260_000)
        self.time.after(delay_ms, self._pass_by, node, bay)

    def _pass_by(self, node: Node, bay: Bay) -> None:
        if not bay.door_open:
            return
        if node.present:
            self.passer_by(node, bay)
        else:
            self.shut(node, bay, "a passer-by")

    def shut(self, node: Node, bay: Bay, who: str) -> None:
        """A hand shuts a door."""
        bay.door_open = False
        self.watch.shut(node, bay.number)
        self.note("shut", who, node.id, bay.number)
        node.poke()

    # --- the technician -----------------------------------------------------------------------

    def _technician_comes(self, node: Node) -> bool:
        """Repairs, clears, and takes away what must not stay; True when that needs a visit."""
        acting = node.acting
        if acting is None or not self._can_be_here(self.technician, node):
            return False
        if self.rng.random() < 0.5:
            return False
        durable = acting.state.durable
        if is_active(durable.swap):
            return False
        self._repair(node)
        for slot, bay in node.rack.bays.items():
            bay.jammed = False
            bad = bay.pack is not None and (bay.pack.foreign or slot in durable.quarantine)
            if bad and not bay.door_open:
                # With a plug that does not fit nobody could tell the ledger what is taken away.
                bay.half = False
                bay.silent_until_ms = bay.nameless_until_ms = 0
                self.technician.come(node, Kind.UNLOAD, slot)
                return True
        known = [pack for pack in self.technician.hands if not pack.foreign]
        empty = [bay for bay in node.rack.bays.values() if bay.pack is None and not bay.door_open]
        if known and len(empty) > 2:
            self.technician.hands.sort(key=lambda pack: pack.foreign)
            self.technician.come(node, Kind.LOAD)
            return True
        return False

    def _repair(self, node: Node) -> None:
        acting = node.acting
        if acting is None:
            return
        durable = acting.state.durable
        for slot in sorted(durable.out_of_service):
            node.rack.bays[slot].jammed = False
            self.fleet.order(node.id, "slot.service-on", {"slot": slot})
        for code in sorted({trip.code.value for trip in durable.safety.trips}):
            self.fleet.order(node.id, "alarm.clear", {"code": code})
        for code in sorted({standing.code for standing in durable.latched}):
            self.fleet.order(node.id, "alarm.clear", {"code": code})

    # --- the end ------------------------------------------------------------------------------

    def _heal(self) -> None:
        self.note("heal")
        self.healing = True
        self.profile = profile.calm(self.profile)
        for node in self.nodes:
            node.disk_dead_until_ms = 0
            node.skew_ms, node.synced = 0, True
            node.rack.smoke = False
            for bay in node.rack.bays.values():
                bay.heal()
            node.poke()
        self.fleet.publish_lists()

    def _settle(self) -> None:
        """Until nothing moves; whoever comes by shuts the doors."""
        start_ms = self.time.now_ms
        calm_since_ms = start_ms
        why: str | None = "nothing was looked at"
        while why is not None or self.time.now_ms - calm_since_ms < CALM_MS:
            for node in self.nodes:
                node.tell_telemetry()
                for bay in node.rack.bays.values():
                    if bay.door_open and not node.present and self.rng.random() < 0.3:
                        self.shut(node, bay, "the night watch")
            end_ms = self.time.now_ms + 3_000
            self.time.after(3_000, _nothing)
            self.time.run_until(lambda end=end_ms: self.time.now_ms >= end, 10_000)  # type: ignore[misc]  # bound early
            why = checks.settled(self)
            if why is not None:
                calm_since_ms = self.time.now_ms
            if self.time.now_ms - start_ms > SETTLE_MS:
                raise Violation("never-settles", why or "")

    def _still_serves(self) -> None:
        """After all that, an honest rider gets a pack, or gets rid of one."""
        for node in self.nodes:
            self._repair(node)
            for slot in sorted(node.acting.state.durable.quarantine if node.acting else ()):
                self.fleet.order(node.id, "slot.service-on", {"slot": slot})
        self._settle()
        for node in self.nodes:
            rider = next((r for r in self.riders if self._consistent(r)), None)
            if rider is None:
                continue
            rider.careful = True
            self._dress(rider)
            before = self.begun
            refused = self.refusals.copy()
            rider.come(node, Kind.SWAP if rider.hands else Kind.PICKUP)
            self._settle()
            if self.begun == before:
                fresh = self.refusals - refused
                if not EXCUSES & fresh.keys():
                    raise Violation("serves-no-more", f"{node.id}: {dict(fresh)}")
                continue
            swap = self.fleet.facts.swaps[self.watch_last()]
            if swap.step is not Step.COMPLETED and swap.reason not in EXCUSES:
                raise Violation("serves-no-more", f"{node.id}: {swap.id} {swap.step} {swap.reason}")

    def _consistent(self, rider: Person) -> bool:
        return rider.node is None and len(rider.hands) <= 1

    def watch_last(self) -> str:
        """The last swap that was authorised."""
        return next(reversed(self.watch.swaps))


def _nothing() -> None:
    pass


def _mac(data: bytes) -> str:
    return hashlib.blake2b(data, key=_KEY[:64], digest_size=16).hexdigest()
