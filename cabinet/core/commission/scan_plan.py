"""What to ask of a wire of which nothing is known, in which order, and how long that may take.

Only reads are ever sent. A port is tried at the settings that devices are delivered with, the most
common ones first; ``thorough`` adds every other speed and parity. Within one setting come the
protocols of single devices, then every Modbus address.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from protocols.device import Device, Protocol

#: Installers number from one; few buses have more devices than this.
ADDRESSES_DEFAULT: Final = tuple(range(1, 33))
#: A type with so few addresses is looked for at all of them.
FEW_ADDRESSES: Final = 16
BAUDS: Final = (9_600, 115_200, 19_200, 38_400, 57_600, 4_800, 2_400, 1_200)
#: Speeds that installers set everything to. At any other, devices are as delivered, or not at all.
COMMON_BAUDS: Final = frozenset({9_600, 115_200})
PARITIES: Final = ("N", "E")
#: How long a device may think before it answers the sweep's question.
SWEEP_PROCESSING_MS: Final = 100
#: A request and its answer, with the bus worker's gaps and slack.
SWEEP_BYTES: Final = 8 + 7
SLACK_S: Final = 0.060
PROBE_BYTES: Final = 80
MODBUS: Final = frozenset({Protocol.MODBUS_RTU, Protocol.MODBUS_TCP})


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """How a port is opened."""

    baud: int
    parity: str = "N"
    stopbits: int = 1

    def __str__(self) -> str:
        return f"{self.baud} 8{self.parity}{self.stopbits}"


@dataclass(frozen=True, slots=True)
class Round:
    """Everything to ask at one setting. ``singles`` speak a protocol of their own."""

    setting: Setting
    singles: tuple[Device, ...]
    modbus: tuple[Device, ...]  # types that a Modbus address may turn out to be
    addresses: tuple[int, ...]
    more: tuple[int, ...] = ()  # asked as well once one of these has answered


@dataclass(frozen=True, slots=True)
class Wish:
    """What the technician has narrowed or widened."""

    addresses: tuple[int, ...] = ADDRESSES_DEFAULT
    bauds: tuple[int, ...] = ()  # empty: all that devices are delivered with
    thorough: bool = False


def plan(devices: Iterable[Device], wish: Wish, *, over_tcp: bool = False) -> tuple[Round, ...]:
    """The rounds of one port; a Modbus TCP gateway has one, since it knows its own speed."""
    known = tuple(devices)
    modbus = tuple(sorted((d for d in known if d.protocols & MODBUS), key=_telling))
    singles = tuple(d for d in known if not d.protocols & MODBUS)
    if over_tcp:
        return (Round(Setting(9_600), (), modbus, wish.addresses),)
    return tuple(_round(setting, singles, modbus, wish) for setting in settings(known, wish))


def _round(
    setting: Setting, singles: Iterable[Device], modbus: Iterable[Device], wish: Wish
) -> Round:
    here = tuple(d for d in modbus if setting_of(d) == setting)
    if wish.thorough or (here and setting.baud in COMMON_BAUDS):
        addresses: tuple[int, ...] = wish.addresses
        more: tuple[int, ...] = ()
        if wish.addresses == ADDRESSES_DEFAULT:  # some are delivered with a high address
            addresses = tuple(dict.fromkeys((*addresses, *(a for d in here for a in _own(d)))))
    else:
        addresses = tuple(dict.fromkeys(d.address for d in here))
        more = tuple(a for a in wish.addresses if a not in addresses) if here else ()
    return Round(
        setting,
        singles=tuple(d for d in singles if wish.thorough or setting_of(d) == setting),
        modbus=tuple(sorted(modbus, key=lambda d: (not d.names_itself, d not in here))),
        addresses=addresses,
        more=more,
    )


def _own(device: Device) -> range | tuple[int, ...]:
    """Where such a device may be: all of a few addresses, else the one it is delivered with."""
    addresses = device.addresses
    few = addresses is not None and len(addresses) <= FEW_ADDRESSES
    return addresses if addresses is not None and few else (device.address,)


def setting_of(device: Device) -> Setting:
    """As it is delivered."""
    return Setting(device.baud, device.parity, device.stopbits)


def settings(devices: Iterable[Device], wish: Wish) -> tuple[Setting, ...]:
    """Those most devices are delivered with first; among equals the fast ones, which cost least."""
    times: dict[Setting, int] = {}
    for device in devices:
        times[setting_of(device)] = times.get(setting_of(device), 0) + 1
    order = sorted(times, key=lambda s: (-times[s], -s.baud, s.parity))
    if wish.thorough:
        order += [
            Setting(baud, parity)
            for parity in PARITIES
            for baud in BAUDS
            if Setting(baud, parity) not in times
        ]
    if not wish.bauds:
        return tuple(order)
    asked = [s for s in order if s.baud in wish.bauds]
    asked += [Setting(b) for b in wish.bauds if all(s.baud != b for s in asked)]
    return tuple(asked)


def probe_addresses(device: Device, wish: Wish) -> tuple[int, ...]:
    """Where a device with a protocol of its own is looked for: as delivered first."""
    if device.addresses is None:
        return (device.address,)
    rest = tuple(a for a in device.addresses if a != device.address)
    return (device.address, *(rest if wish.thorough else ()))


def is_particular(device: Device) -> bool:
    """Whether it may be deaf to the sweep's question, though it speaks Modbus; ask it its own."""
    return device.turnaround_ms > 0


def single_tries(device: Device) -> int:
    """One with a port for itself is asked twice: no other address gives it a second chance."""
    return 2 if device.addresses is None else 1


def round_s(round_: Round, wish: Wish) -> float:
    """The longest that a round takes when nobody answers."""
    bits = 10 / round_.setting.baud
    sweep_s = len(round_.addresses) * (SWEEP_BYTES * bits + SWEEP_PROCESSING_MS / 1_000 + SLACK_S)
    single_s: dict[Protocol, float] = {}  # types of one protocol ask the same, and only once
    for device in round_.singles:
        probes = single_tries(device) * len(probe_addresses(device, wish))
        took_s = probes * (PROBE_BYTES * bits + device.processing_ms / 1_000 + SLACK_S)
        (protocol,) = device.protocols
        single_s[protocol] = max(took_s, single_s.get(protocol, 0.0))
    return sweep_s + sum(single_s.values())


def estimate_s(rounds: Iterable[Round], wish: Wish) -> float:
    """The longest that a silent port takes; ports are scanned side by side."""
    return sum(round_s(round_, wish) for round_ in rounds)


def parse_addresses(text: str) -> tuple[int, ...]:
    """``1-32,40`` as addresses, in order and once each.

    Raises:
        ValueError: says what is wrong.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"{part.strip()!r} is no address; write 1-32 or 1,2,5-9")
        low, high = int(first), int(last or first)
        if not 1 <= low <= high <= 247:
            raise ValueError(f"{part.strip()}: addresses go from 1 to 247, the lower one first")
        found.update(dict.fromkeys(range(low, high + 1)))
    return tuple(found)


def _telling(device: Device) -> tuple[bool, str]:
    """Those that name themselves first: their word settles it."""
    return not device.names_itself, device.type
