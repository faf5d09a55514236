"""Every device type recognises its own twin over a pty, and no other type passes for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cabinet.adapters.devices import DRIVERS
from cabinet.adapters.devices.dialogue import identify
from cabinet.config_devices import MODBUS, Protocol
from cabinet.errors import CabinetError
from protocols.device import Capability
from protocols.devices import DEVICES
from simulator.config import CabinetSection, Config, DevicesSection, WireSection
from tests.support.lab import Lab, laboratory

FAST = WireSection(realistic_timing=False)
#: Cabinets that together have every type: line, address, and what it must tell.
CABINETS = [
    (
        DevicesSection(lights="waveshare-relay-32"),
        {
            "waveshare-relay-d": ("bus-a", 1, "version 2.00"),
            "waveshare-relay-32": ("bus-a", 6, "version 2.00"),
            "eastron-sdm120": ("bus-a", 10, "50.0 Hz"),
            "xy-md02": ("bus-a", 20, "55.0 %"),
            "riden-rd6006": ("bus-chargers", 3, "model 60061, serial 00006003"),
            "jbd-bms": ("slot-01", 0, "serial YZ48-000001, 13 cells"),
        },
    ),
    (
        DevicesSection(
            lights="waveshare-relay-16",
            locks="kerong-kr-cu16",
            meter="eastron-sdm630",
            chargers="riden-rd6012",
            bms="jk-bms",
        ),
        {
            "waveshare-relay-16": ("bus-a", 6, "version 2.00"),
            "eastron-sdm630": ("bus-a", 10, "50.0 Hz"),
            "riden-rd6012": ("bus-chargers", 12, "model 60120"),
            "jk-bms": ("slot-02", 1, "JK_PB2A16S20P, software 15.41, serial YZ48-000002"),
            "kerong-kr-cu16": ("bus-locks", 0, "12 shut, 9 with something inside"),
        },
    ),
    (
        DevicesSection(
            lights="waveshare-relay-8",
            locks="lock-8a-50",
            meter="chint-dtsu666",
            chargers="riden-rd6018",
            bms="daly-bms",
        ),
        {
            "waveshare-relay-8": ("bus-a", 6, "version 2.00"),
            "chint-dtsu666": ("bus-a", 10, "50.0 Hz"),
            "riden-rd6018": ("bus-chargers", 1, "model 60180"),
            "daly-bms": ("slot-03", 0, "13 cells"),
            "lock-8a-50": ("bus-locks", 1, "50 channels, 12 high"),
        },
    ),
    (
        DevicesSection(locks="lock-8a-36", meter="dlt645-meter", chargers="mean-well-drs-480-48"),
        {
            "dlt645-meter": ("bus-meter", 0, "number 202611000001"),
            "mean-well-drs-480-48": ("bus-chargers", 0x80, "model DRS-480-48"),
            "lock-8a-36": ("bus-locks", 1, "36 channels, 12 high"),
        },
    ),
    (
        DevicesSection(locks="lock-8a-8", chargers="riden-rd6006p"),
        {
            "riden-rd6006p": ("bus-chargers", 2, "model 60065"),
            "lock-8a-8": ("bus-locks", 1, "8 channels, 8 high"),
        },
    ),
]
#: Boards of one group answer alike; the label on the board tells them apart.
ALIKE = (
    {"lock-8a-8", "lock-8a-12", "lock-8a-18", "lock-8a-24"},
    {"waveshare-relay-d", "waveshare-io-8"},
)


def protocol_of(type_: str) -> Protocol:
    protocols = DEVICES[type_].protocols
    return Protocol.MODBUS_RTU if protocols & MODBUS else min(protocols)


async def told(lab: Lab, type_: str, line: str, address: int, *, own: bool) -> str | None:
    device = DEVICES[type_]
    place = lab.place(line, address, protocol_of(type_), device, silent=not own)
    try:
        return await identify(device, place)
    except CabinetError:
        return None


@pytest.mark.parametrize(("devices", "twins"), CABINETS)
async def test_each_twin_is_recognised_as_itself_alone(
    tmp_path: Path, devices: DevicesSection, twins: dict[str, tuple[str, int, str]]
) -> None:
    slots = min(12, DEVICES[devices.locks].locks) if DEVICES[devices.locks].locks_face else 12
    cabinet = CabinetSection(slots=slots)
    async with laboratory(tmp_path, Config(cabinet, wire=FAST, devices=devices)) as lab:
        for slot in lab.cabinet.slots:
            slot.charger.set_power(powered=True)
        for type_, (line, address, says) in twins.items():
            own = await told(lab, type_, line, address, own=True)
            assert says in str(own), (type_, own)
            for other in DEVICES:
                known_alike = any({type_, other} <= group for group in ALIKE)
                if other != type_ and protocol_of(other) == protocol_of(type_) and not known_alike:
                    answer = await told(lab, other, line, address, own=False)
                    assert answer is None, f"{type_} passes for {other}: {answer}"


def test_the_cabinets_above_have_every_type() -> None:
    seen = {type_ for _, twins in CABINETS for type_ in twins}
    assert seen.union(*ALIKE) == set(DEVICES)


@pytest.mark.parametrize("type_", sorted(DEVICES))
def test_every_type_is_complete(type_: str) -> None:
    device = DEVICES[type_]
    assert type_ == device.type
    assert type_ in DRIVERS
    assert all((device.title, device.source, device.capabilities, device.protocols))
    if device.addresses is None:
        assert device.address == 0
    else:
        assert device.address in device.addresses
    assert (Capability.LOCK in device.capabilities) == bool(device.locks)
    assert (Capability.CONTACTS in device.capabilities) == bool(device.inputs)
