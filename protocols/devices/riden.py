"""Riden RD60xx supplies used as chargers; the probe measures the slot's air."""

from __future__ import annotations

from typing import Final

from protocols.device import Capability, Device, Dialogue, Protocol, Role, Where, Words
from protocols.maps import riden_rd6006 as riden
from protocols.registers import Space


def _device(model: riden.Model) -> Device:
    def identify(_: Where) -> Dialogue[str | None]:
        """Its model number, serial and firmware."""
        number, high, low, firmware = yield Words(Space.HOLDING, 0, 4)
        if number not in model.ids:
            return None
        return f"model {number}, serial {high << 16 | low:08d}, firmware {firmware / 100:.2f}"

    return Device(
        type=f"riden-{model.name.lower()}",
        title=f"Riden {model.name}",
        role=Role.CHARGER,
        capabilities=frozenset(
            {Capability.CHARGER, Capability.AIR_PROBE, Capability.OWN_LIMITS, Capability.SERIAL}
        ),
        protocols=frozenset({Protocol.MODBUS_RTU, Protocol.MODBUS_TCP}),
        source=riden.MAPS[model].source,
        identify=identify,
        names_itself=True,
        baud=115_200,
        voltage_max_v=model.voltage_max_v,
        current_max_a=model.current_max_a,
        table=riden.MAPS[model],
        note="no watchdog of its own: the slot's AC lease switches it off when the daemon dies",
    )


MODELS: Final = {f"riden-{model.name.lower()}": model for model in riden.MODELS}
DEVICES: Final = tuple(_device(model) for model in riden.MODELS)
