"""Accounts of staff, their second factor, one-time links and API tokens: the rules, without I/O.

Passwords are hashed by argon2id in an adapter; everything else that opens a door to us has at least
128 random bits, so its SHA-256 is what is kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import quote, urlencode

from fleet.core.access import EVERYWHERE, Permission, Role, Scope
from fleet.core.operations import check_staff
from fleet.errors import DeniedError, InvalidError
from protocols.offline import CODE_DIGITS, CODE_SKEW_STEPS, CODE_STEP_S, step_of, totp

PASSWORD_CHARS_MIN: Final = 10
PASSWORD_CHARS_MAX: Final = 200  # argon2 takes its time over each of them
SESSION_LIFE_MS: Final = 12 * 3_600_000  # one shift
SEEN_EVERY_MS: Final = 60_000  # how exactly "last used" is kept
SESSIONS_MAX: Final = 20  # of one account; the oldest ends
SECRET_BYTES: Final = 20  # RFC 4226 section 4: 160 bits
RECOVERY_CODES: Final = 10
RECOVERY_BYTES: Final = 10
PROVEN_LIFE_MS: Final = (
    10 * 60_000
)  # for so long after it was typed the password is not asked again
DEVICE_LIFE_MS: Final = 180 * 24 * 3_600_000
DEVICE_BYTES: Final = 16
_DEVICE_TIME_BYTES: Final = 8
TOKEN_PREFIX: Final = "yzt_"  # noqa: S105 - how every token begins
TOKEN_DAYS_MAX: Final = 366
TOKEN_BYTES: Final = 32
SCOPE_MAX: Final = 200  # stations or partners of one account
_TAIL: Final = 6
_PLACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_FILLERS: Final = re.compile(r"[\s-]")


class LinkFor(StrEnum):
    """What a one-time link is good for."""

    FIRST = "first"  # makes the first administrator
    PASSWORD = "password"  # noqa: S105 - chooses a new password
    SIGN_IN = "sign-in"  # opens a session, for whoever holds the machine


LINK_LIFE_MS: Final[Mapping[LinkFor, int]] = {
    LinkFor.FIRST: 24 * 3_600_000,
    LinkFor.PASSWORD: 24 * 3_600_000,
    LinkFor.SIGN_IN: 3_600_000,
}


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody of the staff. ``issuer`` and ``subject`` name who comes by an identity provider."""

    id: str
    name: str
    role: Role
    scope: Scope = field(default=EVERYWHERE)
    off: bool = False
    has_password: bool = False
    second_factor: bool = False
    issuer: str | None = None
    subject: str | None = None
    created_ms: int = 0
    last_login_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Secrets:
    """What an account is checked against; never leaves the store's side."""

    account: Account
    password_hash: str | None
    totp_sealed: str | None  # waiting to be confirmed while not ``second_factor``
    totp_step: int


@dataclass(frozen=True, slots=True)
class StaffSession:
    """A browser that is signed in."""

    id: str
    created_ms: int
    seen_ms: int
    expires_ms: int
    address: str
    agent: str
    proven_ms: int = 0  # when the password, or what stands for it, was last given


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A program's key, as it may be shown: its text is told once, when it is made."""

    id: str
    name: str
    prefix: str
    role: Role
    scope: Scope
    grants: frozenset[Permission] | None
    made_by: str
    created_ms: int
    expires_ms: int
    used_ms: int | None = None
    off: bool = False
    maker: str | None = None  # the account that made it; None: it was made on the machine


def new_session(session_id: str, now_ms: int, address: str, agent: str) -> StaffSession:
    """A session that begins now."""
    life = now_ms + SESSION_LIFE_MS
    return StaffSession(session_id, now_ms, now_ms, life, address[:64], agent[:200], now_ms)


class SignInError(DeniedError):
    """The same for a wrong name, password or code, and for an account that is off."""

    code = "sign-in"
    status = 401


class LinkError(DeniedError):
    """A one-time link was used, has expired or never was."""

    code = "one-time-link"


def check_name(name: str) -> str:
    """A usable account name: it stands in the log of orders; raise InvalidError."""
    return check_staff(name)


def check_password(password: str, name: str) -> str:
    """A usable new password; raise InvalidError ``password-weak``."""
    wrong = None
    if not PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
        wrong = f"expected {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters"
    elif len(set(password)) < 5:
        wrong = "expected at least 5 different characters"
    elif name and name.lower() in password.lower():
        wrong = "must not contain the account's name"
    if wrong:
        raise InvalidError(f"password: {wrong}", code="password-weak")
    return password


def check_same(password: str, again: str) -> None:
    """Raise InvalidError ``password-differs`` when a new password was mistyped."""
    if password != again:
        raise InvalidError("the two passwords differ", code="password-differs")


def check_role(text: str) -> Role:
    """The role of this name; raise InvalidError."""
    try:
        return Role(text)
    except ValueError:
        known = ", ".join(Role)
        raise InvalidError(f"role {text!r}: expected one of {known}") from None


def check_scope(stations: Iterable[str] | None, partners: Iterable[str] | None) -> Scope:
    """A scope of these ids, None for all; raise InvalidError."""
    return Scope(_places("stations", stations), _places("partners", partners))


def _places(name: str, given: Iterable[str] | None) -> frozenset[str] | None:
    if given is None:
        return None
    found = frozenset(given)
    if len(found) > SCOPE_MAX:
        raise InvalidError(f"{name}: at most {SCOPE_MAX}")
    for each in sorted(found):
        if not _PLACE.fullmatch(each):
            raise InvalidError(f"{name} {each!r}: expected ids such as DRUM")
    return found


def places_of(text: str) -> tuple[str, ...] | None:
    """The ids of a list as people type it; None when it is left empty, which is everywhere."""
    found = tuple(each for each in re.split(r"[\s,，、]+", text) if each)
    return found or None


# --- secrets ------------------------------------------------------------------------------------


def secret_hash(text: str) -> str:
    """What is kept of a session, a link, a token or a recovery code."""
    return hashlib.sha256(text.encode()).hexdigest()


def token_prefix(token: str) -> str:
    """What tells tokens apart without opening anything."""
    return token[: len(TOKEN_PREFIX) + _TAIL]


def token_days(days: int) -> int:
    """A usable life of a token; raise InvalidError."""
    if not 1 <= days <= TOKEN_DAYS_MAX:
        raise InvalidError(f"days {days}: expected 1 to {TOKEN_DAYS_MAX}")
    return days


def check_grants(given: Iterable[str] | None) -> frozenset[Permission] | None:
    """The permissions of these names, None for all of the role's; raise InvalidError."""
    if given is None:
        return None
    try:
        return frozenset(Permission(each) for each in given)
    except ValueError as error:
        raise InvalidError(f"grants: {error}; see `fleetd staff roles`") from None


# --- second factor ------------------------------------------------------------------------------


def totp_step(secret: bytes, typed: str, now_ms: int, after_step: int) -> int | None:
    """The time step whose code this is, later than ``after_step``: a code works once. None: wrong."""
    bare = _FILLERS.sub("", typed)
    if len(bare) != CODE_DIGITS or not bare.isascii() or not bare.isdigit():
        return None
    now, found = step_of(now_ms), None
    for step in range(max(0, now - CODE_SKEW_STEPS), now + CODE_SKEW_STEPS + 1):
        if _same(totp(secret, step), bare) and step > after_step:
            found = step
    return found


def totp_url(secret: bytes, name: str, issuer: str) -> str:
    """What authenticator apps read out of a QR code (the key-uri format)."""
    query = {
        "secret": totp_text(secret),
        "issuer": issuer,
        "algorithm": "SHA1",
        "digits": str(CODE_DIGITS),
        "period": str(CODE_STEP_S),
    }
    return f"otpauth://totp/{quote(f'{issuer}:{name}')}?{urlencode(query)}"


def totp_text(secret: bytes) -> str:
    """A secret as people type it into an app."""
    return base64.b32encode(secret).decode().rstrip("=")


def recovery_text(random: bytes) -> str:
    """A recovery code as it is shown: groups of four."""
    bare = base64.b32encode(random).decode().rstrip("=").lower()
    return "-".join(bare[at : at + 4] for at in range(0, len(bare), 4))


def recovery_hash(typed: str) -> str | None:
    """What is kept of a recovery code as typed; None when it can't be one."""
    bare = _FILLERS.sub("", typed).upper()
    try:
        raw = base64.b32decode(bare)
    except (binascii.Error, ValueError):
        return None
    return secret_hash(recovery_text(raw)) if len(raw) == RECOVERY_BYTES else None


def _same(left: str, right: str) -> bool:
    """In a time that tells nothing."""
    return secret_hash(left) == secret_hash(right)


# --- known devices ------------------------------------------------------------------------------


def device_owner(known: Secrets) -> str:
    """For what a device's mark is sealed: this account, with the password that it has now.

    With another password every mark ends: who had the account before has no better place to guess
    from than anybody else.
    """
    return f"device {known.account.id} {secret_hash(known.password_hash or '')}"


def device_mark(random: bytes, now_ms: int) -> bytes:
    """What is sealed into a browser that signed in."""
    return random + now_ms.to_bytes(_DEVICE_TIME_BYTES, "big")


def device_of(mark: bytes, now_ms: int) -> str | None:
    """Which device a mark names; None: it is too old, or none."""
    if len(mark) != DEVICE_BYTES + _DEVICE_TIME_BYTES:
        return None
    made_ms = int.from_bytes(mark[DEVICE_BYTES:], "big")
    return mark[:DEVICE_BYTES].hex() if now_ms - made_ms < DEVICE_LIFE_MS else None


# --- identity providers -------------------------------------------------------------------------


def role_of_groups(groups: Iterable[object], mapping: Mapping[str, Role]) -> Role | None:
    """The strongest role that a provider's groups give; None: none, so nobody comes in."""
    found = {mapping[each] for each in groups if isinstance(each, str) and each in mapping}
    for role in (Role.ADMIN, Role.TECHNICIAN, Role.OPERATOR, Role.VIEWER):
        if role in found:
            return role
    return None


def name_for(wanted: str, subject: str) -> str:
    """An account name out of what a provider calls somebody."""
    local = re.sub(r"[^A-Za-z0-9._-]", "-", wanted.split("@", maxsplit=1)[0])[:24].strip("-._")
    try:
        return check_staff(local)
    except InvalidError:
        return "sso-" + hashlib.sha256(subject.encode()).hexdigest()[:12]
