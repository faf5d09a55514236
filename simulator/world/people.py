"""Riders and technicians: hands that do what the cabinet asks for, or something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fleet.core.ids import rider_holder, slot_holder, transit_holder
from protocols.command_args import COMMAND_ARGS
from protocols.messages import Kind
from simulator.world.truth import Bay, Pack

if TYPE_CHECKING:
    from simulator.world.node import Node
    from simulator.world.world import World

CHECK_MS: Final = 7_000
_LONG_AGO_MS: Final = 3_600_000
GIVES: Final = frozenset({Kind.SWAP, Kind.RETURN, Kind.LOAD})
TAKES: Final = frozenset({Kind.SWAP, Kind.PICKUP, Kind.UNLOAD})
GIVE_BACK: Final = "swap.give-back"
_BACK_PROMPTS: Final = frozenset({"take-battery-back", "take-own-battery"})


class Person:
    """Someone who stands before a cabinet now and then."""

    def __init__(self, world: World, name: str, *, technician: bool = False) -> None:
        self.world = world
        self.name = name
        self.technician = technician
        self.holder = transit_holder(name) if technician else rider_holder(name)
        self.hands: list[Pack] = []
        self.home: list[Pack] = []
        self.node: Node | None = None
        self.kind = Kind.SWAP
        self.slot: int | None = None
        self.swap: str | None = None
        self.put: Pack | None = None
        self.took: Pack | None = None
        self.walked = False
        self.careful = technician
        self.last: Node | None = None  # where this person stood, until when
        self.left_ms = -_LONG_AGO_MS if technician else 0  # riders are on their way yet
        self._visit = 0
        self._until_ms = 0
        self._dawdles_until_ms = 0
        self._tried_nothing = False
        self._declined = False

    # --- a visit ------------------------------------------------------------------------------

    def come(
        self, node: Node, kind: Kind, slot: int | None = None, *, racing: bool = False
    ) -> None:
        """Go to a cabinet and ask for a transaction; ``racing``: of a fleet that does not look."""
        rng = self.world.rng
        self._visit += 1
        self.node, self.kind, self.slot = node, kind, slot
        self.swap = self.put = self.took = None
        self.walked = self._tried_nothing = self._declined = False
        self._until_ms = self.world.time.now_ms + 50_000 + int(rng.random() * 150_000)
        node.present.append(self)
        self.world.note("visit", self.name, node.id, kind.value, slot)
        node.tell_telemetry()
        self.world.time.after(120 + int(rng.random() * 200), self._tap, self._visit, racing)

    def _tap(self, visit: int, racing: bool) -> None:  # noqa: FBT001 - handed on by the timeline
        if visit != self._visit or self.node is None:
            return
        key = f"key-{visit}"
        swap, why = self.world.fleet.begin(
            self.name, self.node.id, self.kind, key, self.slot, racing=racing
        )
        if swap is None:
            self.world.note("refused", self.name, why)
            self.world.refused(why)
            self.leave()
            return
        self.swap = swap
        self.world.begun_swap(self)
        if self._feels("double-tap"):
            self.world.fleet.begin(self.name, self.node.id, self.kind, key, self.slot)
            self.world.fleet.begin(self.name, self.node.id, self.kind, key + "b", self.slot)
        rng = self.world.rng
        if self._feels("cancel"):
            self.world.time.after(int(rng.random() * 25_000), self._order, visit, "swap.cancel")
        if self._feels("give-back") and GIVE_BACK in COMMAND_ARGS and self.kind is Kind.SWAP:
            self.world.time.after(4_000 + int(rng.random() * 12_000), self._order, visit, GIVE_BACK)
        if self._feels("resume"):
            self.world.time.after(int(rng.random() * 30_000), self._order, visit, "swap.resume")
        self.world.time.after(CHECK_MS, self._check, visit)

    def _feels(self, what: str) -> bool:
        return not self.careful and self.world.chance(self.world.profile.rider[what])

    def _order(self, visit: int, type_: str) -> None:
        if visit == self._visit and self.node is not None and self.swap is not None:
            self.world.fleet.order(self.node.id, type_, actor=self.name, swap_id=self.swap)

    def _check(self, visit: int) -> None:
        """Look at the phone and at the doors now and then."""
        if visit != self._visit or self.node is None or self.walked:
            return
        if self.world.time.now_ms < self._dawdles_until_ms:
            self.world.time.after(CHECK_MS, self._check, visit)
            return
        swap = self.world.fleet.facts.swaps.get(self.swap or "")
        if self.world.time.now_ms >= self._until_ms or (swap is not None and not swap.open):
            self.leave()
            return
        bays = [bay for bay in self.node.rack.bays.values() if bay.door_open]
        for bay in bays:
            self._react(visit, bay)
        if not bays and self.world.chance(0.15):
            self._order(visit, "swap.resume")
        self.world.time.after(CHECK_MS, self._check, visit)

    def leave(self) -> None:
        """Go; most people shut what stands open."""
        node = self.node
        if node is None:
            return
        if not self.walked:
            for bay in node.rack.bays.values():
                if bay.door_open and (self.careful or self.world.chance(0.9)):
                    self._shut(self._visit, bay)
        self._visit += 1
        self.node = None
        node.present.remove(self)
        self.last, self.left_ms = node, self.world.time.now_ms
        self.world.note("leaves", self.name, node.id)
        self.world.left(self, node)

    # --- hands --------------------------------------------------------------------------------

    def door_opened(self, bay: Bay) -> None:
        """A door sprang open before this person's eyes."""
        if self.walked or self.swap is None:
            return
        rng = self.world.rng
        delay_ms = 700 + int(rng.random() * 2_500)
        if self._feels("slow"):
            delay_ms = 15_000 + int(rng.random() * 130_000)
            self._dawdles_until_ms = self.world.time.now_ms + delay_ms + 3_000
        self.world.time.after(delay_ms, self._react, self._visit, bay)

    def _react(self, visit: int, bay: Bay) -> None:
        if visit != self._visit or self.node is None or self.walked or not bay.door_open:
            return
        if self.world.watch.opened_by.get((self.node.id, bay.number)) != self.swap:
            return  # the kiosk shows whose door it is
        if bay.pack is None:
            if self.kind in GIVES and self.put is None and self.hands:
                self._give(bay)
            else:
                self._shut_soon(bay)
        elif bay.pack is self.put:
            self._own(bay)
        elif self.kind in TAKES and self.took is None and self._may_take():
            self._take_out(bay)
        else:
            self._shut_soon(bay)

    def _may_take(self) -> bool:
        return self.kind is not Kind.SWAP or self.put is not None

    def _give(self, bay: Bay) -> None:
        if self._feels("walk-away"):
            self._walk_away()
            return
        if not self._tried_nothing and self._feels("nothing-in"):
            self._tried_nothing = True
            self._shut_soon(bay)
            return
        target = bay
        assert self.node is not None
        others = [
            other
            for other in self.node.rack.bays.values()
            if other.door_open and other.pack is None and other is not bay
        ]
        if others and self._feels("wrong-slot"):
            target = others[0]
        self._put_in(target, half=self._feels("half-in"))
        if self._feels("left-open"):
            self._walk_away()
            return
        self._shut_soon(target)
        if target is not bay:
            self._shut_soon(bay)

    def _own(self, bay: Bay) -> None:
        """The door is open again on the pack that this person put in."""
        if bay.prompt in _BACK_PROMPTS:
            if self._feels("walk-away"):
                self._walk_away()
                return
            self._take(bay)
            self.put = None
        elif bay.half or bay.prompt == "reseat-battery":
            bay.half = False
            if self.world.chance(0.5):
                bay.silent_until_ms = 0
        self._shut_soon(bay)

    def _take_out(self, bay: Bay) -> None:
        if self._feels("walk-away"):
            self._walk_away()
            return
        if not self._declined and self._feels("not-taken"):
            self._declined = True
            self._shut_soon(bay)
            if self.world.chance(0.7):
                delay_ms = 8_000 + int(self.world.rng.random() * 20_000)
                self.world.time.after(delay_ms, self._order, self._visit, "swap.resume")
            return
        self.took = bay.pack
        self._take(bay)
        if self._feels("exchange"):
            stranger = self.world.foreign_pack(self)
            self.hands.append(stranger)
            self._put_in(bay, half=False, pack=stranger)
        if self._feels("left-open"):
            self._walk_away()
            return
        self._shut_soon(bay)

    def _put_in(self, bay: Bay, *, half: bool, pack: Pack | None = None) -> None:
        assert self.node is not None
        pack = pack or self.hands[0]
        self.hands.remove(pack)
        bay.pack, bay.half = pack, half
        pack.place = slot_holder(self.node.id, bay.number)
        pack.since_ms = None
        if self.put is None and self.kind in GIVES:
            self.put = pack
        self.world.note("put", self.name, self.node.id, bay.number, pack.serial, half)
        self.node.poke()

    def _take(self, bay: Bay) -> None:
        assert self.node is not None
        assert bay.pack is not None
        pack = bay.pack
        bay.pack, bay.half = None, False
        pack.place = self.holder
        self.hands.append(pack)
        self.world.note("take", self.name, self.node.id, bay.number, pack.serial)
        self.node.poke()

    def _shut_soon(self, bay: Bay) -> None:
        delay_ms = 300 + int(self.world.rng.random() * 1_500)
        self.world.time.after(delay_ms, self._shut, self._visit, bay)

    def _shut(self, visit: int, bay: Bay) -> None:
        if visit == self._visit and self.node is not None and bay.door_open:
            self.world.shut(self.node, bay, self.name)

    def _walk_away(self) -> None:
        self.walked = True
        self.world.note("walks away", self.name)
        self.world.time.after(500, self._gone, self._visit)

    def _gone(self, visit: int) -> None:
        if visit == self._visit:
            self.leave()
