"""Starts another program that dies with its parent: ``python deathsig.py PARENT_PID PROGRAM ARG…``.

Run by path as its own small process, since nothing may run between fork and exec in a program that
has threads. The kernel keeps the death signal across exec. Linux only; elsewhere the program still
ends with an orderly stop of its parent, but not with a kill -9.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Ask for the death signal, then become the program."""
    parent, program = int(arguments[0]), arguments[1:]
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)  # it died before we could ask
    os.execv(program[0], program)  # noqa: S606 - the broker that the caller found


if __name__ == "__main__":
    main(sys.argv[1:])
