"""A charger is kept at the newest order, made safe whenever it comes to life, never fought."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from cabinet.core.model import ChargerReading, SetCharger
from cabinet.errors import DeviceRefusedError, LinkError
from cabinet.runtime import wires_slot
from cabinet.runtime.bus import Station
from cabinet.runtime.wires_slot import ChargerWires
from tests.support.wires import until


@dataclass
class FakeStation:
    name: str = "charger-01"
    is_offline: bool = False

    def revive(self) -> None:
        self.is_offline = False


@dataclass
class FakeCharger:
    """Does as told unless dead; ``log`` is what was asked of it besides readings."""

    station: FakeStation
    on: bool = False
    voltage_v: float = 0.0
    current_a: float = 0.0
    protection: str | None = None
    dead: bool = False
    alien: bool = False
    log: list[Any] = field(default_factory=list)

    def _alive(self) -> None:
        if self.dead:
            self.station.is_offline = True
            raise LinkError("charger-01", "silent")

    async def make_safe(self) -> None:
        self._alive()
        if self.alien:
            raise DeviceRefusedError("charger-01", "another model")
        self.log.append("safe")
        self.on = False

    async def set(self, *, on: bool, voltage_v: float, current_a: float) -> None:
        self._alive()
        self.log.append((on, voltage_v, current_a))
        self.on = on
        if on:
            self.voltage_v, self.current_a = voltage_v, current_a

    async def read(self) -> ChargerReading:
        self._alive()
        return ChargerReading(
            0, self.on, self.voltage_v, self.current_a, 0, 0, 0, 25.0, self.protection
        )


ORDER = SetCharger(1, on=True, voltage_v=54.6, current_a=3.0)


@dataclass
class Bench:
    device: FakeCharger
    wires: ChargerWires
    readings: list[ChargerReading]
    powered: bool = True


@asynccontextmanager
async def bench(monkeypatch: pytest.MonkeyPatch, **device: Any) -> AsyncIterator[Bench]:
    monkeypatch.setattr(wires_slot, "PERIOD_S", 0.01)
    fake = FakeCharger(FakeStation(), **device)
    readings: list[ChargerReading] = []
    made = Bench(fake, cast("ChargerWires", None), readings)
    made.wires = ChargerWires(
        1,
        fake,
        cast("Station", fake.station),
        lambda: made.powered,
        lambda _, reading: readings.append(reading),
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.wires.run())
        yield made
        task.cancel()


async def test_made_safe_before_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(monkeypatch) as b:
        b.wires.keeper.want(ORDER)
        await until(lambda: b.device.on, "charging")
        assert b.device.log[0] == "safe"


async def test_an_alien_is_never_ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(monkeypatch, alien=True) as b:
        b.wires.keeper.want(ORDER)
        await asyncio.sleep(0.5)
        assert b.device.log == []
        assert b.readings == []


async def test_a_hand_on_the_keys_is_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(monkeypatch) as b:
        b.wires.keeper.want(ORDER)
        await until(lambda: b.wires.keeper.held == ORDER, "held")
        for name, wrong in (("voltage_v", 58.0), ("current_a", 6.0), ("on", False)):
            setattr(b.device, name, wrong)
            await until(
                lambda: (b.device.on, b.device.voltage_v, b.device.current_a) == (True, 54.6, 3.0),
                f"{name} corrected",
            )
        b.wires.keeper.want(SetCharger(1, on=False))
        await until(lambda: not b.device.on, "off")
        b.device.on = True
        await until(lambda: not b.device.on, "off again")


async def test_its_own_protection_is_not_fought(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(monkeypatch) as b:
        b.wires.keeper.want(ORDER)
        await until(lambda: b.wires.keeper.held == ORDER, "held")
        b.device.on, b.device.protection = False, "ovp"
        count = len(b.device.log)
        await until(lambda: b.readings and b.readings[-1].protection == "ovp", "seen")
        await asyncio.sleep(0.05)
        assert len(b.device.log) == count


async def test_power_lost_and_back_makes_it_safe_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(monkeypatch) as b:
        b.wires.keeper.want(ORDER)
        await until(lambda: b.wires.keeper.held == ORDER, "held")
        b.device.dead, b.powered = True, False
        await until(lambda: b.device.station.is_offline, "silent")
        assert not b.wires.is_missing, "it has no mains"
        b.powered = True
        assert b.wires.is_missing
        b.device.dead, b.device.log = False, []
        b.wires.power_came()
        await until(lambda: (True, 54.6, 3.0) in b.device.log, "ordered again")
        assert b.device.log[0] == "safe"


async def test_off_holds_at_once_without_mains(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(monkeypatch, dead=True) as b:
        b.powered = False
        await until(lambda: b.device.station.is_offline, "silent")
        b.wires.keeper.want(SetCharger(1, on=False))
        async with asyncio.timeout(30):
            await b.wires.keeper.settled()
        b.powered = True
        b.wires.keeper.want(ORDER)
        await asyncio.sleep(0.05)
        assert b.wires.keeper.held is None
