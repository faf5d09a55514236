"""Waveshare relay boards: relays that time their own pulses, and inputs where the board has some."""

from __future__ import annotations

import logging

from cabinet.adapters.devices.modbus import READ_TRIES, Modbus
from cabinet.calls import Place, Urgency
from cabinet.errors import DeviceRefusedError
from protocols.device import Device
from protocols.maps import waveshare_relay as board
from protocols.registers import Space

log = logging.getLogger(__name__)


class WaveshareRelay:
    """Implements ``Lock``, ``Contacts`` and ``Outlet`` of ``cabinet.ports``."""

    def __init__(self, place: Place, device: Device) -> None:
        self._relays, self._inputs = device.relays, device.inputs
        self._name = place.wire.name
        self._modbus = Modbus(place)
        self.version: str | None = None

    async def prepare(self) -> None:
        """Make sure that no input drives a relay by itself; read the version.

        Raises:
            DeviceRefusedError: the board keeps another control mode: it must not be used.
        """
        if self._inputs and any(await self._modes()):
            log.warning("%s: control modes were not normal, setting them", self._name)
            for channel in range(self._inputs):
                await self._modbus.write_word(
                    board.MODE_BASE + channel, board.MODE_NORMAL, Urgency.COMMAND
                )
            if any(modes := await self._modes()):
                raise DeviceRefusedError(self._name, f"control modes stay at {modes}")
        (raw,) = await self._modbus.read_words(
            Space.HOLDING, board.VERSION, 1, Urgency.CONFIRM, tries=READ_TRIES
        )
        self.version = f"{raw / 100:.2f}"

    async def pulse(self, channel: int, pulse_ms: int) -> None:
        """Fire one lock, timed by the board itself, exactly once: never retried.

        Raises:
            LinkError: ``sent_maybe`` tells whether the pulse may have fired.
            DeviceRefusedError: it did not fire.
        """
        await self._flash(channel, pulse_ms, Urgency.COMMAND)

    async def lease(self, channel: int, lease_ms: int) -> None:
        """Hold a relay on for this long; it drops by itself unless renewed.

        A lease is renewed long before it ends, so it lets commands and door polls pass.
        """
        await self._flash(channel, lease_ms, Urgency.READING)

    async def set_relay(self, channel: int, *, on: bool) -> None:
        """Set a level; off also ends a running lease."""
        self._check(channel)
        value = board.ON if on else board.OFF
        await self._modbus.write_coil(board.COIL_BASE + channel, value, Urgency.SAFETY)

    async def light(self, channel: int, *, on: bool) -> None:
        """Switch a lamp: everything else on the bus goes first."""
        self._check(channel)
        value = board.ON if on else board.OFF
        await self._modbus.write_coil(board.COIL_BASE + channel, value, Urgency.CLIMATE)

    async def all_off(self) -> None:
        """Every relay off; the first command to a board at start-up."""
        await self._modbus.write_coil(board.ALL_RELAYS, board.OFF, Urgency.SAFETY)

    async def read_inputs(self, urgency: Urgency = Urgency.DOOR) -> tuple[bool, ...]:
        """The level of every input, in channel order; a board without inputs is seen to be there."""
        if not self._inputs:
            await self._modbus.read_bits(Space.COIL, board.COIL_BASE, self._relays, urgency)
            return ()
        return await self._modbus.read_bits(Space.DISCRETE, board.INPUT_BASE, self._inputs, urgency)

    async def read_relays(self) -> tuple[bool, ...]:
        """The state of every relay, in channel order."""
        return await self._modbus.read_bits(
            Space.COIL, board.COIL_BASE, self._relays, Urgency.CONFIRM, tries=READ_TRIES
        )

    async def _flash(self, channel: int, time_ms: int, urgency: Urgency) -> None:
        self._check(channel)
        steps = board.flash_steps(time_ms)
        await self._modbus.write_coil(board.FLASH_ON_BASE + channel, steps, urgency)

    async def _modes(self) -> tuple[int, ...]:
        return await self._modbus.read_words(
            Space.HOLDING, board.MODE_BASE, self._inputs, Urgency.CONFIRM, tries=READ_TRIES
        )

    def _check(self, channel: int) -> None:
        assert 0 <= channel < self._relays, f"channel {channel} of {self._relays}"
