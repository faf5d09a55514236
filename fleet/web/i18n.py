"""Texts in Chinese and English: TOML catalogues per language, with the same keys."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from starlette.requests import HTTPConnection

LANGUAGES: Final = ("zh", "en")
HTML_LANG: Final = {"zh": "zh-CN", "en": "en"}
LANG_COOKIE: Final = "yz_lang"
LANG_COOKIE_AGE_S: Final = 365 * 24 * 3600
TYPE_COOKIE: Final = "yz_type"
TYPES: Final = ("normal", "large")
#: What a reader may choose by a parameter, the cookie that remembers it, and its values.
CHOICES: Final = (("lang", LANG_COOKIE, LANGUAGES), ("type", TYPE_COOKIE, TYPES))
#: Alarms of sockets that are out of use end in their numbers.
SOCKET_FAULT: Final = "socket-fault-"
#: So do alarms of devices that do not answer.
DEVICE_SILENT: Final = "offline-"
_FOLDER: Final = Path(__file__).parent / "locales"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All texts of one language, by dotted key."""

    language: str
    texts: Mapping[str, str]

    def text(self, key: str, **values: object) -> str:
        """The text of a key, which must exist, with ``{name}`` filled in."""
        return self.texts[key].format(**values)

    def has(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in self.texts

    def reason(self, code: str, **values: object) -> str:
        """Why something did not work; a code without a text is shown as it is."""
        if code != "alarm" and self.has(f"reason.{code}"):
            return self.text(f"reason.{code}", **values)
        if self.has(f"alarm.{code}"):
            return self.text("reason.alarm", alarm=self.alarm(code))
        if code == "alarm" and "alarm" in values:
            return self.text("reason.alarm", **values)
        return self.text("reason.unknown", code=code)

    def advice(self, code: str) -> str:
        """What to do about a reason."""
        if self.has(f"advice.{code}"):
            return self.text(f"advice.{code}")
        return self.text("advice.alarm" if self.has(f"alarm.{code}") else "advice.unknown")

    def alarm(self, code: str) -> str:
        """The name of an alarm or a slot's flag; a code without a text is shown as it is."""
        key = f"alarm.{code}"
        name, _, slot = code.partition(":")
        if slot:
            return self.text("console.alarm-slot", alarm=self.alarm(name), n=slot)
        if code.startswith(DEVICE_SILENT):
            return self.text("desk.device-offline", device=code.removeprefix(DEVICE_SILENT))
        if code.startswith(SOCKET_FAULT):
            return self.text("area.alarm", n=code.removeprefix(SOCKET_FAULT))
        return self.text(key) if self.has(key) else code

    def flag(self, code: str) -> str:
        """What is odd about a swap; a code without a text is shown as it is."""
        key = f"flag.{code}"
        return self.text(key) if self.has(key) else code

    def age(self, age_ms: int | None) -> str:
        """How old something is, in words."""
        if age_ms is None:
            return self.text("age.never")
        for unit, size_ms in (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000)):
            if age_ms >= size_ms:
                return self.text(f"age.{unit}", n=age_ms // size_ms)
        return self.text("age.seconds", n=max(0, age_ms) // 1_000)


@lru_cache(maxsize=len(LANGUAGES))
def catalogue(language: str) -> Catalogue:
    """The catalogue of a supported language."""
    texts: dict[str, str] = {}
    for path in sorted(_FOLDER.glob(f"*{language}.toml")):
        with path.open("rb") as file:
            texts.update(_flatten(tomllib.load(file)))
    return Catalogue(language, texts)


def language_of(request: HTTPConnection, default: str) -> str:
    """By ``?lang``, then cookie, then Accept-Language, then the default."""
    asked = request.query_params.get("lang") or request.cookies.get(LANG_COOKIE)
    if asked in LANGUAGES:
        return asked
    return accepted_language(request.headers.get("accept-language", "")) or default


def is_large(request: HTTPConnection) -> bool:
    """Whether the reader wants large type: by ``?type``, then cookie."""
    asked = request.query_params.get("type")
    chosen = asked if asked in TYPES else request.cookies.get(TYPE_COOKIE)
    return chosen == "large"


def accepted_language(header: str) -> str | None:
    """The best supported language of an Accept-Language header, None when there is none."""
    best: tuple[float, str] | None = None
    for part in header.split(",")[:20]:
        tag, _, parameters = part.strip().partition(";")
        language = tag.split("-")[0].lower()
        if language in LANGUAGES:
            weight = _weight(parameters)
            if weight > 0 and (best is None or weight > best[0]):
                best = (weight, language)
    return best[1] if best else None


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(1.0, float(value))
    except ValueError:
        return 0.0


def _flatten(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in table.items():
        if isinstance(value, dict):
            rows += _flatten(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, str(value)))
    return rows
