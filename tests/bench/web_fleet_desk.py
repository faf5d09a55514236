"""The ledger behind the console of ``web_fleet_server``: what its lists of a large fleet read."""

from __future__ import annotations

import json
import random
from typing import Any, Final

from sqlalchemy import insert

from fleet.core.balance.moves import MovesView, MoveView
from fleet.pages import make_desk
from fleet.ports import Clock
from fleet.ports_charts import Charts
from fleet.runtime.desk import AlarmService
from fleet.store import tables as t
from fleet.store.alarms import AlarmStore
from fleet.store.tables_desk import alarm_note
from fleet.stores import Stores

SWAPS: Final = 200_000
PACKS: Final = 200_000
RIDERS: Final = 50_000
REPORTS: Final = 20_000
ALARM_EVENTS: Final = 40  # of each cabinet in trouble: one that flaps
MOVES: Final = 3_000
ROWS: Final = 2_000  # in one statement
STEP_MS: Final = 1_500


class Moves:
    """A plan with battery moves all over the town."""

    def __init__(self, ids: list[str]) -> None:
        self._view = MovesView(
            version=1,
            moves=tuple(
                MoveView(giver=ids[n], taker=ids[-n - 1], packs=3, by_ms=1, distance_m=900, why="busy", lost=1.0)
                for n in range(min(MOVES, len(ids) // 2))
            ),
            lost=1.0,
            lost_after=0.0,
        )  # fmt: skip

    async def moves(self) -> MovesView:
        return self._view


def charts_of(stores: Stores, cabinets: Any, clock: Clock) -> Charts:
    """The desk over the store."""
    return Charts(
        desk=make_desk(stores, cabinets, clock),
        alarms=AlarmService(AlarmStore(stores.database), clock),
    )


async def seed_desk(stores: Stores, ids: list[str], troubled: dict[str, str], now_ms: int) -> None:
    """Swaps, packs, riders, reports; and of cabinets in trouble the alarms that they told of."""
    draw = random.Random(7)
    await _fill(stores, t.swap, (_swap(draw, ids, n, now_ms) for n in range(SWAPS)))
    packs = ({"serial": f"YZ48-{n:06d}", "model": "YZ48", "capacity_wh": 1_180, "holder": f"slot:{draw.choice(ids)}:{n % 12 + 1}" if n % 3 else f"rider:R{n % RIDERS:012d}", "version": 1, "state": "registered", "since_ms": now_ms} for n in range(PACKS))  # fmt: skip
    await _fill(stores, t.battery, packs)
    riders = ({"id": f"R{n:012d}", "number": f"{10_000_000 + n}", "phone_hash": f"hash-{n}", "phone_tail": f"{n % 10_000:04d}", "created_ms": n} for n in range(RIDERS))  # fmt: skip
    await _fill(stores, t.rider, riders)
    reports = ({"id": f"rep-{n:06d}", "rider": f"R{n % RIDERS:012d}", "topic": "battery" if n % 2 else "cabinet", "cabinet": draw.choice(ids), "place": "", "text": "门打不开", "state": "open" if n % 10 == 0 else "closed", "created_ms": now_ms - n * STEP_MS} for n in range(REPORTS))  # fmt: skip
    await _fill(stores, t.report, reports)
    events = (_alarm(cabinet, code, n, now_ms) for cabinet, code in troubled.items() for n in range(ALARM_EVENTS))  # fmt: skip
    await _fill(stores, t.event, events)
    noted = ({"cabinet": cabinet, "code": code, "slot": 0, "epoch": 1, "seq": ALARM_EVENTS, "at_ms": now_ms, "actor": "operator:li.na", "reason": "on the way"} for cabinet, code in list(troubled.items())[::4])  # fmt: skip
    await _fill(stores, alarm_note, noted)


def _swap(draw: random.Random, ids: list[str], n: int, now_ms: int) -> dict[str, Any]:
    at_ms = now_ms - n * STEP_MS
    step = "faulted" if n % 50 == 0 else "completed"
    return {"id": f"01BENCH{n:019d}", "cabinet": draw.choice(ids), "rider": f"R{n % RIDERS:012d}", "kind": "swap", "idempotency_key": f"k{n}", "step": step, "rank": 80, "open": False, "slot_in": 4, "slot_out": 1, "reason": "door-stuck" if step == "faulted" else None, "flags": "", "created_ms": at_ms, "updated_ms": at_ms}  # fmt: skip


def _alarm(cabinet: str, code: str, n: int, now_ms: int) -> dict[str, Any]:
    seq = n + 1
    body = json.dumps({"code": code, "active": n % 2 == 1, "severity": "critical" if code == "smoke" else "warning"})  # fmt: skip
    at_ms = now_ms - (ALARM_EVENTS - n) * 60_000
    return {"cabinet": cabinet, "epoch": 1, "seq": seq, "boot_id": "boot", "mono_ms": seq, "wall_ms": at_ms, "wall_synced": True, "type": "alarm", "body": body, "received_ms": at_ms}  # fmt: skip


async def _fill(stores: Stores, table: Any, rows: Any) -> None:
    some: list[dict[str, Any]] = []
    async with stores.database.write() as connection:
        for row in rows:
            some.append(row)
            if len(some) == ROWS:
                await connection.execute(insert(table), some)
                some = []
        if some:
            await connection.execute(insert(table), some)
