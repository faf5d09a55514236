"""JBD / Jiabaida battery boards, 0xDD protocol: one battery per port, no address on the wire."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from cabinet.calls import Call, Place, Urgency
from cabinet.core.model import BmsReading
from cabinet.errors import DeviceRefusedError, LinkError
from protocols.errors import ProtocolError
from protocols.frames import jbd

log = logging.getLogger(__name__)

#: Expected data, for the time on the wire: four sensors, sixteen cells.
BASIC_BYTES: Final = 23 + 2 * 4
CELL_BYTES: Final = 2 * 16
BARCODE_BYTES: Final = 32


class JbdBms:
    """Implements ``cabinet.ports.Bms``."""

    def __init__(self, place: Place) -> None:
        self._wire = place.wire
        self._clock = place.clock
        self._serial: str | None = None
        self._insertion = 0
        self._discharge_fet_on = True

    async def read(self) -> BmsReading:
        """Poll it; the serial is read once per insertion and remembered until ``forget``.

        Raises:
            LinkError: no answer, or ``forget`` was called meanwhile: parts may be of two packs.
        """
        insertion = self._insertion
        basic_data = await self._read(jbd.REG_BASIC, BASIC_BYTES)
        cells_data = await self._read(jbd.REG_CELLS, CELL_BYTES)
        try:
            basic, cells = jbd.decode_basic(basic_data), jbd.decode_cells(cells_data)
        except ProtocolError as error:
            raise LinkError(self._wire.name, f"impossible reading: {error}") from error
        at_ms = self._clock.monotonic_ms()
        serial = self._serial or await self._read_serial()
        if insertion != self._insertion:
            raise LinkError(self._wire.name, "the pack may have changed during the reading")
        self._serial = serial
        self._discharge_fet_on = basic.discharge_fet_on
        return BmsReading(
            at_ms=at_ms,
            serial=serial,
            soc_pct=basic.soc_pct,
            voltage_v=basic.voltage_v,
            current_a=basic.current_a,
            cell_v=tuple(cells),
            temps_c=tuple(basic.temps_c),
            protection=frozenset(basic.protection),
            charge_fet_on=basic.charge_fet_on,
            discharge_fet_on=basic.discharge_fet_on,
            remaining_ah=basic.remaining_ah,
            capacity_ah=basic.nominal_ah,
            cycles=basic.cycles,
        )

    def forget(self) -> None:
        """The pack may have changed: read the serial again."""
        self._serial = None
        self._insertion += 1

    async def set_charge_fet(self, *, on: bool) -> None:
        """Open or close the pack's charge path; the discharge path stays as last read."""
        data = jbd.fet_data(charge_on=on, discharge_on=self._discharge_fet_on)
        await self._wire.ask(
            Call(
                request=jbd.write_request(jbd.REG_FET, data),
                take=self._take(jbd.REG_FET),
                reply_bytes=jbd.FRAME_OVERHEAD_BYTES,
                urgency=Urgency.SAFETY,
                is_read=False,
            )
        )

    async def _read_serial(self) -> str | None:
        """None when the pack will not tell it, or tells something that is no serial."""
        try:
            data = await self._read(jbd.REG_BARCODE, BARCODE_BYTES)
            return jbd.decode_barcode(data) or None
        except (DeviceRefusedError, ProtocolError) as error:
            log.debug("%s: no serial: %s", self._wire.name, error)
            return None

    async def _read(self, register: int, size: int) -> bytes:
        return await self._wire.ask(
            Call(
                request=jbd.read_request(register),
                take=self._take(register),
                reply_bytes=jbd.FRAME_OVERHEAD_BYTES + size,
                urgency=Urgency.READING,
                is_read=True,
            )
        )

    def _take(self, register: int) -> Callable[[bytes], bytes | None]:
        def take(received: bytes) -> bytes | None:
            for frame in jbd.Parser().feed(received):
                if isinstance(frame, jbd.Frame) and frame.register == register:
                    if not frame.ok:
                        why = f"register {register:#04x}: status {frame.status:#04x}"
                        raise DeviceRefusedError(self._wire.name, why)
                    return frame.data
            return None

        return take
