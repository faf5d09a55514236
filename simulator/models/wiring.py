"""Which relay and which input of which board does what; fixed, as the cabinet leaves the factory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from simulator.models.outfit import (
    BUS_LOCKS,
    BUS_METER,
    FACTORY,
    LIGHT_BOARD,
    LOCK_BOARD,
    Outfit,
)

SLOTS_MAX: Final = 12
BOARDS: Final = (1, 2, 3, 4)
PER_BOARD: Final = 8
#: The charging area has a line of its own, with one board of relays for its sockets.
SOCKET_BOARD: Final = 7
SOCKETS_MAX: Final = PER_BOARD


class Output(StrEnum):
    """Cabinet-wide relays."""

    CONTACTOR = "contactor"
    SIREN = "siren"
    EXTINGUISHER = "extinguisher"
    FAN = "fan"


class Alarm(StrEnum):
    """Cabinet-wide contacts, wired as closed loops: current flows while all is well."""

    SMOKE = "smoke"
    FLOOD = "flood"
    SERVICE_DOOR = "service-door"
    ESTOP = "e-stop"


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """One relay or input of a board."""

    board: int
    channel: int


@dataclass(frozen=True, slots=True)
class LockRelay:
    """The lock of a slot."""

    slot: int


@dataclass(frozen=True, slots=True)
class MainsRelay:
    """The alternating current of a slot."""

    slot: int


@dataclass(frozen=True, slots=True)
class SocketRelay:
    """A socket of the charging area."""

    socket: int


@dataclass(frozen=True, slots=True)
class Lamp:
    """One lamp of a slot."""

    slot: int
    colour: str


Role: TypeAlias = LockRelay | MainsRelay | SocketRelay | Lamp | Output


def door_pin(slot: int) -> Pin:
    """Lock relay and door input of a slot share board and channel."""
    return Pin(1 + (slot - 1) // PER_BOARD, (slot - 1) % PER_BOARD)


def presence_pin(slot: int) -> Pin:
    """Mains relay and presence input of a slot share board and channel."""
    return Pin(3 + (slot - 1) // PER_BOARD, (slot - 1) % PER_BOARD)


OUTPUT_PINS: Final = {
    Output.CONTACTOR: Pin(2, 4),
    Output.SIREN: Pin(2, 5),
    Output.EXTINGUISHER: Pin(2, 6),
    Output.FAN: Pin(2, 7),
}
ALARM_PINS: Final = {
    Alarm.SMOKE: Pin(2, 4),
    Alarm.FLOOD: Pin(2, 5),
    Alarm.SERVICE_DOOR: Pin(2, 6),
    Alarm.ESTOP: Pin(2, 7),
}


def socket_pin(socket: int) -> Pin:
    """The relay of a socket."""
    return Pin(SOCKET_BOARD, socket - 1)


def relay_boards(outfit: Outfit = FACTORY) -> tuple[int, ...]:
    """The relay boards: a separate lock board saves the two that drive locks."""
    return BOARDS if outfit.lock_board is None else BOARDS[:2]


def door_pins(slot: int, outfit: Outfit = FACTORY) -> tuple[Pin, ...]:
    """Every input that sees a door; its lock has the same channel."""
    return (door_pin(slot),) if outfit.lock_board is None else (Pin(LOCK_BOARD, slot - 1),)


def mains_pin(slot: int, outfit: Outfit = FACTORY) -> Pin:
    """The mains relay of a slot, and its presence switch."""
    return presence_pin(slot) if outfit.lock_board is None else door_pin(slot)


def presence_pins(slot: int, outfit: Outfit = FACTORY) -> tuple[Pin, ...]:
    """Every input that sees whether something stands in a slot."""
    board, pin = outfit.lock_board, mains_pin(slot, outfit)
    if board is None or board.inputs < 2 * board.locks:
        return (pin,)
    return pin, Pin(LOCK_BOARD, board.locks + slot - 1)


def roles(slots: int, outfit: Outfit = FACTORY, sockets: int = 0) -> dict[Pin, Role]:
    """What every wired relay does, in a cabinet of this many slots and sockets."""
    table: dict[Pin, Role] = {pin: output for output, pin in OUTPUT_PINS.items()}
    lights = outfit.light_board
    if lights is not None:
        half = lights.relays // 2
        green = range(1, min(slots, lights.relays) + 1)
        table |= {Pin(LIGHT_BOARD, slot - 1): Lamp(slot, "green") for slot in green}
        if half >= slots:
            red = range(1, slots + 1)
            table |= {Pin(LIGHT_BOARD, half + slot - 1): Lamp(slot, "red") for slot in red}
    for slot in range(1, slots + 1):
        table[door_pins(slot, outfit)[0]] = LockRelay(slot)
        table[mains_pin(slot, outfit)] = MainsRelay(slot)
    table.update({socket_pin(number): SocketRelay(number) for number in range(1, sockets + 1)})
    return table


def line_devices(
    slots: int, outfit: Outfit = FACTORY, sockets: int = 0
) -> dict[str, tuple[str, ...]]:
    """Every line, and the devices that hang on it."""
    common = [f"board-{board}" for board in relay_boards(outfit)]
    if outfit.light_board is not None:
        common.append(f"board-{LIGHT_BOARD}")
    meter = ("meter",)
    numbers = range(1, slots + 1)
    lines = {
        "bus-a": (*common, *(() if outfit.has_meter_line else meter), "climate"),
        "bus-chargers": tuple(f"charger-{slot:02d}" for slot in numbers),
        **{f"slot-{slot:02d}": (f"bms-{slot:02d}",) for slot in numbers},
    }
    if outfit.lock_board is not None:
        lines[BUS_LOCKS] = (f"board-{LOCK_BOARD}",)
    if outfit.has_meter_line:
        lines[BUS_METER] = meter
    if sockets:
        meters = (f"socket-meter-{number}" for number in range(1, sockets + 1))
        lines["bus-sockets"] = (f"board-{SOCKET_BOARD}", *meters, "area-climate")
    return lines


def device_names(slots: int, outfit: Outfit = FACTORY, sockets: int = 0) -> tuple[str, ...]:
    """Every device that can be silenced."""
    return tuple(name for line in line_devices(slots, outfit, sockets).values() for name in line)
