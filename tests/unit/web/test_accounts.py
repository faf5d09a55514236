"""The store of codes and sessions on a real database, and the console's sender."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from fleet.adapters.sms import ConsoleSmsSender, SmsError
from fleet.core.login import CODE_LIFE_MS, RESEND_AFTER_MS, SESSION_LIFE_MS, Identity, Verdict
from fleet.errors import LimitedError
from fleet.store.accounts import AccountStore
from fleet.store.engine import Database
from fleet.store.tables import login_code, session
from tests.support.stores import sqlite_store

PHONE = "+8613800138000"
NOW_MS = 1_800_000_000_000


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(sqlite_store(tmp_path / "fleet.db"))
    yield opened
    await opened.close()


@pytest.fixture
def accounts(database: Database) -> AccountStore:
    return AccountStore(database, key=b"k" * 32)


async def test_a_code_opens_once(accounts: AccountStore) -> None:
    code = await accounts.ask_code(PHONE, NOW_MS)
    assert await accounts.check_code("+8613800138001", code, NOW_MS) is Verdict.EXPIRED
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    assert await accounts.check_code(PHONE, wrong, NOW_MS) is Verdict.WRONG
    assert await accounts.check_code(PHONE, code, NOW_MS + 1_000) is Verdict.RIGHT
    assert await accounts.check_code(PHONE, code, NOW_MS + 2_000) is Verdict.EXPIRED


async def test_tries_and_limits_survive_in_the_store(accounts: AccountStore) -> None:
    code = await accounts.ask_code(PHONE, NOW_MS)
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    # Side by side: the tries of a burst are counted one by one.
    verdicts = await asyncio.gather(*(accounts.check_code(PHONE, wrong, NOW_MS) for _ in range(8)))
    assert verdicts.count(Verdict.WRONG) == 5
    assert await accounts.check_code(PHONE, code, NOW_MS) is Verdict.EXPIRED
    with pytest.raises(LimitedError):
        await accounts.ask_code(PHONE, NOW_MS + RESEND_AFTER_MS - 1)
    fresh = await accounts.ask_code(PHONE, NOW_MS + RESEND_AFTER_MS)
    late_ms = NOW_MS + RESEND_AFTER_MS + CODE_LIFE_MS
    assert await accounts.check_code(PHONE, fresh, late_ms) is Verdict.EXPIRED
    assert await accounts.check_code(PHONE, fresh, late_ms - 1) is Verdict.RIGHT


async def test_a_dropped_code_may_be_asked_at_once(accounts: AccountStore) -> None:
    code = await accounts.ask_code(PHONE, NOW_MS)
    await accounts.drop_code(PHONE)
    assert await accounts.check_code(PHONE, code, NOW_MS) is Verdict.EXPIRED
    await accounts.ask_code(PHONE, NOW_MS)


async def test_sessions(accounts: AccountStore) -> None:
    rider = await accounts.open_session(Identity(rider_id="R1"), NOW_MS)
    other = await accounts.open_session(Identity(rider_id="R2"), NOW_MS)
    assert await accounts.identity(rider, NOW_MS) == Identity(rider_id="R1")
    assert await accounts.identity(other, NOW_MS) == Identity(rider_id="R2")
    assert await accounts.identity(rider + "x", NOW_MS) is None
    assert await accounts.identity(rider, NOW_MS + SESSION_LIFE_MS - 1) is not None
    assert await accounts.identity(rider, NOW_MS + SESSION_LIFE_MS) is None
    await accounts.close_session(other)
    assert await accounts.identity(other, NOW_MS) is None


async def test_nothing_secret_is_kept_and_old_sessions_go(
    accounts: AccountStore, database: Database
) -> None:
    code = await accounts.ask_code(PHONE, NOW_MS)
    token = await accounts.open_session(Identity(rider_id="R1"), NOW_MS)
    await accounts.open_session(Identity(rider_id="R2"), NOW_MS + SESSION_LIFE_MS)
    async with database.read() as connection:
        codes = (await connection.execute(select(login_code))).all()
        sessions = (await connection.execute(select(session))).all()
    assert [row.rider_id for row in sessions] == ["R2"]
    text = repr((codes, sessions))
    for secret in (PHONE, PHONE[3:], f"'{code}'", token):
        assert secret not in text


async def test_the_console_sender_writes_a_private_file(tmp_path: Path) -> None:
    echoed: list[str] = []
    file = tmp_path / "sms.jsonl"
    sender = ConsoleSmsSender(file, echo=echoed.append)
    await asyncio.gather(*(sender.send(PHONE, f"【驿站】{n}") for n in range(20)))
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert {row["text"] for row in rows} == {f"【驿站】{n}" for n in range(20)}
    assert {row["phone"] for row in rows} == {PHONE}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(echoed) == 20


async def test_a_text_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    sender = ConsoleSmsSender(tmp_path / "nowhere" / "sms.jsonl", echo=lambda _: None)
    with pytest.raises(SmsError):
        await sender.send(PHONE, "x")
