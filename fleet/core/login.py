"""Login by phone and code: the rules, without store, clock or randomness.

A code has six digits, lives five minutes, is kept as a keyed hash only and dies after five wrong
tries. Whoever asks gets the same answer whether the number is known or not.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from fleet.core.phones import check_phone
from fleet.errors import InvalidError

CODE_DIGITS: Final = 6
CODE_LIFE_MS: Final = 5 * 60_000
TRIES_MAX: Final = 5
RESEND_AFTER_MS: Final = 60_000
#: A number gets so many codes until it has been quiet for a window: a text costs money and nerves.
SENDS_MAX: Final = 5
SENDS_WINDOW_MS: Final = 60 * 60_000
SESSION_LIFE_MS: Final = 30 * 24 * 3_600_000
SESSION_TOKEN_BYTES: Final = 32
PHONE_LENGTH_MAX: Final = 40
DEFAULT_COUNTRY: Final = "86"

#: Full-width digits and plus sign, as Chinese input methods type them.
_NARROW: Final = str.maketrans("０１２３４５６７８９＋", "0123456789+")
_FILLERS: Final = re.compile(r"[\s\-–().·]")
_CHINA_MOBILE: Final = re.compile(r"1[3-9][0-9]{9}")


@dataclass(frozen=True, slots=True)
class LoginCode:
    """The one code that a phone has outstanding."""

    code_hash: str
    expires_ms: int
    tries: int
    sent_ms: int
    sends: int


@dataclass(frozen=True, slots=True)
class Wait:
    """No code now; ask again after so many seconds."""

    retry_after_s: int


class Verdict(StrEnum):
    """What became of a typed code."""

    RIGHT = "right"
    WRONG = "wrong"
    EXPIRED = "expired"  # too old, too many tries, or none was ever sent


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a session stands for."""

    rider_id: str


def normalise_phone(text: str) -> str:
    """E.164 of a number as people type it; without a country code it is Chinese.

    Raises:
        InvalidError: it cannot be a phone number.
    """
    if len(text) > PHONE_LENGTH_MAX:
        raise InvalidError(f"phone: at most {PHONE_LENGTH_MAX} characters", code="phone-invalid")
    bare = _FILLERS.sub("", text.translate(_NARROW))
    if bare.startswith("00"):
        bare = "+" + bare[2:]
    elif not bare.startswith("+"):
        # 86138… is a number with its country code, unless it is a national number by itself.
        national = _CHINA_MOBILE.fullmatch(bare) is not None
        has_country = bare.startswith(DEFAULT_COUNTRY) and _CHINA_MOBILE.fullmatch(bare[2:])
        bare = f"+{bare}" if has_country and not national else f"+{DEFAULT_COUNTRY}{bare}"
    china = f"+{DEFAULT_COUNTRY}"
    if bare.startswith(china) and not _CHINA_MOBILE.fullmatch(bare[len(china) :]):
        raise InvalidError("phone: not a Chinese mobile number", code="phone-invalid")
    try:
        return check_phone(bare)
    except InvalidError as error:
        raise InvalidError(str(error), code="phone-invalid") from error


def normalise_code(text: str) -> str | None:
    """The six digits of a code as typed, or None."""
    bare = _FILLERS.sub("", text.translate(_NARROW))
    right = len(bare) == CODE_DIGITS and bare.isascii() and bare.isdigit()
    return bare if right else None


def code_from(number: int) -> str:
    """Six digits out of a uniform number below a million."""
    if not 0 <= number < 10**CODE_DIGITS:
        raise ValueError(f"login code: {number} is not below {10**CODE_DIGITS}")
    return f"{number:0{CODE_DIGITS}d}"


def code_hash(key: bytes, phone_hash: str, code: str) -> str:
    """What is kept in place of a code; worthless for another phone and without the key."""
    return hmac.new(key, f"login:{phone_hash}:{code}".encode(), hashlib.sha256).hexdigest()


def token_hash(token: str) -> str:
    """What is kept in place of a session's token."""
    return hashlib.sha256(token.encode()).hexdigest()


def ask(row: LoginCode | None, new_hash: str, now_ms: int) -> LoginCode | Wait:
    """The code to store and send, or how long to wait."""
    sends = 0
    if row is not None:
        quiet_ms = now_ms - row.sent_ms
        # A clock that was set back must not lock a rider out for longer than the rule says.
        if 0 <= quiet_ms < RESEND_AFTER_MS:
            return Wait(_seconds_up(RESEND_AFTER_MS - quiet_ms))
        if 0 <= quiet_ms < SENDS_WINDOW_MS:
            if row.sends >= SENDS_MAX:
                return Wait(_seconds_up(SENDS_WINDOW_MS - quiet_ms))
            sends = row.sends
    return LoginCode(new_hash, now_ms + CODE_LIFE_MS, tries=0, sent_ms=now_ms, sends=sends + 1)


def check(row: LoginCode | None, typed_hash: str, now_ms: int) -> tuple[Verdict, LoginCode | None]:
    """Judge a typed code; return what to keep of the row, None to leave or make it void.

    A code works once. The row itself outlives it, so that the limits on sending still hold.
    """
    if row is None:
        return Verdict.EXPIRED, None
    lives = row.sent_ms <= now_ms < row.expires_ms
    if not lives or row.tries >= TRIES_MAX:
        return Verdict.EXPIRED, row
    if hmac.compare_digest(row.code_hash, typed_hash):
        return Verdict.RIGHT, replace(row, code_hash="", tries=TRIES_MAX)
    return Verdict.WRONG, replace(row, tries=row.tries + 1)


def _seconds_up(duration_ms: int) -> int:
    return -(-duration_ms // 1_000)
