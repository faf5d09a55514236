"""One seed from the beginning to the end, and what came of it."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.world.watch import Violation
from simulator.world.world import World


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a seed; ``trace`` is kept only when it failed or was asked for."""

    seed: int
    swaps: int  # authorised
    pulses: int
    span_ms: int  # virtual time
    code: str | None = None  # of the violation
    detail: str = ""
    digest: str = ""  # of the trace
    trace: tuple[str, ...] = field(default=(), repr=False)


def run(seed: int, swaps: int, *, want_trace: bool = False) -> Verdict:
    """Play one world. A crash of a core is a finding like any other."""
    world = World(seed, swaps)
    code: str | None = None
    detail = ""
    try:
        world.run()
    except Violation as found:
        code, detail = found.code, found.detail
    except Exception as error:  # noqa: BLE001 - whatever a core raises is a violation of its contract
        code = f"crash-{type(error).__name__}"
        detail = f"{error}\n{''.join(traceback.format_tb(error.__traceback__)[-6:])}"
    keep = want_trace or code is not None
    lines = tuple(_line(entry) for entry in world.trace) if keep else ()
    return Verdict(
        seed=seed,
        swaps=world.begun,
        pulses=world.watch.pulses,
        span_ms=world.now_ms,
        code=code,
        detail=detail,
        digest=_digest(lines) if keep else "",
        trace=lines,
    )


def _line(entry: Sequence[Any]) -> str:
    at_ms, *what = entry
    return f"{at_ms / 1000:>11.3f} {' '.join(str(part) for part in what)}"


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
