"""What a driver asks of a bus: one request, how urgent it is, and how its reply is recognised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, Protocol, TypeVar

from cabinet.config import PackConfig
from cabinet.config_devices import Protocol as BusProtocol
from cabinet.ports import Clock

T = TypeVar("T")


class Urgency(IntEnum):
    """Lower goes first; a transaction in flight is never interrupted.

    From ``DOOR`` on these are polls, which wait for one another a bounded time only.
    """

    SAFETY = 0  # writes that make things safe; tried even on a device given up as offline
    COMMAND = 1
    CONFIRM = 2  # reads that check a command
    DOOR = 3
    READING = 4  # BMS and charger, and renewals of leases
    METER = 5
    CLIMATE = 6


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One transaction.

    ``take`` gets every byte received since the request was sent and returns the reply once it is
    there; bytes that are no valid answer to this very request are passed over, so that a late
    reply to an earlier one is never taken. It raises ``DeviceRefusedError`` on an exception reply.
    """

    request: bytes
    take: Callable[[bytes], T | None]
    reply_bytes: int  # expected, for the time on the wire; 0: the device never answers this
    urgency: Urgency
    is_read: bool
    tries: int = 1  # above 1 only for reads: a repeated write might act twice

    def __post_init__(self) -> None:
        assert self.tries == 1 or self.is_read, "a write is never repeated by the bus"


class Wire(Protocol):
    """One device's place on a bus."""

    @property
    def name(self) -> str:
        """The device's name in the configuration."""
        ...

    async def ask(self, call: Call[T]) -> T:
        """Carry out one transaction; cancelling the caller never disturbs the bus.

        Raises:
            LinkError: no valid reply, or the device is offline and was not asked.
            DeviceRefusedError: it answered with an exception.
        """
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a driver works: its wire, its address and the packs it may see."""

    wire: Wire
    address: int
    protocol: BusProtocol
    pack: PackConfig
    clock: Clock
    number: str = ""  # on the device's plate, where its protocol goes by that
