"""The demo's stack of real processes, with what a system test does to it and asks of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx2

from deploy.demo.clients import Json
from deploy.demo.processes import Program, marked_pids, program_env
from deploy.demo.stack import Options, Stack
from deploy.demo.swap import Hands, ledger_of
from deploy.demo.waiting import until

ARTIFACTS: Final = Path(__file__).parents[2] / ".artifacts"
STEP_WITHIN_S: Final = 60.0
TRUTH_WITHIN_S: Final = 60.0
CHARGING_WITHIN_S: Final = 90.0
CABINET_DB: Final = "cabinet.db"


class SystemStack(Stack):
    """Simulator, fleetd and cabinetd as a test drives them."""

    clock_synced = (
        False  # whether cabinetd takes its wall clock for right, whatever the kernel says
    )

    def _program(self, name: str, *arguments: str) -> Program:
        program = super()._program(name, *arguments)
        if name == "cabinetd" and self.clock_synced:
            launcher = (sys.executable, "-m", "tests.support.synced_cabinetd")
            program = Program(name, (*launcher, *arguments), log=program.log, run_mark=self.mark)
            self.programs[name] = program
        return program

    @property
    def hands(self) -> Hands:
        """The rider's hands at the cabinet."""
        return Hands(self.sim)

    # --- the rider ------------------------------------------------------------------------------

    def login(self) -> None:
        """Log the rider in by phone and code."""
        self.rider.login(self.options.phone)

    def start_swap(self, kind: str = "swap", *, key: str | None = None) -> str:
        """Tap; return the swap's id."""
        swap_id: str = self.rider.start(self.options.cabinet_id, kind, key=key)["id"]
        return swap_id

    def wait_step(self, swap_id: str, *steps: str, within_s: float = STEP_WITHIN_S) -> Json:
        """The view of the swap once it is at one of these steps; fails when it has ended elsewhere."""
        seen: list[Json] = []

        def there() -> Json | None:
            view = self.rider.swap(swap_id)
            seen[:] = [view]
            if view["done"] and view["step"] not in steps:
                raise AssertionError(f"swap ended as {view['step']} ({view['reason']}): {view}")
            return view if view["step"] in steps else None

        return until(
            there,
            within_s=within_s,
            what=f"swap {swap_id} at {' or '.join(steps)}",
            on_timeout=lambda: f"(last seen: {seen[0] if seen else None})\n{self.tails()}",
        )

    def whole_swap(self, serial: str) -> tuple[str, str]:
        """One swap by hand with this pack given back; return the swap's id and the pack received."""
        swap_id = self.start_swap()
        self.hands.give(self.wait_step(swap_id, "await-return")["slot_in"], serial)
        slot_out = self.wait_step(swap_id, "await-pickup")["slot_out"]
        received = self.hands.take(slot_out)
        self.sim.close_door(slot_out)
        self.wait_step(swap_id, "completed")
        return swap_id, received

    # --- processes ------------------------------------------------------------------------------

    def kill9(self, name: str) -> None:
        """SIGKILL, as if the power of that computer went."""
        self.programs[name].kill9()

    def restart(self, name: str) -> None:
        """Start a program again as it was started first."""
        self.programs[name].start()

    def wait_serving(self, within_s: float = STEP_WITHIN_S) -> None:
        """Wait until the fleet would let a swap begin: after a start that takes a look at each pack."""
        self.wait_cabinet_online()

        def serves() -> bool:
            view = self.rider.cabinet(self.options.cabinet_id)
            return bool(view and view["full"] and view["empty"] and not view["active_swap"])

        until(serves, within_s=within_s, what="a cabinet that serves", on_timeout=self.tails)

    def tails(self) -> str:
        """The last lines of every program, for a failing test."""
        return "\n".join(f"--- {each.name}\n{each.tail(25)}" for each in self.programs.values())

    def leftovers(self) -> list[int]:
        """Processes of this run that still live."""
        return marked_pids(self.mark)

    # --- truth, ledger, journal -----------------------------------------------------------------

    def ledger(self, swap_id: str) -> list[Json]:
        """The posted movements of a swap."""
        return ledger_of(self, swap_id)

    def ledger_slots(self) -> dict[int, str]:
        """Serial by slot, as the ledger has it."""
        prefix = f"slot:{self.options.cabinet_id}:"
        with contextlib.closing(sqlite3.connect(self.fleet_db, timeout=60)) as db:
            rows = db.execute("SELECT serial, holder FROM battery").fetchall()
        return {
            int(holder.removeprefix(prefix)): serial
            for serial, holder in rows
            if holder.startswith(prefix)
        }

    def ledger_holders(self) -> dict[str, str]:
        """Holder by serial, as the ledger has it."""
        with contextlib.closing(sqlite3.connect(self.fleet_db, timeout=60)) as db:
            return dict(db.execute("SELECT serial, holder FROM battery"))

    @property
    def fleet_db(self) -> Path:
        """The fleet's SQLite file."""
        return next(iter(self.fleet_data.glob("*.db")))

    @property
    def cabinet_db(self) -> Path:
        """The cabinet's journal."""
        return self.cabinet_data / CABINET_DB

    def audit(self) -> str:
        """What ``fleetd audit`` prints; raises ProgramError when the ledger is not in order."""
        return self.fleet("audit")

    def assert_truth_is_ledger(self, within_s: float = TRUTH_WITHIN_S) -> None:
        """Every pack is where the ledger says, by the simulator, and the audit is clean."""
        until(
            lambda: self.sim.serials() == self.ledger_slots(),
            within_s=within_s,
            what="ledger equals simulator",
            on_timeout=lambda: (
                f"(simulator {self.sim.serials()}, ledger {self.ledger_slots()})\n{self.tails()}"
            ),
        )
        self.audit()

    # --- charging and time ----------------------------------------------------------------------

    def charging(self) -> frozenset[int]:
        """Slots that charge, by the simulator."""
        return frozenset(s["slot"] for s in self.sim.state()["slots"] if s["charging"])

    def wait_charging(self, slots: Iterable[int], within_s: float = CHARGING_WITHIN_S) -> None:
        """Wait until all these slots charge."""
        wanted = frozenset(slots)
        until(
            lambda: wanted <= self.charging(),
            within_s=within_s,
            what=f"slots {sorted(wanted)} charging",
            on_timeout=lambda: f"(charging: {sorted(self.charging())})\n{self.tails()}",
        )

    def last_seq(self) -> int:
        """The number of the newest truth event."""
        events = self.sim.events()
        return events[-1]["seq"] if events else 0

    def wait_event(
        self, kind: str, *, since: int, within_s: float, slot: int | None = None, **detail: object
    ) -> Json:
        """The first truth event of a kind after ``since``."""
        return until(
            lambda: next(
                (
                    event
                    for event in self.sim.events(since)
                    if event["kind"] == kind
                    and (slot is None or event["slot"] == slot)
                    and all(event.get(key) == value for key, value in detail.items())
                ),
                None,
            ),
            within_s=within_s,
            what=f"{kind} (slot {slot}) in the simulator",
            on_timeout=self.tails,
        )

    def metrics(self) -> dict[str, float]:
        """The cabinet's own metrics, by full sample name with labels."""
        return parse_metrics(httpx2.get(f"{self.cabinet_url}/metrics", trust_env=False).text)


def parse_metrics(text: str) -> dict[str, float]:
    """Prometheus text as ``name{labels}`` to value."""
    samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            samples[name] = float(value)
    return samples


@contextlib.contextmanager
def running(
    name: str,
    run_dir: Path,
    options: Options | None = None,
    *,
    clock_synced: bool = False,
    kind: type[SystemStack] = SystemStack,
) -> Iterator[SystemStack]:
    """A started stack; at the end its logs go to the artefacts and nothing of it may live."""
    stack = kind(run_dir, options)
    stack.clock_synced = clock_synced
    logs = ARTIFACTS / "logs" / name
    shutil.rmtree(logs, ignore_errors=True)
    try:
        stack.start()
        yield stack
    finally:
        warned: list[str] = []
        stack._say = warned.append
        stack.stop()
        shutil.copytree(run_dir / "log", logs, dirs_exist_ok=True)
    assert warned == [], "a program left a child behind"
    assert stack.leftovers() == []


def run_demo(*arguments: str, within_s: float, mark: str) -> subprocess.CompletedProcess[str]:
    """`make demo` without make, to its end."""
    return subprocess.run(
        (sys.executable, "-m", "deploy.demo", *arguments),
        cwd=Path(__file__).parents[2],
        env={**program_env(mark), "TERM": os.environ.get("TERM", "dumb")},
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def read_rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of a SQLite file that a program is writing to."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as db:
        return db.execute(query).fetchall()


def write_row(path: Path, query: str) -> int:
    """Change a SQLite file that a program uses, as another process of the same program would."""
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as db, db:
        (value,) = db.execute(query).fetchone()
    return int(value)


def as_json(text: str) -> Any:
    """Parsed, for tests of ``--json`` output."""
    return json.loads(text)
