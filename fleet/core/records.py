"""Rows that cross between store and runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocols.messages import Kind, Precondition


@dataclass(frozen=True, slots=True)
class CabinetRecord:
    """A registered cabinet; ``epoch`` is what registration minted."""

    id: str
    name: str
    slots: int
    lat: float | None = None
    lon: float | None = None
    epoch: int = 1


@dataclass(frozen=True, slots=True)
class Credential:
    """A cabinet as a broker knows it.

    By the epoch of its enrolment where certificates count, None where it has none; by the hashes of
    its password, in the formats of both brokers, where there is no TLS.
    """

    username: str
    pbkdf2: str = ""
    bcrypt: str | None = None
    enrolled: int | None = None


@dataclass(frozen=True, slots=True)
class SecretsHeld:
    """Which set of keys a cabinet was given last (``protocols.enrolment.secrets_id``)."""

    cabinet: str
    secrets_id: str


@dataclass(frozen=True, slots=True)
class LatestRow:
    """The last telemetry and status of a cabinet, as JSON text; None leaves the stored one."""

    cabinet: str
    telemetry: str | None = None
    received_ms: int | None = None
    status: str | None = None
    session: int = 0


@dataclass(frozen=True, slots=True)
class NewSwap:
    """A rider's wish, with the identifiers minted for it."""

    id: str
    command_id: str
    cabinet: str
    rider: str
    kind: Kind
    key: str
    now_ms: int
    expires_ms: int
    slot: int | None = None  # for load and unload
    actor: str = ""  # who orders; the rider when empty
    reason: str = ""
    precondition: Precondition | None = None


@dataclass(frozen=True, slots=True)
class NewCommand:
    """An order to a cabinet that has no sequence number yet."""

    id: str
    cabinet: str
    type: str
    args: dict[str, Any]
    actor: str
    now_ms: int
    expires_ms: int
    swap_id: str | None = None
    reason: str = ""
    precondition: Precondition | None = None


@dataclass(frozen=True, slots=True)
class BatteryRecord:
    """One line of an import."""

    serial: str
    model: str | None
    capacity_wh: int | None
    holder: str


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What an import did; ``kept`` names the batteries that sensors place elsewhere."""

    added: int
    updated: int
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListsState:
    """What was last published to a cabinet in ``desired/lists``."""

    cabinet: str
    version: int
    chunks: int


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which rows of the log of orders to show; None does not restrict."""

    cabinet: str | None = None
    staff: str | None = None
    action: str | None = None  # or how it begins
    limit: int = 100
