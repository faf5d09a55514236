"""A real Mosquitto with deploy's configuration: only its port and its places are the test's."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from deploy.demo.processes import LOOPBACK, Program, wait_ready
from deploy.demo.stack import PROGRAM_READY_WITHIN_S
from deploy.demo.waiting import until
from fleet.adapters.broker import EmbeddedBroker
from fleet.adapters.clock import SystemClock
from fleet.adapters.pki import CA_FILE, CRL_FILE, SERVER_FILE, Authority
from fleet.core.records import Credential
from tests.support.stack import SystemStack

DEPLOY: Final = Path(__file__).parents[2] / "deploy/mosquitto"
FILES: Final = (CA_FILE, SERVER_FILE, CRL_FILE)


def configuration(port: int, files: Path, data: Path) -> str:
    """deploy's mosquitto.conf with other places and another port."""
    text = (DEPLOY / "yizhan.conf").read_text()
    changes: Mapping[str, str] = {
        "/etc/mosquitto/yizhan.acl": str(DEPLOY / "yizhan.acl"),
        "/etc/mosquitto/yizhan/": f"{files}/",
        "/var/lib/mosquitto/": f"{data}/",
        "listener 8883": f"listener {port} {LOOPBACK}\nuser root",
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


class DeployedBroker(EmbeddedBroker):
    """The embedded broker's process, with deploy's files in place of its own."""

    def _write(self, cabinets: Sequence[Credential]) -> bool:  # noqa: ARG002 - certificates alone
        folder = self._place.folder
        folder.mkdir(parents=True, exist_ok=True)
        assert self._authority is not None
        text = configuration(self._place.port, self._authority.ca_file.parent, folder)
        (folder / "mosquitto.conf").write_text(text)
        return False


@asynccontextmanager
async def deployed_broker(folder: Path, authority: Authority) -> AsyncIterator[DeployedBroker]:
    """Running on a free port."""
    broker = DeployedBroker(
        host=LOOPBACK,
        port=0,
        folder=folder / "deployed",
        prefer="mosquitto",
        clock=SystemClock(),
        authority=authority,
    )
    await broker.start([])
    try:
        yield broker
    finally:
        await broker.stop()


class ProductionStack(SystemStack):
    """The broker is a Mosquitto of its own, as deploy sets it up, in its container's script."""

    @property
    def broker_files(self) -> Path:
        """What the broker reads."""
        return self.run_dir / "broker"

    def _start_fleet(self) -> None:
        self.broker_files.mkdir(mode=0o750)
        fleetd = self._program("fleetd", "run", "--config", str(self.fleet_config))
        fleetd.start()
        made = [self.fleet_data / "pki" / name for name in FILES]
        until(
            lambda: all(path.exists() for path in made),
            within_s=PROGRAM_READY_WITHIN_S,
            what="the files for the broker",
            on_timeout=fleetd.tail,
        )
        self.fleet("broker-files", str(self.broker_files))
        broker = self._broker()
        broker.start()
        wait_ready(
            self.rider.ready,
            [fleetd, broker],
            within_s=PROGRAM_READY_WITHIN_S,
            what="fleetd with its broker",
        )

    def _broker(self) -> Program:
        data = self.run_dir / "broker-data"
        data.mkdir()
        config = self.run_dir / "mosquitto.conf"
        config.write_text(configuration(self.broker_port, self.broker_files, data))
        path = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        assert path is not None, "apt install mosquitto"
        command = (
            *("/usr/bin/env", f"CONFIG={config}", f"FILES={self.broker_files}", f"DATA={data}"),
            f"PATH={Path(path).parent}:/usr/bin:/bin",
            *("/bin/sh", str(DEPLOY / "container.sh")),
        )
        log = self.run_dir / "log/mosquitto.log"
        self.programs["mosquitto"] = Program("mosquitto", command, log=log, run_mark=self.mark)
        return self.programs["mosquitto"]
