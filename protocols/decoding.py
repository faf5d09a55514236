"""What a frame on a wire says, in words, and what is wrong with bytes that are no answer."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from protocols import maps, modbus
from protocols.device import Protocol
from protocols.devices import DEVICES
from protocols.errors import ProtocolError
from protocols.frames import jbd
from protocols.maps import waveshare_relay
from protocols.registers import Register, RegisterMap, Space, Value
from protocols.trace import Direction, Frame

#: Values of one read that are told; a longer block ends in an ellipsis.
VALUES_MAX: Final = 8
EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal value",
    4: "device failure",
    5: "acknowledged",
    6: "busy",
}
SPACES: Final = {1: Space.COIL, 2: Space.DISCRETE, 3: Space.HOLDING, 4: Space.INPUT}
_BIT_NAMES: Final = {1: "relays", 2: "inputs"}
_WRITE_REPLY_BYTES: Final = 8
_EXCEPTION_BYTES: Final = 5
_READ_EXTRA_BYTES: Final = 5  # unit, function, count, checksum


class Spoilt(StrEnum):
    """Why bytes are no answer."""

    CHECKSUM = "checksum"  # as long as an answer, but torn
    FOREIGN = "foreign"  # a sound frame, but not the answer to this request
    SHORT = "short"  # an answer that breaks off
    NOISE = "noise"


@dataclass(frozen=True, slots=True)
class Station:
    """Who has an address: its name, and its registers when its type has a map."""

    name: str
    registers: RegisterMap | None = None

    @classmethod
    def of(cls, name: str, device_type: str) -> Station:
        """A device of this type."""
        return cls(name, MAPS.get(device_type))


@dataclass(frozen=True, slots=True)
class LineDecoder:
    """Reads the frames of one line."""

    protocol: Protocol
    stations: Mapping[int, Station] = field(default_factory=dict)

    def tell(self, frame: Frame) -> str:
        """What it says; never raises, whatever came over the wire."""
        text = self._tell(frame.direction, frame.data, frame.asked)
        return f"{text} (unasked)" if frame.stray else text

    def _tell(self, direction: Direction, data: bytes, asked: bytes) -> str:
        told = {
            Protocol.MODBUS_RTU: self._rtu,
            Protocol.MODBUS_TCP: self._tcp,
            Protocol.JBD: self._jbd,
        }.get(self.protocol)
        return told(direction, data, asked) if told else self._own(direction, data, asked)

    def _own(self, direction: Direction, data: bytes, asked: bytes) -> str:
        """A protocol that one make of devices speaks, in its own definition's words."""
        tell = TELLERS.get(self.protocol)
        outgoing = direction is Direction.OUT
        if not outgoing and asked and data == asked and self.protocol is not Protocol.LOCK_8A:
            return "echo of the request"
        text = tell(data, outgoing) if tell else None
        if text is None:
            return f"not a frame, {len(data)} bytes" if outgoing else f"noise, {len(data)} bytes"
        name = next((station.name for station in self.stations.values()), "")
        return f"{name}: {text}" if name else text

    # --- Modbus -------------------------------------------------------------------------------

    def _rtu(self, direction: Direction, data: bytes, asked: bytes) -> str:
        if direction is Direction.OUT:
            try:
                unit, pdu = modbus.parse_rtu(data)
            except ProtocolError as error:
                return f"not a frame: {error}"
            return self._request(unit, pdu)
        if data == asked and not _echoes(asked):
            return "echo of the request"
        for start in range(max(1, len(data) - modbus.RTU_BYTES_MIN + 1)):
            frame = rtu_reply(data[start:])
            if frame is not None:
                extra = len(data) - len(frame)
                noise = f" (and {extra} more bytes)" if extra else ""
                return self._reply(frame[0], frame[1:-2], asked[:1], asked[1:-2]) + noise
        return f"{_SPOILT[diagnose(self.protocol, asked, data)]}, {len(data)} bytes"

    def _tcp(self, direction: Direction, data: bytes, asked: bytes) -> str:
        try:
            found = modbus.parse_mbap(data)
            before = modbus.parse_mbap(asked) if asked else None
        except ProtocolError as error:
            return f"not a frame: {error}"
        if found is None:
            return f"part of a frame, {len(data)} bytes"
        if direction is Direction.OUT:
            return self._request(found.unit, found.pdu)
        request = before.pdu if before and before.transaction == found.transaction else b""
        return self._reply(found.unit, found.pdu, bytes([found.unit]), request)

    def _station(self, unit: int) -> Station:
        found = self.stations.get(unit)
        return found or Station("everybody" if unit == 0 else f"unit {unit}")

    def _request(self, unit: int, pdu: bytes) -> str:
        station = self._station(unit)
        try:
            request = modbus.parse_request(pdu)
        except ProtocolError as error:
            return f"{station.name}: {error}"
        if request.function in SPACES:
            return f"{station.name}: read {_block(station, request)}"
        return f"{station.name}: {_written(station, request)}"

    def _reply(self, unit: int, pdu: bytes, asked_unit: bytes, asked: bytes) -> str:
        station = self._station(unit)
        function = pdu[0]
        if function & modbus.ERROR_FLAG:
            code = pdu[1] if len(pdu) > 1 else 0
            return f"{station.name}: refused, {EXCEPTIONS.get(code, 'unknown reason')} ({code})"
        if asked_unit != bytes([unit]) or not asked or asked[0] != function:
            return f"{station.name}: function {function}, not what was asked"
        try:
            request = modbus.parse_request(asked)
            if function in SPACES:
                return f"{station.name}: {_values(station, request, pdu)}"
            done = modbus.reply_echo(request) == pdu
        except (ProtocolError, IndexError) as error:
            return f"{station.name}: {error}"
        return f"{station.name}: {'done' if done else 'another write confirmed'}"

    # --- batteries ----------------------------------------------------------------------------

    def _jbd(self, direction: Direction, data: bytes, asked: bytes) -> str:
        name = self._station(0).name if 0 in self.stations else "pack"
        found = jbd.Parser().feed(data)
        if not found:
            if direction is Direction.OUT:
                return f"not a frame, {len(data)} bytes"
            return f"{_SPOILT[diagnose(self.protocol, asked, data)]}, {len(data)} bytes"
        item = found[0]
        if isinstance(item, jbd.Request):
            if direction is Direction.IN:
                return "echo of the request"
            what = f"write {item.data.hex(' ')} to" if item.write else "read"
            return (
                f"{name}: {what} {_JBD_NAMES.get(item.register, f'register {item.register:#04x}')}"
            )
        if not item.ok:
            return f"{name}: refused, register {item.register:#04x}, status {item.status:#04x}"
        return f"{name}: {_jbd_values(item)}"


def rtu_reply(data: bytes) -> bytes | None:
    """The sound RTU answer that begins here, or None."""
    if len(data) < modbus.RTU_BYTES_MIN:
        return None
    function = data[1]
    if function & modbus.ERROR_FLAG:
        length = _EXCEPTION_BYTES
    elif function in SPACES:
        length = _READ_EXTRA_BYTES + data[2]
    else:
        length = _WRITE_REPLY_BYTES
    frame = data[:length]
    sound = len(frame) == length and modbus.crc16(frame[:-2]) == int.from_bytes(
        frame[-2:], "little"
    )
    return frame if sound else None


def diagnose(protocol: Protocol, asked: bytes, received: bytes) -> Spoilt:
    """What is wrong with bytes that are no answer to a request."""
    if protocol is Protocol.MODBUS_RTU:
        starts = range(max(0, len(received) - modbus.RTU_BYTES_MIN + 1))
        if any(rtu_reply(received[start:]) for start in starts):
            return Spoilt.FOREIGN
        expected, head = _rtu_length(asked), asked[:2]
    elif protocol is Protocol.JBD:
        if jbd.Parser().feed(received):
            return Spoilt.FOREIGN
        announced = received[3] if len(received) > 3 else 0
        expected = jbd.FRAME_OVERHEAD_BYTES + announced
        head = bytes([jbd.START, asked[2]]) if len(asked) > 2 else b""
    else:
        tell = TELLERS.get(protocol)
        return Spoilt.FOREIGN if tell and tell(received, False) else Spoilt.NOISE  # noqa: FBT003
    begins = bool(head) and head in received
    if len(received) == expected or (begins and len(received) > expected):
        return Spoilt.CHECKSUM
    if begins or received[:1] == head[:1]:
        return Spoilt.SHORT if len(received) < expected else Spoilt.CHECKSUM
    return Spoilt.NOISE


def _rtu_length(asked: bytes) -> int:
    """Of the answer to a request."""
    try:
        request = modbus.parse_request(asked[1:-2])
    except ProtocolError:
        return _EXCEPTION_BYTES
    match request.function:
        case 1 | 2:
            return _READ_EXTRA_BYTES + -(-request.count // 8)
        case 3 | 4:
            return _READ_EXTRA_BYTES + 2 * request.count
        case _:
            return _WRITE_REPLY_BYTES


def _echoes(asked: bytes) -> bool:
    """Whether the right answer to this request is the request itself."""
    return len(asked) > 1 and asked[1] in {modbus.WRITE_COIL, modbus.WRITE_REGISTER}


def _block(station: Station, request: modbus.Request) -> str:
    end = request.end - 1
    if request.function in _BIT_NAMES:
        return f"{_BIT_NAMES[request.function]} {request.address} to {end}"
    names = _names(station, request)
    if not names:
        kind = SPACES[request.function]
        return f"{kind} {request.address:#06x} to {end:#06x}"
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _names(station: Station, request: modbus.Request) -> list[str]:
    if station.registers is None:
        return []
    space = SPACES.get(request.function, Space.HOLDING)
    return [
        register.name
        for register in station.registers
        if register.space is space and request.address <= register.address < request.end
    ]


def _values(station: Station, request: modbus.Request, pdu: bytes) -> str:
    data = pdu[2:]
    if request.function in _BIT_NAMES:
        bits = "".join(str(data[n // 8] >> n % 8 & 1) for n in range(request.count))
        return f"{_BIT_NAMES[request.function]} {request.address} to {request.end - 1} = {bits}"
    words = [int.from_bytes(data[n : n + 2], "big") for n in range(0, len(data), 2)]
    told: list[str] = []
    for register in station.registers or ():
        offset = register.address - request.address
        inside = offset >= 0 and offset + register.words <= len(words)
        if register.space is SPACES[request.function] and inside and register.readable:
            value = _read(register, words[offset : offset + register.words])
            told.append(f"{register.name} {value:g}")
    if not told:
        told = [f"{request.address:#06x}: " + " ".join(f"{word:04x}" for word in words)]
    more = ", …" if len(told) > VALUES_MAX else ""
    return ", ".join(told[:VALUES_MAX]) + more


def _read(register: Register, words: Sequence[int]) -> Value:
    """What these words say; a float that is no number is told as such."""
    try:
        return register.decode(words)
    except ProtocolError:
        return float("nan")


def _written(station: Station, request: modbus.Request) -> str:
    if request.function == modbus.WRITE_COIL:
        return _coil(station, request)
    if request.function == modbus.WRITE_COILS:
        return f"relays {request.address} to {request.end - 1} = {request.values}"
    told: list[str] = []
    for register in station.registers or ():
        offset = register.address - request.address
        if register.space is Space.HOLDING and 0 <= offset <= request.count - register.words:
            value = _read(register, request.values[offset : offset + register.words])
            told.append(f"{register.name} = {value:g}")
    if not told:
        words = " ".join(f"{word:04x}" for word in request.values)
        told = [f"{request.address:#06x} = {words}"]
    return "write " + ", ".join(told)


def _coil(station: Station, request: modbus.Request) -> str:
    board = waveshare_relay
    base, channel = request.address & 0xFF00, request.address & 0xFF
    is_board = station.registers is None or station.registers is board.MAP
    if is_board and base in {board.FLASH_ON_BASE, board.FLASH_OFF_BASE}:
        way = "on" if base == board.FLASH_ON_BASE else "off"
        return f"relay {channel} {way} for {request.value * board.FLASH_UNIT_MS} ms"
    which = "all relays" if channel == board.ALL_RELAYS else f"relay {request.address}"
    levels = {board.ON: "on", board.OFF: "off", board.TOGGLE: "turn over"}
    return f"{which} {levels.get(request.value, hex(request.value))}"


def _jbd_values(frame: jbd.Frame) -> str:
    try:
        if frame.register == jbd.REG_BASIC:
            told = jbd.decode_basic(frame.data)
            temps = " ".join(f"{temp:g}" for temp in told.temps_c)
            protection = f", {' '.join(sorted(told.protection))}" if told.protection else ""
            return (
                f"{told.voltage_v:g} V, {told.current_a:g} A, {told.soc_pct} %, "
                f"{temps} °C{protection}"
            )
        if frame.register == jbd.REG_CELLS:
            cells = jbd.decode_cells(frame.data)
            return f"{len(cells)} cells {min(cells):.3f} to {max(cells):.3f} V"
        if frame.register == jbd.REG_BARCODE:
            return f"serial {jbd.decode_barcode(frame.data) or 'none'}"
    except ProtocolError as error:
        return str(error)
    if frame.register == jbd.REG_FET:
        return "done"
    return f"register {frame.register:#04x}: {frame.data.hex(' ')}"


_JBD_NAMES: Final = {
    jbd.REG_BASIC: "basic",
    jbd.REG_CELLS: "cells",
    jbd.REG_MODEL: "model",
    jbd.REG_BARCODE: "barcode",
    jbd.REG_FET: "switches",
}
_SPOILT: Final = {
    Spoilt.CHECKSUM: "wrong checksum",
    Spoilt.FOREIGN: "not what was asked",
    Spoilt.SHORT: "breaks off",
    Spoilt.NOISE: "noise",
}


def _maps() -> Mapping[str, RegisterMap]:
    found: dict[str, RegisterMap] = {}
    for module in pkgutil.iter_modules(maps.__path__):
        table = getattr(importlib.import_module(f"{maps.__name__}.{module.name}"), "MAP", None)
        if isinstance(table, RegisterMap):
            found[table.name] = table
    for device in DEVICES.values():
        twin = device.charger_twin
        table = device.table if twin is None else twin.table
        if table is not None:
            found[device.type] = table
    return MappingProxyType(found)


#: Who puts frames of a protocol of one make into words.
TELLERS: Final[Mapping[Protocol, Callable[[bytes, bool], str | None]]] = MappingProxyType(
    {
        protocol: device.tell
        for device in DEVICES.values()
        if device.tell is not None
        for protocol in device.protocols
    }
)
#: Register maps by the device type they belong to.
MAPS: Final = _maps()
#: Decodes the frames of several lines.
DecoderOf = Callable[[str], LineDecoder | None]


def by_line(decoder_of: DecoderOf) -> Callable[[Frame], str]:
    """A decoder of all lines from the one of each."""

    def tell(frame: Frame) -> str:
        decoder = decoder_of(frame.line)
        return decoder.tell(frame) if decoder else f"{len(frame.data)} bytes"

    return tell
