"""Every device type recognises its own twin over a pty, and no other type passes for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cabinet.adapters.devices import DRIVERS
from cabinet.adapters.devices.dialogue import identify
from cabinet.config_devices import MODBUS, Protocol
from cabinet.errors import CabinetError
from protocols.devices import DEVICES
from simulator.config import Config, WireSection
from tests.support.lab import Lab, laboratory

FAST = WireSection(realistic_timing=False)
#: Where the simulated cabinet has each: line, address, and what it must tell.
TWINS = {
    "waveshare-relay-d": ("bus-a", 1, "version 2.00"),
    "eastron-sdm120": ("bus-a", 10, "50.0 Hz"),
    "xy-md02": ("bus-a", 20, "55.0 %"),
    "riden-rd6006": ("bus-chargers", 3, "model 60061, serial 00006003"),
    "jbd-bms": ("slot-01", 0, "serial YZ48-000001, 13 cells"),
}


async def powered(lab: Lab) -> None:
    """Chargers answer only with mains."""
    for slot in lab.cabinet.slots:
        slot.charger.set_power(powered=True)


def protocol_of(type_: str) -> Protocol:
    device = DEVICES[type_]
    return Protocol.MODBUS_RTU if device.protocols & MODBUS else min(device.protocols)


async def told(lab: Lab, type_: str, line: str, address: int) -> str | None:
    place = lab.place(line, address, protocol_of(type_), DEVICES[type_])
    try:
        return await identify(DEVICES[type_], place)
    except CabinetError:
        return None


async def test_each_twin_is_recognised_as_itself_alone(tmp_path: Path) -> None:
    async with laboratory(tmp_path, Config(wire=FAST)) as lab:
        await powered(lab)
        for type_, (line, address, says) in TWINS.items():
            for asked, device in DEVICES.items():
                if (Protocol.MODBUS_RTU in device.protocols) != line.startswith("bus"):
                    continue
                answer = await told(lab, asked, line, address)
                if asked == type_:
                    assert says in str(answer), (asked, answer)
                else:
                    assert answer is None, f"{type_} passes for {asked}: {answer}"


@pytest.mark.parametrize("type_", sorted(DEVICES))
def test_every_type_is_complete(type_: str) -> None:
    device = DEVICES[type_]
    assert type_ == device.type
    assert type_ in DRIVERS
    assert all((device.title, device.source, device.capabilities, device.protocols))
    assert (device.addresses is None) == (device.address == 0)
    if device.addresses is not None:
        assert device.address in device.addresses
