"""`swapsim` as its users meet it: one process, its HTTP API, its commands, its end."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from protocols import modbus
from simulator.control.client import call
from simulator.errors import RequestRefusedError
from simulator.main import app
from simulator.models.wiring import device_names
from tests.support.machine import within_s
from tests.support.simulator import SerialClient, SimProcess, swapsim

UNLOCK = {slot: bytes([1 + (slot - 1) // 8, 5, 2, (slot - 1) % 8, 0, 5]) for slot in range(1, 13)}


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimProcess]:
    process = SimProcess.start(tmp_path_factory.mktemp("sim") / "run")
    yield process
    assert process.stop() == 0


def unlock(sim: SimProcess, slot: int) -> None:
    """Pulse a lock as a master does, over the wire."""
    client = SerialClient(sim.run_dir / "bus-a")
    frame = modbus.rtu(UNLOCK[slot][0], UNLOCK[slot][1:])
    assert client.ask(frame) == frame
    client.close()


def refused(status_words: str, sim: SimProcess, path: str, **body: object) -> None:
    with pytest.raises(RequestRefusedError, match=status_words):
        sim.post(path, **body)


def test_a_riders_hands_over_http(sim: SimProcess) -> None:
    refused("door is latched", sim, "/slots/10/door", action="open")
    refused("door is shut", sim, "/slots/10/insert", serial="YZ48-000777", soc_pct=18)
    refused("door is shut", sim, "/slots/1/remove")
    unlock(sim, 10)
    assert sim.slot(10)["door"] == "open"
    pack = sim.post("/slots/10/insert", serial="YZ48-000777", soc_pct=18, temp_c=31.0)
    assert (pack["serial"], pack["soc_pct"]) == ("YZ48-000777", 18)
    refused("a pack is in it already", sim, "/slots/10/insert", serial="B")
    slot = sim.post("/slots/10/door", action="close")
    assert (slot["door"], slot["presence"], slot["pack"]["serial"]) == (
        "closed",
        True,
        "YZ48-000777",
    )
    sim.wait(lambda state: state["slots"][9]["latched"])
    unlock(sim, 10)
    assert sim.post("/slots/10/remove")["serial"] == "YZ48-000777"
    refused("there is no pack", sim, "/slots/10/remove")
    sim.post("/slots/10/door", action="close")


def test_the_state_has_the_agreed_shape(sim: SimProcess) -> None:
    state = sim.state()
    assert {"frozen", "sim_ms", "wall_ms", "slots", "outputs", "inputs", "boards"} <= set(state)
    assert set(state["outputs"]) == {"contactor", "siren", "extinguisher", "fan"}
    assert set(state["inputs"]) == {"smoke", "flood", "service-door", "e-stop"}
    assert set(state["boards"]) == {"1", "2", "3", "4"}
    assert {"voltage_v", "current_a", "power_w", "import_kwh"} <= set(state["meter"])
    assert set(state["climate"]) == {"temp_c", "humidity_pct"}
    assert [slot["slot"] for slot in state["slots"]] == list(range(1, 13))
    slot = state["slots"][0]
    assert {
        "door",
        "latched",
        "presence",
        "pack",
        "air_temp_c",
        "ac_on",
        "charging",
        "charge_power_w",
        "charger",
        "lock_jammed",
    } <= set(slot)
    assert {"powered", "output_on", "voltage_set_v", "current_set_a", "voltage_v"} <= set(
        slot["charger"]
    )
    assert {"serial", "soc_pct", "soc_exact", "voltage_v", "temps_c", "cell_v"} <= set(slot["pack"])
    assert len(slot["pack"]["cell_v"]) == 13


def test_events_tell_the_truth_in_order(sim: SimProcess) -> None:
    since = sim.get("/events")["next"]
    unlock(sim, 11)
    sim.post("/slots/11/door", action="close")
    sim.wait(lambda state: state["slots"][10]["latched"])
    page = sim.get(f"/events?since={since}")
    seqs = [event["seq"] for event in page["events"]]
    assert seqs == list(range(since + 1, page["next"] + 1))
    here = [event for event in page["events"] if event["slot"] == 11]
    assert [event["kind"] for event in here] == [
        "relay",
        "lock-pulse",
        "door-opened",
        "door-closed",
        "relay",
        "lock-latched",
    ]
    times = [event["sim_ms"] for event in here]
    assert times == sorted(times)
    assert 500 <= times[4] - times[0] <= 501
    wall = [event["wall_ms"] for event in page["events"]]
    assert all(abs(at_ms - time.time_ns() / 1e6) < 60_000 for at_ms in wall)


def test_a_jammed_lock_does_not_open(sim: SimProcess) -> None:
    assert sim.post("/slots/12/lock", jammed=True)["lock_jammed"]
    unlock(sim, 12)
    assert sim.slot(12)["door"] == "closed"
    assert not sim.post("/slots/12/lock", jammed=False)["lock_jammed"]


def test_mishaps_of_a_pack(sim: SimProcess) -> None:
    refused("there is no pack", sim, "/slots/12/pack", soc_pct=3)
    before = sim.slot(9)["pack"]
    hot = sim.post("/slots/9/pack", temp_c=62.5, hold_temp=True)
    assert (hot["temps_c"][0], hot["charge_fet_on"], hot["serial"]) == (
        62.5,
        False,
        before["serial"],
    )
    assert hot["protection"] == ["charge-over-temp"]
    cold = sim.post("/slots/9/pack", temp_c=25.0, hold_temp=False, protection=["short-circuit"])
    assert cold["protection"] == ["short-circuit"]
    calm = sim.post("/slots/9/pack", protection=[], serial=None)
    assert (calm["protection"], calm["serial"], calm["charge_fet_on"]) == ([], None, True)
    assert sim.post("/slots/9/pack", serial="YZ48-000009")["serial"] == "YZ48-000009"
    refused("known are", sim, "/slots/9/pack", protection=["melting"])


@pytest.mark.parametrize("name", ["smoke", "flood", "service-door", "e-stop"])
def test_contacts(sim: SimProcess, name: str) -> None:
    channel = {"smoke": 4, "flood": 5, "service-door": 6, "e-stop": 7}[name]
    assert sim.post(f"/inputs/{name}", active=True)[name] is True
    assert sim.state()["boards"]["2"]["inputs"][channel] is False
    sim.post(f"/inputs/{name}", active=False)
    assert sim.state()["boards"]["2"]["inputs"][channel] is True


def test_every_device_can_be_silenced(sim: SimProcess) -> None:
    for name in device_names(12):
        assert name in sim.post(f"/devices/{name}/silent", silent=True)["silent"]
    for name in device_names(12):
        sim.post(f"/devices/{name}/silent", silent=False)
    assert sim.state()["silent"] == []


def test_freeze_holds_time_and_relays_and_wires_still_answer(sim: SimProcess) -> None:
    sim.post("/freeze", frozen=True)
    unlock(sim, 12)
    first = sim.state()
    assert first["boards"]["2"]["relays"][3] is True
    time.sleep(0.7)  # longer than the pulse: nothing may happen
    second = sim.state()
    first.pop("wall_ms")
    second.pop("wall_ms")
    assert first == second
    sim.post("/freeze", frozen=False)
    sim.wait(lambda state: not state["boards"]["2"]["relays"][3])
    sim.post("/slots/12/door", action="close")


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/slots/13/door", {"action": "close"}, "slots 1 to 12"),
        ("/slots/0/door", {"action": "close"}, "greater than or equal to 1"),
        ("/slots/1/door", {"action": "kick"}, "'open' or 'close'"),
        ("/slots/1/door", {"action": "close", "hard": True}, "[Ee]xtra inputs"),
        ("/slots/1/pack", {"soc_pct": 101}, "less than or equal to 100"),
        ("/inputs/rain", {"active": True}, "smoke"),
        ("/devices/charger-13/silent", {"silent": True}, "none of that name"),
        ("/speed", {"factor": 0}, "greater than 0"),
        ("/nowhere", {}, "Not Found"),
    ],
)
def test_nonsense_is_refused(
    sim: SimProcess, path: str, body: dict[str, object], words: str
) -> None:
    refused(words, sim, path, **body)


def test_the_api_describes_itself(sim: SimProcess) -> None:
    paths = sim.get("/openapi.json")["paths"]
    assert {"/state", "/events", "/freeze", "/speed", "/inputs/{name}"} <= set(paths)
    assert {"/slots/{slot}/insert", "/slots/{slot}/remove", "/slots/{slot}/door"} <= set(paths)
    assert {"/slots/{slot}/pack", "/slots/{slot}/lock", "/devices/{name}/silent"} <= set(paths)


# --- commands -----------------------------------------------------------------------------------


def told(sim: SimProcess, *arguments: str) -> Any:
    done = swapsim(*arguments, env={"SWAPSIM_HTTP": sim.url})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def test_a_swap_by_commands(sim: SimProcess) -> None:
    unlock(sim, 10)
    pack = told(sim, "slot", "10", "insert", "--serial", "YZ48-000555", "--soc", "18", "--json")
    assert (pack["serial"], pack["soc_pct"]) == ("YZ48-000555", 18)
    assert "YZ48-000555  18 %" in told(sim, "slot", "10", "remove")
    told(sim, "slot", "10", "door", "close")
    state = told(sim, "state", "--json")
    assert (state["slots"][9]["door"], state["slots"][9]["pack"]) == ("closed", None)
    assert "10  door closed  empty" in told(sim, "state")
    assert "door-closed slot 10" in told(sim, "events")


def test_mishaps_by_commands(sim: SimProcess) -> None:
    told(sim, "slot", "3", "lock", "--jammed")
    told(sim, "slot", "3", "pack", "--temp", "48", "--hold-temp")
    told(sim, "input", "smoke", "on")
    told(sim, "silent", "charger-03", "on")
    told(sim, "speed", "60")
    told(sim, "freeze", "on")
    state = sim.state()
    assert state["slots"][2]["lock_jammed"]
    assert state["slots"][2]["pack"]["temps_c"][0] == 48.0
    assert (state["inputs"]["smoke"], state["silent"]) == (True, ["charger-03"])
    assert (state["speed"], state["frozen"]) == (60.0, True)
    for arguments in (
        ("freeze", "off"),
        ("speed", "1"),
        ("silent", "charger-03", "off"),
        ("input", "smoke", "off"),
        ("slot", "3", "pack", "--temp", "25", "--free-temp"),
        ("slot", "3", "lock", "--free"),
    ):
        told(sim, *arguments)


def test_exit_codes(sim: SimProcess, tmp_path: Path) -> None:
    by_url = {"SWAPSIM_HTTP": sim.url}
    no = swapsim("slot", "1", "remove", env=by_url)
    assert (no.returncode, no.stdout) == (1, "")
    assert "refused: slot 1: the door is shut" in no.stderr
    assert swapsim("slot", "1", "kick", env=by_url).returncode == 2
    assert swapsim("freeze", "maybe", env=by_url).returncode == 2
    gone = swapsim("state", "--run-dir", str(tmp_path))
    assert gone.returncode == 3
    assert "no simulator runs in" in gone.stderr
    assert swapsim("state", "--http", "http://127.0.0.1:9").returncode == 3
    assert swapsim("state").returncode == 3
    assert swapsim("state", "--run-dir", str(sim.run_dir)).returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        ("cabinet",),
        ("state",),
        ("events",),
        ("freeze",),
        ("speed",),
        ("input",),
        ("silent",),
        ("example-config",),
        ("check-config",),
        ("tui",),
        *(
            ("scenario", name)
            for name in ("run", "step", "check", "list", "history", "schema", "record")
        ),
        ("slot", "1", "insert"),
        ("slot", "1", "remove"),
        ("slot", "1", "door"),
        ("slot", "1", "lock"),
        ("slot", "1", "pack"),
    ],
)
def test_every_command_helps_with_an_example(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*command, "--help"])
    assert done.exit_code == 0
    assert "Example: swapsim" in done.output


def test_example_config_is_good(tmp_path: Path) -> None:
    path = tmp_path / "cabinet.toml"
    path.write_text(swapsim("example-config").stdout)
    assert swapsim("check-config", str(path)).returncode == 0
    path.write_text("[physics]\nsede = 1\n")
    wrong = swapsim("check-config", str(path))
    assert wrong.returncode == 1
    assert "did you mean physics.seed?" in wrong.stderr
    run = swapsim("cabinet", "--config", str(path), "--run-dir", str(tmp_path / "run"))
    assert run.returncode == 1
    assert not (tmp_path / "run").exists()


# --- beginning and end --------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org", "::"])
def test_only_loopback(tmp_path: Path, host: str) -> None:
    done = swapsim("cabinet", "--run-dir", str(tmp_path / "run"), "--http-host", host)
    assert done.returncode == 2
    assert "no login" in done.stderr


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = swapsim("cabinet", "--run-dir", str(tmp_path / "run"), "--http", port)
    assert done.returncode == 1
    assert "cannot open a port" in done.stderr
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_and_quick_end(tmp_path: Path, signal_number: int) -> None:
    sim = SimProcess.start(tmp_path, "--tcp", "0")
    assert len(sim.ready()["ports"]) == 14
    assert len(sim.ready()["tcp"]) == 14
    idle = socket.create_connection(("127.0.0.1", int(sim.url.rsplit(":", 1)[1])))
    started_s = time.perf_counter()
    assert sim.stop(signal_number) == 0
    assert time.perf_counter() - started_s < within_s(3.0)
    assert not list(tmp_path.iterdir())
    idle.close()


def test_a_killed_simulator_is_replaced_in_place(tmp_path: Path) -> None:
    first = SimProcess.start(tmp_path)
    first.stop(signal.SIGKILL)
    assert (tmp_path / "bus-a").is_symlink()
    second = SimProcess.start(tmp_path)
    client = SerialClient(tmp_path / "bus-a")
    doors = modbus.rtu(1, bytes.fromhex("0200000008"))
    assert client.ask(doors) == modbus.rtu(1, bytes.fromhex("0201FF"))
    client.close()
    assert call(second.url, "GET", "/state")["slots"][0]["pack"]["serial"] == "YZ48-000001"
    assert second.stop() == 0
    assert not list(tmp_path.iterdir())


def test_the_scanner_tells_what_is_held_before_it(sim: SimProcess) -> None:
    assert sim.ready()["scanner"] == str(sim.run_dir / "scanner")
    client = SerialClient(sim.run_dir / "scanner", baud=115_200)
    swapsim("scan", "YZT1.abc", "--run-dir", str(sim.run_dir))
    assert client.receive(within_s=60) == b"YZT1.abc\r\n"
    client.close()
    wrong = swapsim("scan", "鼓楼", "--run-dir", str(sim.run_dir))
    assert wrong.returncode == 1


def test_a_scanner_that_nobody_reads_says_so(sim: SimProcess) -> None:
    def scan_on() -> None:
        for _ in range(20):
            sim.post("/scanner", text="x" * 2_000)

    with pytest.raises(RequestRefusedError, match="nobody reads"):
        scan_on()


def test_faults_over_http_and_by_command(sim: SimProcess) -> None:
    at = ("--run-dir", str(sim.run_dir))
    kinds = {kind["kind"]: kind for kind in sim.get("/faults/kinds")}
    assert {"no-answer", "crc", "echo", "smoke", "lock-jammed"} <= set(kinds)
    assert "bus-a" in kinds["echo"]["targets"]
    runner = CliRunner()
    done = runner.invoke(app, ["fault", "set", "board-4", "no-answer", "--count", "1", *at])
    assert done.exit_code == 0, done.output
    listed = json.loads(runner.invoke(app, ["fault", "list", "--json", *at]).output)["faults"]
    assert [(f["target"], f["kind"], f["struck"]) for f in listed] == [("board-4", "no-answer", 0)]
    client = SerialClient(sim.run_dir / "bus-a")
    ask = modbus.rtu(4, bytes.fromhex("0200000008"))
    assert client.ask(ask, within_s=0.3) == b""
    assert client.ask(ask) != b""
    client.close()
    assert sim.get("/faults")["faults"] == []
    refused("there is no wire board-9", sim, "/faults", target="board-9", kind="crc")
    refused("expected 1 to 10000", sim, "/faults", target="board-1", kind="slow", value=0)
    sim.post("/faults", target="slot-02", kind="lock-jammed")
    assert sim.slot(2)["lock_jammed"]
    assert runner.invoke(app, ["fault", "clear", "--target", "slot-02", *at]).exit_code == 0
    assert not sim.slot(2)["lock_jammed"]
    assert "random bytes" in runner.invoke(app, ["fault", "kinds", *at]).output


def test_the_wires_can_be_read_along(sim: SimProcess) -> None:
    client = SerialClient(sim.run_dir / "bus-a")
    asked = modbus.rtu(3, bytes.fromhex("0200000008"))
    assert client.ask(asked) != b""
    client.close()
    page = sim.get("/trace?line=bus-a&contains=board-3")
    told = [(frame["direction"], frame["text"]) for frame in page["frames"]][-2:]
    assert told[0] == ("out", "board-3: read inputs 0 to 7")
    assert told[1][0] == "in"
    assert told[1][1].startswith("board-3: inputs 0 to 7 = ")
    assert sim.get(f"/trace?since={page['next']}")["frames"] == []
    with urllib.request.urlopen(f"{sim.url}/trace/export?contains=board-3", timeout=60) as reply:
        assert b"> 03 02 00 00 00 08 " in reply.read()
    with urllib.request.urlopen(f"{sim.url}/trace/stream?contains=board-2", timeout=60) as stream:
        assert stream.readline() == b": listening\n"
        unlock(sim, 9)
        while not (line := stream.readline().decode()).startswith("data: "):
            pass
        assert json.loads(line.removeprefix("data: "))["text"] == "board-2: relay 0 on for 500 ms"
    at = ("--run-dir", str(sim.run_dir))
    shown = CliRunner().invoke(app, ["trace", "--line", "bus-a", "--contains", "board-3", *at])
    assert "board-3: read inputs 0 to 7" in shown.output
