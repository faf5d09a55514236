"""Who may join: the judgement on a token, and the epoch that an enrolment mints."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from protocols import enrolment
from protocols.enrolment import TOKEN_EXPIRED, TOKEN_UNKNOWN, TOKEN_USED, WRONG_CABINET

TOKEN_HOURS: Final = 24
TOKEN_HOURS_MAX: Final = 30 * 24
HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as it is stored; its secret is not."""

    id: str
    cabinet: str
    secret_hash: str
    expires_ms: int
    used_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A client certificate that was signed."""

    pem: str
    serial: str
    not_after_ms: int


@dataclass(frozen=True, slots=True)
class DeviceCert:
    """A client certificate that the fleet remembers."""

    serial: str
    cabinet: str
    epoch: int
    revoked: bool


@dataclass(frozen=True, slots=True)
class Peer:
    """What a verified client certificate says about the one at the other end."""

    serial: str
    cabinet: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An enrolment or a renewal that is committed."""

    epoch: int
    certificate: str | None


@dataclass(frozen=True, slots=True)
class Secrets:
    """What cabinets are given besides their certificate."""

    command_keys: tuple[str, ...]  # public ones: current, next
    group_keys: tuple[str, ...]  # current, previous

    @property
    def id(self) -> str:
        """Names this set."""
        return enrolment.secrets_id(self.command_keys, self.group_keys)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the fleet is to be found."""

    broker_urls: tuple[str, ...]
    device_url: str
    fleet_url: str


def refuse(row: TokenRow | None, secret_hash: str, cabinet: str, now_ms: int) -> str | None:
    """Why this token does not admit this cabinet now; None when it does.

    A wrong secret is told as an unknown token, so that nobody learns which half was right.
    """
    known = row.secret_hash if row is not None else "-" * len(secret_hash)
    same = hmac.compare_digest(known.encode(), secret_hash.encode())
    if row is None or not same:
        return TOKEN_UNKNOWN
    if row.cabinet != cabinet:
        return WRONG_CABINET
    if row.used_ms is not None:
        return TOKEN_USED
    if now_ms >= row.expires_ms:
        return TOKEN_EXPIRED
    return None


def next_epoch(registered: int, enrolled: int | None, seen: int) -> int:
    """The epoch of a new enrolment.

    The first one takes what registration minted, unless events of that epoch are here already: a
    journal from before must not be continued by another one. Each later one is above all before.
    """
    if enrolled is None and seen < registered:
        return registered
    return max(registered, enrolled or 0, seen) + 1


MESSAGES: Final = {
    TOKEN_UNKNOWN: "the token is not known to this fleet; check it, or make one with"
    " `fleetd cabinet token ID`",
    TOKEN_USED: "the token was used already; make a new one with `fleetd cabinet token ID`",
    TOKEN_EXPIRED: "the token has expired; make a new one with `fleetd cabinet token ID`",
    WRONG_CABINET: "the token is for another cabinet; check [cabinet] id in the configuration",
}
