"""Login codes and sessions of riders; only hashes are kept."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core import login
from fleet.core.login import Identity, LoginCode, Verdict, Wait
from fleet.core.phones import phone_hash
from fleet.errors import LimitedError
from fleet.store.engine import Database
from fleet.store.tables import login_code, session


class AccountStore:
    """``fleet.ports.Accounts`` over the fleet's database. ``key`` is the server's secret."""

    def __init__(self, database: Database, *, key: bytes) -> None:
        self._database = database
        self._key = key

    async def ask_code(self, phone: str, now_ms: int) -> str:
        """Store a fresh code for an E.164 phone and return it, to be sent.

        Raises:
            LimitedError: too soon, or too many.
        """
        code = login.code_from(secrets.randbelow(10**login.CODE_DIGITS))
        phone_key = phone_hash(self._key, phone)
        async with self._database.write() as connection:
            row = await _code(connection, phone_key)
            answer = login.ask(row, login.code_hash(self._key, phone_key, code), now_ms)
            if isinstance(answer, Wait):
                raise LimitedError("a code was sent already", retry_after_s=answer.retry_after_s)
            await _keep(connection, phone_key, answer, known=row is not None)
        return code

    async def drop_code(self, phone: str) -> None:
        """Forget a code that could not be sent, so that the rider may ask again at once."""
        async with self._database.write() as connection:
            where = login_code.c.phone_hash == phone_hash(self._key, phone)
            await connection.execute(delete(login_code).where(where))

    async def check_code(self, phone: str, code: str, now_ms: int) -> Verdict:
        """Judge a typed code, counting the try; a right code is used up."""
        phone_key = phone_hash(self._key, phone)
        typed = login.code_hash(self._key, phone_key, code)
        async with self._database.write() as connection:
            row = await _code(connection, phone_key)
            verdict, kept = login.check(row, typed, now_ms)
            if kept is not None and kept != row:
                await _keep(connection, phone_key, kept, known=True)
        return verdict

    async def open_session(self, identity: Identity, now_ms: int) -> str:
        """A new session's token, which only the browser keeps; sweeps out expired ones."""
        token = secrets.token_urlsafe(login.SESSION_TOKEN_BYTES)
        async with self._database.write() as connection:
            await connection.execute(delete(session).where(session.c.expires_ms <= now_ms))
            await connection.execute(
                insert(session).values(
                    token_hash=login.token_hash(token),
                    rider_id=identity.rider_id,
                    created_ms=now_ms,
                    expires_ms=now_ms + login.SESSION_LIFE_MS,
                )
            )
        return token

    async def identity(self, token: str, now_ms: int) -> Identity | None:
        """Whom a token stands for, None when it is unknown or expired."""
        query = select(session.c.rider_id).where(
            session.c.token_hash == login.token_hash(token), session.c.expires_ms > now_ms
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else Identity(rider_id=row.rider_id)

    async def close_session(self, token: str) -> None:
        """Log out."""
        where = session.c.token_hash == login.token_hash(token)
        async with self._database.write() as connection:
            await connection.execute(delete(session).where(where))


async def _code(connection: AsyncConnection, phone_key: str) -> LoginCode | None:
    query = select(login_code).where(login_code.c.phone_hash == phone_key).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    return LoginCode(row.code_hash, row.expires_ms, row.tries, row.sent_ms, row.sends)


async def _keep(
    connection: AsyncConnection, phone_key: str, code: LoginCode, *, known: bool
) -> None:
    values: dict[str, Any] = {
        "code_hash": code.code_hash,
        "expires_ms": code.expires_ms,
        "tries": code.tries,
        "sent_ms": code.sent_ms,
        "sends": code.sends,
    }
    if known:
        where = login_code.c.phone_hash == phone_key
        await connection.execute(update(login_code).where(where).values(**values))
    else:
        await connection.execute(insert(login_code).values(phone_hash=phone_key, **values))
