"""What was run and how it ended: one JSON line a run, the oldest forgotten."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

#: Lines kept; a run of the whole library adds some twenty.
RUNS_MAX: Final = 1_000

Result = Literal["passed", "failed", "skipped"]


class Run(Struct, frozen=True, kw_only=True):
    """One run of one scenario."""

    wall_ms: int
    scenario: str
    result: Result
    seconds: float
    seed: int
    detail: str = ""


def default_file() -> Path:
    """Where the history of this user is."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "swapsim" / "scenarios.jsonl"


def read(path: Path) -> list[Run]:
    """Every run kept, oldest first; a line that is none is passed over."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines()[-RUNS_MAX:]:
        try:
            found.append(msgspec.json.decode(line, type=Run))
        except msgspec.MsgspecError:
            continue
    return found


def add(path: Path, runs: Sequence[Run]) -> None:
    """Append runs; raise OSError when the file cannot be written."""
    kept = [*read(path), *runs][-RUNS_MAX:]
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_bytes(b"".join(msgspec.json.encode(run) + b"\n" for run in kept))
    staged.replace(path)
