"""Registers: decode, encode, bounds; and what a map refuses."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import RegisterError
from protocols.registers import Access, Kind, Register, RegisterMap, Space, Span, Value

HOLDING = Space.HOLDING
FUNCTIONS = frozenset({1, 2, 3, 4, 5, 6, 15, 16})


def word(address: int, name: str, kind: Kind = Kind.U16, **more: object) -> Register:
    return Register(address, name, HOLDING, kind, **more)  # type: ignore[arg-type]


def build(*registers: Register, functions: frozenset[int] = FUNCTIONS) -> RegisterMap:
    return RegisterMap("test", registers, "here", functions)


@pytest.mark.parametrize(
    ("register", "raw", "value"),
    [
        (Register(0, "relay", Space.COIL, Kind.BIT), [1], True),
        (Register(0, "relay", Space.COIL, Kind.BIT), [0], False),
        (word(0, "count"), [0xFFFF], 65535),
        (word(0, "count", Kind.I16), [0xFFFF], -1),
        (word(0, "temp_c", Kind.I16, scale=0.1, unit="degC"), [0xFF9C], -10.0),
        (word(0, "temp_c", Kind.U16, scale=0.1, unit="degC"), [305], 30.5),
        (word(0, "volt_v", Kind.U16, scale=0.01, unit="V"), [5460], 54.6),
        (word(0, "serial", Kind.U32), [0x0001, 0x0002], 65538),
        (word(0, "serial", Kind.I32), [0xFFFF, 0xFFFE], -2),
        (word(0, "energy_wh", Kind.U32, scale=0.001, unit="Wh"), [0, 1234], 1.234),
        (word(0, "steps", Kind.U16, scale=5.0), [3], 15.0),
        (word(0, "volt_v", Kind.F32, unit="V"), [0x4366, 0x0000], 230.0),
    ],
)
def test_decode_and_encode(register: Register, raw: list[int], value: Value) -> None:
    decoded = register.decode(raw)
    assert decoded == value
    assert type(decoded) is type(value)
    assert register.encode(value) == tuple(raw)


@pytest.mark.parametrize(
    ("register", "raw", "text"),
    [
        (word(0, "serial", Kind.U32), [1], "expected 2 words, got 1"),
        (word(0, "count"), [1, 2], "expected 1 words, got 2"),
        (word(0, "count"), [0x10000], "not all 16 bits"),
        (word(0, "count"), [-1], "not all 16 bits"),
        (word(0, "volt", Kind.F32), [0x7FC0, 0], "nan is not a finite number"),
        (word(0, "volt", Kind.F32), [0x7F80, 0], "inf is not a finite number"),
    ],
)
def test_decode_refuses(register: Register, raw: list[int], text: str) -> None:
    with pytest.raises(RegisterError, match=text):
        register.decode(raw)


@pytest.mark.parametrize(
    ("register", "value", "text"),
    [
        (
            word(0, "set_v", scale=0.01, unit="V", high=60.0),
            60.01,
            "set_v: 60.01 V is outside 0 to",
        ),
        (word(0, "set_v", scale=0.01, unit="V", high=60.0), -0.01, "set_v: -0.01 V"),
        (word(0, "count"), 65536, "count: 65536 is outside 0 to 65535"),
        (word(0, "count", Kind.I16), -32769, "outside -32768 to 32767"),
        (word(0, "count"), math.nan, "not a finite number"),
        (word(0, "real", Kind.F32), math.inf, "not a finite number"),
        (word(0, "real", Kind.F32), 3.5e38, "outside"),
        (Register(0, "relay", Space.COIL, Kind.BIT), 2, "relay: 2 is not a bit"),
    ],
)
def test_encode_refuses(register: Register, value: Value, text: str) -> None:
    with pytest.raises(RegisterError, match=text):
        register.encode(value)


def test_encode_takes_a_bool_as_a_number() -> None:
    assert word(0, "output_on", high=1).encode(value=True) == (1,)


#: A definition, or a list of them, and why it is impossible.
BAD_MAPS = [
    ([], "needs registers"),
    ([word(0, "Big")], "snake_case"),
    ([word(0, "2fast")], "snake_case"),
    ([word(-1, "count")], "address"),
    ([word(0xFFFF, "serial", Kind.U32)], "address"),
    ([Register(0, "relay", HOLDING, Kind.BIT)], "bit in holding"),
    ([Register(0, "count", Space.COIL, Kind.U16)], "u16 in coil"),
    ([Register(0, "door", Space.DISCRETE, Kind.BIT, access=Access.RW)], "read-only"),
    ([Register(0, "count", Space.INPUT, Kind.U16, access=Access.W)], "read-only"),
    ([word(0, "volt", unit="V")], "must end in _v"),
    ([word(0, "volt_v")], "unit is missing"),
    ([word(0, "volt_a", unit="V")], "must end in _v"),
    ([word(0, "volt_v", unit="volt")], "unknown unit"),
    ([word(0, "count", scale=0.0)], "not a positive number"),
    ([word(0, "count", scale=-0.1)], "not a positive number"),
    ([word(0, "count", scale=math.inf)], "not a positive number"),
    ([Register(0, "relay", Space.COIL, Kind.BIT, scale=0.1)], "a bit has no scale"),
    ([word(0, "count", low=5, high=5)], "are empty"),
    ([word(0, "count", high=math.nan)], "are empty"),
    ([word(0, "count", high=65536)], "do not fit u16"),
    ([word(0, "count", low=-1)], "do not fit u16"),
    ([word(0, "temp_c", Kind.I16, scale=0.1, unit="degC", high=4000)], "do not fit i16"),
    ([word(0, "one"), word(1, "one")], "stands twice"),
    ([word(1, "one"), word(0, "two")], "'two' stands behind 'one'"),
    ([word(0, "one", Kind.U32), word(1, "two")], "'two' overlaps 'one'"),
    ([word(0, "one"), word(0, "two")], "'two' overlaps 'one'"),
]


@pytest.mark.parametrize(("registers", "text"), BAD_MAPS)
def test_an_impossible_map_is_refused(registers: list[Register], text: str) -> None:
    with pytest.raises(RegisterError, match=text):
        build(*registers)


@pytest.mark.parametrize(
    ("register", "functions", "text"),
    [
        (word(0, "count"), {4}, "no function code reads it"),
        (word(0, "count", access=Access.RW), {3}, "no function code writes it"),
        (word(0, "count", access=Access.W), {3}, "no function code writes it"),
        (Register(0, "door", Space.DISCRETE, Kind.BIT), {1}, "no function code reads it"),
    ],
)
def test_a_register_that_no_function_reaches_is_refused(
    register: Register, functions: set[int], text: str
) -> None:
    with pytest.raises(RegisterError, match=text):
        build(register, functions=frozenset(functions))


def test_a_map_needs_a_source() -> None:
    with pytest.raises(RegisterError, match="source"):
        RegisterMap("test", (word(0, "count"),), "", FUNCTIONS)


def test_tables_do_not_overlap_one_another() -> None:
    table = build(word(0, "count"), Register(0, "level", Space.INPUT, Kind.U16))
    assert table.at(HOLDING, 0) is table["count"]
    assert table.at(Space.INPUT, 0) is table["level"]
    assert table.at(Space.INPUT, 1) is None


TABLE = build(
    word(0, "model"),
    word(2, "serial", Kind.U32),
    word(4, "command", access=Access.W),
    word(5, "mode"),
    word(200, "far"),
    Register(0, "level", Space.INPUT, Kind.U16),
)


def test_lookups() -> None:
    assert len(TABLE) == 6
    assert "serial" in TABLE
    assert "nothing" not in TABLE
    assert [register.name for register in TABLE][:2] == ["model", "serial"]
    assert TABLE.at(HOLDING, 3) is None, "the second word of a register is not its start"
    with pytest.raises(RegisterError, match="map test: no register 'nothing'"):
        TABLE["nothing"]


def test_span_is_the_smallest_block() -> None:
    assert TABLE.span("model") == Span(HOLDING, 0, 1)
    assert TABLE.span("mode", "serial") == Span(HOLDING, 2, 4)
    assert TABLE.span("model", "mode").end == 6


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), "at least one"),
        (("model", "level"), "different tables"),
        (("model", "far"), "at most 125"),
        (("model", "nothing"), "no register 'nothing'"),
    ],
)
def test_impossible_spans(names: tuple[str, ...], text: str) -> None:
    with pytest.raises(RegisterError, match=text):
        TABLE.span(*names)


@pytest.mark.parametrize(
    ("span", "words", "values"),
    [
        (Span(HOLDING, 0, 6), [7, 99, 0, 5, 1, 3], {"model": 7, "serial": 5, "mode": 3}),
        (Span(HOLDING, 3, 3), [5, 1, 3], {"mode": 3}),
        (Span(HOLDING, 0, 3), [7, 99, 0], {"model": 7}),
        (Span(Space.INPUT, 0, 1), [4], {"level": 4}),
        (Span(HOLDING, 10, 2), [1, 2], {}),
    ],
)
def test_decode_span_gives_what_lies_fully_inside(
    span: Span, words: list[int], values: dict[str, Value]
) -> None:
    assert TABLE.decode_span(span, words) == values


def test_decode_span_refuses_another_length() -> None:
    with pytest.raises(RegisterError, match="expected 2 words, got 1"):
        TABLE.decode_span(Span(HOLDING, 0, 2), [1])


SCALES = st.sampled_from([1.0, 0.1, 0.01, 0.001, 0.5, 2.0, 10.0])
INTEGER_KINDS = {
    Kind.U16: (0, 0xFFFF),
    Kind.I16: (-0x8000, 0x7FFF),
    Kind.U32: (0, 0xFFFF_FFFF),
    Kind.I32: (-0x8000_0000, 0x7FFF_FFFF),
}


@given(kind=st.sampled_from(sorted(INTEGER_KINDS)), scale=SCALES, data=st.data())
def test_every_raw_integer_survives(kind: Kind, scale: float, data: st.DataObject) -> None:
    low, high = INTEGER_KINDS[kind]
    number = data.draw(st.sampled_from([low, high, 0]) | st.integers(low, high))
    register = word(0, "value", kind, scale=scale)
    size = 2 * register.words
    raw = number.to_bytes(size, "big", signed=low < 0)
    words = struct.unpack(f">{register.words}H", raw)
    assert register.encode(register.decode(words)) == words


@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_every_single_float_survives(value: float) -> None:
    register = word(0, "value", Kind.F32)
    assert register.decode(register.encode(value)) == value


@given(
    low=st.integers(0, 1000),
    width=st.integers(1, 1000),
    value=st.floats(-1e6, 1e6) | st.integers(-3000, 3000),
)
def test_encode_takes_exactly_what_is_inside_the_bounds(low: int, width: int, value: float) -> None:
    register = word(0, "value", Kind.U16, scale=0.1, low=low, high=low + width)
    if low <= value <= low + width:
        assert register.decode(register.encode(value)) == pytest.approx(value, abs=0.05001)
    else:
        with pytest.raises(RegisterError, match="value: "):
            register.encode(value)
