"""What the faults of a line and its devices make of an answer: bytes and times, nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from simulator.models.faults import Fault, FaultKind, FaultTable
from simulator.wires.timing import Reply

#: One bit of a byte.
BITS: Final = 8
#: No gateway keeps an answer for longer.
HELD_MAX_S: Final = 1.0

#: The same answer as if another device, this far away, had given it.
Misnamed = Callable[[int], bytes]


def spoil(
    table: FaultTable, line: str, device: str, reply: Reply, misnamed: Misnamed
) -> list[Reply]:
    """The answer as it reaches the master: as it was, spoilt, in pieces, late, or not at all."""
    if table.strike(FaultKind.NO_ANSWER, line, device):
        return []
    data = reply.data
    if fault := table.strike(FaultKind.STALE, line, device):
        held = fault.held.get(device)
        fault.held[device] = (reply.at_s, data)
        if held is None or reply.at_s - held[0] > HELD_MAX_S:
            return []
        data = held[1]
    if fault := table.strike(FaultKind.WRONG_ADDRESS, line, device):
        data = misnamed(int(fault.value))
    if fault := table.strike(FaultKind.CRC, line, device):
        data = _flipped(data, fault.chance)
    if fault := table.strike(FaultKind.CUT, line, device):
        data = data[: fault.chance.randrange(1, len(data))]
    if fault := table.strike(FaultKind.NOISE, line, device):
        data = _noisy(data, fault)
    reply = replace(reply, data=data)
    if fault := table.strike(FaultKind.SLOW, line, device):
        reply = replace(reply, at_s=reply.at_s + fault.value / 1_000.0)
    if (fault := table.strike(FaultKind.SPLIT, line, device)) and len(data) > 1:
        at = fault.chance.randrange(1, len(data))
        later_s = reply.at_s + fault.value / 1_000.0
        return [Reply(reply.at_s, data[:at]), Reply(later_s, data[at:])]
    return [reply]


def _flipped(data: bytes, chance: random.Random) -> bytes:
    torn = bytearray(data)
    torn[chance.randrange(len(torn))] ^= 1 << chance.randrange(BITS)
    return bytes(torn)


def _noisy(data: bytes, fault: Fault) -> bytes:
    most = int(fault.value)
    before, after = fault.chance.randint(0, most), fault.chance.randint(0, most)
    return fault.chance.randbytes(before) + data + fault.chance.randbytes(after)
