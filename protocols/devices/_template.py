"""How to add a device: copy this file to ``your_device.py``, and make it say what yours says.

1. Give the source: the maker's document or two independent drivers that agree. What nobody
   confirms stays out, or says "unverified" here and in ``note``.
2. Describe what it says. A device of plain Modbus registers needs a ``RegisterMap`` (checked when
   it is imported: order, overlap, bounds, units in names) and a face made of it, like this meter.
   A device with frames of its own implements a face of ``protocols.faces``: dialogues for the
   cabinet, ``find`` and ``answer`` for the simulator's twin (``daly_bms.py``, ``lock_8a.py``).
3. ``identify`` is one harmless read that no other device answers in the same way.
4. Put a frame from the source into ``tests/golden/frames.toml`` and assert it byte for byte; add
   the type to a cabinet of ``tests/contract/devices/test_identify.py``. The tests of its role
   (``test_twins.py``), ``cabinetd devices``, the configuration and swapsim find it by themselves.

Files with a leading underscore are no devices: this one is only read by its test.
"""

from __future__ import annotations

from typing import Final

from protocols.device import (
    Capability,
    Device,
    Dialogue,
    Protocol,
    RegisterMeter,
    Role,
    Where,
    Words,
)
from protocols.registers import Kind, Register, RegisterMap, Space

MODEL: Final = 0x0A17

MAP: Final = RegisterMap(
    "example-meter",
    (
        Register(0x0000, "voltage_v", Space.INPUT, Kind.U16, scale=0.1, unit="V"),
        Register(0x0001, "power_w", Space.INPUT, Kind.I32, unit="W"),
        Register(0x0010, "import_kwh", Space.INPUT, Kind.U32, scale=0.01, unit="kWh"),
        Register(0x0100, "model", Space.HOLDING, Kind.U16),
    ),
    source="Example GmbH, EM-1 Modbus manual, revision 3",
    function_codes=frozenset({3, 4}),
)


def identify(_: Where) -> Dialogue[str | None]:
    """Its model number."""
    (model,) = yield Words(Space.HOLDING, MAP["model"].address, 1)
    return "model EM-1" if model == MODEL else None


DEVICE: Final = Device(
    type="example-meter",
    title="Example EM-1",
    role=Role.METER,
    capabilities=frozenset({Capability.METER}),
    protocols=frozenset({Protocol.MODBUS_RTU, Protocol.MODBUS_TCP}),
    source=MAP.source,
    identify=identify,
    names_itself=True,
    baud=9_600,
    processing_ms=200,
    table=MAP,
    meter=RegisterMeter(MAP, "voltage_v", "power_w", "import_kwh"),
)
