"""Gives one device another address on its bus, and looks whether it took it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from cabinet.adapters.devices.dialogue import Talk, identify
from cabinet.calls import Place, Urgency
from cabinet.commission.ports import Port
from cabinet.commission.scanning import NO_PACK, Tell
from cabinet.commission.wires import running
from cabinet.core.commission.addressing import RULES, Rule
from cabinet.core.commission.findings import Cause, Check, Facts, Finding, bad, good, warn
from cabinet.core.commission.scan_plan import Setting
from cabinet.errors import CabinetError, DeviceRefusedError, LinkError
from cabinet.ports import Clock
from cabinet.runtime.bus import Bus
from cabinet.runtime.line import Line
from protocols.device import Device, Protocol

#: A device that was just told its new address may need a moment, and one look may go wrong.
TRIES = 3


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done."""

    port: Port
    setting: Setting
    device: Device
    old: int
    new: int


async def change(order: Change, clock: Clock, tell: Tell) -> Finding:
    """Change the address, unless the device is not there or the new address is taken."""
    line = Line(
        order.port.path,
        baud=order.setting.baud,
        parity=order.setting.parity,
        stopbits=order.setting.stopbits,
    )
    bus = Bus(order.port.name, line, clock)
    async with running([bus]):
        return await _Changer(bus, order, clock, tell).run()


class _Changer:
    def __init__(self, bus: Bus, order: Change, clock: Clock, tell: Tell) -> None:
        self._order, self._clock, self._tell = order, clock, tell
        self._rule: Rule = RULES[order.device.type]
        over_tcp = order.port.path.startswith("modbus-tcp://")
        protocol = Protocol.MODBUS_TCP if over_tcp else Protocol.MODBUS_RTU
        self._stations = {
            address: bus.station(
                f"{order.device.type} at {address}",
                processing_ms=order.device.processing_ms,
                turnaround_ms=order.device.turnaround_ms,
            )
            for address in (order.old, order.new)
        }
        self._places = {
            address: Place(station, address, protocol, NO_PACK, clock)
            for address, station in self._stations.items()
        }

    async def run(self) -> Finding:
        order = self._order
        subject = f"{order.port.name} address {order.old}"
        facts: Facts = {"type": order.device.type, "old": order.old, "new": order.new}
        self._tell(f"asking {order.device.type} at {order.old}, and whether {order.new} is free")
        before = await self._identity(order.old)
        if before is None:
            return bad(Check.ADDRESS, subject, Cause.NO_ANSWER, **facts)
        if await self._answers(order.new):
            return bad(Check.ADDRESS, subject, Cause.ADDRESS_TAKEN, **facts)
        self._tell(f"writing address {order.new}")
        try:
            await Talk(self._places[order.old]).run(self._write(), Urgency.COMMAND)
        except DeviceRefusedError as error:
            return bad(Check.ADDRESS, subject, Cause.REFUSED, **facts, detail=error.why)
        except LinkError as error:
            # Some answer from the new address already: only a look can tell.
            self._tell(f"no confirmation ({error.why}); looking")
        now = await self._identity(order.new)
        if now is not None:
            return good(Check.ADDRESS, subject, **facts, identity=now)
        if await self._answers(order.old):
            if self._rule.after_power:
                return warn(Check.ADDRESS, subject, Cause.ADDRESS_AFTER_POWER, **facts)
            return bad(Check.ADDRESS, subject, Cause.REFUSED, **facts)
        return bad(Check.ADDRESS, subject, Cause.ADDRESS_NOT_TAKEN_UP, **facts)

    def _write(self) -> Generator[Any, Any, None]:
        yield self._rule.write(self._order.new)

    async def _identity(self, address: int) -> str | None:
        for _ in range(TRIES):
            self._stations[address].revive()
            with contextlib.suppress(CabinetError):
                told = await identify(self._order.device, self._places[address])
                if told is not None:
                    return told
        return None

    async def _answers(self, address: int) -> bool:
        """Whether anything answers there, be it another type."""
        for _ in range(TRIES):
            self._stations[address].revive()
            try:
                await identify(self._order.device, self._places[address])
            except DeviceRefusedError:
                return True
            except LinkError:
                continue
            return True
        return False
