"""One slot: door, presence, pack, charger and the air between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from simulator.errors import HandsError
from simulator.models.charger import Charger, Latch
from simulator.models.door import Door
from simulator.models.pack import COOLING_W_PER_K, SERIES_OHM, Pack
from simulator.models.truth import Kind, TruthLog

AIR_CAPACITY_J_PER_K: Final = 3_000.0
#: Through the slot's walls to the cabinet's air.
WALL_W_PER_K: Final = 3.0
#: Part of the charger's loss that warms its slot; the rest leaves through the back.
LOSS_SHARE: Final = 0.3
#: Current that counts as charging.
CHARGING_MIN_A: Final = 0.05


@dataclass(slots=True)
class Slot:
    """One slot of the cabinet, 1-based ``number``."""

    number: int
    log: TruthLog
    air_c: float = 25.0
    door: Door = field(default_factory=Door)
    charger: Charger = field(default_factory=Charger)
    pack: Pack | None = None
    charging: bool = False
    told_serial: str | None = None  # a stranger's serial that any pack here tells as its own

    def energise_lock(self, *, on: bool) -> None:
        """The lock relay changes."""
        if on:
            self.log.add(Kind.LOCK_PULSE, self.number, jammed=self.door.jammed)
        with_door = self.door.open, self.door.latched
        self.door.energise(on=on)
        self._tell_door(*with_door)

    def jam(self, *, jammed: bool) -> None:
        """Jam the lock or free it."""
        with_door = self.door.open, self.door.latched
        self.door.jam(jammed=jammed)
        self._tell_door(*with_door)

    def push_door(self) -> None:
        """A hand closes the door."""
        with_door = self.door.open, self.door.latched
        self.door.push()
        self._tell_door(*with_door)

    def pull_door(self) -> None:
        """A hand opens the door; raise HandsError when it is latched."""
        with_door = self.door.open, self.door.latched
        self.door.pull()
        self._tell_door(*with_door)

    def insert(self, pack: Pack) -> None:
        """A hand puts a pack in.

        Raises:
            HandsError: the door is shut, or a pack is in already.
        """
        self.check_room()
        self.pack = pack
        self.log.add(Kind.PACK_INSERTED, self.number, serial=pack.serial, soc_pct=pack.soc_pct)
        self.settle()

    def check_room(self) -> None:
        """Raise HandsError when no pack can be put in now."""
        if not self.door.open:
            raise HandsError(f"slot {self.number}: the door is shut, no pack fits through it")
        if self.pack is not None:
            raise HandsError(f"slot {self.number}: a pack is in it already")

    def remove(self) -> Pack:
        """A hand takes the pack out.

        Raises:
            HandsError: the door is shut, or there is no pack.
        """
        if not self.door.open:
            raise HandsError(f"slot {self.number}: the door is shut, the pack cannot be taken")
        if self.pack is None:
            raise HandsError(f"slot {self.number}: there is no pack in it")
        pack, self.pack = self.pack, None
        pack.current_a = 0.0
        self.log.add(Kind.PACK_REMOVED, self.number, serial=pack.serial, soc_pct=pack.soc_pct)
        self.settle()
        return pack

    def settle(self) -> None:
        """Find the present current, after anything has changed."""
        pack, charger, latch = self.pack, self.charger, self.charger.latch
        if pack is None:
            charger.settle(None, 0.0, accepts=False)
        else:
            seen = pack.charge_fet_on or pack.discharge_fet_on
            emf_v = pack.emf_v if seen else None
            charger.settle(emf_v, SERIES_OHM, accepts=pack.charge_fet_on)
            pack.current_a = charger.current_a
        if charger.latch not in {latch, Latch.NONE}:
            self.log.add(Kind.CHARGER_TRIPPED, self.number, latch=charger.latch.name.lower())
        charging = charger.current_a > CHARGING_MIN_A
        if charging != self.charging:
            self.charging = charging
            kind = Kind.CHARGING_STARTED if charging else Kind.CHARGING_STOPPED
            serial, soc_pct = (pack.serial, pack.soc_pct) if pack else (None, None)
            self.log.add(kind, self.number, serial=serial, soc_pct=soc_pct)

    def advance(self, dt_s: float, cabinet_air_c: float, heat_s: float | None = None) -> None:
        """Let charge flow, and heat for ``heat_s``; None: for as long."""
        heat_s = dt_s if heat_s is None else heat_s
        pack, charger = self.pack, self.charger
        warm_w = WALL_W_PER_K * (cabinet_air_c - self.air_c) + LOSS_SHARE * charger.loss_w
        if pack is not None:
            warm_w += COOLING_W_PER_K * (pack.temp_c - self.air_c)
            before = pack.protection
            pack.advance(dt_s, charger.current_a, self.air_c, heat_s)
            if pack.protection != before:
                self.tell_protection()
        charger.advance(dt_s, self.air_c, heat_s)
        self.air_c += warm_w * heat_s / AIR_CAPACITY_J_PER_K
        self.settle()

    def tell_protection(self) -> None:
        """Record which protections of the pack stand now."""
        if self.pack is not None:
            names = ",".join(sorted(self.pack.protection))
            self.log.add(Kind.PROTECTION, self.number, serial=self.pack.serial, standing=names)

    def _tell_door(self, was_open: bool, was_latched: bool) -> None:  # noqa: FBT001 - a pair
        if self.door.open != was_open:
            self.log.add(Kind.DOOR_OPENED if self.door.open else Kind.DOOR_CLOSED, self.number)
        if self.door.latched and not was_latched:
            self.log.add(Kind.LOCK_LATCHED, self.number)
