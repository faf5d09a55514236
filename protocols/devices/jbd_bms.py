"""JBD / Jiabaida battery boards, 0xDD protocol: no address, one battery per port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocols.device import Capability, Device, Dialogue, Protocol, Raw, RefusedError, Role, Where
from protocols.frames import jbd

BASIC_BYTES: Final = 23 + 2 * 4
BARCODE_BYTES: Final = 32


def taker(register: int) -> Callable[[bytes], bytes | None]:
    """Finds the reply of this register."""

    def take(received: bytes) -> bytes | None:
        for frame in jbd.Parser().feed(received):
            if isinstance(frame, jbd.Frame) and frame.register == register:
                if not frame.ok:
                    raise RefusedError(f"register {register:#04x}: status {frame.status:#04x}")
                return frame.data
        return None

    return take


def _read(register: int, size: int) -> Raw:
    expected = jbd.FRAME_OVERHEAD_BYTES + size
    return Raw(jbd.read_request(register), expected, taker(register))


def identify(_: Where) -> Dialogue[str | None]:
    """Its serial, cells and voltage."""
    basic = jbd.decode_basic((yield _read(jbd.REG_BASIC, BASIC_BYTES)))
    try:
        serial = jbd.decode_barcode((yield _read(jbd.REG_BARCODE, BARCODE_BYTES)))
    except RefusedError:
        serial = ""
    return f"serial {serial or 'none'}, {basic.cells} cells, {basic.voltage_v:.2f} V"


DEVICE: Final = Device(
    type="jbd-bms",
    title="JBD / Jiabaida BMS",
    role=Role.BMS,
    capabilities=frozenset({Capability.BMS, Capability.SERIAL, Capability.CHARGE_SWITCH}),
    protocols=frozenset({Protocol.JBD}),
    source="Jiabaida general protocol V4, FurTrader/OverkillSolarBMS, syssi/esphome-jbd-bms",
    identify=identify,
    names_itself=True,
    addresses=None,
    address=0,
    processing_ms=250,
)
