"""Set values in a TOML text and keep the rest, comments included, as it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from deploy.demo.errors import DemoError

Value = str | int | float | bool


def with_values(text: str, sections: Mapping[str, Mapping[str, Value]]) -> str:
    """The text with these keys of these ``[section]`` tables set; a missing section is appended.

    Only one-line values are replaced, which is all that the example configurations have there.
    """
    lines = text.splitlines()
    for section, values in sections.items():
        for key, value in values.items():
            lines = _with_value(lines, section, key, f"{key} = {literal(value)}")
    return "\n".join(lines) + "\n"


def literal(value: Value) -> str:
    """A TOML literal; a JSON string is a TOML basic string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def _with_value(lines: list[str], section: str, key: str, line: str) -> list[str]:
    header = f"[{section}]"
    starts = [i for i, text in enumerate(lines) if text.split("#")[0].strip() == header]
    if not starts:
        return [*lines, "", header, line]
    if len(starts) > 1:
        raise DemoError(f"{header} stands twice in the configuration")
    start = starts[0]
    end = next((i for i in range(start + 1, len(lines)) if lines[i].startswith("[")), len(lines))
    pattern = re.compile(rf"\s*#?\s*{re.escape(key)}\s*=")
    # An active line wins over a commented-out one of the same key.
    found = sorted(
        (i for i in range(start + 1, end) if pattern.match(lines[i])),
        key=lambda i: lines[i].lstrip().startswith("#"),
    )
    if found:
        return [*lines[: found[0]], line, *lines[found[0] + 1 :]]
    return [*lines[: start + 1], line, *lines[start + 1 :]]
