"""The devices of a configuration without the daemon: each is asked as the daemon would ask it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cabinet.adapters.clock import SystemClock
from cabinet.commission.bench import Bench
from cabinet.commission.wires import running
from cabinet.config import parse
from cabinet.config_example import Choice, example_config
from protocols.devices import dlt645_meter
from protocols.faces import MeterFacts

#: Two meters on one line, by the number on their plates.
METERS = {
    "000000000001": MeterFacts(voltage_v=221.0, power_w=100.0, import_kwh=1.0),
    "000000000002": MeterFacts(voltage_v=222.0, power_w=200.0, import_kwh=2.0),
}


async def _line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Both meters hear everything; asked by the wildcard both talk at once, and nobody is heard."""
    heard = b""
    while data := await reader.read(256):
        heard += data
        while (found := dlt645_meter.find(heard)) is not None:
            request, heard = heard[found[0] : found[1]], heard[found[1] :]
            told = [dlt645_meter.FACE.answer(request, n, facts) for n, facts in METERS.items()]
            answers = [answer for answer in told if answer is not None]
            if len(answers) == 1:
                writer.write(answers[0])
    writer.close()


@pytest.mark.parametrize("number", METERS)
async def test_a_meter_is_asked_by_its_number(tmp_path: Path, number: str) -> None:
    server = await asyncio.start_server(_line, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        text = example_config(choice=Choice(meter="dlt645-meter"), run_dir=tmp_path)
        text = text.replace(f'"{tmp_path}/bus-meter"', f'"tcp://127.0.0.1:{port}"')
        text = text.replace(
            'type = "dlt645-meter"\n', f'type = "dlt645-meter"\nnumber = "{number}"\n'
        )
        config = parse(text, tmp_path / "cabinet.toml", {})
        bench = Bench(config, SystemClock())
        async with running([bench.buses["bus-meter"]]):
            told = await bench.read(config.device("meter"))
    assert told is not None
    assert told.power_w == METERS[number].power_w
