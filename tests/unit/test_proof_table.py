"""The table that `make prove` prints at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import proof
from tests.support.proof import Proof


def test_lines_are_kept_in_order_and_the_last_of_a_name_counts(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "prove.jsonl"
    proof.record("kills", "3", "≥ 100", False, file=file)
    proof.record("fuzz", "100,000 swaps, 0 lost", "0", True, file=file)
    proof.record("kills", "104", "≥ 100", True, file=file)
    assert proof.recorded(file) == [
        Proof("kills", "104", "≥ 100", ok=True),
        Proof("fuzz", "100,000 swaps, 0 lost", "0", ok=True),
    ]


def test_columns_stand_below_each_other_whatever_the_script() -> None:
    lines = proof.table([Proof("换电", "1", "1", ok=True), Proof("kill", "22", "2", ok=False)])
    head, first, second = lines.splitlines()
    assert head.index("figure") == second.index("22")
    assert first.startswith("换电   1")
    assert second.endswith("MISSED")


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_a_missed_target_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ok: bool, code: int
) -> None:
    monkeypatch.setattr(proof, "PROOFS", tmp_path / "prove.jsonl")
    assert proof.main() == 1, "no line at all is no proof"
    proof.record("a", "1", "1", ok)
    assert proof.main() == code
