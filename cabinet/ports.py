"""Ports: what the runtime needs of the outside world, device by device and service by service.

Drivers in ``adapters`` implement the device ports; each method is one or more bus transactions and
raises ``cabinet.errors.LinkError`` when the device did not answer properly.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cabinet.core.model import BmsReading, ChargerReading, ClimateReading, MeterReading


class Clock(Protocol):
    """All time comes from here."""

    def monotonic_ms(self) -> int:
        """For deadlines and ages."""
        ...

    def now_utc(self) -> datetime:
        """For records only; may be wrong or jump."""
        ...

    def wall_synced(self) -> bool:
        """Whether the wall clock is known to be right."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Sleep on the monotonic clock."""
        ...


class Lock(Protocol):
    """Door locks of one board."""

    async def pulse(self, channel: int, pulse_ms: int) -> None:
        """Fire one lock, timed by the board itself, exactly once: never retried.

        Raises:
            LinkError: ``sent_maybe`` tells whether the pulse may have fired.
        """
        ...


class Contacts(Protocol):
    """Digital inputs of one board."""

    async def read_inputs(self) -> tuple[bool, ...]:
        """The level of every input, in channel order."""
        ...


class Outlet(Protocol):
    """Relays of one board as levels or as leases that drop by themselves."""

    async def set_relay(self, channel: int, *, on: bool) -> None:
        """Set a level."""
        ...

    async def lease(self, channel: int, lease_ms: int) -> None:
        """Hold a relay on for this long; it drops by itself unless renewed."""
        ...

    async def read_relays(self) -> tuple[bool, ...]:
        """The state of every relay, in channel order."""
        ...

    async def all_off(self) -> None:
        """Every relay off; the first command to a board at start-up."""
        ...


class Charger(Protocol):
    """One charger."""

    async def read(self) -> ChargerReading:
        """Poll it."""
        ...

    async def set(self, *, on: bool, voltage_v: float, current_a: float) -> None:
        """Set-points first, then the output; read back before returning."""
        ...

    async def make_safe(self) -> None:
        """Output off, boot output off, device-side over-voltage and over-current limits set."""
        ...


class Bms(Protocol):
    """The pack in one slot."""

    async def read(self) -> BmsReading:
        """Poll it; the serial is read once per insertion and remembered until ``forget``."""
        ...

    def forget(self) -> None:
        """The pack may have changed: read the serial again."""
        ...

    async def set_charge_fet(self, *, on: bool) -> None:
        """Open or close the pack's charge path."""
        ...


class Meter(Protocol):
    """The energy meter."""

    async def read(self) -> MeterReading:
        """Poll it."""
        ...


class Climate(Protocol):
    """Cabinet temperature and humidity."""

    async def read(self) -> ClimateReading:
        """Poll it."""
        ...


class Indicator(Protocol):
    """Slot lights."""

    def show(self, slot: int, light: str) -> None:
        """Set the light of a slot, and keep it so; returns at once."""
        ...


class Voice(Protocol):
    """A loudspeaker."""

    def say(self, prompt: str, slot: int | None) -> None:
        """Speak a prompt by its key; returns at once, and a newer one replaces one that waits."""
        ...


class Scanner(Protocol):
    """A barcode scanner."""

    @property
    def connected(self) -> bool:
        """Whether it is there."""
        ...

    async def next(self) -> str:
        """The next text that was scanned; waits, also while the scanner is unplugged."""
        ...


@dataclass(frozen=True, slots=True)
class Packet:
    """One MQTT message, either way."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class Session(Protocol):
    """One connection to the broker."""

    async def publish(self, packet: Packet) -> None:
        """Hand it to the broker; QoS 1 returns when the broker has it.

        Raises:
            BrokerError: the connection is gone.
        """
        ...

    async def receive(self) -> Packet:
        """The next message; raises BrokerError when the connection is gone."""
        ...


class Broker(Protocol):
    """Makes connections, one at a time."""

    def session(
        self, *, will: Packet, subscribe: Sequence[str]
    ) -> AbstractAsyncContextManager[Session]:
        """Connect and subscribe; entering raises BrokerError when that fails."""
        ...
