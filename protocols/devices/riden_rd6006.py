"""Riden RD6006: 60 V, 6 A supply used as a charger; its probe measures the slot's air."""

from __future__ import annotations

from typing import Final

from protocols.device import Capability, Device, Dialogue, Protocol, Role, Where, Words
from protocols.maps import riden_rd6006 as riden
from protocols.registers import Space

MODEL_IDS: Final = range(60_061, 60_065)


def identify(_: Where) -> Dialogue[str | None]:
    """Its model number, serial and firmware."""
    model, high, low, firmware = yield Words(Space.HOLDING, 0, 4)
    if model not in MODEL_IDS:
        return None
    return f"model {model}, serial {high << 16 | low:08d}, firmware {firmware / 100:.2f}"


DEVICE: Final = Device(
    type="riden-rd6006",
    title="Riden RD6006",
    role=Role.CHARGER,
    capabilities=frozenset(
        {Capability.CHARGER, Capability.AIR_PROBE, Capability.OWN_LIMITS, Capability.SERIAL}
    ),
    protocols=frozenset({Protocol.MODBUS_RTU, Protocol.MODBUS_TCP}),
    source=riden.MAP.source,
    identify=identify,
    names_itself=True,
    baud=115_200,
    voltage_max_v=riden.VOLTAGE_MAX_V,
    current_max_a=riden.CURRENT_MAX_A,
    note="no watchdog of its own: the slot's AC lease switches it off when the daemon dies",
)
