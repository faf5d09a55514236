"""Masters that others wrote read the same numbers as the simulator's own state."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocols import modbus
from tests.support.riden import riden
from tests.support.simulator import SerialClient, SimProcess

MBPOLL = shutil.which("mbpoll") or ""
METER = {"voltage_v": 0, "current_a": 6, "power_w": 12, "frequency_hz": 70, "import_kwh": 72}
CONFIG = """
[cabinet]
id = "SH-0042"
[physics]
seed = {seed}
ambient_c = {ambient_c}
speed = 60.0
[[pack]]
slot = 2
serial = "YZ48-000002"
soc_pct = 33.0
temp_c = 24.0
[[pack]]
slot = 11
serial = "YZ48-000011"
soc_pct = 71.0
"""

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not MBPOLL, reason="the Debian package mbpoll is not installed"),
]


class Mbpoll:
    """mbpoll, one read a call."""

    def __init__(self, *line: str, port: str) -> None:
        self.line, self.port = line, port

    def read(self, unit: int, kind: str, first: int, count: int) -> list[float]:
        command = [MBPOLL, *self.line, "-a", str(unit), "-t", kind, "-0", "-1", "-q", "-B"]
        command += ["-r", str(first), "-c", str(count), self.port]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return [float(text) for text in re.findall(r"^\[\d+\]:\s+(\S+)", done.stdout, re.MULTILINE)]


def order(sim: SimProcess, *pdus: tuple[int, str]) -> None:
    """Commands on bus A, each echoed."""
    client = SerialClient(sim.run_dir / "bus-a")
    for unit, text in pdus:
        frame = modbus.rtu(unit, bytes.fromhex(text))
        assert client.ask(frame) == frame
    client.close()


def charge(sim: SimProcess, slot: int) -> None:
    order(sim, (2, "050004FF00"), (3, f"0500{slot - 1:02x}FF00"))
    charger = riden(sim.run_dir / "bus-chargers", slot)
    charger.voltage, charger.current = 54.6, 4.5
    charger.enable = True
    sim.wait(lambda state: state["slots"][slot - 1]["charging"])
    assert charger.type == 6_006
    sim.post("/freeze", frozen=True)  # else it rises while we look
    assert charger.measvoltage == pytest.approx(sim.slot(slot)["charger"]["voltage_v"], abs=0.02)
    sim.post("/freeze", frozen=False)
    assert (charger.voltage, charger.current, charger.enable) == (54.6, 4.5, True)
    charger.instrument.serial.close()


def during_a_pulse(sim: SimProcess) -> None:
    """Two doors open, an alarm, and the relay of a third door still pulsing."""
    order(sim, (1, "0502000001"), (2, "0502030001"))
    sim.wait(lambda state: not any(state["boards"]["1"]["relays"]))
    sim.post("/inputs/flood", active=True)
    order(sim, (1, "0502041F40"))


def while_charging(sim: SimProcess) -> None:
    """One slot charges, and the meter has counted."""
    charge(sim, 2)
    sim.wait(lambda state: state["meter"]["import_kwh"] > 0.01)


def emptied(sim: SimProcess) -> None:
    """A pack has left, its door stands open."""
    order(sim, (2, "0502020005"))
    sim.post("/slots/11/remove")


@pytest.mark.parametrize(
    ("seed", "ambient_c", "story"),
    [(7, 31.5, during_a_pulse), (8, -6.5, while_charging), (9, 18.0, emptied)],
)
def test_mbpoll_reads_what_the_state_says(
    tmp_path: Path, seed: int, ambient_c: float, story: Callable[[SimProcess], None]
) -> None:
    config = tmp_path / "cabinet.toml"
    config.write_text(CONFIG.format(seed=seed, ambient_c=ambient_c))
    sim = SimProcess.start(tmp_path / "run", "--config", str(config), "--tcp", "0")
    try:
        story(sim)
        sim.post("/freeze", frozen=True)
        state = sim.state()
        assert any(state["boards"]["1"]["relays"]) is (story is during_a_pulse)
        serial = Mbpoll("-m", "rtu", "-b", "9600", "-P", "none", port=sim.ready()["ports"]["bus-a"])
        network = Mbpoll("-m", "tcp", "-p", str(sim.ready()["tcp"]["bus-a"]), port="127.0.0.1")
        for master in (serial, network):
            compare(master, state)
        after = sim.state()
        assert {**after, "wall_ms": 0} == {**state, "wall_ms": 0}
    finally:
        assert sim.stop() == 0


def compare(master: Mbpoll, state: Any) -> None:
    for unit in (1, 2, 3, 4):
        board = state["boards"][str(unit)]
        assert master.read(unit, "0", 0, 8) == board["relays"]
        assert master.read(unit, "1", 0, 8) == board["inputs"]
    for name, address in METER.items():
        (value,) = master.read(10, "3:float", address, 1)
        assert value == pytest.approx(state["meter"][name], rel=1e-5), name
    temp, humidity = master.read(20, "3", 1, 2)
    signed = temp - 0x1_0000 if temp > 0x7FFF else temp
    assert (signed / 10, humidity / 10) == (
        state["climate"]["temp_c"],
        state["climate"]["humidity_pct"],
    )
