"""The scan of one port, on a real pty with a scripted peer."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cabinet.adapters.clock import SystemClock
from cabinet.commission import scanning
from cabinet.commission.ports import Port
from cabinet.commission.scanning import Scan
from cabinet.core.commission.findings import Cause, Verdict
from cabinet.core.commission.inventory import Found, PortFound, PortState, judge_scan
from cabinet.core.commission.scan_plan import Wish
from protocols.devices import DEVICES
from protocols.frames import jbd
from tests.support.wires import PtyPeer, Script, rtu, silent, words

#: Few types and addresses: what is tested is what a scan makes of the answers.
TYPES = tuple(DEVICES[name] for name in ("xy-md02", "jbd-bms"))
WISH = Wish(addresses=(1, 2, 3), bauds=(9_600,))


async def scanned(directory: Path, script: Script, *only: str, address: int = 0) -> PortFound:
    """Where answers are expected, ``only`` what answers is looked for, with all the time it takes."""
    types = [replace(DEVICES[name], processing_ms=5_000) for name in only] or TYPES
    wish = replace(WISH, addresses=(address,)) if address else WISH
    peer = PtyPeer(directory / "bus-a", script)
    peer.plug()
    try:
        looker = Scan(types, wish, SystemClock(), lambda _text: None)
        return await looker.port(Port("bus-a", str(peer.link)))
    finally:
        peer.unplug()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not turn an answer into silence."""
    monkeypatch.setattr(scanning, "SWEEP_PROCESSING_MS", 5_000)


def climate(unit: int) -> Callable[[bytes], list[tuple[float, bytes]]]:
    """An XY-MD02 at this address."""

    def script(request: bytes) -> list[tuple[float, bytes]]:
        if request[0] != unit:
            return []
        if request[1] == 4:
            return [(0, rtu(unit, 4, 4, 0, 251, 1, 244))]
        at = int.from_bytes(request[2:4])
        return [(0, words(unit, unit) if at == 0x0101 else rtu(unit, 0x83, 2))]

    return script


@pytest.mark.usefixtures("patient")
async def test_a_device_is_found_at_its_address(tmp_path: Path) -> None:
    found = await scanned(tmp_path, climate(2), "xy-md02", address=2)
    assert found.state is PortState.ANSWERED
    assert [(d.type, d.address, d.slow) for d in found.devices] == [("xy-md02", 2, False)]


@pytest.mark.usefixtures("patient")
async def test_a_device_of_no_known_type_is_told(tmp_path: Path) -> None:
    def stranger(request: bytes) -> list[tuple[float, bytes]]:
        return [(0, rtu(3, request[1] | 0x80, 1))] if request[0] == 3 else []

    found = await scanned(tmp_path, stranger, "xy-md02", address=3)
    assert found.devices == (Found(type="", address=3, slow=True),)
    (told,) = judge_scan([found], TYPES, powered=False)
    assert told.cause is Cause.UNKNOWN_DEVICE


async def test_a_battery_has_its_port_for_itself(tmp_path: Path) -> None:
    info = jbd.BasicInfo(
        voltage_v=48.0, current_a=0.0, remaining_ah=10.0, nominal_ah=20.0, cycles=3,
        production_date=None, balance_bits=0, protection=frozenset(), software_version="1.0",
        soc_pct=50, charge_fet_on=True, discharge_fet_on=True, cells=13, temps_c=(25.0,),
    )  # fmt: skip

    def battery(request: bytes) -> list[tuple[float, bytes]]:
        if request == jbd.read_request(jbd.REG_BASIC):
            return [(0, jbd.reply(jbd.REG_BASIC, jbd.encode_basic(info)))]
        if request == jbd.read_request(jbd.REG_BARCODE):
            return [(0, jbd.reply(jbd.REG_BARCODE, status=jbd.STATUS_ERROR))]
        return []

    found = await scanned(tmp_path, battery, "jbd-bms")
    assert [(d.type, d.address) for d in found.devices] == [("jbd-bms", 0)]


async def test_silence_is_silence(tmp_path: Path) -> None:
    found = await scanned(tmp_path, silent)
    assert (found.state, found.cause) == (PortState.SILENT, None)


async def test_noise_is_told_from_silence(tmp_path: Path) -> None:
    found = await scanned(tmp_path, lambda _request: [(0, b"\x55\xaa\x55")])
    assert (found.state, found.cause) == (PortState.TROUBLED, Cause.NOISE)


async def test_an_echo_is_no_device(tmp_path: Path) -> None:
    found = await scanned(tmp_path, lambda request: [(0, request)])
    assert (found.state, found.cause) == (PortState.TROUBLED, Cause.ECHO)


@pytest.mark.usefixtures("patient")
async def test_an_echo_before_answers_is_a_warning(tmp_path: Path) -> None:
    device = climate(1)
    found = await scanned(
        tmp_path, lambda request: [(0, request), *device(request)], "xy-md02", address=1
    )
    assert [d.type for d in found.devices] == ["xy-md02"]
    told = {f.cause: f.verdict for f in judge_scan([found], TYPES, powered=False)}
    assert told == {None: Verdict.OK, Cause.ECHO: Verdict.WARN}


async def test_a_line_that_never_falls_silent_does_not_hold_up_the_scan(tmp_path: Path) -> None:
    peer = PtyPeer(tmp_path / "bus-a", silent)
    peer.plug()

    async def babble() -> None:
        while True:
            peer.send(b"\x00\x01\x02")
            await asyncio.sleep(0.002)

    talking = asyncio.create_task(babble())
    try:
        looker = Scan(TYPES, replace(WISH, addresses=(1,)), SystemClock(), lambda _text: None)
        async with asyncio.timeout(60):
            found = await looker.port(Port("bus-a", str(peer.link)))
        assert (found.state, found.cause) == (PortState.TROUBLED, Cause.NOISE)
    finally:
        talking.cancel()
        peer.unplug()


async def test_a_port_of_another_program_is_left_alone(tmp_path: Path) -> None:
    peer = PtyPeer(tmp_path / "bus-a", silent)
    peer.plug()
    handle = os.open(peer.link, os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        looker = Scan(TYPES, WISH, SystemClock(), lambda _text: None)
        found = await looker.port(Port("bus-a", str(peer.link)))
        assert (found.state, found.cause) == (PortState.UNUSABLE, Cause.PORT_BUSY)
        assert peer.requests == []
    finally:
        os.close(handle)
        peer.unplug()


@pytest.mark.parametrize("name", ["scanner", "usb-Honeywell_Barcode-if00"])
async def test_a_barcode_scanner_is_not_asked(tmp_path: Path, name: str) -> None:
    looker = Scan(TYPES, WISH, SystemClock(), lambda _text: None)
    found = await looker.port(Port(name, str(tmp_path / name)))
    assert found.state is PortState.SCANNER
