"""`make demo ARGS="--day"`: a whole day of one cabinet on a fast clock, held against its limits.

Simulator, cabinetd and fleetd are given one clock rate. Riders come by the synthetic working day, swap
by real orders and hands, and their packs come back empty; the fleet plans every five minutes of that
day. At its end every interval's plan, measured power and energy by the simulator's own meter are held
against the limit.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import httpx2

from deploy.demo.clients import HTTP_TIMEOUT_S, RiderClient, SimClient
from deploy.demo.day_verdict import Point, Reading, Verdict, judge
from deploy.demo.errors import DemoError
from deploy.demo.stack import Options, Rider, Stack
from deploy.demo.swap import play
from deploy.demo.waiting import Deadline, now_s, until
from fleet.core.balance.generate import HOURLY_PRICE, HOURLY_SWAPS
from protocols.fastclock import FastClock

CLOCK_RATE: Final = 60
HOURS: Final = 24
ZONE: Final = ZoneInfo("Asia/Shanghai")
INTERVAL_S: Final = 900
EVERY_S: Final = 300
STEP_MS: Final = INTERVAL_S * 1_000
#: The day of the plans stands here when the programs start; they take their part of an hour.
STARTS_AT_H: Final = -1
SWAPS_A_DAY: Final = 30.0
RIDERS: Final = 8
SEED: Final = 20_260_304
#: A returned pack; the pack of the first rider and the others' are spread about it.
BACK_SOC_PCT: Final = (14.0, 30.0)
PACKS_SOC_PCT: Final = (92.0, 90.0, 88.0, 84.0, 76.0, 64.0, 55.0, 47.0, 38.0, 30.0, 22.0)
FEEDER_W: Final = 2_600
EVENING_W: Final = 1_600  # demand response, 18:00 to 20:00
BASE_W: Final = 60  # of the cabinet, before anything charges
PLANNED_WITHIN_S: Final = 300.0  # the first time the planner is compiled
LOOK_EVERY_S: Final = 0.5
SILENT_MAX_S: Final = 30.0
LAST_WITHIN_S: Final = 60.0
SHARE: Final = 1 / sum(HOURLY_SWAPS)
#: Why a rider leaves, and why one waits for a moment: the swap before is just ending.
TURNED_AWAY: Final = ('"no-full-battery"', '"no-empty-slot"')
NOT_YET: Final = ('"busy"', '"open-swap"')
PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Day:
    """How it is played."""

    fast: FastClock
    hours: int

    @classmethod
    def planned(cls, rate: int, hours: int) -> Day:
        """From about midnight on, at this rate."""
        now_ms = time.time_ns() // 1_000_000
        today = datetime.fromtimestamp(now_ms / 1_000, ZONE).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        starts = today + timedelta(hours=STARTS_AT_H)
        return cls(
            FastClock.showing(int(starts.timestamp() * 1_000), at_ms=now_ms, rate=rate), hours
        )

    def now_ms(self) -> int:
        """What the day's clock shows."""
        return self.fast.day_ms(time.time_ns() // 1_000_000)


def options_for(day: Day, options: Options, run_dir: Path) -> Options:
    """The demo's stack, on the day's clock and under a grid."""
    grid = run_dir / "grid.toml"
    grid.write_text(grid_toml(options.cabinet_id), encoding="utf-8")
    clock = {
        "profile": "demo",
        "clock_rate": day.fast.rate,
        "clock_origin_ms": day.fast.origin_ms,
    }
    packs = "".join(
        f'[[pack]]\nslot = {slot}\nserial = "YZ48-{slot:06d}"\nsoc_pct = {soc}\n'
        for slot, soc in enumerate(PACKS_SOC_PCT, 1)
    )
    return replace(
        options,
        simulator_toml=f"[physics]\nclock_rate = {day.fast.rate}\n{packs}",
        cabinet_values={"cabinet": clock, "fleet": {"telemetry_s": 1.0}},
        fleet_values={
            "fleet": clock,
            "balance": {
                "grid_file": str(grid),
                "interval_s": INTERVAL_S,
                "every_s": EVERY_S,
            },
        },
        more_riders=tuple(
            Rider(f"+86138001381{number:02d}", f"YZ48-0002{number:02d}")
            for number in range(1, RIDERS)
        ),
    )


def grid_toml(cabinet: str) -> str:
    """One narrow feeder, a tariff of four prices, and two hours of demand response."""
    steps = [
        f'{{ from = "{hour:02d}:00", price = {price} }}'
        for hour, price in enumerate(HOURLY_PRICE)
        if hour == 0 or price != HOURLY_PRICE[hour - 1]
    ]
    return f"""
[[region]]
name = "drum-tower"
peak_price_per_kw = 1.3
tariff = [{", ".join(steps)}]
window = [{{ from = "18:00", to = "20:00", limit_w = {EVENING_W} }}]
[[feeder]]
name = "F1"
region = "drum-tower"
limit_w = {FEEDER_W}
[cabinets]
{cabinet} = "F1"
[pack]
capacity_wh = 1180
charger_w = 330
efficiency = 0.9
[cabinet_power]
breaker_w = 3500
default_w = 1000
base_w = {BASE_W}
"""


def arrivals(begin_ms: int, hours: int, seed: int = SEED) -> list[int]:
    """When riders come: each minute of the day by the hour's share, the same for the same seed."""
    rng = random.Random(seed)  # noqa: S311 - riders, not secrets
    found = []
    for minute in range(hours * 60):
        at_ms = begin_ms + minute * 60_000
        hour = datetime.fromtimestamp(at_ms / 1_000, ZONE).hour
        if rng.random() < SWAPS_A_DAY * HOURLY_SWAPS[hour] * SHARE / 60:
            found.append(at_ms)
    return found


@dataclass(slots=True)
class Seen:
    """What the day has shown so far; filled by the watcher."""

    points: dict[int, Point] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    alarms: set[str] = field(default_factory=set)
    planned: bool = False
    trouble: str = ""


class Watcher(threading.Thread):
    """Looks at the operator's curve and at the simulator's meter all day, beside the riders."""

    def __init__(self, stack: Stack, day: Day) -> None:
        super().__init__(name="watcher", daemon=True)
        self.seen = Seen()
        self._day = day
        self._fleet = httpx2.Client(
            base_url=stack.fleet_url, timeout=HTTP_TIMEOUT_S, trust_env=False, verify=stack.trust()
        )
        self._sim = SimClient(stack.simulator_url)
        self._login = stack.operator_url
        self._stopped = threading.Event()

    def run(self) -> None:
        """Until stopped; trouble that lasts is told, not raised."""
        self._fleet.get(self._login)
        good_s = now_s()
        while not self._stopped.wait(LOOK_EVERY_S):
            try:
                self._look()
            except (DemoError, httpx2.HTTPError) as error:
                if now_s() - good_s > SILENT_MAX_S:
                    self.seen.trouble = f"the fleet or the simulator does not answer: {error}"
                    return
            else:
                good_s = now_s()

    def stop(self) -> None:
        """End, and close the connections."""
        self._stopped.set()
        if self.is_alive():
            self.join(HTTP_TIMEOUT_S)
        self._fleet.close()
        self._sim.close()

    def _look(self) -> None:
        state = self._sim.state()
        day_ms = self._day.fast.day_ms(state["wall_ms"])
        self.seen.readings.append(Reading(day_ms, state["meter"]["import_kwh"]))
        reply = self._fleet.get("/api/v1/balance/curve", params={"scope": "fleet"})
        if reply.is_error:
            raise DemoError(f"the curve: {reply.status_code} {reply.text[:200]}")
        curve = reply.json()
        plan = curve["plan"]
        self.seen.planned = plan is not None and plan["acknowledged"] >= 1
        if self.seen.planned:  # before, the planner is being compiled, and therefore late
            self.seen.alarms.update(curve["alarms"])
        now_ms = curve["now_ms"]
        for point in curve["points"]:
            if point["start_ms"] <= now_ms:
                self.seen.points[point["start_ms"]] = point


@dataclass(slots=True)
class Tally:
    """Riders of the day."""

    served: int = 0
    turned_away: int = 0


class Riders:
    """Bring empty packs, take full ones; whoever has been away longest comes next."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._rng = random.Random(SEED + 1)  # noqa: S311 - as above
        self._phones: list[tuple[RiderClient, str]] = []
        self.tally = Tally()

    def login(self) -> None:
        """Every rider's phone, once."""
        options = self.stack.options
        assert options.rider_serial is not None
        for rider in (Rider(options.phone, options.rider_serial), *options.more_riders):
            phone = self.stack.new_phone()
            phone.login(rider.phone)
            self._phones.append((phone, rider.serial))

    def close(self) -> None:
        """Close the connections."""
        for phone, _ in self._phones:
            phone.close()

    def come(self) -> None:
        """One rider comes and swaps, or finds nothing."""
        phone, serial = self._phones.pop(0)
        soc_pct = self._rng.uniform(*BACK_SOC_PCT)
        patience = Deadline.after(PATIENCE_S)
        while True:
            try:
                played = play(self.stack, phone, _quiet, serial=serial, soc_pct=soc_pct)
            except DemoError as error:
                if any(code in str(error) for code in TURNED_AWAY):
                    self.tally.turned_away += 1
                    self._phones.append((phone, serial))
                    return
                if patience.left_s() <= 0 or not any(code in str(error) for code in NOT_YET):
                    raise
                self.stack.check_alive()
                time.sleep(LOOK_EVERY_S)
            else:
                assert played.serial_out is not None
                self.tally.served += 1
                self._phones.append((phone, played.serial_out))
                return


def run_day(stack: Stack, day: Day, say: Callable[[str], None]) -> None:
    """Play it and say the verdict; raise DemoError when an interval was not within its limits."""
    watcher, riders = Watcher(stack, day), Riders(stack)
    try:
        watcher.start()
        riders.login()
        say("Waiting for the first plan (the first time the planner is compiled) …")
        until(
            lambda: _alive(stack, watcher) and watcher.seen.planned,
            within_s=PLANNED_WITHIN_S,
            what="a plan that the cabinet has taken up",
            every_s=LOOK_EVERY_S,
        )
        begin_ms = day.now_ms() // STEP_MS * STEP_MS + STEP_MS
        end_ms = begin_ms + day.hours * 3_600_000
        say(
            f"From {_clock(begin_ms)} on, {day.hours} h at {day.fast.rate} times real time; "
            f"power and plan: {stack.fleet_url}/ops/balance\n"
        )
        _play(day, watcher, riders, begin_ms, say)
        until(
            lambda: _alive(stack, watcher) and _last_ms(watcher.seen) > end_ms + STEP_MS // 10,
            within_s=LAST_WITHIN_S,
            what="the last interval's measured power",
            every_s=LOOK_EVERY_S,
        )
    finally:
        watcher.stop()
        riders.close()
    verdict = judge(
        watcher.seen.points,
        watcher.seen.readings,
        begin_ms,
        day.hours * 3600 // INTERVAL_S,
        STEP_MS,
    )
    _tell(verdict, riders.tally, watcher.seen, say)
    if verdict.violations:
        raise DemoError("the day was not within its limits at every interval")


def _play(
    day: Day,
    watcher: Watcher,
    riders: Riders,
    begin_ms: int,
    say: Callable[[str], None],
) -> None:
    due = arrivals(begin_ms, day.hours)
    shown_ms, end_ms = begin_ms, begin_ms + day.hours * 3_600_000
    while (now_ms := day.now_ms()) < end_ms:
        _alive(riders.stack, watcher)
        if now_ms >= shown_ms:
            shown_ms += 3_600_000
            say(_line(now_ms, watcher.seen, riders.tally))
        if due and now_ms >= due[0]:
            due.pop(0)
            riders.come()
        else:
            time.sleep(LOOK_EVERY_S / 5)


def _alive(stack: Stack, watcher: Watcher) -> bool:
    stack.check_alive()
    if watcher.seen.trouble:
        raise DemoError(watcher.seen.trouble)
    return True


def _last_ms(seen: Seen) -> int:
    return seen.readings[-1].day_ms if seen.readings else 0


def _line(now_ms: int, seen: Seen, tally: Tally) -> str:
    point = seen.points.get(
        max((start for start in list(seen.points) if start <= now_ms), default=0)
    )
    if point is None:
        return f"{_clock(now_ms)}  nothing is known yet"
    return (
        f"{_clock(now_ms)}  plan {_kw(point['plan_w'])}  measured {_kw(point['actual_w'])}  "
        f"limit {_kw(point['limit_w'])}  price {point['price']:.2f}  "
        f"swaps {tally.served}, turned away {tally.turned_away}"
    )


def _tell(verdict: Verdict, tally: Tally, seen: Seen, say: Callable[[str], None]) -> None:
    for line in verdict.violations:
        start, _, what = line.partition(": ")
        say(f"  {_clock(int(start))}  {what}")
    if seen.alarms:
        say(f"Alarms of the balance during the day: {', '.join(sorted(seen.alarms))}")
    say(
        f"{'FAILED' if verdict.violations else 'OK'}: {verdict.intervals} intervals checked, "
        f"{len(verdict.violations)} violations, {tally.served} swaps "
        f"({tally.turned_away} riders turned away), {verdict.energy_kwh:.1f} kWh, "
        f"cost {verdict.cost:.2f}, peak {_kw(verdict.peak_w)}"
    )


def _kw(watts: Any) -> str:
    return "-" if watts is None else f"{watts / 1_000:.2f} kW"


def _clock(day_ms: int) -> str:
    return f"{datetime.fromtimestamp(day_ms / 1_000, ZONE):%H:%M}"


def _quiet(_line: str) -> None:
    return None
