"""Whole cabinets of other devices: our wires on the simulated ones, from the example configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cabinet.adapters.clock import SystemClock
from cabinet.adapters.devices import DRIVERS
from cabinet.config import ConfigProblemsError, parse
from cabinet.config_devices import Role
from cabinet.config_example import CHOICES, Choice, example_config
from cabinet.core.model import (
    Indicate,
    Output,
    SetCharger,
    SetOutput,
    SetSlotAc,
    Unlock,
    UnlockResult,
)
from cabinet.runtime.poller import Wires
from protocols.devices import DEVICES
from protocols.messages import Presence
from simulator.config import Config, DevicesSection, WireSection
from tests.support.lab import laboratory

#: On a busy machine; nothing here takes more than some seconds of its own.
WITHIN_S = 60.0


async def until(condition: Callable[[], object], what: str) -> None:
    end = asyncio.get_running_loop().time() + WITHIN_S
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"not within {WITHIN_S} s: {what}"
        await asyncio.sleep(0.02)


def choices() -> list[Choice]:
    """One of every type that a cabinet can be built from."""
    found = []
    for key, role in CHOICES.items():
        for type_, device in DEVICES.items():
            enough = max(device.locks if key == "locks" else device.relays, 0) >= 12
            fits = enough if role is Role.BOARD else True
            wired = key != "locks" or device.locks_face is not None
            if device.role is role and fits and wired:
                found.append(replace(Choice(), **{key: type_}))
    return found


@pytest.mark.parametrize("choice", choices(), ids=str)
def test_the_configuration_takes_every_type(tmp_path: Path, choice: Choice) -> None:
    config = parse(example_config(choice=choice), tmp_path / "cabinet.toml", {})
    types = {device.type for device in config.devices}
    named = {choice.locks, choice.charger, choice.bms, choice.meter, choice.lights} - {""}
    assert named <= types


FAULTS = [
    ('ac = { board = "board-1"', 'ac = { board = "board-5"', "a kerong-kr-cu16 has none"),
    (
        'lock = { board = "board-5", channel = 11 }',
        'lock = { board = "board-5", channel = 16 }',
        "has no lock 16",
    ),
    ("address = 0\n", "address = 10\n", "10 is none of a kerong-kr-cu16"),
    ("address = 0\n", 'address = 0\nnumber = "000000000001"\n', "is not asked by a number"),
]


@pytest.mark.parametrize(("old", "new", "says"), FAULTS)
def test_what_a_lock_board_cannot_do_is_refused(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    text = example_config(choice=Choice(locks="kerong-kr-cu16"))
    assert old in text
    with pytest.raises(ConfigProblemsError, match=says):
        parse(text.replace(old, new), tmp_path / "cabinet.toml", {})


@pytest.mark.parametrize(
    "choice",
    [
        Choice(
            "kerong-kr-cu16",
            "mean-well-drs-480-48",
            "jk-bms",
            "dlt645-meter",
            "waveshare-relay-32",
        ),
        Choice("lock-8a-12", "riden-rd6012", "daly-bms", "chint-dtsu666"),
    ],
    ids=lambda choice: choice.locks,
)
async def test_a_cabinet_of_other_devices_works(tmp_path: Path, choice: Choice) -> None:
    devices = DevicesSection(
        locks=choice.locks,
        chargers=choice.charger,
        bms=choice.bms,
        meter=choice.meter,
        lights=choice.lights,
    )
    simulated = Config(wire=WireSection(realistic_timing=False), devices=devices)
    text = example_config(run_dir=tmp_path, data_dir=tmp_path, credentials_dir=None, choice=choice)
    wires = Wires(parse(text, tmp_path / "cabinet.toml", {}), SystemClock(), DRIVERS)
    async with laboratory(tmp_path, simulated) as lab:
        lab.group.create_task(wires.run())
        await until(wires.ready.is_set, "ready")
        await wires.apply(SetOutput(Output.CONTACTOR, on=True))
        for slot in lab.cabinet.slots:
            await wires.apply(SetSlotAc(slot.number, on=True))

        def all_told() -> bool:
            image = wires.image()
            packs = [slot for slot in image.slots if slot.presence is Presence.PRESENT]
            return (
                image.meter is not None
                and image.climate is not None
                and all(slot.charger for slot in image.slots)
                and len(packs) == 9
                and all(slot.bms and slot.bms.serial for slot in packs)
            )

        await until(all_told, "every device read")
        serials = {slot.slot: slot.bms.serial for slot in wires.image().slots if slot.bms}
        assert serials == {n: f"YZ48-{n:06d}" for n in range(1, 10)}

        assert await wires.apply(Unlock(5, "a")) is UnlockResult.SENT
        await until(lambda: lab.cabinet.slot(5).door.open, "the door is open")
        await until(lambda: wires.image().slot(5).door.value == "open", "and seen to be")

        await wires.apply(SetCharger(7, on=True, voltage_v=54.6, current_a=2.0))
        charger = lab.cabinet.slot(7).charger
        await until(lambda: charger.output_on and charger.current_a > 1.9, "slot 7 charges")
        lamps = lab.cabinet.boards[6].relays if choice.lights else []
        for light, levels in (("fault", (False, True)), ("open", (True, False))):
            await wires.apply(Indicate(12, light))
            if choice.lights:
                await until(lambda: (lamps[11], lamps[27]) == levels, f"light {light}")  # noqa: B023
        assert sum(lamps) in {0, 1}

        await until(
            lambda: (bms := wires.image().slot(7).bms) and bms.current_a > 1.8, "its pack says so"
        )
