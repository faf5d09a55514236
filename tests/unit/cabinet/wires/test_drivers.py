"""Each driver against golden frames and scripted replies, without a line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from cabinet.adapters.clock import SystemClock
from cabinet.adapters.devices import DRIVERS
from cabinet.adapters.devices.modbus import Modbus
from cabinet.calls import Call, Place, Urgency
from cabinet.config import PackConfig
from cabinet.config_devices import Protocol
from cabinet.errors import DeviceRefusedError, LinkError
from protocols.frames import jbd
from protocols.maps import eastron_sdm120, eastron_sdm630, riden_rd6006
from protocols.registers import RegisterMap, Space
from tests.support.wires import rtu

T = TypeVar("T")

PACK = PackConfig(voltage_max_v=54.6, current_max_a=6.0, current_min_a=0.5, capacity_wh=960.0)


class FakeWire:
    """Answers by a function, or by a list in order; keeps what was asked."""

    name = "device"

    def __init__(self, answer: Callable[[bytes], bytes] | list[bytes | str]) -> None:
        self.calls: list[Call[object]] = []
        self._answer = answer

    @property
    def requests(self) -> list[bytes]:
        return [call.request for call in self.calls]

    async def ask(self, call: Call[T]) -> T:
        self.calls.append(call)  # type: ignore[arg-type]
        if isinstance(self._answer, list):
            data = self._answer.pop(0)
            reply = bytes.fromhex(data) if isinstance(data, str) else data
        else:
            reply = self._answer(call.request)
        for length in range(len(reply)):  # never satisfied by a part
            assert call.take(reply[:length]) is None
        taken = call.take(reply)
        if taken is None:
            raise LinkError(self.name, "no valid reply")
        return taken


def place(wire: FakeWire, address: int = 1, protocol: Protocol = Protocol.MODBUS_RTU) -> Place:
    return Place(wire, address, protocol, PACK, SystemClock())


def echo(request: bytes) -> bytes:
    return request


def frames(*texts: str) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


# --- Waveshare ----------------------------------------------------------------------------------


async def test_waveshare_golden_frames() -> None:
    wire = FakeWire(echo)
    board = DRIVERS["waveshare-relay-d"](place(wire))
    await board.pulse(0, 700)
    await board.pulse(1, 800)
    await board.lease(1, 750)  # rounded up to whole steps
    await board.set_relay(0, on=True)
    await board.all_off()
    assert wire.requests[:3] == frames(
        "01 05 02 00 00 07 8D B0", "01 05 02 01 00 08 9C 74", "01 05 02 01 00 08 9C 74"
    )
    assert wire.requests[3] == rtu(1, 5, 0, 0, 0xFF, 0)
    assert wire.requests[4] == rtu(1, 5, 0, 0xFF, 0, 0)
    urgencies = [call.urgency for call in wire.calls]
    assert urgencies == [
        Urgency.COMMAND, Urgency.COMMAND, Urgency.READING, Urgency.SAFETY, Urgency.SAFETY
    ]  # fmt: skip
    assert all(call.tries == 1 and not call.is_read for call in wire.calls)


async def test_waveshare_reads() -> None:
    wire = FakeWire(["01 01 01 00 51 88", "01 02 01 00 A1 88", rtu(1, 2, 1, 0b1000_0101)])
    board = DRIVERS["waveshare-relay-d"](place(wire))
    assert await board.read_relays() == (False,) * 8
    assert await board.read_inputs() == (False,) * 8
    levels = await board.read_inputs()
    assert [n for n, level in enumerate(levels) if level] == [0, 2, 7]
    assert wire.requests[:2] == frames("01 01 00 00 00 08 3D CC", "01 02 00 00 00 08 79 CC")


async def test_waveshare_prepare_reads_modes_and_version() -> None:
    wire = FakeWire([rtu(1, 3, 16, *[0] * 16), rtu(1, 3, 2, 0, 200)])
    board = DRIVERS["waveshare-relay-d"](place(wire))
    await board.prepare()
    assert wire.requests[0] == bytes.fromhex("01 03 10 00 00 08 40 CC")
    assert board.version == "2.00"


async def test_waveshare_repairs_linkage_mode_or_refuses() -> None:
    modes = [0, 0, 1, 0, 0, 0, 0, 0]
    stubborn = False

    def answer(request: bytes) -> bytes:
        if request[1] == 6:
            if not stubborn:
                modes[request[3]] = request[5]
            return request
        if request[2:4] == b"\x80\x00":
            return rtu(1, 3, 2, 0, 200)
        return rtu(1, 3, 16, *(byte for mode in modes for byte in (0, mode)))

    await DRIVERS["waveshare-relay-d"](place(FakeWire(answer))).prepare()
    assert modes == [0] * 8
    modes[4], stubborn = 3, True
    with pytest.raises(DeviceRefusedError, match="modes stay"):
        await DRIVERS["waveshare-relay-d"](place(FakeWire(answer))).prepare()


async def test_an_exception_reply_is_a_refusal() -> None:
    wire = FakeWire(["01 85 03 02 91"])
    with pytest.raises(DeviceRefusedError, match="exception 3"):
        await DRIVERS["waveshare-relay-d"](place(wire)).pulse(0, 500)


@pytest.mark.parametrize(
    ("reply", "work"),
    [
        (rtu(1, 2, 2, 0, 0), lambda m: m.read_bits(Space.DISCRETE, 0, 8, Urgency.DOOR)),
        (rtu(1, 6, 0, 7, 0, 2), lambda m: m.write_word(7, 1, Urgency.COMMAND)),
        (rtu(1, 6, 0, 8, 0, 1), lambda m: m.write_word(7, 1, Urgency.COMMAND)),
        (rtu(1, 16, 0, 7, 0, 1), lambda m: m.write_words(7, (1, 2), Urgency.COMMAND)),
        (rtu(1, 16, 0, 8, 0, 2), lambda m: m.write_words(7, (1, 2), Urgency.COMMAND)),
    ],
    ids=["bits", "word-value", "word-address", "words-count", "words-address"],
)
async def test_replies_that_do_not_fit_the_request_are_refused(
    reply: bytes, work: Callable[[Modbus], Awaitable[object]]
) -> None:
    with pytest.raises(LinkError):
        await work(Modbus(place(FakeWire([reply]))))


# --- Riden --------------------------------------------------------------------------------------


class FakeRiden:
    """A register file that answers FC 3, 6 and 16."""

    def __init__(self, model: int = 60_061) -> None:
        self.words = [0] * 128
        self.words[0] = model
        self.writes: list[tuple[int, int]] = []
        self.deaf: set[int] = set()

    def __call__(self, request: bytes) -> bytes:
        unit, function, address = request[0], request[1], int.from_bytes(request[2:4])
        if function == 3:
            count = int.from_bytes(request[4:6])
            values = self.words[address : address + count]
            return rtu(unit, 3, 2 * count, *(b for v in values for b in v.to_bytes(2)))
        values = [int.from_bytes(request[4:6])]
        if function == 16:
            data = request[7:-2]
            values = [int.from_bytes(data[n : n + 2]) for n in range(0, len(data), 2)]
        for offset, value in enumerate(values):
            self.writes.append((address + offset, value))
            if address + offset not in self.deaf:
                self.words[address + offset] = value
        return request if function == 6 else rtu(*request[:6])


async def test_riden_make_safe_switches_off_and_sets_its_own_limits() -> None:
    device = FakeRiden()
    device.words[18], device.words[68] = 1, 1
    wire = FakeWire(device)
    await DRIVERS["riden-rd6006"](place(wire)).make_safe()
    assert device.writes == [(18, 0), (68, 0), (82, 5_560), (83, 6_200)]
    assert wire.calls[1].urgency is Urgency.SAFETY


@pytest.mark.parametrize("model", [60_065, 60_121, 60_060, 0])
async def test_riden_of_another_model_is_never_written(model: int) -> None:
    device = FakeRiden(model)
    with pytest.raises(DeviceRefusedError, match="no RD6006"):
        await DRIVERS["riden-rd6006"](place(FakeWire(device))).make_safe()
    assert device.writes == []


async def test_riden_set_writes_set_points_before_the_output() -> None:
    device = FakeRiden()
    charger = DRIVERS["riden-rd6006"](place(FakeWire(device)))
    await charger.set(on=True, voltage_v=54.6, current_a=2.345)
    assert device.writes == [(8, 5_460), (9, 2_345), (18, 1)]
    await charger.set(on=False, voltage_v=0.0, current_a=0.0)
    assert device.writes[3:] == [(18, 0)]


@pytest.mark.parametrize("deaf", [8, 9, 18])
async def test_riden_that_does_not_take_an_order_is_an_error(deaf: int) -> None:
    device = FakeRiden()
    device.deaf = {deaf}
    charger = DRIVERS["riden-rd6006"](place(FakeWire(device)))
    with pytest.raises(LinkError, match="did not take"):
        await charger.set(on=True, voltage_v=50.0, current_a=1.0)
    device.words[18], device.deaf = 1, {18}
    with pytest.raises(LinkError, match="stays on"):
        await charger.set(on=False, voltage_v=0, current_a=0)


@pytest.mark.parametrize(
    ("voltage_v", "current_a"), [(54.7, 1.0), (50.0, 6.1), (0.0, 1.0), (50, 0)]
)
async def test_riden_refuses_an_order_above_the_packs_limits(
    voltage_v: float, current_a: float
) -> None:
    device = FakeRiden()
    with pytest.raises(DeviceRefusedError, match="limits"):
        await DRIVERS["riden-rd6006"](place(FakeWire(device))).set(
            on=True, voltage_v=voltage_v, current_a=current_a
        )
    assert device.writes == []


async def test_riden_reading() -> None:
    device = FakeRiden()
    words = {8: 5_460, 9: 3_000, 10: 4_824, 11: 2_999, 13: 14_470, 16: 1, 18: 1, 34: 1, 35: 7}
    for address, value in words.items():
        device.words[address] = value
    wire = FakeWire(device)
    reading = await DRIVERS["riden-rd6006"](place(wire)).read()
    assert wire.requests == [rtu(1, 3, 0, 0, 0, 42)]
    assert (reading.voltage_set_v, reading.current_set_a) == (54.6, 3.0)
    assert (reading.voltage_v, reading.current_a, reading.power_w) == (48.24, 2.999, 144.7)
    assert reading.output_on
    assert reading.protection == "ovp"
    assert reading.air_temp_c == -7.0
    device.words[16] = 9
    assert (await DRIVERS["riden-rd6006"](place(wire)).read()).protection == "unknown"
    assert riden_rd6006.MAP["ovp_v"].address == 82


# --- meters and climate -------------------------------------------------------------------------


def floats(registers: RegisterMap, values: dict[str, float]) -> Callable[[bytes], bytes]:
    """A meter that tells these values and zeros elsewhere."""

    def answer(request: bytes) -> bytes:
        assert request[1] == 4
        address, count = int.from_bytes(request[2:4]), int.from_bytes(request[4:6])
        words = [0] * count
        for name, value in values.items():
            offset = registers[name].address - address
            if 0 <= offset < count - 1:
                words[offset : offset + 2] = registers[name].encode(value)
        return rtu(1, 4, 2 * count, *(b for w in words for b in w.to_bytes(2)))

    return answer


async def test_sdm120() -> None:
    told = {"voltage_v": 230.5, "power_w": 812.25, "import_kwh": 12.5, "export_kwh": 3.0}
    reading = await DRIVERS["eastron-sdm120"](
        place(FakeWire(floats(eastron_sdm120.MAP, told)))
    ).read()
    assert (reading.voltage_v, reading.power_w, reading.energy_wh) == (230.5, 812.25, 12_500.0)


async def test_sdm630() -> None:
    told = {"voltage_l1_v": 231.0, "power_l1_w": 1.0, "power_w": 3_000.5, "import_kwh": 2.0}
    reading = await DRIVERS["eastron-sdm630"](
        place(FakeWire(floats(eastron_sdm630.MAP, told)))
    ).read()
    assert (reading.voltage_v, reading.power_w, reading.energy_wh) == (231.0, 3_000.5, 2_000.0)


async def test_a_meter_that_tells_nonsense_is_a_link_error() -> None:
    nan = (0x7FC0, 0)
    reply = rtu(1, 4, 28, *(b for w in (*nan, *[0] * 12) for b in w.to_bytes(2)))
    with pytest.raises(LinkError, match="impossible"):
        await DRIVERS["eastron-sdm120"](place(FakeWire([reply]))).read()


async def test_xy_md02_golden_frames() -> None:
    wire = FakeWire(["01 04 04 01 31 02 22 2A CE"])
    reading = await DRIVERS["xy-md02"](place(wire)).read()
    assert wire.requests == frames("01 04 00 01 00 02 20 0B")
    assert (reading.temp_c, reading.humidity_pct) == (30.5, 54.6)


# --- JBD ----------------------------------------------------------------------------------------

BASIC = (
    "DD 03 00 1B 17 00 00 00 02 D0 03 E8 00 00 20 78 00 00 00 00 00 00 10 48 03 0F 02 0B 76 0B 82"
    " FB FF 77"
)


def pack(serial: str = "YZ48-000001") -> Callable[[bytes], bytes]:
    def answer(request: bytes) -> bytes:
        if request == bytes.fromhex("DD A5 03 00 FF FD 77"):
            return bytes.fromhex(BASIC)
        if request == bytes.fromhex("DD A5 04 00 FF FC 77"):
            return jbd.reply(jbd.REG_CELLS, jbd.encode_cells([3.9] * 15))
        if request[2] == jbd.REG_BARCODE:
            if not serial:
                return jbd.reply(jbd.REG_BARCODE, status=jbd.STATUS_ERROR)
            return jbd.reply(jbd.REG_BARCODE, jbd.encode_barcode(serial))
        return jbd.reply(jbd.REG_FET)

    return answer


async def test_jbd_reading_of_the_makers_sample() -> None:
    wire = FakeWire(pack())
    reading = await DRIVERS["jbd-bms"](place(wire, 0, Protocol.JBD)).read()
    assert reading.serial == "YZ48-000001"
    assert (reading.voltage_v, reading.current_a, reading.soc_pct) == (58.88, 0.0, 72)
    assert (reading.remaining_ah, reading.capacity_ah) == (7.2, 10.0)
    assert len(reading.cell_v) == 15
    assert reading.temps_c == (20.3, 21.5)
    assert reading.charge_fet_on
    assert reading.discharge_fet_on


async def test_jbd_serial_is_read_once_until_forgotten() -> None:
    wire = FakeWire(pack())
    bms = DRIVERS["jbd-bms"](place(wire, 0, Protocol.JBD))

    def barcodes() -> int:
        return sum(request[2] == jbd.REG_BARCODE for request in wire.requests)

    await bms.read()
    await bms.read()
    assert barcodes() == 1
    bms.forget()
    assert (await bms.read()).serial == "YZ48-000001"
    assert barcodes() == 2


async def test_jbd_pack_that_will_not_tell_its_serial_is_asked_each_time() -> None:
    wire = FakeWire(pack(serial=""))
    bms = DRIVERS["jbd-bms"](place(wire, 0, Protocol.JBD))
    assert (await bms.read()).serial is None
    assert (await bms.read()).serial is None
    assert sum(request[2] == jbd.REG_BARCODE for request in wire.requests) == 2


async def test_jbd_reading_across_a_change_of_packs_is_dropped() -> None:
    first = pack("YZ48-000001")

    def answer(request: bytes) -> bytes:
        if request[2] == jbd.REG_BARCODE and len(wire.calls) == 3:
            bms.forget()  # the door opened while the old pack's barcode was on the wire
        return first(request)

    wire = FakeWire(answer)
    bms = DRIVERS["jbd-bms"](place(wire, 0, Protocol.JBD))
    with pytest.raises(LinkError, match="changed"):
        await bms.read()
    await bms.read()
    assert sum(request[2] == jbd.REG_BARCODE for request in wire.requests) == 2


async def test_jbd_reply_about_another_register_is_not_taken() -> None:
    wire = FakeWire([jbd.reply(jbd.REG_CELLS, bytes.fromhex(BASIC)[4:-3])])
    with pytest.raises(LinkError, match="no valid reply"):
        await DRIVERS["jbd-bms"](place(wire, 0, Protocol.JBD)).read()


async def test_jbd_charge_fet_golden_frames() -> None:
    wire = FakeWire(pack())
    bms = DRIVERS["jbd-bms"](place(wire, 0, Protocol.JBD))
    await bms.set_charge_fet(on=False)
    await bms.set_charge_fet(on=True)
    assert wire.requests == frames("DD 5A E1 02 00 01 FF 1C 77", "DD 5A E1 02 00 00 FF 1D 77")


# --- Modbus TCP ---------------------------------------------------------------------------------


async def test_mbap_frames_carry_a_number_that_their_reply_must_repeat() -> None:
    def answer(request: bytes) -> bytes:
        body = bytes([request[6], 3, 2, 0, 5])
        return request[:4] + len(body).to_bytes(2) + body

    def stale(request: bytes) -> bytes:
        number = (int.from_bytes(request[:2]) - 1).to_bytes(2)
        body = bytes([request[6], 3, 2, 0, 5])
        return number + request[2:4] + len(body).to_bytes(2) + body

    def other_function(request: bytes) -> bytes:
        reply = bytearray(answer(request))
        reply[7] = 4
        return bytes(reply)

    wire = FakeWire(answer)
    modbus = Modbus(place(wire, 9, Protocol.MODBUS_TCP))
    for number in (1, 2):
        assert await modbus.read_words(Space.HOLDING, 7, 1, Urgency.READING) == (5,)
        head = bytes([0, number, 0, 0, 0, 6, 9, 3, 0, 7, 0, 1])
        assert wire.requests[-1] == head
    for wrong in (stale, other_function):
        with pytest.raises(LinkError):
            await Modbus(place(FakeWire(wrong), 9, Protocol.MODBUS_TCP)).read_words(
                Space.HOLDING, 7, 1, Urgency.READING
            )
