"""systemd's own tools read our units: no mistake in them, and little that they may touch."""

from __future__ import annotations

import os
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


UNITS = sorted(path for tail in ("service", "timer", "path") for path in DEPLOY.rglob(f"*.{tail}"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]
DEBIANS_MOSQUITTO = """\
[Unit]
Description=Mosquitto MQTT Broker
[Service]
Type=notify
ExecStart=/usr/sbin/mosquitto -c /etc/mosquitto/mosquitto.conf
[Install]
WantedBy=multi-user.target
"""


def name(path: Path) -> str:
    return path.name


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """All of them in one folder; their programs are not installed where the tests run."""
    for path in UNITS:
        text = re.sub(r"(?<=[=+])/(?:opt/yizhan|usr)/bin/\w+", "/bin/true", path.read_text())
        (tmp_path / path.name).write_text(text)
    return tmp_path


def test_every_unit_is_here() -> None:
    assert len(SERVICES) >= 5
    for path in UNITS:
        if path.suffix != ".service":
            assert path.with_suffix(".service") in SERVICES


@pytest.mark.parametrize("unit", UNITS, ids=name)
def test_a_unit_has_no_mistake(units: Path, unit: Path) -> None:
    assert analyze("verify", "--man=no", str(units / unit.name)) == ""


def test_mosquittos_unit_with_our_drop_in_has_no_mistake_and_may_touch_little(
    tmp_path: Path,
) -> None:
    unit, drop_in = tmp_path / "mosquitto.service", tmp_path / "mosquitto.service.d"
    unit.write_text(DEBIANS_MOSQUITTO)
    drop_in.mkdir()
    text = (DEPLOY / "mosquitto/mosquitto.service.d.conf").read_text()
    (drop_in / "yizhan.conf").write_text(text.replace("/usr/sbin/mosquitto", "/bin/true"))
    assert analyze("verify", "--man=no", str(unit)) == ""
    # `security --offline` reads a file, not its drop-ins.
    unit.write_text(f"{DEBIANS_MOSQUITTO}{text}")
    assert exposure(unit) <= EXPOSURE_MAX


@pytest.mark.parametrize("unit", SERVICES, ids=name)
def test_a_unit_may_touch_little(unit: Path) -> None:
    assert exposure(unit) <= EXPOSURE_MAX


def exposure(unit: Path) -> float:
    said = analyze("security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert found, said[-300:]
    return float(found[1])


@pytest.mark.parametrize("timer", ["fleetd-backup.timer", "fleetd-drill.timer"])
def test_a_timer_comes_when_it_says(timer: str) -> None:
    (when,) = re.findall(r"OnCalendar=(.*)", (DEPLOY / timer).read_text())
    assert "Next elapse" in analyze("calendar", when)


def test_users_and_folders_are_made(tmp_path: Path) -> None:
    """By systemd's own programs, into a root folder of the test's."""
    (tmp_path / "etc").mkdir()
    for group in ("root:x:0:", "mosquitto:x:990:"):
        with (tmp_path / "etc/group").open("a") as file:
            file.write(f"{group}\n")
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    root = f"--root={tmp_path}"
    run("systemd-sysusers", root, str(DEPLOY / "fleet.sysusers.conf"))
    row = next(
        line.split(":")
        for line in (tmp_path / "etc/passwd").read_text().splitlines()
        if line.startswith("fleetd:")
    )
    assert row[5:] == ["/var/lib/yizhan-fleet", "/usr/sbin/nologin"]
    if os.geteuid() != 0:
        return
    files = [str(DEPLOY / "fleet.tmpfiles.conf"), str(DEPLOY / "mosquitto/tmpfiles.conf")]
    run("systemd-tmpfiles", "--create", root, *files)
    backups, broker = tmp_path / "var/backups/yizhan", tmp_path / "etc/mosquitto/yizhan"
    assert (backups.stat().st_mode & 0o7777, backups.stat().st_uid) == (0o700, int(row[2]))
    assert (broker.stat().st_mode & 0o7777, broker.stat().st_gid) == (0o2750, 990)


def run(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, timeout=60, check=False, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_cabinets_unit_lets_it_use_what_its_configuration_may_name() -> None:
    """Serial adapters and scanner by group dialout; [voice] plays on the machine's loudspeaker."""
    lines = (DEPLOY / "cabinetd.service").read_text().splitlines()
    allowed = {line.partition("=")[2] for line in lines if line.startswith("DeviceAllow=")}
    assert {"char-ttyUSB rw", "char-ttyACM rw", "char-ttyS rw", "char-alsa rw"} <= allowed
    (groups,) = (line for line in lines if line.startswith("SupplementaryGroups="))
    assert {"dialout", "audio"} <= set(groups.partition("=")[2].split())
