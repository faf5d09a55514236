"""deploy/install.sh and the Ansible roles on a clean Debian: a cabinet that starts on a simulator's
wires, a fleet's server; upgraded, and gone back with.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from deploy.demo.waiting import until
from tests.support.computer import (
    BIN,
    CLEAN,
    ROOT_OF_REPOSITORY,
    Computer,
    computer,
    debian,
    wheels,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

SWAPSIM = Path(sys.executable).with_name("swapsim")
CONFIG = "/etc/yizhan/cabinet.toml"
FLEET = "/etc/yizhan/fleet.toml"
ANSIBLE = "ansible-core==2.19.14"  # the last that runs on Debian 12's Python


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.geteuid() != 0:
        pytest.skip("needs root for debootstrap and chroot")
    return debian(tmp_path_factory.mktemp("debian"))


@pytest.fixture(scope="module")
def cabinet_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels(tmp_path_factory.mktemp("wheels"), f"{ROOT_OF_REPOSITORY}[cabinet]")


@pytest.fixture(scope="module")
def fleet_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels(tmp_path_factory.mktemp("wheels"), f"{ROOT_OF_REPOSITORY}[fleet]")


@pytest.fixture
def cabinet(clean: Path, cabinet_wheels: Path, tmp_path: Path) -> Iterator[Computer]:
    with computer(clean, tmp_path / "root", wheels=cabinet_wheels) as made:
        yield made


@pytest.fixture
def server(clean: Path, fleet_wheels: Path, tmp_path: Path) -> Iterator[Computer]:
    with computer(clean, tmp_path / "root", wheels=fleet_wheels) as made:
        yield made


@contextmanager
def simulator(cabinet: Computer) -> Iterator[str]:
    """A cabinet's wires in the computer's /run/yizhan; yields the control API's address."""
    run_dir = cabinet.root / "run/yizhan"
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
def daemon(cabinet: Computer) -> Iterator[subprocess.Popen[str]]:
    command = ["chroot", str(cabinet.root), f"{BIN}/cabinetd", "run", "--config", CONFIG]
    process = subprocess.Popen(command, env=CLEAN, text=True)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(20) == 0


def test_a_clean_computer_becomes_a_cabinet(cabinet: Computer) -> None:
    refused = subprocess.run(
        ["chroot", str(cabinet.root), "/src/deploy/install.sh", "--wheels", "/wheels"],
        env=CLEAN,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "--id" in refused.stderr
    assert not (cabinet.root / "opt/yizhan").exists(), "nothing that a way back could lead to"

    said = cabinet.install("--wheels", "/wheels", "--id", "DH-0042")
    assert "cabinetd enrol" in said
    first = cabinet.release()
    assert "DH-0042" in (cabinet.root / CONFIG.lstrip("/")).read_text()
    cabinet.run(f"{BIN}/cabinetd", "check-config", CONFIG)

    # It stands alone until it is enrolled: without the section of the fleet it runs at once.
    config = cabinet.root / CONFIG.lstrip("/")
    head, _, rest = config.read_text().partition("[fleet]")
    config.write_text(head + rest[rest.index("\n[") + 1 :])
    with simulator(cabinet), daemon(cabinet):

        def turning() -> bool:
            try:
                with urlopen("http://127.0.0.1:8080/state.json", timeout=2) as reply:
                    return bool(json.load(reply)["ready"])
            except OSError:
                return False

        until(turning, within_s=60, what="every slot is read")

    cabinet.run("/usr/sbin/runuser", "-u", "cabinetd", "--", "/usr/bin/test", "-r", CONFIG)

    cabinet.install("--wheels", "/wheels")
    assert (second := cabinet.release()) > first
    config.write_text(config.read_text() + "\nnonsense = 1\n")
    with pytest.raises(AssertionError, match="nothing was changed"):
        cabinet.install("--wheels", "/wheels")
    assert cabinet.release() == second
    config.write_text(config.read_text().replace("\nnonsense = 1\n", ""))
    cabinet.install("--rollback")
    assert cabinet.release() == first


# --- the fleet's server ------------------------------------------------------------------------


def fleetd(server: Computer, *arguments: str, release: str = BIN) -> str:
    """As its user, with the environment of the unit."""
    script = (
        f'exec runuser -u fleetd -- env $(grep -v "^#" /etc/yizhan/fleet.env) {release}/fleetd "$@"'
    )
    return server.run("/bin/sh", "-c", script, "sh", *arguments, "--config", FLEET)


def schema_of(server: Computer) -> str:
    with closing(sqlite3.connect(server.path("/var/lib/yizhan-fleet/fleet.db"))) as db:
        return str(db.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def migrate(server: Computer, to: str) -> None:
    """As a later release would."""
    with closing(sqlite3.connect(server.path("/var/lib/yizhan-fleet/fleet.db"))) as db, db:
        db.execute("UPDATE alembic_version SET version_num = ?", (to,))


def test_a_clean_computer_becomes_the_fleets_server(server: Computer) -> None:
    said = server.install("--fleet", "--wheels", "/wheels")
    assert "fleetd-backup.timer" in said
    first = server.release()
    fleetd(server, "cabinet", "add", "DH-0001")
    assert server.path("/var/lib/yizhan-fleet").stat().st_mode & 0o777 == 0o700
    assert server.path(FLEET).stat().st_mode & 0o777 == 0o640
    for unit in ("fleetd.service", "fleetd-backup.timer", "fleetd-drill.service"):
        assert server.path(f"/etc/systemd/system/{unit}").exists()
    with pytest.raises(AssertionError, match="a computer of their own"):
        server.install("--id", "DH-0001", "--wheels", "/wheels")

    # An upgrade takes a backup first, and the drill of the timer holds.
    server.install("--fleet", "--wheels", "/wheels")
    second = server.release()
    assert second > first
    (backup,) = server.path("/var/backups/yizhan").iterdir()
    assert "1 cabinets, whole" in fleetd(server, "drill", "/var/backups/yizhan")

    # The way back: at once while the schema is the same, never over a migration.
    server.install("--fleet", "--rollback")
    assert server.release() == first
    server.install("--fleet", "--wheels", "/wheels")
    third, known = server.release(), schema_of(server)
    migrate(server, "9999")
    with pytest.raises(AssertionError, match="the ledger was migrated since"):
        server.install("--fleet", "--rollback")
    assert server.release() == third
    older = f"/opt/yizhan/{second}/bin"
    with pytest.raises(AssertionError, match="put back a backup from before"):
        fleetd(server, "audit", release=older)
    told = fleetd(server, "restore", f"/var/backups/yizhan/{backup.name}", release=older)
    assert "new incarnation" in told
    assert schema_of(server) == known
    server.install("--fleet", "--rollback")
    assert server.release() == second
    assert "holds together" in fleetd(server, "audit")
    assert "DH-0001" in fleetd(server, "cabinet", "list")


# --- Ansible -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ansible_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels(tmp_path_factory.mktemp("wheels"), ANSIBLE)


def play(computer: Computer, group: str, **variables: str) -> dict[str, int]:
    """Run the playbook on the computer itself; the counts of its recap."""
    inventory = {group: {"hosts": {"localhost": {"ansible_connection": "local", **variables}}}}
    computer.path("/inventory.json").write_text(json.dumps(inventory))
    said = computer.run(
        *("/ansible/bin/ansible-playbook", "-i", "/inventory.json"),
        *("/src/deploy/ansible/site.yml", "--diff"),
    )
    (recap,) = re.findall(r"^localhost\s+: (.*)$", said, re.MULTILINE)
    return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", recap)}


def with_ansible(computer: Computer) -> None:
    computer.run("python3", "-m", "venv", "/ansible")
    options = ("--quiet", "--no-index", "--find-links", "/ansible-wheels")
    computer.run("/ansible/bin/pip", "install", *options, "ansible-core")


def test_ansible_makes_a_cabinet_once(
    clean: Path, cabinet_wheels: Path, ansible_wheels: Path, tmp_path: Path
) -> None:
    folders = {"wheels": cabinet_wheels, "ansible-wheels": ansible_wheels}
    with computer(clean, tmp_path / "root", **folders) as made:
        with_ansible(made)
        wanted = {"yizhan_wheels": "/wheels", "cabinet_id": "DH-0042"}
        first = play(made, "cabinets", **wanted)
        assert first["changed"] > 0
        assert first["failed"] == 0
        made.run(f"{BIN}/cabinetd", "check-config", CONFIG)
        release = made.release()
        assert play(made, "cabinets", **wanted)["changed"] == 0, "a second run changes nothing"

        config = made.path("/mine.toml")
        config.write_text(
            made.path(CONFIG).read_text().replace("breaker_w = 3500", "breaker_w = 3000")
        )
        wanted["yizhan_config"] = "/mine.toml"
        assert play(made, "cabinets", **wanted)["changed"] >= 1
        assert "breaker_w = 3000" in made.path(CONFIG).read_text()
        assert play(made, "cabinets", **wanted)["changed"] == 0
        config.write_text(config.read_text() + "\nnonsense = 1\n")
        with pytest.raises(AssertionError, match="nonsense"):
            play(made, "cabinets", **wanted)
        assert "nonsense" not in made.path(CONFIG).read_text()
        assert made.release() == release


def test_ansible_makes_the_fleets_server_once(
    clean: Path, fleet_wheels: Path, ansible_wheels: Path, tmp_path: Path
) -> None:
    folders = {"wheels": fleet_wheels, "ansible-wheels": ansible_wheels}
    with computer(clean, tmp_path / "root", **folders) as made:
        with_ansible(made)
        wanted = {"yizhan_wheels": "/wheels", "fleet_db_password": "hunter2"}
        assert play(made, "fleet", **wanted)["changed"] > 0
        assert made.path("/etc/yizhan/fleet-db-password").stat().st_mode & 0o777 == 0o640
        fleetd(made, "schema")
        assert play(made, "fleet", **wanted)["changed"] == 0, "a second run changes nothing"
