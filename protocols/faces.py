"""What a device definition offers to either side of its wire, role by role.

The cabinet runs the dialogues; the simulator's twin finds requests in what it hears and answers
them from facts. A device of plain Modbus registers needs no twin code: its table is served by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from protocols.registers import RegisterMap, Value

if TYPE_CHECKING:
    from protocols.device import Dialogue, Where


@dataclass(frozen=True, slots=True)
class MeterFacts:
    """What an energy meter counts."""

    voltage_v: float
    power_w: float
    import_kwh: float
    current_a: float = 0.0
    power_factor: float = 1.0
    frequency_hz: float = 50.0


class MeterFace(Protocol):
    """An energy meter."""

    def read(self, where: Where) -> Dialogue[MeterFacts]:
        """Voltage of the first phase; power and energy of all."""
        ...


@dataclass(frozen=True, slots=True)
class PackFacts:
    """What a pack's board tells of it. Current into the pack is positive."""

    soc_pct: int
    voltage_v: float
    current_a: float
    cell_v: tuple[float, ...]
    temps_c: tuple[float, ...]
    protection: frozenset[str]
    charge_fet_on: bool
    discharge_fet_on: bool
    remaining_ah: float
    capacity_ah: float
    cycles: int
    serial: str | None = None  # by a dialogue of its own; the twin knows it from the start
    balance_bits: int = 0


@dataclass(frozen=True, slots=True)
class Switches:
    """What a master wants of a pack's charge and discharge paths; None: as it is."""

    charge: bool | None = None
    discharge: bool | None = None


@dataclass(frozen=True, slots=True)
class PackReply:
    """What a pack's board answers, and what it was told to do."""

    frame: bytes | None
    switches: Switches | None = None


class BmsFace(Protocol):
    """A pack's protection board, from both sides."""

    def read(self, where: Where) -> Dialogue[PackFacts]:
        """Everything but the serial."""
        ...

    def serial(self, where: Where) -> Dialogue[str | None]:
        """The number that the pack is known by; None when none was written."""
        ...

    def switch_charge(self, where: Where, *, on: bool, discharge_on: bool) -> Dialogue[None]:
        """Open or close the charge path; the discharge path stays as given."""
        ...

    def find(self, heard: bytes) -> tuple[int, int] | None:
        """Where a whole request lies in what was heard, from and to; None while there is none."""
        ...

    def answer(self, request: bytes, pack: PackFacts) -> PackReply:
        """Act on one request as the board would."""
        ...


@dataclass(frozen=True, slots=True)
class LockReply:
    """What a lock board answers, and the lock that it fires (counted from 0)."""

    frame: bytes | None
    fired: int | None = None


class LockFace(Protocol):
    """A board of locks with feedback, from both sides."""

    def read_inputs(self, where: Where) -> Dialogue[tuple[bool, ...]]:
        """Every input, in channel order."""
        ...

    def pulse(self, where: Where, channel: int) -> Dialogue[None]:
        """Open one lock (counted from 0), once."""
        ...

    def find(self, heard: bytes) -> tuple[int, int] | None:
        """Where a whole request lies in what was heard; None while there is none."""
        ...

    def answer(self, request: bytes, address: int, inputs: tuple[bool, ...]) -> LockReply:
        """Act on one request as a board of this address would."""
        ...


@dataclass(frozen=True, slots=True)
class ChargerFacts:
    """What a charger tells."""

    output_on: bool
    voltage_set_v: float
    current_set_a: float
    voltage_v: float
    current_a: float
    power_w: float
    air_temp_c: float | None
    protection: str | None


class ChargerFace(Protocol):
    """A charger."""

    def off(self, where: Where) -> Dialogue[None]:
        """Output off, and read back."""
        ...

    def limits(self, where: Where, voltage_max_v: float, current_max_a: float) -> Dialogue[None]:
        """Whatever the device can hold by itself when nobody speaks to it."""
        ...

    def order(self, where: Where, voltage_v: float, current_a: float) -> Dialogue[None]:
        """Set-points, then the output on, and read back."""
        ...

    def read(self, where: Where) -> Dialogue[ChargerFacts]:
        """Poll it."""
        ...


@dataclass(frozen=True, slots=True)
class ChargerTwin:
    """A charger's registers over the simulated supply.

    ``shows`` and ``takes`` name the supply's own quantity behind a register; what is in neither is
    kept as written, from ``kept``.
    """

    table: RegisterMap
    shows: Mapping[str, str]
    takes: Mapping[str, str]
    kept: Mapping[str, Value]
    blank: tuple[range, ...] = ()


class FrameMeterTwin(Protocol):
    """The twin of a meter with a protocol of its own."""

    def find(self, heard: bytes) -> tuple[int, int] | None:
        """Where a whole request lies in what was heard; None while there is none."""
        ...

    def answer(self, request: bytes, number: str, facts: MeterFacts) -> bytes | None:
        """Act on one request as a meter of this number would; None for silence."""
        ...
