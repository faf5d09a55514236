"""KERONG KR-CU16 lock board: 16 locks, each with a hook switch and an infrared "something inside".

A frame is ``02 ADDR CMD [DATA] 03 SUM``; ADDR is board (0 to 9) in the high and lock in the low
half, SUM the low byte of the sum of all before it. The answer to an unlock cannot be relied upon
(drivers saw none, or garbage), so it is treated as unanswered and a status read follows. How long
the board pulls its locks is its own setting.

Inputs 0 to 15 are the hooks (1 = locked), inputs 16 to 31 the infrared (1 = something is inside).
"""

from __future__ import annotations

from typing import Final

from protocols.device import Capability, Device, Dialogue, Protocol, Raw, Role, Where
from protocols.errors import RegisterError
from protocols.faces import LockReply

STX: Final = 0x02
ETX: Final = 0x03
STATUS: Final = 0x30
UNLOCK: Final = 0x31
STATUS_REPLY: Final = 0x35
LOCKS: Final = 16
BOARDS: Final = range(10)
STATUS_BYTES: Final = 4
REQUEST_BYTES: Final = 5


def frame(address: int, command: int, data: bytes = b"") -> bytes:
    """A whole frame, either way; ``address`` is the byte on the wire."""
    body = bytes([STX, address, command]) + data + bytes([ETX])
    return body + bytes([sum(body) & 0xFF])


def status_request(board: int) -> bytes:
    """Ask a board for its hooks and infrared bits."""
    return frame(board << 4, STATUS)


def unlock_request(board: int, lock: int) -> bytes:
    """Open one lock, counted from 0.

    Raises:
        RegisterError: the board has no such lock.
    """
    if not 0 <= lock < LOCKS:
        raise RegisterError(f"lock {lock} of a board with {LOCKS}")
    return frame(board << 4 | lock, UNLOCK)


def take_status(board: int, received: bytes) -> bytes | None:
    """The four status bytes of this board, in any noise."""
    length = 3 + STATUS_BYTES + 2
    for start in range(len(received) - length + 1):
        whole = received[start : start + length]
        data = whole[3:-2]
        if whole[1] >> 4 == board and whole == frame(whole[1], STATUS_REPLY, data):
            return data
    return None


class KrCu16:
    """Implements ``protocols.faces.LockFace``."""

    def read_inputs(self, where: Where) -> Dialogue[tuple[bool, ...]]:
        """16 hooks, then 16 infrared bits."""
        data = yield self._status(where)
        return tuple(bool(data[n // 8] >> n % 8 & 1) for n in range(2 * LOCKS))

    def pulse(self, where: Where, channel: int) -> Dialogue[None]:
        """Unlock, and see that the board is still there."""
        request = unlock_request(where.address, channel)
        yield Raw(request, 0, lambda _: b"", is_read=False)
        yield self._status(where)

    def find(self, heard: bytes) -> tuple[int, int] | None:
        """A request of five bytes with a good sum."""
        for start in range(len(heard) - REQUEST_BYTES + 1):
            whole = heard[start : start + REQUEST_BYTES]
            if whole == frame(whole[1], whole[2]):
                return start, start + REQUEST_BYTES
        return None

    def answer(self, request: bytes, address: int, inputs: tuple[bool, ...]) -> LockReply:
        """Status is answered, an unlock is obeyed in silence, the rest is not known."""
        board, lock = request[1] >> 4, request[1] & 0x0F
        if board != address:
            return LockReply(None)
        if request[2] == UNLOCK:
            return LockReply(None, fired=lock)
        if request[2] != STATUS:
            return LockReply(None)
        data = bytearray(STATUS_BYTES)
        for n, level in enumerate(inputs[: 2 * LOCKS]):
            data[n // 8] |= level << n % 8
        return LockReply(frame(board << 4, STATUS_REPLY, bytes(data)))

    @staticmethod
    def _status(where: Where) -> Raw:
        board = where.address
        length = 3 + STATUS_BYTES + 2
        return Raw(status_request(board), length, lambda heard: take_status(board, heard))


FACE: Final = KrCu16()
_NAMES: Final = {STATUS: "status", 0x32: "status of all boards", 0x33: "unlock all"}


def tell(heard: bytes, outgoing: bool) -> str | None:  # noqa: FBT001 - of one signature
    """A frame in words; None when there is none in it."""
    if outgoing:
        found = FACE.find(heard)
        if found is None:
            return None
        address, command = heard[found[0] + 1], heard[found[0] + 2]
        if command == UNLOCK:
            return f"board {address >> 4}: unlock lock {address & 0x0F}"
        return f"board {address >> 4}: {_NAMES.get(command, f'command {command:#04x}')}"
    for board in BOARDS:
        data = take_status(board, heard)
        if data is not None:
            hooks, inside = (f"{data[n]:08b}"[::-1] + f"{data[n + 1]:08b}"[::-1] for n in (0, 2))
            return f"board {board}: shut {hooks}, inside {inside}"
    return None


def identify(where: Where) -> Dialogue[str | None]:
    """How many of its hooks are shut."""
    inputs = yield from FACE.read_inputs(where)
    shut, inside = sum(inputs[:LOCKS]), sum(inputs[LOCKS:])
    return f"{LOCKS} locks, {shut} shut, {inside} with something inside"


DEVICE: Final = Device(
    type="kerong-kr-cu16",
    title="KERONG KR-CU16",
    role=Role.BOARD,
    capabilities=frozenset({Capability.LOCK, Capability.CONTACTS}),
    protocols=frozenset({Protocol.KERONG}),
    source="jin0949/KR-CU16_locker, CartWise rs485.py and a TypeScript driver, which agree",
    identify=identify,
    names_itself=True,
    baud=19_200,
    addresses=BOARDS,
    address=0,
    turnaround_ms=25,
    locks=LOCKS,
    inputs=2 * LOCKS,
    locks_face=FACE,
    tell=tell,
    note="how long it pulls a lock is the board's own setting (command 37), not pulse_ms",
)
