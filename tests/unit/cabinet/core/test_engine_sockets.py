"""Sockets within the engine: orders, power shared with the packs, safety, restarts and reports."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cabinet.core import act
from cabinet.core.act import protects
from cabinet.core.charge import PackLimits
from cabinet.core.engine_model import DocumentReceived, EngineConfig, Observed
from cabinet.core.model import Input, InputReading, SetSocket
from cabinet.core.safety_limits import Limits
from cabinet.core.sockets import SocketLimits
from cabinet.core.sockets_power import Load, share
from protocols.messages import DesiredPlan, Presence, Result
from protocols.sockets import SocketState
from tests.support.cabinet_rig import CABINET, WALL_MS, Hole, Rig, signed

RIDER = "R234567ABCDEF"


def rig_with(count: int = 2, *, limit_w: int = 1_500, **more: Any) -> Rig:
    config = EngineConfig(
        cabinet=CABINET,
        slots=4,
        software="test",
        pack=PackLimits(),
        breaker_w=1_600,
        power_default_w=limit_w,
        safety=Limits(breaker_w=1_600),
        sockets=tuple(SocketLimits(number=n) for n in range(1, count + 1)),
    )
    return Rig(config=config, plugs=dict.fromkeys(range(1, count + 1), 150.0), **more).ready()


def start(rig: Rig, socket: int = 1, session: str = "E1", **more: Any) -> Result:
    args = {"socket": socket, "session": session, "rider_id": RIDER, "limit_wh": 500}
    return rig.command("socket.start", {**args, "limit_s": 7_200, **more})


def shown(rig: Rig, socket: int = 1) -> SocketState:
    return rig.engine.telemetry(rig.state, rig.now).sockets[socket - 1].state


def test_a_session_from_the_order_to_the_bill() -> None:
    rig = rig_with()
    assert start(rig).outcome == "done"
    assert rig.sockets == {1: True, 2: False}
    rig.run(130_000, 1_000)
    telemetry = rig.engine.telemetry(rig.state, rig.now).sockets[0]
    assert (telemetry.state, telemetry.session, telemetry.energy_wh) == (SocketState.ON, "E1", 5)
    assert rig.command("socket.stop", {"socket": 1, "session": "E1"}).outcome == "done"
    assert rig.sockets[1] is False
    rig.run(3_000)
    told = rig.bodies("socket.step")
    assert [body.step.value for body in told] == ["started", "running", "running", "ended"]
    assert (told[-1].energy_wh, told[-1].reason) == (5, "stopped")
    assert told[-1].rider_id == RIDER
    assert shown(rig) is SocketState.IDLE


@pytest.mark.parametrize(
    ("more", "reason"),
    [({"socket": 9}, "no-socket"), ({"limit_wh": 1}, "bad-arguments"), ({}, None)],
)
def test_orders_are_checked(more: dict[str, Any], reason: str | None) -> None:
    assert start(rig_with(), **more).reason == reason


def test_no_power_no_start() -> None:
    rig = rig_with(2, limit_w=600)  # one socket's most is 500 W, the cabinet itself takes 40 W
    assert start(rig).outcome == "done"
    assert start(rig, 2, "E2").reason == "no-power"
    rig.run(35_000, 1_000)  # by then the first is known to take 150 W, but the second may take 500
    assert start(rig, 2, "E2").reason == "no-power"


def test_packs_get_what_sockets_leave() -> None:
    rig = rig_with(2, limit_w=700)
    rig.put(3, "LOW-1", soc_pct=20)
    rig.state = rig.engine.initial(rig.disk, "again")
    rig.run(12_000)
    alone_a = rig.chargers[3].current_a
    start(rig)
    rig.run(2_000)
    beside_a = rig.chargers[3].current_a
    assert 0 < beside_a < alone_a
    rig.run(35_000, 1_000)
    assert beside_a < rig.chargers[3].current_a  # the socket takes less than it might


def test_a_lower_plan_pauses_the_newest_and_lets_it_go_on() -> None:
    rig = rig_with(2)
    start(rig)
    start(rig, 2, "E2")
    rig.run(40_000, 1_000)
    assert rig.sockets == {1: True, 2: True}
    _plan(rig, 250)
    rig.run(2_000)
    assert rig.sockets == {1: True, 2: False}
    assert shown(rig, 2) is SocketState.PAUSED
    _plan(rig, 300)  # its 150 W would fit; what it may take does not
    rig.run(2_000)
    assert rig.sockets[2] is False
    _plan(rig, 1_500)
    rig.run(2_000)
    assert rig.sockets == {1: True, 2: True}


def _plan(rig: Rig, power_w: int) -> None:
    now_ms = WALL_MS + rig.now_ms
    plan = DesiredPlan(
        cabinet=CABINET,
        version=rig.now_ms,
        valid_from_ms=now_ms,
        valid_until_ms=now_ms + 3_600_000,
        step_s=3_600,
        power_w=(power_w,),
    )
    rig.feed(DocumentReceived(signed(plan)))


def test_smoke_ends_it_and_a_blind_detector_only_pauses_it() -> None:
    rig = rig_with()
    start(rig)
    rig.run(1_000)
    image = rig.image()
    old = InputReading(False, rig.now_ms - 60_000)
    inputs = {**image.inputs, Input.SMOKE: old}
    rig.feed(Observed(msgspec.structs.replace(image, inputs=inputs)))
    assert rig.sockets[1] is False
    rig.run(2_000)
    assert rig.sockets[1] is True
    rig.contacts[Input.SMOKE] = True
    rig.run(3_000)
    assert rig.sockets[1] is False
    assert rig.bodies("socket.step")[-1].reason == "unsafe"


def test_a_fault_is_an_alarm_until_it_is_cleared() -> None:
    rig = rig_with()
    start(rig)
    rig.run(1_000)
    rig.plugs[1] = 3_000.0
    rig.run(200)
    assert rig.sockets[1] is False
    rig.run(3_000)
    assert "socket-fault-1" in rig.engine.telemetry(rig.state, rig.now).alarms
    assert start(rig, 1, "E2").reason == "socket-faulted"
    assert rig.command("alarm.clear", {"code": "socket-fault-2"}).reason == "not-latched"
    assert rig.command("alarm.clear", {"code": "socket-fault-1"}).outcome == "done"
    assert rig.command("socket.clear", {"socket": 1}).reason == "not-latched"
    rig.plugs[1] = 150.0
    rig.run(500)
    assert start(rig, 1, "E2").outcome == "done"


def test_a_killed_daemon_goes_on_with_the_session_and_its_account() -> None:
    rig = rig_with()
    start(rig)
    rig.run(90_000, 1_000)
    used_wh = rig.socket_wh[1]
    rig.boot()
    rig.run(300)
    assert rig.sockets[1] is True
    rig.command("socket.stop", {"socket": 1, "session": "E1"})
    rig.run(3_000)
    ended = rig.bodies("socket.step")[-1]
    assert ended.step.value == "ended"
    assert ended.energy_wh == int(used_wh - 1_000.0) == 3


def test_nothing_is_on_before_everything_was_read() -> None:
    rig = rig_with()
    start(rig)
    rig.run(1_000)
    rig.boot()
    rig.meters_silent = True
    rig.run(500)
    assert rig.state.ready
    assert rig.sockets[1] is False  # what it would take cannot be seen
    rig.meters_silent = False
    rig.run(500)
    assert rig.sockets[1] is True
    rig.boot()
    rig.holes[1].blind = True
    rig.holes[1].contact_ms = 0
    rig.run(500)
    assert not rig.state.ready
    assert rig.sockets.get(1) is not True


def test_the_breaker_holds_even_if_every_socket_took_its_most() -> None:
    rig = rig_with(2)
    for slot in (3, 4):
        rig.holes[slot] = Hole(f"LOW-{slot}", 20)
    start(rig, 1, "E1")
    start(rig, 2, "E2")
    rig.run(50_000, 1_000)
    packs_w = sum(order.current_a * 48.0 / 0.9 for order in rig.chargers.values() if order.on)
    assert packs_w > 0
    assert 40 + packs_w + 2 * 500 <= 1_600  # by the plan there would be room for more


def test_a_journal_that_fails_takes_the_sockets_down() -> None:
    rig = rig_with()
    start(rig)
    rig.run(500)
    acting = act.Acting(rig.engine, rig.state, "disk full")
    turn = acting.turn(Observed(rig.image()), lambda: rig.now)
    done, answer = [], None
    while True:
        try:
            request = turn.send(answer)
        except StopIteration:
            break
        answer = "disk full" if isinstance(request, act.Load) else None
        if isinstance(request, act.Do):
            done.append(request.effect)
    assert SetSocket(1, on=False) in done
    assert SetSocket(2, on=False) in done


def test_the_same_order_is_one_session() -> None:
    rig = rig_with()
    order = rig.order(
        "socket.start",
        {"socket": 1, "session": "E1", "rider_id": RIDER, "limit_wh": 500, "limit_s": 600},
    )
    assert [rig.send(order).outcome, rig.send(order).outcome] == ["done", "done"]
    assert len(rig.bodies("socket.step")) == 1


def test_only_off_is_done_without_a_journal() -> None:
    assert protects(SetSocket(1, on=False))
    assert not protects(SetSocket(1, on=True))


LOADS = st.lists(
    st.tuples(
        st.integers(50, 2_000), st.one_of(st.none(), st.floats(0, 2_500)), st.integers(0, 1_000)
    ),
    max_size=8,
)


@settings(deadline=None)
@given(LOADS, st.integers(0, 6_000), st.integers(0, 6_000))
def test_sockets_never_get_more_than_there_is(loads: Any, plan_w: int, breaker_w: int) -> None:
    rows = [
        Load(n, order, most, None if drawn is None else min(drawn, most))
        for n, (most, drawn, order) in enumerate(loads, start=1)
    ]
    got = share(rows, plan_w, breaker_w)
    powered = [row for row in rows if row.socket in got.powered]
    assert sum(row.power_max_w for row in powered) == got.bound_w <= breaker_w
    assert sum(row.expected_w for row in powered) == got.expected_w <= plan_w
    assert all(row.drawn_w is None or row.expected_w >= row.drawn_w for row in rows)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 1_600),
    st.lists(st.floats(0, 499), min_size=2, max_size=2),
    st.lists(st.integers(5, 89), min_size=2, max_size=2),
)
def test_all_together_stay_below_plan_and_breaker(
    limit_w: int, draws: list[float], socs: list[int]
) -> None:
    rig = rig_with(2, limit_w=limit_w)
    rig.plugs = dict(enumerate(draws, start=1))
    for slot, soc in zip((3, 4), socs, strict=True):
        rig.holes[slot] = Hole(f"LOW-{slot}", soc)
    for number in (1, 2):
        start(rig, number, f"E{number}")
    for _ in range(4):
        rig.run(12_000, 1_000)
        sockets_w = sum(rig.plugs[n] for n, on in rig.sockets.items() if on)
        packs_w = sum(order.current_a * 48.0 / 0.9 for order in rig.chargers.values() if order.on)
        assert 40 + sockets_w + packs_w <= max(limit_w, 40) + 1
        assert rig.image().slots[2].presence is Presence.PRESENT


def test_a_config_without_sockets_tells_none() -> None:
    rig = Rig().ready()
    assert rig.engine.telemetry(rig.state, rig.now).sockets == ()
