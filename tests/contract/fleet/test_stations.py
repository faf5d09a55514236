"""Stations, sessions at sockets and reports over real databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fleet.core import reports
from fleet.core.commands import QueuedCommand
from fleet.core.geo import Point
from fleet.core.plans import Plan, Subscription
from fleet.core.reports import PER_DAY_MAX, NewReport, Photo, Topic
from fleet.core.sockets import (
    ASKED,
    ENDED,
    ON,
    REFUSED,
    SILENT_MS,
    NewSession,
    SessionFacts,
    SocketSession,
)
from fleet.core.stations import AmenityKind, AmenityState, StationRecord
from fleet.errors import InvalidError, LimitedError, NotFoundError, RefusedError
from fleet.runtime.live import LivePicture
from fleet.runtime.stations import StationService
from fleet.stores import Stores
from protocols.sockets import SocketBody, SocketStep
from tests.contract.fleet.conftest import A, B
from tests.support.fleet import T0_MS, ManualClock, Reporter

DRUM = StationRecord(
    id="DRUM", name="Drum Tower 鼓楼", hours="00:00-24:00", lat=39.94, lon=116.39,
    price_kwh_minor=120, price_hour_minor=20,
)  # fmt: skip


async def begin(
    stores: Stores, number: int = 1, *, rider: str = "R1", socket: int = 1, key: str = ""
) -> QueuedCommand | str:
    new = NewSession(
        id=f"E{number}",
        cabinet=A,
        socket=socket,
        rider=rider,
        key=key or f"key-{number}",
        limit_wh=500,
        limit_s=7_200,
        now_ms=T0_MS + number,
        expires_ms=T0_MS + 20_000,
    )

    def decide(facts: SessionFacts) -> str | None:
        return "open-session" if facts.rider_open else "socket-busy" if facts.socket_open else None

    return await stores.sockets.begin(new, decide)


def body(step: SocketStep, **more: object) -> SocketBody:
    given = {"socket": 1, "session": "E1", "rider_id": "R1", **more}
    return SocketBody(step=step, **given)  # type: ignore[arg-type]


async def tell(stores: Stores, *bodies: SocketBody, reporter: Reporter | None = None) -> None:
    reporter = reporter or Reporter(A)
    events = [reporter.event("socket.step", each) for each in bodies]
    arrivals = [reporter.arrival(event) for event in events]
    outcome = await stores.events.commit(arrivals, T0_MS + 5_000)
    assert outcome.poison == 0


async def test_a_session_is_billed_by_what_its_cabinet_told(town: Stores) -> None:
    await town.stations.put(DRUM, T0_MS)
    await town.stations.place(A, "DRUM")
    command = await begin(town)
    assert isinstance(command, QueuedCommand)
    assert command.args["limit_wh"] == 500
    assert (await town.sockets.get("E1")).state == ASKED
    await town.commands.settle(command, "done", T0_MS + 50)
    reporter = Reporter(A)
    await tell(town, body(SocketStep.STARTED), reporter=reporter)
    running = body(SocketStep.RUNNING, energy_wh=100, duration_s=1_800)
    await tell(town, running, reporter=reporter)
    assert (await town.sockets.get("E1")).state == ON
    ended = body(SocketStep.ENDED, energy_wh=400, duration_s=7_200, reason="full")
    await tell(town, ended, reporter=reporter)
    session = await town.sockets.get("E1")
    assert (session.state, session.reason) == (ENDED, "full")
    assert (session.energy_wh, session.amount_minor) == (400, 48 + 40)
    # The same outbox once more, as after a restore: nothing changes.
    again = [reporter.arrival(event) for event in reporter.sent]
    await town.events.commit(again, T0_MS + 9_000)
    assert await town.sockets.get("E1") == session
    assert await town.sockets.of_rider("R1", 5) == [session]


async def test_one_key_one_session_and_one_session_per_rider(town: Stores) -> None:
    assert isinstance(await begin(town), QueuedCommand)
    assert await begin(town, key="key-1") == "E1"
    with pytest.raises(InvalidError, match="another session"):
        await begin(town, 2, socket=2, key="key-1")
    with pytest.raises(RefusedError) as refused:
        await begin(town, 3, socket=2)
    assert refused.value.code == "open-session"
    with pytest.raises(RefusedError) as refused:
        await begin(town, 4, rider="R2")
    assert refused.value.code == "socket-busy"
    with pytest.raises(NotFoundError):
        await begin(town, 5, rider="R9")


async def test_a_session_never_heard_of_again_does_not_last_for_ever(town: Stores) -> None:
    assert isinstance(await begin(town), QueuedCommand)
    later = 7_200_000 + SILENT_MS
    with pytest.raises(RefusedError):
        await begin(town, later - 10)
    assert isinstance(await begin(town, later + 10), QueuedCommand)


async def test_two_at_once_get_one_session(town: Stores) -> None:
    got = await asyncio.gather(begin(town, 1), begin(town, 2, socket=2), return_exceptions=True)
    assert sum(isinstance(each, QueuedCommand) for each in got) == 1
    assert sum(isinstance(each, RefusedError) for each in got) == 1


async def test_a_refusal_ends_it_until_the_cabinet_says_otherwise(town: Stores) -> None:
    command = await begin(town)
    assert isinstance(command, QueuedCommand)
    await town.commands.settle(command, "expired", T0_MS + 50)
    session = await town.sockets.get("E1")
    assert (session.state, session.reason) == (REFUSED, "no-answer")
    await tell(town, body(SocketStep.STARTED))
    assert (await town.sockets.get("E1")).state == ON


async def test_what_a_cabinet_tells_of_an_unknown_session_is_kept(town: Stores) -> None:
    ended = body(SocketStep.ENDED, session="E77", energy_wh=90, duration_s=60, reason="stopped")
    await tell(town, ended)
    session = await town.sockets.get("E77")
    assert (session.rider, session.energy_wh, session.state) == ("R1", 90, ENDED)


async def test_no_cabinet_tells_of_anothers_session(town: Stores) -> None:
    command = await begin(town)
    assert isinstance(command, QueuedCommand)
    ended = body(SocketStep.ENDED, energy_wh=9_000, duration_s=60)
    await tell(town, ended, reporter=Reporter(B))
    session = await town.sockets.get("E1")
    assert session.state == ASKED
    assert isinstance(session, SocketSession)
    assert session.energy_wh == 0


async def test_a_station_its_cabinets_and_its_amenities(town: Stores) -> None:
    await town.stations.put(DRUM, T0_MS)
    await town.stations.place(A, "DRUM")
    await town.stations.place(B, "DRUM")
    await town.stations.place(B, None)
    add = town.stations.set_amenity
    kit = await add(
        "DRUM", kind=AmenityKind.REPAIR_KIT, state=AmenityState.OK, note="door 2", now_ms=T0_MS
    )
    await add("DRUM", kind=AmenityKind.WATER, state=AmenityState.LOW, note=None, now_ms=T0_MS)
    ((view, cabinets),) = await town.stations.all()
    assert (view.name, cabinets) == ("Drum Tower 鼓楼", (A,))
    assert [each.kind.value for each in view.amenities] == ["repair-kit", "water"]
    with pytest.raises(NotFoundError, match="no station"):
        await town.stations.place(A, "NOWHERE")
    with pytest.raises(NotFoundError, match="no cabinet"):
        await town.stations.place("DH-9999", "DRUM")
    with pytest.raises(NotFoundError, match="no amenity"):
        await town.stations.drop_amenity("OTHER", kit)
    await town.stations.drop_amenity("DRUM", kit)
    ((view, _),) = await town.stations.all()
    assert len(view.amenities) == 1


async def test_restocking_answers_those_who_reported(town: Stores) -> None:
    await town.stations.put(DRUM, T0_MS)
    add = town.stations.set_amenity
    kit = await add(
        "DRUM", kind=AmenityKind.FIRST_AID, state=AmenityState.OK, note=None, now_ms=T0_MS
    )
    await town.reports.file(new_report(1, topic=Topic.RESTOCK, station="DRUM", amenity=kit))
    ((view, _),) = await town.stations.all()
    assert view.amenities[0].reported == 1
    await add("DRUM", kind=None, state=AmenityState.OK, note=None, now_ms=T0_MS + 9, amenity=kit)
    ((view, _),) = await town.stations.all()
    assert view.amenities[0].reported == 0
    assert (await town.reports.get("T1")).state == reports.CLOSED


def new_report(number: int, **more: object) -> NewReport:
    given = {"topic": Topic.CABINET, "place": "鼓楼", "text": "door 3 sticks", **more}
    return NewReport(id=f"T{number}", rider="R1", now_ms=T0_MS + number, **given)  # type: ignore[arg-type]


async def test_a_report_its_picture_and_its_answer(town: Stores) -> None:
    picture = Photo("image/png", b"\x89PNG-bytes")
    filed = await town.reports.file(new_report(1, photo=picture, cabinet=A))
    assert (filed.state, filed.has_photo, filed.cabinet_id) == (reports.OPEN, True, A)
    assert await town.reports.photo("T1") == picture
    await town.reports.file(new_report(2))
    assert [each.id for each in await town.reports.listed(reports.OPEN, 9)] == ["T1", "T2"]
    answered = await town.reports.answer(
        "T1", text="mended, thank you", staff="li", close=True, now_ms=T0_MS + 99
    )
    assert (answered.state, answered.answer) == (reports.CLOSED, "mended, thank you")
    assert [each.id for each in await town.reports.listed(reports.OPEN, 9)] == ["T2"]
    assert [each.id for each in await town.reports.of_rider("R1", 9)] == ["T2", "T1"]
    with pytest.raises(NotFoundError):
        await town.reports.photo("T2")


async def test_a_rider_reports_so_much_a_day(town: Stores) -> None:
    for number in range(PER_DAY_MAX):
        await town.reports.file(new_report(number))
    with pytest.raises(LimitedError):
        await town.reports.file(new_report(99))


async def test_who_needs_a_plan_needs_it_here_too_but_no_quota(town: Stores) -> None:
    plan = Plan(
        id="monthly-1", name_zh="月卡", name_en="Monthly", per="period", price_minor=100, quota=1
    )
    await town.plans.add(plan, T0_MS)
    refused: list[str | None] = []

    async def attempt(number: int) -> None:
        new = NewSession(
            f"E{number}", A, 1, "R1", f"key-{number}", 500, 7_200, T0_MS + 10, T0_MS + 20_000
        )

        def decide(facts: SessionFacts) -> str | None:
            refused.append(facts.no_plan)
            return facts.no_plan

        await town.sockets.begin(new, decide)

    with pytest.raises(RefusedError):
        await attempt(1)
    await town.plans.subscribe(Subscription("sub-1", "R1", "monthly-1", None, T0_MS, None))
    await attempt(2)
    assert refused == ["no-plan", None]


async def test_forgetting_a_rider_takes_reports_and_waits_for_the_socket(town: Stores) -> None:
    await town.reports.file(new_report(1, photo=Photo("image/png", b"\x89PNG")))
    command = await begin(town, rider="R1")
    assert isinstance(command, QueuedCommand)
    kept = await town.privacy.export("R1")
    assert [row["id"] for row in kept.socket_sessions] == ["E1"]
    assert [row["id"] for row in kept.reports] == ["T1"]
    with pytest.raises(RefusedError) as refused:
        await town.privacy.forget("R1", "cli:t", T0_MS)
    assert refused.value.code in {"open-session", "holds-battery"}
    rider = "R2"
    await town.reports.file(
        replace(new_report(3, photo=Photo("image/png", b"\x89PNG")), rider=rider)
    )
    await town.privacy.forget(rider, "cli:t", T0_MS)
    assert await town.reports.of_rider(rider, 9) == []
    with pytest.raises(NotFoundError):
        await town.stations.photo("photo-T3")


async def test_of_many_stations_as_many_are_read_as_are_shown(stores: Stores) -> None:
    for number in range(1, 8):
        record = replace(DRUM, id=f"ST-{number}", name=f"no {number}", lat=39.0 + number / 10)
        await stores.stations.put(record, T0_MS)
        kinds = {"kind": AmenityKind.WATER, "state": AmenityState.OK, "note": None}
        await stores.stations.set_amenity(record.id, now_ms=T0_MS, **kinds)  # type: ignore[arg-type]
    pages = [await stores.stations.page(after, 3) for after in ("", "ST-3", "ST-6", "ST-7")]
    assert [[view.id for view, _ in page] for page in pages] == [
        ["ST-1", "ST-2", "ST-3"], ["ST-4", "ST-5", "ST-6"], ["ST-7"], [],
    ]  # fmt: skip
    (view, _), *_ = await stores.stations.some(["ST-5"])
    assert [each.kind for each in view.amenities] == [AmenityKind.WATER], "and only its own"
    service = StationService(
        rows=stores.stations, live=LivePicture(stores.cabinets, ManualClock()), clock=ManualClock()
    )
    near, more = await service.near(Point(39.52, DRUM.lon or 0), 2)
    assert ({each.id for each in near}, more) == ({"ST-5", "ST-6"}, True)
    named, more = await service.near(None, 7)
    assert ([each.id for each in named], more) == ([f"ST-{n}" for n in range(1, 8)], False)


async def test_a_reports_picture_is_no_stations(town: Stores) -> None:
    picture = Photo("image/png", b"png")
    await town.stations.put(DRUM, T0_MS)
    await town.stations.set_photo("DRUM", picture, "photo-1", T0_MS)
    new = NewReport(
        id="rep-1", rider="R1", topic=Topic.CABINET, place="", text="broken", now_ms=T0_MS,
        photo=picture,
    )  # fmt: skip
    await town.reports.file(new)
    assert await town.stations.photo("photo-1") == picture
    with pytest.raises(NotFoundError):
        await town.stations.photo("photo-rep-1")
    assert await town.reports.photo("rep-1") == picture
