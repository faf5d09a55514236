"""The generic Chinese lock board "8A/80", sold with 8 to 50 channels.

Board address 1 to 31 by DIP switch. Every frame ends in the XOR of all before it. Unlock is
``8A board channel 11``, answered with the channel's feedback level; the query of all is
``80 board 00 33``, answered with the status bytes, highest channels first: three even on a board
of eight channels. What level means closed depends on the lock: use ``invert`` in the door's wiring.
"""

from __future__ import annotations

from functools import reduce
from operator import xor
from typing import Final

from protocols.device import Capability, Device, Dialogue, Protocol, Raw, Role, Where
from protocols.errors import RegisterError
from protocols.faces import LockReply

UNLOCK: Final = 0x8A
QUERY: Final = 0x80
OPEN: Final = 0x11
ALL: Final = 0x33
LEVELS: Final = frozenset({0x00, 0x11})
BOARDS: Final = range(1, 32)
SIZES: Final = (8, 12, 18, 24, 36, 50)
STATUS_BYTES_MIN: Final = 3
FRAME_BYTES: Final = 5


def frame(*body: int) -> bytes:
    """A whole frame, either way."""
    return bytes([*body, reduce(xor, body)])


def unlock_request(board: int, lock: int) -> bytes:
    """Open one lock, counted from 0 (on the wire they count from 1)."""
    return frame(UNLOCK, board, lock + 1, OPEN)


def query_request(board: int) -> bytes:
    """Ask for every feedback level."""
    return frame(QUERY, board, 0, ALL)


def status_bytes(channels: int) -> int:
    """How many status bytes a board of this size sends."""
    return max(STATUS_BYTES_MIN, -(-channels // 8))


class Lock8a:
    """Implements ``protocols.faces.LockFace`` for a board of so many channels."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._bytes = status_bytes(channels)

    def read_inputs(self, where: Where) -> Dialogue[tuple[bool, ...]]:
        """The feedback level of every channel."""
        board = where.address
        length = 4 + self._bytes
        data = yield Raw(query_request(board), length, lambda heard: self.take(board, heard))
        lowest_first = data[::-1]
        return tuple(bool(lowest_first[n // 8] >> n % 8 & 1) for n in range(self._channels))

    def pulse(self, where: Where, channel: int) -> Dialogue[None]:
        """Unlock; the board answers with the level, which is as yet the old one."""
        if not 0 <= channel < self._channels:
            raise RegisterError(f"lock {channel} of a board with {self._channels}")
        head = bytes([UNLOCK, where.address, channel + 1])

        def take(received: bytes) -> bytes | None:
            for start in range(len(received) - FRAME_BYTES + 1):
                whole = received[start : start + FRAME_BYTES]
                if whole[:3] == head and whole[3] in LEVELS and whole == frame(*whole[:4]):
                    return whole[3:4]
            return None

        yield Raw(unlock_request(where.address, channel), FRAME_BYTES, take, is_read=False)

    def take(self, board: int, received: bytes) -> bytes | None:
        """The status bytes of this board, in any noise."""
        length = 4 + self._bytes
        for start in range(len(received) - length + 1):
            whole = received[start : start + length]
            sound = whole == frame(*whole[:-1])
            if whole[:2] == bytes([QUERY, board]) and whole[-2] == ALL and sound:
                return whole[2:-2]
        return None

    def find(self, heard: bytes) -> tuple[int, int] | None:
        """A request of five bytes with a good sum."""
        for start in range(len(heard) - FRAME_BYTES + 1):
            whole = heard[start : start + FRAME_BYTES]
            if whole[0] in {UNLOCK, QUERY} and whole == frame(*whole[:4]):
                return start, start + FRAME_BYTES
        return None

    def answer(self, request: bytes, address: int, inputs: tuple[bool, ...]) -> LockReply:
        """Silence to other boards' addresses and to channels that it does not have."""
        command, board, channel, what = request[:4]
        if board != address:
            return LockReply(None)
        if command == QUERY and (channel, what) == (0, ALL):
            data = bytearray(self._bytes)
            for n, level in enumerate(inputs[: self._channels]):
                data[n // 8] |= level << n % 8
            return LockReply(frame(QUERY, board, *data[::-1], ALL))
        if command == UNLOCK and what == OPEN and 1 <= channel <= self._channels:
            told = OPEN if inputs[channel - 1] else 0x00
            return LockReply(frame(UNLOCK, board, channel, told), fired=channel - 1)
        return LockReply(None)


def tell(heard: bytes, outgoing: bool) -> str | None:  # noqa: FBT001 - of one signature
    """A frame in words; None when there is none in it."""
    for start in range(len(heard)):
        for end in range(start + FRAME_BYTES, len(heard) + 1):
            whole = heard[start:end]
            if whole[0] not in {UNLOCK, QUERY} or whole != frame(*whole[:-1]):
                continue
            board, channel, level = f"board {whole[1]}", whole[2], whole[-2]
            if whole[0] == UNLOCK:
                if outgoing:
                    return f"{board}: unlock channel {channel}"
                return f"{board}: channel {channel} is {'high' if level else 'low'}"
            if outgoing:
                return f"{board}: levels"
            levels = "".join(f"{byte:08b}"[::-1] for byte in whole[-3:1:-1])
            return f"{board}: levels {levels}"
    return None


def _device(channels: int) -> Device:
    face = Lock8a(channels)

    def identify(where: Where) -> Dialogue[str | None]:
        """How many of its feedback levels are high."""
        inputs = yield from face.read_inputs(where)
        return f"{channels} channels, {sum(inputs)} high"

    return Device(
        type=f"lock-8a-{channels}",
        title=f'Generic lock board "8A/80", {channels} channels',
        role=Role.BOARD,
        capabilities=frozenset({Capability.LOCK, Capability.CONTACTS}),
        protocols=frozenset({Protocol.LOCK_8A}),
        source="Open-Locker rs485-lock-board-codec.ts, verified there on hardware with 8 channels",
        identify=identify,
        names_itself=channels > SIZES[3],  # up to 24 channels the answers are alike
        addresses=BOARDS,
        locks=channels,
        inputs=channels,
        locks_face=face,
        tell=tell,
        note="set invert on the doors of locks whose feedback is 0 when closed",
    )


DEVICES: Final = tuple(_device(channels) for channels in SIZES)
