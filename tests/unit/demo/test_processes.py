from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from deploy.demo.errors import DemoError, ProgramError
from deploy.demo.processes import (
    LOOPBACK,
    Program,
    free_port,
    marked_pids,
    require_free,
    run_once,
    sweep,
    wait_ready,
)
from deploy.demo.waiting import until

ENDS_WITHIN_S = 30.0
#: A program with a child in a process group of its own, which a group kill does not reach.
WITH_GRANDCHILD = (
    "import subprocess, sys;"
    "subprocess.Popen(['sleep', '300'], start_new_session=True); print('up', flush=True);"
    "subprocess.run(['sleep', '300'])"
)


def test_stop_and_sweep_leave_no_process_behind(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    program = Program(
        "tree", (sys.executable, "-c", WITH_GRANDCHILD), log=tmp_path / "log", run_mark=mark
    )
    program.start()
    until(lambda: len(marked_pids(mark)) >= 3, within_s=ENDS_WITHIN_S, what="the whole tree runs")
    program.stop()
    warned: list[str] = []
    sweep(mark, warned.append)
    assert marked_pids(mark) == []
    assert len(warned) == 1  # the grandchild in its own group


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    parent_code = (
        "from pathlib import Path\n"
        "from deploy.demo.processes import Program\n"
        f"Program('child', ('sleep', '300'), log=Path({str(tmp_path / 'log')!r}), "
        f"run_mark={mark!r}).start()\n"
        "print('started', flush=True)\n"
        "import signal; signal.pause()\n"
    )
    parent = subprocess.Popen(
        (sys.executable, "-c", parent_code), stdout=subprocess.PIPE, text=True
    )
    with parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "started\n"
            until(lambda: _sleeps(mark), within_s=ENDS_WITHIN_S, what="the child runs")
        finally:
            os.kill(parent.pid, signal.SIGKILL)
    until(lambda: not marked_pids(mark), within_s=ENDS_WITHIN_S, what="the child has ended too")


def _sleeps(mark: str) -> bool:
    """Whether the child itself runs: what starts it has asked for the signal by then."""
    names = []
    for pid in marked_pids(mark):
        with contextlib.suppress(OSError):
            names.append(Path(f"/proc/{pid}/comm").read_text().strip())
    return names == ["sleep"]


def test_a_dead_program_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    program = Program(
        "fleetd",
        (sys.executable, "-c", "print('no broker found'); raise SystemExit(3)"),
        log=tmp_path / "log",
        run_mark="test",
    )
    program.start()
    with pytest.raises(ProgramError, match=r"(?s)fleetd ended with code 3.*no broker found"):
        wait_ready(lambda: False, [program], within_s=ENDS_WITHIN_S, what="never")


def test_run_once_tells_what_the_command_said() -> None:
    with pytest.raises(ProgramError, match=r"(?s)failed with code 2.*bad option"):
        run_once(
            (sys.executable, "-c", "import sys; print('bad option', file=sys.stderr); sys.exit(2)"),
            run_mark="test",
        )


def test_a_taken_port_is_named_with_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DemoError, match=rf"port {port} .* is taken .* --port"):
            require_free(port, LOOPBACK, "--port")
    require_free(port, LOOPBACK, "--port")


def test_a_free_port_stays_free_for_who_names_it() -> None:
    ports = [free_port() for _ in range(20)]
    assert len(set(ports)) == len(ports)
    for port in ports:
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind((LOOPBACK, port))
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((LOOPBACK, port))
            server.listen()
