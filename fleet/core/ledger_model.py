"""The facts of the custody ledger and what changes them: batteries, movements, legs, swaps, the book."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from fleet.core.ids import is_slot
from protocols.messages import TERMINAL_STEPS, Authority, Kind, Step

#: Clocks of two cabinets may differ by this much before one report counts as older than another.
CLOCK_SKEW_MAX_MS: Final = 60_000

FOUND: Final = "found"
VANISHED: Final = "vanished"
FOREIGN: Final = "foreign"
MENDED: Final = "custody-mended"
DISPLACED: Final = "displaced"
LATE: Final = "late"
CONFLICT: Final = "conflict"

Leg = Literal["in", "out"]
TransferState = Literal["reserved", "posted", "void"]


class LedgerError(Exception):
    """The event can't be booked, whatever the facts; it belongs in quarantine."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event comes from; ``at_ms`` is the cabinet's wall clock if it is trusted."""

    cabinet: str
    epoch: int
    seq: int
    at_ms: int
    synced: bool = True


@dataclass(frozen=True, slots=True)
class Battery:
    """Where a battery is; ``version`` counts its moves, ``since_ms`` dates the last."""

    serial: str
    holder: str
    version: int = 0
    state: str = "registered"  # or "foreign": seen in a slot, never imported
    disputed: bool = False
    since_ms: int = 0


@dataclass(frozen=True, slots=True)
class Movement:
    """One row of the ledger."""

    serial: str
    from_holder: str
    to_holder: str
    cause: str
    at_ms: int
    swap_id: str | None = None
    flags: tuple[str, ...] = ()
    moves: bool = True
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """One leg of a swap: reserved when it is authorised, posted or voided by what happened."""

    swap_id: str
    leg: Leg
    state: TransferState
    from_holder: str | None = None
    to_holder: str | None = None
    serial: str | None = None


@dataclass(frozen=True, slots=True)
class SwapState:
    """A transaction as the ledger knows it; ``rank`` only rises."""

    id: str
    cabinet: str
    rider: str
    kind: Kind
    step: Step | None = None
    rank: int = 0
    slot_in: int | None = None
    slot_out: int | None = None
    reason: str | None = None
    detail: str = ""
    created_ms: int | None = None  # when it was authorised; None: not here, or not yet stored
    authority: Authority = "fleet"  # or what the cabinet accepted while the fleet was away
    flags: tuple[str, ...] = ()  # what an operator should look into

    @property
    def open(self) -> bool:
        """False once it has ended."""
        return self.step not in TERMINAL_STEPS


@dataclass(frozen=True, slots=True)
class Changes:
    """What one event changes, in the order in which it happened."""

    movements: tuple[Movement, ...] = ()
    batteries: tuple[Battery, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    swap: SwapState | None = None
    owed: frozenset[tuple[str, str]] = frozenset()  # (serial, slot): a departure yet to be told
    settled: frozenset[tuple[str, str]] = frozenset()


@dataclass(slots=True)
class Book:
    """The facts that a batch of events touches, and their changes so far."""

    batteries: dict[str, Battery] = field(default_factory=dict)
    swaps: dict[str, SwapState] = field(default_factory=dict)
    transfers: dict[tuple[str, Leg], Transfer] = field(default_factory=dict)
    owed: set[tuple[str, str]] = field(default_factory=set)
    denied: frozenset[str] = frozenset()  # riders who are blocked
    _places: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._places = {b.holder: b.serial for b in self.batteries.values() if is_slot(b.holder)}

    def occupant(self, holder: str) -> Battery | None:
        """The battery that the ledger has in this slot."""
        serial = self._places.get(holder)
        return None if serial is None else self.batteries[serial]

    def copy(self) -> Book:
        """A book of its own, with the same facts."""
        return Book(
            dict(self.batteries),
            dict(self.swaps),
            dict(self.transfers),
            set(self.owed),
            self.denied,
        )

    def absorb(self, changes: Changes) -> None:
        """Take up what ``apply`` returned."""
        for battery in changes.batteries:
            before = self.batteries.get(battery.serial)
            if before is not None and self._places.get(before.holder) == battery.serial:
                del self._places[before.holder]
            self.batteries[battery.serial] = battery
            if is_slot(battery.holder):
                self._places[battery.holder] = battery.serial
        for transfer in changes.transfers:
            self.transfers[transfer.swap_id, transfer.leg] = transfer
        if changes.swap is not None:
            self.swaps[changes.swap.id] = changes.swap
        self.owed = (self.owed | changes.owed) - changes.settled
