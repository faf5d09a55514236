"""systemd's own tools read our units: no mistake in them, and little that they may touch."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
EXPOSURE_MAX = 2.0


def analyze(*arguments: str) -> str:
    ran = subprocess.run(
        ["systemd-analyze", *arguments],
        capture_output=True,
        timeout=60,
        check=False,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("unit", ["cabinetd.service", "fleetd.service"])
def test_a_unit_has_no_mistake(tmp_path: Path, unit: str) -> None:
    # The programs are not installed where the tests run.
    text = re.sub(r"/opt/yizhan/bin/\w+", "/bin/true", (DEPLOY / unit).read_text())
    (tmp_path / unit).write_text(text)
    assert analyze("verify", "--man=no", str(tmp_path / unit)) == ""


@pytest.mark.parametrize("unit", ["cabinetd.service", "fleetd.service"])
def test_a_unit_may_touch_little(unit: str) -> None:
    said = analyze("security", "--offline=true", "--no-pager", str(DEPLOY / unit))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert found, said[-300:]
    assert float(found[1]) <= EXPOSURE_MAX
