"""The drivers of every device whose definition has a face: what is said is there, when is here."""

from __future__ import annotations

import logging
from typing import Final

from cabinet.adapters.devices.dialogue import Talk
from cabinet.adapters.devices.modbus import READ_TRIES
from cabinet.calls import Place, Urgency
from cabinet.core.model import BmsReading, ChargerReading, MeterReading
from cabinet.errors import DeviceRefusedError, LinkError
from protocols.device import Device
from protocols.faces import BmsFace, ChargerFace, LockFace, MeterFace

log = logging.getLogger(__name__)

WH_PER_KWH: Final = 1_000.0
#: A pack that did not tell its serial is asked again after this long, not at every poll.
SERIAL_RETRY_MS: Final = 10_000


class FaceMeter:
    """Implements ``cabinet.ports.Meter``."""

    def __init__(self, place: Place, face: MeterFace) -> None:
        self._talk = Talk(place)
        self._face = face
        self._clock = place.clock

    async def read(self) -> MeterReading:
        """Poll it."""
        facts = await self._talk.run(self._face.read(self._talk.where), Urgency.METER)
        return MeterReading(
            at_ms=self._clock.monotonic_ms(),
            power_w=facts.power_w,
            energy_wh=facts.import_kwh * WH_PER_KWH,
            voltage_v=facts.voltage_v,
            current_a=facts.current_a or None,  # not every meter tells it
        )


class FaceBms:
    """Implements ``cabinet.ports.Bms``."""

    def __init__(self, place: Place, face: BmsFace) -> None:
        self._talk = Talk(place)
        self._face = face
        self._name = place.wire.name
        self._clock = place.clock
        self._serial: str | None = None
        self._ask_serial_at_ms = 0
        self._insertion = 0
        self._discharge_fet_on = True

    async def read(self) -> BmsReading:
        """Poll it; the serial is read once per insertion and remembered until ``forget``.

        Raises:
            LinkError: no answer, or ``forget`` was called meanwhile: parts may be of two packs.
        """
        insertion = self._insertion
        facts = await self._talk.run(self._face.read(self._talk.where), Urgency.READING)
        at_ms = self._clock.monotonic_ms()
        serial = self._serial or await self._read_serial(at_ms)
        if insertion != self._insertion:
            raise LinkError(self._name, "the pack may have changed during the reading")
        self._serial = serial
        self._discharge_fet_on = facts.discharge_fet_on
        return BmsReading(
            at_ms=at_ms,
            serial=serial,
            soc_pct=facts.soc_pct,
            voltage_v=facts.voltage_v,
            current_a=facts.current_a,
            cell_v=facts.cell_v,
            temps_c=facts.temps_c,
            protection=facts.protection,
            charge_fet_on=facts.charge_fet_on,
            discharge_fet_on=facts.discharge_fet_on,
            remaining_ah=facts.remaining_ah,
            capacity_ah=facts.capacity_ah,
            cycles=facts.cycles,
        )

    def forget(self) -> None:
        """The pack may have changed: read the serial again."""
        self._serial = None
        self._ask_serial_at_ms = 0
        self._insertion += 1

    async def set_charge_fet(self, *, on: bool) -> None:
        """Open or close the pack's charge path; the discharge path stays as last read."""
        where, discharge_on = self._talk.where, self._discharge_fet_on
        dialogue = self._face.switch_charge(where, on=on, discharge_on=discharge_on)
        await self._talk.run(dialogue, Urgency.SAFETY)

    async def _read_serial(self, now_ms: int) -> str | None:
        """None when the pack will not tell it, or tells something that is no serial."""
        if now_ms < self._ask_serial_at_ms:
            return None
        try:
            return await self._talk.run(self._face.serial(self._talk.where), Urgency.READING)
        except (DeviceRefusedError, LinkError) as error:
            log.debug("%s: no serial: %s", self._name, error)
            self._ask_serial_at_ms = now_ms + SERIAL_RETRY_MS
            return None


class FaceCharger:
    """Implements ``cabinet.ports.Charger``."""

    def __init__(self, place: Place, face: ChargerFace) -> None:
        self._talk = Talk(place)
        self._face = face
        self._name = place.wire.name
        self._clock = place.clock
        self._voltage_max_v = place.pack.voltage_max_v
        self._current_max_a = place.pack.current_max_a

    async def make_safe(self) -> None:
        """Output off, then the limits that the device keeps by itself.

        Raises:
            DeviceRefusedError: it is another device, or does not take them.
        """
        where = self._talk.where
        await self._talk.run(self._face.off(where), Urgency.SAFETY)
        limits = self._face.limits(where, self._voltage_max_v, self._current_max_a)
        await self._talk.run(limits, Urgency.COMMAND)

    async def set(self, *, on: bool, voltage_v: float, current_a: float) -> None:
        """Set-points first, then the output; read back before returning.

        Raises:
            DeviceRefusedError: the order is above what the packs bear, or it did not take it.
        """
        where = self._talk.where
        if not on:
            await self._talk.run(self._face.off(where), Urgency.SAFETY)
            return
        if not (0 < voltage_v <= self._voltage_max_v and 0 < current_a <= self._current_max_a):
            why = f"{voltage_v} V, {current_a} A is outside the pack's limits"
            raise DeviceRefusedError(self._name, why)
        await self._talk.run(self._face.order(where, voltage_v, current_a), Urgency.COMMAND)

    async def read(self) -> ChargerReading:
        """Poll it."""
        facts = await self._talk.run(self._face.read(self._talk.where), Urgency.READING)
        return ChargerReading(
            at_ms=self._clock.monotonic_ms(),
            output_on=facts.output_on,
            voltage_set_v=facts.voltage_set_v,
            current_set_a=facts.current_set_a,
            voltage_v=facts.voltage_v,
            current_a=facts.current_a,
            power_w=facts.power_w,
            air_temp_c=facts.air_temp_c,
            protection=facts.protection,
        )


class FaceLocks:
    """Implements ``Lock`` and ``Contacts`` of ``cabinet.ports``; it has no relays to switch."""

    def __init__(self, place: Place, device: Device, face: LockFace) -> None:
        self._talk = Talk(place)
        self._device = device
        self._face = face
        self._name = place.wire.name

    async def prepare(self) -> None:
        """See that it answers as such a board."""
        await self.read_inputs(Urgency.CONFIRM)

    async def pulse(self, channel: int, pulse_ms: int) -> None:
        """Fire one lock, timed by the board itself, exactly once: never retried.

        Raises:
            LinkError: ``sent_maybe`` tells whether the pulse may have fired.
        """
        assert 0 <= channel < self._device.locks, f"lock {channel} of {self._device.type}"
        del pulse_ms  # the board's own setting
        await self._talk.run(self._face.pulse(self._talk.where, channel), Urgency.COMMAND)

    async def read_inputs(self, urgency: Urgency = Urgency.DOOR) -> tuple[bool, ...]:
        """The level of every input, in channel order."""
        tries = READ_TRIES if urgency is Urgency.CONFIRM else 1
        return await self._talk.run(self._face.read_inputs(self._talk.where), urgency, tries=tries)

    async def read_relays(self) -> tuple[bool, ...]:
        """It has none."""
        return ()

    async def all_off(self) -> None:
        """It ends its own pulses, and nothing else can be on."""

    async def set_relay(self, channel: int, *, on: bool) -> None:
        """Refuse: it has no relays."""
        raise DeviceRefusedError(
            self._name, f"no relay {channel} to switch {'on' if on else 'off'}"
        )

    async def light(self, channel: int, *, on: bool) -> None:
        """Refuse: it has no relays."""
        await self.set_relay(channel, on=on)

    async def lease(self, channel: int, lease_ms: int) -> None:
        """Refuse: it has no relays."""
        raise DeviceRefusedError(self._name, f"no relay {channel} to hold for {lease_ms} ms")
