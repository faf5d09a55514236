"""The kiosk's desk on a real pump: questions, answers, what is shown, and the scanner's loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from cabinet.core.engine_model import OfflineAnswer
from cabinet.core.sockets import SocketLimits
from cabinet.runtime.kiosk import END_SHOWN_MS, SCAN_SHOWN_MS, WISH_MS, KioskDesk
from protocols.messages import Door, Kind
from protocols.offline import Ticket, ticket_text
from protocols.sockets import SocketState
from tests.support.offline_rig import ANN, BOB, OfflineRig, code_of
from tests.support.pumping import Bench, running

WRONG = "no such ticket"


class Gun:
    """A scanner in the test's hand."""

    def __init__(self) -> None:
        self.texts: asyncio.Queue[str] = asyncio.Queue()
        self.connected = True

    async def next(self) -> str:
        return await self.texts.get()


class Desk:
    """A desk on a toy cabinet."""

    def __init__(self, rig: OfflineRig | None = None) -> None:
        self.rig = rig or OfflineRig()
        self.bench = Bench(self.rig)
        self.gun = Gun()
        self.network = False
        self.desk = KioskDesk(
            cabinet="DH-0001",
            name="Drum Tower",
            columns=0,
            codes=True,
            tickets=True,
            running=lambda: self.rig.engine.running(self.rig.state),
            pump=self.bench.pump,
            clock=self.bench.clock,
            network=lambda: self.network,
            scanner=self.gun,
        )

    @property
    def wall_ms(self) -> int:
        return self.bench.pump.now().wall_ms

    async def code(self, number: str = ANN, code: str | None = None) -> OfflineAnswer | None:
        text = code_of(number, self.wall_ms) if code is None else code
        task = asyncio.ensure_future(self.desk.code(number, text, Kind.SWAP, "go"))
        await self.bench.until(task.done)
        return task.result()

    def ticket(self, swap_id: str = "T-1") -> Ticket:
        self.rig.now_ms = self.bench.clock.ms
        return self.rig.ticket(swap_id)

    async def scan(self, text: str) -> None:
        before = self.desk.view().scan
        self.gun.texts.put_nowait(text)
        await self.bench.until(lambda: self.desk.view().scan not in {None, before})

    async def shows(self, key: str) -> None:
        await self.bench.until(lambda: self.desk.view().prompt.key == key)


@pytest.fixture
async def at() -> AsyncIterator[Desk]:
    made = Desk()
    loop = asyncio.ensure_future(made.desk.run())
    async with running(made.bench):
        yield made
    loop.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await loop


async def test_a_swap_from_the_first_prompt_to_the_last(at: Desk) -> None:
    view = at.desk.view()
    assert (view.prompt.key, view.full, view.empty, view.active) == ("welcome-offline", 2, 2, False)
    assert (view.codes, view.tickets, view.scanner, view.columns) == (True, True, True, 2)
    answer = await at.code()
    assert answer is not None
    assert answer.reason is None
    await at.shows("put-battery")
    view = at.desk.view()
    assert (view.prompt.slot, view.prompt.tone, view.active, view.own_back) == (
        3,
        "act",
        True,
        False,
    )
    at.rig.put(3, "OLD-1")
    await at.bench.for_ms(200)
    at.rig.shut(3)
    await at.shows("take-battery")
    assert at.desk.view().prompt.slot == 1
    assert at.desk.view().own_back
    at.rig.take(1)
    await at.shows("close-door")
    at.rig.shut(1)
    await at.shows("done")
    assert not at.desk.view().active
    await at.bench.for_ms(END_SHOWN_MS)
    assert at.desk.view().prompt.key == "welcome-offline"


async def test_a_refusal_is_told(at: Desk) -> None:
    answer = await at.code(code="000000")
    assert answer is not None
    assert answer.reason == "wrong-code"
    assert all(hole.door is Door.CLOSED for hole in at.rig.holes.values())


async def test_a_locked_keypad_counts_down(at: Desk) -> None:
    for _ in range(5):
        await at.code(code="000000")
    first = at.desk.view().keypad_wait_s
    assert 295 <= first <= 300
    await at.bench.for_ms(5_000)
    assert at.desk.view().keypad_wait_s <= first - 5


async def test_with_the_network_the_code_is_the_second_way(at: Desk) -> None:
    at.network = True
    assert at.desk.view().prompt.key == "welcome"
    assert at.desk.view().codes


async def test_an_untrusted_clock_is_told(at: Desk) -> None:
    at.bench.clock.wall_synced = lambda: False  # type: ignore[method-assign]
    view = at.desk.view()
    assert (view.prompt.key, view.codes, view.tickets) == ("clock-untrusted", False, False)


async def test_no_full_battery_is_told(at: Desk) -> None:
    at.rig.take(1)
    at.rig.take(2)
    await at.shows("no-full-battery")


async def test_a_store_that_fails_answers_nothing_and_opens_nothing(at: Desk) -> None:
    at.bench.disk.fails = "clean"
    assert await at.code() is None
    assert at.desk.view().prompt.key == "store"
    at.bench.disk.fails = ""
    await at.shows("welcome-offline")
    await at.bench.for_ms(10_000)
    assert at.bench.unlocks() == [], "nobody waits any more for what was asked then"


async def test_a_ticket_at_the_scanner(at: Desk) -> None:
    text = ticket_text(at.ticket())
    await at.scan(text)
    scan = at.desk.view().scan
    assert scan is not None
    assert scan.reason is None
    await at.shows("put-battery")
    await at.bench.for_ms(SCAN_SHOWN_MS)
    assert at.desk.view().scan is None
    at.desk.next_scan("cancel")
    await at.scan(text)
    await at.shows("cancelling")


async def test_a_wish_is_forgotten_after_a_while_and_after_one_scan(at: Desk) -> None:
    text = ticket_text(at.ticket())
    await at.scan(text)
    await at.shows("put-battery")
    at.desk.next_scan("cancel")
    await at.bench.for_ms(WISH_MS + 1_000)
    await at.scan(text)
    assert at.desk.view().prompt.key == "put-battery"
    at.desk.next_scan("cancel")
    await at.scan(WRONG)
    await at.scan(text)
    assert at.desk.view().prompt.key == "put-battery"


async def test_nonsense_at_the_scanner_is_told(at: Desk) -> None:
    await at.scan(WRONG)
    scan = at.desk.view().scan
    assert scan is not None
    assert scan.reason == "bad-ticket"


async def test_two_riders_at_once_are_asked_one_by_one(at: Desk) -> None:
    both = [
        asyncio.ensure_future(at.desk.code(number, code_of(number, at.wall_ms), Kind.SWAP, "go"))
        for number in (ANN, BOB)
    ]
    await at.bench.until(lambda: all(task.done() for task in both))
    reasons = [answer and answer.reason for answer in (task.result() for task in both)]
    assert reasons == [None, "busy"]
    assert len(at.bench.unlocks()) == 1


async def test_the_sockets_are_shown_as_they_stand(at: Desk) -> None:
    assert at.desk.view().sockets == ()
    assert at.rig.config is not None
    config = replace(at.rig.config, sockets=tuple(SocketLimits(number=number) for number in (1, 2)))
    beside = Desk(OfflineRig(config=config, plugs={1: 150.0}))
    async with running(beside.bench):
        shown = {each.socket: each.state for each in beside.desk.view().sockets}
    assert shown == {1: SocketState.IDLE, 2: SocketState.UNKNOWN}, "nothing is wired to the second"
