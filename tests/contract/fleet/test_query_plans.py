"""No statement of the fleet's daily work reads a table through that grows with every swap.

Each call runs on a small ledger; each statement that it sent is then explained. What an index serves
on an empty table it serves on one of a thousand million rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from sqlalchemy import event

from fleet.core.account_views import Notice
from fleet.core.commands import QueuedCommand
from fleet.core.desk import PackFilter, RiderFilter, SwapFilter
from fleet.core.login import Identity
from fleet.core.partners import Partner, Visitor
from fleet.core.plans import Plan, Subscription
from fleet.core.records import LogFilter, NewCommand, NewSwap
from fleet.core.reports import NewReport, TicketFilter, Topic
from fleet.store.accounts import AccountStore
from fleet.store.desk import DeskStore
from fleet.store.engine import Database
from fleet.stores import Stores
from protocols.messages import Kind
from protocols.offline import rider_number
from tests.contract.fleet.conftest import A
from tests.support.fleet import T0_MS, Reporter
from tests.support.healthy_ledger import healthy
from tests.support.partners import Platform

NOW_MS: Final = T0_MS + 86_400_000
#: They grow with every swap, session, order or message; a year of a large fleet is in them.
LARGE: Final = frozenset(
    {"event", "movement", "transfer", "swap", "command_outbox", "charge", "socket_session",
     "reservation", "audit_log", "report", "photo"}
)  # fmt: skip
#: One row for each pack or rider there is.
MANY: Final = LARGE | {"battery", "rider", "subscription", "session"}


@contextmanager
def overheard(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """Every statement that goes to the database meanwhile, with its values."""
    heard: list[tuple[str, Any]] = []

    def note(*arguments: Any) -> None:
        statement, values, many = arguments[2], arguments[3], arguments[5]
        if statement.split(None, 1)[0] in {"SELECT", "UPDATE", "DELETE", "WITH"}:
            heard.append((statement, values[0] if many else values))

    engines = [each.sync_engine for each in (database._readers, database._writer)]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield heard
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


async def read_through(database: Database, statement: str, values: Any) -> set[str]:
    """The tables that this statement reads from end to end, by themselves or by an index."""
    async with database.read() as connection:
        if database.dialect == "sqlite":
            plan = await connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, values)
            lines = [str(row[3]) for row in plan]
            return {
                found[1]
                for line in lines
                # An index that is walked in its order ends with the LIMIT.
                if (found := re.fullmatch(r"SCAN (\w+)(?! USING).*", line))
            }
        # On so few rows it would always read them all: this shows whether it must.
        await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = await connection.exec_driver_sql("EXPLAIN (FORMAT JSON) " + statement, values)
        tree = plan.scalar_one()
    document = json.loads(tree) if isinstance(tree, str) else tree
    return set(_walked(document[0]["Plan"]))


def _walked(node: dict[str, Any]) -> Iterator[str]:
    whole = node["Node Type"] == "Seq Scan"
    by_index = node["Node Type"] in {"Index Scan", "Index Only Scan"} and "Index Cond" not in node
    if whole or (by_index and "Filter" in node):
        yield node["Relation Name"]
    for each in node.get("Plans", ()):
        yield from _walked(each)


@pytest.fixture
async def ledger(stores: Stores) -> Stores:
    await healthy(stores)
    for plan in (
        Plan("single", "单次", "Single", "swap", 350),
        Plan("m", "月", "M", "period", 9, quota_wh=900),
    ):
        await stores.plans.add(plan, T0_MS)
    key = Platform().public_key
    await stores.partners.add(
        Partner(
            "meituan", "美团", key, plan="single", quota_day=9, webhook_url="https://a.example/"
        ),
        "token",
        T0_MS,
    )
    await stores.partners.add(Partner("taobao", "淘宝", key, plan="single"), "token-2", T0_MS)
    await stores.plans.subscribe(Subscription("s-1", "R1", "single", "meituan", T0_MS, None))
    await stores.plans.subscribe(Subscription("s-2", "R2", "m", None, T0_MS, None))
    return stores


async def begun(stores: Stores) -> None:
    new = NewSwap("N1", "start-N1", A, "R1", Kind.SWAP, "key-N1", NOW_MS, NOW_MS + 20_000)
    command = await stores.swaps.begin(new, lambda _: None)
    assert isinstance(command, QueuedCommand)
    await stores.commands.settle(command, "accepted", NOW_MS)


async def looked_at(stores: Stores) -> None:
    await stores.swaps.of_rider("R1", 20)
    await stores.swaps.view("S001")
    await stores.swaps.flagged(20)
    await stores.plans.of_rider("R1", NOW_MS)
    await stores.plans.of_rider("R2", NOW_MS)
    await stores.plans.charge_of("S001")
    await stores.riders.get("R1")
    await stores.privacy.packs("R1")
    await stores.reservations.live("R1", NOW_MS)
    await stores.reservations.newest("R1", A)
    await stores.sockets.of_rider("R1", 20)
    await stores.reports.of_rider("R1", 20)


async def logged_in(stores: Stores) -> None:
    accounts = AccountStore(stores.database, key=b"k" * 32)
    await accounts.ask_code("+8613800138000", NOW_MS)
    await accounts.check_code("+8613800138000", "000000", NOW_MS)
    token = await accounts.open_session(Identity(rider_id="R1"), NOW_MS)
    await accounts.identity(token, NOW_MS)
    await accounts.close_session(token)
    assert await stores.riders.add("R77", "hash-77", "0077", NOW_MS)
    await stores.riders.set_number("R77", rider_number(77), "test", NOW_MS)
    await stores.riders.deny("R77", "why", "test", NOW_MS)


async def told(stores: Stores) -> None:
    say = Reporter("DH-0009")
    events = say.swap_events("off-9", "P1", "P2", authority="code")
    await stores.events.commit([say.arrival(each) for each in events], NOW_MS)


async def partners_served(stores: Stores) -> None:
    await stores.partners.by_token("token", NOW_MS)
    await stores.partners.swaps("meituan", 0, 100)
    await stores.partners.sessions("meituan", 0, 100)
    await stores.partners.due(NOW_MS, 20)
    await stores.partners.use_link(Visitor("meituan", "x", "jti-12345", NOW_MS), NOW_MS)
    swap = (await stores.partners.swaps("meituan", 0, 1))[:1]
    for each in swap:
        await stores.partners.told(
            Notice(partner="meituan", url="", tries=0, swap=each), NOW_MS, well=True
        )


async def desk_kept(stores: Stores) -> None:
    desk = DeskStore(stores.database)
    await desk.swaps(SwapFilter())
    await desk.swaps(SwapFilter(flagged=True))
    await desk.swaps(SwapFilter(before=(NOW_MS, "S001")))
    for swap in await desk.swaps(SwapFilter(swap="S001")):
        await desk.swap_events(swap)
    (pack,) = await desk.packs(PackFilter(limit=1))
    await desk.told(pack.serial)
    await desk.pack(pack.serial)
    await stores.batteries.life(pack.serial)
    await desk.riders(RiderFilter(limit=1))
    await desk.swaps(SwapFilter(cabinet=A))
    await desk.swaps(SwapFilter(rider="R1"))
    await stores.console.events(A, "alarm", 100)
    opened = NewCommand("o-9", A, "slot.open", {"slot": 3}, "operator:li", NOW_MS, NOW_MS + 20_000)
    await stores.operations.order(opened, 6)
    await stores.operations.of_cabinet(A, 20)
    await stores.audit_log.rows(LogFilter(cabinet=A))
    await stores.audit_log.rows(LogFilter())
    await stores.console.events(A, "", 100)
    await stores.console.swap_counts(T0_MS)
    await stores.reports.tickets(TicketFilter(state="open"))
    await stores.asks.waiting(NOW_MS)


async def found(stores: Stores) -> None:
    for text in ("P1", "S00", "01ABC", "0077", "R1"):
        await stores.console.search(text)


async def stations_shown(stores: Stores) -> None:
    with pytest.raises(Exception, match="photo"):
        await stores.stations.photo("photo-1")
    with pytest.raises(Exception, match="station"):
        await stores.stations.get("ST-1")


async def reported(stores: Stores) -> None:
    new = NewReport(
        id="rep-1", rider="R1", topic=Topic.CABINET, place="here", text="broken", now_ms=NOW_MS
    )
    await stores.reports.file(new)


async def forgotten(stores: Stores) -> None:
    await stores.riders.add("R78", "hash-78", "0078", NOW_MS)
    await stores.privacy.export("R78")
    await stores.privacy.forget("R78", "R78", NOW_MS)


async def planned(stores: Stores) -> None:
    span = (T0_MS, NOW_MS, 900_000)
    await stores.swaps.taken_by_interval(*span)
    await stores.console.refused_by_interval(*span, ["offline"])
    await stores.console.shown_by_interval(*span)
    await stores.sockets.drawn_by_interval(*span)


WORK: Final[tuple[Callable[[Stores], Awaitable[None]], ...]] = (
    begun, looked_at, logged_in, told, partners_served, desk_kept, found, stations_shown, reported,
    forgotten, planned,
)  # fmt: skip


async def test_no_work_of_the_day_reads_a_large_table_through(ledger: Stores) -> None:
    wrong = []
    for work in WORK:
        with overheard(ledger.database) as heard:
            await work(ledger)
        assert heard, work
        for statement, values in heard:
            if tables := await read_through(ledger.database, statement, values) & MANY:
                wrong.append(f"{work.__name__}, {sorted(tables)}: {statement}")
    assert not wrong, "\n\n".join(wrong)
