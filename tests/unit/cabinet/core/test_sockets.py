"""The socket's table row by row, and what must hold of any history of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cabinet.core import sockets
from cabinet.core.model import MeterReading
from cabinet.core.sockets import (
    TABLE,
    Clear,
    Ending,
    Event,
    Faulted,
    Idle,
    Look,
    On,
    Session,
    SocketLimits,
    Start,
    State,
    Stop,
    Told,
    Track,
    View,
)
from protocols.sockets import SocketStep

LIMITS = SocketLimits(number=1, full_after_ms=60_000)
T0 = 1_000_000
WALL = 1_790_000_000_000


@dataclass
class Bench:
    """One socket on a bench: the relay follows at once, the meter counts what is drawn."""

    state: State = field(default_factory=Idle)
    track: Track = field(default_factory=Track)
    now_ms: int = T0
    draw_w: float = 150.0
    meter_wh: float = 5_000.0
    silent: bool = False
    live: bool = False
    welded: bool = False
    told: list[Told] = field(default_factory=list)
    view: dict[str, Any] = field(default_factory=dict)
    reading: MeterReading | None = None

    def look_view(self) -> View:
        if not self.silent:
            power_w = self.draw_w if self.live or self.welded else 0.0
            self.reading = MeterReading(
                self.now_ms, power_w, self.meter_wh, current_a=power_w / 225.0
            )
        wall_ms = WALL + self.now_ms
        told = {"wall_ms": wall_ms, "reading": self.reading, "live": self.live, **self.view}
        return View(now_ms=self.now_ms, **told)

    def feed(self, event: Event) -> str | None:
        after = sockets.step(self.state, self.track, event, LIMITS)
        self.state, self.track = after.state, after.track
        self.told += after.told
        self.live = isinstance(self.state, On) and self.view.get("powered", True)
        return after.refusal

    def start(self, id_: str = "E1", limit_wh: int = 1_000, limit_s: int = 36_000) -> str | None:
        event = Start(id_, "R1", limit_wh, limit_s * 1_000, 1, self.look_view())
        return self.feed(event)

    def stop(self, id_: str = "E1") -> str | None:
        return self.feed(Stop(id_, self.look_view()))

    def run(self, length_ms: int, every_ms: int = 500) -> Bench:
        for _ in range(0, length_ms, every_ms):
            self.now_ms += every_ms
            if self.live or self.welded:
                self.meter_wh += self.draw_w * every_ms / 3_600_000
            self.feed(Look(self.look_view()))
        return self

    def boot(self, down_ms: int = 5_000) -> None:
        self.track = Track()
        self.now_ms += down_ms
        self.live, self.reading = False, None

    @property
    def steps(self) -> list[str]:
        return [told.step.value for told in self.told]

    @property
    def end(self) -> str | None:
        ended = [told for told in self.told if told.step is SocketStep.ENDED]
        return ended[-1].reason if ended else None


def charging() -> Bench:
    bench = Bench()
    assert bench.start() is None
    return bench.run(5_000)


def test_the_table_is_total() -> None:
    states, events = get_args(State), get_args(Event)
    assert set(TABLE) == set(itertools.product(states, events))


def test_a_session_begins_and_is_told() -> None:
    bench = charging()
    assert isinstance(bench.state, On)
    assert bench.state.session.start_wh == 5_000.0
    assert bench.steps == ["started"]


@pytest.mark.parametrize(
    ("view", "refusal"),
    [
        ({"safe": False}, "unsafe"),
        ({"reading": None}, "socket-offline"),
        ({"probed": True, "temp_c": None}, "socket-offline"),
    ],
)
def test_what_is_not_known_or_not_safe_refuses(view: dict[str, Any], refusal: str) -> None:
    bench = Bench(view=view)
    assert bench.start() == refusal
    assert isinstance(bench.state, Idle)
    assert not bench.told


def test_an_old_reading_is_none() -> None:
    bench = Bench()
    bench.look_view()
    bench.silent = True
    bench.now_ms += sockets.METER_AGE_MAX_MS + 1
    assert bench.start() == "socket-offline"


def test_the_same_order_twice_is_one_session_and_another_is_busy() -> None:
    bench = charging()
    assert bench.start() is None
    assert bench.start("E2") == "socket-busy"
    assert bench.steps == ["started"]


def test_a_stop_counts_to_the_last_reading() -> None:
    bench = charging().run(60_000)
    assert bench.stop("E2") == "no-session"
    assert bench.stop() is None
    assert bench.stop() is None
    assert isinstance(bench.state, Ending)
    bench.run(2_000)
    assert isinstance(bench.state, Idle)
    assert bench.end == "stopped"
    last = bench.told[-1].session
    assert last is not None
    assert last.energy_wh == pytest.approx(bench.meter_wh - 5_000.0)
    assert last.elapsed_ms == pytest.approx(65_000, abs=1_000)


def test_the_energy_limit_ends() -> None:
    bench = Bench()
    bench.start(limit_wh=10)
    bench.run(300_000)
    assert bench.end == "limit-energy"


def test_the_time_limit_ends() -> None:
    bench = Bench()
    bench.start(limit_s=120)
    bench.run(125_000)
    assert bench.end == "limit-time"


def test_a_full_battery_ends_and_a_dip_does_not() -> None:
    bench = charging().run(120_000)
    bench.draw_w = 3.0
    bench.run(50_000)
    bench.draw_w = 100.0
    bench.run(1_000)
    bench.draw_w = 3.0
    bench.run(55_000)
    assert isinstance(bench.state, On)
    bench.run(10_000)
    assert bench.end == "full"


def test_nothing_plugged_in_ends_as_such() -> None:
    bench = Bench(draw_w=0.0)
    bench.start()
    bench.run(70_000)
    assert bench.end == "no-load"


def test_a_gross_current_trips_at_the_first_reading() -> None:
    bench = charging()
    bench.draw_w = 2_000.0
    bench.run(500)
    assert isinstance(bench.state, Ending)
    bench.run(2_000)
    assert bench.state == Faulted("over-current")
    assert bench.steps[-2:] == ["ended", "faulted"]


def test_a_little_too_much_trips_at_the_second_reading_in_a_row() -> None:
    bench = charging()
    bench.draw_w = 600.0
    bench.run(500)
    assert isinstance(bench.state, On)
    bench.draw_w = 100.0
    bench.run(500)
    bench.draw_w = 600.0
    bench.run(500)
    assert isinstance(bench.state, On)
    bench.run(500)
    assert isinstance(bench.state, Ending)


def test_heat_trips_and_only_a_technician_clears_it() -> None:
    bench = charging()
    bench.view = {"probed": True, "temp_c": 55.0}
    bench.run(2_000)
    assert bench.state == Faulted("socket-hot")
    bench.view = {}
    assert bench.run(60_000).start("E2") == "socket-faulted"
    assert bench.feed(Clear(bench.look_view())) is None
    assert bench.start("E2") is None
    assert bench.feed(Clear(bench.look_view())) == "not-latched"


def test_a_lost_meter_ends_with_what_was_read() -> None:
    bench = charging().run(60_000)
    known_wh = bench.meter_wh
    bench.silent = True
    bench.run(sockets.METER_AGE_MAX_MS + 1_000)
    assert isinstance(bench.state, Ending)
    bench.run(sockets.ENDING_MAX_MS + 1_000)
    assert bench.end == "meter-lost"
    last = bench.told[-1].session
    assert last is not None
    assert last.energy_wh == pytest.approx(known_wh - 5_000.0, abs=1.0)


def test_a_meter_that_jumps_bills_nothing_of_the_jump() -> None:
    for jump_wh in (4_000.0, -3_000.0):
        bench = charging().run(60_000)
        sound_wh = bench.meter_wh - 5_000.0
        bench.meter_wh += jump_wh
        bench.run(2_000)
        assert bench.end == "meter-reset"
        last = bench.told[-1].session
        assert last is not None
        assert last.energy_wh == pytest.approx(sound_wh, abs=3.0)


def test_a_relay_that_does_not_hold_ends() -> None:
    bench = charging()
    bench.view = {"live": False}
    bench.draw_w = 0.0
    bench.run(sockets.RELAY_WAIT_MS + 2_000)
    assert bench.end == "lease-lost"


def test_danger_and_a_lost_probe_end() -> None:
    bench = charging()
    bench.view = {"safe": False}
    assert bench.run(2_000).end == "unsafe"
    bench = charging().run(20_000)
    bench.view = {"probed": True, "temp_c": None}
    assert bench.run(2_000).end == "probe-lost"


def test_without_power_it_waits_and_then_ends() -> None:
    bench = charging()
    bench.view = {"powered": False}
    bench.run(sockets.PAUSE_MAX_MS - 5_000)
    assert isinstance(bench.state, On)
    bench.view = {}
    bench.run(5_000)
    bench.view = {"powered": False}
    bench.run(sockets.PAUSE_MAX_MS + 3_000)
    assert bench.end == "no-power"


def test_a_welded_relay_is_found_at_the_end_and_later() -> None:
    bench = charging()
    bench.welded = True
    bench.stop()
    bench.run(2_000)
    assert isinstance(bench.state, Ending)  # nobody else gets a socket that gives power
    bench.run(sockets.ENDING_MAX_MS)
    assert bench.state == Faulted("stray-power")
    bench = Bench(welded=True)
    bench.run(sockets.STRAY_MS + 1_000)
    assert bench.steps == ["faulted"]


def test_a_session_goes_on_after_a_short_restart_and_keeps_its_energy() -> None:
    bench = charging().run(120_000)
    bench.boot()
    bench.run(2_000)
    assert isinstance(bench.state, On)
    assert bench.state.session.start_wh == 5_000.0
    bench.stop()
    bench.run(2_000)
    last = bench.told[-1].session
    assert last is not None
    assert last.energy_wh == pytest.approx(bench.meter_wh - 5_000.0)


@pytest.mark.parametrize(("down_ms", "wall"), [(1_200_000, True), (5_000, False)])
def test_a_long_or_uncertain_interruption_ends_it(down_ms: int, wall: bool) -> None:
    bench = charging().run(61_000)
    bench.boot(down_ms)
    if not wall:
        bench.view = {"wall_ms": None}
    bench.run(2_000)
    assert bench.end == "interrupted"
    last = bench.told[-1].session
    assert last is not None
    assert last.energy_wh == pytest.approx(bench.meter_wh - 5_000.0)


def test_a_boot_waits_for_the_first_reading() -> None:
    bench = charging()
    bench.boot()
    bench.silent = True
    bench.run(5_000)
    assert isinstance(bench.state, On)
    bench.run(sockets.FIRST_READ_MS)
    assert isinstance(bench.state, Ending)


def test_progress_is_told_once_a_minute() -> None:
    assert charging().run(185_000).steps == ["started", "running", "running", "running"]


EVENTS = st.one_of(
    st.tuples(st.just("start"), st.sampled_from(["E1", "E2"])),
    st.tuples(st.just("stop"), st.sampled_from(["E1", "E2"])),
    st.tuples(st.just("clear"), st.none()),
    st.tuples(st.just("boot"), st.sampled_from([1_000, 900_000])),
    st.tuples(st.just("run"), st.sampled_from([500, 5_000, 70_000])),
    st.tuples(st.just("draw"), st.sampled_from([0.0, 3.0, 150.0, 600.0, 3_000.0])),
    st.tuples(st.just("silent"), st.booleans()),
    st.tuples(st.just("welded"), st.booleans()),
    st.tuples(st.just("jump"), st.sampled_from([-9_000.0, 9_000.0])),
    st.tuples(
        st.just("view"),
        st.sampled_from([{}, {"safe": False}, {"powered": False}, {"temp_c": 70.0}]),
    ),
)


def _apply(bench: Bench, what: str, value: Any) -> None:
    match what:
        case "start":
            bench.start(value, limit_wh=20, limit_s=600)
        case "stop":
            bench.stop(value)
        case "clear":
            bench.feed(Clear(bench.look_view()))
        case "boot":
            bench.boot(value)
        case "run":
            bench.run(value)
        case "draw":
            bench.draw_w = value
        case "jump":
            bench.meter_wh += value
        case _:
            setattr(bench, what, value)


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS, max_size=14))
def test_any_history_keeps_the_account(history: list[tuple[str, Any]]) -> None:
    """One start and one end per session, in order; energy and time only grow; it never runs on."""
    bench = Bench()
    for what, value in history:
        _apply(bench, what, value)
        held = bench.state.session if isinstance(bench.state, On | Ending) else None
        if isinstance(bench.state, On):
            assert sockets.elapsed_ms(bench.state.session, bench.track, bench.now_ms) <= 760_000
        assert held is None or held.energy_wh >= 0
    bench.view, bench.silent = {}, False
    bench.run(700_000, 2_500)
    assert not isinstance(bench.state, On | Ending)  # everything ends by itself
    open_session: Session | None = None
    for told in bench.told:
        match told.step:
            case SocketStep.STARTED:
                assert open_session is None
                open_session = told.session
            case SocketStep.RUNNING | SocketStep.ENDED:
                assert open_session is not None
                assert told.session is not None
                assert told.session.id == open_session.id
                assert told.session.energy_wh >= open_session.energy_wh
                assert told.session.elapsed_ms >= open_session.elapsed_ms
                most_wh = LIMITS.power_max_w * sockets.GROSS * 0.3 + sockets.ENERGY_SLACK_WH
                assert told.session.energy_wh <= most_wh
                open_session = None if told.step is SocketStep.ENDED else told.session
            case _:
                assert open_session is None
    assert open_session is None
