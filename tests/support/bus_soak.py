"""Every fault of a wire at random on a simulated cabinet, and what our side made of it.

Hands, orders and faults come from one seed. What our side believes is written down as it is read and
judged afterwards against the simulator's truth: a value is wrong when it was not true at any moment
of its window, which ends with the reading and begins with the oldest answer that a line without
sequence numbers can give for a fresh one.
"""

from __future__ import annotations

import asyncio
import random
import time
import urllib.request
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from cabinet.core.model import Image, SetCharger, Unlock, UnlockResult
from cabinet.errors import CabinetError
from protocols.messages import Door, Presence
from protocols.trace import Direction
from tests.support.wires import CabinetBench, until

#: The slowest answer, the stale one's second, and the reading's own time.
WINDOW_MS: Final = 3_000
AFTER_MS: Final = 300
METER_MS: Final = 4_000
#: Contacts and packs are looked at this often, the simulator's values this often.
LOOK_S: Final = 0.02
SAMPLE_S: Final = 0.2
FAULTS_AT_ONCE: Final = 4
#: A bus whose loop does not turn for this long is stuck; a busy machine's share is added.
TURN_MAX_MS: Final = 2_500
RECOVERY_S: Final = 60.0
#: With every device back no call waits for longer.
WAIT_MAX_S: Final = 5.0
#: Two people, each at their own slots; 1 to 3 are charging.
HANDS: Final = (range(4, 9), range(9, 13))
#: Where the locks are: board and relay of every slot.
LOCKS: Final = {(1 + (n - 1) // 8, (n - 1) % 8): n for n in range(1, 13)}
NOBODY: Final = -1
#: A rider's hand is not faster than this between two packs.
HAND_S: Final = 1.6

BOARDS: Final = tuple(f"board-{n}" for n in range(1, 5))
DEVICES: Final = (
    *BOARDS,
    "meter",
    "climate",
    *(f"charger-{n:02d}" for n in range(1, 13)),
    *(f"bms-{n:02d}" for n in range(1, 13)),
)
LINES: Final = ("bus-a", "bus-chargers", "slot-01", "slot-02", "slot-03")
#: Kinds with the range of their number; none stays longer than a few seconds.
KINDS: Final[dict[str, tuple[float, float] | None]] = {
    "deaf": None,
    "no-answer": None,
    "crc": None,
    "split": (5, 150),
    "cut": None,
    "noise": (1, 16),
    "slow": (50, 1_500),
    "wrong-address": (1, 3),
    "stale": None,
    "wrong-baud": (19_200, 19_200),
    "echo": None,
}


@dataclass(frozen=True, slots=True)
class Belief:
    """What our side took for true; ``at_ms`` is when it was read, as the wall clock has it."""

    at_ms: float
    what: str  # which value, by the key of its truth
    value: Any
    close: float = 0.0  # how near a number must be
    older_ms: float = 0.0  # on top of the window: read in two turns, each of which may wait


@dataclass(frozen=True, slots=True)
class Pulse:
    """One lock command, and what we were told of it."""

    slot: int
    from_ms: float
    to_ms: float
    result: UnlockResult


@dataclass
class Soak:
    """One run; ``problems`` is what must be empty in the end.

    With ``patient`` devices come back when their pauses are over, else they are asked at once.
    """

    bench: CabinetBench
    seed: int
    patient: bool
    beliefs: set[Belief] = field(default_factory=set)
    truths: dict[str, list[tuple[float, Any]]] = field(default_factory=dict)
    pulses: list[Pulse] = field(default_factory=list)
    log: list[Any] = field(default_factory=list)  # what happened in the simulator
    sent: list[tuple[float, int]] = field(default_factory=list)  # lock pulses on the wire
    struck: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    stall_ms: float = 0.0  # the most that this machine let us wait
    serial: int = 0
    heard_seq: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.shift_ms = time.time_ns() / 1e6 - self.bench.clock.monotonic_ms()
        self.tasks_before = 0

    async def run(self, seconds: float) -> None:
        """Faults for this long, then a cure, then the judgement."""
        bench = self.bench
        await bench.power()
        for slot in (1, 2, 3):
            await bench.wires.apply(SetCharger(slot, on=True, voltage_v=54.6, current_a=2.0))
        await until(lambda: all(s.bms for s in bench.wires.image().slots[:9]), "packs", 30)
        self.tasks_before = len(asyncio.all_tasks())
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for work in (self._watch, self._sample):
                group.create_task(work(stop), name=f"soak {work.__name__}")
            working = [
                group.create_task(self._faults(seconds)),
                *(group.create_task(self._hands(seconds, slots)) for slots in HANDS),
            ]
            await asyncio.wait(working)
            await self._cure()
            await asyncio.sleep(2 * SAMPLE_S)
            stop.set()
        self._judge()

    # --- what happens ---------------------------------------------------------------------------

    async def _faults(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        pack: list[str] = []
        while loop.time() < end:
            if not pack:
                pack = sorted(KINDS)
                self.rng.shuffle(pack)
            if len(await self._standing()) < FAULTS_AT_ONCE:
                await self._break(pack.pop())
            await asyncio.sleep(self.rng.uniform(0.1, 0.5))

    async def _break(self, kind: str) -> None:
        on_line = kind == "echo" or self.rng.random() < 0.2
        bounds = KINDS[kind]
        body: dict[str, Any] = {
            "target": self.rng.choice(LINES if on_line else self._devices()),
            "kind": kind,
            "duration_s": round(self.rng.uniform(0.3, 3.0), 2),
            "seed": self.rng.randrange(1 << 30),
        }
        if kind == "echo":  # an adapter echoes, or it does not
            body["target"] = self.rng.choice(LINES[:2])
        else:
            body["probability"] = round(self.rng.uniform(0.3, 1.0), 2)
        if bounds:
            body["value"] = round(self.rng.uniform(*bounds))
        await self.bench.post("/faults", **body)

    def _devices(self) -> tuple[str, ...]:
        """Often a board: doors and locks matter most."""
        return BOARDS if self.rng.random() < 0.4 else DEVICES

    async def _standing(self) -> list[Any]:
        found: list[Any] = (await self.bench.get("/faults"))["faults"]
        for fault in found:
            key = f"{fault['kind']} {fault['number']}"
            self.struck[key] = max(self.struck[key], fault["struck"])
        return found

    async def _hands(self, seconds: float, slots: range) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        slot = 0
        while loop.time() < end:
            slot = self.rng.choice([one for one in slots if one != slot])
            if await self._unlock(slot):
                await asyncio.sleep(self.rng.uniform(0.2, 0.6))
                if self.rng.random() < 0.6:
                    await self._change_pack(slot)
                await self.bench.post(f"/slots/{slot}/door", action="close")
            await asyncio.sleep(self.rng.uniform(0.3, 1.0))

    async def _unlock(self, slot: int) -> bool:
        """Whether the door is open now."""
        began_ms = _wall_ms()
        result = await self.bench.wires.apply(Unlock(slot, f"{slot}-{len(self.pulses)}"))
        assert result is not None
        await asyncio.sleep(0.05)
        self.pulses.append(Pulse(slot, began_ms, _wall_ms(), result))
        truth = await self.bench.truth()
        return bool(truth["slots"][slot - 1]["door"] == "open")

    async def _change_pack(self, slot: int) -> None:
        truth = await self.bench.truth()
        if truth["slots"][slot - 1]["pack"] is not None:
            await self.bench.post(f"/slots/{slot}/remove")
            await asyncio.sleep(HAND_S)
        if self.rng.random() < 0.8:
            self.serial += 1
            soc = self.rng.randint(10, 95)
            await self.bench.post(
                f"/slots/{slot}/insert", serial=f"SOAK-{self.serial:06d}", soc_pct=soc
            )
        await asyncio.sleep(self.rng.uniform(0.5, 1.5))

    async def _cure(self) -> None:
        """All faults cleared: every device comes back by itself, and no bus keeps a queue."""
        await self._standing()
        await asyncio.to_thread(self._clear)
        wires = self.bench.wires
        for station in (s for bus in wires.buses.values() for s in bus.stations):
            if not self.patient:
                station.revive()

        def well() -> bool:
            stations = [station for bus in wires.buses.values() for station in bus.stations]
            absent = {
                f"bms-{s.slot:02d}" for s in wires.image().slots if s.presence is Presence.ABSENT
            }
            return not wires.image().devices_offline and not any(
                station.is_offline for station in stations if station.name not in absent
            )

        try:
            await until(well, "every device back", RECOVERY_S)
            oldest_s = max(bus.oldest_s for bus in wires.buses.values())
            if oldest_s > WAIT_MAX_S + self.stall_ms / 1_000:
                self.problems.append(f"a call still waits after {oldest_s:.1f} s")
            await until(
                lambda: len(asyncio.all_tasks()) <= self.tasks_before + 3, "no more tasks", 10
            )
        except AssertionError as error:
            offline = sorted(wires.image().devices_offline)
            self.problems.append(f"{error}; offline {offline}, tasks {len(asyncio.all_tasks())}")

    def _clear(self) -> None:
        url = self.bench.url.rstrip("/") + "/faults"
        with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=30):
            return

    # --- what is believed -----------------------------------------------------------------------

    async def _watch(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            before = loop.time()
            await asyncio.sleep(LOOK_S)
            self.stall_ms = max(self.stall_ms, 1_000 * (loop.time() - before - LOOK_S))
            self._believe(self.bench.wires.image())
            self._listen()
            now_ms = self.bench.clock.monotonic_ms()
            for bus in self.bench.wires.buses.values():
                age_ms = now_ms - bus.last_turn_ms
                if age_ms > TURN_MAX_MS + self.stall_ms:
                    self.problems.append(f"{bus.name} has not turned for {age_ms} ms")

    def _listen(self) -> None:
        """Write down the lock pulses that went out."""
        ring = self.bench.wires.trace
        for frame in ring.since(self.heard_seq):
            unit, function, address = frame.data[0], frame.data[1:2], frame.data[2:4]
            if (
                frame.line == "bus-a"
                and frame.direction is Direction.OUT
                and (function, address[:1]) == (b"\x05", b"\x02")
                and (slot := LOCKS.get((unit, address[1]))) is not None
            ):
                self.sent.append((frame.wall_ms, slot))
        self.heard_seq = ring.seq

    def _believe(self, image: Image) -> None:
        add, shift = self.beliefs.add, self.shift_ms
        for slot in image.slots:
            n = slot.slot
            if slot.door is not Door.UNKNOWN:
                add(Belief(slot.door_at_ms + shift, f"door {n}", slot.door.value))
            if slot.presence is not Presence.UNKNOWN:
                there = slot.presence is Presence.PRESENT
                add(Belief(slot.presence_at_ms + shift, f"presence {n}", there))
            if slot.bms is not None:
                at = slot.bms.at_ms + shift
                add(Belief(at, f"serial {n}", slot.bms.serial))
                add(Belief(at, f"soc {n}", slot.bms.soc_pct, 1.5))
                add(Belief(at, f"volts {n}", slot.bms.voltage_v, 0.5))
                add(Belief(at, f"temp {n}", slot.bms.temps_c[0], 1.0))
                add(Belief(at, f"cell {n}", min(slot.bms.cell_v), 0.05))
            if slot.charger is not None:
                at = slot.charger.at_ms + shift
                add(Belief(at, f"output {n}", slot.charger.output_on))
                add(Belief(at, f"set volts {n}", slot.charger.voltage_set_v, 0.02))
                add(Belief(at, f"amps {n}", slot.charger.current_a, 0.3))
                add(Belief(at, f"air {n}", slot.charger.air_temp_c, 1.5))
        if image.meter is not None:
            add(Belief(image.meter.at_ms + shift, "power", image.meter.power_w, 60.0, METER_MS))
            add(Belief(image.meter.at_ms + shift, "energy", image.meter.energy_wh, 5.0, METER_MS))
        if image.climate is not None:
            add(Belief(image.climate.at_ms + shift, "climate", image.climate.temp_c, 0.5))

    # --- what is true ---------------------------------------------------------------------------

    async def _sample(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            began_ms = _wall_ms()
            truth = await self.bench.truth()
            self.stall_ms = max(self.stall_ms, _wall_ms() - began_ms)
            self._know(truth)
            page = await self.bench.get(f"/events?since={self.log[-1]['seq'] if self.log else 0}")
            self.log += page["events"]
            await asyncio.sleep(SAMPLE_S)

    def _know(self, truth: Any) -> None:
        at_ms = truth["wall_ms"]

        def know(what: str, value: Any) -> None:
            self.truths.setdefault(what, []).append((at_ms, value))

        for slot in truth["slots"]:
            n, pack, charger = slot["slot"], slot["pack"], slot["charger"]
            know(f"output {n}", charger["output_on"])
            know(f"set volts {n}", charger["voltage_set_v"])
            know(f"amps {n}", charger["current_a"])
            know(f"air {n}", slot["air_temp_c"])
            if pack is not None:
                know(f"serial {n}", pack["serial"])
                know(f"soc {n}", pack["soc_exact"])
                know(f"volts {n}", pack["voltage_v"])
                know(f"temp {n}", pack["temps_c"][0])
                know(f"cell {n}", min(pack["cell_v"]))
        know("power", truth["meter"]["power_w"])
        know("energy", 1_000 * truth["meter"]["import_kwh"])
        know("climate", truth["climate"]["temp_c"])

    def _judge(self) -> None:
        began_ms = self.truths["power"][0][0]  # nothing is known of what was true before
        self._contacts()
        grace_ms = 2 * self.stall_ms
        judged = [belief for belief in self.beliefs if belief.at_ms > began_ms]
        for belief in sorted(judged, key=lambda one: one.at_ms):
            since, until_ms = (
                belief.at_ms - WINDOW_MS - belief.older_ms - grace_ms,
                belief.at_ms + AFTER_MS + grace_ms,
            )
            told = self.truths.get(belief.what, [])
            near = _within(told, since, until_ms)
            if not any(_same(belief, value) for value in near):
                self.problems.append(f"{belief} was not true: {sorted(map(str, set(near)))[:6]}")
        self._judge_pulses(grace_ms)

    def _judge_pulses(self, grace_ms: float) -> None:
        """Every command went out once at most, and what we were told of it is what happened."""
        latched = [(e["wall_ms"], e["slot"]) for e in self.log if e["kind"] == "lock-pulse"]
        fired, sent = self._owned(latched, AFTER_MS + grace_ms), self._owned(self.sent, 0.0)
        for index, pulse in enumerate(self.pulses):
            told = f"{pulse}: sent {sent[index]} times, fired {fired[index]} times"
            twice = max(sent[index], fired[index]) > 1
            confirmed = pulse.result is UnlockResult.SENT and fired[index] != 1
            if twice or confirmed or (pulse.result is UnlockResult.REFUSED and fired[index]):
                self.problems.append(told)
        if fired[NOBODY] or sent[NOBODY]:
            self.problems.append(f"without a command: {sent[NOBODY]} sent, {fired[NOBODY]} fired")

    def _owned(self, found: list[tuple[float, int]], after_ms: float) -> Counter[int]:
        """How many of these belong to each command: the latest before, if it has none yet."""
        counts: Counter[int] = Counter()
        for at_ms, slot in sorted(found):
            owners = [
                index
                for index, pulse in enumerate(self.pulses)
                if pulse.slot == slot and pulse.from_ms - 5 <= at_ms <= pulse.to_ms + after_ms
            ]
            counts[min(owners, key=lambda index: (counts[index], -index), default=NOBODY)] += 1
        return counts

    def _contacts(self) -> None:
        """Doors and presence change at known moments: their truth is exact."""
        first = self.truths["power"][0][0] - 60_000
        for n in range(1, 13):
            self.truths[f"door {n}"] = [(first, "closed")]
            self.truths[f"presence {n}"] = [(first, n <= 9)]
        for event in self.log:
            key = {"door-opened": "door", "door-closed": "door"}.get(event["kind"], "presence")
            values = {
                "door-opened": "open",
                "door-closed": "closed",
                "pack-inserted": True,
                "pack-removed": False,
            }
            if event["kind"] in values:
                told = self.truths[f"{key} {event['slot']}"]
                told.append((event["wall_ms"], values[event["kind"]]))


def _within(told: list[tuple[float, Any]], since: float, until_ms: float) -> list[Any]:
    """Every value that held at some moment of a window: those in it, and the last one before."""
    first = bisect_left(told, since, key=itemgetter(0))
    last = bisect_right(told, until_ms, key=itemgetter(0))
    return [value for _, value in told[max(0, first - 1) : last]]


def _same(belief: Belief, value: Any) -> bool:
    if isinstance(value, bool | str) or value is None:
        return bool(belief.value == value)
    return abs(float(belief.value) - float(value)) <= belief.close


def _wall_ms() -> float:
    return time.time_ns() / 1e6


async def soak(directory: Path, seed: int, seconds: float, *, patient: bool = True) -> Soak:
    """One run on a cabinet of its own."""
    async with CabinetBench(directory) as bench:
        made = Soak(bench, seed, patient)
        try:
            await made.run(seconds)
        except CabinetError as error:
            made.problems.append(f"not handled: {error!r}")
    return made
