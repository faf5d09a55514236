"""The control API as an ASGI application. Loopback only; it has no login."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Path, Query, Request
from fastapi.responses import JSONResponse

from simulator.control.faults import add_faults, standing
from simulator.control.schemas import (
    ActiveBody,
    AlterBody,
    DoorBody,
    EventsPage,
    FreezeBody,
    InsertBody,
    LockBody,
    PackState,
    ScanBody,
    SilentBody,
    SlotState,
    SpeedBody,
    State,
)
from simulator.control.shelf import Look, ShelfPack, shelf
from simulator.control.sockets import add_sockets
from simulator.control.state import pack_state, slot_state, snapshot
from simulator.control.stream import add_stream
from simulator.control.trace import WireTrace, add_trace
from simulator.errors import FaultError, HandsError, UnknownNameError
from simulator.models.truth import Event
from simulator.models.wiring import Alarm
from simulator.ticker import Ticker
from simulator.web.guard import OwnPagesOnly
from simulator.web.pages import add_pages

SlotNumber = Annotated[int, Path(ge=1, description="Slot, from 1")]


def create_app(
    ticker: Ticker,
    scan: Callable[[str], None] | None = None,
    trace: WireTrace | None = None,
    stopping: asyncio.Event | None = None,
) -> FastAPI:
    """The API over one running cabinet; every call sees the cabinet as of now.

    ``scan`` tells a text through the barcode scanner; ``trace`` is what its wires carried;
    ``stopping`` ends the open streams.
    """
    app = FastAPI(
        title="swapsim control",
        version="1",
        description="Hands, mishaps and the whole truth of one virtual swap cabinet.",
    )
    app.add_exception_handler(HandsError, _refused)
    app.add_exception_handler(FaultError, _refused)
    app.add_exception_handler(UnknownNameError, _unknown)
    app.add_middleware(OwnPagesOnly)
    _add_truth(app, ticker)
    add_stream(app, lambda: _look(ticker), stopping or asyncio.Event())
    add_pages(app)
    _add_hands(app, ticker)
    _add_mishaps(app, ticker)
    add_faults(app, ticker)
    add_sockets(app, ticker)
    if scan is not None:
        _add_scanner(app, scan)
    if trace is not None:
        add_trace(app, trace)
    return app


def _look(ticker: Ticker) -> bytes:
    cabinet = ticker.now()
    look = Look(
        state=snapshot(cabinet, ticker.wall_ms()), faults=standing(ticker), shelf=shelf(cabinet)
    )
    return look.model_dump_json().encode()


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=409)


async def _unknown(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=404)


def _add_truth(app: FastAPI, ticker: Ticker) -> None:
    @app.get("/state", tags=["truth"])
    async def state() -> State:
        """The whole truth, now."""
        return snapshot(ticker.now(), ticker.wall_ms())

    @app.get("/shelf", tags=["truth"])
    async def within_reach() -> list[ShelfPack]:
        """Packs that a hand could put in: new ones, and those that left, the last first."""
        return shelf(ticker.now())

    @app.get("/events", tags=["truth"])
    async def events(since: Annotated[int, Query(ge=0)] = 0) -> EventsPage:
        """What happened after event number ``since``."""
        log = ticker.now().log
        return EventsPage(
            first=log.first_seq, next=log.seq, events=[_told(event) for event in log.since(since)]
        )


def _told(event: Event) -> dict[str, str | int | float | bool | None]:
    return {
        "seq": event.seq,
        "sim_ms": event.sim_ms,
        "wall_ms": event.wall_ms,
        "kind": event.kind.value,
        "slot": event.slot,
        **event.detail,
    }


def _add_hands(app: FastAPI, ticker: Ticker) -> None:
    @app.post("/slots/{slot}/insert", tags=["hands"])
    async def insert(slot: SlotNumber, body: InsertBody) -> PackState:
        """Put a pack in; 409 when the door is shut or the slot is taken."""
        return pack_state(ticker.now().insert(slot, body.order(body.serial)))

    @app.post("/slots/{slot}/remove", tags=["hands"])
    async def remove(slot: SlotNumber) -> PackState:
        """Take the pack out; 409 when the door is shut or there is none."""
        return pack_state(ticker.now().remove(slot))

    @app.post("/slots/{slot}/door", tags=["hands"])
    async def door(slot: SlotNumber, body: DoorBody) -> SlotState:
        """Close a door, or open one that is not latched (else 409)."""
        cabinet = ticker.now()
        (cabinet.push_door if body.action == "close" else cabinet.pull_door)(slot)
        return slot_state(cabinet, slot)


def _add_scanner(app: FastAPI, scan: Callable[[str], None]) -> None:
    @app.post("/scanner", tags=["hands"])
    async def scanner(body: ScanBody) -> ScanBody:
        """Hold a QR code before the scanner; 409 when nobody reads its port."""
        scan(body.text)
        return body


def _add_mishaps(app: FastAPI, ticker: Ticker) -> None:
    @app.post("/slots/{slot}/pack", tags=["mishaps"])
    async def pack(slot: SlotNumber, body: AlterBody) -> PackState:
        """Change the pack in a slot; 409 when there is none."""
        renamed = "serial" in body.model_fields_set
        changed = ticker.now().alter(slot, body.order(body.serial), new_serial=renamed)
        return pack_state(changed)

    @app.post("/slots/{slot}/lock", tags=["mishaps"])
    async def lock(slot: SlotNumber, body: LockBody) -> SlotState:
        """Jam a lock, or free it."""
        cabinet = ticker.now()
        cabinet.jam(slot, jammed=body.jammed)
        return slot_state(cabinet, slot)

    @app.post("/inputs/{name}", tags=["mishaps"])
    async def contact(name: Alarm, body: ActiveBody) -> dict[str, bool]:
        """Trigger a cabinet contact, or calm it."""
        cabinet = ticker.now()
        cabinet.set_alarm(name, active=body.active)
        return {alarm.value: active for alarm, active in cabinet.alarms.items()}

    @app.post("/devices/{name}/silent", tags=["mishaps"])
    async def silent(name: str, body: SilentBody) -> dict[str, list[str]]:
        """Make a device deaf and dumb, or not; 404 when there is none of that name."""
        cabinet = ticker.now()
        cabinet.set_silent(name, silent=body.silent)
        return {"silent": sorted(cabinet.silent)}

    @app.post("/freeze", tags=["time"])
    async def freeze(body: FreezeBody) -> dict[str, bool]:
        """Stop all simulated time, board timers included, or let it run; wires keep answering."""
        ticker.now().freeze(frozen=body.frozen)
        return {"frozen": body.frozen}

    @app.post("/speed", tags=["time"])
    async def speed(body: SpeedBody) -> dict[str, float]:
        """Let charge, heat and energy run faster; board timers and doors keep wall pace."""
        ticker.now().pace = body.factor
        return {"factor": body.factor}
