"""A simulator and a real cabinetd off the network, for scenarios: riders come with code or ticket.

The cabinet has been with its fleet before: it knows the key that signs tickets, and its journal
keeps the list of the fleet's packs.
"""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cabinet.adapters.store import Store
from cabinet.adapters.store_schema import STORE_FILE
from cabinet.core.records import Lists, ListsRow
from deploy.demo.processes import LOOPBACK, Program, free_port, run_once, sweep, wait_ready
from deploy.demo.toml_edit import with_values
from protocols import signing
from protocols.offline import group_key_text
from tests.support.sim_process import SimProcess

KEY: Final = bytes(range(32))
READY_WITHIN_S: Final = 90.0
#: Every pack of the simulator that is not foreign.
PACKS: Final = frozenset(f"YZ48-{number:06d}" for number in range(1, 1_000))


@dataclass
class Acceptance:
    """Both programs; ``cabinetd`` can be killed and started again."""

    sim: SimProcess
    cabinetd: Program
    url: str
    key_file: Path
    ticket_key_file: Path

    def wait_ready(self) -> None:
        """Until cabinetd has read every slot."""

        def ready() -> bool:
            try:
                with urllib.request.urlopen(f"{self.url}/state.json", timeout=30) as reply:
                    return bool(json.load(reply)["ready"])
            except OSError:
                return False

        wait_ready(ready, (self.cabinetd,), within_s=READY_WITHIN_S, what="cabinetd ready")

    @property
    def options(self) -> tuple[str, ...]:
        """What `swapsim scenario run` needs to find everything."""
        names = ("--run-dir", str(self.sim.run_dir), "--cabinet", self.url)
        keys = ("--group-key", str(self.key_file), "--ticket-key", str(self.ticket_key_file))
        return (*names, *keys, "--pack-list")


@contextmanager
def acceptance(folder: Path) -> Iterator[Acceptance]:
    """A running pair; nothing of it is left at the end."""
    mark, port = uuid.uuid4().hex, free_port()
    program = Path(sys.executable).with_name
    with SimProcess(folder) as sim:
        example = run_once(
            (str(program("cabinetd")), "example-config", "--id", "DH-0001",
             "--run-dir", str(sim.run_dir)),
            run_mark=mark,
        )  # fmt: skip
        private, public = signing.generate()
        key_file = _secret(folder / "group.key", group_key_text(KEY))
        ticket_key_file = _secret(folder / "ticket.key", private)
        public_file = folder / "command-key.pub"
        public_file.write_text(public, encoding="utf-8")
        data = folder / "data"
        data.mkdir()
        asyncio.run(_keep_pack_list(data))
        config = folder / "cabinet.toml"
        values = {
            "cabinet": {"data_dir": str(data), "clock": "host"},
            # A broker that is not there: this cabinet is off the network.
            "fleet": {
                "url": f"mqtt://{LOOPBACK}:{free_port()}",
                "group_key_file": str(key_file),
                "command_key_file": str(public_file),
                "credentials_dir": "",
            },
            "web": {"host": LOOPBACK, "port": port},
        }
        config.write_text(with_values(example, values), encoding="utf-8")
        argv = (str(program("cabinetd")), "run", "--config", str(config))
        log = folder / "cabinetd.log"
        cabinetd = Program("cabinetd", argv, log=log, run_mark=mark)
        found = Acceptance(sim, cabinetd, f"http://{LOOPBACK}:{port}", key_file, ticket_key_file)
        cabinetd.start()
        try:
            found.wait_ready()
            yield found
        finally:
            cabinetd.stop()
            sweep(mark, lambda _line: None)


def _secret(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path


async def _keep_pack_list(data: Path) -> None:
    """What the cabinet's journal has kept of the fleet's lists."""
    store = await Store.open(data / STORE_FILE)
    try:
        await store.commit([ListsRow(Lists(version=1, packs=PACKS))])
    finally:
        await store.close()
