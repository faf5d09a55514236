"""The whole cabinet: boards drive slots, slots drive the meter, and nothing else knows the wiring.

Three paces: board timers and doors run as time comes in; charge, heat and energy run ``pace`` times
faster, because a daemon on the wires renews its leases by its own clock, whatever the physics does. In
a day on a fast clock charge and energy run another ``clock_rate`` times faster, but heat does not: the
daemon's rules on rising temperatures count real seconds, and would rightly stop what warms so fast.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from simulator.errors import HandsError, UnknownNameError
from simulator.models.contacts import Contacts
from simulator.models.meter import STANDBY_W, Climate, Meter
from simulator.models.outfit import FACTORY, LIGHT_BOARD, LOCK_BOARD, Outfit
from simulator.models.pack import PROTECTIONS, Pack, PackSpec
from simulator.models.relay import RelayBoard
from simulator.models.slot import Slot
from simulator.models.socket import Socket
from simulator.models.truth import Kind, TruthLog
from simulator.models.wiring import (
    ALARM_PINS,
    OUTPUT_PINS,
    SLOTS_MAX,
    SOCKET_BOARD,
    Alarm,
    Lamp,
    LockRelay,
    MainsRelay,
    Output,
    Pin,
    Role,
    SocketRelay,
    device_names,
    door_pins,
    mains_pin,
    presence_pins,
    relay_boards,
    roles,
)

#: Physics never steps further than this at once; its fastest time constant is 120 s.
STEP_MAX_S: Final = 5.0
PACE_MAX: Final = 3_600.0
CLOCK_RATE_MAX: Final = 600
#: Packs that left the cabinet and are remembered, should they come back.
AWAY_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class PackOrder:
    """A pack as a hand brings it; None means: as it was when it left, else a plain default."""

    serial: str | None
    soc_pct: float | None = None
    temp_c: float | None = None
    hold_temp: bool | None = None
    bms_silent: bool | None = None
    cycles: int | None = None
    soh_pct: float | None = None
    capacity_ah: float | None = None
    protection: frozenset[str] | None = None


@dataclass(slots=True)
class Cabinet:
    """One cabinet of ``slots_count`` slots, fully determined by its seed and what is done to it."""

    cabinet_id: str = "DH-0001"
    slots_count: int = SLOTS_MAX
    sockets_count: int = 0
    seed: int = 1
    ambient_c: float = 25.0
    pace: float = 1.0
    clock_rate: int = 1
    log: TruthLog = field(default_factory=TruthLog)
    frozen: bool = False
    outfit: Outfit = FACTORY
    physics_s: float = 0.0
    slots: tuple[Slot, ...] = field(init=False)
    boards: dict[int, RelayBoard] = field(init=False)
    meter: Meter = field(init=False)
    climate: Climate = field(init=False)
    alarms: dict[Alarm, bool] = field(init=False)
    silent: set[str] = field(default_factory=set)
    away: dict[str, Pack] = field(default_factory=dict)
    mains: bool = True
    contacts: Contacts = field(init=False)
    sockets: tuple[Socket, ...] = field(init=False)
    area: Climate = field(init=False)  # of the sockets
    _roles: dict[Pin, Role] = field(init=False)

    def __post_init__(self) -> None:
        numbers = range(1, self.slots_count + 1)
        self.slots = tuple(Slot(number, self.log, air_c=self.ambient_c) for number in numbers)
        for slot in self.slots:
            slot.charger.temp_c = self.ambient_c
        self._roles = roles(self.slots_count, self.outfit, self.sockets_count)
        self.sockets = tuple(Socket(n, self.log) for n in range(1, self.sockets_count + 1))
        self.area = Climate(temp_c=self.ambient_c)
        self.boards = {
            board: RelayBoard(partial(self._relay, board)) for board in relay_boards(self.outfit)
        }
        extra = {LOCK_BOARD: self.outfit.lock_board, LIGHT_BOARD: self.outfit.light_board}
        for number, type_ in extra.items():
            if type_ is not None:
                relays, inputs = type_.relays or type_.locks, type_.inputs
                self.boards[number] = RelayBoard(partial(self._relay, number), relays, inputs)
        if self.sockets:
            self.boards[SOCKET_BOARD] = RelayBoard(partial(self._relay, SOCKET_BOARD))
        self.contacts = Contacts(
            self.boards.__getitem__,
            self.slot,
            partial(door_pins, outfit=self.outfit),
            partial(presence_pins, outfit=self.outfit),
        )
        self.meter = Meter(phase=(self.seed % 97) / 97.0)
        self.climate = Climate(temp_c=self.ambient_c)
        self.alarms = dict.fromkeys(Alarm, False)
        for alarm in Alarm:
            self._sync_alarm(alarm)
        for slot in self.slots:
            self._sync_slot(slot)

    # --- time ---------------------------------------------------------------------------------

    def advance(self, dt_s: float) -> None:
        """Let ``dt_s`` of the boards' time pass; timers end exactly when they are due."""
        left = 0.0 if self.frozen else dt_s
        while left > 0.0:
            ends = [end for board in self.boards.values() if (end := board.next_end_s) is not None]
            turn_s = self.contacts.next_turn_s
            step = min([left, *ends] if turn_s is None else [left, turn_s, *ends])
            for socket in self.sockets:
                socket.advance(step, self.log.sim_s, mains=self.mains)
            self._physics(step * self.pace * self.clock_rate)
            self.log.sim_s += step
            for board in self.boards.values():
                board.advance(step)
            self.contacts.advance(step)
            left -= step

    def _physics(self, dt_s: float) -> None:
        left = dt_s
        while left > 0.0:
            step = min(left, STEP_MAX_S)
            for slot in self.slots:
                slot.advance(step, self.climate.temp_c, step / self.clock_rate)
            self.physics_s += step
            air = [slot.air_c for slot in self.slots]
            heat_s = step / self.clock_rate
            self.climate.advance(heat_s, self.ambient_c, air, fan=self.output(Output.FAN))
            self.meter.advance(step, self.physics_s, self.power_w)
            left -= step

    @property
    def power_w(self) -> float:
        """What the cabinet draws from the mains."""
        if not self.mains:
            return 0.0
        area_w = sum(socket.power_w for socket in self.sockets)
        return STANDBY_W + area_w + sum(slot.charger.ac_power_w for slot in self.slots)

    # --- hands --------------------------------------------------------------------------------

    def slot(self, number: int) -> Slot:
        """The slot with this number; raise UnknownNameError when there is none."""
        if not 1 <= number <= len(self.slots):
            raise UnknownNameError(f"slot {number}: this cabinet has slots 1 to {len(self.slots)}")
        return self.slots[number - 1]

    def socket(self, number: int) -> Socket:
        """The socket with this number; raise UnknownNameError when there is none."""
        if not 1 <= number <= len(self.sockets):
            raise UnknownNameError(f"socket {number}: this cabinet has {len(self.sockets)}")
        return self.sockets[number - 1]

    def insert(self, number: int, order: PackOrder) -> Pack:
        """A hand puts a pack into a slot whose door is open; raise HandsError when it cannot."""
        slot = self.slot(number)
        slot.check_room()
        pack = self._make(order)
        slot.insert(pack)
        self._sync_slot(slot)
        return pack

    def stock(self, number: int, order: PackOrder) -> None:
        """A pack stands in a slot from the beginning, door shut."""
        slot = self.slot(number)
        slot.pack = self._make(order)
        slot.settle()
        self._sync_slot(slot)

    def remove(self, number: int) -> Pack:
        """A hand takes the pack out; raise HandsError when it cannot."""
        slot = self.slot(number)
        pack = slot.remove()
        if pack.serial is not None:
            if len(self.away) >= AWAY_MAX:
                del self.away[next(iter(self.away))]
            self.away[pack.serial] = pack
        self._sync_slot(slot)
        return pack

    def push_door(self, number: int) -> None:
        """A hand closes a door."""
        slot = self.slot(number)
        slot.push_door()
        self._sync_slot(slot)

    def pull_door(self, number: int) -> None:
        """A hand opens a door; raise HandsError when it is latched."""
        slot = self.slot(number)
        slot.pull_door()
        self._sync_slot(slot)

    def jam(self, number: int, *, jammed: bool) -> None:
        """Jam a lock or free it."""
        slot = self.slot(number)
        slot.jam(jammed=jammed)
        self._sync_slot(slot)

    def alter(self, number: int, order: PackOrder, *, new_serial: bool = False) -> Pack:
        """Change the pack that stands in a slot; raise HandsError when there is none."""
        slot = self.slot(number)
        pack = slot.pack
        if pack is None:
            raise HandsError(f"slot {number}: there is no pack in it")
        _check(order)
        before = pack.protection
        if new_serial:
            pack.serial = order.serial
        _apply(pack, order)
        pack.check()
        if pack.protection != before:
            slot.tell_protection()
        slot.settle()
        return pack

    def set_alarm(self, alarm: Alarm, *, active: bool) -> None:
        """Trigger a cabinet contact or calm it."""
        if self.alarms[alarm] != active:
            self.alarms[alarm] = active
            self.log.add(Kind.INPUT, name=alarm.value, active=active)
            self._sync_alarm(alarm)

    def set_silent(self, device: str, *, silent: bool) -> None:
        """Make a device deaf and dumb; raise UnknownNameError when there is none of that name."""
        if device not in device_names(self.slots_count, self.outfit, self.sockets_count):
            raise UnknownNameError(f"device {device}: there is none of that name")
        if silent != (device in self.silent):
            (self.silent.add if silent else self.silent.discard)(device)
            self.log.add(Kind.SILENT, device=device, silent=silent)

    def set_mains(self, *, on: bool) -> None:
        """The street's mains fail or come back: chargers and meter live on them, boards do not."""
        if on != self.mains:
            self.mains = on
            self.log.add(Kind.MAINS, on=on)
            self.set_silent("meter", silent=not on)
            for socket in self.sockets:
                self.set_silent(f"socket-meter-{socket.number}", silent=not on)
            for slot in self.slots:
                self._power(slot)

    def recheck(self, number: int) -> None:
        """Look at the pack's limits again, after something was done to it."""
        slot = self.slot(number)
        if slot.pack is None:
            return
        before = slot.pack.protection
        slot.pack.check()
        if slot.pack.protection != before:
            slot.tell_protection()
        slot.settle()

    def freeze(self, *, frozen: bool) -> None:
        """Stop or restart all simulated time."""
        if frozen != self.frozen:
            self.frozen = frozen
            self.log.add(Kind.FROZEN, frozen=frozen)

    # --- wires --------------------------------------------------------------------------------

    def output(self, output: Output) -> bool:
        """Whether a cabinet-wide relay is on."""
        pin = OUTPUT_PINS[output]
        return self.boards[pin.board].relays[pin.channel]

    def mains_on(self, number: int) -> bool:
        """Whether the mains relay of a slot is on; the contactor stands in front of it."""
        pin = mains_pin(number, self.outfit)
        return self.boards[pin.board].relays[pin.channel]

    def _relay(self, board: int, channel: int, on: bool) -> None:  # noqa: FBT001 - a callback
        role = self._roles.get(Pin(board, channel))
        name, slot_number = _role_name(role)
        self.log.add(Kind.RELAY, slot_number, board=board, channel=channel, on=on, name=name)
        match role:
            case LockRelay(number):
                self.slots[number - 1].energise_lock(on=on)
                self._sync_slot(self.slots[number - 1])
            case MainsRelay(number):
                self._power(self.slots[number - 1])
            case SocketRelay(number):
                self.sockets[number - 1].switch(on=on)
            case Output.CONTACTOR:
                for slot in self.slots:
                    self._power(slot)
            case _:
                return

    def _power(self, slot: Slot) -> None:
        powered = self.mains and self.output(Output.CONTACTOR) and self.mains_on(slot.number)
        slot.charger.set_power(powered=powered)
        slot.settle()

    def _sync_slot(self, slot: Slot) -> None:
        self.contacts.sync(slot.number)

    def _sync_alarm(self, alarm: Alarm) -> None:
        pin = ALARM_PINS[alarm]
        self.boards[pin.board].set_input(pin.channel, high=not self.alarms[alarm])

    def _make(self, order: PackOrder) -> Pack:
        _check(order)
        known = self.away.pop(order.serial, None) if order.serial else None
        pack = known or Pack(order.serial, 0.2, self.ambient_c, seed=self.seed)
        _apply(pack, order)
        pack.check()
        return pack


def _check(order: PackOrder) -> None:
    unknown = (order.protection or frozenset()) - PROTECTIONS
    if unknown:
        known = ", ".join(sorted(PROTECTIONS))
        raise UnknownNameError(f"protection {min(unknown)}: known are {known}")


def _apply(pack: Pack, order: PackOrder) -> None:
    if order.soc_pct is not None:
        pack.soc, pack.slow_v = min(1.0, max(0.0, order.soc_pct / 100.0)), 0.0
    if order.temp_c is not None:
        pack.temp_c = order.temp_c
    if order.hold_temp is not None:
        pack.hold_temp = order.hold_temp
    if order.bms_silent is not None:
        pack.bms_silent = order.bms_silent
    if order.protection is not None:
        pack.force(order.protection)
    if order.cycles is not None or order.soh_pct is not None or order.capacity_ah is not None:
        pack.spec = _spec(pack.spec, order)


def _spec(spec: PackSpec, order: PackOrder) -> PackSpec:
    return replace(
        spec,
        cycles=spec.cycles if order.cycles is None else order.cycles,
        soh_pct=spec.soh_pct if order.soh_pct is None else order.soh_pct,
        capacity_ah=spec.capacity_ah if order.capacity_ah is None else order.capacity_ah,
    )


def _role_name(role: Role | None) -> tuple[str, int | None]:
    match role:
        case LockRelay(slot):
            return "lock", slot
        case Lamp(slot, colour):
            return f"light-{colour}", slot
        case MainsRelay(slot):
            return "slot-ac", slot
        case SocketRelay(number):
            return f"socket-{number}", None
        case Output():
            return role.value, None
        case None:
            return "spare", None
