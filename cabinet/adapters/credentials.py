"""The folder with what the cabinet holds of the fleet: its certificate, the fleet's keys, where it is.

    credentials/              0700
      current -> v-3f2a…      changed in one step, so that a power cut leaves the old or the new set
      v-3f2a…/
        client.pem            our key, which was made here and never left, and our certificate; 0600
        ca.pem                the fleet's authority
        group.key             what the codes of riders come from: the current key, then the previous
        fleet.json            identity, epoch, command keys, URLs

Readers go through ``current`` each time, so that a running daemon uses what `cabinetd enrol` or a
renewal has put there with its next connection.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cryptography import x509
from msgspec import Meta, Struct

from cabinet.adapters.folders import sync_folder
from cabinet.errors import ConfigError
from protocols.enrolment import Grant, Key, Url, secrets_id
from protocols.errors import MessageError
from protocols.offline import parse_group_keys

CURRENT: Final = "current"
CLIENT_FILE: Final = "client.pem"
CA_FILE: Final = "ca.pem"
GROUP_KEY_FILE: Final = "group.key"
FACTS_FILE: Final = "fleet.json"
_FACTS_BYTES_MAX: Final = 64 * 1024


class Facts(Struct, frozen=True, kw_only=True):
    """``fleet.json``."""

    cabinet: str
    epoch: Annotated[int, Meta(ge=1)]
    command_keys: tuple[Key, ...]
    broker_urls: Annotated[tuple[Url, ...], Meta(min_length=1)]
    device_url: Url
    fleet_url: Url
    secrets_id: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """One set, as it was read; the paths lead to whatever is current when they are opened."""

    folder: Path
    facts: Facts
    not_before_ms: int
    not_after_ms: int
    group_keys: tuple[bytes, ...] = field(repr=False)

    @property
    def client_file(self) -> Path:
        """Our key and certificate."""
        return self.folder / CURRENT / CLIENT_FILE

    @property
    def ca_file(self) -> Path:
        """Who vouches for the fleet."""
        return self.folder / CURRENT / CA_FILE


class Vault:
    """The folder; reads again only what has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = ""
        self._credentials: Credentials | None = None

    def read(self) -> Credentials:
        """What is current.

        Raises:
            ConfigError: the cabinet has not been enrolled, or the folder is damaged.
        """
        try:
            name = os.readlink(self._folder / CURRENT)  # noqa: PTH115 - the text, not the target
        except FileNotFoundError as error:
            raise ConfigError(
                f"{self._folder}: no credentials yet; run `cabinetd enrol` with a token from "
                "`fleetd cabinet add`"
            ) from error
        except OSError as error:
            raise ConfigError(f"{self._folder}: {error}") from error
        if self._credentials is None or name != self._seen:
            self._credentials = _read(self._folder)
            self._seen = name
        return self._credentials

    def put(self, grant: Grant, key_pem: str | None = None) -> None:
        """Replace everything, or nothing: on return it is on the disk.

        Without ``key_pem`` key and certificate stay as they are.

        Raises:
            ConfigError: the folder can't be written.
        """
        try:
            if grant.certificate is None or key_pem is None:
                client = (self._folder / CURRENT / CLIENT_FILE).read_text(encoding="ascii")
            else:
                client = key_pem + grant.certificate
            self._put(_files(grant, client))
        except OSError as error:
            raise ConfigError(f"{self._folder}: cannot be written: {error}") from error

    def _put(self, files: dict[str, bytes]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.chmod(0o700)
        name = f"v-{secrets.token_hex(8)}"
        fresh = self._folder / name
        fresh.mkdir(mode=0o700)
        for file, data in files.items():
            _write(fresh / file, data)
        sync_folder(fresh)
        link = self._folder / f".{name}"
        link.symlink_to(name)
        before = self._target()
        link.replace(self._folder / CURRENT)
        sync_folder(self._folder)
        for old in self._folder.glob(
            "v-*"
        ):  # a connection that is being made may read the last one
            if old.name not in {name, before}:
                shutil.rmtree(old, ignore_errors=True)

    def _target(self) -> str:
        try:
            return os.readlink(self._folder / CURRENT)  # noqa: PTH115 - the bare text of the link
        except OSError:
            return ""


def facts_of(grant: Grant) -> Facts:
    """What of a grant goes into ``fleet.json``."""
    return Facts(
        cabinet=grant.cabinet,
        epoch=grant.epoch,
        command_keys=grant.command_keys,
        broker_urls=grant.broker_urls,
        device_url=grant.device_url,
        fleet_url=grant.fleet_url,
        secrets_id=secrets_id(grant.command_keys, grant.group_keys),
    )


def _files(grant: Grant, client: str) -> dict[str, bytes]:
    facts = facts_of(grant)
    return {
        CLIENT_FILE: client.encode("ascii"),
        CA_FILE: grant.ca.encode("ascii"),
        GROUP_KEY_FILE: "".join(f"{key}\n" for key in grant.group_keys).encode(),
        FACTS_FILE: msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n",
    }


def _read(folder: Path) -> Credentials:
    place = folder / CURRENT
    try:
        raw = (place / FACTS_FILE).read_bytes()[:_FACTS_BYTES_MAX]
        facts = msgspec.json.decode(raw, type=Facts)
        client = (place / CLIENT_FILE).read_bytes()
        certificate = x509.load_pem_x509_certificate(client)
        groups = parse_group_keys((place / GROUP_KEY_FILE).read_text(encoding="ascii"))
    except (OSError, ValueError, msgspec.MsgspecError, MessageError) as error:
        raise ConfigError(
            f"{place}: damaged credentials ({error}); enrol the cabinet again with a new token"
        ) from error
    return Credentials(
        folder,
        facts,
        int(certificate.not_valid_before_utc.timestamp() * 1000),
        int(certificate.not_valid_after_utc.timestamp() * 1000),
        groups,
    )


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
