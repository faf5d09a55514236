"""Debian's ``mbpoll`` (on libmodbus) as an independent Modbus master: no code of ours in it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Final

import pytest

WITHIN_S: Final = 60.0
_READING: Final = re.compile(r"^\[(\d+)\]:\s+(\S+)", re.MULTILINE)


class MbpollError(Exception):
    """It ended with an error; the text is its own."""


@dataclass(frozen=True, slots=True)
class Mbpoll:
    """One line, as a pseudo terminal or as a TCP port on 127.0.0.1."""

    port: str | int
    baud: int = 9600
    patience_s: float = 1.0

    def coils(self, device: int, first: int, count: int) -> list[bool]:
        """FC01."""
        return [text == "1" for text in self._read(device, "0", first, count)]

    def inputs(self, device: int, first: int, count: int) -> list[bool]:
        """FC02."""
        return [text == "1" for text in self._read(device, "1", first, count)]

    def holding(self, device: int, first: int, count: int) -> list[int]:
        """FC03, unsigned."""
        return [int(text) for text in self._read(device, "4", first, count)]

    def input_words(self, device: int, first: int, count: int) -> list[int]:
        """FC04, unsigned."""
        return [int(text) for text in self._read(device, "3", first, count)]

    def floats(self, device: int, first: int, count: int, *, holding: bool = False) -> list[str]:
        """FC04 or FC03, big-endian floats, as it prints them: six significant digits."""
        return self._read(device, "4:float" if holding else "3:float", first, count, "-B")

    def set_coil(self, device: int, address: int, *, on: bool) -> None:
        """FC05 with 0xFF00 or 0x0000."""
        self._run(device, "0", address, (), (str(int(on)),))

    def _read(self, device: int, kind: str, first: int, count: int, *more: str) -> list[str]:
        out = self._run(device, kind, first, ("-c", str(count), *more), ())
        found = dict(_READING.findall(out))
        step = 2 if "float" in kind else 1
        return [found[str(first + step * n)] for n in range(count)]

    def _run(
        self, device: int, kind: str, first: int, more: tuple[str, ...], values: tuple[str, ...]
    ) -> str:
        program = shutil.which("mbpoll")
        if program is None:
            pytest.fail("mbpoll is missing: install the Debian package `mbpoll` (make test does)")
        if isinstance(self.port, str):
            line = ("-m", "rtu", "-b", str(self.baud), "-P", "none")
            where = self.port
        else:
            line = ("-m", "tcp", "-p", str(self.port))
            where = "127.0.0.1"
        what = (
            "-0",
            "-1",
            "-q",
            "-o",
            f"{self.patience_s:.2f}",
            "-a",
            str(device),
            "-t",
            kind,
            "-r",
            str(first),
        )
        done = subprocess.run(
            (program, *line, *what, *more, where, *values),
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        if done.returncode != 0:
            raise MbpollError(done.stderr.strip())
        return done.stdout
