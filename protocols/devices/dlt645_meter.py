"""DL/T 645-2007: the protocol of Chinese energy meters, asked by the twelve digits on their plate.

A frame is ``68 A0..A5 68 C L DATA CS 16`` after four wake-up bytes FE: the address in BCD with its
low byte first, every data byte plus 0x33, CS the low byte of the sum from the first 68. Function
11 reads a data identifier (sent low byte first), 13 asks the only meter on a line for its address.
Delivered at 2400 8E1 (from memory, unverified).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocols.device import (
    Capability,
    Device,
    Dialogue,
    Protocol,
    Raw,
    RefusedError,
    Role,
    Where,
)
from protocols.errors import FrameError
from protocols.faces import MeterFacts

WAKE: Final = b"\xfe" * 4
START: Final = 0x68
END: Final = 0x16
OFFSET: Final = 0x33
READ: Final = 0x11
READ_ADDRESS: Final = 0x13
REPLY: Final = 0x80
MORE: Final = 0x20
ERROR: Final = 0x40
ANY: Final = "AAAAAAAAAAAA"
DIGITS: Final = 12
OVERHEAD_BYTES: Final = 12
DATA_MAX: Final = 200

ENERGY_IN: Final = "00010000"  # kWh, XXXXXX.XX
ENERGY_OUT: Final = "00020000"
VOLTAGE_A: Final = "02010100"  # V, XXX.X
CURRENT_A: Final = "02020100"  # A, XXX.XXX, sign in the top bit
POWER: Final = "02030000"  # kW, XX.XXXX, sign in the top bit
POWER_FACTOR: Final = "02060000"  # X.XXX, sign in the top bit
FREQUENCY: Final = "02800002"  # Hz, XX.XX, from memory, unverified
#: Bytes and decimals of each.
FORMS: Final = {
    ENERGY_IN: (4, 2),
    ENERGY_OUT: (4, 2),
    VOLTAGE_A: (2, 1),
    CURRENT_A: (3, 3),
    POWER: (3, 4),
    POWER_FACTOR: (2, 3),
    FREQUENCY: (2, 2),
}
#: What a meter says that does not have the data asked for.
NO_DATA: Final = 0x02


@dataclass(frozen=True, slots=True)
class Message:
    """One frame; ``data`` without the offset."""

    number: str
    control: int
    data: bytes = b""


def frame(message: Message) -> bytes:
    """A whole frame, without the wake-up bytes.

    Raises:
        FrameError: the number is not twelve digits, or the data too long.
    """
    number = message.number
    if len(number) != DIGITS or not (number.isdecimal() or number == ANY):
        raise FrameError(f"DL/T 645 number {number!r}: expected {DIGITS} digits")
    if len(message.data) > DATA_MAX:
        raise FrameError(f"DL/T 645 data of {len(message.data)} bytes, at most {DATA_MAX}")
    data = bytes((byte + OFFSET) & 0xFF for byte in message.data)
    address = bytes.fromhex(number)[::-1]
    body = bytes([START]) + address + bytes([START, message.control, len(data)]) + data
    return body + bytes([sum(body) & 0xFF, END])


def read_request(number: str, identifier: str) -> bytes:
    """Ask for one value, wake-up bytes included."""
    return WAKE + frame(Message(number, READ, bytes.fromhex(identifier)[::-1]))


def find(heard: bytes) -> tuple[int, int] | None:
    """Where a whole good frame lies in what was heard."""
    start = heard.find(START)
    while start >= 0:
        if start + 10 <= len(heard) and heard[start + 7] == START:
            end = start + OVERHEAD_BYTES + heard[start + 9]
            whole = heard[start:end]
            good = len(heard) >= end and whole[-1] == END
            if good and whole[-2] == sum(whole[:-2]) & 0xFF:
                return start, end
        start = heard.find(START, start + 1)
    return None


def parse(whole: bytes) -> Message:
    """What a frame found by ``find`` says."""
    data = bytes((byte - OFFSET) & 0xFF for byte in whole[10:-2])
    return Message(whole[1:7][::-1].hex().upper(), whole[8], data)


def bcd(data: bytes, decimals: int) -> float:
    """A number in BCD, low byte first; its sign stands in the top bit.

    Raises:
        FrameError: a digit above nine.
    """
    digits = bytes([*data[:-1], data[-1] & 0x7F])[::-1].hex()
    if not digits.isdecimal():
        raise FrameError(f"DL/T 645 value {data.hex(' ')} is no BCD")
    value = int(digits) / float(10**decimals)
    return -value if data[-1] & 0x80 else value


def to_bcd(value: float, size: int, decimals: int) -> bytes:
    """The reverse; a value too large stops at all nines."""
    digits = min(round(abs(value) * 10**decimals), 10 ** (2 * size) - 1)
    data = bytearray(bytes.fromhex(f"{digits:0{2 * size}d}")[::-1])
    if value < 0:
        data[-1] |= 0x80
    return bytes(data)


def taker(number: str, control: int, head: bytes) -> Callable[[bytes], bytes | None]:
    """Finds the reply of this meter to this request; returns address and data behind the head."""

    def take(received: bytes) -> bytes | None:
        at = 0
        while (found := find(received[at:])) is not None:
            said = parse(received[at + found[0] : at + found[1]])
            at += found[1]
            if number not in {ANY, said.number}:
                continue
            if said.control == control | REPLY | ERROR:
                raise RefusedError(f"error {said.data.hex() or 'without a code'}")
            wanted = {control | REPLY, control | REPLY | MORE}
            if said.control in wanted and said.data.startswith(head):
                return bytes.fromhex(said.number) + said.data[len(head) :]
        return None

    return take


class Dlt645Meter:
    """Implements ``protocols.faces.MeterFace`` and ``FrameMeterTwin``.

    Without a number in the configuration the meter is asked by the wildcard address, which a meter
    answers that is alone on its line.
    """

    def read(self, where: Where) -> Dialogue[MeterFacts]:
        """Voltage, power and energy, one after the other."""
        number = where.number or ANY
        volts = yield from _value(number, VOLTAGE_A)
        kilowatts = yield from _value(number, POWER)
        energy = yield from _value(number, ENERGY_IN)
        return MeterFacts(voltage_v=volts, power_w=kilowatts * 1_000, import_kwh=energy)

    def find(self, heard: bytes) -> tuple[int, int] | None:
        """A good frame, anywhere."""
        return find(heard)

    def answer(self, request: bytes, number: str, facts: MeterFacts) -> bytes | None:
        """Answer reads by number or wildcard; silence to others, and to other functions."""
        asked = parse(request)
        if asked.number not in {number, ANY}:
            return None
        if asked.control == READ_ADDRESS:
            own = bytes.fromhex(number)[::-1]
            return WAKE + frame(Message(number, READ_ADDRESS | REPLY, own))
        if asked.control != READ:
            return None
        identifier = asked.data[3::-1].hex().upper() if len(asked.data) == 4 else ""
        value = _shown(identifier, facts)
        if value is None:
            refusal = Message(number, READ | REPLY | ERROR, bytes([NO_DATA]))
            return WAKE + frame(refusal)
        data = asked.data + to_bcd(value, *FORMS[identifier])
        return WAKE + frame(Message(number, READ | REPLY, data))


def _value(number: str, identifier: str) -> Dialogue[float]:
    size, decimals = FORMS[identifier]
    head = bytes.fromhex(identifier)[::-1]
    expected = len(WAKE) + OVERHEAD_BYTES + len(head) + size
    request = read_request(number, identifier)
    data = (yield Raw(request, expected, taker(number, READ, head)))[DIGITS // 2 :]
    if len(data) < size:
        raise FrameError(f"DL/T 645 value of {len(data)} bytes, expected {size}")
    return bcd(data[:size], decimals)


def _shown(identifier: str, facts: MeterFacts) -> float | None:
    return {
        ENERGY_IN: facts.import_kwh,
        ENERGY_OUT: 0.0,
        VOLTAGE_A: facts.voltage_v,
        CURRENT_A: facts.current_a,
        POWER: facts.power_w / 1_000,
        POWER_FACTOR: facts.power_factor,
        FREQUENCY: facts.frequency_hz,
    }.get(identifier)


FACE: Final = Dlt645Meter()
_NAMES: Final = {
    ENERGY_IN: "imported energy, kWh",
    ENERGY_OUT: "exported energy, kWh",
    VOLTAGE_A: "voltage, V",
    CURRENT_A: "current, A",
    POWER: "power, kW",
    POWER_FACTOR: "power factor",
    FREQUENCY: "frequency, Hz",
}


def tell(heard: bytes, outgoing: bool) -> str | None:  # noqa: FBT001 - of one signature
    """A frame in words; None when there is none in it."""
    found = find(heard)
    if found is None:
        return None
    said = parse(heard[found[0] : found[1]])
    who = "everybody" if said.number == ANY else f"meter {said.number}"
    if said.control & ~(REPLY | MORE | ERROR) == READ_ADDRESS:
        return f"{who}: {'read the number' if outgoing else 'its number'}"
    identifier = said.data[3::-1].hex().upper() if len(said.data) >= 4 else ""
    name = _NAMES.get(identifier, identifier or f"function {said.control:#04x}")
    if said.control & ERROR:
        return f"{who}: refused, {said.data.hex() or 'without a code'}"
    if outgoing or identifier not in FORMS:
        return f"{who}: {'read ' if outgoing else ''}{name}"
    size, decimals = FORMS[identifier]
    try:
        return f"{who}: {name} {bcd(said.data[4 : 4 + size].ljust(size, bytes(1)), decimals):g}"
    except FrameError as error:
        return f"{who}: {name}: {error}"


def identify(where: Where) -> Dialogue[str | None]:
    """The number on its plate, and its voltage."""
    number = where.number or ANY
    request = WAKE + frame(Message(number, READ_ADDRESS))
    expected = len(WAKE) + OVERHEAD_BYTES + 6
    plate = (yield Raw(request, expected, taker(number, READ_ADDRESS, b"")))[: DIGITS // 2].hex()
    volts = yield from _value(plate, VOLTAGE_A)
    return f"number {plate}, {volts:.1f} V"


DEVICE: Final = Device(
    type="dlt645-meter",
    title="DL/T 645-2007 energy meter",
    role=Role.METER,
    capabilities=frozenset({Capability.METER, Capability.SERIAL}),
    protocols=frozenset({Protocol.DLT645}),
    source="DL/T 645-2007 as in PyPI dlt645 3.2.0 and coyool dl645_2007.c, which agree",
    identify=identify,
    names_itself=True,
    baud=2_400,
    parity="E",
    addresses=None,
    address=0,
    processing_ms=500,
    numbered=True,
    tell=tell,
    meter=FACE,
    meter_twin=FACE,
    note="give its number, or leave it out for a meter that is alone on its line",
)
