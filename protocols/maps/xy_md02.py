"""XY-MD02 (SHT20): cabinet temperature and humidity, FC04, tenths."""

from __future__ import annotations

from typing import Final

from protocols.registers import Access, Kind, Register, RegisterMap, Space

MAP: Final = RegisterMap(
    "xy-md02",
    (
        Register(
            0x0001, "temperature_c", Space.INPUT, Kind.I16, 0.1, "degC", low=-80.0, high=150.0
        ),
        Register(0x0002, "humidity_pct", Space.INPUT, Kind.U16, 0.1, "%", low=0.0, high=100.0),
        Register(
            0x0101,
            "device_address",
            Space.HOLDING,
            Kind.U16,
            low=1,
            high=247,
            access=Access.RW,
        ),
        Register(
            0x0102,
            "line_baud",
            Space.HOLDING,
            Kind.U16,
            unit="baud",
            low=1200,
            high=38400,
            access=Access.RW,
            doc="the baud rate itself, not a code",
        ),
        Register(
            0x0103,
            "temperature_offset_c",
            Space.HOLDING,
            Kind.I16,
            0.1,
            "degC",
            low=-10.0,
            high=10.0,
            access=Access.RW,
        ),
        Register(
            0x0104,
            "humidity_offset_pct",
            Space.HOLDING,
            Kind.I16,
            0.1,
            "%",
            low=-10.0,
            high=10.0,
            access=Access.RW,
        ),
    ),
    source="e-tinkers/Modbus-RTU SHT20 example and wirenboard config-xy-md0x, which agree",
    function_codes=frozenset({3, 4, 6, 16}),
)
