"""What guards the accounts of staff: argon2id for passwords, a sealed box for TOTP secrets."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidKey, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from fleet.adapters.secret_files import load_or_create
from fleet.errors import FleetError

#: RFC 9106 section 4, the second recommendation: 64 MiB, three passes; about 0.25 s of one core.
MEMORY_KIB: Final = 64 * 1024
PASSES: Final = 3
LANES: Final = 1
#: So many at once: each holds its memory, and the event loop's machine has other work.
AT_ONCE: Final = 2
SEAL_KEY_FILE: Final = "staff.key"
_NONCE_BYTES: Final = 12


class Argon2:
    """``fleet.ports_access.Passwords``, in threads."""

    def __init__(self, memory_kib: int = MEMORY_KIB) -> None:
        self._memory_kib = memory_kib
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def hash(self, password: str) -> str:
        """A PHC string with its own salt."""
        async with self._turn:
            return await asyncio.to_thread(self._hash, password)

    async def right(self, password: str, kept: str | None) -> bool:
        """Whether this is the password; as slow when there is none, so that time tells nothing."""
        async with self._turn:
            if kept is None:
                await asyncio.to_thread(self._hash, password)
                return False
            return await asyncio.to_thread(self._right, password, kept)

    def _hash(self, password: str) -> str:
        kdf = Argon2id(
            salt=os.urandom(16),
            length=32,
            iterations=PASSES,
            lanes=LANES,
            memory_cost=self._memory_kib,
        )
        return kdf.derive_phc_encoded(password.encode())

    @staticmethod
    def _right(password: str, kept: str) -> bool:
        try:
            Argon2id.verify_phc_encoded(password.encode(), kept)
        except InvalidKey:
            return False
        return True


class Seal:
    """``fleet.ports_access.Box``: AES-256-GCM under a key that is not in the database."""

    def __init__(self, key: bytes) -> None:
        self._box = AESGCM(key)

    def close(self, secret: bytes, owner: str) -> str:
        """The sealed text; it opens for the same owner only."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._box.encrypt(nonce, secret, owner.encode())
        return base64.urlsafe_b64encode(sealed).decode()

    def open(self, text: str, owner: str) -> bytes | None:
        """What was sealed; None when it was changed, or sealed for another or by another key."""
        try:
            raw = base64.urlsafe_b64decode(text.encode())
            return self._box.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], owner.encode())
        except (InvalidTag, ValueError):
            return None


def seal_of(data_dir: Path) -> Seal:
    """The box of this fleet, its key made at the first use; raise FleetError."""
    path = data_dir / SEAL_KEY_FILE
    text = load_or_create(path, lambda: os.urandom(32).hex())
    try:
        return Seal(bytes.fromhex(text))
    except ValueError as error:
        raise FleetError(f"secret file {path}: expected 64 hexadecimal digits") from error
