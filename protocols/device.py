"""What a device type is, as data: its wire, its limits, and how a stranger is recognised as one.

A definition lives in one file of ``protocols.devices`` and serves both sides: the cabinet's driver
and the simulator's twin. What is said on the wire is written as a *dialogue*: a generator that
yields what to ask and is sent what came back, so that it needs no port, no clock and no task. A
device's refusal is thrown into the dialogue as ``RefusedError``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias, TypeVar

from protocols.errors import ProtocolError
from protocols.faces import (
    BmsFace,
    ChargerFace,
    ChargerTwin,
    FrameMeterTwin,
    LockFace,
    MeterFace,
    MeterFacts,
)
from protocols.registers import RegisterMap, Space, Value

T = TypeVar("T")

MODBUS_ADDRESSES: Final = range(1, 248)


class Role(StrEnum):
    """What a device is for."""

    BOARD = "board"  # locks, relays and inputs
    CHARGER = "charger"
    BMS = "bms"
    METER = "meter"
    CLIMATE = "climate"


class Protocol(StrEnum):
    """What a bus speaks."""

    MODBUS_RTU = "modbus-rtu"
    MODBUS_TCP = "modbus-tcp"
    JBD = "jbd"
    DALY = "daly"
    KERONG = "kerong"
    LOCK_8A = "lock-8a"
    DLT645 = "dlt645"


class Capability(StrEnum):
    """What a device can do for the cabinet; the first eight are ports of the daemon."""

    LOCK = "lock"  # opens a door by a pulse that the device itself ends
    CONTACTS = "contacts"  # reads switches
    OUTLET = "outlet"  # relays as levels, and leases that drop by themselves
    CHARGER = "charger"
    BMS = "bms"
    METER = "meter"
    CLIMATE = "climate"
    INDICATOR = "indicator"  # outputs for lights
    SERIAL = "serial"  # tells a number of its own, by which it is known
    CHARGE_SWITCH = "charge-switch"  # the pack can open its own charge path
    AIR_PROBE = "air-probe"  # measures the slot's air
    OWN_LIMITS = "own-limits"  # over-voltage and over-current trips of its own


class RefusedError(ProtocolError):
    """The device understood and declined; thrown into a dialogue that may know better."""


@dataclass(frozen=True, slots=True)
class Bits:
    """Ask a Modbus device for coils or inputs; sent back: ``tuple[bool, ...]``."""

    space: Space
    address: int
    count: int


@dataclass(frozen=True, slots=True)
class Words:
    """Ask a Modbus device for registers; sent back: ``tuple[int, ...]``."""

    space: Space
    address: int
    count: int


@dataclass(frozen=True, slots=True)
class WriteWords:
    """Write holding registers, one by FC06 unless ``block``, more by FC16; sent back: None."""

    address: int
    values: tuple[int, ...]
    block: bool = False  # the device knows FC16 only


@dataclass(frozen=True, slots=True)
class Raw:
    """Send a frame of a device's own protocol.

    ``take`` finds the reply in all bytes received since, and returns what is sent back into the
    dialogue; None while it is not there. It raises ``RefusedError`` when the device declined. With
    ``reply_bytes`` 0 the device says nothing, and b"" is sent back when the frame has gone out.
    """

    request: bytes
    reply_bytes: int  # expected, for the time on the wire
    take: Callable[[bytes], bytes | None]
    is_read: bool = True


Ask: TypeAlias = Bits | Words | WriteWords | Raw
Dialogue: TypeAlias = Generator[Ask, Any, T]


@dataclass(frozen=True, slots=True)
class Where:
    """Whom to ask: the address on the line, and the number on the plate where that counts."""

    address: int = 1
    number: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """One device type.

    ``identify`` is one harmless read: it returns what the device tells of itself (model, version,
    serial, or a reading that only such a device shows), or None when something else answered.
    ``processing_ms`` is the longest time from the end of a request to the start of its reply;
    ``turnaround_ms`` the silence that the device needs before it hears the next request.
    ``addresses`` is None where the protocol has none: such a device has its port for itself.
    """

    type: str
    title: str
    role: Role
    capabilities: frozenset[Capability]
    protocols: frozenset[Protocol]
    source: str
    identify: Callable[[Where], Dialogue[str | None]]
    names_itself: bool  # identify reads a model or protocol of its own, not just likely values
    baud: int = 9_600
    parity: str = "N"
    stopbits: int = 1
    addresses: range | None = MODBUS_ADDRESSES
    address: int = 1  # as delivered
    processing_ms: int = 150
    turnaround_ms: int = 0
    locks: int = 0
    relays: int = 0
    inputs: int = 0
    voltage_max_v: float = 0.0
    current_max_a: float = 0.0
    note: str = ""
    tell: Callable[[bytes, bool], str | None] | None = None  # a frame in words; True: a request
    numbered: bool = False  # asked by the number on its plate instead of an address
    # What both sides need, by role; a device with a driver and a twin of its own has none.
    table: RegisterMap | None = None  # a meter of plain registers
    blank: tuple[range, ...] = ()  # words without a meaning that read as zero
    meter: MeterFace | None = None
    meter_twin: FrameMeterTwin | None = None
    bms: BmsFace | None = None
    locks_face: LockFace | None = None
    charger: ChargerFace | None = None
    charger_twin: ChargerTwin | None = None

    @property
    def line(self) -> str:
        """Baud rate and frame as delivered, like ``9600 8N1``."""
        return f"{self.baud} 8{self.parity}{self.stopbits}"


@dataclass(frozen=True, slots=True)
class RegisterMeter:
    """A meter of plain registers; implements ``protocols.faces.MeterFace``."""

    table: RegisterMap
    voltage: str
    power: str
    energy: str

    def read(self, _: Where) -> Dialogue[MeterFacts]:
        """Voltage and power in one block, energy in another."""
        now, total = self.table.span(self.voltage, self.power), self.table.span(self.energy)
        told = self.table.decode_span(now, (yield Words(now.space, now.address, now.count)))
        told |= self.table.decode_span(
            total, (yield Words(total.space, total.address, total.count))
        )
        return MeterFacts(
            voltage_v=float(told[self.voltage]),
            power_w=float(told[self.power]),
            import_kwh=float(told[self.energy]),
            current_a=float(told.get("current_a", 0.0)),
        )


def plausible(value: Value, low: float, high: float) -> bool:
    """Whether a reading is one that such a device shows."""
    return low <= value <= high
