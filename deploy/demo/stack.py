"""One whole cabinet on this machine: simulator, fleetd and cabinetd as processes, in the right order."""

from __future__ import annotations

import csv
import json
import ssl
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from deploy.demo.clients import RiderClient, SimClient
from deploy.demo.errors import DemoError
from deploy.demo.processes import (
    LOOPBACK,
    Program,
    free_port,
    run_once,
    sweep,
    wait_ready,
)
from deploy.demo.toml_edit import Value, with_values

PROGRAM_READY_WITHIN_S: Final = 120.0
CABINET_ONLINE_WITHIN_S: Final = 120.0
OPERATOR_NAME: Final = "demo"
PACK_MODEL: Final = "YZ-48-20"
STATION: Final = "DRUM"
PACK_CAPACITY_WH: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What fleetd serves HTTPS with, and the CA that vouches for it."""

    cert_file: Path
    key_file: Path
    ca_file: Path


@dataclass(frozen=True, slots=True)
class Rider:
    """A rider with a pack on the bike."""

    phone: str
    serial: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What differs between the demo and the tests that reuse it."""

    cabinet_id: str = "DH-0001"
    cabinet_name: str = "Drum Tower 鼓楼"
    slots: int = 12
    phone: str = "+8613800138000"
    rider_serial: str | None = "YZ48-000101"  # the pack on the rider's bike
    more_riders: tuple[Rider, ...] = ()
    broker: str = "auto"  # "nats", "mosquitto"
    http_host: str = LOOPBACK  # where fleetd listens
    public_host: str = LOOPBACK  # what the URLs name
    http_port: int | None = None
    tls: Tls | None = None
    simulator_toml: str = ""  # empty: the simulator's built-in cabinet
    sockets: int = 0  # of a charging area; above 0 there is a station too
    cabinet_values: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    fleet_values: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)


class Stack:
    """Starts the three programs, knows their addresses, and leaves nothing behind."""

    def __init__(
        self,
        run_dir: Path,
        options: Options | None = None,
        *,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.run_dir = run_dir
        self.options = options or Options()
        self.mark = uuid.uuid4().hex
        self._say = say
        self.programs: dict[str, Program] = {}
        self.http_port = self.options.http_port or free_port()
        self.broker_port = free_port()
        self.enrol_port = free_port()
        self.cabinet_port = free_port()
        self.rider_id = ""
        self._holders: dict[str, str] = {}  # packs that riders have
        self.cabinet_row: dict[str, Any] = {}
        self._sim: SimClient | None = None
        self._rider: RiderClient | None = None

    # --- addresses ------------------------------------------------------------------------------

    @property
    def fleet_url(self) -> str:
        """Of fleetd, as riders and operators reach it."""
        scheme = "https" if self.options.tls else "http"
        return f"{scheme}://{self.options.public_host}:{self.http_port}"

    @property
    def rider_url(self) -> str:
        """Behind the cabinet's QR code."""
        return f"{self.fleet_url}/c/{self.options.cabinet_id}"

    @property
    def operator_url(self) -> str:
        """Logs an administrator in, once, within the hour; made anew at each call."""
        made = self.fleet("staff", "link", OPERATOR_NAME, "--role", "admin", "--json")
        link: str = json.loads(made)["link"]
        return f"{self.fleet_url}/ops/login?{urlsplit(link).query}"

    @property
    def cabinet_url(self) -> str:
        """The cabinet's own status page."""
        return f"http://{LOOPBACK}:{self.cabinet_port}"

    @property
    def simulator_url(self) -> str:
        """Of the simulator's control API."""
        found: str = self._simulator_ready()["http"]
        return found.rstrip("/")

    @property
    def fleet_config(self) -> Path:
        """The file that fleetd runs with."""
        return self.run_dir / "fleet.toml"

    @property
    def cabinet_config(self) -> Path:
        """The file that cabinetd runs with."""
        return self.run_dir / "cabinet.toml"

    @property
    def fleet_data(self) -> Path:
        """The folder with fleetd's database and message file."""
        return self.run_dir / "fleet"

    @property
    def cabinet_data(self) -> Path:
        """The folder with the cabinet's journal."""
        return self.run_dir / "cabinet"

    @property
    def credentials(self) -> Path:
        """The folder that `cabinetd enrol` fills."""
        return self.cabinet_data / "credentials"

    @property
    def sms_file(self) -> Path:
        """Where the console sender writes its texts."""
        return self.fleet_data / "sms.jsonl"

    @property
    def operator_token_file(self) -> Path:
        """Made by fleetd anew at each start, for commands on this machine."""
        return self.fleet_data / "operator.token"

    @property
    def sim(self) -> SimClient:
        """The simulator's hands and eyes."""
        if self._sim is None:
            self._sim = SimClient(self.simulator_url)
        return self._sim

    @property
    def rider(self) -> RiderClient:
        """A phone that is not yet logged in."""
        if self._rider is None:
            self._rider = self.new_phone()
        return self._rider

    def new_phone(self) -> RiderClient:
        """Another phone, without a session."""
        return RiderClient(self.fleet_url, sms_file=self.sms_file, verify=self.trust())

    def trust(self) -> ssl.SSLContext | bool:
        """Whom a client of fleetd believes."""
        tls = self.options.tls
        return ssl.create_default_context(cafile=str(tls.ca_file)) if tls else True

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything; on return the fleet shows the cabinet online.

        Raises:
            DemoError: a program died or was not ready in time; nothing is left running.
        """
        try:
            (self.run_dir / "log").mkdir(parents=True, exist_ok=True)
            self._start_simulator()
            self._register()
            self._wait_simulator()
            self._import_packs()
            self._start_fleet()
            self._start_cabinet()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every process of this run; the run's folder stays for its owner to read or remove."""
        for client in (self._sim, self._rider):
            if client is not None:
                client.close()
        self._sim = self._rider = None
        for program in reversed(self.programs.values()):
            program.stop()
        sweep(self.mark, self._say)

    def check_alive(self) -> None:
        """Raise ProgramError when one of the programs has ended by itself."""
        for program in self.programs.values():
            program.check_alive()

    def fleet(self, *arguments: str) -> str:
        """Run a ``fleetd`` command on this run's store and return what it printed."""
        return self._run("fleetd", *arguments, "--config", str(self.fleet_config))

    def wait_cabinet_online(self, within_s: float = CABINET_ONLINE_WITHIN_S) -> dict[str, Any]:
        """Wait until the fleet has the cabinet online with all slots known; return its view."""
        found: list[dict[str, Any]] = []

        def online() -> bool:
            view = self.rider.cabinet(self.options.cabinet_id)
            if view is None or not view["online"] or len(view["slots"]) != self.options.slots:
                return False
            found[:] = [view]
            return all(slot["state"] != "unknown" for slot in view["slots"])

        wait_ready(
            online,
            [self.programs["fleetd"], self.programs["cabinetd"]],
            within_s=within_s,
            what=f"cabinet {self.options.cabinet_id} online in the fleet",
        )
        return found[0]

    # --- steps ----------------------------------------------------------------------------------

    def _start_simulator(self) -> None:
        self._say("simulator: 12 slots on virtual serial wires …")
        arguments = ["cabinet", "--run-dir", str(self.run_dir / "wires")]
        toml = self.options.simulator_toml
        if self.options.sockets and not toml:
            toml = f"[cabinet]\nsockets = {self.options.sockets}\n"
        if toml:
            path = self.run_dir / "simulator.toml"
            path.write_text(toml, encoding="utf-8")
            arguments += ["--config", str(path)]
        program = self._program("swapsim", *arguments, "--http", str(free_port()))
        program.start()

    def _wait_simulator(self) -> None:
        wait_ready(
            (self.run_dir / "wires" / "ready.json").exists,
            [self.programs["swapsim"]],
            within_s=PROGRAM_READY_WITHIN_S,
            what="the simulator's wires",
        )

    def _register(self) -> None:
        options = self.options
        self._say("fleet: registering cabinet, rider and packs …")
        self.fleet_data.mkdir(parents=True, exist_ok=True)
        self.fleet_config.write_text(self._fleet_toml(), encoding="utf-8")
        added = self.fleet(
            *("cabinet", "add", options.cabinet_id, "--name", options.cabinet_name),
            *("--slots", str(options.slots), "--lat", "39.9402", "--lon", "116.3897", "--json"),
        )
        self.cabinet_row = json.loads(added)
        if options.sockets:
            self._found_station()
        self.rider_id = self._add_rider(options.phone, options.rider_serial)
        for rider in options.more_riders:
            self._add_rider(rider.phone, rider.serial)

    def _found_station(self) -> None:
        """A station around the cabinet, with sockets and amenities."""
        self.fleet(
            *("station", "set", STATION, "--name", self.options.cabinet_name),
            *("--hours", "00:00-24:00", "--lat", "39.9402", "--lon", "116.3897"),
            *("--price-kwh", "120", "--price-hour", "20"),
        )
        self.fleet("station", "cabinet", self.options.cabinet_id, STATION)
        for kind in ("repair-kit", "water"):
            self.fleet("station", "amenity", STATION, kind)

    def _add_rider(self, phone: str, serial: str | None) -> str:
        added = self.fleet("rider", "add", "--phone", phone, "--json")
        rider_id: str = json.loads(added)["id"]
        if serial:
            self._holders[serial] = f"rider:{rider_id}"
        return rider_id

    def _import_packs(self) -> None:
        holders = {
            serial: f"slot:{self.options.cabinet_id}:{slot}"
            for slot, serial in self.sim.serials().items()
        }
        holders |= self._holders
        path = self.run_dir / "packs.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("serial", "model", "capacity_wh", "holder"))
            writer.writerows(
                (serial, PACK_MODEL, PACK_CAPACITY_WH, holder) for serial, holder in holders.items()
            )
        self.fleet("battery", "import", str(path))

    def _start_fleet(self) -> None:
        self._say("fleet: broker, ledger and pages …")
        program = self._program("fleetd", "run", "--config", str(self.fleet_config))
        program.start()
        wait_ready(
            self.rider.ready,
            [program],
            within_s=PROGRAM_READY_WITHIN_S,
            what=f"fleetd at {self.fleet_url}",
        )

    def _start_cabinet(self) -> None:
        self._say("cabinet: reading every slot …")
        wires = str(self.run_dir / "wires")
        wires = str(self.run_dir / "wires")
        example = self._run(
            *("cabinetd", "example-config"),
            *("--id", self.options.cabinet_id, "--run-dir", wires),
            *("--sockets", str(self.options.sockets)),
        )
        text = with_values(
            example,
            {
                # The programs of a demo share one machine, whose clock is right or wrong for all.
                "cabinet": {"data_dir": str(self.cabinet_data), "clock": "host"},
                "fleet": {"credentials_dir": str(self.credentials)},
                "web": {"host": LOOPBACK, "port": self.cabinet_port},
            },
        )
        text = with_values(text, self.options.cabinet_values)
        self.cabinet_config.write_text(text, encoding="utf-8")
        self.cabinet_data.mkdir(parents=True, exist_ok=True)
        self._enrol()
        self._program("cabinetd", "run", "--config", str(self.cabinet_config)).start()
        self.wait_cabinet_online()

    def _fleet_toml(self) -> str:
        options = self.options
        http: dict[str, Value] = {
            "host": options.http_host,
            "port": self.http_port,
            "public_url": self.fleet_url,
        }
        if options.tls:
            http["tls_cert_file"] = str(options.tls.cert_file)
            http["tls_key_file"] = str(options.tls.key_file)
        text = with_values(
            "# Written by the demo.",
            {
                "fleet": {"data_dir": str(self.fleet_data)},
                "http": http,
                "broker": {
                    "mode": "embedded",
                    "host": LOOPBACK,
                    "port": self.broker_port,
                    "prefer": options.broker,
                    # The pages may be on the LAN, for a phone; the cabinet is on this machine.
                    "public_url": f"mqtts://{LOOPBACK}:{self.broker_port}",
                },
                "enrol": {
                    "port": self.enrol_port,
                    "public_url": f"https://{LOOPBACK}:{self.enrol_port}",
                },
                "sms": {"sender": "console"},
                "operator": {"token_file": str(self.operator_token_file)},
            },
        )
        return with_values(text, options.fleet_values)

    # --- helpers --------------------------------------------------------------------------------

    def _enrol(self) -> None:
        """Join the fleet by the token, as a technician would."""
        token = self.run_dir / "token"
        token.touch(mode=0o600)
        token.write_text(self.cabinet_row["token"], encoding="utf-8")
        config = str(self.cabinet_config)
        self._run("cabinetd", "enrol", "--config", config, "--token-file", str(token))
        token.unlink()

    def _program(self, name: str, *arguments: str) -> Program:
        log = self.run_dir / "log" / f"{name}.log"
        program = Program(name, (_script(name), *arguments), log=log, run_mark=self.mark)
        self.programs[name] = program
        return program

    def _run(self, name: str, *arguments: str) -> str:
        return run_once((_script(name), *arguments), run_mark=self.mark)

    def _simulator_ready(self) -> dict[str, Any]:
        path = self.run_dir / "wires" / "ready.json"
        if not path.exists():
            raise DemoError("the simulator is not ready")
        ready: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return ready


def _script(name: str) -> str:
    """The installed command beside the running Python, so that a stray one on PATH is never taken."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise DemoError(f"{path} is not there. Run `make setup` first.")
    return str(path)
