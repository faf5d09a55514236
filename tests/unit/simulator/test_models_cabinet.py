"""Boards, doors, wiring and time of the whole cabinet."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from simulator.errors import HandsError, UnknownNameError
from simulator.models.cabinet import Cabinet, PackOrder
from simulator.models.door import Door
from simulator.models.pack import Pack
from simulator.models.relay import Mode, RelayBoard
from simulator.models.slot import Slot
from simulator.models.truth import Kind, TruthLog
from simulator.models.wiring import (
    ALARM_PINS,
    OUTPUT_PINS,
    Alarm,
    Output,
    Pin,
    door_pin,
    presence_pin,
    roles,
)

PULSE_S = 0.5


def pulse(cabinet: Cabinet, slot: int, duration_s: float = PULSE_S) -> None:
    pin = door_pin(slot)
    cabinet.boards[pin.board].flash(pin.channel, duration_s, on=True)


def power(cabinet: Cabinet, slot: int, lease_s: float | None = None) -> None:
    contactor, mains = OUTPUT_PINS[Output.CONTACTOR], presence_pin(slot)
    for pin in (contactor, mains):
        if lease_s is None:
            cabinet.boards[pin.board].set(pin.channel, on=True)
        else:
            cabinet.boards[pin.board].flash(pin.channel, lease_s, on=True)


def charging_cabinet(lease_s: float | None = None) -> Cabinet:
    cabinet = Cabinet()
    cabinet.stock(1, PackOrder("A", soc_pct=30))
    power(cabinet, 1, lease_s)
    charger = cabinet.slot(1).charger
    charger.voltage_set_v, charger.current_set_a = 54.6, 5.0
    charger.set_output(on=True)
    cabinet.slot(1).settle()
    assert cabinet.slot(1).charging
    return cabinet


def kinds(cabinet: Cabinet) -> list[Kind]:
    return [event.kind for event in cabinet.log.since(0)]


# --- relays -------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(0.001, 2.0), min_size=1, max_size=30),
    st.integers(1, 40),
    st.booleans(),
)
def test_a_flash_ends_when_its_time_has_passed_however_time_is_cut(
    cuts: list[float], tenths: int, on: bool
) -> None:
    board = RelayBoard()
    board.relays = [not on] * 8
    board.flash(3, tenths * 0.1, on=on)
    passed_s = 0.0
    for cut in cuts:
        board.advance(cut)
        passed_s += cut
        if abs(passed_s - tenths * 0.1) > 1e-6:
            assert board.relays[3] is (on if passed_s < tenths * 0.1 else not on)
    assert [state for index, state in enumerate(board.relays) if index != 3] == [not on] * 7


@pytest.mark.parametrize("command", ["off", "on", "toggle", "flash"])
def test_a_new_command_cancels_a_running_flash(command: str) -> None:
    board = RelayBoard()
    board.flash(0, 1.0, on=True)
    board.advance(0.9)
    match command:
        case "off":
            board.set(0, on=False)
        case "on":
            board.set(0, on=True)
        case "toggle":
            board.toggle(0)
        case _:
            board.flash(0, 1.0, on=True)
    expected = command in {"on", "flash"}
    board.advance(0.5)
    assert board.relays[0] is expected


def test_flash_off_turns_on_again() -> None:
    board = RelayBoard()
    board.set(2, on=True)
    board.flash(2, 0.7, on=False)
    assert not board.relays[2]
    board.advance(0.7)
    assert board.relays[2]


@pytest.mark.parametrize(
    ("mode", "relay_after"),
    [
        (Mode.NORMAL, [False, False, False, False]),
        (Mode.LINKAGE, [True, False, True, False]),
        (Mode.TOGGLE, [True, True, False, False]),
        (Mode.EDGE, [True, False, True, False]),
    ],
)
def test_modes_let_an_input_drive_its_relay(mode: Mode, relay_after: list[bool]) -> None:
    board = RelayBoard()
    board.modes[5] = mode
    seen = []
    for high in (True, False, True, False):
        board.set_input(5, high=high)
        seen.append(board.relays[5])
    assert seen == relay_after


# --- doors --------------------------------------------------------------------------------------


def test_a_pulse_springs_the_door_open_and_the_hand_latches_it_again() -> None:
    cabinet = Cabinet()
    pulse(cabinet, 9)
    pin = door_pin(9)
    assert cabinet.slot(9).door.open
    assert cabinet.boards[pin.board].inputs[pin.channel] is False
    cabinet.advance(1.0)
    assert not cabinet.boards[pin.board].relays[pin.channel]
    cabinet.push_door(9)
    assert cabinet.slot(9).door.latched
    assert cabinet.boards[pin.board].inputs[pin.channel] is True
    told = [kind for kind in kinds(cabinet) if kind is not Kind.RELAY]
    assert told == [Kind.LOCK_PULSE, Kind.DOOR_OPENED, Kind.DOOR_CLOSED, Kind.LOCK_LATCHED]


def test_a_held_solenoid_does_not_latch_until_it_falls() -> None:
    door = Door()
    door.energise(on=True)
    door.push()
    assert (door.open, door.latched) == (False, False)
    door.pull()
    door.push()
    door.energise(on=False)
    assert (door.open, door.latched) == (False, True)


def test_a_held_solenoid_does_not_spring_a_closed_door_twice() -> None:
    door = Door()
    door.energise(on=True)
    door.push()
    door.energise(on=True)
    assert not door.open


def test_a_jammed_lock_ignores_pulses_until_freed() -> None:
    cabinet = Cabinet()
    cabinet.jam(2, jammed=True)
    pulse(cabinet, 2)
    cabinet.advance(1.0)
    assert not cabinet.slot(2).door.open
    assert Kind.LOCK_PULSE in kinds(cabinet)
    cabinet.jam(2, jammed=False)
    assert not cabinet.slot(2).door.open
    pulse(cabinet, 2)
    assert cabinet.slot(2).door.open


def test_hands_are_refused_in_plain_words() -> None:
    cabinet = Cabinet()
    cabinet.stock(1, PackOrder("A"))
    with pytest.raises(HandsError, match="the door is latched"):
        cabinet.pull_door(1)
    with pytest.raises(HandsError, match="the door is shut, the pack cannot be taken"):
        cabinet.remove(1)
    with pytest.raises(HandsError, match="the door is shut, no pack fits"):
        cabinet.insert(2, PackOrder("B"))
    pulse(cabinet, 1)
    with pytest.raises(HandsError, match="a pack is in it already"):
        cabinet.insert(1, PackOrder("B"))
    cabinet.remove(1)
    with pytest.raises(HandsError, match="there is no pack"):
        cabinet.remove(1)
    with pytest.raises(UnknownNameError, match="slots 1 to 12"):
        cabinet.push_door(13)
    with pytest.raises(UnknownNameError, match="charger-13"):
        cabinet.set_silent("charger-13", silent=True)
    with pytest.raises(UnknownNameError, match="known are"):
        cabinet.insert(1, PackOrder("B", protection=frozenset({"melting"})))
    assert cabinet.slot(1).pack is None


def test_a_slot_itself_refuses_what_does_not_fit() -> None:
    slot = Slot(1, TruthLog())
    with pytest.raises(HandsError, match="the door is shut"):
        slot.insert(Pack("A", 0.5, 25.0))
    slot.energise_lock(on=True)
    slot.insert(Pack("A", 0.5, 25.0))
    with pytest.raises(HandsError, match="in it already"):
        slot.insert(Pack("B", 0.5, 25.0))


def test_a_pack_comes_back_as_it_left() -> None:
    cabinet = Cabinet()
    cabinet.stock(1, PackOrder("A", soc_pct=61.0, temp_c=33.0))
    pulse(cabinet, 1)
    pulse(cabinet, 2)
    left = cabinet.remove(1)
    assert cabinet.insert(2, PackOrder("A")) is left
    cabinet.remove(2)
    assert cabinet.insert(2, PackOrder("A", soc_pct=15.0)).soc_pct == 15


def test_two_packs_may_show_one_serial() -> None:
    cabinet = Cabinet()
    cabinet.stock(1, PackOrder("A"))
    pulse(cabinet, 2)
    assert cabinet.insert(2, PackOrder("A")) is not cabinet.slot(1).pack


# --- wiring, leases, time -----------------------------------------------------------------------


def test_every_pin_has_one_role() -> None:
    table = roles(12)
    assert len(table) == 12 + 12 + 4
    assert set(OUTPUT_PINS.values()) == set(ALARM_PINS.values())
    assert not {door_pin(slot) for slot in range(1, 13)} & set(OUTPUT_PINS.values())
    assert (door_pin(8), door_pin(9)) == (Pin(1, 7), Pin(2, 0))
    assert (presence_pin(8), presence_pin(12)) == (Pin(3, 7), Pin(4, 3))


@pytest.mark.parametrize("alarm", list(Alarm))
def test_an_alarm_opens_its_loop(alarm: Alarm) -> None:
    cabinet = Cabinet()
    pin = ALARM_PINS[alarm]
    assert cabinet.boards[pin.board].inputs[pin.channel] is True
    cabinet.set_alarm(alarm, active=True)
    assert cabinet.boards[pin.board].inputs[pin.channel] is False
    cabinet.set_alarm(alarm, active=False)
    assert cabinet.boards[pin.board].inputs[pin.channel] is True


def test_charging_ends_with_the_lease_and_not_before() -> None:
    cabinet = charging_cabinet(lease_s=8.0)
    for _ in range(79):
        cabinet.advance(0.1)
    assert cabinet.slot(1).charging
    cabinet.advance(0.1000001)
    assert not cabinet.slot(1).charging
    assert not cabinet.slot(1).charger.powered


def test_one_long_step_ends_the_lease_exactly() -> None:
    cabinet = charging_cabinet(lease_s=8.0)
    cabinet.advance(3_600.0)
    pack = cabinet.slot(1).pack
    assert pack is not None
    assert pack.charged_ah == pytest.approx(5.0 * 8.0 / 3_600.0)
    stopped = [e for e in cabinet.log.since(0) if e.kind is Kind.CHARGING_STOPPED]
    assert [event.sim_ms for event in stopped] == [8_000]


def test_pace_speeds_the_physics_and_not_the_boards() -> None:
    cabinet = charging_cabinet(lease_s=8.0)
    cabinet.pace = 60.0
    cabinet.advance(10.0)
    pack = cabinet.slot(1).pack
    assert pack is not None
    assert pack.charged_ah == pytest.approx(5.0 * 8.0 * 60.0 / 3_600.0)
    assert cabinet.log.sim_s == pytest.approx(10.0)
    assert cabinet.physics_s == pytest.approx(600.0)


def test_a_fast_clock_moves_charge_and_energy_but_neither_heat_nor_boards() -> None:
    fast, real = charging_cabinet(lease_s=8.0), charging_cabinet(lease_s=8.0)
    fast.clock_rate = 60
    fast.advance(10.0)
    real.advance(10.0)
    quick, slow = fast.slot(1).pack, real.slot(1).pack
    assert quick is not None
    assert slow is not None
    assert quick.charged_ah == pytest.approx(60.0 * slow.charged_ah)
    assert fast.meter.import_kwh == pytest.approx(60.0 * real.meter.import_kwh, rel=0.02)
    assert fast.log.sim_s == pytest.approx(10.0)
    warmed = [cabinet.slot(1).charger.temp_c - 25.0 for cabinet in (fast, real)]
    assert 0.0 < warmed[0] == pytest.approx(warmed[1], rel=0.05)
    assert quick.temp_c - 25.0 < 0.1, "or the daemon would stop it as warming too fast"


def test_freeze_stops_everything_and_hands_still_work() -> None:
    cabinet = charging_cabinet(lease_s=8.0)
    pulse(cabinet, 2)
    cabinet.freeze(frozen=True)

    def picture() -> object:
        pack = cabinet.slot(1).pack
        assert pack is not None
        return (
            dataclasses.asdict(pack),
            dataclasses.asdict(cabinet.slot(1).charger),
            dataclasses.asdict(cabinet.meter),
            dataclasses.asdict(cabinet.climate),
            cabinet.slot(1).air_c,
            [list(board.relays) for board in cabinet.boards.values()],
            cabinet.log.sim_s,
        )

    before = picture()
    cabinet.advance(3_600.0)
    assert picture() == before
    cabinet.insert(2, PackOrder("B", soc_pct=18))
    cabinet.freeze(frozen=False)
    cabinet.advance(PULSE_S)
    assert picture() != before
    assert not cabinet.boards[1].relays[1]


def test_meter_counts_what_the_chargers_and_the_standby_draw() -> None:
    cabinet = charging_cabinet()
    before_wh = cabinet.slot(1).charger.energy_wh
    cabinet.advance(1_800.0)
    dc_wh = cabinet.slot(1).charger.energy_wh - before_wh
    assert cabinet.meter.import_kwh * 1_000 == pytest.approx(dc_wh / 0.92 + 40.0 * 0.5, rel=0.001)
    assert cabinet.meter.power_w == pytest.approx(40.0 + cabinet.slot(1).charger.power_w / 0.92)


def test_a_charging_slot_is_warmer_than_an_empty_one() -> None:
    cabinet = charging_cabinet()
    cabinet.advance(2 * 3_600.0)
    pack = cabinet.slot(1).pack
    assert pack is not None
    assert pack.temp_c > cabinet.slot(1).air_c > cabinet.slot(2).air_c >= cabinet.ambient_c - 0.01
    assert pack.temp_c < 45.0


def test_the_log_is_bounded_and_shows_what_fell_out() -> None:
    log = TruthLog(events_max=3)
    for _ in range(5):
        log.add(Kind.INPUT)
    assert [event.seq for event in log.since(0)] == [3, 4, 5]
    assert [event.seq for event in log.since(4)] == [5]
    assert log.first_seq == 3


class HandsAndLocks(RuleBasedStateMachine):
    """Whatever locks, hands and time do, the laws of the door hold."""

    def __init__(self) -> None:
        super().__init__()
        self.cabinet = Cabinet(slots_count=2)
        self.cabinet.stock(1, PackOrder("A", soc_pct=50))
        self.packs = 1
        self.made = 0

    slots = st.integers(1, 2)

    @rule(slot=slots, tenths=st.integers(1, 30))
    def fire(self, slot: int, tenths: int) -> None:
        was_open = self.cabinet.slot(slot).door.open
        energised = self.cabinet.slot(slot).door.energised
        pulse(self.cabinet, slot, tenths * 0.1)
        door = self.cabinet.slot(slot).door
        assert door.open == (was_open or not (door.jammed or energised))

    @rule(slot=slots, jammed=st.booleans())
    def jam(self, slot: int, jammed: bool) -> None:
        self.cabinet.jam(slot, jammed=jammed)

    @rule(slot=slots)
    def push(self, slot: int) -> None:
        self.cabinet.push_door(slot)
        assert not self.cabinet.slot(slot).door.open

    @rule(slot=slots)
    def pull(self, slot: int) -> None:
        latched = self.cabinet.slot(slot).door.latched
        try:
            self.cabinet.pull_door(slot)
        except HandsError:
            assert latched
        else:
            assert not latched

    @rule(slot=slots)
    def insert(self, slot: int) -> None:
        room = self.cabinet.slot(slot).door.open and self.cabinet.slot(slot).pack is None
        try:
            self.cabinet.insert(slot, PackOrder(f"N{self.made}", soc_pct=20))
        except HandsError:
            assert not room
        else:
            assert room
            self.packs += 1
            self.made += 1

    @rule(slot=slots)
    def remove(self, slot: int) -> None:
        there = self.cabinet.slot(slot).door.open and self.cabinet.slot(slot).pack is not None
        try:
            self.cabinet.remove(slot)
        except HandsError:
            assert not there
        else:
            assert there
            self.packs -= 1

    @precondition(lambda self: not self.cabinet.frozen)
    @rule(dt_s=st.floats(0.01, 20.0))
    def wait(self, dt_s: float) -> None:
        self.cabinet.advance(dt_s)

    @invariant()
    def laws(self) -> None:
        for slot in self.cabinet.slots:
            assert not (slot.door.latched and slot.door.open)
            if not slot.door.open and not slot.door.energised:
                assert slot.door.latched
            door, presence = door_pin(slot.number), presence_pin(slot.number)
            assert self.cabinet.boards[door.board].inputs[door.channel] is not slot.door.open
            shown = self.cabinet.boards[presence.board].inputs[presence.channel]
            assert shown is (slot.pack is not None)
            assert self.cabinet.boards[door.board].relays[door.channel] is slot.door.energised
        assert sum(slot.pack is not None for slot in self.cabinet.slots) == self.packs


TestHandsAndLocks = HandsAndLocks.TestCase
