"""The connectors on a cabinet's back: every line, on pseudo terminals and on TCP."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from protocols.devices import DEVICES
from simulator.config import WireSection
from simulator.devices.jbd import BmsPort
from simulator.devices.rack import Rack
from simulator.models.faults import FaultTable
from simulator.wires.bus import ModbusBus
from simulator.wires.ends import OVER_TCP, LineEnd, Listener, nobody
from simulator.wires.frames import FrameLine, FrameSession
from simulator.wires.mbap import MbapSession
from simulator.wires.pty import PtyPort
from simulator.wires.rtu import RtuSession
from simulator.wires.scanner import ScannerPort
from simulator.wires.serial_bms import BmsSession
from simulator.wires.tcp import TcpPort
from simulator.wires.timing import Line, Session

SLOT_LINE: Final = "slot-"
JBD_BAUD: Final = DEVICES["jbd-bms"].baud


@dataclass(frozen=True, slots=True)
class Connector:
    """One line: its name, its speed, and who talks on it over a serial port and over TCP."""

    name: str
    baud: int
    serial: Callable[[], LineEnd]
    network: Callable[[], LineEnd]


@dataclass(slots=True)
class Panel:
    """Every open port; ``close`` takes them all away again."""

    ptys: dict[str, str] = field(default_factory=dict)
    tcp: dict[str, int] = field(default_factory=dict)
    scanner: ScannerPort | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def open_ptys(self, connectors: list[Connector], run_dir: Path) -> None:
        """Publish every line as a pseudo terminal under ``run_dir``."""
        for connector in connectors:
            port = PtyPort(run_dir / connector.name, connector.serial(), connector.baud)
            self._stack.callback(port.close)
            self.ptys[connector.name] = port.path

    def open_scanner(self, run_dir: Path) -> ScannerPort:
        """Publish the barcode scanner under ``run_dir``."""
        self.scanner = ScannerPort(run_dir / "scanner")
        self._stack.callback(self.scanner.close)
        return self.scanner

    async def open_tcp(self, connectors: list[Connector], base: int) -> None:
        """Listen for every line on ``base`` and the ports after it; 0 takes free ports.

        Raises:
            OSError: a port is taken.
        """
        for offset, connector in enumerate(connectors):
            port = await TcpPort.listen(base + offset if base else 0, connector.network)
            self._stack.callback(port.close)
            self.tcp[connector.name] = port.port

    def close(self) -> None:
        """Close everything and remove the names."""
        self._stack.close()


def connectors(
    rack: Rack, wire: WireSection, faults: FaultTable | None = None, listener: Listener = nobody
) -> list[Connector]:
    """Bus A, the chargers' bus, one line per slot, then locks and meter; TCP follows this order.

    Args:
        rack: what hangs on the lines.
        wire: their speed and timing.
        faults: what goes wrong on them; None: nothing ever.
        listener: hears every byte on every line.
    """
    table = FaultTable({}, 0) if faults is None else faults
    area = []
    if rack.bus_sockets is not None:
        end = _End(table, listener)
        area = [_modbus("bus-sockets", rack.bus_sockets, wire, wire.bus_a_baud, end)]
    return [
        _modbus("bus-a", rack.bus_a, wire, wire.bus_a_baud, _End(table, listener)),
        _modbus(
            "bus-chargers", rack.bus_chargers, wire, wire.bus_chargers_baud, _End(table, listener)
        ),
        *(
            _battery(number, port, wire, _End(table, listener))
            for number, port in rack.packs.items()
        ),
        *(_framed(line, wire, _End(table, listener)) for line in rack.frames.values()),
        *area,
    ]


@dataclass(frozen=True, slots=True)
class _End:
    faults: FaultTable
    listener: Listener

    def of(self, name: str, session: Session, line: Line, over: str = "") -> LineEnd:
        return LineEnd(name, session, line, self.faults, self.listener, name + over)


def _modbus(name: str, bus: ModbusBus, wire: WireSection, baud: int, end: _End) -> Connector:
    faulty = replace(bus, name=name, faults=end.faults)

    def serial() -> LineEnd:
        line = _line(wire, baud)
        return end.of(name, RtuSession(faulty, line), line)

    def network() -> LineEnd:
        line = _line(wire, baud)
        return end.of(name, MbapSession(faulty, line), line, OVER_TCP)

    return Connector(name, baud, serial, network)


def _framed(frames: FrameLine, wire: WireSection, end: _End) -> Connector:
    is_slot = frames.name.startswith(SLOT_LINE)
    baud = wire.slot_baud if is_slot and wire.slot_baud is not None else frames.type.baud

    def session(over: str = "") -> LineEnd:
        line = _line(wire, baud)
        return end.of(frames.name, FrameSession(frames, line, end.faults), line, over)

    return Connector(frames.name, baud, session, lambda: session(OVER_TCP))


def _battery(number: int, port: BmsPort, wire: WireSection, end: _End) -> Connector:
    name, baud = f"{SLOT_LINE}{number:02d}", wire.slot_baud or JBD_BAUD

    def session(over: str = "") -> LineEnd:
        line = _line(wire, baud)
        return end.of(name, BmsSession(port, line, name, port.name, end.faults), line, over)

    return Connector(name, baud, session, lambda: session(OVER_TCP))


def _line(wire: WireSection, baud: int) -> Line:
    return Line(baud, wire.processing_ms / 1_000.0, realistic=wire.realistic_timing)
