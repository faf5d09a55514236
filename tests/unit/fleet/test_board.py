"""The board: it follows reports and silence, tells consoles changes, and never lets a queue grow."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fleet.core.console import Query
from fleet.core.geo import Point
from fleet.core.swaps import TELEMETRY_AGE_MAX_MS
from fleet.runtime.console import QUEUE_MAX, Board, StationPlace
from fleet.runtime.recorder import (
    CABINETS_MAX,
    CHARS_MAX,
    KEPT_MS,
    MESSAGES_MAX,
    Overheard,
    Recorder,
)
from protocols.topics import Leaf, build
from tests.support.fleet_fakes import cabinet
from tests.support.fleet_fakes_base import FakeCabinets, ShiftedClock

A, B = "DH-0001", "DH-0002"


class Rig:
    def __init__(self) -> None:
        self.clock = ShiftedClock()
        self.cabinets = FakeCabinets()
        self.cabinets.clock = self.clock
        self.station_places: list[StationPlace] = []
        for number in (A, B):
            self.put(number)
        self.board = Board(self.cabinets, self.cabinets.hub, self.clock, self.stations, tick_s=0.01)
        self.board.counts()

    async def stations(self) -> list[StationPlace]:
        return self.station_places

    def put(self, number: str, **values: Any) -> None:
        given = {"age_ms": 0, "slots": (), **values}
        self.cabinets.put(cabinet(number, **given))

    def marks(self) -> dict[str, str]:
        return {row.brief.id: row.mark.value for row in self.board.rows(Query())}


@pytest.fixture
def rig() -> Rig:
    return Rig()


def events(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(each[6:]) for each in body.decode().strip().split("\n\n")]


async def test_reports_change_marks_and_only_changes_are_told(rig: Rig) -> None:
    with rig.board.watch() as ticks:
        rig.board.tick()
        rig.put(B, alarms=("smoke",))
        rig.put(A, power_w=1.0)  # a report that changes nothing on the map
        rig.board.tick()
        await asyncio.wait_for(ticks.filled(), 60)
        taken = ticks.take()
        assert taken is not None
        (told,) = events(taken[0])
        assert (told["type"], told["d"]) == ("map", [1, 0, 4])
        assert told["n"]["trouble"] == 1
        assert told["n"]["power_w"] == 843.0
        assert taken[1] == {B}
        rig.board.tick()
        assert ticks.take() == (b"", frozenset()), "nothing changed: nothing is told"


async def test_silence_is_noticed_though_nobody_tells_of_it(rig: Rig) -> None:
    assert rig.marks() == {A: "ok", B: "ok"}
    rig.clock.shift_ms += TELEMETRY_AGE_MAX_MS - 5_000
    rig.put(A)
    with rig.board.watch() as ticks:
        rig.board.tick()
        assert rig.marks() == {A: "ok", B: "ok"}
        rig.clock.shift_ms += 6_000
        rig.board.tick()
        taken = ticks.take()
        assert taken is not None
        assert events(taken[0])[0]["d"][:2] == [1, 3]
    assert rig.marks() == {A: "ok", B: "stale"}


async def test_a_look_at_the_register_loses_no_change(rig: Rig) -> None:
    with rig.board.watch() as ticks:
        rig.put(B, alarms=("smoke",))
        rig.board._known = -1  # as after a cabinet's slots were edited
        rig.board.tick()
        taken = ticks.take()
        assert taken is not None
        assert events(taken[0])[0]["d"] == [1, 0, 4]


async def test_a_console_that_sleeps_is_shown_everything_anew(rig: Rig) -> None:
    with rig.board.watch() as slow, rig.board.watch() as quick:
        seen = 0
        for turn in range(QUEUE_MAX + 3):
            rig.put(A, full=turn % 2)
            rig.board.tick()
            seen += (taken := quick.take()) is not None and bool(taken[0])
        assert seen == QUEUE_MAX + 3, "one slow console costs the others nothing"
        assert slow.take() is None
        rig.put(A, full=5)
        rig.board.tick()
        assert slow.take() is not None, "and then it follows again"


async def test_the_whole_has_a_letter_for_each_and_a_new_cabinet_a_new_map(rig: Rig) -> None:
    rig.put(B, full=99)
    version, body = rig.board.map()
    (whole,) = events(rig.board.whole())
    assert (whole["v"], whole["m"], whole["f"]) == (version, "66", "4l")
    assert json.loads(body)["ids"] == [A, B]
    with rig.board.watch() as ticks:
        rig.put("DH-0003", lat=None)
        rig.board.tick()
        assert ticks.take() is None
    fresh, body = rig.board.map()
    assert fresh != version
    assert json.loads(body)["lat"] == [31.23, 31.23, None]
    rig.put(B, full=1)
    assert rig.board.map()[0] == fresh, "reports don't change where things stand"


async def test_stations_are_taken_in_while_it_runs(rig: Rig) -> None:
    rig.station_places = [StationPlace("ST-1", "东湖站", 31.0, 121.0, (A,))]
    running = asyncio.create_task(rig.board.run())
    async with asyncio.timeout(60):
        while not rig.board.stations():
            await asyncio.sleep(0.01)
    assert rig.board.stations() == [("ST-1", "东湖站")]
    assert [row.brief.id for row in rig.board.rows(Query(station="ST-1"))] == [A]
    assert rig.board.counts(frozenset({"ST-1"})).total == 1
    with rig.board.watch() as ticks:
        running.cancel()
        await asyncio.wait_for(ticks.filled(), 60)
        assert ticks.ended


async def test_the_nearest_that_can_serve_come_first_and_far_ones_when_there_are_no_others(
    rig: Rig,
) -> None:
    rig.put(A, lat=31.0, lon=121.0, full=0)
    rig.put(B, lat=31.01, lon=121.0)
    rig.put("DH-0003", lat=33.0, lon=121.0)
    rig.put("DH-0004", lat=None, lon=None)
    near, more = rig.board.found("", Point(31.0, 121.0), 2)
    assert ([each.id for each in near], more) == ([B, "DH-0003"], True)
    near, more = rig.board.found("", Point(31.0, 121.0), 9)
    assert [each.id for each in near] == [B, "DH-0003", A, "DH-0004"]
    named, more = rig.board.found("dh-0001", None, 9)
    assert ([each.id for each in named], more) == ([A], False)


def test_the_recorder_keeps_what_somebody_asked_for_and_nothing_else() -> None:
    clock = ShiftedClock()
    recorder = Recorder(clock)
    topic = build(A, Leaf.TELEMETRY)
    recorder.heard(topic, b'{"n":1}')
    assert recorder.of(A) == []
    for number in range(MESSAGES_MAX + 5):
        recorder.heard(topic, b'{"n":%d}' % number)
    recorder.heard(build(B, Leaf.TELEMETRY), b"{}")
    recorder.heard(build(A, Leaf.DESIRED_CONFIG), b'{"secret":1}')
    recorder.heard("nonsense", b"{}")
    kept = recorder.of(A)
    assert len(kept) == MESSAGES_MAX
    assert kept[0].text == f'{{"n":{MESSAGES_MAX + 4}}}'
    recorder.heard(topic, b"\xff" + b"x" * CHARS_MAX)
    assert recorder.of(A)[0].cut
    clock.shift_ms += KEPT_MS + 1
    recorder.heard(topic, b"{}")
    assert recorder.of(A) == []
    for number in range(CABINETS_MAX):
        recorder.of(f"DH-{number + 100:04d}")
    recorder.heard(topic, b"{}")
    assert recorder.of(A) == [], "the longest unasked gave way"


async def test_what_is_sent_is_recorded_once_the_broker_has_it() -> None:
    recorder = Recorder(ShiftedClock())
    recorder.of(A)
    sent: list[str] = []

    class Broker:
        def __init__(self, error: Exception | None = None) -> None:
            self.error = error

        async def publish(
            self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False
        ) -> None:
            assert payload
            assert (qos, retain) == (1, False)
            if self.error:
                raise self.error
            sent.append(topic)

    topic = build(A, Leaf.COMMAND)
    await Overheard(Broker(), recorder).publish(topic, b'{"id":"1"}', qos=1)
    with pytest.raises(OSError, match="gone"):
        await Overheard(Broker(OSError("gone")), recorder).publish(topic, b"{}", qos=1)
    assert (sent, [each.text for each in recorder.of(A)]) == ([topic], ['{"id":"1"}'])
