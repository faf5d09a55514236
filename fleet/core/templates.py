"""Templates of settings per cabinet model, and what one cabinet is to have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from fleet.errors import InvalidError
from protocols.settings import POWER_MAX_W, faults

_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
BREAKER_MIN_W: Final = 100


class Template(Struct, frozen=True, kw_only=True):
    """What cabinets of one model are to be set to; their breaker bounds the power."""

    model: str
    breaker_w: int
    settings: dict[str, int]
    actor: str
    version: int = 0  # rises with every change; 0: not stored yet
    updated_ms: int = 0


class Settings(Struct, frozen=True):
    """One version of a cabinet's settings."""

    version: int
    values: dict[str, int]


def check_template(model: str, breaker_w: int, settings: Mapping[str, int]) -> None:
    """Raise InvalidError naming every field that is wrong."""
    if not _MODEL.fullmatch(model):
        raise InvalidError(f"model {model!r}: expected 1 to 32 of A-Z a-z 0-9 ._-")
    if not BREAKER_MIN_W <= breaker_w <= POWER_MAX_W:
        raise InvalidError(f"breaker_w {breaker_w}: expected {BREAKER_MIN_W} to {POWER_MAX_W} W")
    if not settings:
        raise InvalidError("settings: expected at least one")
    if found := faults(settings, breaker_w):
        raise InvalidError("; ".join(found), code="setting-invalid")


def parse_settings(pairs: Mapping[str, str] | list[str]) -> dict[str, int]:
    """``name=value`` pairs, as typed; raise InvalidError naming the one that is wrong."""
    items = (
        [each.partition("=")[::2] for each in pairs] if isinstance(pairs, list) else pairs.items()
    )
    settings: dict[str, int] = {}
    for name, value in items:
        try:
            settings[name.strip()] = int(value)
        except ValueError as error:
            text = f"setting {name}={value}: expected a name, = and a whole number"
            raise InvalidError(text, code="setting-invalid") from error
    return settings
