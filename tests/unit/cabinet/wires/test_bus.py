"""The bus over a real pty: what shared serial lines do to those who trust them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cabinet.adapters.devices.modbus import Modbus
from cabinet.calls import Call, Place, Urgency
from cabinet.config import PackConfig
from cabinet.config_devices import Protocol
from cabinet.errors import DeviceRefusedError, LinkError
from cabinet.runtime.bus import Station
from cabinet.runtime.bus_health import PROBE_FIRST_MS, PROBE_MAX_MS, Health, State
from cabinet.runtime.bus_metrics import Result
from cabinet.runtime.line import ECHO_PROBE
from protocols.decoding import Spoilt
from protocols.registers import Space
from protocols.trace import Direction
from tests.support.wires import BusBench, Script, gather_errors, rtu, until

PACK = PackConfig(voltage_max_v=54.6, current_max_a=6.0, current_min_a=0.5, capacity_wh=960.0)
PROCESSING_MS = 60


def device(bench: BusBench, address: int) -> tuple[Modbus, Station]:
    station = bench.bus.station(f"device-{address}", processing_ms=PROCESSING_MS)
    place = Place(station, address, Protocol.MODBUS_RTU, PACK, bench.clock)
    return Modbus(place), station


def words(unit: int, *values: int) -> bytes:
    return rtu(unit, 3, 2 * len(values), *(b for v in values for b in v.to_bytes(2)))


async def read(modbus: Modbus, address: int = 0, count: int = 1) -> tuple[int, ...]:
    return await modbus.read_words(Space.HOLDING, address, count, Urgency.READING)


def echo(request: bytes) -> list[tuple[float, bytes]]:
    """Answers FC03 with the address asked for, and writes with their echo."""
    if request[1] == 3:
        count = request[5]
        return [(0, words(request[0], *[int.from_bytes(request[2:4])] * count))]
    return [(0, request)]


def silent(request: bytes) -> list[tuple[float, bytes]]:
    return []


async def test_a_good_reply_is_taken_and_counted(tmp_path: Path) -> None:
    async with BusBench(tmp_path, echo) as bench:
        modbus, station = device(bench, 1)
        assert await read(modbus, 0x17, 2) == (0x17, 0x17)
        assert bench.peer.requests == [rtu(1, 3, 0, 0x17, 0, 2)]
        assert bench.bus.metrics.requests[station.name, Result.OK] == 1
        assert bench.bus.metrics.latency[station.name].count == 1


async def test_a_reply_in_pieces_and_behind_noise_is_taken(tmp_path: Path) -> None:
    reply = words(1, 7)

    def script(request: bytes) -> list[tuple[float, bytes]]:
        return [(0, b"\x00\xff\x01\x03"), (0.005, reply[:3]), (0.010, reply[3:])]

    async with BusBench(tmp_path, script) as bench:
        modbus, _ = device(bench, 1)
        assert await read(modbus) == (7,)


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
        modbus, station = device(bench, 1)
        with pytest.raises(LinkError) as caught:
            await read(modbus)
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
        modbus, _ = device(bench, 1)
        with pytest.raises(LinkError):
            await modbus.write_coil(1, 0xFF00, Urgency.COMMAND)
        assert len(bench.peer.requests) == 1


async def test_an_exception_reply_means_refused_and_alive(tmp_path: Path) -> None:
    async with BusBench(tmp_path, lambda _: [(0, rtu(1, 0x83, 2))]) as bench:
        modbus, station = device(bench, 1)
        for _ in range(4):
            with pytest.raises(DeviceRefusedError, match="address"):
                await read(modbus)
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
        modbus, _ = device(bench, 1)
        with pytest.raises(LinkError):
            await read(modbus)
        assert await read(modbus) == (2,)
        assert await read(modbus) == (3,)


async def test_a_late_reply_of_one_does_not_hide_anothers(tmp_path: Path) -> None:
    def script(request: bytes) -> list[tuple[float, bytes]]:
        if request[0] == 1:
            return [(0.12, words(1, 1))]
        return [(0.03, words(2, 2))]

    async with BusBench(tmp_path, script) as bench:
        slow, _ = device(bench, 1)
        quick, _ = device(bench, 2)
        with pytest.raises(LinkError):
            await read(slow)
        for _ in range(5):
            assert await read(quick) == (2,)


async def test_a_cancelled_caller_leaves_the_bus_unshifted(tmp_path: Path) -> None:
    def script(request: bytes) -> list[tuple[float, bytes]]:
        return [(0.03, echo(request)[0][1])]

    async with BusBench(tmp_path, script) as bench, asyncio.TaskGroup() as group:
        modbus, station = device(bench, 1)
        for address in range(5):
            sent = len(bench.peer.requests)
            caller = group.create_task(read(modbus, address))
            await until(lambda sent=sent: len(bench.peer.requests) > sent, "the request sent")
            caller.cancel()
            assert await read(modbus, 100 + address) == (100 + address,)
        assert bench.bus.metrics.requests[station.name, Result.OK] == 10


async def test_a_caller_cancelled_in_the_queue_sends_nothing(tmp_path: Path) -> None:
    def script(request: bytes) -> list[tuple[float, bytes]]:
        return [(0.03, echo(request)[0][1])]

    async with BusBench(tmp_path, script) as bench, asyncio.TaskGroup() as group:
        modbus, _ = device(bench, 1)
        first = group.create_task(read(modbus, 1))
        second = group.create_task(read(modbus, 2))
        await until(lambda: bench.peer.requests, "first request")
        second.cancel()
        assert await first == (1,)
        assert await read(modbus, 3) == (3,)
        assert [request[3] for request in bench.peer.requests] == [1, 3]


async def test_reads_are_repeated_when_asked_and_writes_never(tmp_path: Path) -> None:
    async with BusBench(tmp_path, silent) as bench:
        modbus, _ = device(bench, 1)
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
        return [(0.02, echo(request)[0][1])]

    async with BusBench(tmp_path, script) as bench, asyncio.TaskGroup() as group:
        modbus, _ = device(bench, 1)
        for address in range(10):
            group.create_task(read(modbus, address))
        await until(lambda: bench.peer.requests, "a poll under way")
        group.create_task(modbus.write_word(0x50, 1, Urgency.COMMAND))
        group.create_task(modbus.write_word(0x51, 1, Urgency.SAFETY))
        await until(lambda: len(bench.peer.requests) >= 12, "all served")
        functions = [(request[1], request[3]) for request in bench.peer.requests]
        assert functions[1:3] == [(6, 0x51), (6, 0x50)]


async def test_requests_keep_the_silent_gap(tmp_path: Path) -> None:
    async with BusBench(tmp_path, echo, baud=9_600) as bench:
        modbus, _ = device(bench, 1)
        await gather_errors(*(read(modbus, n) for n in range(10)))
        gaps = [b - a for a, b in zip(bench.peer.times, bench.peer.times[1:], strict=False)]
        assert min(gaps) >= 3.5 * 11 / 9_600


async def test_three_misses_put_a_device_offline_and_a_probe_brings_it_back(
    tmp_path: Path,
) -> None:
    async with BusBench(tmp_path, silent) as bench:
        modbus, station = device(bench, 1)
        for state in (State.GOOD, State.SUSPECT, State.OFFLINE):
            with pytest.raises(LinkError) as caught:
                await read(modbus)
            assert station.health.state is state
        with pytest.raises(LinkError, match="offline") as caught:
            await read(modbus)
        assert not caught.value.sent_maybe
        with pytest.raises(LinkError, match="offline"):
            await modbus.write_word(0, 1, Urgency.COMMAND)
        assert len(bench.peer.requests) == 3
        with pytest.raises(LinkError, match="no valid reply"):
            await modbus.write_word(0, 1, Urgency.SAFETY)  # still tried
        bench.peer.script = echo
        station.revive()
        assert await read(modbus, 4) == (4,)
        assert station.health.state is State.GOOD


async def test_a_dead_device_does_not_slow_the_others(tmp_path: Path) -> None:
    """Turns of nine living devices, alone and beside a dead tenth, in the same time."""

    def script(request: bytes) -> list[tuple[float, bytes]]:
        return [] if request[0] == 10 else [(0.002, echo(request)[0][1])]

    async def rounds(devices: list[Modbus], seconds: float) -> float:
        loop = asyncio.get_running_loop()
        turns = 0
        end = loop.time() + seconds
        while loop.time() < end:
            await gather_errors(*(read(modbus) for modbus in devices))
            turns += 1
        return seconds / turns

    async with BusBench(tmp_path, script) as bench:
        living = [device(bench, address)[0] for address in range(1, 10)]
        dead, station = device(bench, 10)
        while station.health.state is not State.OFFLINE:
            await gather_errors(read(dead))
        alone_s = await rounds(living, 1.5)
        beside_s = await rounds([*living, dead], 1.5)
        assert beside_s < 1.2 * alone_s


async def test_an_offline_devices_safety_writes_wait_behind_the_living(tmp_path: Path) -> None:
    def script(request: bytes) -> list[tuple[float, bytes]]:
        return [] if request[0] == 2 else [(0.01, echo(request)[0][1])]

    async with BusBench(tmp_path, script) as bench, asyncio.TaskGroup() as group:
        modbus, _ = device(bench, 1)
        dead, station = device(bench, 2)
        while station.health.state is not State.OFFLINE:
            await gather_errors(read(dead))
        del bench.peer.requests[:]
        group.create_task(read(modbus, 1))
        await until(lambda: bench.peer.requests, "a read under way")
        writes = group.create_task(gather_errors(dead.write_word(0, 0, Urgency.SAFETY)))
        await asyncio.sleep(0)
        group.create_task(modbus.read_words(Space.HOLDING, 2, 1, Urgency.DOOR))
        await writes
        assert [request[0] for request in bench.peer.requests] == [1, 1, 2]


async def test_a_missing_port_is_a_state(tmp_path: Path) -> None:
    async with BusBench(tmp_path, echo) as bench:
        modbus, station = device(bench, 1)
        assert await read(modbus, 1) == (1,)
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
        assert await read(modbus, 2) == (2,)
        assert bench.bus.metrics.opens == 2


async def test_a_port_lost_under_a_request_fails_it_as_maybe_sent(tmp_path: Path) -> None:
    async with BusBench(tmp_path, silent) as bench, asyncio.TaskGroup() as group:
        modbus, _ = device(bench, 1)
        write = group.create_task(gather_errors(modbus.write_coil(0, 5, Urgency.COMMAND)))
        await until(lambda: bench.peer.requests, "the write on the wire")
        bench.peer.unplug()
        (error,) = await write
        assert isinstance(error, LinkError)
        assert error.sent_maybe
        assert "no valid reply" not in error.why, "the loss was only noticed by its time-out"


async def test_a_port_taken_by_another_program_is_a_missing_port(tmp_path: Path) -> None:
    async with BusBench(tmp_path, echo) as bench:
        modbus, _ = device(bench, 1)
        assert await read(modbus, 1) == (1,)
        other = type(bench.line)(str(bench.peer.link))
        assert not await other.ensure_open()
        assert other.retry_in_s() > 0


async def test_a_spurious_wake_up_is_no_hang_up(tmp_path: Path) -> None:
    """The bytes that woke the reader may have been drained before it runs."""
    async with BusBench(tmp_path, echo) as bench:
        modbus, _ = device(bench, 1)
        await read(modbus)
        port: Any = bench.line._port
        port._readable()
        assert bench.line.is_open


async def test_babble_before_a_request_is_flushed(tmp_path: Path) -> None:
    async with BusBench(tmp_path, echo) as bench:
        modbus, _ = device(bench, 1)
        await read(modbus)
        bench.peer.send(words(1, 99))
        assert await read(modbus, 5) == (5,)
        for _ in range(3):
            bench.peer.send(words(1, 99))
            await asyncio.sleep(0.002)
            assert await read(modbus, 5) == (5,)


# --- adapters that echo -------------------------------------------------------------------------


def adapter(script: Script, echoing: dict[str, bool]) -> Script:
    """Gives every request back before its answer, while ``echoing["on"]``."""

    def heard(request: bytes) -> list[tuple[float, bytes]]:
        own = [(0.0, request)] if echoing["on"] else []
        return own + [(delay_s + 0.005, answer) for delay_s, answer in script(request)]

    return heard


async def test_the_echo_of_a_write_does_not_pass_for_its_confirmation(tmp_path: Path) -> None:
    async with BusBench(tmp_path, adapter(silent, {"on": True})) as bench:
        bench.peer.hears_probe = True
        modbus, _ = device(bench, 1)
        for write in (
            modbus.write_coil(0x200, 5, Urgency.COMMAND),
            modbus.write_word(8, 1, Urgency.COMMAND),
        ):
            with pytest.raises(LinkError) as caught:
                await write
            assert caught.value.sent_maybe
        assert bench.bus.echoes
        sent = [request[1] for request in bench.peer.requests if request != ECHO_PROBE]
        assert sent == [5, 6]


async def test_on_a_line_that_echoes_everything_works(tmp_path: Path) -> None:
    async with BusBench(tmp_path, adapter(echo, {"on": True})) as bench:
        bench.peer.hears_probe = True
        modbus, station = device(bench, 1)
        await modbus.write_coil(0x200, 5, Urgency.COMMAND)
        for address in range(5):
            assert await read(modbus, address) == (address,)
            await modbus.write_word(address, 1, Urgency.COMMAND)
        assert bench.bus.metrics.requests[station.name, Result.OK] == 11


async def test_an_adapter_that_begins_or_ceases_to_echo_is_found_out_by_reads(
    tmp_path: Path,
) -> None:
    echoing = {"on": False}
    async with BusBench(tmp_path, adapter(echo, echoing)) as bench:
        modbus, _ = device(bench, 1)
        await modbus.write_word(8, 1, Urgency.COMMAND)
        assert bench.line.echoes is False
        echoing["on"] = True
        assert await read(modbus) == (0,)
        assert bench.line.echoes is True
        await modbus.write_word(8, 1, Urgency.COMMAND)
        echoing["on"] = False
        for _ in range(2):
            assert await read(modbus) == (0,)
        assert bench.line.echoes is False
        await modbus.write_word(8, 1, Urgency.COMMAND)


async def test_a_line_is_asked_for_its_echo_once_before_the_first_write(tmp_path: Path) -> None:
    async with BusBench(tmp_path, echo) as bench:
        bench.peer.hears_probe = True
        bench.peer.script = lambda request: [] if request == ECHO_PROBE else echo(request)
        modbus, _ = device(bench, 1)
        await read(modbus)
        for _ in range(3):
            await modbus.write_word(8, 1, Urgency.COMMAND)
        assert bench.peer.requests.count(ECHO_PROBE) == 1


# --- what the bus tells about itself ------------------------------------------------------------


async def test_a_device_that_answers_late_is_counted_and_given_more_time_to_fall_silent(
    tmp_path: Path,
) -> None:
    """Its second request is not sent before a reply as late as the first one has passed."""
    late_s = 0.5

    async with BusBench(tmp_path, lambda r: [(late_s, echo(r)[0][1])]) as bench:
        modbus, station = device(bench, 1)
        with pytest.raises(LinkError):
            await read(modbus, 1)
        await until(lambda: bench.bus.metrics.late[station.name], "the late reply")
        with pytest.raises(LinkError):
            await read(modbus, 2)
        bench.peer.script = echo
        assert await read(modbus, 3) == (3,)
        assert bench.peer.times[2] - bench.peer.times[1] > late_s


async def test_garbage_is_counted_by_what_is_wrong_with_it(tmp_path: Path) -> None:
    scripts = {
        Spoilt.CHECKSUM: words(1, 7)[:-1] + b"\x00",
        Spoilt.FOREIGN: words(2, 7),
        Spoilt.SHORT: words(1, 7)[:-2],
        Spoilt.NOISE: b"\xaa\xbb\xcc",
    }
    async with BusBench(tmp_path, silent) as bench:
        modbus, station = device(bench, 1)
        for why, answer in scripts.items():
            bench.peer.script = lambda _, answer=answer: [(0, answer)]  # type: ignore[misc]
            station.revive()
            with pytest.raises(LinkError, match=why):
                await read(modbus)
            assert bench.bus.metrics.spoilt[station.name, why] == 1


async def test_retries_and_probes_are_counted(tmp_path: Path) -> None:
    async with BusBench(tmp_path, silent) as bench:
        modbus, station = device(bench, 1)
        for _ in range(2):
            await gather_errors(modbus.read_words(Space.HOLDING, 0, 1, Urgency.CONFIRM, tries=2))
        assert bench.bus.metrics.retries[station.name] == 2
        await gather_errors(modbus.write_word(0, 1, Urgency.SAFETY))
        assert bench.bus.metrics.probes[station.name] == 1


async def test_the_wires_are_traced_with_what_nobody_waited_for(tmp_path: Path) -> None:
    async with BusBench(tmp_path, echo) as bench:
        modbus, _ = device(bench, 1)
        await read(modbus, 5)
        bench.peer.send(b"\x55\x56")
        await until(lambda: len(bench.trace) >= 3, "the noise in the trace")
        asked, answer, noise = bench.trace[:3]
        assert asked == (Direction.OUT, rtu(1, 3, 0, 5, 0, 1), False)
        assert answer == (Direction.IN, words(1, 5), False)
        assert noise == (Direction.IN, b"\x55\x56", True)
        assert bench.bus.metrics.strays == 1


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
