"""The wires of a whole cabinet against the simulator's, as separate processes on real ptys."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pymodbus.client import ModbusSerialClient

from cabinet.core.model import (
    Indicate,
    Input,
    Output,
    SetCharger,
    SetOutput,
    SetSlotAc,
    Unlock,
    UnlockResult,
)
from cabinet.make_safe_command import switch_off
from protocols.maps.waveshare_relay import COIL_BASE
from protocols.messages import Door, Presence
from tests.support.wires import CabinetBench, until, until_truth

#: Devices come back after growing pauses, and the machine may be busy.

PERIOD_WINDOW_S = 4.0
BACK_WITHIN_S = 60.0


async def test_first_image_and_a_pack_through_a_door(tmp_path: Path) -> None:
    async with CabinetBench(tmp_path) as bench:
        wires = bench.wires
        await until(lambda: all(s.door_at_ms for s in wires.image().slots), "doors read")
        await until(lambda: wires.image().slot(1).bms, "a pack read")
        image = wires.image()
        assert {slot.door for slot in image.slots} == {Door.CLOSED}
        assert [s.presence for s in image.slots].count(Presence.PRESENT) == 9
        assert set(image.inputs) == set(Input)
        assert not any(reading.active for reading in image.inputs.values())
        asked = [frame.data for frame in wires.trace.since(0) if frame.line == "bus-a"]
        for unit in (1, 2, 3, 4):
            first = next(data for data in asked if data[0] == unit)
            assert first[1:6] == bytes.fromhex("0500ff0000"), "all relays off, before anything"
        assert image.slot(1).bms
        assert image.slot(1).bms.serial == "YZ48-000001"

        assert await wires.apply(Unlock(10, "attempt-1")) is UnlockResult.SENT
        await until(lambda: wires.image().slot(10).door is Door.OPEN, "the door open")
        await bench.post("/slots/10/insert", serial="YZ48-000777", soc_pct=33)
        await until(lambda: wires.image().slot(10).bms, "the new pack's reading")
        pack = wires.image().slot(10).bms
        assert pack
        assert (pack.serial, pack.soc_pct) == ("YZ48-000777", 33)

        await bench.post("/slots/10/remove")
        await until(lambda: wires.image().slot(10).bms is None, "the old reading gone")
        assert wires.image().slot(10).presence is Presence.ABSENT
        await bench.post("/slots/10/insert", serial="YZ48-000778", soc_pct=44)
        await until(lambda: wires.image().slot(10).bms, "the next pack's reading")
        pack = wires.image().slot(10).bms
        assert pack
        assert pack.serial == "YZ48-000778"
        await wires.apply(Indicate(10, "open", "take-it"))
        assert wires.indications[10].prompt == "take-it"


@pytest.mark.alone
async def test_charging_and_the_end_of_the_daemon(tmp_path: Path) -> None:
    async with CabinetBench(tmp_path) as bench:
        wires = bench.wires
        await bench.power()
        assert wires.image().devices_offline == frozenset()
        for current_a in (1.0, 2.0, 3.0):  # only the newest matters
            await wires.apply(SetCharger(7, on=True, voltage_v=54.6, current_a=current_a))
        await until_truth(bench, lambda s: s["slots"][6]["charging"], "charging")
        await until_truth(
            bench, lambda s: s["slots"][6]["charger"]["current_set_a"] == 3.0, "newest set-point"
        )
        await wires.apply(SetSlotAc(7, on=False))
        await until_truth(bench, lambda s: not s["slots"][6]["ac_on"], "AC dropped at once", 1.5)
        await wires.apply(SetSlotAc(7, on=True))
        await until_truth(bench, lambda s: s["slots"][6]["charging"], "charging again")
        assert bench.task
        bench.task.cancel()
        await until_truth(bench, lambda s: not s["outputs"]["contactor"], "contactor off")
        state = await bench.truth()
        assert not any(slot["ac_on"] or slot["charging"] for slot in state["slots"])
        assert not any(slot["charger"]["output_on"] for slot in state["slots"])


async def test_levels_leases_and_make_safe(tmp_path: Path) -> None:
    async with CabinetBench(tmp_path) as bench:
        wires = bench.wires
        await bench.power()
        for output in (Output.SIREN, Output.EXTINGUISHER, Output.FAN):
            await wires.apply(SetOutput(output, on=True))
        await until_truth(bench, lambda s: all(s["outputs"].values()), "all outputs on")
        await wires.apply(SetOutput(Output.SIREN, on=False))
        await until_truth(bench, lambda s: not s["outputs"]["siren"], "siren off")
        await asyncio.sleep(9)  # longer than a lease: it is renewed
        state = await bench.truth()
        assert state["outputs"]["contactor"]
        assert all(slot["ac_on"] for slot in state["slots"])
        await wires.make_safe()
        state = await bench.truth()
        assert state["outputs"] == {
            "contactor": False, "siren": False, "extinguisher": True, "fan": True
        }  # fmt: skip
        assert not any(slot["ac_on"] for slot in state["slots"])


@pytest.mark.alone
async def test_silent_devices(tmp_path: Path) -> None:
    """A dead board: unlock refused or unanswered, doors grow old, the others keep their pace."""
    async with CabinetBench(tmp_path) as bench:
        wires = bench.wires
        await bench.power()
        await bench.post("/devices/board-1/silent", silent=True)
        await bench.post("/devices/charger-04/silent", silent=True)
        await bench.post("/devices/bms-02/silent", silent=True)
        assert await wires.apply(Unlock(1, "a")) in {UnlockResult.NO_REPLY, UnlockResult.REFUSED}
        await until(
            lambda: wires.image().devices_offline == {"board-1", "charger-04", "bms-02"},
            "three devices missing",
        )
        assert await wires.apply(Unlock(1, "b")) is UnlockResult.REFUSED
        now_ms = bench.clock.monotonic_ms()
        assert wires.image().slot(1).door_now(now_ms) is Door.UNKNOWN
        await _others_keep_pace(bench)
        for name in ("board-1", "charger-04", "bms-02"):
            await bench.post(f"/devices/{name}/silent", silent=False)
        await until(lambda: not wires.image().devices_offline, "all back")
        # A board that is back is made safe first; until then no lock is pulsed.
        async with asyncio.timeout(BACK_WITHIN_S):
            while not await _sent(bench, f"c{bench.clock.monotonic_ms()}"):
                await asyncio.sleep(0.05)
        await until(lambda: wires.image().slot(1).door is Door.OPEN, "the door open")


async def _sent(bench: CabinetBench, attempt: str) -> bool:
    """Whether the lock of slot 1 was pulsed; what was not refused must have been."""
    result = await bench.wires.apply(Unlock(1, attempt))
    assert result is not UnlockResult.NO_REPLY
    return result is UnlockResult.SENT


async def _others_keep_pace(bench: CabinetBench) -> None:
    """No door of a living board is older than one second, at any time."""
    end = asyncio.get_running_loop().time() + PERIOD_WINDOW_S
    while asyncio.get_running_loop().time() < end:
        now_ms = bench.clock.monotonic_ms()
        for slot in bench.wires.image().slots[8:]:
            assert slot.door_now(now_ms) is Door.CLOSED, f"slot {slot.slot}"
        await asyncio.sleep(0.02)


@pytest.mark.alone
async def test_smoke_is_news_at_once(tmp_path: Path) -> None:
    async with CabinetBench(tmp_path) as bench:
        wires = bench.wires
        await until(lambda: len(wires.image().inputs) == len(Input), "inputs read")
        await bench.post("/inputs/smoke", active=True)
        loop = asyncio.get_running_loop()
        start = loop.time()
        while not wires.image().inputs[Input.SMOKE].active:
            wires.changed.clear()
            async with asyncio.timeout(1.0):
                await wires.changed.wait()
        assert loop.time() - start < 1.0


@pytest.mark.slow
async def test_poll_round_of_the_full_cabinet(tmp_path: Path) -> None:
    """Ages of every reading over half a minute, chargers on and leases renewed."""
    async with CabinetBench(tmp_path) as bench:
        await bench.power()
        worst = {"door": 0, "presence": 0, "bms": 0, "charger": 0}
        end = asyncio.get_running_loop().time() + 20
        await until(lambda: bench.wires.image().slot(9).bms, "packs read")
        while asyncio.get_running_loop().time() < end:
            now_ms = bench.clock.monotonic_ms()
            for slot in bench.wires.image().slots:
                assert slot.door_at_ms
                assert slot.presence_at_ms
                assert slot.charger
                worst["door"] = max(worst["door"], now_ms - slot.door_at_ms)
                worst["presence"] = max(worst["presence"], now_ms - slot.presence_at_ms)
                worst["charger"] = max(worst["charger"], now_ms - slot.charger.at_ms)
                if slot.bms:
                    worst["bms"] = max(worst["bms"], now_ms - slot.bms.at_ms)
            await asyncio.sleep(0.01)
        print(worst)
        assert worst["door"] < 1_000
        assert worst["presence"] < 1_000
        assert worst["bms"] < 2_500
        assert worst["charger"] < 2_500


async def test_everything_off_without_a_daemon(tmp_path: Path) -> None:
    """What was left on, even without a lease, is off; a board that cannot be told is named."""
    async with CabinetBench(tmp_path) as bench:
        assert bench.task
        bench.task.cancel()
        await until_truth(bench, lambda s: not s["outputs"]["contactor"], "the lines are free")
        await asyncio.wait([bench.task])
        contactor = bench.config.outputs[Output.CONTACTOR]
        board = bench.config.device(contactor.board)
        for output in Output:  # in mid-fire
            channel = bench.config.outputs[output]
            its = bench.config.device(channel.board).address
            await asyncio.to_thread(_switch_on, bench, its, channel.channel)
        await until_truth(bench, lambda s: all(s["outputs"].values()), "left on")
        assert await switch_off(bench.config, bench.clock) == ()
        await until_truth(bench, lambda s: not s["outputs"]["contactor"], "off")
        state = await bench.truth()
        assert state["outputs"] == {
            "contactor": False, "siren": True, "extinguisher": True, "fan": False
        }, "whatever set siren and extinguisher off may still be there"  # fmt: skip
        await bench.post(f"/devices/{board.name}/silent", silent=True)
        assert await switch_off(bench.config, bench.clock) == (board.name,)


def _switch_on(bench: CabinetBench, address: int, channel: int) -> None:
    """With a client of somebody else's: the coil stays as it is set."""
    bus = next(bus for bus in bench.config.buses if bus.name == "bus-a")
    client = ModbusSerialClient(bus.port, baudrate=bus.baud, timeout=1)
    assert client.connect()
    try:
        assert not client.write_coil(COIL_BASE + channel, True, device_id=address).isError()
    finally:
        client.close()
