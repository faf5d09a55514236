"""The checks' own decisions; the devices are a bench whose every move is written down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from msgspec import structs

from cabinet.commission import checks
from cabinet.commission.bench import Bench, Contacts
from cabinet.config import parse
from cabinet.config_example import example_config
from cabinet.core.commission.findings import Cause, Verdict
from cabinet.core.model import BmsReading, ChargerReading
from cabinet.errors import DeviceRefusedError, LinkError
from tests.support.readings import CHARGER
from tests.support.readings import PACK as AT_REST

PACK = structs.replace(AT_REST, current_a=0.5)  # it takes what it is given


class Clock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_ms = 0

    def monotonic_ms(self) -> int:
        return self.now_ms

    async def sleep(self, delay_s: float) -> None:
        self.now_ms += round(delay_s * 1_000)


class Scripted:
    """A cabinet of three slots; ``moves`` is all that was switched or fired."""

    def __init__(self, tmp_path: Any) -> None:
        self.config = parse(example_config(), tmp_path / "cabinet.toml", {})
        self.clock = Clock()
        self.moves: list[str] = []
        self.doors = {1: True, 2: True, 3: True}
        self.opens = {1: 1, 2: 2, 3: 3}  # the door that a slot's lock opens
        self.packs: dict[int, BmsReading] = {}
        self.flows = True
        self.on: int | None = None

    def slot(self, number: int) -> Any:
        return self.config.slots[number - 1]

    async def contacts(self) -> dict[int, Contacts]:
        return {n: Contacts(shut, n in self.packs) for n, shut in self.doors.items()}

    async def prepare(self, boards: Any) -> dict[str, str]:
        assert list(boards)
        self.moves.append("prepare")
        return {}

    async def unlock(self, number: int) -> bool:
        self.moves.append(f"unlock {number}")
        opened = self.opens[number]
        if opened < 0:
            raise DeviceRefusedError("board-1", "exception 4")
        if opened:
            self.doors[opened] = False
        return True

    async def bms(self, number: int) -> BmsReading | None:
        return self.packs.get(number)

    async def charger(self, number: int) -> ChargerReading | None:
        flowing = self.on == number and self.flows
        return ChargerReading(
            at_ms=0,
            output_on=self.on == number,
            voltage_set_v=0.0,
            current_set_a=0.0,
            voltage_v=48.0,
            current_a=0.5 if flowing else 0.0,
            power_w=0.0,
        )

    @asynccontextmanager
    async def power(self, slots: Any) -> AsyncIterator[None]:
        assert slots
        self.moves.append("mains on")
        yield
        self.moves.append("mains off")

    async def order_charge(self, number: int, *, on: bool) -> None:
        self.moves.append(f"charge {'on' if on else 'off'}")
        self.on = number if on else None


@pytest.fixture
def cabinet(tmp_path: Any) -> Scripted:
    return Scripted(tmp_path)


def bench(cabinet: Scripted) -> Bench:
    return cast("Bench", cabinet)


def tell(_text: str) -> None:
    """Nobody listens."""


async def test_without_yes_nothing_moves(cabinet: Scripted) -> None:
    cabinet.packs[1] = PACK
    locked = await checks.locks(bench(cabinet), (1, 2, 3), tell, yes=False)
    await checks.chargers(bench(cabinet), (1, 2), tell, yes=False, charge_s=30)
    await checks.doors(bench(cabinet), (1, 2, 3), tell, 0)
    await checks.batteries(bench(cabinet), (1, 2, 3), tell)
    assert cabinet.moves == []
    assert {finding.cause for finding in locked} == {Cause.NEEDS_YES}


@pytest.mark.parametrize(
    ("opens", "cause"),
    [(1, None), (0, Cause.LOCK_JAMMED), (2, Cause.DOOR_ELSEWHERE), (-1, Cause.REFUSED)],
    ids=["opens", "jammed", "swapped", "refused"],
)
async def test_one_pulse_tells(cabinet: Scripted, opens: int, cause: Cause | None) -> None:
    cabinet.opens[1] = opens
    (told,) = await checks.locks(bench(cabinet), (1,), tell, yes=True)
    assert told.cause is cause
    assert cabinet.moves == ["prepare", "unlock 1"]


async def test_an_open_door_is_not_pulsed(cabinet: Scripted) -> None:
    cabinet.doors[1] = False
    (told,) = await checks.locks(bench(cabinet), (1,), tell, yes=True)
    assert told.cause is Cause.DOOR_OPEN
    assert "unlock 1" not in cabinet.moves


async def test_a_trial_charge_ends_with_off(cabinet: Scripted) -> None:
    cabinet.packs[1] = PACK
    found = await checks.chargers(bench(cabinet), (1,), tell, yes=True, charge_s=2)
    assert [finding.verdict for finding in found] == [Verdict.OK, Verdict.OK]
    assert cabinet.moves == ["prepare", "mains on", "charge on", "charge off", "mains off"]


async def test_a_battery_that_is_not_sound_is_never_charged(cabinet: Scripted) -> None:
    cabinet.packs[1] = BmsReading(
        at_ms=0,
        serial=None,
        soc_pct=50,
        voltage_v=48.1,
        current_a=0.0,
        cell_v=(3.7,) * 13,
        temps_c=(25.0,),
    )
    found = await checks.chargers(bench(cabinet), (1,), tell, yes=True, charge_s=2)
    assert found[-1].verdict is Verdict.SKIPPED
    assert "charge on" not in cabinet.moves


async def test_a_charge_that_fails_in_the_middle_is_ordered_off(cabinet: Scripted) -> None:
    cabinet.packs[1] = PACK

    async def lost(_number: int) -> ChargerReading | None:
        if cabinet.on:
            raise LinkError("charger-01", "gone")
        return CHARGER

    cabinet.charger = lost  # type: ignore[method-assign]
    found = await checks.chargers(bench(cabinet), (1,), tell, yes=True, charge_s=2)
    assert found[-1].cause is Cause.REFUSED
    assert cabinet.moves[-2:] == ["charge off", "mains off"]
