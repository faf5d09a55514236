"""Our driver against our twin over a pty, type by type: what is read is true, what is told is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cabinet.adapters.devices import DRIVERS
from cabinet.config_devices import MODBUS, Protocol, Role
from cabinet.errors import DeviceRefusedError, LinkError
from protocols import modbus
from protocols.device import Capability, Device
from protocols.devices import DEVICES
from simulator.clock import SystemClock
from simulator.config import CabinetSection, Config, DevicesSection, WireSection
from simulator.devices.rack import Rack
from simulator.models.faults import FaultTable
from simulator.models.truth import Kind
from simulator.serve import build
from simulator.wires.frames import FrameSession
from simulator.wires.timing import Line
from tests.support.lab import Lab, laboratory

FAST = WireSection(realistic_timing=False, processing_ms=0)
NUMBER = "202611000001"


def of(role: Role, capability: Capability | None = None) -> list[str]:
    return [
        type_
        for type_, device in DEVICES.items()
        if device.role is role and (capability is None or capability in device.capabilities)
    ]


def driver(
    lab: Lab, type_: str, line: str, address: int, number: str = "", *, silent: bool = False
) -> Any:
    device = DEVICES[type_]
    modbus = device.protocols & MODBUS
    protocol = Protocol.MODBUS_RTU if modbus else min(device.protocols)
    return DRIVERS[type_](lab.place(line, address, protocol, device, number, silent=silent))


def config(**devices: str) -> Config:
    return Config(wire=FAST, devices=DevicesSection(**devices))


def pulses(lab: Lab) -> list[int | None]:
    return [event.slot for event in lab.cabinet.log.since(0) if event.kind is Kind.LOCK_PULSE]


@pytest.mark.parametrize("type_", of(Role.METER))
async def test_a_meter_tells_what_is_drawn(tmp_path: Path, type_: str) -> None:
    async with laboratory(tmp_path, config(meter=type_)) as lab:
        meter = lab.cabinet.meter
        meter.power_w, meter.import_kwh = 2_345.6, 123.45
        lab.cabinet.freeze(frozen=True)
        device = DEVICES[type_]
        line, address = ("bus-meter", 0) if device.numbered else ("bus-a", 10)
        reading = await driver(lab, type_, line, address).read()
        assert reading.power_w == pytest.approx(2_345.6, abs=0.5)
        assert reading.energy_wh == pytest.approx(123_450, abs=20)
        assert reading.voltage_v == pytest.approx(meter.voltage_v, abs=0.1)
        if device.numbered:
            by_number = driver(lab, type_, line, address, NUMBER)
            assert (await by_number.read()).energy_wh == reading.energy_wh
            with pytest.raises(LinkError):
                await driver(lab, type_, line, address, "000000000001", silent=True).read()


@pytest.mark.parametrize("type_", of(Role.BMS))
async def test_a_pack_tells_itself_and_obeys(tmp_path: Path, type_: str) -> None:
    async with laboratory(tmp_path, config(bms=type_)) as lab:
        pack = lab.cabinet.slot(2).pack
        assert pack is not None
        lab.cabinet.freeze(frozen=True)
        bms = driver(lab, type_, "slot-02", DEVICES[type_].address)
        reading = await bms.read()
        assert (reading.serial, reading.soc_pct) == (pack.serial, pack.soc_pct)
        assert reading.voltage_v == pytest.approx(pack.voltage_v, abs=0.06)
        assert reading.cell_v == pytest.approx(pack.cell_v, abs=0.001)
        assert reading.temps_c == pytest.approx(pack.temps_c, abs=0.6)
        assert (reading.remaining_ah, reading.cycles) == (
            pytest.approx(pack.remaining_ah, abs=0.02),
            pack.cycles,
        )
        assert reading.capacity_ah == pytest.approx(pack.capacity_ah, rel=0.02)
        assert reading.charge_fet_on
        assert reading.discharge_fet_on
        assert not reading.protection

        await bms.set_charge_fet(on=False)
        assert (pack.charge_switch_on, pack.discharge_switch_on) == (False, True)
        assert not (await bms.read()).charge_fet_on
        await bms.set_charge_fet(on=True)
        assert pack.charge_switch_on

        for current_a in (5.5, -12.3):
            pack.current_a = current_a
            assert (await bms.read()).current_a == pytest.approx(current_a, abs=0.06)
        for name in ("charge-over-temp", "cell-under-voltage", "short-circuit", "mos-lock"):
            pack.force(frozenset({name}))
            assert (await bms.read()).protection, name
        for name in ("charge-over-temp", "cell-under-voltage", "charge-over-current"):
            pack.force(frozenset({name}))
            assert (await bms.read()).protection == {name}

        pack.serial = None
        assert (await bms.read()).serial == reading.serial, "it is remembered"
        bms.forget()
        assert (await bms.read()).serial is None


@pytest.mark.parametrize("type_", of(Role.CHARGER))
async def test_a_charger_gives_what_it_is_told(tmp_path: Path, type_: str) -> None:
    async with laboratory(tmp_path, config(chargers=type_)) as lab:
        device = DEVICES[type_]
        assert device.addresses is not None
        slot = lab.cabinet.slot(7)
        charger = driver(lab, type_, "bus-chargers", device.addresses[6], silent=True)
        with pytest.raises(LinkError):
            await charger.read()  # no mains
        slot.charger.set_power(powered=True)
        slot.charger.set_output(on=True)
        lab.cabinet.freeze(frozen=True)
        charger = driver(lab, type_, "bus-chargers", device.addresses[6])
        await charger.make_safe()
        assert not slot.charger.output_on
        for voltage_v, current_a in ((54.6, 3.21), (52.5, 1.5)):
            await charger.set(on=True, voltage_v=voltage_v, current_a=current_a)
            assert slot.charger.output_on
            assert slot.charger.voltage_set_v == pytest.approx(voltage_v)
            assert slot.charger.current_set_a == pytest.approx(current_a)
            reading = await charger.read()
            assert reading.output_on
            assert (reading.voltage_set_v, reading.current_set_a) == (voltage_v, current_a)
            assert reading.voltage_v == pytest.approx(slot.charger.voltage_v, abs=0.006)
            assert reading.current_a == pytest.approx(slot.charger.current_a, abs=0.006)
            assert reading.air_temp_c == pytest.approx(slot.air_c, abs=0.6)
            assert reading.protection is None
        with pytest.raises(DeviceRefusedError):
            await charger.set(on=True, voltage_v=60.0, current_a=1.0)
        slot.charger.ovp_v = 40.0
        slot.settle()
        assert (await charger.read()).protection == "ovp"
        await charger.set(on=False, voltage_v=0.0, current_a=0.0)
        assert not (await charger.read()).output_on


def lock_boards() -> list[Device]:
    return [device for device in DEVICES.values() if device.locks_face]


@pytest.mark.parametrize("device", lock_boards(), ids=lambda device: device.type)
async def test_a_lock_board_opens_one_door_once(tmp_path: Path, device: Device) -> None:
    slots = min(device.locks, 12)
    small = Config(
        CabinetSection(slots=slots), wire=FAST, devices=DevicesSection(locks=device.type)
    )
    async with laboratory(tmp_path, small) as lab:
        board = driver(lab, device.type, "bus-locks", device.address)
        await board.all_off()
        await board.prepare()
        before = await board.read_inputs()
        assert len(before) == device.inputs
        assert before[:slots] == (True,) * slots
        assert not any(before[slots : device.locks])
        await board.pulse(2, 500)
        assert pulses(lab) == [3]
        lab.cabinet.advance(1.0)
        after = await board.read_inputs()
        assert [n for n, level in enumerate(before) if level != after[n]] == [2]
        if device.inputs >= 2 * device.locks:
            there = [slot.pack is not None for slot in lab.cabinet.slots]
            assert list(after[device.locks : device.locks + slots]) == there
        with pytest.raises(DeviceRefusedError):
            await board.set_relay(0, on=True)
        with pytest.raises(DeviceRefusedError):
            await board.lease(0, 8_000)
        assert pulses(lab) == [3]


@pytest.mark.parametrize("type_", [t for t in of(Role.BOARD) if DEVICES[t].relays])
async def test_a_relay_board_switches_and_drops_its_leases(tmp_path: Path, type_: str) -> None:
    async with laboratory(tmp_path, config(lights=type_)) as lab:
        device, model = DEVICES[type_], lab.cabinet.boards[6]
        board = driver(lab, type_, "bus-a", 6)
        model.relays[0] = True
        await board.all_off()
        await board.prepare()
        assert board.version == "2.00"
        assert await board.read_relays() == (False,) * device.relays
        assert len(await board.read_inputs()) == device.inputs
        last = device.relays - 1
        await board.set_relay(last, on=True)
        await board.lease(0, 2_000)
        relays = await board.read_relays()
        assert [n for n, on in enumerate(relays) if on] == [0, last]
        lab.cabinet.advance(2.1)
        assert [n for n, on in enumerate(await board.read_relays()) if on] == [last]


async def test_a_board_whose_inputs_drive_its_relays_is_put_right(tmp_path: Path) -> None:
    async with laboratory(tmp_path, config()) as lab:
        model = lab.cabinet.boards[1]
        model.modes[3] = type(model.modes[3])(1)
        board = driver(lab, "waveshare-relay-d", "bus-a", 1)
        await board.prepare()
        assert not any(model.modes)


def test_a_jk_board_is_deaf_for_a_while_after_each_answer() -> None:
    ticker = build(Config(devices=DevicesSection(bms="jk-bms")), SystemClock())
    rack = Rack.of(ticker.now(), ticker.catch_up, reserved="zeros")
    line = Line(115_200, 0.0)
    session = FrameSession(rack.frames["slot-01"], line, FaultTable({}, 0))
    request = modbus.rtu(1, bytes([3, 0x12, 0xA6, 0, 1]))
    (first,) = session.feed(request, 1.0)
    assert session.feed(request, first.at_s + 0.002) == []
    (second,) = session.feed(request, first.at_s + 0.030)
    assert second.data == first.data
