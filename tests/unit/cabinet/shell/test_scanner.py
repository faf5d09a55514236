"""The barcode scanner: the real adapter on the simulator's pseudo terminal."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cabinet.adapters.clock import SystemClock
from cabinet.adapters.scanner import TEXTS_MAX, LineScanner
from cabinet.core.scanning import SCAN_CHARS_MAX, Lines
from simulator.errors import HandsError
from simulator.wires.scanner import ScannerPort
from tests.support.wires import until

TICKET = "YZT1." + "A" * 400


@pytest.fixture
def port(tmp_path: Path) -> Iterator[ScannerPort]:
    opened = ScannerPort(tmp_path / "scanner")
    yield opened
    opened.close()


def scanner(port: ScannerPort) -> LineScanner:
    return LineScanner(port.path, 115_200, SystemClock())


async def opened(reader: LineScanner) -> asyncio.Task[str]:
    """Wait for a text; on return the port is open."""
    task = asyncio.ensure_future(reader.next())
    await until(lambda: reader.connected, "the scanner is open")
    return task


async def test_a_ticket_comes_through(port: ScannerPort) -> None:
    reader = scanner(port)
    task = await opened(reader)
    port.scan(TICKET)
    assert await asyncio.wait_for(task, 60) == TICKET
    port.scan("another")
    assert await asyncio.wait_for(reader.next(), 60) == "another"
    reader.close()


async def test_what_was_scanned_before_anybody_read_is_dropped(port: ScannerPort) -> None:
    port.scan("long ago")
    reader = scanner(port)
    task = await opened(reader)
    port.scan("now")
    assert await asyncio.wait_for(task, 60) == "now"
    reader.close()


async def test_garbage_and_long_lines_are_ignored(port: ScannerPort) -> None:
    reader = scanner(port)
    task = await opened(reader)
    os.write(port._master, b"\x00\xff\x1b[A\r\n" + b"B" * (SCAN_CHARS_MAX + 1) + b"\r\n\r\n  \n")
    port.scan("good")
    assert await asyncio.wait_for(task, 60) == "good"
    reader.close()


async def test_it_comes_back_after_it_was_unplugged(tmp_path: Path) -> None:
    port = ScannerPort(tmp_path / "scanner")
    reader = scanner(port)
    task = await opened(reader)
    os.write(port._master, b"half a li")
    port.close()
    await until(lambda: not reader.connected, "the scanner is gone")
    port = ScannerPort(tmp_path / "scanner")
    await until(lambda: reader.connected, "the scanner is back")
    port.scan("whole")
    assert await asyncio.wait_for(task, 60) == "whole"
    reader.close()
    port.close()


async def test_a_missing_port_is_tried_again(tmp_path: Path) -> None:
    reader = LineScanner(str(tmp_path / "scanner"), 9_600, SystemClock())
    task = asyncio.ensure_future(reader.next())
    await asyncio.sleep(0)
    assert not reader.connected
    port = ScannerPort(tmp_path / "scanner")
    await until(lambda: reader.connected, "the scanner was plugged in")
    port.scan("hello")
    assert await asyncio.wait_for(task, 60) == "hello"
    reader.close()
    port.close()


async def test_only_the_newest_texts_wait(port: ScannerPort) -> None:
    reader = scanner(port)
    task = await opened(reader)
    port.scan("first")
    assert await asyncio.wait_for(task, 60) == "first"
    for n in range(TEXTS_MAX + 3):
        port.scan(f"t{n}")
    await until(lambda: f"t{TEXTS_MAX + 2}" in reader._texts, "all have come")
    assert await reader.next() == "t3"
    reader.close()


def test_a_port_that_nobody_reads_says_so(port: ScannerPort) -> None:
    def scan_on() -> None:
        for _ in range(100):
            port.scan("x" * 1_000)

    with pytest.raises(HandsError, match="nobody reads"):
        scan_on()


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_whatever_comes_the_texts_are_sound(chunks: list[bytes]) -> None:
    lines = Lines()
    texts = [text for chunk in chunks for text in lines.feed(chunk)]
    whole = Lines().feed(b"".join(chunks))
    assert tuple(texts) == whole, "how the bytes are cut does not matter"
    for text in texts:
        assert text == text.strip()
        assert 0 < len(text) <= SCAN_CHARS_MAX
        assert text.isascii()
        assert text.isprintable()


@given(st.binary(max_size=60), st.sampled_from(["\r", "\n", "\r\n"]))
def test_a_ticket_after_any_noise_comes_through(noise: bytes, end: str) -> None:
    lines = Lines()
    lines.feed(noise + b"\n")
    assert lines.feed((TICKET + end).encode()) == (TICKET,)
