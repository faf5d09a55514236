"""The bus over a real pty: what shared serial lines do to those who trust them."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cabinet.calls import Call, Urgency
from cabinet.errors import DeviceRefusedError, LinkError
from cabinet.runtime.bus_health import PROBE_FIRST_MS, PROBE_MAX_MS, Health, State
from cabinet.runtime.bus_metrics import Result
from protocols.registers import Space
from tests.support.wires import (
    PATIENT_MS,
    PROCESSING_MS,
    BusBench,
    Script,
    answering,
    gather_errors,
    modbus_device,
    read_words,
    rtu,
    silent,
    until,
    words,
)


async def test_a_good_reply_is_taken_and_counted(tmp_path: Path) -> None:
    async with BusBench(tmp_path, answering) as bench:
        modbus, station = modbus_device(bench, 1)
        assert await read_words(modbus, 0x17, 2) == (0x17, 0x17)
        assert bench.peer.requests == [rtu(1, 3, 0, 0x17, 0, 2)]
        assert bench.bus.metrics.requests[station.name, Result.OK] == 1
        assert bench.bus.metrics.latency[station.name].count == 1


async def test_a_reply_in_pieces_and_behind_noise_is_taken(tmp_path: Path) -> None:
    reply = words(1, 7)

    def script(request: bytes) -> list[tuple[float, bytes]]:
        return [(0, b"\x00\xff\x01\x03"), (0.005, reply[:3]), (0.010, reply[3:])]

    async with BusBench(tmp_path, script) as bench:
        modbus, _ = modbus_device(bench, 1)
        assert await read_words(modbus) == (7,)


WRONG: list[tuple[str, Script]] = [
    ("function", lambda _: [(0, rtu(1, 4, 2, 0, 7))]),
    ("count", lambda _: [(0, words(1, 7, 7))]),
    ("unit", lambda _: [(0, words(2, 7))]),
    ("crc", lambda _: [(0, words(1, 7)[:-1] + b"\x00")]),
    ("cut", lambda _: [(0, words(1, 7)[:-1])]),
    ("noise", lambda _: [(0, bytes(range(200)))]),
]


@pytest.mark.parametrize(("what", "script"), WRONG, ids=[what for what, _ in WRONG])
async def test_a_wrong_reply_is_refused(tmp_path: Path, what: str, script: Script) -> None:
    async with BusBench(tmp_path, script) as bench:
        modbus, station = modbus_device(bench, 1, PATIENT_MS)
        with pytest.raises(LinkError) as caught:
            await read_words(modbus)
        assert caught.value.sent_maybe
        assert bench.bus.metrics.requests[station.name, Result.GARBAGE] == 1


@pytest.mark.parametrize(
    "reply",
    [
        rtu(1, 5, 0, 2, 0xFF, 0),
        rtu(1, 5, 0, 1, 0, 0),
        rtu(1, 5, 0, 1, 0, 9),
        rtu(1, 6, 0, 1, 255, 0),
    ],
    ids=["address", "value", "pulse", "function"],
)
async def test_a_wrong_echo_is_refused_and_the_write_not_repeated(
    tmp_path: Path, reply: bytes
) -> None:
    async with BusBench(tmp_path, lambda _: [(0, reply)]) as bench:
        modbus, _ = modbus_device(bench, 1)
        with pytest.raises(LinkError):
            await modbus.write_coil(1, 0xFF00, Urgency.COMMAND)
        assert len(bench.peer.requests) == 1


async def test_an_exception_reply_means_refused_and_alive(tmp_path: Path) -> None:
    async with BusBench(tmp_path, lambda _: [(0, rtu(1, 0x83, 2))]) as bench:
        modbus, station = modbus_device(bench, 1)
        for _ in range(4):
            with pytest.raises(DeviceRefusedError, match="address"):
                await read_words(modbus)
        assert station.health.state is State.GOOD


async def test_a_late_reply_is_not_taken_for_the_next_one(tmp_path: Path) -> None:
    """The first answer comes after its time-out, when the second request could be waiting."""
    count = 0

    def script(request: bytes) -> list[tuple[float, bytes]]:
        nonlocal count
        count += 1
        late_s = PROCESSING_MS / 1000 + 0.060
        return [(late_s if count == 1 else 0.040, words(1, count))]

    async with BusBench(tmp_path, script) as bench:
        modbus, _ = modbus_device(bench, 1)
        with pytest.raises(LinkError):
            await read_words(modbus)
        assert await read_words(modbus) == (2,)
        assert await read_words(modbus) == (3,)


async def test_a_late_reply_of_one_does_not_hide_anothers(tmp_path: Path) -> None:
    def script(request: bytes) -> list[tuple[float, bytes]]:
        if request[0] == 1:
            return [(0.12, words(1, 1))]
        return [(0.03, words(2, 2))]

    async with BusBench(tmp_path, script) as bench:
        slow, _ = modbus_device(bench, 1)
        quick, _ = modbus_device(bench, 2)
        with pytest.raises(LinkError):
            await read_words(slow)
        for _ in range(5):
            assert await read_words(quick) == (2,)


async def test_a_cancelled_caller_leaves_the_bus_unshifted(tmp_path: Path) -> None:
    def script(request: bytes) -> list[tuple[float, bytes]]:
        return [(0.03, answering(request)[0][1])]

    async with BusBench(tmp_path, script) as bench, asyncio.TaskGroup() as group:
        modbus, station = modbus_device(bench, 1)
        for address in range(5):
            sent = len(bench.peer.requests)
            caller = group.create_task(read_words(modbus, address))
            await until(lambda sent=sent: len(bench.peer.requests) > sent, "the request sent")
            caller.cancel()
            assert await read_words(modbus, 100 + address) == (100 + address,)
        assert bench.bus.metrics.requests[station.name, Result.OK] == 10


async def test_a_caller_cancelled_in_the_queue_sends_nothing(tmp_path: Path) -> None:
    def script(request: bytes) -> list[tuple[float, bytes]]:
        return [(0.03, answering(request)[0][1])]

    async with BusBench(tmp_path, script) as bench, asyncio.TaskGroup() as group:
        modbus, _ = modbus_device(bench, 1)
        first = group.create_task(read_words(modbus, 1))
        second = group.create_task(read_words(modbus, 2))
        await until(lambda: bench.peer.requests, "first request")
        second.cancel()
        assert await first == (1,)
        assert await read_words(modbus, 3) == (3,)
        assert [request[3] for request in bench.peer.requests] == [1, 3]


async def test_reads_are_repeated_when_asked_and_writes_never(tmp_path: Path) -> None:
    async with BusBench(tmp_path, silent) as bench:
        modbus, _ = modbus_device(bench, 1)
        with pytest.raises(LinkError):
            await modbus.read_words(Space.HOLDING, 0, 1, Urgency.CONFIRM, tries=2)
        assert len(bench.peer.requests) == 2
        with pytest.raises(LinkError):
            await modbus.write_word(0, 1, Urgency.COMMAND)
        assert len(bench.peer.requests) == 3
    with pytest.raises(AssertionError, match="never repeated"):
        Call(b"", lambda _: None, 8, Urgency.COMMAND, is_read=False, tries=2)


async def test_commands_overtake_polls_within_one_transaction(tmp_path: Path) -> None:
    def script(request: bytes) -> list[tuple[float, bytes]]:
        return [(0.02, answering(request)[0][1])]

    async with BusBench(tmp_path, script) as bench, asyncio.TaskGroup() as group:
        modbus, _ = modbus_device(bench, 1)
        for address in range(10):
            group.create_task(read_words(modbus, address))
        await until(lambda: bench.peer.requests, "a poll under way")
        group.create_task(modbus.write_word(0x50, 1, Urgency.COMMAND))
        group.create_task(modbus.write_word(0x51, 1, Urgency.SAFETY))
        await until(lambda: len(bench.peer.requests) >= 12, "all served")
        functions = [(request[1], request[3]) for request in bench.peer.requests]
        assert functions[1:3] == [(6, 0x51), (6, 0x50)]


async def test_requests_keep_the_silent_gap(tmp_path: Path) -> None:
    async with BusBench(tmp_path, answering, baud=9_600) as bench:
        modbus, _ = modbus_device(bench, 1)
        await gather_errors(*(read_words(modbus, n) for n in range(10)))
        gaps = [b - a for a, b in zip(bench.peer.times, bench.peer.times[1:], strict=False)]
        assert min(gaps) >= 3.5 * 11 / 9_600


async def test_three_misses_put_a_device_offline_and_a_probe_brings_it_back(
    tmp_path: Path,
) -> None:
    async with BusBench(tmp_path, silent) as bench:
        modbus, station = modbus_device(bench, 1)
        for state in (State.GOOD, State.SUSPECT, State.OFFLINE):
            with pytest.raises(LinkError) as caught:
                await read_words(modbus)
            assert station.health.state is state
        with pytest.raises(LinkError, match="offline") as caught:
            await read_words(modbus)
        assert not caught.value.sent_maybe
        with pytest.raises(LinkError, match="offline"):
            await modbus.write_word(0, 1, Urgency.COMMAND)
        assert len(bench.peer.requests) == 3
        with pytest.raises(LinkError, match="no valid reply"):
            await modbus.write_word(0, 1, Urgency.SAFETY)  # still tried
        bench.peer.script = answering
        station.revive()
        assert await read_words(modbus, 4) == (4,)
        assert station.health.state is State.GOOD


async def test_a_dead_device_takes_next_to_no_turns_from_the_others(tmp_path: Path) -> None:
    """However often it is called for; `make bench-bus` measures what that costs in time."""

    def script(request: bytes) -> list[tuple[float, bytes]]:
        return [] if request[0] == 10 else answering(request)

    async with BusBench(tmp_path, script) as bench:
        living = [modbus_device(bench, address)[0] for address in range(1, 10)]
        dead, station = modbus_device(bench, 10)
        while station.health.state is not State.OFFLINE:
            await gather_errors(read_words(dead))
        del bench.peer.requests[:]
        for _ in range(60):
            await gather_errors(*(read_words(modbus) for modbus in [*living, dead]))
        asked = Counter(request[0] for request in bench.peer.requests)
        assert asked[1] >= 60
        assert asked[10] <= 6, "probes after 1, 2, 4, 8, 16 and 30 s, whatever the machine's pace"


async def test_an_offline_devices_safety_writes_wait_behind_the_living(tmp_path: Path) -> None:
    def script(request: bytes) -> list[tuple[float, bytes]]:
        return [] if request[0] == 2 else [(0.01, answering(request)[0][1])]

    async with BusBench(tmp_path, script) as bench, asyncio.TaskGroup() as group:
        modbus, _ = modbus_device(bench, 1)
        dead, station = modbus_device(bench, 2)
        while station.health.state is not State.OFFLINE:
            await gather_errors(read_words(dead))
        del bench.peer.requests[:]
        group.create_task(read_words(modbus, 1))
        await until(lambda: bench.peer.requests, "a read under way")
        writes = group.create_task(gather_errors(dead.write_word(0, 0, Urgency.SAFETY)))
        await asyncio.sleep(0)
        group.create_task(modbus.read_words(Space.HOLDING, 2, 1, Urgency.DOOR))
        await writes
        assert [request[0] for request in bench.peer.requests] == [1, 1, 2]


async def test_a_missing_port_is_a_state(tmp_path: Path) -> None:
    async with BusBench(tmp_path, answering) as bench:
        modbus, station = modbus_device(bench, 1)
        assert await read_words(modbus, 1) == (1,)
        bench.peer.unplug()
        await until(lambda: not bench.line.is_open, "the loss noticed")
        assert station.is_offline
        with pytest.raises(LinkError) as caught:
            await modbus.write_coil(0, 0xFF00, Urgency.COMMAND)
        assert not caught.value.sent_maybe
        turn_ms = bench.bus.last_turn_ms
        await until(lambda: bench.bus.last_turn_ms > turn_ms, "the loop turning without a port")
        bench.peer.plug()
        await until(lambda: bench.line.is_open, "the port back")
        assert await read_words(modbus, 2) == (2,)
        assert bench.bus.metrics.opens == 2


async def test_a_port_lost_under_a_request_fails_it_as_maybe_sent(tmp_path: Path) -> None:
    async with BusBench(tmp_path, silent) as bench, asyncio.TaskGroup() as group:
        modbus, _ = modbus_device(bench, 1)
        write = group.create_task(gather_errors(modbus.write_coil(0, 5, Urgency.COMMAND)))
        await until(lambda: bench.peer.requests, "the write on the wire")
        bench.peer.unplug()
        (error,) = await write
        assert isinstance(error, LinkError)
        assert error.sent_maybe
        assert "no valid reply" not in error.why, "the loss was only noticed by its time-out"


async def test_a_port_taken_by_another_program_is_a_missing_port(tmp_path: Path) -> None:
    async with BusBench(tmp_path, answering) as bench:
        modbus, _ = modbus_device(bench, 1)
        assert await read_words(modbus, 1) == (1,)
        other = type(bench.line)(str(bench.peer.link))
        assert not await other.ensure_open()
        assert other.retry_in_s() > 0


async def test_a_spurious_wake_up_is_no_hang_up(tmp_path: Path) -> None:
    """The bytes that woke the reader may have been drained before it runs."""
    async with BusBench(tmp_path, answering) as bench:
        modbus, _ = modbus_device(bench, 1)
        await read_words(modbus)
        port: Any = bench.line._port
        port._readable()
        assert bench.line.is_open


async def test_babble_before_a_request_is_flushed(tmp_path: Path) -> None:
    async with BusBench(tmp_path, answering) as bench:
        modbus, _ = modbus_device(bench, 1)
        await read_words(modbus)
        bench.peer.send(words(1, 99))
        assert await read_words(modbus, 5) == (5,)
        for _ in range(3):
            bench.peer.send(words(1, 99))
            await asyncio.sleep(0.002)
            assert await read_words(modbus, 5) == (5,)


def test_health_backs_off_and_never_rests_longer_than_its_bound() -> None:
    health, now_ms = Health(), 0
    pauses = []
    for _ in range(12):
        health.miss(now_ms)
        if health.state is State.OFFLINE:
            start = now_ms
            while not health.admits(now_ms, is_read=True):
                assert not health.admits(now_ms, is_read=False)
                now_ms += 100
            pauses.append(now_ms - start)
    assert not health.admits(now_ms, is_read=False), "a write is no probe"
    assert pauses[:6] == [PROBE_FIRST_MS * n for n in (1, 2, 4, 8, 16, 30)]
    assert max(pauses) == PROBE_MAX_MS
    health.good()
    assert health.state is State.GOOD
    for _ in range(3):
        health.miss(now_ms)
    assert health.admits(now_ms + PROBE_FIRST_MS, is_read=True), "pauses start anew"
