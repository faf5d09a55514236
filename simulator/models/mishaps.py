"""Brings faults to life: physical ones act on the cabinet, wire faults wait in the table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeAlias

from simulator.errors import HandsError
from simulator.models.cabinet import Cabinet
from simulator.models.faults import Fault, FaultKind, FaultOrder, FaultTable, slot_of
from simulator.models.truth import Kind
from simulator.models.wiring import Alarm, line_devices

FOREIGN_SERIAL: Final = "XX60-999999"

_Act: TypeAlias = Callable[[Cabinet, Fault, bool], None]


class Mishaps:
    """The faults of one cabinet.

    Args:
        cabinet: what they befall.
        lines: every line with its devices; None takes those of a cabinet as it leaves the factory.
    """

    def __init__(
        self, cabinet: Cabinet, lines: Mapping[str, Collection[str]] | None = None
    ) -> None:
        self._cabinet = cabinet
        count = cabinet.slots_count
        wired = line_devices(count, cabinet.outfit, cabinet.sockets_count)
        self.table = FaultTable(wired if lines is None else lines, count)

    def begin(self, order: FaultOrder, now_s: float) -> Fault:
        """Let a fault stand.

        Raises:
            UnknownNameError, FaultError: as ``FaultTable.add``.
            HandsError: it needs a pack, and there is none.
        """
        needs_pack = order.kind in {FaultKind.BMS_HOT, FaultKind.CELL_IMBALANCE}
        if needs_pack and order.target in self.table.targets_of(order.kind):
            number = slot_of(order.target)
            if self._cabinet.slot(number).pack is None:
                raise HandsError(f"slot {number}: there is no pack in it")
        for old in self.table.standing():
            if (old.order.target, old.order.kind) == (order.target, order.kind):
                self._act(old, on=False)
        fault = self.table.add(order, now_s)
        self._act(fault, on=True)
        self._tell(fault, standing=True)
        return fault

    def end(self, target: str | None = None, kind: FaultKind | None = None) -> tuple[Fault, ...]:
        """Take faults away: of a target, of a kind, of both, or all."""
        return self._ended(self.table.remove(target, kind))

    def expire(self, now_s: float) -> tuple[Fault, ...]:
        """Take away those whose bound is reached."""
        return self._ended(self.table.expire(now_s))

    def _ended(self, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
        for fault in faults:
            self._act(fault, on=False)
            self._tell(fault, standing=False)
        return faults

    def _tell(self, fault: Fault, *, standing: bool) -> None:
        self._cabinet.log.add(
            Kind.FAULT,
            target=fault.order.target,
            fault=fault.order.kind.value,
            standing=standing,
            struck=fault.struck,
        )

    def _act(self, fault: Fault, *, on: bool) -> None:
        act = _ACTS.get(fault.order.kind)
        if act is not None:
            act(self._cabinet, fault, on)


def _alarm(alarm: Alarm) -> _Act:
    def act(cabinet: Cabinet, _fault: Fault, on: bool) -> None:  # noqa: FBT001 - a table of these
        cabinet.set_alarm(alarm, active=on)

    return act


def _jam(cabinet: Cabinet, fault: Fault, on: bool) -> None:  # noqa: FBT001
    cabinet.jam(slot_of(fault.order.target), jammed=on)


def _door_stuck(cabinet: Cabinet, fault: Fault, on: bool) -> None:  # noqa: FBT001
    cabinet.contacts.stick_door(slot_of(fault.order.target), stuck=on)


def _presence_stuck(cabinet: Cabinet, fault: Fault, on: bool) -> None:  # noqa: FBT001
    cabinet.contacts.stick_presence(slot_of(fault.order.target), stuck=on)


def _bouncing(cabinet: Cabinet, fault: Fault, on: bool) -> None:  # noqa: FBT001
    number = slot_of(fault.order.target)
    cabinet.contacts.bounce(number, fault.value / 1_000.0 if on else 0.0, fault.chance)


def _bms_silent(cabinet: Cabinet, fault: Fault, on: bool) -> None:  # noqa: FBT001
    cabinet.set_silent(f"bms-{slot_of(fault.order.target):02d}", silent=on)


def _bms_foreign(cabinet: Cabinet, fault: Fault, on: bool) -> None:  # noqa: FBT001
    slot = cabinet.slot(slot_of(fault.order.target))
    slot.told_serial = FOREIGN_SERIAL if on else None


def _bms_hot(cabinet: Cabinet, fault: Fault, on: bool) -> None:  # noqa: FBT001
    pack = cabinet.slot(slot_of(fault.order.target)).pack
    if pack is not None:
        pack.hold_temp = on
        pack.temp_c = fault.value if on else pack.temp_c
        cabinet.recheck(slot_of(fault.order.target))


def _imbalance(cabinet: Cabinet, fault: Fault, on: bool) -> None:  # noqa: FBT001
    pack = cabinet.slot(slot_of(fault.order.target)).pack
    if pack is not None:
        pack.weak_cell_v = fault.value / 1_000.0 if on else 0.0
        cabinet.recheck(slot_of(fault.order.target))


def _over_voltage(cabinet: Cabinet, fault: Fault, on: bool) -> None:  # noqa: FBT001
    slot = cabinet.slot(slot_of(fault.order.target))
    slot.charger.error_v = fault.value if on else 0.0
    slot.settle()


def _charger_hot(cabinet: Cabinet, fault: Fault, on: bool) -> None:  # noqa: FBT001
    slot = cabinet.slot(slot_of(fault.order.target))
    slot.charger.held_temp_c = fault.value if on else None
    slot.settle()


def _mains_loss(cabinet: Cabinet, _fault: Fault, on: bool) -> None:  # noqa: FBT001
    cabinet.set_mains(on=not on)


_ACTS: Final[Mapping[FaultKind, _Act]] = {
    FaultKind.LOCK_JAMMED: _jam,
    FaultKind.DOOR_STUCK: _door_stuck,
    FaultKind.PRESENCE_STUCK: _presence_stuck,
    FaultKind.DOOR_BOUNCING: _bouncing,
    FaultKind.BMS_SILENT: _bms_silent,
    FaultKind.BMS_FOREIGN: _bms_foreign,
    FaultKind.BMS_HOT: _bms_hot,
    FaultKind.CELL_IMBALANCE: _imbalance,
    FaultKind.CHARGER_OVER_VOLTAGE: _over_voltage,
    FaultKind.CHARGER_HOT: _charger_hot,
    FaultKind.SMOKE: _alarm(Alarm.SMOKE),
    FaultKind.FLOOD: _alarm(Alarm.FLOOD),
    FaultKind.MAINS_LOSS: _mains_loss,
}
