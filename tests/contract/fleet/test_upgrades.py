"""A ledger in use, upgraded from older versions: nothing that they knew is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from alembic import command
from sqlalchemy import func, select, text

from fleet.core.login import Identity
from fleet.core.plans import Plan, Subscription
from fleet.store import tables as t
from fleet.store.accounts import AccountStore
from fleet.store.audit import AuditStore
from fleet.store.audit_log import AuditLogStore
from fleet.store.engine import Database, alembic_config
from fleet.stores import Stores
from tests.support.fleet import T0_MS
from tests.support.healthy_ledger import healthy

#: Of what every one of these versions knows.
KEPT = (
    t.cabinet, t.rider, t.battery, t.swap, t.transfer, t.movement, t.event, t.watermark,
    t.command_outbox, t.audit_log, t.session,
)  # fmt: skip
OLDER = ("0013", "0011", "0007", "0003")  # on the way up each passes those between


async def counts(stores: Stores) -> dict[str, int]:
    async with stores.database.read() as connection:
        return {
            table.name: (
                await connection.execute(select(func.count()).select_from(table))
            ).scalar_one()
            for table in KEPT
        }


async def test_an_older_version_is_brought_up_to_date_with_all_that_it_holds(
    stores: Stores,
) -> None:
    await healthy(stores)
    accounts = AccountStore(stores.database, key=b"k" * 32)
    token = await accounts.open_session(Identity(rider_id="R1"), T0_MS)
    await stores.plans.add(Plan("single", "单次", "Single", "swap", 350), T0_MS)
    await stores.plans.subscribe(Subscription("sub-1", "R1", "single", None, T0_MS, None))
    before = await counts(stores)
    assert all(before.values()), before
    for older in OLDER:
        async with stores.database.write() as connection:
            await connection.run_sync(
                lambda sync, to: command.downgrade(alembic_config(sync), to), older
            )
        await stores.database.migrate()
        assert await counts(stores) == before, older
        assert await stores.audit.audit() == [], older
        who = await accounts.identity(token, T0_MS + 1)
        assert who == Identity(rider_id="R1"), older
        if older == "0007":
            assert [plan.id for plan in await stores.plans.all()] == ["single"]


def first_rows(now_ms: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """A row or more of each table of the first version, by its columns."""
    for number in range(1, 4):
        cabinet = f"DH-000{number}"
        yield "cabinet", {
            "id": cabinet, "name": cabinet, "slots": 12, "epoch": 1, "mqtt_pbkdf2": "x",
            "created_ms": now_ms,
        }  # fmt: skip
        yield "cabinet_latest", {"cabinet": cabinet, "telemetry": "{}", "received_ms": now_ms}
        yield "desired", {
            "cabinet": cabinet, "kind": "plan", "version": 1, "chunks": 1, "updated_ms": now_ms,
        }  # fmt: skip
        yield "watermark", {"cabinet": cabinet, "epoch": 1, "seq": 1}
        yield "event", {
            "cabinet": cabinet, "epoch": 1, "seq": 1, "boot_id": "b", "mono_ms": 1, "wall_ms": now_ms,
            "wall_synced": True, "type": "alarm", "body": "{}", "received_ms": now_ms,
        }  # fmt: skip
        yield "quarantine_event", {
            "cabinet": cabinet, "digest": "d", "payload": b"?", "error": "e", "received_ms": now_ms,
        }  # fmt: skip
        rider, swap = f"R{number}", f"S{number}"
        yield (
            "rider",
            {"id": rider, "phone_hash": f"h{number}", "phone_tail": "0001", "created_ms": now_ms},
        )
        yield "session", {
            "token_hash": f"t{number}", "rider_id": rider, "created_ms": now_ms, "expires_ms": now_ms,
        }  # fmt: skip
        yield "login_code", {
            "phone_hash": f"h{number}", "code_hash": "c", "expires_ms": now_ms, "tries": 0,
            "sent_ms": now_ms, "sends": 1,
        }  # fmt: skip
        yield "battery", {
            "serial": f"P{number}", "holder": f"rider:{rider}", "version": 1, "state": "registered",
            "since_ms": now_ms,
        }  # fmt: skip
        yield "movement", {
            "serial": f"P{number}", "from_holder": "unknown", "to_holder": f"rider:{rider}",
            "at_ms": now_ms, "cause": "import", "moves": True,
        }  # fmt: skip
        yield "swap", {
            "id": swap, "cabinet": cabinet, "rider": rider, "kind": "swap", "idempotency_key": "k",
            "step": "completed", "rank": 90, "open": False, "created_ms": now_ms, "updated_ms": now_ms,
        }  # fmt: skip
        yield "transfer", {"swap_id": swap, "leg": "in", "state": "posted"}
        yield "owed", {"serial": f"P{number}", "holder": f"slot:{cabinet}:1"}
        yield "command_outbox", {
            "id": f"c{number}", "cabinet": cabinet, "seq": 1, "type": "swap.start", "args": "{}",
            "actor": rider, "state": "done", "created_ms": now_ms, "expires_ms": now_ms,
        }  # fmt: skip
        yield (
            "audit_log",
            {"at_ms": now_ms, "actor": "op", "action": "rider.deny", "subject": rider},
        )
    yield "meta", {"name": "incarnation", "value": "first"}


async def test_a_database_of_the_first_version_is_brought_up_to_date(empty_url: str) -> None:
    database = Database(empty_url)
    rows = list(first_rows(T0_MS))
    try:
        async with database.write() as connection:
            await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "0001"))
        async with database.write() as connection:
            for table, values in rows:
                columns = ", ".join(f'"{name}"' for name in values)
                marks = ", ".join(f":{name}" for name in values)
                await connection.execute(
                    text(f"INSERT INTO {table} ({columns}) VALUES ({marks})"),
                    values,
                )
        await database.migrate()
        there = Counter(table for table, _ in rows)
        async with database.read() as connection:
            for table, number in there.items():
                query = text(f"SELECT count(*) FROM {table}")
                found = (await connection.execute(query)).scalar_one()
                assert found >= number, table
            numbers = (await connection.execute(select(t.rider.c.number))).scalars().all()
            assert len(set(numbers)) == 3
        assert [each.subject for each in await AuditLogStore(database).read()] == ["R1", "R2", "R3"]
        log = await AuditStore(database).audit()
        assert not [each for each in log if each.code.startswith("log")], log
    finally:
        await database.close()
