"""What every simulated Modbus device does alike: hear, act, answer or refuse."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from protocols import modbus
from protocols.errors import FrameError
from protocols.modbus import ExceptionCode
from protocols.registers import Register, RegisterMap, Space, Value
from simulator.devices.words import RefusalError, Words
from simulator.wires.bus import Answer


class Handler(Protocol):
    """Acts on one request and gives the PDU of the answer."""

    def __call__(self, request: modbus.Request) -> bytes:
        """Act.

        Raises:
            RefusalError: with the Modbus exception code.
        """
        ...


def respond(pdu: bytes, handle: Handler) -> bytes:
    """The answer to one request, exceptions included."""
    try:
        request = modbus.parse_request(pdu)
    except modbus.RequestError as error:
        return modbus.exception(error.function, error.code)
    except FrameError:
        return modbus.exception(pdu[0] if pdu else 0, ExceptionCode.ILLEGAL_VALUE)
    try:
        return handle(request)
    except RefusalError as refusal:
        return modbus.exception(request.function, refusal.code)


class RegisterDevice:
    """A device of plain registers: values come from and go to the model by register name.

    Args:
        name: as the control API silences it.
        unit: its address on the bus.
        table: its registers.
        filler: addresses without a meaning that read as zero instead of being refused.
    """

    def __init__(
        self, name: str, unit: int, table: RegisterMap, filler: Iterable[int] = ()
    ) -> None:
        self.name = name
        self.type = table.name
        self.unit = unit
        self._functions = table.function_codes
        self._holding = Words(table, Space.HOLDING, filler)
        self._inputs = Words(table, Space.INPUT, filler)

    def hears(self, unit: int) -> bool:
        """Only its own address."""
        return unit == self.unit

    def answer(self, unit: int, pdu: bytes) -> Answer | None:
        """Act, and answer."""
        return Answer(unit, respond(pdu, self._handle))

    def value(self, register: Register) -> Value:
        """What a register shows now."""
        raise NotImplementedError

    def change(self, name: str, value: Value) -> None:
        """Take a value that a master has written.

        Raises:
            RefusalError: the register cannot be written.
        """
        raise NotImplementedError

    def _handle(self, request: modbus.Request) -> bytes:
        function = request.function
        if function not in self._functions:
            raise RefusalError(ExceptionCode.ILLEGAL_FUNCTION)
        if function in {modbus.READ_HOLDING, modbus.READ_INPUT}:
            words = self._holding if function == modbus.READ_HOLDING else self._inputs
            read = words.read(request.address, request.count, self.value)
            return modbus.reply_words(function, read)
        for name, value in self._holding.decode(request.address, request.values).items():
            self.change(name, value)
        return modbus.reply_echo(request)
