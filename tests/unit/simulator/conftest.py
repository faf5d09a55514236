"""One simulator process per module that wants one, and hands that unlock over the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from protocols import modbus
from tests.support.simulator import SerialClient, SimProcess


@pytest.fixture(scope="module")
def cabinet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimProcess]:
    process = SimProcess.start(tmp_path_factory.mktemp("sim") / "run")
    yield process
    assert process.stop() == 0


@pytest.fixture
def unlock(cabinet: SimProcess) -> Callable[[int], None]:
    """Pulse a lock as a master does, and see the door spring open."""

    def pulse(slot: int) -> None:
        client = SerialClient(cabinet.run_dir / "bus-a")
        frame = modbus.rtu(1 + (slot - 1) // 8, bytes([5, 2, (slot - 1) % 8, 0, 5]))
        try:
            assert client.ask(frame, 10.0) == frame
        finally:
            client.close()
        cabinet.wait(lambda state: state["slots"][slot - 1]["door"] == "open", 30.0)

    return pulse
