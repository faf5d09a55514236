"""Faults without a terminal: orders and times in, spoilt bytes and moved contacts out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import modbus
from protocols.frames import jbd
from protocols.trace import Direction
from simulator.devices.rack import Rack
from simulator.errors import FaultError, HandsError, UnknownNameError
from simulator.models.cabinet import Cabinet, PackOrder
from simulator.models.charger import Latch
from simulator.models.faults import FAULTS_MAX, KINDS, FaultKind, FaultOrder, Scope
from simulator.models.mishaps import FOREIGN_SERIAL, Mishaps
from simulator.models.wiring import Alarm, device_names, door_pin, presence_pin
from simulator.wires.ends import LineEnd
from simulator.wires.mbap import MbapSession
from simulator.wires.panel import WireSection, connectors
from simulator.wires.timing import Reply

K = FaultKind
DOORS = modbus.rtu(1, bytes.fromhex("0200000008"))
CLOSED = modbus.rtu(1, bytes.fromhex("0201FF"))
PULSE = modbus.rtu(1, bytes.fromhex("0502000005"))
BMS_ASK = bytes.fromhex("DD A5 03 00 FF FD 77")


class Bench:
    """One cabinet with its lines at full realism, and a clock in the test's hand."""

    def __init__(self) -> None:
        self.cabinet = Cabinet()
        self.cabinet.stock(3, PackOrder("YZ48-000003", soc_pct=50))
        self.mishaps = Mishaps(self.cabinet)
        self.heard: list[tuple[str, Direction, bytes]] = []
        rack = Rack.of(self.cabinet, lambda: None, "zeros")
        lines = connectors(
            rack, WireSection(), self.mishaps.table, lambda *what: self.heard.append(what)
        )
        self.ends = {line.name: line.serial() for line in lines}
        self.gateways = {line.name: line.network() for line in lines}
        self.now_s = 100.0
        self.step_s = 1.0

    def set(self, target: str, kind: FaultKind, **more: object) -> None:
        self.mishaps.begin(FaultOrder(target, kind, **more), self.now_s)  # type: ignore[arg-type]

    def replies(self, frame: bytes, line: str = "bus-a", baud: int | None = None) -> list[Reply]:
        self.now_s += self.step_s
        self.mishaps.expire(self.now_s)
        return self.ends[line].feed(frame, self.now_s, baud)

    def ask(self, frame: bytes = DOORS, line: str = "bus-a", baud: int | None = None) -> bytes:
        return b"".join(reply.data for reply in self.replies(frame, line, baud))

    def tcp(self, frame: bytes) -> bytes:
        end: LineEnd = self.gateways["bus-a"]
        self.now_s += 1.0
        asked = modbus.mbap(9, frame[0], frame[1:-2])
        return b"".join(reply.data for reply in end.feed(asked, self.now_s))

    def later(self, seconds: float) -> None:
        self.now_s += seconds
        self.cabinet.advance(seconds)
        self.mishaps.expire(self.now_s)

    def pulses(self) -> int:
        return sum(event.kind == "lock-pulse" for event in self.cabinet.log.since(0))


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- wires --------------------------------------------------------------------------------------


def test_without_faults_everything_answers(bench: Bench) -> None:
    assert bench.ask() == CLOSED


def test_a_deaf_device_does_nothing_and_one_whose_answer_is_lost_has_done_it(bench: Bench) -> None:
    bench.set("board-1", K.DEAF, count=1)
    assert bench.ask(PULSE) == b""
    assert bench.pulses() == 0
    bench.set("board-1", K.NO_ANSWER, count=1)
    assert bench.ask(PULSE) == b""
    assert bench.pulses() == 1
    assert bench.ask() != b""  # both counts are used up


def test_a_fault_of_one_device_leaves_its_neighbours_alone(bench: Bench) -> None:
    bench.set("board-1", K.NO_ANSWER)
    assert bench.ask() == b""
    assert bench.ask(modbus.rtu(2, DOORS[1:-2])) != b""
    bench.mishaps.end()
    bench.set("bus-a", K.NO_ANSWER)
    assert bench.ask(modbus.rtu(2, DOORS[1:-2])) == b""
    assert bench.ask(BMS_ASK, "slot-03").startswith(b"\xdd\x03\x00")


def test_crc(bench: Bench) -> None:
    bench.set("board-1", K.CRC)
    heard = bench.ask()
    assert sum(bin(a ^ b).count("1") for a, b in zip(heard, CLOSED, strict=True)) == 1


def test_split_and_cut(bench: Bench) -> None:
    bench.set("board-1", K.SPLIT, value=30)
    one, two = bench.replies(DOORS)
    assert one.data + two.data == CLOSED
    assert two.at_s - one.at_s == pytest.approx(0.030)
    bench.mishaps.end()
    bench.set("board-1", K.CUT)
    heard = bench.ask()
    assert CLOSED.startswith(heard)
    assert 0 < len(heard) < len(CLOSED)


def test_noise_surrounds_an_answer_and_disturbs_silence(bench: Bench) -> None:
    bench.set("bus-a", K.NOISE, value=8)
    heard = [bench.ask() for _ in range(20)]
    assert all(CLOSED in data for data in heard)
    assert len({len(data) for data in heard}) > 3
    assert max(map(len, heard)) <= len(CLOSED) + 16
    assert len(bench.ask(modbus.rtu(77, DOORS[1:-2]))) == 8


def test_slow(bench: Bench) -> None:
    (quick,) = bench.replies(DOORS)
    took_s = quick.at_s - bench.now_s
    bench.set("board-1", K.SLOW, value=700)
    (slow,) = bench.replies(DOORS)
    assert slow.at_s - bench.now_s == pytest.approx(took_s + 0.7)


def test_wrong_address_is_a_sound_frame_of_somebody_else(bench: Bench) -> None:
    bench.set("board-1", K.WRONG_ADDRESS, value=2)
    assert modbus.parse_rtu(bench.ask()) == (3, CLOSED[1:-2])
    bench.set("slot-03", K.WRONG_ADDRESS)
    (said,) = jbd.Parser().feed(bench.ask(BMS_ASK, "slot-03"))
    assert isinstance(said, jbd.Frame)
    assert said.register == 4


def test_stale_answers_run_one_request_behind(bench: Bench) -> None:
    bench.step_s = 0.2
    bench.set("board-1", K.STALE)
    assert bench.ask(DOORS) == b""
    assert bench.ask(PULSE) == CLOSED
    assert bench.ask(DOORS) == PULSE
    assert bench.pulses() == 1
    bench.step_s = 1.2
    assert bench.ask(DOORS) == b"", "no gateway keeps an answer for so long"


def test_a_device_at_another_baud_rate_hears_only_a_master_there(bench: Bench) -> None:
    bench.set("board-1", K.WRONG_BAUD, value=19_200)
    second = modbus.rtu(2, DOORS[1:-2])
    assert bench.ask(DOORS, baud=9_600) == b""
    assert bench.ask(second, baud=9_600) != b""
    assert bench.ask(DOORS, baud=19_200) == CLOSED
    assert bench.ask(second, baud=19_200) == b""
    assert bench.tcp(DOORS) == b""


def test_echo_comes_before_the_answer(bench: Bench) -> None:
    bench.set("bus-a", K.ECHO)
    echo, answer = bench.replies(PULSE)
    assert (echo.data, answer.data) == (PULSE, PULSE)
    assert echo.at_s < answer.at_s
    assert bench.ask(modbus.rtu(77, DOORS[1:-2])) == modbus.rtu(77, DOORS[1:-2])


def test_a_gateway_passes_on_what_it_can_read(bench: Bench) -> None:
    good = modbus.mbap(9, 1, CLOSED[1:-2])
    assert bench.tcp(DOORS) == good
    for kind in (K.CRC, K.CUT, K.WRONG_ADDRESS, K.NO_ANSWER):
        bench.set("board-1", kind, count=1)
        assert bench.tcp(DOORS) == b"", kind
    for kind in (K.SPLIT, K.SLOW):
        bench.set("board-1", kind, count=1)
        assert bench.tcp(DOORS) == good, kind
    assert isinstance(bench.gateways["bus-a"].session, MbapSession)


def test_a_listener_hears_both_ways(bench: Bench) -> None:
    bench.ask(DOORS)
    bench.ends["bus-a"].sent(CLOSED)
    assert bench.heard == [("bus-a", Direction.OUT, DOORS), ("bus-a", Direction.IN, CLOSED)]


# --- bounds -------------------------------------------------------------------------------------


def test_count_duration_and_chance_bound_a_fault(bench: Bench) -> None:
    bench.set("board-1", K.NO_ANSWER, count=2)
    assert [bench.ask() for _ in range(3)] == [b"", b"", CLOSED]
    bench.set("board-1", K.NO_ANSWER, duration_s=2.5)
    assert [bench.ask() for _ in range(3)] == [b"", b"", CLOSED]
    bench.set("board-1", K.NO_ANSWER, probability=0.3, seed=7)
    lost = [bench.ask() == b"" for _ in range(200)]
    assert 30 < sum(lost) < 90
    bench.set("board-1", K.NO_ANSWER, probability=0.3, seed=7)
    assert [bench.ask() == b"" for _ in range(200)] == lost


def test_the_same_fault_again_replaces_the_first(bench: Bench) -> None:
    bench.set("board-1", K.SLOW, value=100)
    bench.set("board-1", K.SLOW, value=200)
    (fault,) = bench.mishaps.table.standing()
    assert fault.value == 200


def test_the_table_is_bounded(bench: Bench) -> None:
    kinds = [kind for kind, spec in KINDS.items() if spec.scope is Scope.WIRE]
    every = [(target, kind) for target in bench.mishaps.table.targets(Scope.WIRE) for kind in kinds]
    for target, kind in every[:FAULTS_MAX]:
        bench.set(target, kind)
    with pytest.raises(FaultError, match="stand already"):
        bench.set(*every[FAULTS_MAX])
    assert len(bench.mishaps.table.standing()) == FAULTS_MAX


@pytest.mark.parametrize(
    ("order", "error", "words"),
    [
        (FaultOrder("board-9", K.CRC), UnknownNameError, "no wire board-9; known are bus-a"),
        (FaultOrder("board-1", K.ECHO), UnknownNameError, "no line board-1"),
        (FaultOrder("slot-13", K.LOCK_JAMMED), UnknownNameError, "no slot slot-13"),
        (FaultOrder("bus-a", K.SMOKE), UnknownNameError, "no cabinet bus-a"),
        (FaultOrder("board-1", K.SLOW, value=0), FaultError, "value 0 ms, expected 1 to 10000"),
        (FaultOrder("board-1", K.CRC, value=1), FaultError, "takes no value"),
        (FaultOrder("board-1", K.WRONG_BAUD, value=9_601), FaultError, "one of"),
        (FaultOrder("board-1", K.CRC, probability=0), FaultError, "probability 0"),
        (FaultOrder("board-1", K.CRC, count=0), FaultError, "count 0"),
        (FaultOrder("board-1", K.CRC, duration_s=0), FaultError, "duration 0"),
        (FaultOrder("slot-03", K.LOCK_JAMMED, count=3), FaultError, "bound it by duration"),
        (FaultOrder("slot-04", K.BMS_HOT), HandsError, "there is no pack"),
    ],
)
def test_what_cannot_be_is_refused_in_plain_words(
    bench: Bench, order: FaultOrder, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        bench.mishaps.begin(order, bench.now_s)
    assert bench.mishaps.table.standing() == ()


def test_every_device_has_its_place_on_a_line(bench: Bench) -> None:
    named = {name for line in bench.mishaps.table.lines.values() for name in line}
    assert named == set(device_names(12))


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 50))
def test_any_fault_can_be_set_on_a_first_target_and_leaves_no_trace(
    kind: FaultKind, seed: int
) -> None:
    bench = Bench()
    spec = KINDS[kind]
    target = "slot-03" if spec.scope is Scope.SLOT else bench.mishaps.table.targets(spec.scope)[0]
    bench.set(target, kind, seed=seed)
    bench.later(1.0)
    for line in ("bus-a", "slot-03"):
        bench.replies(BMS_ASK if line == "slot-03" else DOORS, line)
    assert len(bench.mishaps.end(kind=kind)) == 1
    bench.later(10.0)
    assert bench.ask() == CLOSED
    assert bench.ask(BMS_ASK, "slot-03").startswith(b"\xdd\x03\x00")
    assert not any(bench.cabinet.alarms.values())
    assert bench.cabinet.silent == set()


# --- cabinet ------------------------------------------------------------------------------------


def level(bench: Bench, slot: int, *, presence: bool = False) -> bool:
    pin = (presence_pin if presence else door_pin)(slot)
    return bench.cabinet.boards[pin.board].inputs[pin.channel]


def open_door(bench: Bench, slot: int) -> None:
    pin = door_pin(slot)
    bench.cabinet.boards[pin.board].flash(pin.channel, 0.2, on=True)
    bench.later(0.3)


def test_jammed_lock(bench: Bench) -> None:
    bench.set("slot-01", K.LOCK_JAMMED, duration_s=5)
    open_door(bench, 1)
    assert not bench.cabinet.slot(1).door.open
    bench.later(6)
    open_door(bench, 1)
    assert bench.cabinet.slot(1).door.open


def test_stuck_contacts_show_what_was(bench: Bench) -> None:
    bench.set("slot-03", K.DOOR_STUCK)
    bench.set("slot-03", K.PRESENCE_STUCK)
    open_door(bench, 3)
    bench.cabinet.remove(3)
    assert bench.cabinet.slot(3).door.open
    assert level(bench, 3)
    assert level(bench, 3, presence=True)
    bench.mishaps.end("slot-03")
    assert not level(bench, 3)
    assert not level(bench, 3, presence=True)


def test_a_bouncing_door_contact_chatters_and_then_tells_the_truth(bench: Bench) -> None:
    bench.set("slot-03", K.DOOR_BOUNCING, value=600)
    bench.later(1)
    assert level(bench, 3)
    open_door(bench, 3)
    bench.later(1)
    assert not level(bench, 3)
    bench.cabinet.push_door(3)
    seen = []
    for _ in range(80):
        bench.later(0.01)
        seen.append(level(bench, 3))
    turns = sum(a != b for a, b in pairwise(seen))
    assert turns >= 3
    assert all(seen[60:])


def test_foreign_hot_silent_and_unbalanced_packs(bench: Bench) -> None:
    bench.set("slot-03", K.BMS_FOREIGN)
    barcode = jbd.read_request(jbd.REG_BARCODE)
    (told,) = jbd.Parser().feed(bench.ask(barcode, "slot-03"))
    assert isinstance(told, jbd.Frame)
    assert jbd.decode_barcode(told.data) == FOREIGN_SERIAL
    bench.set("slot-03", K.CELL_IMBALANCE, value=400)
    pack = bench.cabinet.slot(3).pack
    assert pack is not None
    assert min(pack.cell_v) == pack.cell_v[0]
    assert max(pack.cell_v) - min(pack.cell_v) == pytest.approx(0.4, abs=0.05)
    assert sum(pack.cell_v) == pytest.approx(pack.voltage_v)
    bench.set("slot-03", K.BMS_HOT, value=66)
    bench.later(60)
    assert pack.temp_c == 66
    assert "charge-over-temp" in pack.protection
    bench.set("slot-03", K.BMS_SILENT)
    assert bench.ask(BMS_ASK, "slot-03") == b""


def charging(bench: Bench) -> None:
    bench.cabinet.boards[2].set(4, on=True)
    pin = presence_pin(3)
    bench.cabinet.boards[pin.board].set(pin.channel, on=True)
    charger = bench.cabinet.slot(3).charger
    charger.voltage_set_v, charger.current_set_a, charger.ovp_v = 54.6, 4.0, 56.0
    charger.set_output(on=True)
    bench.cabinet.slot(3).settle()
    assert bench.cabinet.slot(3).charging


def test_a_charger_that_gives_too_much_trips_its_own_protection(bench: Bench) -> None:
    charging(bench)
    bench.cabinet.slot(3).charger.current_set_a = 6.0
    pack = bench.cabinet.slot(3).pack
    assert pack is not None
    pack.set_switches(charge=False, discharge=True)  # no load holds the voltage down
    bench.set("slot-03", K.CHARGER_OVER_VOLTAGE, value=4)
    assert bench.cabinet.slot(3).charger.latch is Latch.OVP
    assert not bench.cabinet.slot(3).charging


def test_a_hot_charger_gives_nothing_until_it_has_cooled(bench: Bench) -> None:
    charging(bench)
    bench.set("slot-03", K.CHARGER_HOT)
    charger = bench.cabinet.slot(3).charger
    assert (charger.output_on, charger.temp_c) == (False, 95)
    charger.set_output(on=True)
    assert not charger.output_on
    bench.mishaps.end()
    bench.later(3_600)
    charger.set_output(on=True)
    assert charger.output_on


def test_smoke_flood_and_mains(bench: Bench) -> None:
    charging(bench)
    bench.set("cabinet", K.SMOKE)
    bench.set("cabinet", K.FLOOD, duration_s=1)
    assert bench.cabinet.alarms[Alarm.SMOKE]
    assert bench.cabinet.alarms[Alarm.FLOOD]
    bench.set("cabinet", K.MAINS_LOSS, duration_s=2)
    meter = modbus.rtu(10, bytes.fromhex("0400000002"))
    assert bench.ask(meter) == b""
    assert not bench.cabinet.slot(3).charger.powered
    assert bench.ask(DOORS) == CLOSED
    bench.later(3)
    assert bench.ask(meter) != b""
    assert bench.cabinet.slot(3).charger.powered
    assert not bench.cabinet.slot(3).charging  # it wakes with its output off
    assert bench.cabinet.alarms[Alarm.SMOKE]
    assert not bench.cabinet.alarms[Alarm.FLOOD]
