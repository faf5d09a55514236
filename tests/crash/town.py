"""Several cabinets under one fleetd, all real processes, each restarted when it was killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from pathlib import Path
from typing import Final

from deploy.demo.clients import RiderClient
from deploy.demo.errors import DemoError
from deploy.demo.processes import Program
from deploy.demo.stack import PACK_CAPACITY_WH, PACK_MODEL, Options
from tests.support.broker_client import children_of
from tests.support.stack import SystemStack

SLOTS: Final = 12
#: Empty slots of each cabinet; the others hold a full pack.
EMPTY_SLOTS: Final = 4
#: Packs come back as full as they went out, so that a few slots serve hundreds of swaps.
SOC_PCT: Final = 96
STARTS_PER_MINUTE: Final = 1_000


class Annex(SystemStack):
    """One more cabinet, with a simulator of its own, of another stack's fleet."""

    def __init__(self, home: SystemStack, run_dir: Path, options: Options) -> None:
        super().__init__(run_dir, options)
        self.home = home
        for name in ("http_port", "broker_port", "enrol_port"):
            if hasattr(home, name):
                setattr(self, name, getattr(home, name))

    @property
    def fleet_config(self) -> Path:
        """The home's."""
        return self.home.fleet_config

    @property
    def fleet_data(self) -> Path:
        """The home's."""
        return self.home.fleet_data

    def _fleet_toml(self) -> str:
        return self.fleet_config.read_text(encoding="utf-8")

    def _start_fleet(self) -> None:
        """It runs already."""
        self.programs["fleetd"] = self.home.programs["fleetd"]


class Town:
    """The stacks, their riders, and what may be killed."""

    def __init__(self, run_dir: Path, cabinets: int, riders: int, broker: str) -> None:
        self.run_dir = run_dir
        homes = [_options(number, broker) for number in range(1, cabinets + 1)]
        self.home = SystemStack(run_dir / "c1", homes[0])
        self.sites: list[SystemStack] = [self.home]
        self.sites += [
            Annex(self.home, run_dir / f"c{number}", options)
            for number, options in enumerate(homes[1:], start=2)
        ]
        self._riders = riders
        self.rider_ids: dict[int, str] = {}
        self.phones: dict[int, RiderClient] = {}
        self.stopping = False
        self.restarts = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start all; on return every cabinet is online and every rider logged in, pack in hand."""
        for number, site in enumerate(self.sites, start=1):
            site.start()
            self.rider_ids[number] = site.rider_id
        for number in range(len(self.sites) + 1, self._riders + 1):
            self._add_rider(number)
        for number in range(1, self._riders + 1):
            phone = self.home.new_phone()
            phone.login(phone_of(number))
            self.phones[number] = phone

    def _add_rider(self, number: int) -> None:
        added = self.home.fleet("rider", "add", "--phone", phone_of(number), "--json")
        self.rider_ids[number] = json.loads(added)["id"]
        papers = self.run_dir / f"rider-{number}.csv"
        papers.write_text(
            "serial,model,capacity_wh,holder\n"
            f"{pack_of(number)},{PACK_MODEL},{PACK_CAPACITY_WH},rider:{self.rider_ids[number]}\n"
        )
        self.home.fleet("battery", "import", str(papers))

    def stop(self) -> None:
        """End every process."""
        self.stopping = True
        for phone in self.phones.values():
            phone.close()
        for site in reversed(self.sites):
            site.stop()

    # --- killing --------------------------------------------------------------------------------

    def kill(self, target: str, site: SystemStack) -> bool:
        """SIGKILL the fleet's, the broker's or this cabinet's process; whether it was alive."""
        if target == "broker":
            return self._kill_broker()
        with self._lock:
            program = (site if target == "cabinetd" else self.home).programs[target]
            try:
                program.kill9()
            except DemoError:  # it is just down
                return False
        return True

    def _kill_broker(self) -> bool:
        """Fleetd's only child; it must come back without its parent's end."""
        with contextlib.suppress(DemoError, OSError, IndexError):
            os.kill(children_of(self.home.programs["fleetd"].pid)[0], signal.SIGKILL)
            return True
        return False

    def supervise(self) -> None:
        """Start again whatever is not running, as systemd would."""
        with self._lock:
            if self.stopping:
                return
            for program in self.daemons():
                if not alive(program):
                    program.start()
                    self.restarts += 1

    def daemons(self) -> list[Program]:
        """Fleetd and every cabinetd."""
        return [self.home.programs["fleetd"], *(s.programs["cabinetd"] for s in self.sites)]


def alive(program: Program) -> bool:
    """Whether it runs."""
    try:
        program.check_alive()
    except DemoError:
        return False
    return True


def phone_of(number: int) -> str:
    """The phone of a rider; the first is the stack's own."""
    return f"+86138001380{number:02}"


def pack_of(number: int) -> str:
    """The pack that a rider has to begin with."""
    return f"YZ48-{900_000 + number:06}"


def _options(number: int, broker: str) -> Options:
    packs = "".join(
        f'[[pack]]\nslot = {slot}\nserial = "YZ48-{number * 1_000 + slot:06}"\nsoc_pct = {SOC_PCT}\n'
        for slot in range(EMPTY_SLOTS + 1, SLOTS + 1)
    )
    return Options(
        cabinet_id=f"CR-{number:04}",
        phone=phone_of(number),
        rider_serial=pack_of(number),
        broker=broker,
        simulator_toml=packs,
        fleet_values={"limits": {"starts_per_minute": STARTS_PER_MINUTE}},
    )
