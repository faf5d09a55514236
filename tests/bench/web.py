"""`make bench-web`: the rider's page against a React page of the same content, on a weak phone and net.

Both pages stand on the same server with gzip, come with an empty cache, and are throttled by Chromium
itself: 400 ms per request, 500 kbit/s, a sixth of the CPU. "Interactive" is when a tap on the button
is carried out: on our page, when its script runs too, though the form works before that; on the
React page, when the button is there. React comes from npm in its last ready-made form (18.3.1); where
npm is not to be had, its row is left out and said so.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from playwright.async_api import Browser, Page, async_playwright
from starlette.responses import HTMLResponse, Response

from tests.bench.web_fleet import CABINETS, STREAMS, measure, report
from tests.support.browser import FLAGS, path_of_chromium
from tests.support.fleet_fakes import Town, cabinet, serving

LATENCY_MS: Final = 400
BYTES_PER_S: Final = 500_000 // 8
CPU_RATE: Final = 6
INTERACTIVE_TARGET_S: Final = 1.2
BYTES_TARGET: Final = 15_000
PHONE: Final = "+8613800138000"
WITHIN_MS: Final = 60_000
KEPT: Final = Path(__file__).parents[2] / ".artifacts" / "react"
#: The packages' own digests, so that what is measured is what is named.
REACT: Final = {
    "react": "8d9bed01a672e7eaf387942d781ad47c6a43089a30a0306060f9fd5ac7870347",
    "react-dom": "031d4427a99f2f3f6cac18bbbf308594a67e4f47d10f4896fdec446505b040e0",
}
REACT_VERSION: Final = "18.3.1"

#: The moment at which a tap would be carried out, in ms since the navigation began.
READY: Final = """() => {
  window.readyAt = 0;
  const look = () => {
    const button = document.querySelector('#do-swap:not([disabled])');
    const live = window.reactReady || [...document.querySelectorAll('script[type=module]')]
      .every((each) => performance.getEntriesByName(each.src).some((entry) => entry.responseEnd));
    if (button && live && document.readyState !== 'loading') window.readyAt = performance.now();
    else setTimeout(look, 5);
  };
  look();
}"""

#: Both moments, once they have come.
MEASURED: Final = """() => new Promise((done) => {
  const look = () => {
    const [paint] = performance.getEntriesByName('first-contentful-paint');
    if (window.readyAt && paint) done([window.readyAt, paint.startTime]);
    else setTimeout(look, 20);
  };
  look();
})"""


@dataclass(frozen=True, slots=True)
class Load:
    """One cold load."""

    paint_s: float
    interactive_s: float
    bytes: int
    requests: int


def main(
    *,
    loads: Annotated[int, typer.Option(min=1, help="Cold loads of each page.")] = 5,
    cabinets: Annotated[int, typer.Option(min=1_000, help="Of the console's fleet.")] = CABINETS,
    streams: Annotated[int, typer.Option(min=1, help="Open consoles.")] = STREAMS,
) -> None:
    """Measure, print the tables, and exit 1 when a target is missed."""
    missed = asyncio.run(_main(loads))
    figures = asyncio.run(measure(cabinets, streams))
    sys.exit(report(figures, cabinets, streams) or missed)


async def _main(loads: int) -> int:
    town = Town()
    town.cabinets.put(cabinet())
    react = react_files()
    async with async_playwright() as playwright, serving(town) as running:
        _add_react(running, react)
        browser = await playwright.chromium.launch(
            executable_path=path_of_chromium(), args=list(FLAGS)
        )
        ours = [await load(browser, running, "/c/DH-0001") for _ in range(loads)]
        rows = {"ours: server-rendered, one module": ours}
        if react:
            peers = [await load(browser, running, "/react") for _ in range(loads)]
            rows[f"React {REACT_VERSION}, the same content"] = peers
        await browser.close()
    return _report(rows, react=bool(react))


async def load(browser: Browser, town: Town, path: str) -> Load:
    """One cold load by a rider who is logged in and holds a pack."""
    context = await browser.new_context(
        viewport={"width": 360, "height": 740}, device_scale_factor=2, is_mobile=True
    )
    page = await context.new_page()
    async with town.client() as client:
        town.accounts.codes.clear()
        await town.log_in(client, PHONE)
        town.riders.give(town.riders.phones[PHONE], "YZ48-000077")
        cookies: Any = [
            {"name": name, "value": value, "url": town.url}
            for name, value in client.cookies.items()
        ]
    await context.add_cookies(cookies)
    sent = await _throttle(page)
    await page.add_init_script(f"({READY})()")
    await page.goto(town.url + path, wait_until="commit", timeout=WITHIN_MS)
    ready_ms, paint_ms = await page.evaluate(MEASURED)
    await context.close()
    return Load(paint_ms / 1_000, max(ready_ms, paint_ms) / 1_000, sum(sent.values()), len(sent))


async def _throttle(page: Page) -> dict[str, int]:
    """A weak network and phone; counts the bytes of every request that ends."""
    session = await page.context.new_cdp_session(page)
    sent: dict[str, int] = {}
    session.on(
        "Network.loadingFinished",
        lambda event: sent.__setitem__(event["requestId"], round(event["encodedDataLength"])),
    )
    await session.send("Network.enable")
    await session.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": LATENCY_MS,
            "downloadThroughput": BYTES_PER_S,
            "uploadThroughput": BYTES_PER_S,
        },
    )
    await session.send("Emulation.setCPUThrottlingRate", {"rate": CPU_RATE})
    return sent


def react_files() -> dict[str, bytes]:
    """React's two ready-made files from npm, checked; empty where they are not to be had."""
    if shutil.which("npm") is None:
        return {}
    KEPT.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, digest in REACT.items():
        archive = KEPT / f"{name}-{REACT_VERSION}.tgz"
        if not archive.exists():
            command = ("npm", "pack", "--silent", f"{name}@{REACT_VERSION}")
            done = subprocess.run(command, cwd=KEPT, check=False, capture_output=True, timeout=120)
            if done.returncode:
                return {}
        if hashlib.sha256(archive.read_bytes()).hexdigest() != digest:
            raise SystemExit(f"{archive}: is not the package that was published; remove it")
        with tarfile.open(archive) as packed:
            member = packed.extractfile(f"package/umd/{name}.production.min.js")
            assert member is not None
            files[f"/{name}.js"] = member.read()
    return files


def _add_react(town: Town, files: dict[str, bytes]) -> None:
    """The peer's page on the same server: its own script draws what the API tells."""
    policy = {"Content-Security-Policy": "default-src 'self'; style-src 'unsafe-inline'"}

    async def shell() -> Response:
        return HTMLResponse(REACT_SHELL, headers=policy)

    town.app.add_api_route("/react", shell)
    for path, body in (files | {"/react-page.js": REACT_PAGE.encode()}).items():

        async def script(body: bytes = body) -> Response:
            return Response(body, media_type="text/javascript")

        town.app.add_api_route(path, script)


def _report(rows: dict[str, list[Load]], *, react: bool) -> int:
    load_text = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    print(
        f"cold loads at {LATENCY_MS} ms, {BYTES_PER_S * 8 // 1_000} kbit/s, CPU/{CPU_RATE}; "
        f"medians; {os.cpu_count()} cores, load average {load_text}"
    )
    print(f"{'':36}{'first paint':>12}{'interactive':>12}{'transferred':>13}{'requests':>10}")
    for name, loads in rows.items():
        print(
            f"{name:36}{_median(x.paint_s for x in loads):11.2f}s"
            f"{_median(x.interactive_s for x in loads):11.2f}s"
            f"{_median(x.bytes for x in loads) / 1_000:10.1f} kB{loads[0].requests:10d}"
        )
    if not react:
        print("React could not be had from npm here: its row is left out")
    ours = next(iter(rows.values()))
    interactive_s, sent = _median(x.interactive_s for x in ours), _median(x.bytes for x in ours)
    met = interactive_s <= INTERACTIVE_TARGET_S and sent <= BYTES_TARGET
    print(
        f"target: interactive <= {INTERACTIVE_TARGET_S} s and <= {BYTES_TARGET / 1_000:.0f} kB: "
        f"{'met' if met else 'missed'}"
    )
    return 0 if met else 1


def _median(values: Iterator[float]) -> float:
    return statistics.median(values)


REACT_SHELL: Final = """<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>驿站换电</title></head>
<body><div id="root"></div><script defer src="/react.js"></script>
<script defer src="/react-dom.js"></script><script defer src="/react-page.js"></script></body></html>
"""

REACT_PAGE: Final = """
const e = React.createElement;
function Door({ slot }) {
  return e('li', { className: slot.state }, e('b', null, slot.slot), ' ', slot.state,
    slot.soc_pct === null ? '' : ` ${slot.soc_pct}%`);
}
function Page() {
  const [cabinet, setCabinet] = React.useState(null);
  const [rider, setRider] = React.useState(null);
  React.useEffect(() => {
    fetch('/api/v1/cabinets/DH-0001').then((reply) => reply.json()).then(setCabinet);
    fetch('/api/v1/me').then((reply) => reply.json()).then(setRider);
  }, []);
  React.useEffect(() => { if (cabinet && rider) window.reactReady = true; });
  if (!cabinet || !rider) return e('p', null, '…');
  return e('main', null, e('h1', null, cabinet.name),
    e('p', null, cabinet.id, ' ', cabinet.online ? '在线' : '离线'),
    e('p', null, '可换电池 ', cabinet.full, ' 空仓 ', cabinet.empty),
    e('ul', null, cabinet.slots.map((slot) => e(Door, { key: slot.slot, slot }))),
    e('ol', null, ['把旧电池放进打开的空仓，插好插头', '关好仓门，等几秒检测', '另一仓门会打开，取走满电电池，关门']
      .map((text) => e('li', { key: text }, text))),
    e('button', { id: 'do-swap', onClick: () => fetch('/api/v1/swaps', { method: 'POST' }) }, '换电'),
    e('button', null, '只还电池'), e('p', null, '你手上的电池 ', rider.serials.join(', ')));
}
ReactDOM.createRoot(document.getElementById('root')).render(e(Page));
"""


if __name__ == "__main__":
    typer.run(main)
