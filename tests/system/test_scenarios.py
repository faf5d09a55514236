"""The built-in scenarios against a real cabinetd, over its own pages, as a technician would run them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from simulator.scenario.load import library
from tests.support.acceptance import Acceptance, acceptance
from tests.support.sim_process import SWAPSIM

pytestmark = pytest.mark.system

#: Ends cabinetd as a power cut would, and waits until this test has started it again.
RESTART: Final = """
import pathlib, sys, time
wish = pathlib.Path(sys.argv[1])
wish.touch()
while wish.exists():
    time.sleep(0.1)
"""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Acceptance]:
    with acceptance(tmp_path) as found:
        yield found


def run(pair: Acceptance, folder: Path, *arguments: str, within_s: float) -> list[dict[str, Any]]:
    """Runs of `swapsim scenario run`; restarts cabinetd when a scenario wants it."""
    wish, script = folder / "restart", folder / "restart.py"
    script.write_text(RESTART, encoding="utf-8")
    command = [
        *(str(SWAPSIM), "scenario", "run", *arguments, *pair.options, "--json"),
        *("--history", str(folder / "history.jsonl")),
        *("--restart", f"{sys.executable} {script} {wish}"),
    ]
    log = folder / "scenarios.json"
    with log.open("wb") as out, subprocess.Popen(command, stdout=out) as process:
        for _ in range(int(within_s * 5)):
            if wish.exists():
                pair.cabinetd.kill9()
                pair.cabinetd.start()
                pair.wait_ready()
                wish.unlink()
            try:
                process.wait(0.2)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            process.kill()
    found: list[dict[str, Any]] = json.loads(log.read_text(encoding="utf-8"))
    return found


def test_three_of_them(pair: Acceptance, tmp_path: Path) -> None:
    names = ("swap", "wrong-code", "two-riders")
    runs = run(pair, tmp_path, *names, within_s=200)
    assert [(each["scenario"], each["result"]) for each in runs] == [
        (name, "passed") for name in names
    ], runs


@pytest.mark.slow
def test_what_was_seen_is_played_again(pair: Acceptance, tmp_path: Path) -> None:
    seen = tmp_path / "seen.yaml"
    recording = subprocess.Popen(
        [str(SWAPSIM), "scenario", "record", str(seen), "--cabinet", pair.url, "--for", "200"]
    )
    try:
        assert run(pair, tmp_path, "swap", within_s=120)[0]["result"] == "passed"
        assert recording.wait(120) == 0
    finally:
        recording.kill()
        recording.wait()
    runs = run(pair, tmp_path, str(seen), within_s=150)
    assert [(each["scenario"], each["result"]) for each in runs] == [("seen", "passed")], runs


@pytest.mark.slow
@pytest.mark.timeout(1_500)
def test_all_of_them(pair: Acceptance, tmp_path: Path) -> None:
    runs = run(pair, tmp_path, "--all", within_s=1_400)
    assert [each for each in runs if each["result"] != "passed"] == []
    assert [each["scenario"] for each in runs] == list(library())
