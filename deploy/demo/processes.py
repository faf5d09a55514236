"""Child processes that leave nothing behind: own process group, end with their parent, one log each."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.demo.errors import DemoError, ProgramError
from deploy.demo.waiting import Deadline, until

#: Marks every process of one run, grandchildren included, so that a sweep can find them all.
RUN_MARK: Final = "YIZHAN_RUN"
TERMINATE_WITHIN_S: Final = 10.0
KILL_WITHIN_S: Final = 5.0
SWEEP_GRACE_S: Final = 1.0
LOG_TAIL_LINES: Final = 15
LOOPBACK: Final = "127.0.0.1"


class Program:
    """One program as a child process; may be killed and started again with the same arguments."""

    def __init__(self, name: str, argv: Sequence[str], *, log: Path, run_mark: str) -> None:
        self.name = name
        self.log = log
        self._argv = tuple(argv)
        self._env = program_env(run_mark)
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process; raise DemoError when it does not run."""
        if self._popen is None or self._popen.poll() is not None:
            raise DemoError(f"{self.name} does not run")
        return self._popen.pid

    def start(self) -> None:
        """Start it; its output goes to the log, after what is there already."""
        command = (*_die_with_parent(), *self._argv)
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(  # our own programs
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                start_new_session=True,
            )

    def check_alive(self) -> None:
        """Raise ProgramError with its last lines when it ended by itself."""
        code = None if self._popen is None else self._popen.poll()
        if code is not None:
            raise ProgramError(
                f"{self.name} ended with code {code}. Its last lines ({self.log}):",
                log_tail=self.tail(),
            )

    def tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines that it printed."""
        if not self.log.exists():
            return ""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(f"  | {line}" for line in text.splitlines()[-lines:])

    def kill9(self) -> None:
        """SIGKILL to the program itself, as a crash would; its children are their own affair."""
        popen = self._running()
        popen.kill()
        popen.wait(KILL_WITHIN_S)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for the whole group; does nothing when it does not run."""
        popen = self._popen
        if popen is None:
            return
        if popen.poll() is None:
            popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                popen.wait(TERMINATE_WITHIN_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        popen.wait(KILL_WITHIN_S)
        self._popen = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._popen is None or self._popen.poll() is not None:
            raise DemoError(f"{self.name} does not run")
        return self._popen


def program_env(run_mark: str) -> Mapping[str, str]:
    """The environment of a child: ours, marked, without colours and buffering."""
    return {**os.environ, RUN_MARK: run_mark, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def run_once(argv: Sequence[str], *, run_mark: str, within_s: float = 60.0) -> str:
    """Run a command to its end and return what it printed; raise ProgramError when it failed."""
    try:
        done = subprocess.run(  # our own programs
            argv,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
            env=program_env(run_mark),
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"`{' '.join(argv)}` did not end within {within_s:g} s") from error
    if done.returncode != 0:
        raise ProgramError(
            f"`{' '.join(argv)}` failed with code {done.returncode}:",
            log_tail=(done.stderr or done.stdout).strip(),
        )
    return done.stdout


def free_port() -> int:
    """A TCP port that nobody listens on now, and that the kernel gives to nobody who asks for any port.

    A connection that ended at it holds it for a minute; who names the port may listen there, as servers
    set SO_REUSEADDR.
    """
    with socket.socket() as listening, socket.socket() as calling:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((LOOPBACK, 0))
        listening.listen(1)
        place: tuple[str, int] = listening.getsockname()
        calling.connect(place)
        listening.accept()[0].close()  # who closes first keeps the port waiting
        calling.recv(1)
    return place[1]


def require_free(port: int, host: str, option: str) -> None:
    """Raise DemoError in plain words when a port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise DemoError(
                f"port {port} on {host} is taken by another program ({error.strerror}). "
                f"Choose another one with {option}, or leave the option away for a free one."
            ) from error


def marked_pids(run_mark: str) -> list[int]:
    """Every live process that carries this run's mark, except ourselves."""
    wanted = f"{RUN_MARK}={run_mark}".encode()
    pids = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                pids.append(int(folder.name))
    return pids


def sweep(run_mark: str, warn: Callable[[str], None]) -> None:
    """Kill whatever of this run is still there; after an orderly stop there is nothing to do."""
    with contextlib.suppress(DemoError):  # those that were just killed need a moment to go
        until(lambda: not marked_pids(run_mark), within_s=SWEEP_GRACE_S, what="all have ended")
    for pid in marked_pids(run_mark):
        warn(f"process {pid} was still there; killed")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(
        lambda: not marked_pids(run_mark),
        within_s=KILL_WITHIN_S,
        what="all processes of the run have ended",
    )


def wait_ready(
    check: Callable[[], bool], programs: Sequence[Program], *, within_s: float, what: str
) -> None:
    """Wait until ``check`` holds; a program that dies meanwhile ends the wait with its last lines."""
    deadline = Deadline.after(within_s)

    def ready() -> bool:
        for program in programs:
            program.check_alive()
        return check()

    until(
        ready,
        within_s=deadline.within_s,
        what=what,
        on_timeout=lambda: "\n" + "\n".join(f"{each.name}:\n{each.tail()}" for each in programs),
    )


def _die_with_parent() -> tuple[str, ...]:
    """The kernel sends the child SIGTERM when we die, even by SIGKILL (util-linux's setpriv)."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()
