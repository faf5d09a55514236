"""A configuration out of what a scan found, by the standard wiring, or what is missing for one.

Standard wiring, as cabinets leave the factory: each slot has a battery port; the boards in order of
their addresses, the first half with locks and doors, the others with the slots' mains and presence
switches, channel by channel; contactor, siren, extinguisher and fan, and smoke, flood, service door
and emergency stop on the last four channels of the last board with doors; charger n feeds slot n.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import msgspec

from cabinet.core.commission.inventory import Found, PortFound, PortState, by_number, empty_slots
from protocols.device import Device, Role
from protocols.devices import DEVICES

OUTPUTS: Final = ("contactor", "siren", "extinguisher", "fan")
INPUTS: Final = ("smoke", "flood", "service-door", "e-stop")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Pin:
    """One channel of a board, by the board's name."""

    board: str
    channel: int


@dataclass(frozen=True, slots=True)
class Placed:
    """One device with the name that it gets."""

    name: str
    type: str
    bus: str
    address: int


@dataclass(frozen=True, slots=True)
class Wiring:
    """Which channel does what."""

    doors: tuple[Pin, ...]  # lock and door switch, by slot
    mains: tuple[Pin, ...]  # slot AC relay and presence switch, by slot
    commons: tuple[Pin, ...]  # as OUTPUTS and INPUTS


@dataclass(frozen=True, slots=True)
class Names:
    """What a person chooses."""

    cabinet: str
    data_dir: str
    pack_voltage_max_v: float = 54.6


@dataclass(frozen=True, slots=True)
class Proposal:
    """``text`` is empty when ``missing`` says why there can be none."""

    text: str
    missing: tuple[str, ...]
    assumed: tuple[str, ...]


def wire_up(boards: Sequence[tuple[Placed, Device]], slots: int) -> Wiring | None:
    """The standard wiring of this many slots on these boards; None when they do not fit exactly.

    A board too many or too few means that it is not known which board does what. Then nothing may
    be switched: what would be the contactor's relay could be that of a lock.
    """
    combined = [(p, d) for p, d in boards if _pairs(d)]
    own_locks = [(p, d) for p, d in boards if d.locks and d.inputs and not d.relays]
    locking, rest = (own_locks, combined) if own_locks else _first(combined, slots + len(OUTPUTS))
    feeding, left = _first(rest, slots + (len(OUTPUTS) if own_locks else 0))
    doors = [Pin(p.name, c) for p, d in locking for c in range(min(d.locks, d.inputs))]
    mains = [Pin(p.name, c) for p, d in feeding for c in _pairs(d)]
    # The last channels of the last board with doors; beside lock boards, of the last board.
    source = mains if own_locks else doors
    commons = source[-len(OUTPUTS) :]
    del source[-len(OUTPUTS) :]
    if left or not slots or len(doors) < slots or len(mains) < slots or len(commons) < len(OUTPUTS):
        return None
    return Wiring(tuple(doors[:slots]), tuple(mains[:slots]), tuple(commons))


def power_pins(boards: Sequence[tuple[Placed, Device]], slots: int) -> tuple[Pin, ...]:
    """The relays that give the chargers mains: the contactor, then every slot's; () when unsure."""
    wiring = wire_up(boards, slots)
    return () if wiring is None else (wiring.commons[0], *wiring.mains)


def _first(
    boards: list[tuple[Placed, Device]], channels: int
) -> tuple[list[tuple[Placed, Device]], list[tuple[Placed, Device]]]:
    """As many boards as have so many channels, and those behind them."""
    count = 0
    while count < len(boards) and channels > 0:
        channels -= len(_pairs(boards[count][1]))
        count += 1
    return boards[:count], boards[count:]


def place_boards(
    ports: Iterable[PortFound], types: Sequence[Device]
) -> tuple[tuple[Placed, Device], ...]:
    """Every board that was found, in order of port and address, with its name."""
    found = _of_role(ports, types, Role.BOARD)
    return tuple(
        (Placed(f"board-{n}", f.type, bus_name(port), f.address), device)
        for n, (port, f, device) in enumerate(found, 1)
    )


def without(ports: Iterable[PortFound], others: Iterable[str]) -> tuple[PortFound, ...]:
    """The ports without those, and without devices, that serve something else.

    ``others`` are ``bus-b`` for a whole port and ``bus-a:5`` for the device at address 5.
    """
    left = frozenset(others)
    return tuple(
        msgspec.structs.replace(
            port,
            devices=tuple(f for f in port.devices if f"{port.name}:{f.address}" not in left),
        )
        for port in ports
        if port.name not in left
    )


def slot_ports(ports: Iterable[PortFound], types: Sequence[Device]) -> tuple[PortFound, ...]:
    """The battery ports in order of their names, those of empty slots included."""
    every = tuple(ports)
    empty = empty_slots(every, types)
    answered = {port.name for port, _, _ in _of_role(every, types, Role.BMS)}
    return tuple(
        sorted(
            (port for port in every if port.name in answered or port.name in empty),
            key=lambda port: by_number(port.name),
        )
    )


def bus_name(port: PortFound) -> str:
    """The port's own name where it can be one of a bus."""
    name = re.sub(r"[^a-z0-9-]+", "-", port.name.lower()).strip("-")
    if _NAME.fullmatch(name):
        return name
    return "port-" + name[-20:].strip("-")  # by-path names are long and differ at their end


def propose(ports: Iterable[PortFound], types: Sequence[Device], names: Names) -> Proposal:
    """The configuration of a cabinet wired in the standard way."""
    every = tuple(ports)
    batteries = slot_ports(every, types)
    boards = place_boards(every, types)
    chargers = _of_role(every, types, Role.CHARGER)
    slots = len(batteries)
    wiring = wire_up(boards, slots) if slots else None
    missing = tuple(_missing(batteries, len(boards), len(chargers), wired=wiring is not None))
    if missing or wiring is None:
        return Proposal("", missing, ())
    kind = _battery_type(batteries, types)
    assumed = tuple(_assumed(every, batteries, chargers, types, kind))
    devices = [placed for placed, _ in boards]
    for role, name in ((Role.METER, "meter"), (Role.CLIMATE, "climate")):
        devices += [
            Placed(name, f.type, bus_name(port), f.address)
            for port, f, _ in _of_role(every, types, role)[:1]
        ]
    devices += [
        Placed(f"charger-{n:02}", f.type, bus_name(port), f.address)
        for n, (port, f, _) in enumerate(chargers[:slots], 1)
    ]
    for n, port in enumerate(batteries, 1):
        found = port.devices[0] if port.devices else Found(type=kind.type, address=kind.address)
        address = 0 if kind.addresses is None else found.address
        devices.append(Placed(f"bms-{n:02}", found.type, bus_name(port), address))
    text = "".join(
        [
            _head(names, slots, assumed),
            *_scanner(every),
            *_buses(every, batteries, kind),
            *map(_device, devices),
            *_slots(wiring),
            *_commons(wiring),
        ]
    )
    return Proposal(text, (), assumed)


def _pairs(device: Device) -> range:
    """Channels that are a relay and an input at once."""
    return range(min(device.relays, device.inputs))


def _of_role(
    ports: Iterable[PortFound], types: Sequence[Device], role: Role
) -> list[tuple[PortFound, Found, Device]]:
    known = {device.type: device for device in types if device.role is role}
    return [
        (port, found, known[found.type])
        for port in sorted(ports, key=lambda port: by_number(port.name))
        for found in sorted(port.devices, key=lambda found: found.address)
        if found.type in known
    ]


def _battery_type(batteries: Sequence[PortFound], types: Sequence[Device]) -> Device:
    """What an empty slot's port is taken for: the type that most others have."""
    seen = [port.devices[0].type for port in batteries if port.devices]
    most = max(seen, key=seen.count)
    return next(device for device in types if device.type == most)


def _missing(
    batteries: Sequence[PortFound], boards: int, chargers: int, *, wired: bool
) -> Iterator[str]:
    slots = len(batteries)
    if not slots:
        yield (
            "no battery answers at any port: put at least one into a slot, so that its port shows "
            "which ports are the slots'"
        )
        return
    if not wired:
        silent = ", ".join(port.name for port in batteries if not port.devices) or "none"
        yield (
            f"{boards} boards do not fit the standard wiring of {slots} slots (silent ports that count "
            f"as empty slots: {silent}). A board for something else: leave it out, like "
            "--other bus-a:5. A port that is no slot's: --other its name. A dead board: mend it first"
        )
    if chargers < slots:
        yield (
            f"{chargers} chargers for {slots} slots: they are silent without mains; scan with "
            "--power --yes"
        )


def _assumed(
    ports: Sequence[PortFound],
    batteries: Sequence[PortFound],
    chargers: Sequence[tuple[PortFound, Found, Device]],
    types: Sequence[Device],
    kind: Device,
) -> Iterator[str]:
    yield "locks, doors, mains and presence are wired in the standard way, board by board"
    yield "charger n feeds slot n, battery ports follow their names"
    silent = [port.name for port in batteries if not port.devices]
    if silent:
        yield f"silent ports are empty slots with a {kind.type}: {', '.join(silent)}"
    if len(chargers) > len(batteries):
        yield f"{len(chargers) - len(batteries)} chargers have no slot and are left out"
    for role in (Role.METER, Role.CLIMATE):
        if len(_of_role(ports, types, role)) != 1:
            yield f"the cabinet has {'no' if not _of_role(ports, types, role) else 'one'} {role}"


def _head(names: Names, slots: int, assumed: Sequence[str]) -> str:
    notes = "\n".join(f"#   - {note}" for note in assumed)
    return f"""\
# Proposed by `cabinetd commission scan` from what answered. Assumed, so check it before riders come:
{notes}
# `cabinetd commission slot-walk --config FILE --yes` tries every slot and names what is swapped.
# Every key is explained by `cabinetd example-config`; relative paths start at this file's directory.

[cabinet]
id = "{_quoted(names.cabinet)}"
slots = {slots}
data_dir = "{_quoted(names.data_dir)}"
breaker_w = 3500            # charging never takes more than this: write what the breaker says

# [fleet]                   # to join a fleet: take the # away, then cabinetd enrol
# credentials_dir = "{_quoted(names.data_dir)}/credentials"

[pack]                      # the batteries: read their label
voltage_max_v = {names.pack_voltage_max_v}
"""


def _scanner(ports: Sequence[PortFound]) -> Iterator[str]:
    for port in islice((p for p in ports if p.state is PortState.SCANNER), 1):
        yield f'\n[scanner]\nport = "{_quoted(port.path)}"\n'


def _buses(
    ports: Sequence[PortFound], batteries: Sequence[PortFound], kind: Device
) -> Iterator[str]:
    slots = {port.name for port in batteries}
    for port in sorted(ports, key=lambda port: (port.name in slots, by_number(port.name))):
        if port.devices:
            baud, parity, stopbits, protocol = port.baud, port.parity, port.stopbits, port.protocol
        elif port.name in slots:
            baud, parity, stopbits = kind.baud, kind.parity, kind.stopbits
            protocol = next(iter(sorted(kind.protocols)))
        else:
            continue
        if not any(found.type for found in port.devices) and port.name not in slots:
            continue
        lines = [
            "\n[[bus]]",
            f'name = "{bus_name(port)}"',
            f'port = "{_quoted(port.path)}"',
            f"baud = {baud}",
            f'protocol = "{protocol}"',
        ]
        if (parity, stopbits) != ("N", 1):
            lines += [f'parity = "{parity}"', f"stopbits = {stopbits}"]
        yield "\n".join(lines) + "\n"


def _device(placed: Placed) -> str:
    has_address = DEVICES[placed.type].addresses is not None
    address = f"address = {placed.address}\n" if has_address else ""
    return (
        f'\n[[device]]\nname = "{placed.name}"\ntype = "{placed.type}"\nbus = "{placed.bus}"\n'
        f"{address}"
    )


def _slots(wiring: Wiring) -> Iterator[str]:
    for n, (door, mains) in enumerate(zip(wiring.doors, wiring.mains, strict=True), 1):
        yield (
            f"\n[[slot]]\nnumber = {n}\nlock = {_pin(door)}\ndoor = {_pin(door)}\n"
            f"presence = {_pin(mains)}\nac = {_pin(mains)}\n"
            f'charger = "charger-{n:02}"\nbms = "bms-{n:02}"\n'
        )


def _commons(wiring: Wiring) -> Iterator[str]:
    for table, names in (("inputs", INPUTS), ("outputs", OUTPUTS)):
        pairs = zip(names, wiring.commons, strict=True)
        yield f"\n[{table}]\n" + "".join(f"{name} = {_pin(pin)}\n" for name, pin in pairs)


def _pin(pin: Pin) -> str:
    return f'{{ board = "{pin.board}", channel = {pin.channel} }}'


def _quoted(value: str) -> str:
    """Safe between double quotes in TOML."""
    return value.replace("\\", "\\\\").replace('"', '\\"')
