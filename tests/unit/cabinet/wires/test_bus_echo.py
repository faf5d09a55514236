"""The bus on lines that echo, and what it tells about itself."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from cabinet.calls import Urgency
from cabinet.errors import LinkError
from cabinet.runtime.bus_metrics import Result
from cabinet.runtime.line import ECHO_PROBE
from protocols.decoding import Spoilt
from protocols.registers import Space
from protocols.trace import Direction
from tests.support.wires import (
    PATIENT_MS,
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
        modbus, _ = modbus_device(bench, 1)
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
    async with BusBench(tmp_path, adapter(answering, {"on": True})) as bench:
        bench.peer.hears_probe = True
        modbus, station = modbus_device(bench, 1)
        await modbus.write_coil(0x200, 5, Urgency.COMMAND)
        for address in range(5):
            assert await read_words(modbus, address) == (address,)
            await modbus.write_word(address, 1, Urgency.COMMAND)
        assert bench.bus.metrics.requests[station.name, Result.OK] == 11


async def test_an_adapter_that_begins_or_ceases_to_echo_is_found_out_by_reads(
    tmp_path: Path,
) -> None:
    echoing = {"on": False}
    async with BusBench(tmp_path, adapter(answering, echoing)) as bench:
        modbus, _ = modbus_device(bench, 1)
        await modbus.write_word(8, 1, Urgency.COMMAND)
        assert bench.line.echoes is False
        echoing["on"] = True
        assert await read_words(modbus) == (0,)
        assert bench.line.echoes is True
        await modbus.write_word(8, 1, Urgency.COMMAND)
        echoing["on"] = False
        for _ in range(2):
            assert await read_words(modbus) == (0,)
        assert bench.line.echoes is False
        await modbus.write_word(8, 1, Urgency.COMMAND)


async def test_a_line_is_asked_for_its_echo_once_before_the_first_write(tmp_path: Path) -> None:
    async with BusBench(tmp_path, answering) as bench:
        bench.peer.hears_probe = True
        bench.peer.script = lambda request: [] if request == ECHO_PROBE else answering(request)
        modbus, _ = modbus_device(bench, 1)
        await read_words(modbus)
        for _ in range(3):
            await modbus.write_word(8, 1, Urgency.COMMAND)
        assert bench.peer.requests.count(ECHO_PROBE) == 1


async def test_on_a_bus_that_has_too_much_to_do_no_poll_starves(tmp_path: Path) -> None:
    async with BusBench(tmp_path, answering) as bench, asyncio.TaskGroup() as group:
        modbus, _ = modbus_device(bench, 1)

        async def doors() -> None:
            while True:
                await modbus.read_words(Space.HOLDING, 1, 1, Urgency.DOOR)

        hogs = [group.create_task(doors()) for _ in range(6)]
        async with asyncio.timeout(20):
            assert await modbus.read_words(Space.HOLDING, 2, 1, Urgency.METER) == (2,)
        for hog in hogs:
            hog.cancel()


async def test_an_answer_that_is_there_at_the_deadline_is_taken(tmp_path: Path) -> None:
    """The whole process stood still until after the time-out, and then both were there."""

    def standing_still(request: bytes) -> list[tuple[float, bytes]]:
        time.sleep(0.3)
        return answering(request)

    async with BusBench(tmp_path, standing_still) as bench:
        modbus, station = modbus_device(bench, 1)
        for address in range(3):
            assert await read_words(modbus, address) == (address,)
        assert bench.bus.metrics.requests[station.name, Result.OK] == 3


# --- what the bus tells about itself ------------------------------------------------------------


async def test_a_device_that_answers_late_is_counted_and_given_more_time_to_fall_silent(
    tmp_path: Path,
) -> None:
    """Its second request is not sent before a reply as late as the first one has passed."""
    late_s = 0.5

    async with BusBench(tmp_path, lambda r: [(late_s, answering(r)[0][1])]) as bench:
        modbus, station = modbus_device(bench, 1)
        with pytest.raises(LinkError):
            await read_words(modbus, 1)
        await until(lambda: bench.bus.metrics.late[station.name], "the late reply")
        with pytest.raises(LinkError):
            await read_words(modbus, 2)
        bench.peer.script = answering
        assert await read_words(modbus, 3) == (3,)
        assert bench.peer.times[2] - bench.peer.times[1] > late_s


async def test_garbage_is_counted_by_what_is_wrong_with_it(tmp_path: Path) -> None:
    scripts = {
        Spoilt.CHECKSUM: words(1, 7)[:-1] + b"\x00",
        Spoilt.FOREIGN: words(2, 7),
        Spoilt.SHORT: words(1, 7)[:-2],
        Spoilt.NOISE: b"\xaa\xbb\xcc",
    }
    async with BusBench(tmp_path, silent) as bench:
        modbus, station = modbus_device(bench, 1, PATIENT_MS)
        for why, answer in scripts.items():
            bench.peer.script = lambda _, answer=answer: [(0, answer)]  # type: ignore[misc]
            station.revive()
            with pytest.raises(LinkError, match=why):
                await read_words(modbus)
            assert bench.bus.metrics.spoilt[station.name, why] == 1


async def test_retries_and_probes_are_counted(tmp_path: Path) -> None:
    async with BusBench(tmp_path, silent) as bench:
        modbus, station = modbus_device(bench, 1)
        for _ in range(2):
            await gather_errors(modbus.read_words(Space.HOLDING, 0, 1, Urgency.CONFIRM, tries=2))
        assert bench.bus.metrics.retries[station.name] == 2
        await gather_errors(modbus.write_word(0, 1, Urgency.SAFETY))
        assert bench.bus.metrics.probes[station.name] == 1


async def test_the_wires_are_traced_with_what_nobody_waited_for(tmp_path: Path) -> None:
    async with BusBench(tmp_path, answering) as bench:
        modbus, _ = modbus_device(bench, 1)
        await read_words(modbus, 5)
        bench.peer.send(b"\x55\x56")
        await until(lambda: len(bench.trace) >= 3, "the noise in the trace")
        asked, answer, noise = bench.trace[:3]
        assert asked == (Direction.OUT, rtu(1, 3, 0, 5, 0, 1), False)
        assert answer == (Direction.IN, words(1, 5), False)
        assert noise == (Direction.IN, b"\x55\x56", True)
        assert bench.bus.metrics.strays == 1
