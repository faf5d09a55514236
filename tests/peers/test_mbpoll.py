"""mbpoll reads the simulated bus A on the pty and over TCP; it must see what is true.

Addresses and meanings are written out here on purpose: nothing of our register maps takes part.
"""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from deploy.demo.waiting import Deadline, until
from tests.support.mbpoll import Mbpoll, MbpollError
from tests.support.sim_process import Json, SimProcess

pytestmark = [pytest.mark.system, pytest.mark.peer("mbpoll", "bus A as a whole")]

METER: Final = 10
CLIMATE: Final = 20
SLOTS: Final = range(1, 13)
DOOR_INPUT: Final = {n: (1, n - 1) if n <= 8 else (2, n - 9) for n in SLOTS}
PRESENCE_INPUT: Final = {n: (3, n - 1) if n <= 8 else (4, n - 9) for n in SLOTS}
ALARM_INPUT: Final = {"smoke": (2, 4), "flood": (2, 5), "service-door": (2, 6), "e-stop": (2, 7)}
OUTPUT_COIL: Final = {"contactor": 4, "siren": 5, "extinguisher": 6, "fan": 7}
SDM120: Final = {
    0x0000: "voltage_v",
    0x0006: "current_a",
    0x000C: "power_w",
    0x0012: "apparent_va",
    0x0018: "reactive_var",
    0x001E: "power_factor",
    0x0046: "frequency_hz",
    0x0048: "import_kwh",
    0x004A: "export_kwh",
    0x0156: "total_kwh",
}
PULSE_MS: Final = 500


def toml(seed: int) -> str:
    """A cabinet that differs from the built-in one in packs, weather and seed."""
    dice = random.Random(seed)
    slots = sorted(dice.sample(SLOTS, dice.randint(3, 9)))
    packs = "\n".join(
        f'[[pack]]\nslot = {n}\nserial = "YZ48-{dice.randint(1, 999_999):06d}"\n'
        f"soc_pct = {dice.randint(5, 95)}"
        for n in slots
    )
    return f"[physics]\nseed = {seed}\nambient_c = {dice.choice((-7.4, 31.6, 38.2))}\n{packs}\n"


@contextmanager
def cabinet(tmp_path: Path, seed: int) -> Iterator[SimProcess]:
    with SimProcess(tmp_path, config=toml(seed), tcp=True) as sim:
        yield sim


def rtu(sim: SimProcess) -> Mbpoll:
    return Mbpoll(sim.ports["bus-a"])


def tcp(sim: SimProcess) -> Mbpoll:
    return Mbpoll(sim.tcp_ports["bus-a"])


def flash(sim: SimProcess, board: int, relay: int, duration_ms: int) -> None:
    """The board's own timed pulse, which mbpoll cannot send: FC05, 0x0200 + relay, 100 ms steps."""
    pdu = bytes([5, 2, relay]) + (duration_ms // 100).to_bytes(2, "big")
    frame = bytes([0, 1, 0, 0, 0, len(pdu) + 1, board]) + pdu
    with socket.create_connection(("127.0.0.1", sim.tcp_ports["bus-a"]), timeout=60) as link:
        link.sendall(frame)
        assert link.recv(64) == frame


def disturb(sim: SimProcess, seed: int) -> None:
    """Doors opened by their locks, contacts triggered, outputs and slot outlets on."""
    dice = random.Random(seed)
    bus = rtu(sim)
    for slot in dice.sample(SLOTS, 3):
        board, relay = DOOR_INPUT[slot]
        flash(sim, board, relay, PULSE_MS)
        until(
            lambda slot=slot: sim.slot(slot)["door"] == "open",
            within_s=60,
            what=f"door {slot} open",
        )
    for name in dice.sample(sorted(ALARM_INPUT), 2):
        sim.set_input(name, active=True)
    for output in dice.sample(sorted(OUTPUT_COIL), 2):
        bus.set_coil(2, OUTPUT_COIL[output], on=True)
    for slot in dice.sample(SLOTS, 4):
        board, relay = PRESENCE_INPUT[slot]
        bus.set_coil(board, relay, on=True)
    until(lambda: sim.state()["meter"]["import_kwh"] > 0, within_s=60, what="energy counted")


def truth(sim: SimProcess) -> Json:
    """What `swapsim state --json` says."""
    found: Json = json.loads(sim.cli("state", "--json"))
    return found


def check_equal(bus: Mbpoll, true: Json) -> None:
    """Everything that stands on bus A, against the truth."""
    relays = {board: bus.coils(board, 0, 8) for board in (1, 2, 3, 4)}
    inputs = {board: bus.inputs(board, 0, 8) for board in (1, 2, 3, 4)}
    for board in (1, 2, 3, 4):
        assert relays[board] == true["boards"][str(board)]["relays"]
        assert inputs[board] == true["boards"][str(board)]["inputs"]
    for slot in SLOTS:
        fact = true["slots"][slot - 1]
        board, channel = DOOR_INPUT[slot]
        assert inputs[board][channel] == (fact["door"] == "closed"), f"door {slot}"
        board, channel = PRESENCE_INPUT[slot]
        assert inputs[board][channel] == fact["presence"], f"presence {slot}"
    for name, (board, channel) in ALARM_INPUT.items():
        assert inputs[board][channel] is not true["inputs"][name], name
    for name, channel in OUTPUT_COIL.items():
        assert relays[2][channel] == true["outputs"][name], name
    for address, name in SDM120.items():
        assert bus.floats(METER, address, 1) == [f"{true['meter'][name]:g}"], name
    temp, humidity = bus.input_words(CLIMATE, 1, 2)
    assert temp == round(true["climate"]["temp_c"] * 10) & 0xFFFF
    assert humidity == round(true["climate"]["humidity_pct"] * 10)


def plain(_sim: SimProcess) -> None:
    """No pulse runs."""


def during_pulse(sim: SimProcess) -> None:
    """A lock pulse begins in frozen time, so it is still on whenever it is looked at."""
    flash(sim, 1, 2, PULSE_MS)
    assert truth(sim)["boards"]["1"]["relays"][2]


@pytest.mark.parametrize(
    ("seed", "then"), [(11, plain), (23, plain), (47, during_pulse)], ids=["11", "23", "47-pulse"]
)
def test_reads_what_is_true(tmp_path: Path, seed: int, then: Callable[[SimProcess], None]) -> None:
    with cabinet(tmp_path, seed) as sim:
        start = truth(sim)
        disturb(sim, seed)
        sim.cli("freeze", "on")
        then(sim)
        true = truth(sim)
        for part in ("boards", "inputs", "outputs", "meter"):
            assert true[part] != start[part], f"{part} is still as it was at the start"
        check_equal(rtu(sim), true)
        check_equal(tcp(sim), true)
        after = truth(sim)
        assert {**after, "wall_ms": 0} == {**true, "wall_ms": 0}, "reading changed something"


def test_pulse_stands_while_frozen_and_ends_after(tmp_path: Path) -> None:
    with cabinet(tmp_path, 5) as sim:
        sim.freeze(frozen=True)
        flash(sim, 1, 0, PULSE_MS)
        lasted = Deadline.after(2 * PULSE_MS / 1000)
        while lasted.left_s() > 0:
            assert rtu(sim).coils(1, 0, 1) == [True]
        sim.freeze(frozen=False)
        until(
            lambda: rtu(sim).coils(1, 0, 1) == [False] or None,
            within_s=60,
            what="the pulse ends by itself",
        )
        assert sim.slot(1)["door"] == "open"


def test_refusals_and_silence(tmp_path: Path) -> None:
    with cabinet(tmp_path, 5) as sim:
        for bus in (rtu(sim), tcp(sim)):
            with pytest.raises(MbpollError, match="Illegal data address"):
                bus.inputs(1, 8, 1)
            with pytest.raises(MbpollError, match="Illegal data address"):
                bus.input_words(CLIMATE, 9, 1)
            with pytest.raises(MbpollError, match="Illegal function"):
                bus.floats(1, 0, 1)
            assert bus.holding(1, 0x8000, 1) == [200]
        with pytest.raises(MbpollError, match="timed out"):
            rtu(sim).coils(33, 0, 1)
        sim.silent("board-3", silent=True)
        with pytest.raises(MbpollError, match="timed out"):
            rtu(sim).coils(3, 0, 1)
        assert rtu(sim).coils(4, 0, 1) == [False]
        sim.silent("board-3", silent=False)
        assert rtu(sim).coils(3, 0, 1) == [False]
