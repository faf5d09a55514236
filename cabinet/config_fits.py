"""Holds settings that the fleet wishes against this cabinet's own file, as ``check-config`` would."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from cabinet.config import ENV_PREFIX, ConfigProblemsError, parse

_TABLE = "CABINET"  # all settings are keys of this one


def fits_of(
    path: Path, environment: Mapping[str, str] | None = None
) -> Callable[[Mapping[str, int]], str | None]:
    """Checks the file as it was at the start with the settings laid over it; raise OSError.

    What the returned function answers is None, or everything that ``check-config`` would say.
    """
    text = path.read_text(encoding="utf-8")
    given = dict(os.environ if environment is None else environment)

    def fits(settings: Mapping[str, int]) -> str | None:
        laid_over = {
            f"{ENV_PREFIX}{_TABLE}__{name.upper()}": str(value) for name, value in settings.items()
        }
        try:
            parse(text, path, given | laid_over)
        except ConfigProblemsError as error:
            return "; ".join(f"{each.key}: {each.what}" for each in error.problems)
        return None

    return fits
