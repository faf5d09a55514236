"""`make demo` itself: a played swap exits 0, jammed doors exit 1, and nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from deploy.demo.processes import LOOPBACK, marked_pids, program_env
from deploy.demo.waiting import until
from tests.support.stack import run_demo

pytestmark = pytest.mark.system

ROOT: Final = Path(__file__).parents[2]
SWAP_WITHIN_S: Final = 300.0
READY_WITHIN_S: Final = 300.0
STOPPED_WITHIN_S: Final = 180.0
DAY_WITHIN_S: Final = 420.0  # one minute of it is the hour; the planner may have to be compiled


@pytest.fixture
def mark() -> Iterator[str]:
    """Every process of the demo inherits it; none may be left at the end."""
    value = uuid.uuid4().hex
    yield value
    assert marked_pids(value) == []


def test_swap_exits_0_and_prints_steps_and_movements(mark: str) -> None:
    done = run_demo("--swap", within_s=SWAP_WITHIN_S, mark=mark)
    assert done.returncode == 0, done.stdout + done.stderr
    for step in ("await-return", "await-pickup", "completed"):
        assert step in done.stdout
    assert len(re.findall(r"ledger #\d+: YZ48-\d+  \S+ -> \S+", done.stdout)) == 2


def test_jammed_doors_exit_1(mark: str) -> None:
    done = run_demo("--jam", within_s=SWAP_WITHIN_S, mark=mark)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the swap ended as" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(DAY_WITHIN_S + 30)
def test_an_hour_of_the_day_stays_within_its_limits(mark: str) -> None:
    done = run_demo("--day", "--hours", "1", within_s=DAY_WITHIN_S, mark=mark)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^OK: 4 intervals checked, 0 violations, ", done.stdout, re.MULTILINE)


def test_ctrl_c_leaves_nothing_behind(mark: str, tmp_path: Path) -> None:
    log = tmp_path / "demo.log"
    with log.open("wb") as out:
        demo = subprocess.Popen(
            (sys.executable, "-m", "deploy.demo"),
            cwd=ROOT,
            env={**program_env(mark), "TMPDIR": str(tmp_path)},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with demo:
        try:
            until(
                lambda: "Ctrl-C stops everything" in log.read_text(),
                within_s=READY_WITHIN_S,
                what="the demo shows its addresses",
                on_timeout=log.read_text,
            )
            text = log.read_text()
            assert re.search(r"Rider: +http://127\.0\.0\.1:\d+/c/DH-0001", text)
            assert re.search(r"Operator: +http://\S+/ops/login\?token=\S+", text)
            assert re.search(r"Simulator: +http://127\.0\.0\.1:\d+", text)
            assert "█" in text, "a QR code in the terminal"
            os.killpg(demo.pid, signal.SIGINT)
            assert demo.wait(STOPPED_WITHIN_S) == 0
        finally:
            demo.kill()
    assert list(tmp_path.glob("yizhan-*")) == [], "its folder is gone as well"


def test_a_taken_port_is_said_in_plain_words(mark: str) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_demo("--port", str(port), within_s=READY_WITHIN_S, mark=mark)
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "Traceback" not in done.stderr
