"""The simulated socket: plugs, taper, meter, mishaps."""

from __future__ import annotations

import pytest

from simulator.errors import HandsError, UnknownNameError
from simulator.models.cabinet import Cabinet
from simulator.models.socket import TRICKLE_W, Load
from simulator.models.wiring import device_names, socket_pin


def area() -> Cabinet:
    return Cabinet(slots_count=2, sockets_count=2)


def switch(cabinet: Cabinet, number: int, *, on: bool) -> None:
    pin = socket_pin(number)
    cabinet.boards[pin.board].set(pin.channel, on=on)


def test_nothing_flows_until_the_relay_is_on() -> None:
    cabinet = area()
    cabinet.socket(1).plug(Load(200.0, 480.0, 300.0))
    cabinet.advance(60)
    assert cabinet.socket(1).meter.import_kwh == 0
    switch(cabinet, 1, on=True)
    cabinet.advance(360)
    assert cabinet.socket(1).meter.import_kwh * 1_000 == pytest.approx(20.0, rel=0.01)
    assert cabinet.power_w == pytest.approx(240.0)
    assert cabinet.socket(2).meter.import_kwh == 0


def test_a_battery_gets_full_by_a_taper() -> None:
    cabinet = area()
    cabinet.socket(1).plug(Load(200.0, 480.0, 120.0))
    switch(cabinet, 1, on=True)
    drawn = []
    for _ in range(240):
        cabinet.advance(60)
        drawn.append(cabinet.socket(1).power_w)
    assert drawn[0] == 200.0
    assert drawn == sorted(drawn, reverse=True)
    assert drawn[-1] == TRICKLE_W
    assert cabinet.socket(1).meter.import_kwh * 1_000 == pytest.approx(120.0, rel=0.15)


def test_sockets_keep_wall_pace() -> None:
    cabinet = area()
    cabinet.pace = 60.0
    cabinet.socket(1).plug(Load(360.0, 480.0, 400.0))
    switch(cabinet, 1, on=True)
    cabinet.advance(10)
    assert cabinet.socket(1).meter.import_kwh * 1_000 == pytest.approx(1.0, rel=0.02)


def test_mishaps_and_hands() -> None:
    cabinet = area()
    socket = cabinet.socket(1)
    socket.spoil(welded=True)
    socket.plug(Load())
    assert socket.power_w == 150.0
    socket.spoil(extra_w=2_000.0, welded=False)
    assert socket.power_w == 0.0
    switch(cabinet, 1, on=True)
    assert socket.power_w == 2_150.0
    cabinet.set_mains(on=False)
    cabinet.advance(1)
    assert socket.meter.power_w == 0.0
    assert "socket-meter-1" in cabinet.silent
    with pytest.raises(HandsError, match="plugged in already"):
        socket.plug(Load())
    socket.unplug()
    with pytest.raises(HandsError, match="nothing is plugged in"):
        socket.unplug()
    with pytest.raises(UnknownNameError, match="socket 3"):
        cabinet.socket(3)


def test_a_cabinet_without_an_area_has_no_such_wires() -> None:
    assert not Cabinet().sockets
    assert not any("socket" in name for name in device_names(12))
    assert {"board-7", "socket-meter-8", "area-climate"} <= set(device_names(12, sockets=8))
