"""JK BMS (PB "inverter" series), RS485 Modbus: addressed by bytes, not by registers.

``FC03(base + B, n)`` returns ``payload[B : B + 2n]``, so values of two bytes are 2 apart and values
of four bytes 4 apart. The board refuses odd starts and more than 122 words, and does not hear a
request that begins less than 30 ms after its reply. Settings stand at 0x1000, readings at 0x1200,
names at 0x1400.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from protocols import modbus
from protocols.device import Capability, Device, Dialogue, Protocol, Role, Where, Words, WriteWords
from protocols.errors import FrameError
from protocols.faces import PackFacts, PackReply, Switches
from protocols.modbus import ExceptionCode
from protocols.registers import Space

SETTINGS, RUNTIME, INFO = 0x1000, 0x1200, 0x1400
TABLE_BYTES: Final = 0x0126
WORDS_MAX: Final = 122
CELLS_MAX: Final = 32
#: Two blocks cover what we use: up to the MOS states, then the sensors.
MAIN_WORDS: Final = 98
SENSORS_AT: Final = 0xD0
SENSORS_WORDS: Final = 23
SERIAL_AT: Final = 0x50
SERIAL_WORDS: Final = 8
CHARGE_AT: Final = 0x70
DISCHARGE_AT: Final = 0x74
#: A sensor that is not fitted reads about this.
ABSENT_RAW: Final = -2000


@dataclass(frozen=True, slots=True)
class Field:
    """One value of the readings, at a byte offset."""

    at: int
    form: str  # struct code, big-endian
    scale: float = 1.0  # to units


#: Readings that we use, by name; V, A, Ah, °C, %.
FIELDS: Final[Mapping[str, Field]] = {
    "present": Field(0x40, "I"),
    "cell_mean_v": Field(0x44, "H", 1_000),
    "cell_spread_v": Field(0x46, "H", 1_000),
    "cell_max_index": Field(0x48, "B"),
    "cell_min_index": Field(0x49, "B"),
    "mos_temp_c": Field(0x8A, "h", 10),
    "voltage_v": Field(0x90, "I", 1_000),
    "power_w": Field(0x94, "I", 1_000),
    "current_a": Field(0x98, "i", 1_000),
    "temp_1_c": Field(0x9C, "h", 10),
    "temp_2_c": Field(0x9E, "h", 10),
    "alarms": Field(0xA0, "I"),
    "balance_state": Field(0xA6, "B"),
    "soc_pct": Field(0xA7, "B"),
    "remaining_ah": Field(0xA8, "i", 1_000),
    "capacity_ah": Field(0xAC, "I", 1_000),
    "cycles": Field(0xB0, "I"),
    "soh_pct": Field(0xB8, "B"),
    "charge_on": Field(0xC0, "B"),
    "discharge_on": Field(0xC1, "B"),
    "sensors": Field(0xD0, "B"),
    "voltage_coarse_v": Field(0xE4, "H", 100),
    "temp_3_c": Field(0xF8, "h", 10),
    "temp_4_c": Field(0xFA, "h", 10),
    "temp_5_c": Field(0xFC, "h", 10),
}
TEMPS: Final = ("temp_1_c", "temp_2_c", "temp_3_c", "temp_4_c", "temp_5_c")
#: Alarm bits, lowest first, in the words that the cabinet's safety knows.
ALARMS: Final = (
    "wire-resistance", "mos-over-temp", "cell-count", "current-sensor",
    "cell-over-voltage", "pack-over-voltage", "charge-over-current", "short-circuit",
    "charge-over-temp", "charge-under-temp", "afe-error", "cell-under-voltage",
    "pack-under-voltage", "discharge-over-current", "discharge-short-circuit",
    "discharge-over-temp", "charge-mos-fault", "discharge-mos-fault", "gps-lost",
    "change-password", "discharge-on-failed", "battery-over-temp", "temp-sensor",
    "parallel-module",
)  # fmt: skip
#: Says nothing about the pack's health.
NO_ALARMS: Final = frozenset({"gps-lost", "change-password"})
#: What the simulated pack knows by other names.
SAME: Final = {"mos-lock": "charge-mos-fault", "discharge-under-temp": "temp-sensor",
               "charge-timeout": "charge-mos-fault"}  # fmt: skip

SOURCE: Final = (
    "JK BMS RS485 Modbus V1.0/V1.1 (syssi/esphome-jk-bms docs) and PyPI jkctl 0.2.0, which agree"
)


class JkBms:
    """Implements ``protocols.faces.BmsFace``."""

    def read(self, _: Where) -> Dialogue[PackFacts]:
        """Two blocks of the readings."""
        main = _bytes((yield Words(Space.HOLDING, RUNTIME, MAIN_WORDS)))
        rest = _bytes((yield Words(Space.HOLDING, RUNTIME + SENSORS_AT, SENSORS_WORDS)))
        return decode(main.ljust(SENSORS_AT, b"\0") + rest)

    def serial(self, _: Where) -> Dialogue[str | None]:
        """The 16 characters at 0x1450."""
        words = yield Words(Space.HOLDING, INFO + SERIAL_AT, SERIAL_WORDS)
        return text(_bytes(words)) or None

    def switch_charge(self, _: Where, *, on: bool, discharge_on: bool) -> Dialogue[None]:
        """The charge switch is a setting of its own; the discharge switch is left alone."""
        del discharge_on
        yield WriteWords(SETTINGS + CHARGE_AT, (0, int(on)), block=True)

    def find(self, heard: bytes) -> tuple[int, int] | None:
        """A request with a good checksum, anywhere."""
        for start in range(len(heard) - modbus.RTU_BYTES_MIN + 1):
            try:
                length = modbus.request_length(heard[start : start + 12])
                if length is not None and start + length <= len(heard):
                    modbus.parse_rtu(heard[start : start + length])
                    return start, start + length
            except FrameError:
                continue
        return None

    def answer(self, request: bytes, pack: PackFacts) -> PackReply:
        """Function 3 and 16 within a table; silence to others' addresses is the port's matter."""
        unit, pdu = modbus.parse_rtu(request)
        try:
            asked = modbus.parse_request(pdu)
        except modbus.RequestError as error:
            return PackReply(modbus.rtu(unit, modbus.exception(error.function, error.code)))
        table = tables(pack).get(asked.address & ~0x1FF)
        at = asked.address & 0x1FF
        if asked.function not in {modbus.READ_HOLDING, modbus.WRITE_REGISTERS}:
            code = ExceptionCode.ILLEGAL_FUNCTION
        elif (
            table is None or at % 2 or asked.count > WORDS_MAX or at + 2 * asked.count > len(table)
        ):
            code = ExceptionCode.ILLEGAL_ADDRESS
        elif asked.function == modbus.READ_HOLDING:
            words = struct.unpack(f">{asked.count}H", table[at : at + 2 * asked.count])
            return PackReply(modbus.rtu(unit, modbus.reply_words(modbus.READ_HOLDING, words)))
        else:
            wish = _wish(asked)
            return PackReply(modbus.rtu(unit, modbus.reply_echo(asked)), wish)
        return PackReply(modbus.rtu(unit, modbus.exception(asked.function, code)))


def decode(table: bytes) -> PackFacts:
    """The readings, from the start of their table.

    Raises:
        FrameError: too short, or more or fewer cells than a board can have.
    """
    if len(table) < SENSORS_AT + 2 * SENSORS_WORDS:
        raise FrameError(f"JK readings of {len(table)} bytes")
    raw = {name: _get(table, field) for name, field in FIELDS.items()}
    present, sensors, alarms = int(raw["present"]), int(raw["sensors"]), int(raw["alarms"])
    millivolts = struct.unpack_from(f">{CELLS_MAX}H", table)
    cells = tuple(mv / 1_000 for n, mv in enumerate(millivolts) if present >> n & 1)
    if not cells:
        raise FrameError("JK readings without a cell")
    fitted = [name for n, name in enumerate(TEMPS, start=1) if sensors >> n & 1]
    temps = tuple(raw[name] for name in fitted or TEMPS[:2])
    names = {name for bit, name in enumerate(ALARMS) if alarms >> bit & 1}
    if alarms >> len(ALARMS):
        names.add("unknown-alarm")
    return PackFacts(
        soc_pct=int(raw["soc_pct"]),
        voltage_v=raw["voltage_v"],
        current_a=raw["current_a"],
        cell_v=cells,
        temps_c=temps,
        protection=frozenset(names - NO_ALARMS),
        charge_fet_on=bool(raw["charge_on"]),
        discharge_fet_on=bool(raw["discharge_on"]),
        remaining_ah=raw["remaining_ah"],
        capacity_ah=raw["capacity_ah"],
        cycles=int(raw["cycles"]),
    )


def text(data: bytes) -> str:
    """ASCII up to the first zero byte.

    Raises:
        FrameError: it is not printable ASCII.
    """
    found = data.split(b"\0", 1)[0].rstrip(b" \xff")
    if not all(0x20 <= byte < 0x7F for byte in found):
        raise FrameError(f"JK text {data.hex(' ')} is not printable ASCII")
    return found.decode("ascii")


def tables(pack: PackFacts) -> dict[int, bytes]:
    """Everything that a board with this pack serves, by base address."""
    return {SETTINGS: _settings(pack), RUNTIME: _runtime(pack), INFO: _info(pack)}


def _runtime(pack: PackFacts) -> bytes:
    table = bytearray(TABLE_BYTES)
    cells = [round(volt * 1_000) for volt in pack.cell_v]
    struct.pack_into(f">{len(cells)}H", table, 0, *cells)
    raised = {SAME.get(name, name) for name in pack.protection}
    values: dict[str, float] = {
        "present": (1 << len(cells)) - 1,
        "cell_mean_v": sum(pack.cell_v) / len(cells),
        "cell_spread_v": max(pack.cell_v) - min(pack.cell_v),
        "cell_max_index": cells.index(max(cells)),
        "cell_min_index": cells.index(min(cells)),
        "mos_temp_c": max(pack.temps_c, default=25.0),
        "voltage_v": pack.voltage_v,
        "power_w": abs(pack.voltage_v * pack.current_a),
        "current_a": pack.current_a,
        "alarms": sum(1 << bit for bit, name in enumerate(ALARMS) if name in raised),
        "balance_state": 2 if pack.balance_bits else 0,
        "soc_pct": pack.soc_pct,
        "remaining_ah": pack.remaining_ah,
        "capacity_ah": pack.capacity_ah,
        "cycles": pack.cycles,
        "soh_pct": 100,
        "charge_on": pack.charge_fet_on,
        "discharge_on": pack.discharge_fet_on,
        "sensors": 1 | sum(2 << n for n in range(len(pack.temps_c))),
        "voltage_coarse_v": pack.voltage_v,
    }
    values |= dict(zip(TEMPS, pack.temps_c, strict=False))
    for name in TEMPS[len(pack.temps_c) :]:
        values[name] = ABSENT_RAW / 10
    for name, value in values.items():
        _put(table, FIELDS[name], value)
    return bytes(table)


def _settings(pack: PackFacts) -> bytes:
    table = bytearray(TABLE_BYTES)
    struct.pack_into(">I", table, 0x6C, len(pack.cell_v))
    struct.pack_into(">III", table, CHARGE_AT, pack.charge_fet_on, pack.discharge_fet_on, 1)
    struct.pack_into(">I", table, 0x7C, round(pack.capacity_ah * 1_000))
    return bytes(table)


def _info(pack: PackFacts) -> bytes:
    table = bytearray(TABLE_BYTES)
    table[0x00:0x0F] = b"JK_PB2A16S20P".ljust(15, b"\0")
    table[0x0F] = 16
    table[0x10:0x18] = b"15A".ljust(8, b"\0")
    table[0x18:0x20] = b"15.41".ljust(8, b"\0")
    table[0x48:0x50] = b"250601".ljust(8, b"\0")
    table[SERIAL_AT : SERIAL_AT + 16] = (pack.serial or "").encode("ascii")[:16].ljust(16, b"\0")
    return bytes(table)


def _wish(asked: modbus.Request) -> Switches | None:
    if asked.address & ~0x1FF != SETTINGS:
        return None
    at, wish = asked.address & 0x1FF, dict.fromkeys((CHARGE_AT, DISCHARGE_AT), None)
    data = struct.pack(f">{asked.count}H", *asked.values)
    switches: dict[int, bool | None] = dict(wish)
    for offset in switches:
        if at <= offset and offset + 4 <= at + len(data):
            switches[offset] = any(data[offset - at : offset - at + 4])
    if all(value is None for value in switches.values()):
        return None
    return Switches(charge=switches[CHARGE_AT], discharge=switches[DISCHARGE_AT])


def _bytes(words: tuple[int, ...]) -> bytes:
    return struct.pack(f">{len(words)}H", *words)


def _get(table: bytes, field: Field) -> float:
    (raw,) = struct.unpack_from(f">{field.form}", table, field.at)
    return float(raw / field.scale)


def _put(table: bytearray, field: Field, value: float) -> None:
    struct.pack_into(f">{field.form}", table, field.at, round(value * field.scale))


def identify(_: Where) -> Dialogue[str | None]:
    """Its model, software and serial."""
    words = yield Words(Space.HOLDING, INFO, 16)
    model, version = text(_bytes(words)[:15]), text(_bytes(words)[24:32])
    if not model.startswith("JK"):
        return None
    serial = text(_bytes((yield Words(Space.HOLDING, INFO + SERIAL_AT, SERIAL_WORDS))))
    return f"{model}, software {version}, serial {serial or 'none'}"


DEVICE: Final = Device(
    type="jk-bms",
    title="JK BMS (RS485 Modbus)",
    role=Role.BMS,
    capabilities=frozenset({Capability.BMS, Capability.SERIAL, Capability.CHARGE_SWITCH}),
    protocols=frozenset({Protocol.MODBUS_RTU}),
    source=SOURCE,
    identify=identify,
    names_itself=True,
    baud=115_200,
    processing_ms=250,
    turnaround_ms=30,
    bms=JkBms(),
    note="addressed by bytes; deaf for 30 ms after each reply",
)
