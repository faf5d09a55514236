"""A clean Debian in a folder: debootstrapped once, copied for each test, entered by chroot."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

ROOT_OF_REPOSITORY: Final = Path(__file__).parents[2]
SUITE: Final = "bookworm"
MIRROR: Final = "http://deb.debian.org/debian"
BIN: Final = "/opt/yizhan/bin"
#: What the script may look at: not this machine's pip configuration, not its packages.
CLEAN: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """What a command says; it must succeed."""
    ran = subprocess.run(
        [str(part) for part in command],
        env=env,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ran.returncode == 0, f"{command}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}"
    return ran.stdout + ran.stderr


class Computer:
    """Its root folder, with a copy of deploy in /src."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *command: str) -> str:
        """Run it inside."""
        return run("chroot", self.root, *command, env=CLEAN)

    def install(self, *arguments: str) -> str:
        """Run the install script."""
        return self.run("/src/deploy/install.sh", *arguments)

    def release(self) -> str:
        """The release in use."""
        return str((self.root / "opt/yizhan/current").readlink())

    def path(self, inside: str) -> Path:
        """Where a path of the computer is for us."""
        return self.root / inside.lstrip("/")


def debian(folder: Path) -> Path:
    """A minimal Debian with Python, to be copied."""
    root = folder / "debian"
    run("debootstrap", "--variant=minbase", "--include=python3,python3-venv", SUITE, root, MIRROR)
    return root


def wheels(folder: Path, *wanted: str) -> Path:
    """Wheels of these requirements with all that they need."""
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", folder, *wanted)
    return folder


@contextmanager
def computer(debian_root: Path, root: Path, **folders: Path) -> Iterator[Computer]:
    """A copy of that Debian; each folder stands in it under its name."""
    run("cp", "--archive", debian_root, root)
    shutil.copytree(ROOT_OF_REPOSITORY / "deploy", root / "src/deploy")
    for name, folder in folders.items():
        shutil.copytree(folder, root / name)
    with ExitStack() as stack:
        for place in ("proc", "dev", "dev/pts"):
            run("mount", "--bind", f"/{place}", root / place)
            stack.callback(run, "umount", root / place)
        yield Computer(root)
    shutil.rmtree(root)
