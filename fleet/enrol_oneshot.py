"""What the commands about enrolment do: tokens, disabled cabinets, rotation of the command key."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fleet import places
from fleet.adapters.anchor_file import AnchorFile
from fleet.adapters.clock import SystemClock
from fleet.adapters.command_keys import (
    SecretKeeper,
    begin_rotation,
    end_rotation,
    next_command_key,
)
from fleet.adapters.pki import Authority
from fleet.config import FleetConfig
from fleet.core.audit_log import ORDERED
from fleet.core.enrolment import HOUR_MS, TOKEN_HOURS_MAX, TokenRow
from fleet.errors import InvalidError, RefusedError
from fleet.stores import open_stores
from protocols import enrolment, signing
from protocols.enrolment import SECRET_BYTES, TOKEN_ID_BYTES, Token, token_text

_NAMES_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token as it is stored, and as it is told this once."""

    row: TokenRow
    told: dict[str, Any]


def new_token(config: FleetConfig, cabinet: str, hours: int) -> NewToken:
    """Make a token for a cabinet.

    Raises:
        InvalidError: the hours are out of range, or there is no TLS.
        ConfigError: it is not known where cabinets would find us.
    """
    if not config.broker.tls:
        raise InvalidError("broker.tls is false: cabinets have passwords and cannot be enrolled")
    if not 1 <= hours <= TOKEN_HOURS_MAX:
        raise InvalidError(f"hours {hours}: expected 1 to {TOKEN_HOURS_MAX}")
    clock = SystemClock()
    url = places.known_device_url(config)
    authority = Authority.open(config.data_dir / "pki", clock.now_utc())
    secret = secrets.token_bytes(SECRET_BYTES)
    token = Token(
        secrets.token_hex(TOKEN_ID_BYTES),
        secret,
        authority.fingerprint,
        url.removeprefix("https://"),
    )
    expires_ms = clock.wall_ms() + hours * HOUR_MS
    row = TokenRow(token.id, cabinet, enrolment.secret_hash(secret), expires_ms)
    told = {
        "id": cabinet,
        "token": token_text(token),
        "expires_at": datetime.fromtimestamp(expires_ms / 1000, UTC).isoformat(timespec="seconds"),
        "device_url": url,
    }
    return NewToken(row, told)


async def renew_token(config: FleetConfig, cabinet: str, hours: int) -> dict[str, Any]:
    """A token for a cabinet that is registered; raise NotFoundError and as ``new_token``."""
    token = new_token(config, cabinet, hours)
    async with open_stores(config.store_url) as stores:
        await stores.enrolments.add_token(token.row, SystemClock().wall_ms())
    return token.told


async def disable_cabinet(config: FleetConfig, cabinet: str) -> None:
    """Shut a cabinet out; raise NotFoundError."""
    async with open_stores(config.store_url) as stores:
        await stores.enrolments.disable(cabinet, SystemClock().wall_ms())


async def command_key_status(config: FleetConfig) -> dict[str, Any]:
    """Which keys there are, and which cabinets were not given the present set yet."""
    keeper = SecretKeeper(config.data_dir)
    async with open_stores(config.store_url) as stores:
        held = await stores.enrolments.secrets_held()
    keys = keeper.secrets.command_keys
    return {
        "current": keys[0],
        "next": keys[1] if len(keys) > 1 else None,
        "cabinets": len(held),
        "waiting_for": [row.cabinet for row in held if row.secrets_id != keeper.secrets.id],
    }


async def rotate_command_key(config: FleetConfig, *, force: bool = False) -> dict[str, Any]:
    """Begin a rotation or, when one is under way, end it.

    Raises:
        RefusedError: ``cabinets-waiting``: to end it now would leave cabinets behind that know the
            old key only; ``force`` does it nevertheless.
    """
    following = next_command_key(config.data_dir)
    if following is None:
        action, subject = "command-key.begin", ""
    else:
        await require_fetched(config, force=force)
        action, subject = "command-key.end", signing.public_of(following)
    note = {"actor": "cli", "action": action, "reason": "forced" if force else ""}
    async with open_stores(config.store_url) as stores:
        log, clock = stores.audit_log, SystemClock()
        # Before anything is changed: a key that nobody wrote down must not begin to sign.
        await log.note(at_ms=clock.wall_ms(), subject=subject, outcome=ORDERED, **note)
        public = _turn(config, following)
        await log.note(at_ms=clock.wall_ms(), subject=public, **note)
    return await command_key_status(config)


def _turn(config: FleetConfig, following: str | None) -> str:
    """The next step of a rotation; the public half of the key that it is about."""
    if following is None:
        return begin_rotation(config.data_dir)
    keeper = SecretKeeper(config.data_dir)
    anchor, known = AnchorFile(config.data_dir, keeper), keeper.secrets.command_keys
    # Its signature must outlive the key, also when this process ends here, and also when a
    # running fleetd signs with the old one once more in between.
    anchor.hand_over(following, known)
    public = end_rotation(config.data_dir)
    anchor.hand_over(following, known)
    return public


async def require_fetched(config: FleetConfig, *, force: bool = False) -> None:
    """Nothing, if every enrolled cabinet was given the present keys, or if it is to be forced.

    Raises:
        RefusedError: ``cabinets-waiting``: which have not.
    """
    waiting = (await command_key_status(config))["waiting_for"]
    if waiting and not force:
        more = ", …" if len(waiting) > _NAMES_MAX else ""
        raise RefusedError(
            f"{len(waiting)} cabinets do not have the next key yet "
            f"({', '.join(waiting[:_NAMES_MAX])}{more}); wait until they are online, or --force: "
            "they go on as soon as they have fetched it",
            code="cabinets-waiting",
        )
