"""The sweep over Modbus addresses: a harmless question, and what the bytes that come back mean."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeVar

from cabinet.core.commission.findings import Cause
from protocols import modbus
from protocols.device import Bits, Device, Dialogue, Raw, Where, Words
from protocols.errors import FrameError

T = TypeVar("T")

#: One holding register: a device without it says so, and has thereby answered.
QUESTION: Final = bytes([modbus.READ_HOLDING, 0, 0, 0, 1])
ANSWER_BYTES: Final = 7
REFUSAL_BYTES: Final = 5
#: Garbage at this part of all addresses is the line's fault, not that of two devices at one.
NOISE_PART: Final = 0.25
RAW_WEIGHT: Final = 8


class Sound(StrEnum):
    """What was heard after one question."""

    SILENCE = "silence"
    ANSWER = "answer"
    ECHO = "echo"  # nothing but the question itself
    GARBAGE = "garbage"


def question(unit: int, *, over_tcp: bool) -> bytes:
    """The frame to send."""
    return modbus.mbap(unit, unit, QUESTION) if over_tcp else modbus.rtu(unit, QUESTION)


def units_in(received: bytes, *, over_tcp: bool) -> frozenset[int]:
    """Every unit with a sound answer in these bytes, wherever it stands in them."""
    if over_tcp:
        try:
            frame = modbus.parse_mbap(received)
        except FrameError:
            return frozenset()
        answered = frame is not None and frame.pdu[0] & 0x7F == modbus.READ_HOLDING
        # A gateway answers for a unit that is silent: target device failed to respond.
        failed = (
            frame is not None and frame.pdu[:1] == b"\x83" and frame.pdu[1:2] in {b"\x0a", b"\x0b"}
        )
        return frozenset({frame.unit}) if frame and answered and not failed else frozenset()
    found = set()
    for start in range(len(received) - REFUSAL_BYTES + 1):
        function = received[start + 1]
        if function == modbus.READ_HOLDING and received[start + 2] == 2:
            frame_bytes = received[start : start + ANSWER_BYTES]
        elif function == modbus.READ_HOLDING | modbus.ERROR_FLAG:
            frame_bytes = received[start : start + REFUSAL_BYTES]
        else:
            continue
        try:
            unit, _ = modbus.parse_rtu(frame_bytes)
        except FrameError:
            continue
        found.add(unit)
    return frozenset(found)


def sound(unit: int, sent: bytes, received: bytes, *, over_tcp: bool) -> Sound:
    """What came after the question to this unit."""
    if not received:
        return Sound.SILENCE
    heard = units_in(received, over_tcp=over_tcp)
    if unit in heard:
        return Sound.ANSWER
    if heard:
        return Sound.SILENCE  # a late answer of another one, which is counted for that one
    return Sound.ECHO if received.replace(sent, b"") == b"" else Sound.GARBAGE


@dataclass(slots=True)
class Sweep:
    """What a whole sweep heard."""

    sounds: dict[int, Sound] = field(default_factory=dict)
    echo: bool = False

    def note(self, unit: int, sent: bytes, received: bytes, *, over_tcp: bool) -> None:
        """Take what one question brought; a late answer counts for whom it is from."""
        heard = sound(unit, sent, received, over_tcp=over_tcp)
        self.sounds.setdefault(unit, Sound.SILENCE)
        if self.sounds[unit] is not Sound.ANSWER:
            self.sounds[unit] = heard
        for other in units_in(received, over_tcp=over_tcp):
            self.sounds[other] = Sound.ANSWER
        self.echo = self.echo or (not over_tcp and received.startswith(sent))

    @property
    def answered(self) -> tuple[int, ...]:
        """Addresses at which a Modbus device is."""
        return tuple(sorted(u for u, heard in self.sounds.items() if heard is Sound.ANSWER))

    @property
    def doubtful(self) -> tuple[int, ...]:
        """Addresses to ask again on a line that works: one answer may be late or hurt by noise."""
        return tuple(sorted(u for u, heard in self.sounds.items() if heard is not Sound.ANSWER))

    @property
    def garbled(self) -> tuple[int, ...]:
        """Addresses that brought bytes nobody can read."""
        return tuple(sorted(u for u, heard in self.sounds.items() if heard is Sound.GARBAGE))

    @property
    def trouble(self) -> Cause | None:
        """What is wrong with the line or an address, if anything was heard that no one can read."""
        if self.garbled:
            much = len(self.garbled) > NOISE_PART * len(self.sounds)
            return Cause.NOISE if much else Cause.COLLISION
        if self.echo and not self.answered:
            return Cause.ECHO
        return None


@dataclass(slots=True)
class Weight:
    """How much a recognition rests on: values read and accepted."""

    values: int = 0


def weighed(dialogue: Dialogue[T], weight: Weight) -> Generator[Any, Any, T]:
    """The same dialogue; counts what it reads, since the one that asked more knows better."""
    try:
        ask = next(dialogue)
        while True:
            match ask:
                case Words(count=count) | Bits(count=count):
                    weight.values += count
                case Raw(is_read=True):
                    weight.values += RAW_WEIGHT
                case _:
                    raise AssertionError("identifying a device must not write")
            try:
                reply = yield ask
            except Exception as error:  # noqa: BLE001 - the dialogue's own affair
                ask = dialogue.throw(error)
            else:
                ask = dialogue.send(reply)
    except StopIteration as done:
        result: T = done.value
        return result


def first_question(device: Device, address: int) -> bytes | None:
    """The frame that a device of a protocol of its own is recognised by; None for Modbus."""
    dialogue = device.identify(Where(address))
    ask = next(dialogue, None)
    dialogue.close()
    return ask.request if isinstance(ask, Raw) else None


def best(matches: Mapping[str, int]) -> str | None:
    """Of the types that would fit, by the weight of their evidence; the first among equals."""
    return max(matches, key=lambda kind: matches[kind], default=None)
