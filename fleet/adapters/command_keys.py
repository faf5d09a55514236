"""The keys that sign what cabinets obey: the current one and, while it is being replaced, the next.

Rotation has two steps. First the next key is made and handed to the cabinets beside the current one,
which goes on signing. When all of them have it, it becomes the current one and the old one is gone.
The files are looked at before every use, so that a running fleetd follows the command line at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fleet.adapters.secret_files import command_key, group_keys, load_or_create, write_private
from fleet.core.enrolment import Secrets
from fleet.errors import FleetError, RefusedError
from protocols import offline, signing

CURRENT_FILE: Final = "command.key"
NEXT_FILE: Final = "command.key.next"
WATCHED_FILES: Final = (CURRENT_FILE, NEXT_FILE, "group.key")


class SecretKeeper:
    """The keys in a data folder, as they stand now."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._stamp: tuple[int, ...] = ()
        self._current = ""
        self._secrets = Secrets((), ())

    def check(self) -> None:
        """Make what is not there yet; raise FleetError when a file is damaged."""
        self._refresh()

    @property
    def current(self) -> str:
        """The private key that signs; raise FleetError when its file can't be read."""
        self._refresh()
        return self._current

    @property
    def secrets(self) -> Secrets:
        """What cabinets are given; raise FleetError when a file can't be read."""
        self._refresh()
        return self._secrets

    @property
    def version(self) -> int:
        """Rises with every change: the time of the newest file, in milliseconds."""
        self._refresh()
        return max(1, max(self._stamp) // 1_000_000)

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp == self._stamp and self._current:
            return
        self._current = command_key(self._data_dir)
        keys = [signing.public_of(self._current)]
        following = next_command_key(self._data_dir)
        if following is not None and following != self._current:
            keys.append(signing.public_of(following))
        groups = group_keys(self._data_dir)
        self._secrets = Secrets(
            tuple(keys),
            tuple(offline.group_key_text(key) for key in (groups.current, groups.previous) if key),
        )
        self._stamp = self._look()  # a file may have been made just now

    def _look(self) -> tuple[int, ...]:
        return tuple(_changed_ns(self._data_dir / name) for name in WATCHED_FILES)


def next_command_key(data_dir: Path) -> str | None:
    """The private key that is to sign after the current one; None when there is none."""
    path = data_dir / NEXT_FILE
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FleetError(f"secret file {path}: {error}") from error


def begin_rotation(data_dir: Path) -> str:
    """Make the next key; its public half. Raise RefusedError when there is one already."""
    command_key(data_dir)
    if next_command_key(data_dir) is not None:
        raise RefusedError("command key: a rotation is under way already", code="rotating")
    return signing.public_of(load_or_create(data_dir / NEXT_FILE, lambda: signing.generate()[0]))


def end_rotation(data_dir: Path) -> str:
    """Let the next key sign from now on; its public half. Raise RefusedError when there is none."""
    following = next_command_key(data_dir)
    if following is None:
        raise RefusedError("command key: no rotation is under way", code="not-rotating")
    write_private(data_dir / CURRENT_FILE, following + "\n")
    (data_dir / NEXT_FILE).unlink()
    return signing.public_of(following)


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
