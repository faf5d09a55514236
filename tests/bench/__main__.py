"""`make bench`: from the rider's tap to an open door, and from one door to the other, against targets.

Measured on real processes; the doors' times are the simulator's own log. The tap is the moment at
which the phone sends its request, on the same machine's clock.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer

from deploy.demo.clients import Json
from deploy.demo.stack import Options
from deploy.demo.waiting import until
from tests.support.stack import SystemStack

SWAPS: Final = 24
DOOR_TARGET_S: Final = 1.5
HANDOVER_TARGET_S: Final = 3.0
EVENT_WITHIN_S: Final = 20.0


@dataclass(slots=True)
class Measured:
    """Seconds, one entry per swap."""

    tap_to_door_s: list[float] = field(default_factory=list)
    door_to_door_s: list[float] = field(default_factory=list)


def main(
    *,
    swaps: Annotated[int, typer.Option(min=1, help="How many swaps to measure.")] = SWAPS,
    broker: Annotated[str, typer.Option(help="auto, nats or mosquitto.")] = "auto",
) -> None:
    """Measure, print the table, and exit 1 when a target is missed."""
    run_dir = Path(tempfile.mkdtemp(prefix="yizhan-bench-"))
    stack = SystemStack(
        run_dir, Options(broker=broker, cabinet_values=TARGET, fleet_values=PATIENCE)
    )
    try:
        stack.start()
        stack.login()
        measured = measure(stack, swaps)
    finally:
        stack.stop()
        shutil.rmtree(run_dir, ignore_errors=True)
    rows = (
        ("tap -> door open", measured.tap_to_door_s, DOOR_TARGET_S),
        ("old door closed -> full door open", measured.door_to_door_s, HANDOVER_TARGET_S),
    )
    load = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    print(f"\n{swaps} swaps; {os.cpu_count()} cores, load average {load}")
    print(f"{'':36}{'median':>9}{'p95':>9}{'max':>9}{'target':>9}")
    missed = False
    for name, values_s, target_s in rows:
        p95_s = percentile(values_s, 95)
        missed |= p95_s > target_s
        print(
            f"{name:36}{statistics.median(values_s):8.2f}s{p95_s:8.2f}s{max(values_s):8.2f}s"
            f"{target_s:8.1f}s  {'missed' if p95_s > target_s else 'met'}"
        )
    sys.exit(1 if missed else 0)


#: Whatever a rider brings back may be handed out again at once, so that the bench never runs dry.
TARGET: Final = {"cabinet": {"target_soc_pct": 50}}


#: One rider who taps all day long, where a real one waits for the next empty battery.
PATIENCE: Final = {"limits": {"starts_per_minute": 1_000}}


def measure(stack: SystemStack, swaps: int) -> Measured:
    """Play the swaps one after another; each gives back the pack that the last one handed out."""
    measured = Measured()
    serial = stack.options.rider_serial or ""
    cabinet_id = stack.options.cabinet_id
    for _ in range(swaps):
        until(
            lambda: stack.rider.cabinet(cabinet_id)["active_swap"] is None,
            within_s=5.0,
            what="the cabinet free for the next rider",
        )
        seq = stack.last_seq()
        tapped_ms = wall_ms()
        swap_id = stack.start_swap()
        slot_in = stack.wait_step(swap_id, "await-return")["slot_in"]
        stack.hands.give(slot_in, serial, soc_pct=95.0)
        slot_out = stack.wait_step(swap_id, "await-pickup")["slot_out"]
        serial = stack.hands.take(slot_out)
        stack.sim.close_door(slot_out)
        stack.wait_step(swap_id, "completed")
        events = stack.sim.events(seq)
        measured.tap_to_door_s.append((door_ms(events, "door-opened", slot_in) - tapped_ms) / 1_000)
        measured.door_to_door_s.append(
            (door_ms(events, "door-opened", slot_out) - door_ms(events, "door-closed", slot_in))
            / 1_000
        )
        print(".", end="", flush=True)
    return measured


def door_ms(events: list[Json], kind: str, slot: int) -> int:
    """When a door moved, by the simulator's log."""
    at_ms: int = next(e["wall_ms"] for e in events if e["kind"] == kind and e["slot"] == slot)
    return at_ms


def percentile(values: list[float], percent: int) -> float:
    """The smallest value that this percentage of all values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def wall_ms() -> int:
    """Unix time, as the simulator stamps its events."""
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    typer.run(main)
