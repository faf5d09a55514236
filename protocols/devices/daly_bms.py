"""Daly BMS, UART/RS485 "A5" protocol: 13 bytes each way, no device address, one pack per port.

A request is ``A5 HOST CMD 08`` and eight zeros, a reply ``A5 01 CMD 08`` and eight bytes; both end
in the low byte of the sum. Long answers come as several frames with a number in their first byte.
A raw current above 30000 is a discharge. The battery code (0x57), by which the pack is known, is
from memory and unverified: without it a pack is neither charged nor offered.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Final

from protocols.device import Capability, Device, Dialogue, Protocol, Raw, Role, Where
from protocols.errors import FrameError
from protocols.faces import PackFacts, PackReply, Switches

START: Final = 0xA5
HOST: Final = 0x40  # a computer on RS485; 0x80 is Bluetooth, 0x20 GPRS
HOSTS: Final = frozenset({0x20, 0x40, 0x80})
BMS: Final = 0x01
LENGTH: Final = 8
FRAME_BYTES: Final = 13

SOC, MOS, STATUS, CELLS, TEMPS, BALANCE, FAULTS = 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98
CELL_RANGE, TEMP_RANGE, CODE = 0x91, 0x92, 0x57
DISCHARGE_MOS, CHARGE_MOS = 0xD9, 0xDA
CELLS_PER_FRAME: Final = 3
TEMPS_PER_FRAME: Final = 7
CHARS_PER_FRAME: Final = 7
CODE_FRAMES: Final = 5
CELLS_MAX: Final = 48
SENSORS_MAX: Final = 16
ZERO_A: Final = 30_000
ZERO_C: Final = 40

#: Names of the fault bits, byte by byte, lowest bit first; two levels of each mean the same to us.
FAULT_BITS: Final = (
    ("cell-over-voltage",) * 2 + ("cell-under-voltage",) * 2
    + ("pack-over-voltage",) * 2 + ("pack-under-voltage",) * 2,
    ("charge-over-temp",) * 2 + ("charge-under-temp",) * 2
    + ("discharge-over-temp",) * 2 + ("discharge-under-temp",) * 2,
    ("charge-over-current",) * 2 + ("discharge-over-current",) * 2
    + ("soc-high",) * 2 + ("soc-low",) * 2,
    ("cell-imbalance",) * 2 + ("temp-imbalance",) * 2 + ("reserved-fault",) * 4,
    ("mos-over-temp",) * 2 + ("mos-lock",) * 6,
    ("afe-error",) * 8,
    ("afe-error",) * 3 + ("short-circuit",) + ("afe-error",) * 4,
)  # fmt: skip
#: A full or empty pack is no fault.
NO_FAULTS: Final = frozenset({"soc-high", "soc-low"})
#: What the simulated pack knows by other names.
SAME: Final = {"charge-timeout": "mos-lock"}

SOURCE: Final = "esphome daly_bms, PyPI dalybms 0.5.0 and pydalybms 0.1.0, which agree"


def frame(address: int, command: int, data: bytes = b"") -> bytes:
    """A whole frame, either way."""
    body = bytes([START, address, command, LENGTH]) + data.ljust(LENGTH, b"\0")
    return body + bytes([sum(body) & 0xFF])


def split(received: bytes, command: int) -> list[bytes]:
    """The data of every good reply to this command, in any noise."""
    head = bytes([START, BMS, command, LENGTH])
    found: list[bytes] = []
    at = received.find(head)
    while at >= 0 and at + FRAME_BYTES <= len(received):
        whole = received[at : at + FRAME_BYTES]
        good = whole[-1] == sum(whole[:-1]) & 0xFF
        if good:
            found.append(whole[4:-1])
        at = received.find(head, at + (FRAME_BYTES if good else 1))
    return found


def _taker(command: int, frames: int | None) -> Callable[[bytes], bytes | None]:
    """Finds the one frame of an answer, or so many numbered ones."""

    def take(received: bytes) -> bytes | None:
        found = split(received, command)
        if frames is None:
            return found[0] if found else None
        parts = {data[0]: data[1:] for data in found}
        wanted = range(1, frames + 1)
        return b"".join(parts[n] for n in wanted) if parts.keys() >= set(wanted) else None

    return take


def _read(command: int, frames: int | None = None) -> Raw:
    return Raw(frame(HOST, command), FRAME_BYTES * (frames or 1), _taker(command, frames))


class DalyBms:
    """Implements ``protocols.faces.BmsFace``."""

    def read(self, _: Where) -> Dialogue[PackFacts]:
        """Status first: it tells how many frames the others have."""
        status = yield _read(STATUS)
        cells, sensors, cycles = status[0], status[1], struct.unpack_from(">H", status, 5)[0]
        if not (1 <= cells <= CELLS_MAX and 0 <= sensors <= SENSORS_MAX):
            raise FrameError(f"Daly status with {cells} cells, {sensors} sensors")
        total, _spare, current, soc = struct.unpack(">4H", (yield _read(SOC)))
        mos = yield _read(MOS)
        volts = yield _read(CELLS, math.ceil(cells / CELLS_PER_FRAME))
        temps = b""
        if sensors:
            temps = yield _read(TEMPS, math.ceil(sensors / TEMPS_PER_FRAME))
        faults = yield _read(FAULTS)
        remaining_ah = struct.unpack_from(">I", mos, 4)[0] / 1_000
        return PackFacts(
            soc_pct=round(soc / 10),
            voltage_v=total / 10,
            current_a=(ZERO_A - current) / 10,
            cell_v=_cells(volts, cells),
            temps_c=tuple(float(raw - ZERO_C) for raw in temps[:sensors]),
            protection=decode_faults(faults),
            charge_fet_on=bool(mos[1]),
            discharge_fet_on=bool(mos[2]),
            remaining_ah=remaining_ah,
            capacity_ah=remaining_ah / (soc / 1_000) if soc else 0.0,
            cycles=cycles,
        )

    def serial(self, _: Where) -> Dialogue[str | None]:
        """The battery code: five frames of seven characters."""
        raw = (yield _read(CODE, CODE_FRAMES)).rstrip(b"\0 \xff")
        if not all(0x20 <= byte < 0x7F for byte in raw):
            raise FrameError(f"Daly battery code {raw.hex(' ')} is not printable ASCII")
        return raw.decode("ascii") or None

    def switch_charge(self, _: Where, *, on: bool, discharge_on: bool) -> Dialogue[None]:
        """The charge MOS alone."""
        del discharge_on
        request = frame(HOST, CHARGE_MOS, bytes([on]))
        yield Raw(request, FRAME_BYTES, _taker(CHARGE_MOS, None), is_read=False)

    def find(self, heard: bytes) -> tuple[int, int] | None:
        """A request from any kind of host, with a good sum."""
        for start in range(len(heard) - FRAME_BYTES + 1):
            whole = heard[start : start + FRAME_BYTES]
            known = whole[0] == START and whole[1] in HOSTS and whole[3] == LENGTH
            if known and whole[-1] == sum(whole[:-1]) & 0xFF:
                return start, start + FRAME_BYTES
        return None

    def answer(self, request: bytes, pack: PackFacts) -> PackReply:
        """Silence to a command that it does not know."""
        command = request[2]
        if command in {CHARGE_MOS, DISCHARGE_MOS}:
            on = bool(request[4])
            wish = Switches(charge=on) if command == CHARGE_MOS else Switches(discharge=on)
            return PackReply(frame(BMS, command, bytes([on])), wish)
        parts = _told(command, pack)
        if parts is None:
            return PackReply(None)
        return PackReply(b"".join(frame(BMS, command, part) for part in parts))


def decode_faults(data: bytes) -> frozenset[str]:
    """The names of the fault bits; a fault code in the last byte counts too."""
    names = {
        name
        for byte, bits in zip(data, FAULT_BITS, strict=False)
        for bit, name in enumerate(bits)
        if byte >> bit & 1
    }
    if data[7]:
        names.add("fault-code")
    return frozenset(names - NO_FAULTS)


def encode_faults(protection: frozenset[str]) -> bytes:
    """The fault bits that say so: the first of each pair."""
    raised = {SAME.get(name, name) for name in protection}
    data = bytearray(LENGTH)
    for at, bits in enumerate(FAULT_BITS):
        for name in raised & set(bits):
            data[at] |= 1 << bits.index(name)
            raised = raised - {name}
    return bytes(data)


def _cells(data: bytes, cells: int) -> tuple[float, ...]:
    # Three to a frame: six bytes after the number, and one that says nothing.
    raw = [
        struct.unpack_from(">H", data, 7 * (n // CELLS_PER_FRAME) + 2 * (n % CELLS_PER_FRAME))[0]
        for n in range(cells)
    ]
    return tuple(millivolts / 1_000 for millivolts in raw)


def _told(command: int, pack: PackFacts) -> list[bytes] | None:
    """The data of each frame that answers a read."""
    cells = [round(volt * 1_000) for volt in pack.cell_v]
    temps = [round(temp) + ZERO_C for temp in pack.temps_c]
    match command:
        case 0x90:
            current = ZERO_A - round(pack.current_a * 10)
            volts = round(pack.voltage_v * 10)
            return [struct.pack(">4H", volts, 0, current, pack.soc_pct * 10)]
        case 0x91:
            most, least = max(cells), min(cells)
            high, low = 1 + cells.index(most), 1 + cells.index(least)
            return [struct.pack(">HBHB", most, high, least, low)]
        case 0x92:
            most, least = max(temps, default=ZERO_C), min(temps, default=ZERO_C)
            return [bytes([most, 1, least, 1])]
        case 0x93:
            flow = 0 if abs(pack.current_a) < 0.05 else 1 if pack.current_a > 0 else 2
            remaining = round(pack.remaining_ah * 1_000)
            fets = (pack.charge_fet_on, pack.discharge_fet_on)
            return [struct.pack(">BBBBI", flow, *fets, 0, remaining)]
        case 0x94:
            return [struct.pack(">BBBBBHB", len(cells), len(temps), 0, 0, 0, pack.cycles, 0)]
        case 0x95:
            raw = struct.pack(f">{len(cells)}H", *cells)
            return _numbered(raw, 2 * CELLS_PER_FRAME)
        case 0x96:
            return _numbered(bytes(temps), TEMPS_PER_FRAME)
        case 0x97:
            return [pack.balance_bits.to_bytes(6, "little")]
        case 0x98:
            return [encode_faults(pack.protection)]
        case 0x57:
            code = (pack.serial or "").encode("ascii")[: CODE_FRAMES * CHARS_PER_FRAME]
            return _numbered(code.ljust(CODE_FRAMES * CHARS_PER_FRAME, b"\0"), CHARS_PER_FRAME)
        case _:
            return None


def _numbered(raw: bytes, size: int) -> list[bytes]:
    starts = range(0, len(raw), size)
    return [bytes([n]) + raw[at : at + size] for n, at in enumerate(starts, start=1)]


_NAMES: Final = {
    SOC: "voltage, current, charge",
    MOS: "switches",
    STATUS: "status",
    CELLS: "cells",
    TEMPS: "temperatures",
    BALANCE: "balancing",
    FAULTS: "faults",
    CELL_RANGE: "highest and lowest cell",
    TEMP_RANGE: "highest and lowest temperature",
    CODE: "battery code",
    CHARGE_MOS: "charge switch",
    DISCHARGE_MOS: "discharge switch",
}


def tell(heard: bytes, outgoing: bool) -> str | None:  # noqa: FBT001 - of one signature
    """A frame in words; None when there is none in it."""
    if outgoing:
        found = DalyBms().find(heard)
        if found is None:
            return None
        command, what = heard[found[0] + 2], heard[found[0] + 4]
        name = _NAMES.get(command, f"command {command:#04x}")
        if command in {CHARGE_MOS, DISCHARGE_MOS}:
            return f"{name} {'on' if what else 'off'}"
        return f"read {name}"
    for command, name in _NAMES.items():
        found_data = split(heard, command)
        if found_data:
            return f"{name}: {_shown(command, found_data)}"
    return None


def _shown(command: int, parts: list[bytes]) -> str:
    data = parts[0]
    match command:
        case 0x90:
            volts, _spare, current, soc = struct.unpack(">4H", data)
            return f"{volts / 10:g} V, {(ZERO_A - current) / 10:g} A, {soc / 10:g} %"
        case 0x93:
            return f"charge {'on' if data[1] else 'off'}, discharge {'on' if data[2] else 'off'}"
        case 0x94:
            return f"{data[0]} cells, {data[1]} sensors"
        case 0x98:
            return ", ".join(sorted(decode_faults(data))) or "none"
        case _:
            return " | ".join(part.hex(" ") for part in parts)


def identify(_: Where) -> Dialogue[str | None]:
    """Its cells, voltage and charge."""
    status = yield _read(STATUS)
    volts, _spare, _current, soc = struct.unpack(">4H", (yield _read(SOC)))
    return f"{status[0]} cells, {volts / 10:.1f} V, {soc / 10:.1f} %"


DEVICE: Final = Device(
    type="daly-bms",
    title="Daly BMS (A5 protocol)",
    role=Role.BMS,
    capabilities=frozenset({Capability.BMS, Capability.SERIAL, Capability.CHARGE_SWITCH}),
    protocols=frozenset({Protocol.DALY}),
    source=SOURCE,
    identify=identify,
    names_itself=True,
    addresses=None,
    address=0,
    processing_ms=250,
    bms=DalyBms(),
    tell=tell,
    note="its battery code (0x57) is from memory, unverified; without one it is not charged",
)
