"""Templates of settings per cabinet model, what one cabinet is to have, and what it has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from fleet.errors import InvalidError
from protocols.messages import Status
from protocols.settings import POWER_MAX_W, SETTINGS, Value, faults

_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
BREAKER_MIN_W: Final = 100

Values: TypeAlias = dict[str, Value]
#: None gives a setting back: the cabinet's own file holds again.
Wishes: TypeAlias = dict[str, Value | None]


class Template(Struct, frozen=True, kw_only=True):
    """What cabinets of one model are to be set to; their breaker bounds the power."""

    model: str
    breaker_w: int
    settings: Wishes
    actor: str
    version: int = 0  # rises with every change; 0: not stored yet
    updated_ms: int = 0


class Settings(Struct, frozen=True):
    """One version of a cabinet's settings."""

    version: int
    values: Values


def check_template(model: str, breaker_w: int, settings: Mapping[str, Value | None]) -> None:
    """Raise InvalidError naming every field that is wrong."""
    if not _MODEL.fullmatch(model):
        raise InvalidError(f"model {model!r}: expected 1 to 32 of A-Z a-z 0-9 ._-")
    if not BREAKER_MIN_W <= breaker_w <= POWER_MAX_W:
        raise InvalidError(f"breaker_w {breaker_w}: expected {BREAKER_MIN_W} to {POWER_MAX_W} W")
    if not settings:
        raise InvalidError("settings: expected at least one", code="settings-none")
    if found := faults(given(settings), breaker_w) + unknown(settings):
        raise InvalidError("; ".join(found), code="setting-invalid")


def unknown(settings: Mapping[str, Value | None]) -> list[str]:
    """What is to be given back and is no setting."""
    return [
        f"{name}: may not be set from afar"
        for name, value in settings.items()
        if value is None and name not in SETTINGS
    ]


def given(settings: Mapping[str, Value | None]) -> Values:
    """Those that are set, not given back."""
    return {name: value for name, value in settings.items() if value is not None}


def laid(held: Mapping[str, Value], wishes: Mapping[str, Value | None]) -> Values:
    """What a cabinet is to have from now on: what is not named stays."""
    return given({**held, **wishes})


def parse_settings(pairs: Mapping[str, str] | list[str], own: Sequence[str] = ()) -> Wishes:
    """``name=value`` pairs as typed, and the names that are given back.

    Raises:
        InvalidError: naming the one that is wrong.
    """
    items = (
        [each.partition("=")[::2] for each in pairs] if isinstance(pairs, list) else pairs.items()
    )
    settings: Wishes = dict.fromkeys(own)
    for typed, value in items:
        name = typed.strip()
        if (setting := SETTINGS.get(name)) is not None and setting.is_text:
            settings[name] = value.strip()
            continue
        try:
            settings[name] = int(value)
        except ValueError as error:
            text = f"setting {name}={value}: expected a name, = and a whole number"
            raise InvalidError(text, code="setting-invalid") from error
    return settings


# --- wished and actual ----------------------------------------------------------------------------


class SettingView(Struct, frozen=True):
    """One setting of a cabinet: what the fleet wishes, and what is in force there."""

    name: str
    unit: str
    wished: Value | None = None  # None: the cabinet's own
    actual: Value | None = None  # None: it has not told

    @property
    def differs(self) -> bool:
        """Whether something else is in force than was wished."""
        return self.wished is not None and self.wished != self.actual


class SettingsView(Struct, frozen=True, kw_only=True):
    """The settings of one cabinet, every one of them."""

    cabinet_id: str
    wished_version: int  # 0: nothing was ever set
    actual_version: int  # 0: it runs by its own file
    refused_version: int
    fault: str  # why it was refused
    told: bool  # its software tells what is in force
    state: str  # own, in-step, waits, refused, drifted, untold
    settings: tuple[SettingView, ...]


def compare(cabinet: str, wished: Settings, status: Status | None) -> SettingsView:
    """What one cabinet is to have beside what it has."""
    actual = dict(status.settings) if status is not None else {}
    rows = tuple(
        SettingView(name, setting.unit, wished.values.get(name), actual.get(name))
        for name, setting in SETTINGS.items()
    )
    return SettingsView(
        cabinet_id=cabinet,
        wished_version=wished.version,
        actual_version=status.config_version if status else 0,
        refused_version=status.config_refused if status else 0,
        fault=status.config_fault if status else "",
        told=bool(actual),
        state=_state(wished, status, rows),
        settings=rows,
    )


def _state(wished: Settings, status: Status | None, rows: Sequence[SettingView]) -> str:
    """One word for all of them, the gravest first; silence is never in step."""
    if status is None:
        return "untold"
    if status.config_refused >= max(1, wished.version):
        return "refused"
    if wished.version == 0:
        return "own"
    if status.config_version < wished.version:
        return "waits"
    if not status.settings:
        return "untold"
    return "drifted" if any(row.differs for row in rows) else "in-step"
