"""The independent Riden client, with time for a machine that is busy."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import rd6006
import serial

BAUD: Final = 115_200
#: Its own 0.05 s take an answer for cut off that comes in two pieces.
ANSWER_WITHIN_S: Final = 10.0


def riden(port: str | Path, address: int) -> rd6006.RD6006:
    """Connected; close ``instrument.serial`` in the end."""
    return rd6006.RD6006(serial.Serial(str(port), BAUD, timeout=ANSWER_WITHIN_S), address, BAUD)
