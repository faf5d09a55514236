"""Serving 16-bit words out of a declarative register map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from protocols.errors import RegisterError
from protocols.modbus import ExceptionCode
from protocols.registers import Kind, Register, RegisterMap, Space, Value


class RefusalError(Exception):
    """The device answers with this Modbus exception code."""

    def __init__(self, code: ExceptionCode) -> None:
        super().__init__(code.name)
        self.code = code


class Words:
    """Reads and writes blocks of one space of a map.

    Args:
        table: the map.
        space: its part that is served here.
        filler: addresses that exist without a meaning and read as zero.
    """

    def __init__(self, table: RegisterMap, space: Space, filler: Iterable[int] = ()) -> None:
        self._filler = frozenset(filler)
        self._at: dict[int, tuple[Register, int]] = {
            register.address + offset: (register, offset)
            for register in table.registers
            if register.space is space
            for offset in range(register.words)
        }

    def read(
        self, address: int, count: int, value_of: Callable[[Register], Value]
    ) -> tuple[int, ...]:
        """The words of a block.

        Raises:
            RefusalError: a word that does not exist.
        """
        words: list[int] = []
        known: dict[str, tuple[int, ...]] = {}
        for at in range(address, address + count):
            found = self._at.get(at)
            if found is None:
                if at not in self._filler:
                    raise RefusalError(ExceptionCode.ILLEGAL_ADDRESS)
                words.append(0)
                continue
            register, offset = found
            if register.name not in known:
                known[register.name] = _encoded(register, value_of)
            words.append(known[register.name][offset])
        return tuple(words)

    def decode(self, address: int, words: tuple[int, ...]) -> Mapping[str, Value]:
        """What a written block means; nothing is acted on yet.

        Raises:
            RefusalError: an address that does not exist, half of a long register, or a value that
                the register does not take.
        """
        values: dict[str, Value] = {}
        index = 0
        while index < len(words):
            found = self._at.get(address + index)
            if found is None:
                if address + index not in self._filler:
                    raise RefusalError(ExceptionCode.ILLEGAL_ADDRESS)
                index += 1
                continue
            register, offset = found
            raw = words[index : index + register.words]
            if offset or len(raw) < register.words or not register.writable:
                raise RefusalError(ExceptionCode.ILLEGAL_ADDRESS)
            values[register.name] = _checked(register, raw)
            index += register.words
        return values


def _checked(register: Register, raw: tuple[int, ...]) -> Value:
    low, high = register.bounds
    try:
        value = register.decode(raw)
    except RegisterError as error:
        raise RefusalError(ExceptionCode.ILLEGAL_VALUE) from error
    if not low <= value <= high:
        raise RefusalError(ExceptionCode.ILLEGAL_VALUE)
    return value


def _encoded(register: Register, value_of: Callable[[Register], Value]) -> tuple[int, ...]:
    if not register.readable:
        return (0,) * register.words
    return register.encode(_shown(register, value_of(register)))


def _shown(register: Register, value: Value) -> Value:
    """A flag as a number where the register is one; a sensor at its stop shows its last value."""
    if register.kind is Kind.BIT:
        return bool(value)
    low, high = register.bounds
    return min(high, max(low, int(value) if isinstance(value, bool) else value))
