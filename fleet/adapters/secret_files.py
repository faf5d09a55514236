"""Secrets that live in files of mode 0600, made at the first start."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleet.errors import FleetError
from protocols import offline, signing
from protocols.errors import MessageError

PHONE_KEY_BYTES: Final = 32
LOCAL_TOKEN_BYTES: Final = 32
GROUP_KEY_FILE: Final = "group.key"


@dataclass(frozen=True, slots=True)
class GroupKeys:
    """The keys that the codes of riders come from.

    ``current`` is what a cabinet is given. ``previous`` is kept from ``rotate_group_key`` to
    ``retire_group_key``: the cabinets that have not fetched the new key yet know only that one.
    """

    current: bytes
    previous: bytes | None = None

    @property
    def codes(self) -> bytes:
        """The key that phones make codes with: the one that every cabinet knows."""
        return self.current if self.previous is None else self.previous


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


def group_keys(data_dir: Path) -> GroupKeys:
    """The fleet's group keys, made at the first use.

    The file has one key a line, base64: the current one, then the previous one if there is one.

    Raises:
        FleetError: the file can't be read, or holds something else.
    """
    path = data_dir / GROUP_KEY_FILE
    text = load_or_create(
        path, lambda: offline.group_key_text(secrets.token_bytes(offline.GROUP_KEY_BYTES))
    )
    try:
        return GroupKeys(*offline.parse_group_keys(text))
    except MessageError as error:
        raise FleetError(f"secret file {path}: {error}") from error


def group_key(data_dir: Path) -> bytes:
    """The group key that a cabinet is given; raise FleetError."""
    return group_keys(data_dir).current


def rotate_group_key(data_dir: Path) -> GroupKeys:
    """Mint a new group key and keep the present one as the previous.

    How a rotation goes: after this, every cabinet fetches the new key and takes codes of both;
    phones go on with the previous one. When all cabinets have the new one, ``retire_group_key``
    drops the previous, and phones change over as soon as they are online.

    Raises:
        FleetError: a rotation is under way already, or the file can't be used.
    """
    keys = group_keys(data_dir)
    if keys.previous is not None:
        raise FleetError(
            "group key: a rotation is under way; end it first (fleetd group-key retire)"
        )
    fresh = GroupKeys(secrets.token_bytes(offline.GROUP_KEY_BYTES), keys.current)
    _keep_group_keys(data_dir, fresh)
    return fresh


def retire_group_key(data_dir: Path) -> GroupKeys:
    """Forget the previous group key; raise FleetError when there is none."""
    keys = group_keys(data_dir)
    if keys.previous is None:
        raise FleetError("group key: no rotation is under way, so there is none to retire")
    fresh = GroupKeys(keys.current)
    _keep_group_keys(data_dir, fresh)
    return fresh


def _keep_group_keys(data_dir: Path, keys: GroupKeys) -> None:
    path = data_dir / GROUP_KEY_FILE
    lines = [offline.group_key_text(key) for key in (keys.current, keys.previous) if key]
    try:
        write_private(path, "\n".join(lines) + "\n")
    except OSError as error:
        raise FleetError(f"secret file {path}: {error}") from error


def new_local_token(path: Path) -> str:
    """What commands on this machine show to the fleetd that starts now; raise FleetError."""
    token = secrets.token_urlsafe(LOCAL_TOKEN_BYTES)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, token + "\n")
    except OSError as error:
        raise FleetError(f"secret file {path}: {error}") from error
    return token


def local_token(path: Path) -> str:
    """The token of the fleetd that runs; raise FleetError."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise FleetError(f"secret file {path}: {error}", code="fleetd") from error
    if not text:
        raise FleetError(f"secret file {path}: is empty; start fleetd anew", code="fleetd")
    return text


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
