"""A real, small file system of a test's own, where the machine lets us mount one."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(where: Path, size_kb: int) -> Iterator[SmallDisk]:
    """A tmpfs mounted at ``where``; skips the test where that is not allowed."""
    where.mkdir(parents=True, exist_ok=True)
    made = _run(
        "mount", "-t", "tmpfs", "-o", f"size={size_kb}k,mode=0755", "yizhan-test", str(where)
    )
    if not made:
        pytest.skip("this machine does not let tests mount a small disk")
    disk = SmallDisk(where)
    try:
        yield disk
    finally:
        _run("umount", "--lazy", str(where))


class SmallDisk:
    """The mounted disk, as it fills up and wears out."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self._ballast = where / "ballast"

    def fill(self) -> None:
        """Leave not a byte."""
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as out:
            for size in (65_536, 4_096, 512, 1):
                with contextlib.suppress(OSError):
                    while True:
                        out.write(b"\0" * size)

    def free(self) -> None:
        """Space again."""
        self._ballast.unlink(missing_ok=True)

    def read_only(self, *, on: bool) -> None:
        """As a worn-out card: it can be read, and no more."""
        assert _run("mount", "-o", f"remount,{'ro' if on else 'rw'}", str(self.where))


def _run(*command: str) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    except OSError:
        return False
    return done.returncode == 0
