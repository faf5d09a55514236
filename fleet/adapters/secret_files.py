"""Secrets that live in files of mode 0600, made at the first start."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fleet.errors import FleetError
from protocols import signing

PHONE_KEY_BYTES: Final = 32
OPERATOR_TOKEN_BYTES: Final = 32


def load_or_create(path: Path, make: Callable[[], str]) -> str:
    """The text in the file; makes the file when there is none.

    Two processes that start together end up with the same secret: the file is written beside and
    linked into place, and the loser reads the winner's.

    Raises:
        FleetError: it can't be read or written, or it is empty.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _create(path, make())
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise FleetError(f"secret file {path}: {error}") from error
    if not text:
        raise FleetError(f"secret file {path}: is empty; delete it to have a new one made")
    return text


def phone_key(data_dir: Path) -> bytes:
    """The key that hides phone numbers in the store."""
    path = data_dir / "phone.key"
    text = load_or_create(path, lambda: secrets.token_hex(PHONE_KEY_BYTES))
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise FleetError(f"secret file {path}: is not hexadecimal") from error


def command_key(data_dir: Path) -> str:
    """The private key that signs what cabinets obey."""
    return load_or_create(data_dir / "command.key", lambda: signing.generate()[0])


def operator_token(path: Path) -> str:
    """What opens the operator's pages."""
    return load_or_create(path, lambda: secrets.token_urlsafe(OPERATOR_TOKEN_BYTES))


def write_private(path: Path, text: str) -> None:
    """Replace a file's text in one step, readable by its owner only."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    beside.replace(path)


def _create(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_private(beside, text + "\n")
    try:
        os.link(beside, path)
    except FileExistsError:
        return
    finally:
        beside.unlink()
