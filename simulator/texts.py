"""The words of the simulator's faces in Chinese and English, from TOML catalogues."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, Final

LANGUAGES: Final = ("zh", "en")


@lru_cache(maxsize=len(LANGUAGES))
def texts(language: str) -> Mapping[str, str]:
    """Every text of one of ``LANGUAGES`` by dotted key."""
    source = resources.files("simulator").joinpath("locales", f"{language}.toml")
    return dict(_flat(tomllib.loads(source.read_text(encoding="utf-8"))))


def language_of(asked: str) -> str:
    """The language nearest to a locale such as ``zh_CN.UTF-8`` or ``en-GB``; Chinese speaks Chinese."""
    return "zh" if asked.lower().startswith("zh") else "en"


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, str(value)))
    return found
