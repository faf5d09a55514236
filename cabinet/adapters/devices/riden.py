"""Riden RD60xx: CC-CV supplies used as chargers; the probe measures the slot's air."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cabinet.adapters.devices.modbus import READ_TRIES, Modbus
from cabinet.calls import Place, Urgency
from cabinet.core.model import ChargerReading
from cabinet.errors import DeviceRefusedError, LinkError
from protocols.maps import riden_rd6006 as riden
from protocols.maps.riden_rd6006 import MAPS, Model
from protocols.registers import Register, Space, Span

STATUS: Final = Span(Space.HOLDING, 0, 42)
#: Voltage, current, up to the output: the same addresses in every model.
SETTINGS: Final = MAPS[riden.RD6006].span("voltage_set_v", "output_on")
PROTECTION: Final = {
    riden.PROTECTION_NONE: None,
    riden.PROTECTION_OVP: "ovp",
    riden.PROTECTION_OCP: "ocp",
}
#: Head-room of the supply's own limits over the highest order, so that they only trip on a fault.
OVP_MARGIN_V: Final = 1.0
OCP_MARGIN_A: Final = 0.2

Values = Mapping[str, int | float | bool]


class Riden:
    """Implements ``cabinet.ports.Charger``. It is silent while it has no mains."""

    def __init__(self, place: Place, model: Model) -> None:
        self._model = model
        self._map = MAPS[model]
        self._name = place.wire.name
        self._modbus = Modbus(place)
        self._clock = place.clock
        self._voltage_max_v = place.pack.voltage_max_v
        self._current_max_a = place.pack.current_max_a

    async def make_safe(self) -> None:
        """Output off, boot output off, device-side over-voltage and over-current limits set.

        Raises:
            DeviceRefusedError: it is another model, whose registers mean something else.
        """
        # A block, not the one word: a late answer to the confirmation of a single set-point is one
        # word long too, and would pass for a model of that number.
        span = self._map.span("model_id", "firmware")
        raw, *_ = await self._modbus.read_words(
            span.space, span.address, span.count, Urgency.READING
        )
        if raw not in self._model.ids:
            raise DeviceRefusedError(self._name, f"model {raw} is no {self._model.name}")
        await self._write("output_on", 0, Urgency.SAFETY)
        await self._write("boot_power_on", 0, Urgency.COMMAND)
        await self._write_checked("ovp_v", self._voltage_max_v + OVP_MARGIN_V)
        await self._write_checked("ocp_a", self._current_max_a + OCP_MARGIN_A)

    async def set(self, *, on: bool, voltage_v: float, current_a: float) -> None:
        """Set-points first, then the output; read back before returning.

        Raises:
            DeviceRefusedError: the order is above what the packs bear.
            LinkError: no answer, or it did not take the order.
        """
        if not on:
            await self._write("output_on", 0, Urgency.SAFETY)
            if (await self._settings())["output_on"]:
                raise LinkError(self._name, "the output stays on")
            return
        if not (0 < voltage_v <= self._voltage_max_v and 0 < current_a <= self._current_max_a):
            why = f"{voltage_v} V, {current_a} A is outside the pack's limits"
            raise DeviceRefusedError(self._name, why)
        volts, amps = self._map["voltage_set_v"], self._map["current_set_a"]
        words = (*volts.encode(voltage_v), *amps.encode(current_a))
        await self._modbus.write_words(volts.address, words, Urgency.COMMAND)
        await self._write("output_on", 1, Urgency.COMMAND)
        settings = await self._settings()
        told = (
            *volts.encode(settings["voltage_set_v"]),
            *amps.encode(settings["current_set_a"]),
        )
        if told != words or not settings["output_on"]:
            raise LinkError(self._name, "it did not take the order")

    async def read(self) -> ChargerReading:
        """Poll it."""
        told = await self._modbus.read_span(self._map, STATUS, Urgency.READING)
        return ChargerReading(
            at_ms=self._clock.monotonic_ms(),
            output_on=bool(told["output_on"]),
            voltage_set_v=float(told["voltage_set_v"]),
            current_set_a=float(told["current_set_a"]),
            voltage_v=float(told["voltage_out_v"]),
            current_a=float(told["current_out_a"]),
            power_w=float(told["power_w"]),
            air_temp_c=float(
                riden.temperature_c(int(told["external_temp_sign"]), int(told["external_temp_c"]))
            ),
            protection=PROTECTION.get(int(told["protection"]), "unknown"),
        )

    async def _settings(self) -> Values:
        return await self._modbus.read_span(self._map, SETTINGS, Urgency.CONFIRM, tries=READ_TRIES)

    async def _write(self, name: str, value: float, urgency: Urgency) -> None:
        register = self._map[name]
        (word,) = register.encode(value)
        await self._modbus.write_word(register.address, word, urgency)

    async def _write_checked(self, name: str, value: float) -> None:
        register: Register = self._map[name]
        if register.high is not None:
            value = min(value, register.high)
        await self._write(name, value, Urgency.COMMAND)
        words = await self._modbus.read_words(
            Space.HOLDING, register.address, 1, Urgency.CONFIRM, tries=READ_TRIES
        )
        if words != register.encode(value):
            raise LinkError(self._name, f"{name} did not take {value:g}")
