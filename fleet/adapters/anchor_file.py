"""The anchor of the log of orders: a file beside the keys, signed with the fleet's command key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fleet.adapters.command_keys import SecretKeeper
from fleet.adapters.secret_files import write_private
from fleet.core.audit_anchor import Anchor, decode, encode, signed_bytes
from fleet.core.audit_log import Head
from fleet.errors import FleetError
from protocols import signing

ANCHOR_FILE: Final = "audit.anchor"
_BYTES_MAX: Final = 4_096


class AnchorFile:
    """Reads, checks and replaces it. ``write`` raises FleetError when the disk refuses."""

    def __init__(self, data_dir: Path, keeper: SecretKeeper) -> None:
        self._path = data_dir / ANCHOR_FILE
        self._keeper = keeper

    def read(self) -> Anchor | None:
        """The anchor; None when it is missing or unreadable."""
        try:
            with self._path.open("rb") as file:
                return decode(file.read(_BYTES_MAX))
        except OSError:
            return None

    @property
    def missing(self) -> bool:
        """Whether there never was one, as far as the folder tells."""
        return not self._path.exists()

    def verify(self, data: bytes, signature: str) -> bool:
        """Whether a key of this fleet made the signature."""
        return _made_by(self._keeper.secrets.command_keys, data, signature)

    def write(self, head: Head, at_ms: int) -> Anchor:
        """Anchor this head; the caller has made sure that it continues what was anchored."""
        while True:
            key = self._keeper.current
            anchor = self._keep(head, at_ms, key)
            if self._keeper.current == key:  # else it was replaced meanwhile, and signs for nobody
                return anchor

    def hand_over(self, key: str, known: Sequence[str]) -> None:
        """Sign it anew with this private key, if one of these public keys made its signature."""
        held = self.read()
        if held is not None and _made_by(known, signed_bytes(held), held.sig):
            self._keep(held.head, held.at_ms, key)

    def _keep(self, head: Head, at_ms: int, key: str) -> Anchor:
        bare = Anchor(head.id, head.hash, at_ms)
        sig = signing.sign_bytes(signed_bytes(bare), key)
        anchor = Anchor(head.id, head.hash, at_ms, sig)
        try:
            write_private(self._path, encode(anchor).decode())
        except OSError as error:
            raise FleetError(f"anchor {self._path}: {error}") from error
        return anchor


def _made_by(keys: Sequence[str], data: bytes, signature: str) -> bool:
    return any(signing.verify_bytes(data, signature, key) for key in keys)
