"""A ledger in use, upgraded from older versions: nothing that they knew is lost."""

from __future__ import annotations

from alembic import command
from sqlalchemy import func, select

from fleet.core.login import Identity
from fleet.core.plans import Plan, Subscription
from fleet.store import tables as t
from fleet.store.accounts import AccountStore
from fleet.store.engine import alembic_config
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
