"""A board is made safe before anything else, pulses go out once, leases are believed on evidence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from cabinet.calls import Urgency
from cabinet.core.model import UnlockResult
from cabinet.errors import CabinetError, DeviceRefusedError, LinkError
from cabinet.runtime import wires_board
from cabinet.runtime.bus import Station
from cabinet.runtime.wires_board import BoardWires
from tests.support.wires import until

LEASE_MS = 400


@dataclass
class FakeStation:
    name: str = "board-1"
    is_offline: bool = False


@dataclass
class FakeBoard:
    """Logs what it was asked; ``failures`` by method name are raised, each as often as it says."""

    station: FakeStation = field(default_factory=FakeStation)
    log: list[Any] = field(default_factory=list)
    failures: dict[str, list[CabinetError]] = field(default_factory=dict)
    urgencies: list[Urgency] = field(default_factory=list)
    offline: bool = False

    def _do(self, name: str, *what: Any) -> None:
        if self.offline:
            self.station.is_offline = True
            raise LinkError("board-1", "offline", sent_maybe=False)
        self.station.is_offline = False
        self.log.append((name, *what))
        if self.failures.get(name):
            raise self.failures[name].pop(0)

    async def all_off(self) -> None:
        self._do("all-off")

    async def prepare(self) -> None:
        self._do("prepare")

    async def pulse(self, channel: int, pulse_ms: int) -> None:
        self._do("pulse", channel, pulse_ms)

    async def lease(self, channel: int, lease_ms: int) -> None:
        self._do("lease", channel, lease_ms)

    async def set_relay(self, channel: int, *, on: bool) -> None:
        self._do("set", channel, on)

    async def read_relays(self) -> tuple[bool, ...]:
        return (False,) * 8

    async def read_inputs(self, urgency: Urgency = Urgency.DOOR) -> tuple[bool, ...]:
        self.urgencies.append(urgency)
        if self.offline:
            self._do("read")
        self.station.is_offline = False
        return (True,) * 8

    def count(self, name: str) -> int:
        return sum(entry[0] == name for entry in self.log)


def wired(board: FakeBoard) -> BoardWires:
    return BoardWires(board, cast("Station", board.station), 0.01, lambda *_: None)


@asynccontextmanager
async def running(wires: BoardWires) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(wires.run())
        yield
        task.cancel()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires_board, "PREPARE_RETRY_S", 0.02)


async def test_all_relays_off_comes_first_and_leases_wait_for_it() -> None:
    board = FakeBoard(failures={"all-off": [LinkError("board-1", "lost")] * 2})
    wires = wired(board)
    lease = wires.lease(3, LEASE_MS, 0.1)
    lease.keeper.want(True)
    async with running(wires):
        assert await wires.unlock(0, 500) is UnlockResult.REFUSED
        await wires.started.wait()
        await until(lambda: lease.is_live, "leased")
        names = [entry[0] for entry in board.log[:5]]
        assert names == ["all-off", "all-off", "all-off", "prepare", "lease"]


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (None, UnlockResult.SENT),
        (LinkError("board-1", "silence"), UnlockResult.NO_REPLY),
        (LinkError("board-1", "no port", sent_maybe=False), UnlockResult.REFUSED),
        (DeviceRefusedError("board-1", "exception 3"), UnlockResult.REFUSED),
    ],
)
async def test_a_pulse_goes_out_once(error: CabinetError | None, result: UnlockResult) -> None:
    board = FakeBoard(failures={"pulse": [error] if error else []})
    wires = wired(board)
    async with running(wires):
        await wires.started.wait()
        assert await wires.unlock(2, 500) is result
        await until(lambda: Urgency.CONFIRM in board.urgencies, "the door looked at")
        await asyncio.sleep(0.05)
        assert board.log.count(("pulse", 2, 500)) == 1


async def test_a_board_in_a_wrong_mode_is_not_used() -> None:
    board = FakeBoard(failures={"prepare": [DeviceRefusedError("board-1", "linkage")] * 9})
    wires = wired(board)
    lease = wires.lease(0, LEASE_MS, 0.1)
    lease.keeper.want(True)
    async with running(wires):
        await wires.started.wait()
        assert await wires.unlock(2, 500) is UnlockResult.REFUSED
        await asyncio.sleep(0.1)
        assert not lease.is_live
        assert board.count("pulse") == board.count("lease") == 0


async def test_a_lost_renewal_does_not_end_a_lease_but_time_does() -> None:
    board = FakeBoard()
    wires = wired(board)
    lease = wires.lease(0, LEASE_MS, 0.1)
    lease.keeper.want(True)
    async with running(wires):
        await until(lambda: lease.is_live, "leased")
        board.failures["lease"] = [LinkError("board-1", "silence")]
        await until(lambda: not board.failures["lease"], "one renewal lost")
        assert lease.is_live
        board.offline = True
        await until(lambda: not lease.is_live, "the lease has run out")


async def test_a_dropped_lease_is_not_live_and_the_drop_is_repeated_until_heard() -> None:
    board = FakeBoard()
    wires = wired(board)
    lease = wires.lease(0, 60_000, 0.1)
    lease.keeper.want(True)
    async with running(wires):
        await until(lambda: lease.is_live, "leased")
        board.failures["set"] = [LinkError("board-1", "silence")]
        lease.keeper.want(False)
        await until(lambda: not lease.is_live, "dropped")
        assert board.count("set") == 2


async def test_a_board_that_comes_back_is_checked_and_set_anew() -> None:
    board = FakeBoard()
    wires = wired(board)
    level = wires.level(5)
    level.want(True)
    async with running(wires):
        await until(lambda: level.held, "siren on")
        board.offline = True
        await until(lambda: board.station.is_offline, "offline")
        await asyncio.sleep(0.03)
        board.log.clear()
        board.offline = False
        await until(lambda: ("set", 5, True) in board.log, "siren on again")
        assert board.count("prepare") == 1
        assert board.count("all-off") == 0, "running leases must not blink"


async def test_a_board_that_never_answers_does_not_hold_up_the_start() -> None:
    board = FakeBoard(offline=True)
    wires = wired(board)
    async with running(wires), asyncio.timeout(30):
        await wires.started.wait()
        await wires.seen.wait()
