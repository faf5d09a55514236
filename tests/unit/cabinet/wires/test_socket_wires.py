"""The charging area's wires against the simulator's: leases, meters, the shared probe."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cabinet.core.engine_sockets import socket_of
from cabinet.core.model import SetSocket, SocketImage
from tests.support.wires import DEADLINE_S, CabinetBench, until


async def test_a_socket_gives_power_and_loses_it_with_the_daemon(tmp_path: Path) -> None:
    async with CabinetBench(tmp_path, sockets=2) as bench:
        wires = bench.wires

        def seen(number: int = 1) -> SocketImage:
            return socket_of(wires.image(), number)

        await until(lambda: seen(1).meter and seen(2).meter and seen(2).probe, "meters and probe")
        first = seen().meter
        assert first is not None
        assert (first.power_w, seen().live) == (0.0, False)
        await bench.post("/sockets/1/plug", power_w=180.0, missing_wh=300.0)
        await wires.apply(SetSocket(1, on=True))
        await until(lambda: (m := seen().meter) and m.power_w > 170, "the charger's draw")
        drawn = seen().meter
        assert drawn is not None
        assert drawn.current_a is not None
        assert 0.7 < drawn.current_a < 0.9
        assert seen().live
        assert not seen(2).live

        await bench.post("/devices/socket-meter-1/silent", silent=True)
        await until(lambda: "socket-meter-1" in wires.image().devices_offline, "a silent meter")
        await bench.post("/devices/socket-meter-1/silent", silent=False)
        await bench.post("/area", temp_c=61.0)
        await until(lambda: (p := seen(2).probe) and p.temp_c == 61.0, "the area's warmth")

        await wires.apply(SetSocket(2, on=True))
        await until(lambda: seen(2).live, "the second relay")
        await wires.apply(SetSocket(2, on=False))
        await until(lambda: not seen(2).live, "the second relay off")
        await wires.make_safe()
        area = await bench.get("/sockets")
        assert not any(socket["relay_on"] for socket in area["sockets"])
        await wires.apply(SetSocket(1, on=True))
        await until(lambda: seen().live, "on again")
        assert bench.task
        bench.task.cancel()
        deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
        while any(each["relay_on"] for each in (await bench.get("/sockets"))["sockets"]):
            assert asyncio.get_running_loop().time() < deadline_s, "the relay outlives the daemon"
            await asyncio.sleep(0.05)
