"""Reads scenario files strictly: every mistake is told with file, line and key."""

from __future__ import annotations

import difflib
import re
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from simulator.errors import ConfigError
from simulator.scenario import model
from simulator.scenario.model import Scenario

BYTES_MAX: Final = 256 * 1024
DEPTH_MAX: Final = 12
_AT: Final = re.compile(r"(?P<what>.*?)(?: - at `\$?(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN: Final = re.compile(r"unknown field `([^`]+)`")
_PART: Final = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+|\.\.\.)\]")

Path_ = tuple[str | int, ...]


def load(path: Path) -> Scenario:
    """The scenario in a file.

    Raises:
        ConfigError: it cannot be read, or is wrong; one line a mistake, with file and line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return parse(data, str(path))


def parse(data: bytes, name: str) -> Scenario:
    """The scenario in these bytes; raises as ``load``."""
    if len(data) > BYTES_MAX:
        raise ConfigError(f"{name}: larger than {BYTES_MAX} bytes")
    lines: dict[Path_, int] = {}
    try:
        document = _built(yaml.compose(data.decode(), Loader=yaml.SafeLoader), (), lines, name)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name}:{line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {error}") from error
    try:
        return msgspec.convert(document, Scenario)
    except msgspec.ValidationError as error:
        raise ConfigError(_told(str(error), lines, name)) from error


def library() -> dict[str, Scenario]:
    """The built-in scenarios by name, in the order of their files."""
    folder = resources.files("simulator.scenario").joinpath("library")
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.name.endswith(".yaml"):
            scenario = parse(entry.read_bytes(), entry.name)
            found[scenario.name] = scenario
    return found


def _built(node: Any, path: Path_, lines: dict[Path_, int], name: str) -> Any:
    """A node as plain values, with the line of every path."""
    if node is None:
        raise ConfigError(f"{name}:1: is empty")
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if len(path) > DEPTH_MAX:
        raise ConfigError(f"{name}:{line}: nested too deeply")
    if isinstance(node, yaml.SequenceNode):
        return [_built(each, (*path, n), lines, name) for n, each in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in found:
                raise ConfigError(f"{name}:{line}: key {key} stands twice")
            lines[(*path, key)] = line
            found[key] = _built(value_node, (*path, key), lines, name)
        return found
    return _scalar(node, line, name)


def _scalar(node: Any, line: int, name: str) -> Any:
    constructor = yaml.SafeLoader("")
    try:
        return constructor.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{name}:{line}: {node.value!r} cannot be read: {error}") from error
    finally:
        constructor.dispose()


def _told(message: str, lines: dict[Path_, int], name: str) -> str:
    """Msgspec's words with the line of the file, and what was perhaps meant."""
    match = _AT.fullmatch(message)
    assert match
    what, path = match["what"], _path(match["path"] or "")
    unknown = _UNKNOWN.search(what)
    if unknown:
        key = unknown[1]
        near = difflib.get_close_matches(key, _all_keys(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "see `swapsim scenario schema`"
        return f"{name}:{_line((*path, key), lines)}: unknown key {_dotted((*path, key))}: {hint}"
    return f"{name}:{_line(path, lines)}: {_dotted(path) or 'the file'}: {what}"


def _path(text: str) -> Path_:
    return tuple(
        name or (int(index) if index.isdigit() else 0) for name, index in _PART.findall(text)
    )


def _line(path: Path_, lines: dict[Path_, int]) -> int:
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _dotted(path: Path_) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _all_keys() -> list[str]:
    parts = (model.Scenario, model.Step, model.Ask, model.Hand, model.Alter, model.FaultStep,
             model.Contact, model.Expect)  # fmt: skip
    return sorted({key for part in parts for key in part.__struct_fields__})
