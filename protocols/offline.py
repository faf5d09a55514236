"""What a cabinet accepts of a rider while the fleet is away: number and code, or a signed ticket.

**Number and code.** A rider has a number of eight digits (the last one a check digit). The secret of
a rider and month is HMAC-SHA-256 of the group key over both, so a cabinet needs no list of secrets,
and a phone that leaks its secret leaks one rider for one month. The code is RFC 6238 (TOTP) over that
secret: HMAC-SHA-1, 30 s, six digits, which every authenticator app understands. Whoever checks a code
remembers the time step of the last one that was right and takes only later ones: a code works once.

**Ticket.** A short-lived permission for one transaction, signed by the fleet (Ed25519). Its text is
what the QR code on the rider's phone carries. A ticket's id is the id of the transaction, so however
often and wherever it is shown, and whenever it is told to the fleet, it is one transaction.

Both need a wall clock that is known to be right; a cabinet whose clock is not trusted refuses both.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from protocols.errors import MessageError
from protocols.messages import Id, Kind, Millis, Serial, decode, encode

NUMBER_DIGITS: Final = 8
CODE_DIGITS: Final = 6
CODE_STEP_S: Final = 30
#: Steps before and after the present one whose code is taken too: clocks of phones differ.
CODE_SKEW_STEPS: Final = 1
GROUP_KEY_BYTES: Final = 32
GROUP_KEYS_MAX: Final = 2  # while one is rotated: the current and the previous
TICKET_PREFIX: Final = "YZT1."
#: A QR code of this many bytes is still read off a phone's screen by a cheap scanner.
TICKET_CHARS_MAX: Final = 900

RiderNumber = Annotated[str, Meta(pattern=r"^[0-9]{8}$")]


# --- number and code ----------------------------------------------------------------------------


def rider_number(serial: int) -> str:
    """The number of the rider with this running number below ten million."""
    if not 0 <= serial < 10 ** (NUMBER_DIGITS - 1):
        raise ValueError(f"serial {serial}: expected 0 to {10 ** (NUMBER_DIGITS - 1) - 1}")
    body = f"{serial:0{NUMBER_DIGITS - 1}d}"
    return body + str(_check_digit(body))


def valid_number(text: str) -> bool:
    """Whether these are eight digits and the last one fits: catches a mistyped or swapped digit."""
    if len(text) != NUMBER_DIGITS or not (text.isascii() and text.isdigit()):
        return False
    return int(text[-1]) == _check_digit(text[:-1])


def _check_digit(body: str) -> int:
    """Luhn's (ISO/IEC 7812-1 annex B)."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return -total % 10


def month_of(wall_ms: int) -> str:
    """The UTC month of a time, such as ``2026-11``: what secrets are derived for."""
    return datetime.fromtimestamp(wall_ms / 1000, tz=UTC).strftime("%Y-%m")


def rider_secret(group_key: bytes, number: str, month: str) -> bytes:
    """The TOTP secret of a rider in a month; 32 bytes."""
    if len(group_key) != GROUP_KEY_BYTES:
        raise ValueError(f"group key: expected {GROUP_KEY_BYTES} bytes, got {len(group_key)}")
    text = f"yizhan offline code v1\n{number}\n{month}".encode()
    return hmac.digest(group_key, text, "sha256")


def totp(secret: bytes, step: int) -> str:
    """The code of a time step (RFC 6238 section 4, RFC 4226 section 5.3)."""
    digest = hmac.digest(secret, struct.pack(">Q", step), "sha1")
    at = digest[-1] & 0x0F
    number = int.from_bytes(digest[at : at + 4]) & 0x7FFF_FFFF
    return f"{number % 10**CODE_DIGITS:0{CODE_DIGITS}d}"


def step_of(wall_ms: int) -> int:
    """The time step that a time falls into."""
    return wall_ms // (CODE_STEP_S * 1000)


def matching_step(
    group_keys: Sequence[bytes], number: str, code: str, wall_ms: int, *, after_step: int = -1
) -> int | None:
    """The time step whose code this is, around now and later than ``after_step``; None when wrong.

    While the fleet rotates its key there are two, and phones make codes with either.
    The caller must remember the answer as the next ``after_step`` of this rider. Every candidate is
    compared, in constant time, so that timing tells nothing.
    """
    now = step_of(wall_ms)
    found: int | None = None
    for step in range(now - CODE_SKEW_STEPS, now + CODE_SKEW_STEPS + 1):
        if step < 0:
            continue
        month = month_of(step * CODE_STEP_S * 1000)
        for key in group_keys:
            right = totp(rider_secret(key, number, month), step).encode()
            same = hmac.compare_digest(right, code.encode("utf-8", "replace"))
            if same and step > after_step and found is None:
                found = step
    return found


# --- ticket -------------------------------------------------------------------------------------


class Ticket(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A permission for one transaction of one rider. ``id`` is the transaction's id.

    ``cabinet`` None is any cabinet of the fleet. ``expected_serial`` is the pack that the ledger says
    the rider holds.
    """

    id: Id
    rider_id: Id
    number: RiderNumber
    kind: Kind
    issued_ms: Millis
    expires_ms: Millis
    cabinet: Id | None = None
    expected_serial: Serial | None = None
    sig: Annotated[str, Meta(max_length=128)] = ""
    schema: Literal[1] = 1


def ticket_text(ticket: Ticket) -> str:
    """What the QR code carries."""
    return TICKET_PREFIX + base64.urlsafe_b64encode(encode(ticket)).decode().rstrip("=")


def parse_ticket(text: str) -> Ticket:
    """The ticket in a scanned text, its signature not checked; raise MessageError when it is none."""
    if len(text) > TICKET_CHARS_MAX:
        raise MessageError(f"ticket: {len(text)} characters, at most {TICKET_CHARS_MAX} allowed")
    if not text.startswith(TICKET_PREFIX):
        raise MessageError(f"ticket: does not begin with {TICKET_PREFIX}")
    body = text.removeprefix(TICKET_PREFIX)
    try:
        payload = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageError(f"ticket: not base64url: {error}") from error
    return decode(payload, Ticket)


def group_key_text(key: bytes) -> str:
    """A group key as it stands in a credential file: base64."""
    return base64.b64encode(key).decode("ascii")


def parse_group_key(text: str) -> bytes:
    """The key in a credential file; raise MessageError when it is none."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise MessageError(f"group key: not base64: {error}") from error
    if len(key) != GROUP_KEY_BYTES:
        raise MessageError(f"group key: expected {GROUP_KEY_BYTES} bytes, got {len(key)}")
    return key


def parse_group_keys(text: str) -> tuple[bytes, ...]:
    """The keys in a file, one a line: the current one, then the previous if there is one.

    Raises:
        MessageError: there are none, more than two, or a line is no key.
    """
    lines = text.strip().splitlines()
    if not 1 <= len(lines) <= GROUP_KEYS_MAX:
        raise MessageError(f"group key: {len(lines)} lines, expected 1 to {GROUP_KEYS_MAX} keys")
    return tuple(parse_group_key(line) for line in lines)


def key_id(key: bytes) -> str:
    """Names a key without telling it."""
    return hashlib.sha256(b"yizhan key id\n" + key).hexdigest()[:16]
