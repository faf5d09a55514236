"""The seeded worlds: nothing breaks, and the same seed is the same run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simulator.main import app
from simulator.world import fuzz
from tests.support import proof

SWAPSIM = Path(sys.executable).with_name("swapsim")
SEEDS, SWAPS = 2_000, 50
LIMIT_S = 600


def test_nothing_breaks_in_thirty_worlds() -> None:
    for seed in range(1, 31):
        verdict = fuzz.run(seed, 20)
        assert verdict.code is None, f"seed {seed}: {verdict.code} {verdict.detail}"


@pytest.mark.slow
@pytest.mark.timeout(2 * LIMIT_S)
def test_nothing_breaks_in_two_thousand_worlds() -> None:
    began = time.perf_counter()
    done = subprocess.run(
        [SWAPSIM, "fuzz", "--seeds", f"1..{SEEDS}", "--swaps", str(SWAPS), "--jobs", "2", "--json"],
        capture_output=True,
        text=True,
        timeout=2 * LIMIT_S,
        check=False,
    )
    took_s = time.perf_counter() - began
    found = json.loads(done.stdout)
    clean = not found["violations"] and found["swaps"] >= SEEDS * SWAPS
    proof.record(
        "swapsim fuzz",
        f"{found['swaps']} swaps in {took_s:.0f} s, {len(found['violations'])} violations",
        f"{SEEDS * SWAPS} swaps in {LIMIT_S} s, none",
        clean and took_s < LIMIT_S,
    )
    assert done.returncode == 0, found["violations"]
    assert clean


def digest(hash_seed: str) -> str:
    done = subprocess.run(
        [SWAPSIM, "fuzz", "--seed", "4", "--swaps", "20", "--json"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    return str(json.loads(done.stdout)["digest"])


def test_the_same_seed_is_the_same_run_in_any_process() -> None:
    here = [fuzz.run(4, 20, want_trace=True).digest for _ in range(2)]
    assert here[0] == here[1]
    assert {digest("0"), digest("1"), digest("4711")} == {here[0]}
    assert fuzz.run(5, 20, want_trace=True).digest != here[0]


def cli(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["fuzz", *args])
    return result.exit_code, result.output


def test_a_failing_seed_says_what_broke_and_how_to_see_it_again(tmp_path: Path) -> None:
    trace = tmp_path / "trace.txt"
    code, said = cli(
        "--seeds", "1..5", "--swaps", "5", "--break", "two-doors", "--trace", str(trace)
    )
    assert code == 1
    assert "VIOLATION two-doors" in said
    command = re.search(r"again: swapsim (.+) --trace", said)
    assert command is not None
    again_code, again = cli(*command[1].split()[1:])
    assert again_code == 1
    assert "VIOLATION two-doors" in again
    assert trace.read_text(encoding="utf-8").rstrip().splitlines()[-1] in said


def test_several_jobs_find_the_same_as_one() -> None:
    outs = [cli("--seeds", "1..4", "--swaps", "3", "--jobs", jobs) for jobs in ("1", "2")]
    assert outs[0] == outs[1]
    assert outs[0][0] == 0


def test_wrong_usage() -> None:
    assert cli("--break", "nothing-like-it")[0] == 2
    assert cli("--seeds", "9..3")[0] == 2
    assert cli("--seeds", "some")[0] == 2


def test_the_list_of_guards() -> None:
    code, said = cli("--break", "list")
    assert code == 0
    assert len(said.splitlines()) >= 16
    assert "act-before-commit" in said
