"""Waveshare Modbus RTU Relay (D) 8CH: eight relays and eight digital inputs.

A timed pulse ("flash") is FC05 to ``FLASH_ON_BASE + channel`` with a count of 100 ms steps as the
value, so it is a command and not a register. The board times it itself: it ends even when the
master is dead. A new command for a channel cancels the running pulse.
"""

from __future__ import annotations

from typing import Final

from protocols.errors import RegisterError
from protocols.registers import Access, Kind, Register, RegisterMap, Space

CHANNELS: Final = 8
COIL_BASE: Final = 0x0000
INPUT_BASE: Final = 0x0000
ALL_RELAYS: Final = 0x00FF
FLASH_ON_BASE: Final = 0x0200
FLASH_OFF_BASE: Final = 0x0400
FLASH_UNIT_MS: Final = 100
FLASH_STEPS_MAX: Final = 0x7FFF
MODE_BASE: Final = 0x1000
UART: Final = 0x2000
DEVICE_ADDRESS: Final = 0x4000
VERSION: Final = 0x8000

ON: Final = 0xFF00
OFF: Final = 0x0000
TOGGLE: Final = 0x5500

MODE_NORMAL: Final = 0  # the only mode we accept: in the others an input drives its relay
MODE_LINKAGE: Final = 1
MODE_TOGGLE: Final = 2
MODE_EDGE: Final = 3

UART_PARITY: Final = {0: "N", 1: "E", 2: "O"}  # high byte
UART_BAUD: Final = {
    0: 4800, 1: 9600, 2: 19200, 3: 38400, 4: 57600, 5: 115200, 6: 128000, 7: 256000,
}  # low byte  # fmt: skip
UART_9600_8N1: Final = 0x0001

MAP: Final = RegisterMap(
    "waveshare-relay-d",
    (
        *(
            Register(COIL_BASE + n, f"relay_{n}", Space.COIL, Kind.BIT, access=Access.RW)
            for n in range(CHANNELS)
        ),
        Register(ALL_RELAYS, "relay_all", Space.COIL, Kind.BIT, access=Access.W, doc="all at once"),
        *(
            Register(INPUT_BASE + n, f"input_{n}", Space.DISCRETE, Kind.BIT)
            for n in range(CHANNELS)
        ),
        *(
            Register(
                MODE_BASE + n,
                f"mode_{n}",
                Space.HOLDING,
                Kind.U16,
                low=MODE_NORMAL,
                high=MODE_EDGE,
                access=Access.RW,
                doc="0 normal, 1 linkage, 2 toggle, 3 edge trigger",
            )
            for n in range(CHANNELS)
        ),
        Register(
            UART,
            "uart",
            Space.HOLDING,
            Kind.U16,
            high=0x0207,
            access=Access.RW,
            doc="high byte parity, low byte baud code",
        ),
        Register(
            DEVICE_ADDRESS,
            "device_address",
            Space.HOLDING,
            Kind.U16,
            low=1,
            high=255,
            access=Access.RW,
            doc="id 0 is answered too: set it with one board on the bus",
        ),
        Register(VERSION, "version", Space.HOLDING, Kind.U16, scale=0.01, doc="0x00C8 is V2.00"),
    ),
    source="Waveshare wiki: Modbus RTU Relay (D), command tables",
    function_codes=frozenset({1, 2, 3, 5, 6, 15, 16}),
)


def flash_steps(duration_ms: int) -> int:
    """The FC05 value of a pulse: 100 ms steps, rounded up.

    Raises:
        RegisterError: the board cannot time this duration.
    """
    steps = -(-duration_ms // FLASH_UNIT_MS)
    if not 1 <= steps <= FLASH_STEPS_MAX:
        raise RegisterError(
            f"flash: {duration_ms} ms is outside 1 to {FLASH_STEPS_MAX * FLASH_UNIT_MS} ms"
        )
    return steps
