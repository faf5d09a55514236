"""Who types a command on this machine, for the log."""

from __future__ import annotations

import getpass
import os


def os_user() -> str | None:
    """The name of the user; None in a container that runs under a number without a name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None


def typist() -> str:
    """Who is written down for a command: the name, else the number."""
    return f"cli:{os_user() or os.getuid()}"[:64]
