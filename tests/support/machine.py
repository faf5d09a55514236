"""One machine for several processes of tests: whose turn it is, and what a stated time means there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

#: Whether this is `make prove`, which runs everything, at full counts, in one process.
PROVE: Final = os.environ.get("YIZHAN_PROVE") == "1"
#: Set by pytest-xdist in the processes that it shares the tests among.
WORKER: Final = "PYTEST_XDIST_WORKER"
#: How much longer than the stated time a machine may take that has other tests to run.
SHARED: Final = 4
#: The turnstile and the machine: what is locked for them. Nothing is written, so nothing is left behind.
PLACES: Final = (Path(__file__), Path(__file__).parent)


def within_s(stated_s: float) -> float:
    """A time that we state, as `make prove` holds it; with more patience in `make test`."""
    return stated_s if PROVE else SHARED * stated_s


@contextmanager
def turn(*, alone: bool, places: tuple[Path, Path] = PLACES) -> Iterator[None]:
    """Share the machine with the tests of other processes, or have it ``alone``.

    Who wants it alone keeps newcomers at the turnstile, so that it is not waited for in vain.
    """
    if WORKER not in os.environ:
        yield
        return
    turnstile, machine = places
    with ExitStack() as held:
        with _locked(turnstile, fcntl.LOCK_EX):
            held.enter_context(_locked(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        yield


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    place = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(place, how)
        yield
    finally:
        fcntl.flock(place, fcntl.LOCK_UN)  # also where a forked child still has it open
        os.close(place)
