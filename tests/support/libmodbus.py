"""libmodbus itself, through its C interface: a Modbus master that none of our code takes part in."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
from collections.abc import Iterator

import pytest


class Libmodbus:
    """One RTU master on one port; every method raises OSError as the library reports it."""

    def __init__(self, library: ctypes.CDLL, context: ctypes.c_void_p) -> None:
        self._library = library
        self._context = context

    def input_words(self, unit: int, address: int, count: int) -> list[int]:
        """FC04."""
        return self._words("modbus_read_input_registers", unit, address, count)

    def holding(self, unit: int, address: int, count: int) -> list[int]:
        """FC03."""
        return self._words("modbus_read_registers", unit, address, count)

    def coils(self, unit: int, address: int, count: int) -> list[bool]:
        """FC01."""
        found = (ctypes.c_uint8 * count)()
        self._call(unit, "modbus_read_bits", address, count, found)
        return [bool(bit) for bit in found]

    def inputs(self, unit: int, address: int, count: int) -> list[bool]:
        """FC02."""
        found = (ctypes.c_uint8 * count)()
        self._call(unit, "modbus_read_input_bits", address, count, found)
        return [bool(bit) for bit in found]

    def write_words(self, unit: int, address: int, values: list[int]) -> None:
        """FC16."""
        data = (ctypes.c_uint16 * len(values))(*values)
        self._call(unit, "modbus_write_registers", address, len(values), data)

    def raw(self, *request: int) -> bytes:
        """Any request; the library adds the checksum and checks the answer's."""
        data = (ctypes.c_uint8 * len(request))(*request)
        self._call(request[0], "modbus_send_raw_request", data, len(request))
        found = (ctypes.c_uint8 * 260)()
        length = self._call(request[0], "modbus_receive_confirmation", found)
        return bytes(found[:length])

    def _words(self, function: str, unit: int, address: int, count: int) -> list[int]:
        found = (ctypes.c_uint16 * count)()
        self._call(unit, function, address, count, found)
        return list(found)

    def _call(self, unit: int, function: str, *arguments: object) -> int:
        self._library.modbus_set_slave(self._context, unit)
        result: int = getattr(self._library, function)(self._context, *arguments)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, self._library.modbus_strerror(number).decode())
        return result


@contextlib.contextmanager
def libmodbus(port: str, baud: int) -> Iterator[Libmodbus]:
    """A master on this port; skips the test where the library is missing."""
    name = ctypes.util.find_library("modbus")
    if name is None:
        pytest.skip("libmodbus is missing: install the Debian package libmodbus5")
    library = ctypes.CDLL(name, use_errno=True)
    library.modbus_new_rtu.restype = ctypes.c_void_p
    library.modbus_strerror.restype = ctypes.c_char_p
    for function in ("modbus_close", "modbus_free", "modbus_connect"):
        getattr(library, function).argtypes = [ctypes.c_void_p]
    library.modbus_new_rtu.argtypes = [
        ctypes.c_char_p, ctypes.c_int, ctypes.c_char, ctypes.c_int, ctypes.c_int,
    ]  # fmt: skip
    raw = library.modbus_new_rtu(port.encode(), baud, b"N", 8, 1)
    context = ctypes.c_void_p(raw)
    library.modbus_set_response_timeout(context, ctypes.c_uint32(20), ctypes.c_uint32(0))
    if library.modbus_connect(context) < 0:
        raise OSError(ctypes.get_errno(), f"libmodbus cannot open {port}")
    try:
        yield Libmodbus(library, context)
    finally:
        library.modbus_close(context)
        library.modbus_free(context)
