"""`make bench-web`, its second half: the operator's console over 30,000 simulated cabinets.

The cabinets stand in an SQLite file; a server of its own process reads it as fleetd does and shows the
real pages. While it is measured, 3,000 cabinets report every second, and 500 of them change their mark.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
from playwright.async_api import Page, async_playwright

from tests.support.browser import FLAGS, path_of_chromium
from tests.support.fleet_fakes import OPERATOR_TOKEN

CABINETS: Final = 30_000
READY_TARGET_S: Final = 2.0
APPLIED_TARGET_MS: Final = 50.0
LIST_TARGET_MS: Final = 200.0
STREAMS: Final = 500
CORE_TARGET_PCT: Final = 10.0
LOADS: Final = 5
PULSES: Final = 8
LIST_REQUESTS: Final = 150
WATCHED_S: Final = 10.0
WITHIN_S: Final = 240.0
WITHIN_MS: Final = 60_000
#: What operators look for; each is asked with every kind of order.
FILTERS: Final = ("", "state=trouble", "state=silent", "q=DH-01", "q=%E7%AB%99+7", "state=ok&q=9", "station=ST-0042", "age=5", "state=short&page=3")  # fmt: skip
#: The desk's other lists, each with what operators ask of it; 200,000 swaps and packs, 50,000 riders.
DESK_LISTS: Final = {
    "alarms": ("", "?code=smoke", "?noted=no", "?noted=yes", "?cabinet=DH-01", "?page=5"),
    "swaps": ("", "?outcome=faulted", "?outcome=open", "?cabinet=DH-00100", "?reason=door-stuck"),
    "packs": ("", "?q=YZ48-1", "?place=rider", "?cabinet=DH-00100"),
    "riders": ("", "?q=0007", "?blocked=1"),
    "tickets": ("", "?state=all", "?topic=battery"),
    "moves": ("", "?page=40", "?cabinet=DH-00100"),
}  # fmt: skip
DESK_REQUESTS: Final = 60  # of each list
SORTS: Final = ("id", "-full", "state", "-age", "temp", "name")


@dataclass(frozen=True, slots=True)
class Figures:
    """What was seen."""

    ready_s: float
    applied_ms: float
    applied_worst_ms: float
    list_p95_ms: float
    list_median_ms: float
    desk: dict[str, tuple[float, float]]  # p95 and median of each list
    csv_s: float
    core_pct: float
    base_pct: float
    stream_kb_s: float


async def measure(cabinets: int = CABINETS, streams: int = STREAMS) -> Figures:
    """Start the server, look at it in every way, end it."""
    with tempfile.TemporaryDirectory() as folder:
        async with server(Path(folder), cabinets) as (url, pid):
            ready_s, applied = await _map(url)
            async with _client(url) as client:
                assert (await client.get("/bench/steady?on=1")).is_success
                times = await _lists(client)
                desk = {name: await _desk(client, name) for name in DESK_LISTS}
                began = time.perf_counter()
                await client.get("/ops/cabinets.csv")
                csv_s = time.perf_counter() - began
                base_pct, _ = await _cores(url, pid, 0, dict(client.cookies))
                with_pct, kb_s = await _cores(url, pid, streams, dict(client.cookies))
    return Figures(
        ready_s=ready_s,
        applied_ms=statistics.median(applied),
        applied_worst_ms=max(applied),
        list_p95_ms=statistics.quantiles(times, n=20)[-1],
        list_median_ms=statistics.median(times),
        desk=desk,
        csv_s=csv_s,
        core_pct=with_pct - base_pct,
        base_pct=base_pct,
        stream_kb_s=kb_s,
    )


@asynccontextmanager
async def server(folder: Path, cabinets: int) -> AsyncIterator[tuple[str, int]]:
    """The console in a process of its own; its URL and process id."""
    command = (sys.executable, "-m", "tests.bench.web_fleet_server", str(folder), str(cabinets))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            line = (await process.stdout.readline()).decode()
        found = re.fullmatch(r"ready (http://\S+)\n", line)
        assert found, f"the server said {line!r}"
        yield found[1], process.pid
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=WITHIN_S) as client:
        reply = await client.get("/ops/login", params={"token": OPERATOR_TOKEN})
        assert reply.status_code == 303
        yield client


async def _map(url: str) -> tuple[float, list[float]]:
    """How soon the map stands, in an empty browser each time, and how long changes take there."""
    ready: list[float] = []
    async with async_playwright() as playwright, _client(url) as client:
        browser = await playwright.chromium.launch(
            executable_path=path_of_chromium(), args=list(FLAGS)
        )
        for _ in range(LOADS):
            context = await browser.new_context(viewport={"width": 1280, "height": 900})
            page = await context.new_page()
            page.set_default_timeout(WITHIN_MS)
            await page.goto(f"{url}/ops/login?token={OPERATOR_TOKEN}")
            ready.append(await stands(page))
            if len(ready) < LOADS:
                await context.close()
        applied = [await _pulse(page, client) for _ in range(PULSES)]
        await browser.close()
    return statistics.median(ready), applied


async def stands(page: Page) -> float:
    """Seconds from the beginning of the navigation until all marks are on the map."""
    await page.wait_for_selector("#map[data-ready]")
    return float(await page.get_attribute("#map", "data-ready") or 0) / 1_000


async def _pulse(page: Page, client: httpx2.AsyncClient) -> float:
    """500 changes; milliseconds from their arrival in the page until they are painted."""
    await page.evaluate("delete document.getElementById('map').dataset.applied")
    assert (await client.get("/bench/pulse?changes=500")).is_success
    await page.wait_for_selector("#map[data-applied]")
    return float(await page.get_attribute("#map", "data-applied") or 0)


async def _lists(client: httpx2.AsyncClient) -> list[float]:
    random.seed(7)
    times: list[float] = []
    for _ in range(LIST_REQUESTS):
        path = f"/ops/cabinets?{random.choice(FILTERS)}&sort={random.choice(SORTS)}"
        began = time.perf_counter()
        reply = await client.get(path)
        times.append((time.perf_counter() - began) * 1_000)
        assert reply.status_code == 200, reply.text
    return times


async def _desk(client: httpx2.AsyncClient, name: str) -> tuple[float, float]:
    """p95 and median of one list, in milliseconds."""
    times: list[float] = []
    asked = DESK_LISTS[name]
    for turn in range(DESK_REQUESTS):
        began = time.perf_counter()
        reply = await client.get(f"/ops/{name}{asked[turn % len(asked)]}")
        times.append((time.perf_counter() - began) * 1_000)
        assert reply.status_code == 200, reply.text
    return statistics.quantiles(times, n=20)[-1], statistics.median(times)


async def _cores(url: str, pid: int, streams: int, cookies: dict[str, str]) -> tuple[float, float]:
    """Per cent of a core that the server takes with so many open consoles, and kB/s to each."""
    stop = asyncio.Event()
    host, _, port = url.removeprefix("http://").partition(":")
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    taken = [0]

    async def look() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"GET /api/v1/ops/map/stream HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n".encode()
        )
        while not stop.is_set() and (some := await reader.read(65_536)):
            taken[0] += len(some)
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(streams):
            group.create_task(look())
            await asyncio.sleep(0.002)  # not all in one burst: the queue of a listener is bounded
        await asyncio.sleep(3.0)  # the first whole state is not what is measured
        sent, before_s, began = taken[0], _cpu_s(pid), time.perf_counter()
        await asyncio.sleep(WATCHED_S)
        lasted_s = time.perf_counter() - began
        used_s, sent = _cpu_s(pid) - before_s, taken[0] - sent
        stop.set()
    return 100 * used_s / lasted_s, sent / 1_000 / lasted_s / max(streams, 1)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(figures: Figures, cabinets: int, streams: int) -> int:
    """Print the table; 1 when a target is missed."""
    load = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    rows: tuple[tuple[str, float, float, str, Any], ...] = (
        ("map ready, empty browser", figures.ready_s, READY_TARGET_S, "s", ""),
        ("500 changes applied and painted", figures.applied_ms, APPLIED_TARGET_MS, "ms", f"worst {figures.applied_worst_ms:.1f}"),
        ("list with filter and order, p95", figures.list_p95_ms, LIST_TARGET_MS, "ms", f"median {figures.list_median_ms:.1f}; whole CSV {figures.csv_s:.1f} s"),
        *(
            (f"{name}, p95", p95_ms, LIST_TARGET_MS, "ms", f"median {median_ms:.1f}")
            for name, (p95_ms, median_ms) in figures.desk.items()
        ),
        (f"{streams} open consoles", figures.core_pct, CORE_TARGET_PCT, "%", f"of a core, beside {figures.base_pct:.1f} % without; {figures.stream_kb_s:.1f} kB/s each"),
    )  # fmt: skip
    print(f"\nthe console over {cabinets} cabinets on SQLite, 3,000 reports/s, 500 changes/s; {os.cpu_count()} cores, load average {load}")  # fmt: skip
    print(f"{'':36}{'seen':>10}{'target':>12}")
    missed = 0
    for name, seen, target, unit, more in rows:
        met = seen <= target
        missed += not met
        print(f"{name:36}{seen:8.2f} {unit:2}{'<=':>4}{target:6.0f} {unit:2} {'met' if met else 'missed':7}{more}")  # fmt: skip
    return 1 if missed else 0
