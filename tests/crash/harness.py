"""Hundreds of real swaps while the real processes are killed, and the reckoning afterwards."""

from __future__ import annotations

import json
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deploy.demo.errors import ProgramError
from deploy.demo.waiting import now_s, until
from tests.crash.reckoning import Reckoning, Ridden, reckon
from tests.crash.rider import NoStartError, Ride, Rider
from tests.crash.town import Town, pack_of
from tests.support.stack import SystemStack

#: What is killed, and how often in relation to the others.
TARGETS: Final = (("cabinetd", 4), ("fleetd", 3), ("broker", 3))
#: A kill comes at a random instant up to this long after a tap: a swap takes that long.
KILL_SPREAD_S: Final = 5.0
#: Every few kills the same is killed once more while it comes up.
AGAIN_ONE_IN: Final = 5
AGAIN_WITHIN_S: Final = 1.5
SUPERVISE_EVERY_S: Final = 0.1
CANCEL_ONE_IN: Final = 10
DAWDLE_ONE_IN: Final = 10
SETTLED_WITHIN_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do."""

    swaps: int
    kills: int
    seed: int
    cabinets: int = 3
    broker: str = "nats"


@dataclass(slots=True)
class Outcome:
    """What a run found."""

    plan: Plan
    seconds: float = 0.0
    rides: list[Ride] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    faults: list[str] = field(default_factory=list)  # of the harness's own work
    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    audit: list[Any] = field(default_factory=list)

    @property
    def ends(self) -> Counter[str]:
        """How the swaps ended."""
        return Counter(ride.end or "no end" for ride in self.rides)

    @property
    def good(self) -> bool:
        """Whether nothing was lost, double or out of order, and all was done that was planned."""
        enough = len(self.rides) >= self.plan.swaps and self.kills.total() >= self.plan.kills
        return enough and not (self.lost or self.double or self.audit or self.faults)

    def table(self) -> str:
        """The figures, one a line, and everything that is wrong."""
        ends, kills = self.ends, self.kills
        rows = [
            ("seed", str(self.plan.seed)),
            ("broker", self.plan.broker),
            ("swaps", f"{len(self.rides)} at {self.plan.cabinets} cabinets"),
            (
                "kills",
                f"{kills.total()}: " + ", ".join(f"{n} {w}" for w, n in sorted(kills.items())),
            ),
            ("ends", ", ".join(f"{n} {end}" for end, n in ends.most_common())),
            ("resumed", str(sum(ride.resumes for ride in self.rides))),
            ("taps", str(sum(ride.taps for ride in self.rides))),
            ("lost", str(len(self.lost))),
            ("double", str(len(self.double))),
            ("audit", "clean" if not self.audit else f"{len(self.audit)} violations"),
            ("seconds", f"{self.seconds:.0f}"),
        ]
        lines = [f"{name:<9}{text}" for name, text in rows]
        for name in ("faults", "lost", "double", "audit"):
            lines += [f"{name}: {each}" for each in getattr(self, name)]
        return "\n".join(lines)


class Harness:
    """One run over a started town."""

    def __init__(self, town: Town, plan: Plan, say: Callable[[str], None]) -> None:
        self._town = town
        self._plan = plan
        self._say = say
        self._chance = random.Random(plan.seed)
        self._outcome = Outcome(plan)
        self._lock = threading.Lock()
        self._taps: queue.SimpleQueue[SystemStack] = queue.SimpleQueue()
        self._begun = 0
        self._over = threading.Event()
        self._free: queue.SimpleQueue[Rider] = queue.SimpleQueue()
        self.riders = [
            Rider(number, phone, pack_of(number), random.Random(f"{plan.seed}-{number}"))
            for number, phone in town.phones.items()
        ]
        for rider in self.riders:
            self._free.put(rider)

    def run(self) -> Outcome:
        """All swaps, all kills, then the reckoning."""
        began_s = now_s()
        threads = [
            threading.Thread(target=self._guarded, args=(work, *args), name=name)
            for name, work, args in (
                ("supervisor", self._supervise, ()),
                ("killer", self._kill_all, ()),
                *((f"cabinet {n}", self._serve, (s,)) for n, s in enumerate(self._town.sites)),
            )
        ]
        for thread in threads:
            thread.start()
        for thread in threads[1:]:
            thread.join()
        self._settle()
        self._over.set()
        threads[0].join()
        self._outcome.restarts = self._town.restarts
        self._outcome.seconds = now_s() - began_s
        return self._outcome

    def _guarded(self, work: Callable[..., None], *args: Any) -> None:
        try:
            work(*args)
        except Exception as error:  # noqa: BLE001  # one thread's end must not hang the others
            self._outcome.faults.append(f"{threading.current_thread().name}: {error!r:.2000}")
            self._plan_met()

    # --- the threads ----------------------------------------------------------------------------

    def _supervise(self) -> None:
        while not self._over.wait(SUPERVISE_EVERY_S):
            self._town.supervise()

    def _serve(self, site: SystemStack) -> None:
        """One cabinet's queue of riders."""
        while self._another():
            rider = self._free.get()
            self._taps.put(site)
            with self._lock:
                cancels = self._chance.randrange(CANCEL_ONE_IN) == 0
                dawdles = self._chance.randrange(DAWDLE_ONE_IN) == 0
            try:
                ride = rider.ride(site, cancels=cancels, dawdles=dawdles)
            except NoStartError as error:
                self._outcome.faults.append(str(error))
                raise
            finally:
                self._free.put(rider)
            with self._lock:
                self._outcome.rides.append(ride)
                done = len(self._outcome.rides)
            if done % 25 == 0:
                self._say(f"{done} swaps, {self._outcome.kills.total()} kills")

    def _another(self) -> bool:
        """Whether one more swap is to begin: until all are begun, and until all kills are done."""
        with self._lock:
            if self._outcome.faults:
                return False
            kills_left = self._outcome.kills.total() < self._plan.kills
            if self._begun >= self._plan.swaps and not kills_left:
                return False
            self._begun += 1
            return True

    def _plan_met(self) -> None:
        """Wake the killer when nobody taps any more."""
        self._taps.put(self._town.home)

    def _kill_all(self) -> None:
        """Kill by kill, each at a random instant after a tap, spread evenly over the swaps."""
        targets = [name for name, weight in TARGETS for _ in range(weight)]
        begun, due = 0, 0.0
        per_kill = self._plan.swaps / max(self._plan.kills, 1)
        while self._outcome.kills.total() < self._plan.kills and not self._outcome.faults:
            site = self._taps.get()
            begun += 1
            while due < begun and self._outcome.kills.total() < self._plan.kills:
                due += per_kill
                with self._lock:
                    wait_s = self._chance.uniform(0, KILL_SPREAD_S)
                    target = self._chance.choice(targets)
                    again = self._chance.randrange(AGAIN_ONE_IN) == 0
                time.sleep(wait_s)
                self._kill(target, site)
                if again:
                    time.sleep(self._chance.uniform(0, AGAIN_WITHIN_S))
                    self._kill(target, site)

    def _kill(self, target: str, site: SystemStack) -> None:
        if self._town.kill(target, site):
            self._outcome.kills[target] += 1

    # --- the reckoning --------------------------------------------------------------------------

    def _settle(self) -> None:
        """Wait until all is quiet and told, then compare; what differs is lost or double."""
        try:
            for site in self._town.sites:
                until(lambda s=site: _quiet(s), within_s=SETTLED_WITHIN_S, what="all is quiet")
            until(
                lambda: self._reckon() == Reckoning(),
                within_s=SETTLED_WITHIN_S,
                what="the ledger equals the truth",
                every_s=0.5,
            )
        except Exception as error:  # noqa: BLE001  # the reckoning below says what is wrong
            self._outcome.faults.append(f"{error!r:.500}")
        reckoning = self._reckon()
        self._outcome.lost += reckoning.lost
        self._outcome.double += reckoning.double
        self._outcome.audit += json.loads(self._audit())

    def _audit(self) -> str:
        try:
            return self._town.home.fleet("audit", "--json")
        except ProgramError as error:
            return json.dumps([str(error)])

    def _reckon(self) -> Reckoning:
        rides = [
            Ridden(ride.swap_id, (*ride.given, *ride.taken), ride.reason)
            for ride in self._outcome.rides
        ]
        return reckon(self._town.home.fleet_db, self._truth(), rides)

    def _truth(self) -> list[tuple[str, str]]:
        """Where every pack truly is, in the ledger's words."""
        slots = [
            (serial, f"slot:{site.options.cabinet_id}:{slot}")
            for site in self._town.sites
            for slot, serial in site.sim.serials().items()
        ]
        hands = [
            (rider.pack, f"rider:{self._town.rider_ids[rider.number]}")
            for rider in self.riders
            if rider.pack is not None
        ]
        return slots + hands


def _quiet(site: SystemStack) -> bool:
    """Whether the cabinet is online and serves nobody."""
    view = site.rider.cabinet(site.options.cabinet_id)
    return view is not None and view["online"] and view["active_swap"] is None


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> Outcome:
    """A town of its own from start to stop."""
    town = Town(folder, plan.cabinets, plan.cabinets + 1, plan.broker)
    try:
        town.start()
        say(f"{plan.cabinets} cabinets are up")
        return Harness(town, plan, say).run()
    finally:
        town.stop()
