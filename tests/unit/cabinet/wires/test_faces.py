"""The drivers of devices with a face: what they do when the device, the pack or the wire misbehaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from cabinet.adapters.devices import DRIVERS
from cabinet.calls import Call, Place, Urgency
from cabinet.config import PackConfig
from cabinet.config_devices import Protocol
from cabinet.errors import DeviceRefusedError, LinkError
from protocols import modbus
from protocols.devices import daly_bms, dlt645_meter, lock_8a
from protocols.devices import kerong_kr_cu16 as kerong
from protocols.devices import mean_well_drs as drs
from protocols.faces import MeterFacts, PackFacts

T = TypeVar("T")
PACK = PackConfig(voltage_max_v=54.6, current_max_a=6.0, current_min_a=0.5, capacity_wh=960.0)
FACTS = PackFacts(
    soc_pct=77,
    voltage_v=48.3,
    current_a=3.4,
    cell_v=(3.7,) * 13,
    temps_c=(21.0, 22.0),
    protection=frozenset(),
    charge_fet_on=True,
    discharge_fet_on=True,
    remaining_ah=18.5,
    capacity_ah=24.0,
    cycles=42,
    serial="YZ48-000042",
)


class Clock:
    """Stands still until told."""

    now_ms = 0

    def monotonic_ms(self) -> int:
        return self.now_ms


class FakeWire:
    """Answers by a function; None is silence. Keeps what was asked."""

    name = "device"

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self.answer = answer
        self.calls: list[Call[Any]] = []

    async def ask(self, call: Call[T]) -> T:
        self.calls.append(call)
        reply = self.answer(call.request)
        if call.reply_bytes == 0:
            return b""  # type: ignore[return-value]
        taken = None if reply is None else call.take(reply)
        if taken is None:
            raise LinkError(self.name, "no valid reply")
        return taken


def driver(
    type_: str,
    answer: Callable[[bytes], bytes | None],
    protocol: Protocol,
    address: int = 0,
    number: str = "",
) -> tuple[Any, FakeWire, Clock]:
    wire, clock = FakeWire(answer), Clock()
    place = Place(wire, address, protocol, PACK, clock, number)  # type: ignore[arg-type]
    return DRIVERS[type_](place), wire, clock


def daly(facts: PackFacts = FACTS) -> tuple[Any, FakeWire, Clock]:
    return driver("daly-bms", lambda r: daly_bms.DalyBms().answer(r, facts).frame, Protocol.DALY)


async def test_charging_is_positive() -> None:
    bms, _, _ = daly()
    assert (await bms.read()).current_a == 3.4


async def test_a_serial_is_read_once_per_insertion() -> None:
    bms, wire, _ = daly()
    for _ in range(2):
        assert (await bms.read()).serial == "YZ48-000042"
    codes = [call for call in wire.calls if call.request[2] == daly_bms.CODE]
    assert len(codes) == 1
    bms.forget()
    await bms.read()
    assert len([call for call in wire.calls if call.request[2] == daly_bms.CODE]) == 2


async def test_a_pack_that_is_changed_during_its_reading_is_no_reading() -> None:
    bms, wire, _ = daly()
    answer = wire.answer

    def swapped(request: bytes) -> bytes | None:
        if request[2] == daly_bms.FAULTS:
            bms.forget()
        return answer(request)

    wire.answer = swapped
    with pytest.raises(LinkError, match="may have changed"):
        await bms.read()
    wire.answer = answer
    assert (await bms.read()).serial == "YZ48-000042"


async def test_a_silent_serial_costs_one_try_in_ten_seconds() -> None:
    bms, wire, clock = daly()
    answer = wire.answer
    wire.answer = lambda r: None if r[2] == daly_bms.CODE else answer(r)
    for clock.now_ms in (0, 5_000, 9_999, 10_000):
        assert (await bms.read()).serial is None
    codes = [call for call in wire.calls if call.request[2] == daly_bms.CODE]
    assert len(codes) == 2
    bms.forget()
    await bms.read()
    assert len([call for call in wire.calls if call.request[2] == daly_bms.CODE]) == 3


@pytest.mark.parametrize(
    ("cells", "sensors"), [(0, 2), (49, 2), (13, 17)], ids=["no-cells", "cells", "sensors"]
)
async def test_an_impossible_status_is_no_reading(cells: int, sensors: int) -> None:
    def answer(request: bytes) -> bytes | None:
        return daly_bms.frame(1, request[2], bytes([cells, sensors]))

    bms, _, _ = driver("daly-bms", answer, Protocol.DALY)
    with pytest.raises(LinkError, match="impossible reading"):
        await bms.read()


async def test_a_lock_is_fired_once_and_never_again() -> None:
    for type_, face, protocol, board, answers in (
        ("kerong-kr-cu16", kerong.FACE, Protocol.KERONG, 2, 1),
        ("lock-8a-12", lock_8a.Lock8a(12), Protocol.LOCK_8A, 2, 0),
    ):
        fired: list[int] = []

        def answer(request: bytes, face: Any = face, fired: list[int] = fired) -> bytes | None:
            said = face.answer(request, 2, (True,) * 32)
            if said.fired is not None:
                fired.append(said.fired)
            return said.frame

        lock, wire, _ = driver(type_, answer, protocol, board)
        await lock.pulse(4, 500)
        assert fired == [4]
        writes = [call for call in wire.calls if not call.is_read]
        assert (len(writes), writes[0].tries) == (1, 1)
        assert writes[0].urgency is Urgency.COMMAND
        assert len(wire.calls) == 1 + answers
        wire.answer = lambda _: None
        with pytest.raises(LinkError) as silent:
            await lock.pulse(4, 500)
        assert silent.value.sent_maybe
        assert len([call for call in wire.calls if not call.is_read]) == 2


async def test_a_pulse_that_went_out_never_counts_as_surely_not_fired() -> None:
    """The port went away, or the board was given up, between the pulse and the look after it."""

    class Unplugged(FakeWire):
        async def ask(self, call: Call[T]) -> T:
            if call.is_read:
                raise LinkError(self.name, "the port is missing", sent_maybe=False)
            return await super().ask(call)

    wire = Unplugged(lambda _: None)
    place = Place(wire, 2, Protocol.KERONG, PACK, Clock())  # type: ignore[arg-type]
    with pytest.raises(LinkError) as gone:
        await DRIVERS["kerong-kr-cu16"](place).pulse(4, 500)
    assert [call.is_read for call in wire.calls] == [False]
    assert gone.value.sent_maybe
    with pytest.raises(LinkError) as unheard:
        await DRIVERS["kerong-kr-cu16"](place).read_inputs()
    assert not unheard.value.sent_maybe, "nothing was written: it can be asked again"


async def test_boards_listen_to_their_own_address_only() -> None:
    foreign, _, _ = driver(
        "kerong-kr-cu16",
        lambda _: kerong.FACE.answer(kerong.status_request(3), 3, (True,) * 32).frame,
        Protocol.KERONG,
        2,
    )
    with pytest.raises(LinkError):
        await foreign.read_inputs()
    board = lock_8a.Lock8a(12)
    foreign, _, _ = driver(
        "lock-8a-12",
        lambda _: board.answer(lock_8a.query_request(3), 3, (True,) * 12).frame,
        Protocol.LOCK_8A,
        2,
    )
    with pytest.raises(LinkError):
        await foreign.read_inputs()


async def test_another_meters_answer_is_not_taken() -> None:
    facts = MeterFacts(voltage_v=230.0, power_w=-120.5, import_kwh=1.0)

    def of(number: str) -> Callable[[bytes], bytes | None]:
        def answer(request: bytes) -> bytes | None:
            asked = dlt645_meter.parse(request[4:])
            own = dlt645_meter.frame(dataclasses.replace(asked, number=number))
            return dlt645_meter.FACE.answer(own, number, facts)

        return answer

    meter, wire, _ = driver(
        "dlt645-meter", of("000000000001"), Protocol.DLT645, number="000000000001"
    )
    assert (await meter.read()).power_w == pytest.approx(-120.5)
    wire.answer = of("000000000002")
    with pytest.raises(LinkError):
        await meter.read()
    wire.answer = lambda _: dlt645_meter.frame(
        dlt645_meter.Message("000000000001", 0xD1, bytes([2]))
    )
    with pytest.raises(DeviceRefusedError, match="02"):
        await meter.read()


class Drs:
    """A charger of plain words, in which single words may be stuck."""

    def __init__(self) -> None:
        self.words: dict[int, int] = dict.fromkeys(range(0x100), 0)
        self.words |= dict(enumerate(drs.model_words(drs.MODEL), start=0x86))
        self.stuck: set[int] = set()

    def answer(self, request: bytes) -> bytes | None:
        unit, pdu = modbus.parse_rtu(request)
        asked = modbus.parse_request(pdu)
        block = range(asked.address, asked.end)
        if asked.function in {3, 4}:
            words = [self.words[at] for at in block]
            return modbus.rtu(unit, modbus.reply_words(asked.function, words))
        for at, value in zip(block, asked.values, strict=True):
            if at not in self.stuck:
                self.words[at] = value
        return modbus.rtu(unit, modbus.reply_echo(asked))


async def test_a_charger_that_does_not_obey_is_refused() -> None:
    device = Drs()
    charger, wire, _ = driver("mean-well-drs-480-48", device.answer, Protocol.MODBUS_RTU, 0x80)
    device.words[0] = 1
    await charger.make_safe()
    assert device.words[0] == 0
    assert [device.words[at] for at in range(0xB0, 0xB4)] == [600, 5_460, 5_460, 30]
    first = wire.calls[0]
    assert (first.urgency, first.is_read) == (Urgency.SAFETY, False)

    await charger.set(on=True, voltage_v=52.0, current_a=2.0)
    assert device.words[0] == 1
    device.stuck = {0}
    with pytest.raises(DeviceRefusedError, match="stays on"):
        await charger.set(on=False, voltage_v=0.0, current_a=0.0)
    device.words[0], device.stuck = 0, {0}
    with pytest.raises(DeviceRefusedError, match="stays off"):
        await charger.set(on=True, voltage_v=52.0, current_a=2.0)
    device.stuck = {0xB1}
    with pytest.raises(DeviceRefusedError, match="curve stays"):
        await charger.set(on=True, voltage_v=50.0, current_a=2.0)
    assert device.words[0] == 0, "it is never switched on with another curve"


async def test_a_stranger_on_a_chargers_address_gets_no_curve() -> None:
    device = Drs()
    device.words[0x86] = 0
    charger, _, _ = driver("mean-well-drs-480-48", device.answer, Protocol.MODBUS_RTU, 0x80)
    with pytest.raises(DeviceRefusedError, match="no Mean Well"):
        await charger.make_safe()
    assert device.words[0xB1] == 0


@pytest.mark.parametrize(
    ("voltage_v", "current_a"), [(54.7, 1.0), (0.0, 1.0), (50.0, 6.1), (50.0, 0.0)]
)
async def test_no_order_beyond_the_pack_reaches_the_wire(
    voltage_v: float, current_a: float
) -> None:
    charger, wire, _ = driver("mean-well-drs-480-48", Drs().answer, Protocol.MODBUS_RTU, 0x80)
    with pytest.raises(DeviceRefusedError, match="outside"):
        await charger.set(on=True, voltage_v=voltage_v, current_a=current_a)
    assert wire.calls == []
