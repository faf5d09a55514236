"""Takes secrets out of texts that leave the cabinet: known values, and whatever looks like one."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Final

MASK: Final = "[redacted]"
#: Shorter values stand in too many innocent places; their keys are masked by name instead.
SECRET_CHARS_MIN: Final = 6
_NAMED: Final = (
    r"password|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key|group[_-]?key|key[_-]?b64"
    r"|authorization|cookie|session[_-]?id|credential|(?<![a-z])(?:t?otp|pin)(?![a-z])"
)
#: A path is no secret, and the technician needs it.
_PATH_KEYS: Final = r"[\w-]*(?:_file|_dir|_path)\b"
_PATTERNS: Final = (
    (re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.S), MASK),
    (re.compile(r"(?i)\b(bearer|basic|digest)\s+[A-Za-z0-9+/=._~-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)([a-z][a-z0-9+.-]*://[^\s/:@\"']*):[^\s/@\"']+@"), rf"\1:{MASK}@"),
    (
        re.compile(
            rf"(?im)(?P<key>[\"']?[\w.-]*(?:{_NAMED})(?!{_PATH_KEYS})[\w-]*[\"']?\s*[:=]\s*)"
            r"(?P<value>\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\s,;}\]#]+)"
        ),
        None,
    ),
    (re.compile(r"\byz\d\.[A-Za-z0-9_.=-]{8,}"), MASK),  # tokens of the fleet
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MASK),
    (re.compile(r"(?<![\d.])\+?(?:86)?1[3-9]\d{9}(?![\d.])"), MASK),  # telephone numbers of riders
)  # fmt: skip


class Redactor:
    """Knows the secrets of this cabinet and takes them, and what looks like others, out of texts."""

    def __init__(self, secrets: Iterable[bytes] = ()) -> None:
        found: set[str] = set()
        for secret in secrets:
            found |= _spellings(secret)
        # The longest first: a secret may contain another one.
        self._known = sorted(found, key=lambda text: (-len(text), text))

    def text(self, text: str) -> str:
        """The text without them."""
        for secret in self._known:
            text = text.replace(secret, MASK)
        for pattern, mask in _PATTERNS:
            text = pattern.sub(_masked if mask is None else mask, text)
        return text

    def clean(self, text: str) -> bool:
        """Whether no known secret stands in it."""
        return not any(secret in text for secret in self._known)


def _masked(match: re.Match[str]) -> str:
    value = match["value"]
    quote = value[0] if value[:1] in {'"', "'"} else ""
    if value.strip("\"'") in {"", MASK, "true", "false", "null", "none"}:
        return match[0]
    return f"{match['key']}{quote}{MASK}{quote}"


def _spellings(secret: bytes) -> set[str]:
    """A secret as it may stand in a text: itself, line by line, in base64 and in hex."""
    whole = secret.strip()
    pieces = {whole, *(line.strip() for line in whole.splitlines())}
    spelt: set[str] = set()
    for piece in pieces:
        if len(piece) < SECRET_CHARS_MIN or piece.startswith(b"-----"):
            continue
        spelt.add(piece.decode("utf-8", "replace"))
        spelt.add(base64.b64encode(piece).decode())
        spelt.add(base64.urlsafe_b64encode(piece).decode().rstrip("="))
        spelt.add(piece.hex())
        spelt.add(piece.hex(" "))
        try:
            raw = base64.b64decode(piece, validate=True)
        except ValueError:
            continue
        if len(raw) >= SECRET_CHARS_MIN:
            spelt |= {raw.hex(), raw.hex(" "), base64.urlsafe_b64encode(raw).decode().rstrip("=")}
    return spelt
