"""A virtual cabinet as a process of its own, and its wires in the test's hands."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import termios
import time
import tty
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from simulator.control.client import call

START_WITHIN_S: Final = 60.0
STOP_WITHIN_S: Final = 30.0
PROGRAM: Final = (sys.executable, "-c", "from simulator.main import app; app()")


def swapsim(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=START_WITHIN_S,
        env={**os.environ, **(env or {})},
    )


@dataclass
class SimProcess:
    """`swapsim cabinet` as a child process."""

    run_dir: Path
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, run_dir: Path, *arguments: str) -> SimProcess:
        """Start it and wait until everything listens."""
        command = [*PROGRAM, "cabinet", "--run-dir", str(run_dir), *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started = cls(run_dir, process)
        deadline = time.perf_counter() + START_WITHIN_S
        while started.ready().get("pid") != process.pid:
            assert process.poll() is None, process.communicate()[0]
            assert time.perf_counter() < deadline, "the simulator does not become ready"
            time.sleep(0.02)
        return started

    def ready(self) -> dict[str, Any]:
        """What the process wrote down for its users; empty before it did."""
        try:
            found: dict[str, Any] = json.loads((self.run_dir / "ready.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    @property
    def url(self) -> str:
        return str(self.ready()["http"])

    def get(self, path: str) -> Any:
        return call(self.url, "GET", path)

    def post(self, path: str, **body: object) -> Any:
        return call(self.url, "POST", path, body)

    def state(self) -> Any:
        return self.get("/state")

    def slot(self, number: int) -> Any:
        return self.state()["slots"][number - 1]

    def wait(self, condition: Any, within_s: float = 60.0) -> Any:
        """Poll the state until ``condition(state)`` is true."""
        deadline = time.perf_counter() + within_s
        while True:
            state = self.state()
            if condition(state):
                return state
            assert time.perf_counter() < deadline, state
            time.sleep(0.02)

    def stop(self, signal_number: int | None = None) -> int:
        """End it; its exit code."""
        if signal_number is None:
            self.process.terminate()
        else:
            self.process.send_signal(signal_number)
        try:
            return self.process.wait(STOP_WITHIN_S)
        finally:
            self.process.kill()
            self.process.wait()
            if self.process.stdout:
                self.process.stdout.close()


class SerialClient:
    """The other end of a pseudo terminal, byte by byte."""

    def __init__(self, path: str | Path, baud: int = 9600) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.fd)
        attributes = termios.tcgetattr(self.fd)
        attributes[4] = attributes[5] = getattr(termios, f"B{baud}")
        termios.tcsetattr(self.fd, termios.TCSANOW, attributes)

    def close(self) -> None:
        os.close(self.fd)

    def send(self, data: bytes) -> None:
        os.write(self.fd, data)

    def receive(self, within_s: float) -> bytes:
        """Whatever arrives first; nothing when nothing arrives in time."""
        if not select.select([self.fd], [], [], within_s)[0]:
            return b""
        return os.read(self.fd, 4_096)

    def ask(self, data: bytes, within_s: float = 2.0) -> bytes:
        self.send(data)
        return self.receive(within_s)
