"""The control API of the charging area: plugs, mishaps and its warmth."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Path
from pydantic import BaseModel, Field

from simulator.control.schemas import Body
from simulator.models.cabinet import Cabinet
from simulator.models.socket import POWER_MAX_W, Load, Socket
from simulator.models.wiring import SOCKETS_MAX
from simulator.ticker import Ticker

SocketNumber = Annotated[int, Path(ge=1, le=SOCKETS_MAX)]
Watts = Annotated[float, Field(ge=0, le=POWER_MAX_W)]
WattHours = Annotated[float, Field(gt=0, le=20_000)]


class PlugBody(Body):
    """An e-bike's charger, and what its battery lacks."""

    power_w: Watts = 150.0
    capacity_wh: WattHours = 480.0
    missing_wh: Annotated[float, Field(ge=0, le=20_000)] = 300.0


class SpoilBody(Body):
    """What is wrong with a socket; what is left out stays."""

    extra_w: Watts | None = Field(None, description="Drawn besides the charger; 0 ends it.")
    welded: bool | None = Field(None, description="The relay does not open any more.")


class AreaBody(Body):
    """The charging area's air."""

    temp_c: Annotated[float, Field(ge=-40, le=150)]


class SocketTruth(BaseModel):
    """One socket as it really is."""

    socket: int
    relay_on: bool
    live: bool
    plugged: bool
    power_w: float
    missing_wh: float | None
    meter_wh: float
    extra_w: float
    welded: bool


class AreaTruth(BaseModel):
    """The whole charging area."""

    temp_c: float
    sockets: list[SocketTruth]


def add_sockets(app: FastAPI, ticker: Ticker) -> None:
    """Put the paths into the application."""

    @app.get("/sockets", tags=["sockets"])
    async def sockets() -> AreaTruth:
        """Every socket, now."""
        return _area(ticker.now())

    @app.post("/sockets/{number}/plug", tags=["sockets"])
    async def plug(number: SocketNumber, body: PlugBody) -> SocketTruth:
        """Plug a charger in; 409 when one is in."""
        socket = ticker.now().socket(number)
        socket.plug(Load(body.power_w, body.capacity_wh, body.missing_wh))
        return _truth(socket)

    @app.post("/sockets/{number}/unplug", tags=["sockets"])
    async def unplug(number: SocketNumber) -> SocketTruth:
        """Pull the plug; 409 when there is none."""
        socket = ticker.now().socket(number)
        socket.unplug()
        return _truth(socket)

    @app.post("/sockets/{number}/spoil", tags=["sockets"])
    async def spoil(number: SocketNumber, body: SpoilBody) -> SocketTruth:
        """Make something go wrong with a socket, or right again."""
        socket = ticker.now().socket(number)
        socket.spoil(extra_w=body.extra_w, welded=body.welded)
        return _truth(socket)

    @app.post("/area", tags=["sockets"])
    async def area(body: AreaBody) -> AreaTruth:
        """Set the temperature of the charging area."""
        cabinet = ticker.now()
        cabinet.area.temp_c = body.temp_c
        return _area(cabinet)


def _area(cabinet: Cabinet) -> AreaTruth:
    temp_c = round(cabinet.area.shown_temp_c, 1)
    return AreaTruth(temp_c=temp_c, sockets=[_truth(socket) for socket in cabinet.sockets])


def _truth(socket: Socket) -> SocketTruth:
    load = socket.load
    return SocketTruth(
        socket=socket.number,
        relay_on=socket.relay_on,
        live=socket.live,
        plugged=load is not None,
        power_w=round(socket.power_w, 2),
        missing_wh=None if load is None else round(load.missing_wh, 3),
        meter_wh=round(socket.meter.import_kwh * 1_000, 3),
        extra_w=socket.extra_w,
        welded=socket.welded,
    )
