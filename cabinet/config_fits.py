"""Holds settings that the fleet wishes against this cabinet's own file, as ``check-config`` would."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from cabinet.config import ENV_PREFIX, ConfigProblemsError, parse
from cabinet.config_layout import CABINET
from cabinet.core.safety_limits import BOUNDS
from protocols.settings import settings_of


def fits_of(
    path: Path, environment: Mapping[str, str] | None = None
) -> Callable[[Mapping[str, object]], str | None]:
    """Checks the file as it was at the start with the settings laid over it; raise OSError.

    What the returned function answers is None, or everything that ``check-config`` would say.
    """
    text = path.read_text(encoding="utf-8")
    given = dict(os.environ if environment is None else environment)

    def fits(values: Mapping[str, object]) -> str | None:
        laid_over = {
            f"{ENV_PREFIX}{table}__{name.upper()}": str(value)
            for name, value in settings_of(values).items()
            if (table := _table(name))
        }
        try:
            parse(text, path, given | laid_over)
        except ConfigProblemsError as error:
            return "; ".join(f"{each.key}: {each.what}" for each in error.problems)
        return None

    return fits


def _table(name: str) -> str:
    """Where the file has a key of this name; empty where it has none."""
    if name in CABINET.keys:
        return "CABINET"
    return "SAFETY" if name in BOUNDS else ""
