"""The cabinet's own pages: ``/`` for people, ``/state.json``, ``/healthz`` and ``/metrics``."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from cabinet.status import BusStatus, Snapshot
from cabinet.web.texts import TEXTS, language

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884}
body{font:16px/1.4 system-ui,sans-serif;margin:1rem auto;max-width:60rem;padding:0 1rem}
h1{font-size:1.4rem}.slots{display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));gap:.5rem}
.slot{border:2px solid var(--line);border-radius:.5rem;padding:.5rem}.slot b{font-size:1.5rem}
.ready{border-color:#2a8a3e}.charging{border-color:#1769c2}
.faulted,.quarantine,.out-of-service{border-color:#c22;border-style:dashed}.reserved{border-color:#b57500}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem;border-bottom:1px solid var(--line)}
.wide{overflow-x:auto}.alarm{border-left:.5rem solid #c22;padding:.25rem .5rem}small{opacity:.8}
"""


def create_app(
    snapshot: Callable[[], Snapshot],
    metrics: Callable[[], bytes],
    more: Sequence[Route] = (),
) -> Starlette:
    """The application; both callables are cheap and never block. ``more`` are the kiosk's routes."""

    async def page(request: Request) -> Response:
        return HTMLResponse(render(snapshot(), language(request)), headers=HEADERS)

    async def state(_request: Request) -> Response:
        body = msgspec.json.encode(snapshot())
        return Response(body, media_type="application/json", headers=HEADERS)

    async def health(_request: Request) -> Response:
        now = snapshot()
        good = not now.stuck and now.store_error is None
        body = msgspec.json.encode(
            {"ok": good, "ready": now.ready, "stuck": now.stuck, "store_error": now.store_error}
        )
        status = 200 if good else 503
        return Response(body, status, media_type="application/json", headers=HEADERS)

    async def prometheus(_request: Request) -> Response:
        return Response(metrics(), media_type="text/plain; version=0.0.4", headers=HEADERS)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/state.json", state),
            Route("/healthz", health),
            Route("/metrics", prometheus),
            *more,
        ]
    )


def render(now: Snapshot, chosen: str) -> str:
    """The status page as HTML; every value that came from a wire is escaped."""
    text = TEXTS[chosen]
    e = html.escape
    alarms = "".join(f'<p class="alarm">{e(code)}</p>' for code in now.telemetry.alarms)
    swap = ""
    if now.swap is not None:
        swap = f"<p>{text['swap']}: {e(now.swap.kind)} · {e(now.swap.step)}</p>"
    power = "–" if now.telemetry.power_w is None else f"{now.telemetry.power_w:.0f} W"
    limit = "–" if now.telemetry.power_limit_w is None else f"{now.telemetry.power_limit_w} W"
    link = text["connected"] if now.uplink.connected else text["disconnected"]
    return (
        f'<!doctype html><html lang="{"en" if chosen == "en" else "zh-CN"}"><head>'
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="refresh" content="3"><title>{e(now.cabinet)}</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>{e(now.name)} · {e(now.cabinet)}</h1>"
        f"{alarms}{_store(now, text)}<p>{text['fleet']}: {link} · {text['power']}: {power} / {limit} · "
        f"{text['outbox']}: {now.uplink.outbox_depth}</p>{swap}"
        f'<div class="slots">{"".join(_slots(now, text))}</div>{_sockets(now, text)}'
        f'<h2>{text["wires"]}</h2><div class="wide"><table><tr><th>{text["bus"]}</th>'
        f"<th>{text['device']}</th><th>{text['state']}</th><th>{text['good']}</th>"
        f"<th>{text['bad']}</th><th>{text['checksum']}</th><th>{text['late']}</th></tr>"
        f"{''.join(_devices(now, text))}</table></div>"
        f'<p><a href="/trace?lang={chosen}">{text["trace"]}</a></p></main></body></html>'
    )


def _store(now: Snapshot, text: dict[str, str]) -> str:
    """Why nothing can be written, and what to do about it."""
    if now.store_error is None:
        return ""
    return f'<p class="alarm">{text["store-error"]}: {html.escape(now.store_error)}</p>'


def _slots(now: Snapshot, text: dict[str, str]) -> list[str]:
    cells = []
    for slot in now.telemetry.slots:
        soc = "–" if slot.soc_pct is None else f"{slot.soc_pct} %"
        flags = " ".join(slot.flags)
        cells.append(
            f'<section class="slot {slot.state.value}"><b>{slot.slot}</b> {soc}<br>'
            f"{text[slot.state.value]}<br><small>{text['door']}: {text['door-' + slot.door.value]}"
            f"<br>{html.escape(slot.serial or '')} {html.escape(flags)}</small></section>"
        )
    return cells


def _sockets(now: Snapshot, text: dict[str, str]) -> str:
    """The charging area; nothing where there is none."""
    cells = []
    for socket in now.telemetry.sockets:
        power = "–" if socket.power_w is None else f"{socket.power_w:.0f} W"
        reason = html.escape(socket.reason or "")
        cells.append(
            f'<section class="slot {socket.state.value}"><b>{socket.socket}</b> {power}<br>'
            f"{text[socket.state.value]}<br><small>{reason}</small></section>"
        )
    if not cells:
        return ""
    return f'<h2>{text["sockets"]}</h2><div class="slots">{"".join(cells)}</div>'


def _devices(now: Snapshot, text: dict[str, str]) -> list[str]:
    return [
        f"<tr><td>{_bus(bus, text)}</td><td>{html.escape(device.name)}</td>"
        f"<td>{text['missing' if device.missing else 'silent' if device.silent else 'answers']}"
        f"</td><td>{device.good}</td><td>{device.bad}</td><td>{device.checksum}</td>"
        f"<td>{device.late}</td></tr>"
        for bus in now.buses
        for device in bus.devices
    ]


def _bus(bus: BusStatus, text: dict[str, str]) -> str:
    echo = f" · {text['echo']}" if bus.echoes else ""
    return f"{html.escape(bus.name)} · {text['load']} {bus.utilisation_pct} %{echo}"
