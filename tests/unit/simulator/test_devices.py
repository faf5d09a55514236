"""Every device byte for byte, without a wire: published frames, refusals, and model behind them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import modbus
from protocols.frames import jbd
from protocols.maps import eastron_sdm120, riden_rd6006, waveshare_relay, xy_md02
from protocols.registers import RegisterMap, Space, Span, Value
from simulator.devices.rack import Rack
from simulator.devices.sensors import EnergyMeter
from simulator.models.cabinet import Cabinet, PackOrder
from simulator.models.meter import Meter
from simulator.models.relay import Mode
from simulator.models.truth import Kind
from simulator.models.wiring import OUTPUT_PINS, Output, presence_pin
from simulator.wires.rtu import RtuSession
from simulator.wires.serial_bms import BmsSession
from simulator.wires.timing import Line


class Bench:
    """A cabinet whose wires answer at once."""

    def __init__(self) -> None:
        self.cabinet = Cabinet()
        self.rack = Rack.of(self.cabinet, lambda: None, reserved="zeros")
        self._a = RtuSession(self.rack.bus_a, Line(9_600, 0.0, realistic=False))
        self._chargers = RtuSession(self.rack.bus_chargers, Line(115_200, 0.0, realistic=False))

    def power(self, slot: int) -> None:
        for pin in (OUTPUT_PINS[Output.CONTACTOR], presence_pin(slot)):
            self.cabinet.boards[pin.board].set(pin.channel, on=True)

    def a(self, text: str) -> str:
        """One frame on bus A, as hexadecimal text without its checksum, and the answer alike."""
        frame = bytes.fromhex(text)
        return self._talk(self._a, modbus.rtu(frame[0], frame[1:]))

    def charger(self, text: str) -> str:
        frame = bytes.fromhex(text)
        return self._talk(self._chargers, modbus.rtu(frame[0], frame[1:]))

    def raw_a(self, text: str) -> str:
        replies = self._a.feed(bytes.fromhex(text), 0.0)
        return b"".join(reply.data for reply in replies).hex(" ").upper()

    def values(self, table: RegisterMap, unit: int, address: int, count: int) -> dict[str, Value]:
        """Registers of a charger, decoded."""
        head = struct.pack(">BBHH", unit, 3, address, count)
        words = bytes.fromhex(self.charger(head.hex()))[3:]
        span = Span(Space.HOLDING, address, count)
        return table.decode_span(span, struct.unpack(f">{count}H", words))

    def bms(self, slot: int, frame: bytes) -> bytes:
        session = BmsSession(self.rack.packs[slot], Line(9_600, 0.0, realistic=False))
        return b"".join(reply.data for reply in session.feed(frame, 0.0))

    @staticmethod
    def _talk(session: RtuSession, frame: bytes) -> str:
        replies = session.feed(frame, 0.0)
        if not replies:
            return ""
        (reply,) = replies
        assert modbus.rtu(reply.data[0], reply.data[1:-2]) == reply.data
        return reply.data[:-2].hex(" ")


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- relay boards -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_frame", "reply_frame"),
    [
        ("01 05 02 00 00 07 8D B0", "01 05 02 00 00 07 8D B0"),
        ("01 05 02 01 00 08 9C 74", "01 05 02 01 00 08 9C 74"),
        ("01 05 00 FF FF 00 BC 0A", "01 05 00 FF FF 00 BC 0A"),
        ("00 03 80 00 00 01 AC 1B", "01 03 02 00 C8 B9 D2"),
    ],
)
def test_published_frames(request_frame: str, reply_frame: str) -> None:
    bench = Bench()
    for board in (2, 3, 4):  # the published answers come from a bus with one board
        bench.cabinet.set_silent(f"board-{board}", silent=True)
    assert bench.raw_a(request_frame) == reply_frame


def test_published_reads(bench: Bench) -> None:
    board = bench.cabinet.boards[1]
    board.relays[:] = [bool(0x51 >> n & 1) for n in range(8)]
    board.inputs[:] = [bool(0xA1 >> n & 1) for n in range(8)]
    assert bench.raw_a("01 01 00 00 00 08 3D CC") == "01 01 01 51 90 74"
    assert bench.raw_a("01 02 00 00 00 08 79 CC") == "01 02 01 A1 60 30"


def test_flash_runs_on_simulated_time_and_a_new_command_cancels_it(bench: Bench) -> None:
    assert bench.a("03 05 02 02 00 05") == "03 05 02 02 00 05"
    assert bench.cabinet.boards[3].relays[2]
    bench.cabinet.advance(0.49)
    assert bench.cabinet.boards[3].relays[2]
    bench.cabinet.advance(0.02)
    assert not bench.cabinet.boards[3].relays[2]
    bench.a("03 05 02 02 00 05")
    bench.a("03 05 00 02 FF 00")
    bench.cabinet.advance(10.0)
    assert bench.cabinet.boards[3].relays[2]
    bench.a("03 05 04 02 00 05")
    assert not bench.cabinet.boards[3].relays[2]
    bench.cabinet.advance(0.5)
    assert bench.cabinet.boards[3].relays[2]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("01 05 00 00 12 34", 3),  # neither on, off nor toggle
        ("01 05 02 00 00 00", 3),  # no time
        ("01 05 02 00 80 00", 3),  # too long
        ("01 05 00 08 FF 00", 2),
        ("01 05 02 08 00 05", 2),
        ("01 05 03 00 FF 00", 2),
        ("01 01 00 01 00 08", 2),
        ("01 02 00 08 00 01", 2),
        ("01 01 00 00 00 00", 3),
        ("01 03 30 00 00 01", 2),
        ("01 04 00 00 00 01", 1),
        ("01 06 10 00 00 04", 3),  # no such mode
        ("01 06 40 00 00 00", 3),
        ("01 06 20 00 03 01", 3),
        ("01 06 80 00 00 01", 2),
        ("01 0F 00 04 00 08 01 FF", 2),
        ("01 16 00 00 00 00 00 00", 1),
    ],
)
def test_board_refusals_change_nothing(bench: Bench, frame: str, code: int) -> None:
    before = list(bench.cabinet.boards[1].relays), list(bench.cabinet.boards[1].modes)
    function = int(frame[3:5], 16)
    assert bench.a(frame) == f"01 {function | 0x80:02x} {code:02x}"
    assert (list(bench.cabinet.boards[1].relays), list(bench.cabinet.boards[1].modes)) == before


def test_all_relays_toggle_and_block_write(bench: Bench) -> None:
    relays = bench.cabinet.boards[4].relays
    assert bench.a("04 0F 00 00 00 08 01 0F") == "04 0f 00 00 00 08"
    assert relays == [True] * 4 + [False] * 4
    bench.a("04 05 00 FF 55 00")
    assert relays == [False] * 4 + [True] * 4
    bench.a("04 05 00 07 55 00")
    assert relays == [False] * 4 + [True] * 3 + [False]
    bench.a("04 05 00 FF 00 00")
    assert relays == [False] * 8


def test_a_linkage_mode_lets_a_door_switch_drive_its_lock(bench: Bench) -> None:
    assert bench.a("01 10 10 00 00 02 04 00 01 00 00") == "01 10 10 00 00 02"
    assert bench.cabinet.boards[1].modes[0] is Mode.LINKAGE
    assert bench.a("01 03 10 00 00 03") == "01 03 06 00 01 00 00 00 00"
    bench.a("01 05 02 00 00 05")
    assert bench.cabinet.slot(1).door.open
    bench.cabinet.push_door(1)
    # The closing switch fires the lock, which throws the door open: it cannot be shut any more.
    assert bench.cabinet.slot(1).door.open
    assert [e.kind for e in bench.cabinet.log.since(0)].count(Kind.LOCK_PULSE) == 2


def test_address_by_broadcast_with_one_board_and_with_four(bench: Bench) -> None:
    for board in (2, 3, 4):
        bench.cabinet.set_silent(f"board-{board}", silent=True)
    assert bench.raw_a("00 03 40 00 00 01 90 1B") == "01 03 02 00 01 79 84"
    assert bench.raw_a("00 06 40 00 00 01 5C 1B") == "00 06 40 00 00 01 5C 1B"
    assert bench.a("00 06 40 00 00 07") == "00 06 40 00 00 07"
    assert bench.a("01 01 00 00 00 08") == ""
    assert bench.a("07 01 00 00 00 08") == "07 01 01 00"
    for board in (2, 3, 4):
        bench.cabinet.set_silent(f"board-{board}", silent=False)
    garbled = bytes.fromhex(bench.raw_a("00 03 40 00 00 01 90 1B"))
    assert modbus.rtu(garbled[0], garbled[1:-2]) != garbled


# --- chargers -----------------------------------------------------------------------------------


def test_a_charger_without_mains_is_silent(bench: Bench) -> None:
    assert bench.charger("05 03 00 00 00 01") == ""
    bench.power(5)
    assert bench.charger("05 03 00 00 00 01") == "05 03 02 ea 9d"
    pin = OUTPUT_PINS[Output.CONTACTOR]
    bench.cabinet.boards[pin.board].set(pin.channel, on=False)
    assert bench.charger("05 03 00 00 00 01") == ""


def test_a_charge_by_registers(bench: Bench) -> None:
    bench.cabinet.stock(5, PackOrder("A", soc_pct=30, temp_c=28))
    bench.power(5)
    assert bench.charger("05 10 00 08 00 02 04 15 54 13 88") == "05 10 00 08 00 02"  # 54.6 V 5 A
    assert bench.charger("05 06 00 12 00 01") == "05 06 00 12 00 01"
    bench.cabinet.advance(60.0)
    values = bench.values(riden_rd6006.MAP, 5, 0, 42)
    pack = bench.cabinet.slot(5).pack
    assert pack is not None
    assert values["model_id"] == 60_061
    assert (values["output_on"], values["cv_cc"], values["protection"]) == (1, 1, 0)
    assert (values["voltage_set_v"], values["current_set_a"]) == (54.6, 5.0)
    assert values["current_out_a"] == 5.0
    assert values["voltage_out_v"] == pytest.approx(
        bench.cabinet.slot(5).charger.voltage_v, abs=0.01
    )
    assert values["power_w"] == pytest.approx(5.0 * values["voltage_out_v"], abs=0.1)
    assert values["battery_mode"] == 1
    assert values["charge_ah"] == pytest.approx(5.0 / 60, abs=0.001)
    assert values["energy_wh"] == pytest.approx(pack.energy_in_wh, rel=0.01)
    assert values["external_temp_c"] == round(bench.cabinet.slot(5).air_c)
    assert bench.cabinet.slot(5).charging
    assert bench.charger("05 06 00 12 00 00") == "05 06 00 12 00 00"
    assert not bench.cabinet.slot(5).charging
    assert bench.values(riden_rd6006.MAP, 5, 33, 1)["battery_voltage_v"] > 40.0


def test_an_over_voltage_limit_latches_the_output_off(bench: Bench) -> None:
    bench.power(1)
    for frame in ("01 06 00 52 13 88", "01 06 00 08 15 54", "01 06 00 12 00 01"):  # OVP 50 V
        assert bench.charger(frame) == frame.lower()
    values = bench.values(riden_rd6006.MAP, 1, 16, 3)
    assert (values["protection"], values["output_on"]) == (riden_rd6006.PROTECTION_OVP, 0)


@pytest.mark.parametrize("boot", [0, 1])
def test_boot_power(bench: Bench, boot: int) -> None:
    bench.power(1)
    bench.charger(f"01 06 00 44 00 0{boot}")
    bench.charger("01 06 00 12 00 01")
    pin = presence_pin(1)
    bench.cabinet.boards[pin.board].set(pin.channel, on=False)
    bench.cabinet.boards[pin.board].set(pin.channel, on=True)
    assert bench.values(riden_rd6006.MAP, 1, 18, 1)["output_on"] == boot


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("01 06 00 08 17 71", 3),  # 60.01 V
        ("01 06 00 09 17 71", 3),  # 6.001 A
        ("01 06 00 12 00 02", 3),
        ("01 06 00 0A 00 01", 2),  # a measured value
        ("01 06 00 37 00 01", 2),  # calibration
        ("01 03 00 78 00 01", 2),
        ("01 06 01 00 16 01", 2),  # bootloader
        ("01 04 00 00 00 01", 1),
        ("01 05 00 12 FF 00", 1),
    ],
)
def test_charger_refusals(bench: Bench, frame: str, code: int) -> None:
    bench.power(1)
    function = int(frame[3:5], 16)
    assert bench.charger(frame) == f"01 {function | 0x80:02x} {code:02x}"


def test_a_refused_block_changes_nothing(bench: Bench) -> None:
    bench.power(1)
    assert bench.charger("01 10 00 08 00 02 04 15 54 17 71") == "01 90 03"
    assert bench.cabinet.slot(1).charger.voltage_set_v == 0.0


def test_a_preset_is_recalled(bench: Bench) -> None:
    bench.power(1)
    bench.charger("01 10 00 58 00 04 08 13 88 07 D0 15 7C 0B B8")  # preset 2: 50 V 2 A 55 V 3 A
    bench.charger("01 06 00 13 00 02")
    charger = bench.cabinet.slot(1).charger
    assert (charger.voltage_set_v, charger.current_set_a) == (50.0, 2.0)
    assert (charger.ovp_v, charger.ocp_a) == (55.0, 3.0)


def test_below_zero_the_probe_shows_sign_and_magnitude(bench: Bench) -> None:
    bench.power(1)
    bench.cabinet.slot(1).air_c = -7.4
    values = bench.values(riden_rd6006.MAP, 1, 34, 4)
    assert riden_rd6006.temperature_c(values["external_temp_sign"], values["external_temp_c"]) == -7
    assert values["external_temp_f"] == 19


# --- meter and climate --------------------------------------------------------------------------


def test_every_meter_register_shows_the_model(bench: Bench) -> None:
    bench.cabinet.advance(3_600.0)
    meter = bench.cabinet.meter
    for register in eastron_sdm120.MAP.registers:
        function = 4 if register.space is Space.INPUT else 3
        answer = bench.a(f"0A {function:02x} {register.address:04x} 0002")
        value = register.decode(struct.unpack(">2H", bytes.fromhex(answer)[3:]))
        if hasattr(meter, register.name):
            assert value == pytest.approx(getattr(meter, register.name)), register.name
        assert value or register.name in {"export_kwh", "export_kvarh", "parity_stop"}


def test_reserved_meter_words_are_zero_or_refused(bench: Bench) -> None:
    answer = bytes.fromhex(bench.a("0A 04 00 00 00 08"))
    assert answer[3 + 4 : 3 + 12] == bytes(8)
    assert struct.unpack(">f", answer[3:7])[0] == pytest.approx(bench.cabinet.meter.voltage_v)
    assert struct.unpack(">f", answer[15:19])[0] == pytest.approx(bench.cabinet.meter.current_a)
    strict = EnergyMeter("meter", 10, Meter(), "exception").answer(10, bytes.fromhex("0400000008"))
    assert strict is not None
    assert strict.pdu == bytes.fromhex("8402")
    assert bench.a("0A 04 02 00 00 02") == "0a 84 02"
    assert bench.a("0A 06 00 0C 00 01") == "0a 86 01"


def test_published_climate_sample(bench: Bench) -> None:
    climate = bench.cabinet.climate
    climate.temp_c, climate.humidity_pct = 30.5, 54.6
    assert bench.a("14 04 00 01 00 02") == "14 04 04 01 31 02 22"
    assert bench.a("14 06 01 03 FF EC") == "14 06 01 03 ff ec"  # offset -2.0
    assert bench.a("14 04 00 01 00 01") == "14 04 02 01 1d"
    climate.temp_c = -10.0
    assert bench.a("14 04 00 01 00 01") == "14 04 02 ff 88"
    assert bench.a("14 03 01 01 00 02") == "14 03 04 00 14 25 80"
    assert bench.a("14 06 01 01 00 15") == "14 06 01 01 00 15"
    assert bench.a("15 04 00 01 00 01") == "15 04 02 ff 88"


@given(st.binary(min_size=1, max_size=60), st.sampled_from([0, 1, 2, 3, 4, 10, 20]))
def test_no_request_breaks_a_device(pdu: bytes, unit: int) -> None:
    bench = Bench()
    bench.power(1)
    for bus in (bench.rack.bus_a, bench.rack.bus_chargers):
        for answer in (said.answer for said in bus.ask(unit, pdu)):
            assert answer.pdu[0] & 0x7F == pdu[0] & 0x7F
            if answer.pdu[0] & 0x80 and not pdu[0] & 0x80:
                assert answer.pdu[1] in {1, 2, 3}


@given(
    st.sampled_from([(riden_rd6006.MAP, 1), (xy_md02.MAP, 20), (waveshare_relay.MAP, 3)]),
    st.data(),
)
def test_what_is_written_within_bounds_is_read_back(
    device: tuple[RegisterMap, int], data: st.DataObject
) -> None:
    table, unit = device
    special = {"preset", "device_address"}  # a recall, and a move to another address
    writable = [
        register
        for register in table.registers
        if register.writable and register.space is Space.HOLDING and register.name not in special
    ]
    register = data.draw(st.sampled_from(writable))
    low, high = register.bounds
    if register.name == "uart":
        low, high = 0, 7
    raw = register.encode(data.draw(st.floats(low, high)))
    bench = Bench()
    bench.power(1)
    talk = bench.charger if table is riden_rd6006.MAP else bench.a
    words = "".join(f"{word:04x}" for word in raw)
    written = f"{unit:02x}06{register.address:04x}{words}"
    assert talk(written).replace(" ", "") == written
    read = talk(f"{unit:02x}03{register.address:04x}0001").replace(" ", "")
    assert read == f"{unit:02x}0302{words}"


# --- batteries ----------------------------------------------------------------------------------


def basic(bench: Bench, slot: int) -> jbd.BasicInfo:
    (frame,) = jbd.Parser().feed(bench.bms(slot, jbd.read_request(jbd.REG_BASIC)))
    assert isinstance(frame, jbd.Frame)
    assert frame.ok
    return jbd.decode_basic(frame.data)


def answered(reply: bytes) -> jbd.Frame:
    (frame,) = jbd.Parser().feed(reply)
    assert isinstance(frame, jbd.Frame)
    return frame


def test_a_pack_tells_its_state(bench: Bench) -> None:
    bench.cabinet.stock(3, PackOrder("YZ48-000042", soc_pct=57.3, temp_c=-4.0, cycles=211))
    pack = bench.cabinet.slot(3).pack
    assert pack is not None
    info = basic(bench, 3)
    assert (info.soc_pct, info.cycles, info.cells) == (57, 211, 13)
    assert info.voltage_v == pytest.approx(pack.voltage_v, abs=0.006)
    assert info.temps_c == pytest.approx(pack.temps_c, abs=0.06)
    assert info.protection == {"charge-under-temp"}
    assert (info.charge_fet_on, info.discharge_fet_on) == (False, True)
    assert info.remaining_ah == pytest.approx(24 * 0.573, abs=0.01)
    cells = jbd.decode_cells(answered(bench.bms(3, jbd.read_request(jbd.REG_CELLS))).data)
    assert cells == pytest.approx(pack.cell_v, abs=0.0006)
    code = answered(bench.bms(3, jbd.read_request(jbd.REG_BARCODE)))
    assert jbd.decode_barcode(code.data) == "YZ48-000042"
    assert answered(bench.bms(3, jbd.read_request(jbd.REG_MODEL))).data.isascii()


@pytest.mark.parametrize(
    ("frame", "charge", "discharge"),
    [
        ("DD 5A E1 02 00 01 FF 1C 77", False, True),
        ("DD 5A E1 02 00 03 FF 1A 77", False, False),
        ("DD 5A E1 02 00 00 FF 1D 77", True, True),
    ],
)
def test_published_switch_frames(bench: Bench, frame: str, charge: bool, discharge: bool) -> None:
    bench.cabinet.stock(1, PackOrder("A"))
    assert bench.bms(1, bytes.fromhex(frame)) == bytes.fromhex("DD E1 00 00 00 00 77")
    info = basic(bench, 1)
    assert (info.charge_fet_on, info.discharge_fet_on) == (charge, discharge)


def test_the_charge_switch_stops_a_charge(bench: Bench) -> None:
    bench.cabinet.stock(5, PackOrder("A", soc_pct=30))
    bench.power(5)
    bench.charger("05 10 00 08 00 02 04 15 54 13 88")
    bench.charger("05 06 00 12 00 01")
    assert basic(bench, 5).current_a == 5.0
    bench.bms(5, bytes.fromhex("DD 5A E1 02 00 01 FF 1C 77"))
    assert not bench.cabinet.slot(5).charging
    assert basic(bench, 5).current_a == 0.0


def test_error_counters(bench: Bench) -> None:
    bench.cabinet.stock(1, PackOrder("A", temp_c=61.0, protection=frozenset({"short-circuit"})))
    data = answered(bench.bms(1, jbd.read_request(0xAA))).data
    assert struct.unpack(">11H", data) == (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "frame",
    [jbd.read_request(0x77), jbd.write_request(0xE1, b"\x00\x04"), jbd.write_request(3, b"")],
)
def test_unknown_registers_are_refused(bench: Bench, frame: bytes) -> None:
    bench.cabinet.stock(1, PackOrder("A"))
    assert not answered(bench.bms(1, frame)).ok


def test_an_unreadable_barcode_is_refused_and_the_rest_still_answers(bench: Bench) -> None:
    bench.cabinet.stock(1, PackOrder(None, soc_pct=50))
    assert not answered(bench.bms(1, jbd.read_request(jbd.REG_BARCODE))).ok
    assert basic(bench, 1).soc_pct == 50


def test_silence_without_a_pack_and_of_a_mute_one(bench: Bench) -> None:
    request = jbd.read_request(jbd.REG_BASIC)
    assert bench.bms(1, request) == b""
    bench.cabinet.stock(1, PackOrder("A"))
    assert bench.bms(1, request)
    bench.cabinet.alter(1, PackOrder(None, bms_silent=True))
    assert bench.bms(1, request) == b""
    bench.cabinet.alter(1, PackOrder(None, bms_silent=False))
    bench.cabinet.set_silent("bms-01", silent=True)
    assert bench.bms(1, request) == b""


@pytest.mark.parametrize(
    ("device", "frame"),
    [
        ("board-1", "01 01 00 00 00 08"),
        ("meter", "0A 04 00 00 00 02"),
        ("climate", "14 04 00 01 00 01"),
    ],
)
def test_a_silenced_device_neither_acts_nor_answers(bench: Bench, device: str, frame: str) -> None:
    assert bench.a(frame)
    bench.cabinet.set_silent(device, silent=True)
    assert bench.a(frame) == ""
    bench.a("01 05 02 00 00 05")
    assert bench.cabinet.slot(1).door.open is (device != "board-1")
    bench.cabinet.set_silent(device, silent=False)
    assert bench.a(frame)
