"""The figures of the long proofs, gathered while they run and printed as one table at the end.

A proof says what it found with ``record``; ``python -m tests.support.proof`` prints everything that
was recorded since the file was last removed (`make prove` removes it first) and exits with 1 when a
line missed its target or when there is no line at all.
"""

from __future__ import annotations

import fcntl
import json
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

PROOFS: Final = Path(__file__).parents[2] / ".artifacts" / "prove.jsonl"
_HEAD: Final = ("proof", "figure", "target", "")


@dataclass(frozen=True, slots=True)
class Proof:
    """One line of the table."""

    name: str
    figure: str
    target: str
    ok: bool


def record(name: str, figure: str, target: str, ok: bool, *, file: Path | None = None) -> None:
    """Add one line; several processes may do so at once."""
    file = file or PROOFS
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        fcntl.flock(lines, fcntl.LOCK_EX)
        lines.write(
            json.dumps(asdict(Proof(name, figure, target, bool(ok))), ensure_ascii=False) + "\n"
        )


def recorded(file: Path | None = None) -> list[Proof]:
    """Every line, in the order of recording; a proof that ran again stands once, with its last."""
    file = file or PROOFS
    if not file.exists():
        return []
    rows = [Proof(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]
    return list({row.name: row for row in rows}.values())


def table(proofs: Iterable[Proof]) -> str:
    """Aligned columns; wide characters count as two."""
    rows = [_HEAD, *((p.name, p.figure, p.target, "ok" if p.ok else "MISSED") for p in proofs)]
    widths = [max(_width(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = (
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def main() -> int:
    """Print the table; 0 when every line met its target."""
    proofs = recorded()
    if not proofs:
        print(f"no proof was recorded in {PROOFS}", file=sys.stderr)
        return 1
    print(table(proofs))
    return 0 if all(proof.ok for proof in proofs) else 1


if __name__ == "__main__":
    sys.exit(main())
