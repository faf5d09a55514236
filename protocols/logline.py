"""One line of a structured log, the same from both daemons: JSON with the ids that it is about.

Whatever looks like a secret is masked, in plain lines too: a log goes to more readers than the
program has, and a driver's error may well carry the URL that it was given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

#: What a record may be about; anything else that it carries stays out of the line.
FIELDS: Final = ("cabinet", "swap", "command", "rider", "slot")
MESSAGE_CHARS_MAX: Final = 8_192
TRACE_CHARS_MAX: Final = 32_768
MASK: Final = "***"

_SECRETS: Final = (
    re.compile(
        r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@]+(?=@)"
    ),  # scheme://user:PASSWORD@
    re.compile(
        r"(?P<keep>\b(?:password|passwd|secret|token|code|otp)\b['\"]?\s*[=:]\s*['\"]?)"
        r"[^\s'\"&,;)]+",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE),
    re.compile(r"(?P<keep>-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?=-----END|\Z)", re.DOTALL),
)


def mask(text: str) -> str:
    """The text without passwords in URLs, values of secret names, bearer tokens, private keys."""
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<keep>{MASK}", text)
    return text


def line(
    *,
    at_s: float,
    level: str,
    logger: str,
    message: str,
    fields: Mapping[str, object],
    trace: str = "",
) -> str:
    """One JSON object without line breaks; ``at_s`` is Unix time, ``trace`` a traceback or empty."""
    moment = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
    row: dict[str, object] = {
        "time": moment.replace("+00:00", "Z"),
        "level": level.lower(),
        "logger": logger,
        "message": mask(message[:MESSAGE_CHARS_MAX]),
    }
    for name in FIELDS:
        value = fields.get(name)
        if value is not None:
            row[name] = value if isinstance(value, int) else str(value)
    if trace:
        row["trace"] = mask(trace[-TRACE_CHARS_MAX:])  # its end says what went wrong
    return msgspec.json.encode(row).decode()
