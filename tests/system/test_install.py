"""deploy/install.sh on a clean Debian: installs, starts on a simulator's wires, upgrades, goes back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from deploy.demo.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT_OF_REPOSITORY = Path(__file__).parents[2]
SWAPSIM = Path(sys.executable).with_name("swapsim")
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
BIN = "/opt/yizhan/bin"
CONFIG = "/etc/yizhan/cabinet.toml"
#: What the script may look at: not this machine's pip configuration, not its packages.
CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    ran = subprocess.run(
        [str(part) for part in command],
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, f"{command}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}"
    return ran.stdout + ran.stderr


class Computer:
    """A cabinet computer's root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *command: str) -> str:
        return run("chroot", self.root, *command, env=CLEAN)

    def install(self, *arguments: str) -> str:
        return self.run("/src/deploy/install.sh", *arguments)

    def release(self) -> str:
        return str((self.root / "opt/yizhan/current").readlink())


@contextmanager
def mounted(root: Path, *places: str) -> Iterator[None]:
    with ExitStack() as stack:
        for place in places:
            run("mount", "--bind", place, root / place.lstrip("/"))
            stack.callback(run, "umount", root / place.lstrip("/"))
        yield


@pytest.fixture
def computer(tmp_path: Path) -> Iterator[Computer]:
    if os.geteuid() != 0:
        pytest.skip("needs root for debootstrap and chroot")
    root = tmp_path / "root"
    run("debootstrap", "--variant=minbase", "--include=python3,python3-venv", SUITE, root, MIRROR)
    wheels = root / "wheels"
    what = f"{ROOT_OF_REPOSITORY}[cabinet]"
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", wheels, what)
    shutil.copytree(ROOT_OF_REPOSITORY / "deploy", root / "src/deploy")
    with mounted(root, "/proc", "/dev", "/dev/pts"):
        yield Computer(root)
    shutil.rmtree(root)


@contextmanager
def simulator(computer: Computer) -> Iterator[str]:
    """A cabinet's wires in the computer's /run/yizhan; yields the control API's address."""
    run_dir = computer.root / "run/yizhan"
    run_dir.mkdir(parents=True, exist_ok=True)
    command = [str(SWAPSIM), "cabinet", "--run-dir", str(run_dir)]
    process = subprocess.Popen(command, cwd=ROOT_OF_REPOSITORY)
    try:
        ready = run_dir / "ready.json"
        until(ready.exists, within_s=30, what="the simulator's wires")
        yield json.loads(ready.read_text())["http"]
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def daemon(computer: Computer) -> Iterator[subprocess.Popen[str]]:
    command = ["chroot", str(computer.root), f"{BIN}/cabinetd", "run", "--config", CONFIG]
    process = subprocess.Popen(command, env=CLEAN, text=True)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(20) == 0


def test_a_clean_computer_becomes_a_cabinet(computer: Computer) -> None:
    refused = subprocess.run(
        ["chroot", str(computer.root), "/src/deploy/install.sh", "--wheels", "/wheels"],
        env=CLEAN,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "--id" in refused.stderr
    assert not (computer.root / "opt/yizhan/current").exists()

    said = computer.install("--wheels", "/wheels", "--id", "DH-0042")
    assert "cabinetd enrol" in said
    first = computer.release()
    assert "DH-0042" in (computer.root / CONFIG.lstrip("/")).read_text()
    computer.run(f"{BIN}/cabinetd", "check-config", CONFIG)

    # It stands alone until it is enrolled: without the section of the fleet it runs at once.
    config = computer.root / CONFIG.lstrip("/")
    head, _, rest = config.read_text().partition("[fleet]")
    config.write_text(head + rest[rest.index("\n[") + 1 :])
    with simulator(computer), daemon(computer):

        def turning() -> bool:
            try:
                with urlopen("http://127.0.0.1:8080/state.json", timeout=2) as reply:
                    return bool(json.load(reply)["ready"])
            except OSError:
                return False

        until(turning, within_s=60, what="every slot is read")

    computer.run("/usr/sbin/runuser", "-u", "cabinetd", "--", "/usr/bin/test", "-r", CONFIG)

    computer.install("--wheels", "/wheels")
    assert (second := computer.release()) > first
    config.write_text(config.read_text() + "\nnonsense = 1\n")
    with pytest.raises(AssertionError, match="nothing was changed"):
        computer.install("--wheels", "/wheels")
    assert computer.release() == second
    config.write_text(config.read_text().replace("\nnonsense = 1\n", ""))
    computer.install("--rollback")
    assert computer.release() == first
