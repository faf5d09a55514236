"""`cabinetd check-config` on a file with a fault: exit 1, and line, key and remedy are named."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.system

CABINETD: Final = Path(sys.executable).parent / "cabinetd"


def cabinetd(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (str(CABINETD), *arguments), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> str:
    done = cabinetd(
        "example-config", "--id", "DH-0001", "--run-dir", str(tmp_path_factory.mktemp("run"))
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def changed_line(before: str, after: str) -> int:
    """The number of the first line that differs."""
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    return next(number for number, (old, new) in enumerate(pairs, 1) if old != new)


def check(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "cabinet.toml"
    path.write_text(text)
    for name in ("mqtt-password", "command-key.pub"):
        (tmp_path / name).write_text("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    return cabinetd("check-config", str(path))


def test_the_example_passes(tmp_path: Path, example: str) -> None:
    done = check(tmp_path, example)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("breaker_w", "braeker_w", (r"braeker_w", r"did you mean 'breaker_w'\?")),
        ("slots = 12", 'slots = "twelve"', (r"cabinet\.slots", r"whole number|integer")),
        ("address = 2\n", "address = 1\n", (r"address", r"board-1.*address|address.*board-1")),
    ],
    ids=["misspelt-key", "wrong-type", "two-devices-at-one-address"],
)
def test_a_fault_is_named(
    tmp_path: Path, example: str, *, old: str, new: str, told: tuple[str, str]
) -> None:
    assert old in example
    text = example.replace(old, new, 1)
    done = check(tmp_path, text)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert f"cabinet.toml:{changed_line(example, text)}" in said
    for pattern in told:
        assert re.search(pattern, said), said
    assert "Traceback" not in said
