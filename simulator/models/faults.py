"""What can go wrong on the wires and in the cabinet: a bounded table of named, bounded faults.

Pure: time comes in as seconds of any steady clock, chance from each fault's own seed. A wire fault
strikes transaction by transaction; a physical one holds from its setting to its end.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from simulator.errors import FaultError, UnknownNameError

#: Faults that stand at once; a test of everything at once needs some forty.
FAULTS_MAX: Final = 128
COUNT_MAX: Final = 1_000_000
DURATION_MAX_S: Final = 86_400.0
CABINET_TARGET: Final = "cabinet"


class Scope(StrEnum):
    """What a kind of fault can befall."""

    WIRE = "wire"  # one device, or a line and so every device on it
    LINE = "line"  # a line as a whole: bus-a, bus-chargers, slot-01 …
    SLOT = "slot"  # slot-01 …
    CABINET = "cabinet"


class FaultKind(StrEnum):
    """Every fault there is."""

    DEAF = "deaf"
    NO_ANSWER = "no-answer"
    CRC = "crc"
    SPLIT = "split"
    CUT = "cut"
    NOISE = "noise"
    SLOW = "slow"
    WRONG_ADDRESS = "wrong-address"
    STALE = "stale"
    WRONG_BAUD = "wrong-baud"
    ECHO = "echo"
    LOCK_JAMMED = "lock-jammed"
    DOOR_STUCK = "door-stuck"
    PRESENCE_STUCK = "presence-stuck"
    DOOR_BOUNCING = "door-bouncing"
    BMS_SILENT = "bms-silent"
    BMS_FOREIGN = "bms-foreign"
    BMS_HOT = "bms-hot"
    CELL_IMBALANCE = "cell-imbalance"
    CHARGER_OVER_VOLTAGE = "charger-over-voltage"
    CHARGER_HOT = "charger-hot"
    SMOKE = "smoke"
    FLOOD = "flood"
    MAINS_LOSS = "mains-loss"


@dataclass(frozen=True, slots=True)
class Spec:
    """One kind: what it befalls, what it does, and the number it takes, if any."""

    scope: Scope
    does: str
    unit: str = ""
    low: float = 0.0
    high: float = 0.0
    default: float | None = None  # None: it takes no number


K = FaultKind
BAUDS: Final = (1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200)
KINDS: Final[Mapping[FaultKind, Spec]] = {
    K.DEAF: Spec(Scope.WIRE, "requests are not heard: nothing happens, nothing is answered"),
    K.NO_ANSWER: Spec(Scope.WIRE, "requests are carried out, their answers are lost"),
    K.CRC: Spec(Scope.WIRE, "one bit of the answer is turned over"),
    K.SPLIT: Spec(Scope.WIRE, "the answer comes in two pieces", "ms between them", 1, 2_000, 20),
    K.CUT: Spec(Scope.WIRE, "the answer breaks off"),
    K.NOISE: Spec(Scope.WIRE, "random bytes around the answer", "bytes at most", 1, 64, 8),
    K.SLOW: Spec(Scope.WIRE, "the answer comes late", "ms", 1, 10_000, 400),
    K.WRONG_ADDRESS: Spec(
        Scope.WIRE, "the answer names another device (a pack: another register)", "away", 1, 50, 1
    ),
    K.STALE: Spec(Scope.WIRE, "every answer is the one to the request before, of a second at most"),
    K.WRONG_BAUD: Spec(
        Scope.WIRE, "it listens at another baud rate", "baud", BAUDS[0], BAUDS[-1], 19_200
    ),
    K.ECHO: Spec(Scope.LINE, "the adapter hears itself: every request comes back"),
    K.LOCK_JAMMED: Spec(Scope.SLOT, "the pulse does not release the latch"),
    K.DOOR_STUCK: Spec(Scope.SLOT, "the door's contact stays as it is"),
    K.PRESENCE_STUCK: Spec(Scope.SLOT, "the presence switch stays as it is"),
    K.DOOR_BOUNCING: Spec(
        Scope.SLOT, "the door's contact chatters after every movement", "ms", 50, 5_000, 600
    ),
    K.BMS_SILENT: Spec(Scope.SLOT, "whatever pack stands there says nothing"),
    K.BMS_FOREIGN: Spec(Scope.SLOT, "the pack tells the serial of a stranger"),
    K.BMS_HOT: Spec(Scope.SLOT, "the pack's cells are held at a temperature", "°C", -40, 150, 62),
    K.CELL_IMBALANCE: Spec(
        Scope.SLOT, "one cell of the pack is below the others", "mV", 1, 1_500, 300
    ),
    K.CHARGER_OVER_VOLTAGE: Spec(
        Scope.SLOT, "the charger gives more than it is set to", "V more", 0.1, 20, 4
    ),
    K.CHARGER_HOT: Spec(
        Scope.SLOT,
        "the charger is held at a temperature; too hot it switches off",
        "°C",
        0,
        150,
        95,
    ),
    K.SMOKE: Spec(Scope.CABINET, "the smoke detector opens its contact"),
    K.FLOOD: Spec(Scope.CABINET, "the water detector opens its contact"),
    K.MAINS_LOSS: Spec(Scope.CABINET, "no mains: chargers and meter are dead, boards live on"),
}
_SLOT: Final = re.compile(r"slot-(\d{2})")


@dataclass(frozen=True, slots=True)
class FaultOrder:
    """A fault as somebody wants it.

    Args:
        target: a device, a line, a slot or ``cabinet``, as the kind allows.
        kind: what goes wrong.
        value: the kind's number; None takes its default.
        probability: of striking any one transaction; wire faults only.
        count: transactions struck before it ends; wire faults only. None: no limit.
        duration_s: how long it stands. None: until it is cleared.
        seed: same seed, same choice of transactions and bytes.
    """

    target: str
    kind: FaultKind
    value: float | None = None
    probability: float = 1.0
    count: int | None = None
    duration_s: float | None = None
    seed: int = 1


@dataclass(slots=True)
class Fault:
    """One that stands. ``struck`` counts the transactions it has spoilt."""

    number: int
    order: FaultOrder
    value: float
    until_s: float | None
    chance: random.Random
    struck: int = 0
    #: Stale: by device, the answer in hand, and when it should have gone out.
    held: dict[str, tuple[float, bytes]] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether its count is used up."""
        return self.order.count is not None and self.struck >= self.order.count


@dataclass(slots=True)
class FaultTable:
    """The faults that stand.

    Args:
        lines: every line, with the devices on it.
        slots: how many slots there are.
    """

    lines: Mapping[str, Collection[str]]
    slots: int
    _standing: dict[int, Fault] = field(default_factory=dict)
    _number: int = 0

    def add(self, order: FaultOrder, now_s: float) -> Fault:
        """Let a fault stand; one of the same kind at the same target is replaced.

        Raises:
            UnknownNameError: there is no such target for this kind.
            FaultError: a number out of its range, or too many faults.
        """
        value = self._checked(order)
        self.remove(order.target, order.kind)
        if len(self._standing) >= FAULTS_MAX:
            raise FaultError(f"{FAULTS_MAX} faults stand already: clear some")
        self._number += 1
        until_s = None if order.duration_s is None else now_s + order.duration_s
        chance = random.Random(f"{order.seed}/{order.target}/{order.kind}")  # noqa: S311 - no secret
        fault = Fault(self._number, order, value, until_s, chance)
        self._standing[fault.number] = fault
        return fault

    def standing(self) -> tuple[Fault, ...]:
        """Every fault, oldest first."""
        return tuple(self._standing.values())

    def remove(self, target: str | None = None, kind: FaultKind | None = None) -> tuple[Fault, ...]:
        """Take faults away: of a target, of a kind, of both, or all; those that stood."""
        return self._drop(
            fault
            for fault in self._standing.values()
            if target in {None, fault.order.target} and kind in {None, fault.order.kind}
        )

    def expire(self, now_s: float) -> tuple[Fault, ...]:
        """Take away those whose time or count is over; those that stood."""
        return self._drop(
            fault
            for fault in self._standing.values()
            if fault.is_over or (fault.until_s is not None and now_s >= fault.until_s)
        )

    def strike(self, kind: FaultKind, line: str, device: str | None = None) -> Fault | None:
        """The fault of this kind that spoils the present transaction, counted; else None."""
        fault = self.of(kind, line, device)
        if fault is None or fault.chance.random() >= fault.order.probability:
            return None
        fault.struck += 1
        return fault

    def of(self, kind: FaultKind, line: str, device: str | None = None) -> Fault | None:
        """The fault of this kind that stands here; the device's own comes before its line's."""
        if not self._standing:
            return None
        targets = (device, line) if device else (line,)
        for target in targets:
            for fault in self._standing.values():
                order = fault.order
                if order.kind is kind and order.target == target and not fault.is_over:
                    return fault
        return None

    def targets_of(self, kind: FaultKind) -> tuple[str, ...]:
        """Everything that this kind can befall."""
        return self.targets(KINDS[kind].scope)

    def targets(self, scope: Scope) -> tuple[str, ...]:
        """Everything that a kind of this scope can befall."""
        match scope:
            case Scope.WIRE:
                return (*self.lines, *(name for line in self.lines.values() for name in line))
            case Scope.LINE:
                return tuple(self.lines)
            case Scope.SLOT:
                return tuple(f"slot-{number:02d}" for number in range(1, self.slots + 1))
            case Scope.CABINET:
                return (CABINET_TARGET,)

    def _drop(self, faults: Iterable[Fault]) -> tuple[Fault, ...]:
        gone = tuple(faults)
        for fault in gone:
            del self._standing[fault.number]
        return gone

    def _checked(self, order: FaultOrder) -> float:
        spec = KINDS[order.kind]
        known = self.targets(spec.scope)
        if order.target not in known:
            some = ", ".join(known[:6]) + (" …" if len(known) > 6 else "")
            raise UnknownNameError(
                f"fault {order.kind}: there is no {spec.scope} {order.target}; known are {some}"
            )
        _check_bounds(order, spec)
        if order.value is None:
            return spec.default or 0.0
        if spec.default is None:
            raise FaultError(f"fault {order.kind} takes no value: leave it out")
        if not spec.low <= order.value <= spec.high:
            raise FaultError(
                f"fault {order.kind}: value {order.value:g} {spec.unit}, "
                f"expected {spec.low:g} to {spec.high:g}"
            )
        if order.kind is FaultKind.WRONG_BAUD and order.value not in BAUDS:
            raise FaultError(f"fault {order.kind}: value {order.value:g}, expected one of {BAUDS}")
        return order.value


def slot_of(target: str) -> int:
    """The number in ``slot-07``."""
    found = _SLOT.fullmatch(target)
    assert found, target
    return int(found[1])


def _check_bounds(order: FaultOrder, spec: Spec) -> None:
    if not 0.0 < order.probability <= 1.0:
        raise FaultError(f"probability {order.probability:g}, expected above 0 up to 1")
    if order.count is not None and not 1 <= order.count <= COUNT_MAX:
        raise FaultError(f"count {order.count}, expected 1 to {COUNT_MAX}")
    if order.duration_s is not None and not 0.0 < order.duration_s <= DURATION_MAX_S:
        raise FaultError(f"duration {order.duration_s:g} s, expected above 0 to {DURATION_MAX_S:g}")
    by_transaction = spec.scope in {Scope.WIRE, Scope.LINE}
    if not by_transaction and (order.count is not None or order.probability != 1.0):
        raise FaultError(
            f"fault {order.kind} holds all the time: bound it by duration, not by count or chance"
        )
