"""The fleet's signature: Ed25519 with the public key from the cabinet's configuration."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cabinet.errors import ConfigError
from protocols.errors import MessageError
from protocols.offline import parse_group_keys

Verify = Callable[[bytes, str], bool]


def nobody(_signed: bytes, _signature: str) -> bool:
    """The verifier of a cabinet without a fleet: nobody's orders count."""
    return False


def verifier(path: Path) -> Verify:
    """Checks a base64 signature against the key in this file (32 bytes, base64 text).

    Raises:
        ConfigError: the file cannot be read or holds no such key.
    """
    try:
        raw = base64.b64decode(path.read_text().strip(), validate=True)
        Ed25519PublicKey.from_public_bytes(raw)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: no usable Ed25519 public key ({error}); take it from `fleetd cabinet add`"
        ) from error

    text = base64.b64encode(raw).decode("ascii")
    return lambda signed, signature: _fits(text, signed, signature)


def keyring(keys: Callable[[], tuple[str, ...]]) -> Verify:
    """Checks a signature against whatever keys hold now: while one is replaced there are two.

    No key that can be had means that nobody's orders count.
    """

    def verify(signed: bytes, signature: str) -> bool:
        try:
            known = keys()
        except ConfigError:
            return False
        return any(_fits(key, signed, signature) for key in known)

    return verify


def _fits(key_b64: str, signed: bytes, signature: str) -> bool:
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(key_b64, validate=True))
        key.verify(base64.b64decode(signature, validate=True), signed)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def group_keys(path: Path) -> tuple[bytes, ...]:
    """The keys that riders' codes are checked with: the fleet's, and its previous one if told.

    Raises:
        ConfigError: the file cannot be read, is open to everybody, or holds no such key.
    """
    try:
        if path.stat().st_mode & 0o007:
            raise ConfigError(f"{path}: everybody may read or write it; chmod 600 it")
        return parse_group_keys(path.read_text())
    except (OSError, UnicodeDecodeError, MessageError) as error:
        raise ConfigError(
            f"{path}: no usable group key ({error}); take it from the fleet again"
        ) from error


def secret(path: Path) -> str:
    """The first line of a file that holds a password; raise ConfigError when there is none."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    line = text.partition("\n")[0].strip("\r")
    if not line:
        raise ConfigError(f"{path}: is empty; put the password into its first line")
    return line
