"""The watchdog is fed only while every loop turns, and the wires end last."""

from __future__ import annotations

import asyncio
import socket

import pytest

from cabinet.adapters.notify import Notifier
from cabinet.runtime.supervisor import TURN_AGE_MAX_MS, Supervisor


class StepClock:
    """Time that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_ms = 0

    def monotonic_ms(self) -> int:
        return self.now_ms

    async def sleep(self, delay_s: float) -> None:
        self.now_ms += int(delay_s * 1000)
        await asyncio.sleep(0)


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


async def test_a_stuck_loop_starves_the_watchdog_and_a_turning_one_feeds_it() -> None:
    clock = StepClock()
    said: list[str] = []
    frozen = asyncio.Event()
    turns = {"bus-a": lambda: 0 if frozen.is_set() else clock.now_ms}
    supervisor = Supervisor(turns=turns, notify=said.append, watchdog_s=4.0, clock=clock)  # type: ignore[arg-type]
    ready, stop = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def wires() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("wires")

    async def service() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("service")

    run = asyncio.ensure_future(
        supervisor.run(wires=wires(), services={"s": service()}, ready=ready, stop=stop)
    )
    await asyncio.sleep(0)
    assert not said  # not ready yet
    ready.set()
    await until(lambda: said.count("WATCHDOG=1") >= 3)
    assert said[0] == "READY=1"
    clock.now_ms += TURN_AGE_MAX_MS + 1
    frozen.set()
    await until(lambda: supervisor.stuck() == ("bus-a",))
    await asyncio.sleep(0)
    fed, before_ms = said.count("WATCHDOG=1"), clock.now_ms
    await until(lambda: clock.now_ms > before_ms + 20_000)
    assert said.count("WATCHDOG=1") == fed
    frozen.clear()
    await until(lambda: said.count("WATCHDOG=1") > fed)
    stop.set()
    await run
    assert said[-1] == "STOPPING=1"
    assert ended == ["service", "wires"]


async def test_a_service_that_lingers_does_not_keep_the_chargers_on() -> None:
    clock, stop, off = StepClock(), asyncio.Event(), asyncio.Event()

    async def wires() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            off.set()

    async def lingers() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await off.wait()

    supervisor = Supervisor(turns={}, notify=lambda _: None, watchdog_s=None, clock=clock)  # type: ignore[arg-type]
    stop.set()
    async with asyncio.timeout(60):
        await supervisor.run(
            wires=wires(), services={"s": lingers()}, ready=asyncio.Event(), stop=stop
        )
    assert off.is_set()


async def test_a_crashed_service_ends_the_daemon_and_the_wires_switch_off() -> None:
    clock = StepClock()
    off: list[bool] = []

    async def wires() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            off.append(True)

    async def service() -> None:
        raise RuntimeError("broken")

    supervisor = Supervisor(turns={}, notify=lambda _: None, watchdog_s=None, clock=clock)  # type: ignore[arg-type]
    with pytest.raises(ExceptionGroup):
        await supervisor.run(
            wires=wires(), services={"s": service()}, ready=asyncio.Event(), stop=asyncio.Event()
        )
    assert off == [True]


async def test_a_service_that_is_gone_without_an_error_starves_the_watchdog() -> None:
    clock, ready, stop = StepClock(), asyncio.Event(), asyncio.Event()
    said: list[str] = []
    supervisor = Supervisor(turns={}, notify=said.append, watchdog_s=4.0, clock=clock)  # type: ignore[arg-type]

    async def lasts() -> None:
        await asyncio.Event().wait()

    async def vanishes() -> None:
        await ready.wait()
        raise asyncio.CancelledError

    services = {"kiosk": lasts(), "uplink": vanishes()}
    run = asyncio.ensure_future(
        supervisor.run(wires=lasts(), services=services, ready=ready, stop=stop)
    )
    await asyncio.sleep(0)
    assert supervisor.stuck() == ()
    ready.set()
    await until(lambda: supervisor.stuck() == ("uplink",))
    fed, before_ms = said.count("WATCHDOG=1"), clock.now_ms
    await until(lambda: clock.now_ms > before_ms + 20_000)
    assert said.count("WATCHDOG=1") <= fed + 1
    stop.set()
    await run
    assert supervisor.stuck() == ("uplink",), "those that were told to end are not gone"


def test_systemd_hears_us(tmp_path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        notify = Notifier({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "15000000"})
        assert notify.watchdog_s == 15.0
        notify("READY=1")
        manager.settimeout(5)
        assert manager.recv(64) == b"READY=1"
    Notifier({})("READY=1")  # nobody listens: no fault
