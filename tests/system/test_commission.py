"""A person who never saw the project: a cabinet on a folder of ports, and `cabinetd commission`.

One simulated cabinet serves all of it, in the order in which a technician would go.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tarfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.demo.processes import Program, free_port
from deploy.demo.waiting import until
from tests.support.sim_process import SimProcess

pytestmark = pytest.mark.system

CABINETD: Final = Path(sys.executable).with_name("cabinetd")
WITHIN_S: Final = 120.0
JAMMED: Final = 2
EMPTY: Final = 11


class Technician:
    """The cabinet, and the commands that are typed before it."""

    def __init__(self, sim: SimProcess, folder: Path) -> None:
        self.sim = sim
        self.folder = folder
        self.config = folder / "cabinet.toml"

    def types(self, *arguments: str, code: int = 0) -> str:
        """Run a command to its end; what it printed on stdout."""
        done = subprocess.run(
            (str(CABINETD), *arguments),
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout or done.stderr

    def starts(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a commissioning command, whose prompts are on its stderr."""
        return subprocess.Popen(
            (str(CABINETD), "commission", *arguments, "--config", str(self.config)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def checks(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run a commissioning command on the written configuration; its JSON."""
        told = self.types(
            "commission", *arguments, "--config", str(self.config), "--json", code=code
        )
        found: dict[str, Any] = json.loads(told)
        return found


@pytest.fixture(scope="module")
def technician(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Technician]:
    folder = tmp_path_factory.mktemp("bench")
    with SimProcess(folder) as sim:
        found = Technician(sim, folder)
        told = found.types(
            *("commission", "scan", str(sim.run_dir), "--power", "--yes", "--json"),
            *("--addresses", "1-20"),  # fewer than usual, for speed
            *("--write", str(found.config)),
        )
        (folder / "scan.json").write_text(told)
        yield found


def test_a_scan_finds_every_device_and_moves_no_lock(technician: Technician) -> None:
    scan = json.loads((technician.folder / "scan.json").read_text())
    found = Counter(d["type"] for port in scan["ports"] for d in port["devices"])
    assert found == {
        "waveshare-relay-d": 4,
        "eastron-sdm120": 1,
        "xy-md02": 1,
        "riden-rd6006": 12,
        "jbd-bms": 9,
    }
    assert scan["missing"] == []
    kinds = {event["kind"] for event in technician.sim.events()}
    assert not kinds & {"lock-pulse", "door-opened", "charging-started"}
    assert not any(slot["charger"]["powered"] for slot in technician.sim.state()["slots"])


@pytest.mark.slow
def test_the_locks_are_pulsed_only_with_yes_and_a_jammed_one_is_named(
    technician: Technician,
) -> None:
    sim = technician.sim
    before = sim.events()[-1]["seq"] if sim.events() else 0
    technician.checks("locks", "--slot", "1-2", code=2)
    assert not [e for e in sim.events(before) if e["kind"] == "lock-pulse"]
    sim.lock(JAMMED, jammed=True)
    told = technician.checks("locks", "--slot", "1-2", "--yes", code=1)
    verdicts = {f["subject"]: (f["verdict"], f.get("cause")) for f in told["findings"]}
    assert verdicts == {"slot 1": ("ok", None), "slot 2": ("failed", "lock-jammed")}
    assert all(f.get("next_step") for f in told["findings"] if f["verdict"] == "failed")
    sim.lock(JAMMED, jammed=False)
    for slot in (1, JAMMED):
        with contextlib.suppress(Exception):  # the freed one may have stayed shut
            sim.door(slot, "close")


@pytest.mark.slow
def test_the_slot_walk_is_guided_by_the_sensors_and_signed(technician: Technician) -> None:
    sim = technician.sim
    walk = technician.folder / "walk.json"
    hands = {
        "put the reference battery in": lambda: sim.insert(EMPTY, "REF-1", soc_pct=40),
        "take the reference battery out": lambda: sim.remove(EMPTY),
        "close the door": lambda: sim.door(EMPTY, "close"),
    }
    options = ("--slot", str(EMPTY), "--yes", "--charge", "1", "--json")
    with technician.starts("slot-walk", *options) as walking:
        assert walking.stderr is not None
        assert walking.stdout is not None
        for prompt in walking.stderr:
            for asked, act in hands.items():
                if asked in prompt:
                    act()
        walk.write_text(walking.stdout.read())
        assert walking.wait(WITHIN_S) == 0, walk.read_text()
    stages = [f["facts"]["stage"] for f in json.loads(walk.read_text())["findings"]]
    assert stages[-3:] == ["reopen", "remove", "shut-empty"]
    report, page = technician.folder / "report.json", technician.folder / "report.html"
    technician.checks("report", "--include", str(walk), "--out", str(report), "--html", str(page))
    for file in (report, page):
        assert "genuine" in technician.types("commission", "report", "--verify", str(file))
    report.write_text(report.read_text().replace("REF-1", "REF-2"))
    technician.types("commission", "report", "--verify", str(report), code=1)


@pytest.mark.slow
def test_a_door_is_watched_while_a_hand_works_it(technician: Technician) -> None:
    technician.checks("locks", "--slot", "1", "--yes")
    with technician.starts("door", "--slot", "1", "--watch", "4", "--json") as watching:
        assert watching.stderr is not None
        for prompt in watching.stderr:
            if "by hand" in prompt:
                technician.sim.door(1, "close")
        assert watching.wait(WITHIN_S) == 0


@pytest.mark.slow
def test_a_charge_that_is_interrupted_leaves_nothing_on(technician: Technician) -> None:
    sim = technician.sim
    told = technician.checks("charger", "--slot", "7", "--yes", "--charge", "2")
    assert told["findings"][-1]["facts"]["current_max_a"] > 0.2
    with technician.starts("charger", "--slot", "7", "--yes", "--charge", "300") as charging:
        until(lambda: sim.slot(7)["charging"], within_s=WITHIN_S, what="slot 7 to charge")
        charging.send_signal(signal.SIGINT)
        assert charging.wait(WITHIN_S) == 1
    # The order to switch off has been answered: this is no lease that ran out.
    assert not sim.slot(7)["charger"]["powered"]
    assert not sim.slot(7)["ac_on"]


@pytest.mark.slow
def test_an_address_is_changed_and_changed_back(technician: Technician) -> None:
    port = technician.sim.ports["bus-a"]
    device = ("commission", "address", "--port", port, "--type", "waveshare-relay-d")
    technician.types(*device, "--from", "4", "--to", "3", "--yes", code=1)  # taken
    technician.types(*device, "--from", "4", "--to", "5", "--yes")
    technician.types(*device, "--from", "5", "--to", "4", "--yes")


def test_the_daemon_runs_with_what_was_written_and_keeps_its_ports(technician: Technician) -> None:
    port = free_port()
    text = technician.config.read_text().replace(
        "[cabinet]\n", f"[web]\nport = {port}\n\n[cabinet]\n"
    )
    technician.config.write_text(text)
    argv = (str(CABINETD), "run", "--config", str(technician.config))
    daemon = Program(
        "cabinetd", argv, log=technician.folder / "cabinetd.log", run_mark="commission"
    )
    daemon.start()
    try:
        until(
            lambda: _all_well(port, daemon), within_s=WITHIN_S, what="every device read by cabinetd"
        )
        refused = technician.types("commission", "bms", "--config", str(technician.config), code=3)
        assert "cabinetd" in refused
        assert "systemctl stop" in refused
        bundle = technician.folder / "bundle.tar.gz"
        technician.types("diagnose", "--config", str(technician.config), "--out", str(bundle))
        with tarfile.open(bundle) as tar:
            names = {Path(name).name for name in tar.getnames()}
        assert {"cabinet.toml", "state.json", "metrics", "journal-check.json"} <= names
    finally:
        daemon.stop()


def _all_well(port: int, daemon: Program) -> bool:
    daemon.check_alive()
    with contextlib.suppress(OSError):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/state.json", timeout=60) as reply:
            state = json.load(reply)
        devices = [device for bus in state["buses"] for device in bus["devices"]]
        read = {d["name"] for d in devices if d["good"]}
        wanted = {d["name"] for d in devices} - {f"bms-{n}" for n in (10, 11, 12)}
        return bool(state["ready"]) and wanted <= read and not any(d["missing"] for d in devices)
    return False
