"""Mean Well DRS-480-48: charger and DC-UPS for a DIN rail, Modbus RTU.

Its unit id is 0x80 plus the DIP address (the manual's example asks unit 0x83 for slave 3). What it
gives is bounded by its charge curve: constant current, constant voltage, float and taper, which it
keeps by itself when nobody speaks. Its battery sensor hangs in the slot's air.
Baud rate and the limits of the curve are from memory, unverified.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from protocols.device import (
    Capability,
    Device,
    Dialogue,
    Protocol,
    RefusedError,
    Role,
    Where,
    Words,
    WriteWords,
)
from protocols.faces import ChargerFacts, ChargerTwin
from protocols.registers import Access, Kind, Register, RegisterMap, Space

VOLTAGE_MIN_V: Final = 42.0
VOLTAGE_MAX_V: Final = 57.6
CURRENT_MAX_A: Final = 8.0
ADDRESSES: Final = range(0x80, 0x90)
#: Fault bits that stop a charge.
FAULTS: Final = {1: "otp", 2: "ovp", 3: "ocp", 4: "short", 5: "ac-fail", 7: "otp"}
BATTERY_MISSING: Final = 1 << 11
MODEL_WORDS: Final = 6
MODEL: Final = "DRS-480-48"


def _holding(
    address: int, name: str, unit: str = "", high: float | None = None, *, writable: bool = True
) -> Register:
    return Register(
        address,
        name,
        Space.HOLDING,
        Kind.U16,
        scale=0.01 if unit in {"V", "A"} else 1.0,
        unit=unit,
        high=high,
        access=Access.RW if writable else Access.R,
    )


def _input(address: int, name: str, scale: float, unit: str, kind: Kind = Kind.U16) -> Register:
    return Register(address, name, Space.INPUT, kind, scale=scale, unit=unit)


MAP: Final = RegisterMap(
    "mean-well-drs-480-48",
    (
        _holding(0x0000, "output_on", high=1),
        _holding(0x0020, "output_voltage_v", "V", VOLTAGE_MAX_V),
        _holding(0x0040, "fault_bits", writable=False),
        *(_holding(0x0086 + n, f"model_{n}", writable=False) for n in range(MODEL_WORDS)),
        _holding(0x00B0, "current_set_a", "A", CURRENT_MAX_A),
        _holding(0x00B1, "voltage_set_v", "V", VOLTAGE_MAX_V),
        _holding(0x00B2, "voltage_float_v", "V", VOLTAGE_MAX_V),
        _holding(0x00B3, "current_taper_a", "A", CURRENT_MAX_A),
        _holding(0x00B4, "curve_config"),
        _holding(0x00B5, "timeout_cc_min", "min", 64_800),
        _holding(0x00B6, "timeout_cv_min", "min", 64_800),
        _holding(0x00B7, "timeout_float_min", "min", 64_800),
        _holding(0x00B8, "charge_bits", writable=False),
        _holding(0x00C3, "system_bits", writable=False),
        _input(0x0050, "voltage_in_v", 0.1, "V"),
        _input(0x0060, "voltage_out_v", 0.01, "V"),
        _input(0x0061, "current_out_a", 0.01, "A"),
        _input(0x0062, "internal_temp_c", 0.1, "degC", Kind.I16),
        _input(0x00D3, "battery_voltage_v", 0.01, "V"),
        _input(0x00D4, "battery_current_a", 0.01, "A", Kind.I16),
        _input(0x00D5, "external_temp_c", 0.1, "degC", Kind.I16),
    ),
    source="wirenboard config-meanwell-drs.json and the maker's DRS manual, which agree",
    function_codes=frozenset({3, 4, 6, 16}),
)
CURVE: Final = MAP.span("current_set_a", "current_taper_a")
BATTERY: Final = MAP.span("battery_voltage_v", "external_temp_c")
MODEL_SPAN: Final = MAP.span("model_0", f"model_{MODEL_WORDS - 1}")
TAPER_SHARE: Final = 0.05


class MeanWellDrs:
    """Implements ``protocols.faces.ChargerFace``."""

    def off(self, _: Where) -> Dialogue[None]:
        """Output off, and read back."""
        yield WriteWords(MAP["output_on"].address, (0,))
        (on,) = yield Words(Space.HOLDING, MAP["output_on"].address, 1)
        if on:
            raise RefusedError("the output stays on")

    def limits(self, where: Where, voltage_max_v: float, current_max_a: float) -> Dialogue[None]:
        """The curve's own ceiling; it is a Mean Well of this family, or nothing is written."""
        told = yield from identify(where)
        if told is None:
            raise RefusedError("it is no Mean Well DRS")
        yield from self._curve(voltage_max_v, current_max_a)

    def order(self, _: Where, voltage_v: float, current_a: float) -> Dialogue[None]:
        """The curve, then the output on, and read back."""
        yield from self._curve(voltage_v, current_a)
        yield WriteWords(MAP["output_on"].address, (1,))
        (on,) = yield Words(Space.HOLDING, MAP["output_on"].address, 1)
        if not on:
            raise RefusedError("the output stays off")

    def read(self, _: Where) -> Dialogue[ChargerFacts]:
        """Settings, faults and measurements."""
        (on,) = yield Words(Space.HOLDING, MAP["output_on"].address, 1)
        (faults,) = yield Words(Space.HOLDING, MAP["fault_bits"].address, 1)
        curve = MAP.decode_span(CURVE, (yield Words(Space.HOLDING, CURVE.address, CURVE.count)))
        cells = yield Words(Space.INPUT, BATTERY.address, BATTERY.count)
        battery = MAP.decode_span(BATTERY, cells)
        volts, amps = float(battery["battery_voltage_v"]), float(battery["battery_current_a"])
        tripped = (name for bit, name in FAULTS.items() if faults >> bit & 1)
        return ChargerFacts(
            output_on=bool(on),
            voltage_set_v=float(curve["voltage_set_v"]),
            current_set_a=float(curve["current_set_a"]),
            voltage_v=volts,
            current_a=amps,
            power_w=volts * amps,
            air_temp_c=float(battery["external_temp_c"]),
            protection=next(tripped, None),
        )

    def _curve(self, voltage_v: float, current_a: float) -> Dialogue[None]:
        """Float is the same as constant voltage: lithium packs have no float stage."""
        taper_a = current_a * TAPER_SHARE
        values = {
            "current_set_a": current_a,
            "voltage_set_v": voltage_v,
            "voltage_float_v": voltage_v,
            "current_taper_a": taper_a,
        }
        words = tuple(MAP[name].encode(value)[0] for name, value in values.items())
        yield WriteWords(CURVE.address, words)
        told = yield Words(Space.HOLDING, CURVE.address, CURVE.count)
        if told != words:
            raise RefusedError(f"the charge curve stays at {_decoded(told)}")


def _decoded(words: Sequence[int]) -> str:
    return ", ".join(f"{word / 100:g}" for word in words)


def model_words(model: str) -> tuple[int, ...]:
    """A model name as its registers hold it."""
    return struct.unpack(f">{MODEL_WORDS}H", model.encode("ascii").ljust(2 * MODEL_WORDS))


def identify(_: Where) -> Dialogue[str | None]:
    """The model name in its registers."""
    words = yield Words(Space.HOLDING, MODEL_SPAN.address, MODEL_SPAN.count)
    raw = struct.pack(f">{MODEL_WORDS}H", *words)
    model = raw.decode("ascii", "replace").strip(" \0")
    return f"model {model}" if model.startswith("DRS-") else None


DEVICE: Final = Device(
    type="mean-well-drs-480-48",
    title="Mean Well DRS-480-48",
    role=Role.CHARGER,
    capabilities=frozenset({Capability.CHARGER, Capability.AIR_PROBE, Capability.OWN_LIMITS}),
    protocols=frozenset({Protocol.MODBUS_RTU}),
    source=MAP.source,
    identify=identify,
    names_itself=True,
    baud=115_200,
    addresses=ADDRESSES,
    address=ADDRESSES[0],
    voltage_max_v=VOLTAGE_MAX_V,
    current_max_a=CURRENT_MAX_A,
    charger=MeanWellDrs(),
    charger_twin=ChargerTwin(
        table=MAP,
        shows={
            "output_on": "output_on",
            "current_set_a": "current_set_a",
            "voltage_set_v": "voltage_set_v",
            "voltage_out_v": "voltage_v",
            "current_out_a": "current_a",
            "internal_temp_c": "temp_c",
            "battery_voltage_v": "sense_v",
            "battery_current_a": "current_a",
            "external_temp_c": "air_c",
            "fault_bits": "fault_bits",
        },
        takes={
            "output_on": "output_on",
            "current_set_a": "current_set_a",
            "voltage_set_v": "voltage_set_v",
        },
        kept={
            "output_voltage_v": 48.0,
            "voltage_float_v": 55.2,
            "current_taper_a": 0.8,
            "timeout_cc_min": 600,
            "timeout_cv_min": 600,
            "timeout_float_min": 600,
            "voltage_in_v": 230.0,
            "system_bits": 0x22,
            **{f"model_{n}": word for n, word in enumerate(model_words(MODEL))},
        },
        blank=(range(0x0080, 0x0086), range(0x008C, 0x00A0)),
    ),
    note="unit id 0x80 + DIP; 115200 8N1 and the curve's limits are from memory, unverified",
)
