"""The relay board's Modbus face: relays, timed relays, inputs, modes, address and version."""

from __future__ import annotations

from typing import Final

from protocols import modbus
from protocols.maps import waveshare_relay as board_map
from protocols.modbus import ExceptionCode
from simulator.devices.base import respond
from simulator.devices.words import RefusalError
from simulator.models.relay import Mode, RelayBoard
from simulator.wires.bus import BROADCAST, Answer

VERSION: Final = 200  # V2.00


class WaveshareBoard:
    """One board.

    It also hears unit 0, and answers it, which is how its address is set: with more than one board
    on the bus the answers collide, as they do in the field.
    """

    def __init__(
        self, name: str, unit: int, board: RelayBoard, type_: str = board_map.MAP.name
    ) -> None:
        self.name = name
        self.type = type_
        self.unit = unit
        self._board = board
        self._uart = board_map.UART_9600_8N1

    def hears(self, unit: int) -> bool:
        """Its own address, and the broadcast address."""
        return unit in {self.unit, BROADCAST}

    def answer(self, unit: int, pdu: bytes) -> Answer | None:
        """Act, and answer; a read by broadcast is answered from the board's own address."""
        echoes = pdu[0] in {modbus.WRITE_COIL, modbus.WRITE_REGISTER}
        said = respond(pdu, self._handle)
        return Answer(unit if echoes else self.unit, said)

    def _handle(self, request: modbus.Request) -> bytes:
        match request.function:
            case 1:
                return self._bits(request, self._board.relays)
            case 2:
                return self._bits(request, self._board.inputs)
            case 3:
                block = range(request.address, request.end)
                return modbus.reply_words(3, [self._word(address) for address in block])
            case 5:
                self._coil(request.address, request.value)
            case 15:
                self._coils(request.address, request.values)
            case 6 | 16:
                self._registers(request.address, request.values)
            case _:
                raise RefusalError(ExceptionCode.ILLEGAL_FUNCTION)
        return modbus.reply_echo(request)

    @staticmethod
    def _bits(request: modbus.Request, bits: list[bool]) -> bytes:
        if request.end > len(bits):
            raise RefusalError(ExceptionCode.ILLEGAL_ADDRESS)
        wanted = bits[request.address : request.end]
        return modbus.reply_bits(request.function, wanted)

    def _coil(self, address: int, value: int) -> None:
        base, channel = address & ~0xFF, address & 0xFF
        if base == board_map.COIL_BASE and channel == board_map.ALL_RELAYS:
            for every in range(self._board.relays_count):
                self._level(every, value)
        elif channel >= self._board.relays_count:
            raise RefusalError(ExceptionCode.ILLEGAL_ADDRESS)
        elif base == board_map.COIL_BASE:
            self._level(channel, value)
        elif base in {board_map.FLASH_ON_BASE, board_map.FLASH_OFF_BASE}:
            if not 1 <= value <= board_map.FLASH_STEPS_MAX:
                raise RefusalError(ExceptionCode.ILLEGAL_VALUE)
            duration_s = value * board_map.FLASH_UNIT_MS / 1_000.0
            self._board.flash(channel, duration_s, on=base == board_map.FLASH_ON_BASE)
        else:
            raise RefusalError(ExceptionCode.ILLEGAL_ADDRESS)

    def _level(self, channel: int, value: int) -> None:
        match value:
            case board_map.TOGGLE:
                self._board.toggle(channel)
            case board_map.ON | board_map.OFF:
                self._board.set(channel, on=value == board_map.ON)
            case _:
                raise RefusalError(ExceptionCode.ILLEGAL_VALUE)

    def _coils(self, address: int, values: tuple[int, ...]) -> None:
        if address + len(values) > self._board.relays_count:
            raise RefusalError(ExceptionCode.ILLEGAL_ADDRESS)
        for channel, value in enumerate(values, start=address):
            self._board.set(channel, on=bool(value))

    def _word(self, address: int) -> int:
        if 0 <= address - board_map.MODE_BASE < self._board.inputs_count:
            return self._board.modes[address - board_map.MODE_BASE].value
        match address:
            case board_map.UART:
                return self._uart
            case board_map.DEVICE_ADDRESS:
                return self.unit
            case board_map.VERSION:
                return VERSION
            case _:
                raise RefusalError(ExceptionCode.ILLEGAL_ADDRESS)

    def _registers(self, address: int, values: tuple[int, ...]) -> None:
        for at, value in enumerate(values, start=address):
            self._check(at, value)
        for at, value in enumerate(values, start=address):
            match at:
                case board_map.UART:
                    self._uart = value
                case board_map.DEVICE_ADDRESS:
                    self.unit = value
                case _:
                    self._board.modes[at - board_map.MODE_BASE] = Mode(value)

    def _check(self, address: int, value: int) -> None:
        if 0 <= address - board_map.MODE_BASE < self._board.inputs_count:
            good = value <= max(Mode)
        elif address == board_map.UART:
            good = value >> 8 in board_map.UART_PARITY and value & 0xFF in board_map.UART_BAUD
        elif address == board_map.DEVICE_ADDRESS:
            good = 1 <= value <= 0xFF
        else:
            raise RefusalError(ExceptionCode.ILLEGAL_ADDRESS)
        if not good:
            raise RefusalError(ExceptionCode.ILLEGAL_VALUE)
