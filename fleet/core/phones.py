"""Phone numbers: E.164 in, keyed hash and tail out; the number itself is never stored."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

from fleet.errors import InvalidError

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_TAIL_DIGITS: Final = 4


def check_phone(phone: str) -> str:
    """Return an E.164 number unchanged; raise InvalidError."""
    if not _E164.fullmatch(phone):
        raise InvalidError(f"phone {phone!r}: expected E.164, for example +8613800138000")
    return phone


def phone_hash(key: bytes, phone: str) -> str:
    """What the store keeps in place of the number: HMAC-SHA256 in hex."""
    return hmac.new(key, check_phone(phone).encode(), hashlib.sha256).hexdigest()


def phone_tail(phone: str) -> str:
    """The last four digits, to be shown."""
    return phone[-_TAIL_DIGITS:]
