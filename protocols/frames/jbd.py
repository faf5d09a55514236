"""JBD (Jiabaida) 0xDD frames of a pack's BMS: 9600 8N1, no device address, no I/O here.

A request is ``DD A5|5A REG LEN DATA SUM SUM 77`` (A5 reads, 5A writes), a reply is
``DD REG STATUS LEN DATA SUM SUM 77``. The sum is 0x10000 minus all bytes from REG (request) or
STATUS (reply) through the last data byte. Source: the maker's general protocol V4.
"""

from __future__ import annotations

import datetime
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocols.errors import FrameError

START: Final = 0xDD
END: Final = 0x77
READ: Final = 0xA5
WRITE: Final = 0x5A
STATUS_OK: Final = 0x00
STATUS_ERROR: Final = 0x80

REG_BASIC: Final = 0x03
REG_CELLS: Final = 0x04
REG_MODEL: Final = 0x05
REG_BARCODE: Final = 0xA2
REG_FET: Final = 0xE1

FRAME_OVERHEAD_BYTES: Final = 7
DATA_BYTES_MAX: Final = 255
FRAME_BYTES_MAX: Final = FRAME_OVERHEAD_BYTES + DATA_BYTES_MAX
BARCODE_CHARS_MAX: Final = 50
CELLS_MAX: Final = 32

#: Names of the protection bits, lowest first. The two reserved ones have names too, so that no
#: bit of an unknown firmware is dropped.
PROTECTIONS: Final = (
    "cell-over-voltage",
    "cell-under-voltage",
    "pack-over-voltage",
    "pack-under-voltage",
    "charge-over-temp",
    "charge-under-temp",
    "discharge-over-temp",
    "discharge-under-temp",
    "charge-over-current",
    "discharge-over-current",
    "short-circuit",
    "afe-error",
    "mos-lock",
    "charge-timeout",
    "reserved-14",
    "reserved-15",
)

_BASIC: Final = struct.Struct(">HhHHHHHHHBBBBB")
_ZERO_C_RAW: Final = 2731  # tenths of a kelvin
_CHARGE_BIT: Final = 1
_DISCHARGE_BIT: Final = 2


@dataclass(frozen=True, slots=True)
class Request:
    """What a master sends."""

    write: bool
    register: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a BMS answers."""

    register: int
    status: int
    data: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the BMS did what was asked."""
        return self.status == STATUS_OK


@dataclass(frozen=True, slots=True)
class BasicInfo:
    """Register 03. Current is positive while charging; no date when its bits are no date."""

    voltage_v: float
    current_a: float
    remaining_ah: float
    nominal_ah: float
    cycles: int
    production_date: datetime.date | None
    balance_bits: int
    protection: frozenset[str]
    software_version: str
    soc_pct: int
    charge_fet_on: bool
    discharge_fet_on: bool
    cells: int
    temps_c: tuple[float, ...]


def read_request(register: int) -> bytes:
    """Ask for a register."""
    return _frame(bytes([START, READ]), bytes([register, 0]))


def write_request(register: int, data: bytes) -> bytes:
    """Write a register; raise FrameError when the data is over 255 bytes."""
    return _frame(bytes([START, WRITE]), bytes([register, _size(data)]) + data)


def reply(register: int, data: bytes = b"", status: int = STATUS_OK) -> bytes:
    """Answer a request; raise FrameError when the data is over 255 bytes."""
    return _frame(bytes([START, register]), bytes([status, _size(data)]) + data)


def fet_data(*, charge_on: bool, discharge_on: bool) -> bytes:
    """Data of a write to REG_FET. On the wire a set bit means off."""
    return bytes([0, (not charge_on) * _CHARGE_BIT | (not discharge_on) * _DISCHARGE_BIT])


def decode_fet(data: bytes) -> tuple[bool, bool]:
    """Charge and discharge MOS on, from a write to REG_FET; raise FrameError otherwise."""
    if len(data) != 2 or data[0] != 0 or data[1] > _CHARGE_BIT | _DISCHARGE_BIT:
        raise FrameError(f"JBD FET data {data.hex(' ')}: expected 00 00 to 00 03")
    return not data[1] & _CHARGE_BIT, not data[1] & _DISCHARGE_BIT


class Parser:
    """Finds frames in a byte stream, in any chunks and between any garbage.

    A start byte in garbage may announce up to 262 bytes; a valid frame that lies whole behind it
    is not kept waiting for them. Never holds more than one frame's length and never raises.
    """

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def pending(self) -> int:
        """How many bytes of an unfinished frame are held."""
        return len(self._buffer)

    def reset(self) -> None:
        """Forget an unfinished frame: call it before a new request."""
        self._buffer = b""

    def feed(self, data: bytes) -> list[Frame | Request]:
        """Take bytes, return the frames that they completed."""
        buffer = self._buffer + data
        found: list[Frame | Request] = []
        keep: int | None = None  # start of the first frame that may still be completed
        at = buffer.find(START)
        while at >= 0:
            length = _length(buffer, at)
            if length is None:
                keep = at if keep is None else keep
            else:
                item = _item(buffer[at : at + length])
                if item is not None:
                    found.append(item)
                    keep = None
                    at += length - 1
            at = buffer.find(START, at + 1)
        self._buffer = b"" if keep is None else buffer[keep:]
        return found


def encode_basic(info: BasicInfo) -> bytes:
    """Data of a reply to REG_BASIC; raise FrameError for a value that does not fit."""
    date = info.production_date
    date_raw = 0 if date is None else (date.year - 2000) << 9 | date.month << 5 | date.day
    fets = info.charge_fet_on * _CHARGE_BIT | info.discharge_fet_on * _DISCHARGE_BIT
    try:
        head = _BASIC.pack(
            round(info.voltage_v * 100),
            round(info.current_a * 100),
            round(info.remaining_ah * 100),
            round(info.nominal_ah * 100),
            info.cycles,
            date_raw,
            info.balance_bits & 0xFFFF,
            info.balance_bits >> 16,
            sum(1 << PROTECTIONS.index(name) for name in info.protection),
            _version(info.software_version),
            info.soc_pct,
            fets,
            info.cells,
            len(info.temps_c),
        )
        temps = [round(temp_c * 10) + _ZERO_C_RAW for temp_c in info.temps_c]
        return head + struct.pack(f">{len(temps)}H", *temps)
    except (struct.error, ValueError) as error:
        raise FrameError(f"JBD basic info does not fit its fields: {error}") from error


def decode_basic(data: bytes) -> BasicInfo:
    """Data of a reply to REG_BASIC; raise FrameError when it is too short for its contents."""
    if len(data) < _BASIC.size:
        raise FrameError(f"JBD basic info of {len(data)} bytes, expected at least {_BASIC.size}")
    (
        voltage, current, remaining, nominal, cycles, date_raw, balance_low, balance_high,
        protection, version, soc_pct, fets, cells, temps,
    ) = _BASIC.unpack_from(data)  # fmt: skip
    if len(data) < _BASIC.size + 2 * temps:  # newer firmware may append fields; older never omits
        raise FrameError(f"JBD basic info of {len(data)} bytes is too short for {temps} sensors")
    raw_temps = struct.unpack_from(f">{temps}H", data, _BASIC.size)
    return BasicInfo(
        voltage_v=voltage / 100,
        current_a=current / 100,
        remaining_ah=remaining / 100,
        nominal_ah=nominal / 100,
        cycles=cycles,
        production_date=_date(date_raw),
        balance_bits=balance_high << 16 | balance_low,
        protection=frozenset(name for bit, name in enumerate(PROTECTIONS) if protection >> bit & 1),
        software_version=f"{version >> 4}.{version & 15}",
        soc_pct=soc_pct,
        charge_fet_on=bool(fets & _CHARGE_BIT),
        discharge_fet_on=bool(fets & _DISCHARGE_BIT),
        cells=cells,
        temps_c=tuple((raw - _ZERO_C_RAW) / 10 for raw in raw_temps),
    )


def encode_cells(volts: Sequence[float]) -> bytes:
    """Data of a reply to REG_CELLS; raise FrameError for a voltage that does not fit."""
    try:
        return struct.pack(f">{len(volts)}H", *(round(volt * 1000) for volt in volts))
    except (struct.error, ValueError) as error:
        raise FrameError(f"JBD cell voltages do not fit: {error}") from error


def decode_cells(data: bytes) -> tuple[float, ...]:
    """Cell voltages in volts; raise FrameError for half a cell, none, or too many."""
    cells, half = divmod(len(data), 2)
    if half or not 1 <= cells <= CELLS_MAX:
        raise FrameError(f"JBD cell data of {len(data)} bytes")
    return tuple(raw / 1000 for raw in struct.unpack(f">{cells}H", data))


def encode_barcode(serial: str) -> bytes:
    """Data of a reply to REG_BARCODE; raise FrameError when it is not short printable ASCII."""
    if len(serial) > BARCODE_CHARS_MAX or not (serial.isascii() and serial.isprintable()):
        raise FrameError(f"JBD barcode {serial!r}: at most {BARCODE_CHARS_MAX} printable ASCII")
    return bytes([len(serial)]) + serial.encode("ascii")


def decode_barcode(data: bytes) -> str:
    """The battery's serial, without padding; empty when none was written.

    Raises:
        FrameError: the length byte does not fit, or the text is not printable ASCII.
    """
    if not data or data[0] > len(data) - 1:
        raise FrameError(f"JBD barcode data {data.hex(' ')}: length byte does not fit")
    text = data[1 : 1 + data[0]].rstrip(b"\x00 ")
    if not all(0x20 <= byte < 0x7F for byte in text):
        raise FrameError(f"JBD barcode data {data.hex(' ')}: not printable ASCII")
    return text.decode("ascii")


def _frame(head: bytes, body: bytes) -> bytes:
    return head + body + struct.pack(">HB", _checksum(body), END)


def _checksum(body: bytes) -> int:
    return -sum(body) & 0xFFFF


def _size(data: bytes) -> int:
    if len(data) > DATA_BYTES_MAX:
        raise FrameError(f"JBD data of {len(data)} bytes, at most {DATA_BYTES_MAX}")
    return len(data)


def _length(buffer: bytes, at: int) -> int | None:
    """Length of the frame that starts at ``at``, or None while bytes of it are missing."""
    if at + 4 > len(buffer):
        return None
    length = FRAME_OVERHEAD_BYTES + buffer[at + 3]
    return length if at + length <= len(buffer) else None


def _item(frame: bytes) -> Frame | Request | None:
    """What a whole frame says, or None when it is garbage that begins like a frame."""
    (found,) = struct.unpack_from(">H", frame, len(frame) - 3)
    # In both forms the sum starts at the third byte and ends before itself.
    if frame[-1] != END or found != _checksum(frame[2:-3]):
        return None
    data = frame[4:-3]
    if frame[1] in {READ, WRITE}:
        return Request(frame[1] == WRITE, frame[2], data)
    return Frame(frame[1], frame[2], data)


def _version(text: str) -> int:
    """A version of two digits up to 15; raise ValueError when it is none."""
    major, minor = (int(part) for part in text.split("."))
    if not (0 <= major <= 15 and 0 <= minor <= 15):
        raise ValueError(f"version {text!r}")
    return major << 4 | minor


def _date(raw: int) -> datetime.date | None:
    try:
        return datetime.date(2000 + (raw >> 9), raw >> 5 & 15, raw & 31)
    except ValueError:
        return None
