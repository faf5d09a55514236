"""The audit itself: a healthy ledger, then one corruption at a time by SQL; each must be named.

Every corruption runs in a transaction that is rolled back, so one ledger serves them all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.audit import Violation
from fleet.core.audit_log import LogRow, digest
from fleet.store.audit import check
from fleet.stores import Stores, open_stores
from tests.support.fleet import T0_MS
from tests.support.healthy_ledger import UNKNOWN, A, B, healthy
from tests.support.servers import postgres_database
from tests.support.stores import sqlite_store

Names = dict[str, str]
Found = set[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Corruption:
    """``sql`` with ``{name}`` filled in; ``expected`` pairs of code and subject must be found."""

    name: str
    sql: tuple[str, ...]
    expected: tuple[tuple[str, str], ...]


def case(name: str, *sql: str, finds: tuple[tuple[str, str], ...]) -> Corruption:
    return Corruption(name, sql, finds)


_MOVES = "SELECT {which}(id) FROM movement WHERE swap_id = '{swap}'"
_IN = _MOVES.replace("{which}", "min")
_OUT = _MOVES.replace("{which}", "max")
_COPY = ("INSERT INTO movement (serial, from_holder, to_holder, swap_id, cabinet, epoch, seq, at_ms,"
         " cause, flags, moves) SELECT serial, from_holder, to_holder, swap_id, {source}, at_ms,"
         " cause, flags, moves FROM movement WHERE id = (" + _OUT + ")")  # fmt: skip

CASES = [
    case(
        "a movement deleted",
        f"DELETE FROM movement WHERE id = ({_IN})",
        finds=(("wrong-movements", "{swap}"), ("unmatched-leg", "{swap}"), ("wrong-version", "{pack_in}")),
    ),
    case(
        "the last movement of a battery deleted",
        f"DELETE FROM movement WHERE id = ({_OUT})",
        finds=(("wrong-holder", "{pack_out}"), ("unbooked-event", "{event_out}")),
    ),
    case(
        "a movement duplicated without its source",
        _COPY.replace("{source}", "NULL, NULL, NULL"),
        finds=(("broken-chain", "{pack_out}"), ("no-source", "{pack_out}"), ("wrong-movements", "{swap}")),
    ),
    case(
        "a movement duplicated under another event's number",
        _COPY.replace("{source}", "cabinet, epoch, seq + 1"),
        finds=(("broken-chain", "{pack_out}"), ("missing-event", "{after_out}")),
    ),
    case(
        "a row made to move nothing",
        f"UPDATE movement SET moves = false WHERE id = ({_OUT})",
        finds=(("wrong-version", "{pack_out}"), ("wrong-holder", "{pack_out}")),
    ),
    case(
        "a movement's swap taken off",
        f"UPDATE movement SET swap_id = NULL WHERE id = ({_OUT})",
        finds=(("wrong-movements", "{swap}"), ("wrong-source", "{pack_out}")),
    ),
    case(
        "a movement given to another swap",
        f"UPDATE movement SET swap_id = '{{rejected}}' WHERE id = ({_OUT})",
        finds=(("wrong-movements", "{swap}"), ("unposted-movement", "{rejected}")),
    ),
    case(
        "a movement of no such swap",
        f"UPDATE movement SET swap_id = 'S999' WHERE id = ({_OUT})",
        finds=(("orphan-movement", "S999"),),
    ),
    case(
        "a movement to another slot",
        f"UPDATE movement SET to_holder = 'slot:{A}:9' WHERE id = ({_IN})",
        finds=(("wrong-source", "{pack_in}"), ("unmatched-leg", "{swap}")),
    ),
    case(
        "the two serials of a swap exchanged",
        f"UPDATE movement SET serial = CASE serial WHEN '{{pack_in}}' THEN '{{pack_out}}'"
        f" ELSE '{{pack_in}}' END, seq = seq WHERE id IN (({_IN}), ({_OUT}))",
        finds=(("broken-chain", "{pack_in}"), ("broken-chain", "{pack_out}"), ("wrong-source", "{pack_in}")),
    ),
    case(
        "a movement of an unknown battery",
        f"INSERT INTO movement (serial, from_holder, to_holder, at_ms, cause, flags, moves)"
        f" VALUES ('GHOST', 'unknown', 'depot:MAIN', {T0_MS}, 'import', '', true)",
        finds=(("unknown-battery", "GHOST"),),
    ),
    case(
        "a holder changed",
        "UPDATE battery SET holder = 'depot:MAIN' WHERE serial = '{pack_out}'",
        finds=(("wrong-holder", "{pack_out}"),),
    ),
    case(
        "two batteries in one slot",
        "UPDATE battery SET holder = (SELECT holder FROM battery WHERE serial = '{pack_in}')"
        " WHERE serial = '{pack_out}'",
        finds=(("crowded-slot", "{slot_of_pack_in}"), ("wrong-holder", "{pack_out}")),
    ),
    case(
        "a version changed",
        "UPDATE battery SET version = version + 1 WHERE serial = '{pack_in}'",
        finds=(("wrong-version", "{pack_in}"),),
    ),
    case(
        "a battery dated later",
        "UPDATE battery SET since_ms = since_ms + 1 WHERE serial = '{pack_in}'",
        finds=(("wrong-since", "{pack_in}"),),
    ),
    case(
        "a battery deleted",
        "DELETE FROM battery WHERE serial = '{pack_in}'",
        finds=(("unknown-battery", "{pack_in}"),),
    ),
    case(
        "a dispute dropped",
        "UPDATE battery SET disputed = false WHERE serial = '{disputed}'",
        finds=(("stray-owed", "{disputed}"),),
    ),
    case(
        "an event deleted",
        f"DELETE FROM event WHERE cabinet = '{A}' AND seq = 5",
        finds=(("sequence-gap", f"{A}/1"),),
    ),
    case(
        "the last event deleted",
        f"DELETE FROM event WHERE cabinet = '{B}' AND seq ="
        f" (SELECT max(seq) FROM event WHERE cabinet = '{B}')",
        finds=(("wrong-watermark", B),),
    ),
    case(
        "the event of a movement deleted and its number used again",
        "UPDATE event SET type = 'alarm', body = '{{}}'"
        " WHERE cabinet || '/' || epoch || '/' || seq = '{event_out}'",
        finds=(("missing-event", "{event_out}"),),
    ),
    case(
        "the battery in an event changed",
        "UPDATE event SET body = replace(body, '{pack_out}', '{pack_in}')"
        " WHERE cabinet || '/' || epoch || '/' || seq = '{event_out}'",
        finds=(("wrong-source", "{pack_out}"),),
    ),
    case(
        "a watermark shifted",
        f"UPDATE watermark SET seq = seq + 1 WHERE cabinet = '{A}'",
        finds=(("wrong-watermark", A),),
    ),
    case(
        "a watermark deleted",
        f"DELETE FROM watermark WHERE cabinet = '{A}'",
        finds=(("wrong-watermark", A),),
    ),
    case(
        "a step changed to completed",
        "UPDATE swap SET step = 'completed', rank = 80 WHERE id = '{timeout}'",
        finds=(("wrong-movements", "{timeout}"), ("unposted-leg", "{timeout}"), ("wrong-step", "{timeout}")),
    ),
    case(
        "a completed swap changed to cancelled",
        "UPDATE swap SET step = 'cancelled', rank = 91 WHERE id = '{swap}'",
        finds=(("wrong-step", "{swap}"),),
    ),
    case(
        "a rank changed",
        "UPDATE swap SET rank = 81 WHERE id = '{swap}'",
        finds=(("wrong-rank", "{swap}"),),
    ),
    case(
        "an ended swap opened",
        "UPDATE swap SET open = true WHERE id = '{swap}'",
        finds=(("wrong-open", "{swap}"),),
    ),
    case(
        "a swap invented as completed",
        "UPDATE swap SET step = 'completed', rank = 80, open = false WHERE id = '{asked}'",
        finds=(("wrong-step", "{asked}"), ("unposted-leg", "{asked}")),
    ),
    case(
        "a swap deleted",
        "DELETE FROM swap WHERE id = '{swap}'",
        finds=(("missing-swap", "{swap}"), ("orphan-transfer", "{swap}"), ("orphan-movement", "{swap}")),
    ),
    case(
        "a swap given to another rider",
        "UPDATE swap SET rider = 'R1' WHERE id = '{own}'",
        finds=(("wrong-leg", "{own}"),),
    ),
    case(
        "a leg deleted",
        "DELETE FROM transfer WHERE swap_id = '{rejected}' AND leg = 'in'",
        finds=(("missing-leg", "{rejected}"),),
    ),
    case(
        "a leg of a completed swap deleted",
        "DELETE FROM transfer WHERE swap_id = '{swap}' AND leg = 'out'",
        finds=(("missing-leg", "{swap}"), ("unposted-leg", "{swap}")),
    ),
    case(
        "a posted leg made void",
        "UPDATE transfer SET state = 'void' WHERE swap_id = '{faulted}' AND leg = 'in'",
        finds=(("unposted-movement", "{faulted}"),),
    ),
    case(
        "a void leg made posted",
        "UPDATE transfer SET state = 'posted', serial = 'P1' WHERE swap_id = '{timeout}'"
        " AND leg = 'in'",
        finds=(("unmatched-leg", "{timeout}"),),
    ),
    case(
        "a leg of an ended swap reserved again",
        "UPDATE transfer SET state = 'reserved' WHERE swap_id = '{timeout}' AND leg = 'out'",
        finds=(("stale-reservation", "{timeout}"),),
    ),
    case(
        "a leg's battery changed",
        "UPDATE transfer SET serial = '{pack_in}' WHERE swap_id = '{swap}' AND leg = 'out'",
        finds=(("unmatched-leg", "{swap}"),),
    ),
    case(
        "a leg's place changed",
        f"UPDATE transfer SET to_holder = 'slot:{B}:1' WHERE swap_id = '{{faulted}}' AND leg = 'in'",
        finds=(("wrong-leg", "{faulted}"),),
    ),
    case(
        "an orphan leg",
        "INSERT INTO transfer (swap_id, leg, state) VALUES ('S999', 'in', 'void')",
        finds=(("orphan-transfer", "S999"),),
    ),
    case(
        "a leg that the kind does not have",
        "INSERT INTO transfer (swap_id, leg, state) VALUES ('{pickup}', 'in', 'void')",
        finds=(("extra-leg", "{pickup}"),),
    ),
    case(
        "the own battery's way back deleted",
        "DELETE FROM movement WHERE swap_id = '{own}' AND to_holder = 'rider:R2'",
        finds=(("wrong-own-battery", "{own}"), ("wrong-holder", "{own-pack}")),
    ),
    case(
        "the own battery's leg out posted",
        "UPDATE transfer SET state = 'posted', serial = '{own-pack}',"
        f" from_holder = 'slot:{A}:1' WHERE swap_id = '{{own}}' AND leg = 'out'",
        finds=(("wrong-own-battery", "{own}"),),
    ),
    case(
        "another reason than the own battery",
        "UPDATE swap SET reason = 'rider' WHERE id = '{own}'",
        finds=(("unposted-movement", "{own}"),),
    ),
    case(
        "a departure invented",
        f"INSERT INTO owed (serial, holder) VALUES ('{{pack_in}}', 'slot:{B}:9')",
        finds=(("stray-owed", "{pack_in}"),),
    ),
    case(
        "a number of a rider left behind",
        "UPDATE rider SET number = '" + UNKNOWN + "' WHERE id = 'R1'",
        finds=(("unclaimed-swap", "{stranger}"),),
    ),
    case(
        "a log row tampered with",
        "UPDATE audit_log SET reason = 'all was well' WHERE id = 2",
        finds=(("log-tampered", "log:2"),),
    ),
    case(
        "a log row deleted",
        "DELETE FROM audit_log WHERE id = 2",
        finds=(("log-gap", "log:3"),),
    ),
    case(
        "the last log rows deleted",
        "DELETE FROM audit_log WHERE id > 3",
        finds=(("log-truncated", "log:{log_rows}"), ("unlogged-order", "{order-4}")),
    ),
    case(
        "two log rows exchanged",
        "UPDATE audit_log SET id = -1 WHERE id = 2",
        "UPDATE audit_log SET id = 2 WHERE id = 3",
        "UPDATE audit_log SET id = 3 WHERE id = -1",
        finds=(("log-tampered", "log:2"), ("log-tampered", "log:3"), ("log-broken", "log:2")),
    ),
    case(
        "the log emptied with its head",
        "DELETE FROM audit_log",
        "UPDATE meta SET value = '0:" + "0" * 64 + "' WHERE name = 'audit-head'",
        finds=(("unlogged-order", "{order-1}"), ("unlogged-order", "start-{load}")),
    ),
    case(
        "an order's outcome changed",
        "UPDATE command_outbox SET state = 'refused' WHERE id = '{order-1}'",
        finds=(("unlogged-order", "{order-1}"),),
    ),
    case(
        "a command count set back",
        f"UPDATE cabinet SET command_seq = 1 WHERE id = '{A}'",
        finds=(("wrong-command-seq", A),),
    ),
]  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def ledger_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    if request.param == "sqlite":
        yield sqlite_store(tmp_path_factory.mktemp("ledger") / "fleet.db")
        return
    with postgres_database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture(scope="module")
def names() -> dict[str, Names]:
    """What the healthy ledger of each URL is made of, once it is filled."""
    return {}


@pytest.fixture
async def ledger(ledger_url: str, names: dict[str, Names]) -> AsyncIterator[tuple[Stores, Names]]:
    async with open_stores(ledger_url) as stores:
        if ledger_url not in names:
            names[ledger_url] = {**await healthy(stores), **await _more(stores, names)}
            names[ledger_url].update(await _of_swap(stores, names[ledger_url]["swap"]))
        yield stores, names[ledger_url]


async def _more(stores: Stores, _: object) -> Names:
    async with stores.database.read() as connection:
        rows = await connection.execute(text("SELECT max(id) FROM audit_log"))
        return {"log_rows": str(rows.scalar_one())}


async def _of_swap(stores: Stores, swap: str) -> Names:
    view = await stores.swaps.view(swap)
    given, taken = view.movements
    query = text("SELECT cabinet, epoch, seq FROM movement WHERE id = :id")
    async with stores.database.read() as connection:
        cabinet, epoch, seq = (await connection.execute(query, {"id": taken.id})).one()
    return {
        "pack_in": given.serial,
        "pack_out": taken.serial,
        "slot_of_pack_in": (await stores.batteries.history(given.serial))[0]["holder"],
        "event_out": f"{cabinet}/{epoch}/{seq}",
        "after_out": f"{cabinet}/{epoch}/{seq + 1}",
    }


async def corrupted(stores: Stores, run: Callable[[AsyncConnection], Any]) -> list[Violation]:
    """What the audit finds after ``run``, which is undone."""

    async with stores.database.write() as connection:
        await run(connection)
        found = await check(connection)
        await connection.rollback()
    return found


@pytest.mark.parametrize("corruption", CASES, ids=lambda each: each.name.replace(" ", "-"))
async def test_the_audit_names(ledger: tuple[Stores, Names], corruption: Corruption) -> None:
    stores, named = ledger

    async def run(connection: AsyncConnection) -> None:
        for sql in corruption.sql:
            changed = await connection.execute(text(sql.format_map(named)))
            assert changed.rowcount > 0, "the corruption corrupts nothing"

    found = await corrupted(stores, run)
    wanted = {(code, subject.format_map(named)) for code, subject in corruption.expected}
    assert wanted <= {(each.code, each.subject) for each in found}, found


async def test_a_forged_row_breaks_the_chain_behind_it(ledger: tuple[Stores, Names]) -> None:
    stores, _ = ledger

    async def forge(connection: AsyncConnection) -> None:
        row = (await connection.execute(text("SELECT * FROM audit_log WHERE id = 2"))).mappings()
        values = dict(row.one()) | {"reason": "all was well"}
        values["hash"] = digest(LogRow(**values))
        query = "UPDATE audit_log SET reason = :reason, hash = :hash WHERE id = 2"
        await connection.execute(text(query), values)

    found = await corrupted(stores, forge)
    assert [(each.code, each.subject) for each in found] == [("log-broken", "log:3")]


async def test_what_is_healthy_stays_so(ledger: tuple[Stores, Names]) -> None:
    stores, _ = ledger
    assert await stores.audit.audit() == []
    assert len(CASES) >= 15


async def test_the_present_is_rebuilt_from_the_past(ledger: tuple[Stores, Names]) -> None:
    stores, named = ledger
    async with stores.database.write() as connection:
        for sql in (
            "UPDATE battery SET holder = 'lost', version = 99 WHERE serial = '{pack_out}'",
            "DELETE FROM battery WHERE serial = '{pack_in}'",
        ):
            await connection.execute(text(sql.format_map(named)))
    wrong = await stores.audit.differences()
    assert {each.serial for each in wrong} == {named["pack_in"], named["pack_out"]}
    assert await stores.audit.audit() != []
    mended = await stores.audit.rebuild("cli", T0_MS)
    assert mended == wrong
    assert await stores.audit.differences() == []
    assert await stores.audit.audit() == []
