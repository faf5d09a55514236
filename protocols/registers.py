"""Modbus registers as data, shared by the driver and the simulator of a device.

A map is checked when it is built, which is when its module is imported: order, overlap, bounds,
names that end in their unit, and function codes that can reach every register. All words are
big-endian; a 32-bit value has its high word at the lower address.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocols.errors import RegisterError

WORD_MAX: Final = 0xFFFF
READ_WORDS_MAX: Final = 125  # limits of one Modbus transaction
READ_BITS_MAX: Final = 2000


class Space(StrEnum):
    """The four Modbus tables: FC 1/5/15, 2, 3/6/16 and 4."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"


class Kind(StrEnum):
    """How the raw words of a register are read."""

    BIT = "bit"
    U16 = "u16"
    I16 = "i16"
    U32 = "u32"
    I32 = "i32"
    F32 = "f32"


class Access(StrEnum):
    """What a master may do with a register."""

    R = "r"
    W = "w"
    RW = "rw"


Value = int | float | bool

READ_FUNCTION: Final = {Space.COIL: 1, Space.DISCRETE: 2, Space.HOLDING: 3, Space.INPUT: 4}
WRITE_FUNCTIONS: Final[dict[Space, frozenset[int]]] = {
    Space.COIL: frozenset({5, 15}),
    Space.DISCRETE: frozenset(),
    Space.HOLDING: frozenset({6, 16}),
    Space.INPUT: frozenset(),
}
#: What a name must end in, by unit. A name with one of these endings must carry that unit.
UNIT_SUFFIX: Final = {
    "V": "_v", "A": "_a", "W": "_w", "VA": "_va", "var": "_var", "Hz": "_hz", "deg": "_deg",
    "degC": "_c", "degF": "_f", "%": "_pct", "Ah": "_ah", "Wh": "_wh", "kWh": "_kwh",
    "kvarh": "_kvarh", "ms": "_ms", "s": "_s", "min": "_min", "baud": "_baud",
}  # fmt: skip

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_RAW_RANGE: Final[dict[Kind, tuple[int, int]]] = {
    Kind.BIT: (0, 1),
    Kind.U16: (0, 0xFFFF),
    Kind.I16: (-0x8000, 0x7FFF),
    Kind.U32: (0, 0xFFFF_FFFF),
    Kind.I32: (-0x8000_0000, 0x7FFF_FFFF),
}
_FORMAT: Final[dict[Kind, str]] = {
    Kind.U16: ">H", Kind.I16: ">h", Kind.U32: ">I", Kind.I32: ">i", Kind.F32: ">f",
}  # fmt: skip
_F32_MAX: Final = 3.4028234663852886e38


@dataclass(frozen=True, slots=True)
class Register:
    """One value of a device; its value in units is the raw number times ``scale``.

    ``low`` and ``high`` bound what may be encoded, in units; None means all that the kind can
    carry.
    """

    address: int
    name: str
    space: Space
    kind: Kind
    scale: float = 1.0
    unit: str = ""
    low: float | None = None
    high: float | None = None
    access: Access = Access.R
    doc: str = ""

    @property
    def words(self) -> int:
        """How many addresses it takes: 1, or 2 for the 32-bit kinds."""
        return 2 if self.kind in {Kind.U32, Kind.I32, Kind.F32} else 1

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.words

    @property
    def readable(self) -> bool:
        """Whether a master may read it."""
        return self.access is not Access.W

    @property
    def writable(self) -> bool:
        """Whether a master may write it."""
        return self.access is not Access.R

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and highest value in units, declared or by kind."""
        if self.kind is Kind.F32:
            least, most = -_F32_MAX, _F32_MAX
        else:
            raw_low, raw_high = _RAW_RANGE[self.kind]
            least, most = self._scaled(raw_low), self._scaled(raw_high)
        return (
            least if self.low is None else self.low,
            most if self.high is None else self.high,
        )

    def decode(self, raw: Sequence[int]) -> Value:
        """The value in units: bool for a bit, int for an unscaled integer, else float.

        Raises:
            RegisterError: wrong number of words, a word that is not 16 bits, or a float that is
                not finite.
        """
        if len(raw) != self.words:
            raise RegisterError(f"{self.name}: expected {self.words} words, got {len(raw)}")
        if any(not 0 <= word <= WORD_MAX for word in raw):
            raise RegisterError(f"{self.name}: words {list(raw)} are not all 16 bits")
        if self.kind is Kind.BIT:
            return bool(raw[0])
        data = struct.pack(f">{self.words}H", *raw)
        number = struct.unpack(_FORMAT[self.kind], data)[0]
        if isinstance(number, float) and not math.isfinite(number):
            raise RegisterError(f"{self.name}: {number} is not a finite number")
        return self._scaled(number)

    def encode(self, value: Value) -> tuple[int, ...]:
        """The raw words of a value in units, rounded to the register's resolution.

        Raises:
            RegisterError: not a finite number, or outside the bounds.
        """
        if self.kind is Kind.BIT:
            if value not in {0, 1}:
                raise RegisterError(f"{self.name}: {value!r} is not a bit")
            return (int(value),)
        if not math.isfinite(value):
            raise RegisterError(f"{self.name}: {value!r} is not a finite number")
        low, high = self.bounds
        if not low <= value <= high:
            raise RegisterError(
                f"{self.name}: {value:g} {self.unit}".rstrip() + f" is outside {low:g} to {high:g}"
            )
        number = value / self.scale
        raw = number if self.kind is Kind.F32 else round(number)
        data = struct.pack(_FORMAT[self.kind], raw)
        return struct.unpack(f">{self.words}H", data)

    def _scaled(self, number: float) -> int | float:
        if self.scale == 1.0:
            return number
        # A decimal scale is an exact division: 305 / 10 is 30.5, while 305 * 0.1 is not.
        divisor = round(1 / self.scale)
        if divisor and math.isclose(divisor * self.scale, 1.0, rel_tol=1e-12):
            return number / divisor
        return number * self.scale


@dataclass(frozen=True, slots=True)
class Span:
    """A block of one table that one transaction can read."""

    space: Space
    address: int
    count: int

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.count

    def covers(self, register: Register) -> bool:
        """Whether all words of the register lie inside."""
        return (
            register.space is self.space
            and self.address <= register.address
            and register.end <= self.end
        )


class RegisterMap:
    """The registers of one device type, by name and by address.

    Registers stand in rising address order within each table. ``source`` says where the map was
    learnt; ``function_codes`` is all that the device answers.

    Raises:
        RegisterError: the definition is impossible; the text names map, register and reason.
    """

    __slots__ = ("_by_address", "_by_name", "function_codes", "name", "registers", "source")

    def __init__(
        self,
        name: str,
        registers: tuple[Register, ...],
        source: str,
        function_codes: frozenset[int],
    ) -> None:
        self.name = name
        self.registers = registers
        self.source = source
        self.function_codes = function_codes
        if not registers or not source:
            raise RegisterError(f"map {name}: a map needs registers and a source")
        for register in registers:
            problem = _problem(register, function_codes)
            if problem:
                raise RegisterError(f"map {name}: {register.name!r}: {problem}")
        self._by_name = {register.name: register for register in registers}
        self._by_address = {(register.space, register.address): register for register in registers}
        if len(self._by_name) != len(registers):
            raise RegisterError(f"map {name}: a register name stands twice")
        _check_order(name, registers)

    def __repr__(self) -> str:
        return f"RegisterMap({self.name!r}, {len(self.registers)} registers)"

    def __getitem__(self, name: str) -> Register:
        try:
            return self._by_name[name]
        except KeyError:
            raise RegisterError(f"map {self.name}: no register {name!r}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Register]:
        return iter(self.registers)

    def __len__(self) -> int:
        return len(self.registers)

    def at(self, space: Space, address: int) -> Register | None:
        """The register that starts at an address of a table, or None."""
        return self._by_address.get((space, address))

    def span(self, *names: str) -> Span:
        """The smallest block that covers all named registers.

        Raises:
            RegisterError: no name, unknown name, two tables, or too long for one transaction.
        """
        if not names:
            raise RegisterError(f"map {self.name}: a span needs at least one register")
        chosen = [self[name] for name in names]
        space = chosen[0].space
        if any(register.space is not space for register in chosen):
            raise RegisterError(f"map {self.name}: {', '.join(names)} stand in different tables")
        start = min(register.address for register in chosen)
        count = max(register.end for register in chosen) - start
        most = READ_BITS_MAX if space in {Space.COIL, Space.DISCRETE} else READ_WORDS_MAX
        if count > most:
            raise RegisterError(f"map {self.name}: span of {count}, at most {most} in one read")
        return Span(space, start, count)

    def decode_span(self, span: Span, raw_words: Sequence[int]) -> dict[str, Value]:
        """Values of all readable registers that lie fully inside the block.

        Raises:
            RegisterError: the number of words differs from the block, or a value is impossible.
        """
        if len(raw_words) != span.count:
            raise RegisterError(
                f"map {self.name}: expected {span.count} words, got {len(raw_words)}"
            )
        values: dict[str, Value] = {}
        for register in self.registers:
            if register.readable and span.covers(register):
                offset = register.address - span.address
                values[register.name] = register.decode(raw_words[offset : offset + register.words])
        return values


def _problem(register: Register, function_codes: frozenset[int]) -> str | None:
    """Why a definition is impossible, or None."""
    bit_table = register.space in {Space.COIL, Space.DISCRETE}
    checks = (
        (_NAME.fullmatch(register.name) is None, "name is not snake_case"),
        (register.address < 0 or register.end - 1 > WORD_MAX, "address is outside 0 to 0xFFFF"),
        ((register.kind is Kind.BIT) is not bit_table, f"{register.kind} in {register.space}"),
        (
            register.writable and not WRITE_FUNCTIONS[register.space],
            f"the {register.space} table is read-only",
        ),
        (
            register.readable and READ_FUNCTION[register.space] not in function_codes,
            "no function code reads it",
        ),
        (
            register.writable and not WRITE_FUNCTIONS[register.space] & function_codes,
            "no function code writes it",
        ),
    )
    for wrong, reason in checks:
        if wrong:
            return reason
    return _unit_problem(register) or _bounds_problem(register)


def _unit_problem(register: Register) -> str | None:
    ending = "_" + register.name.rsplit("_", 1)[-1]
    if not register.unit:
        unit = next((u for u, suffix in UNIT_SUFFIX.items() if suffix == ending), None)
        return f"name ends in {ending} but the unit is missing" if unit else None
    suffix = UNIT_SUFFIX.get(register.unit)
    if suffix is None:
        return f"unknown unit {register.unit!r}"
    return None if ending == suffix else f"name must end in {suffix}"


def _bounds_problem(register: Register) -> str | None:
    if not math.isfinite(register.scale) or register.scale <= 0:
        return f"scale {register.scale} is not a positive number"
    if register.kind is Kind.BIT and register.scale != 1.0:
        return "a bit has no scale"
    low, high = register.bounds
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return f"bounds {low:g} to {high:g} are empty"
    if register.kind is not Kind.F32:
        raw_low, raw_high = _RAW_RANGE[register.kind]
        if round(low / register.scale) < raw_low or round(high / register.scale) > raw_high:
            return f"bounds {low:g} to {high:g} do not fit {register.kind}"
    return None


def _check_order(name: str, registers: tuple[Register, ...]) -> None:
    last: dict[Space, Register] = {}
    for register in registers:
        before = last.get(register.space)
        if before is not None and register.address < before.address:
            raise RegisterError(f"map {name}: {register.name!r} stands behind {before.name!r}")
        if before is not None and register.address < before.end:
            raise RegisterError(f"map {name}: {register.name!r} overlaps {before.name!r}")
        last[register.space] = register
