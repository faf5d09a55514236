"""API tokens of programs: hashes, what they may, when they were used."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Select, insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.access import Permission, Role
from fleet.core.staff import SEEN_EVERY_MS, Account, ApiToken
from fleet.errors import NotFoundError
from fleet.store.audit_log import append
from fleet.store.engine import Database
from fleet.store.staff import account_of, scope_columns, scope_of
from fleet.store.tables_staff import api_token, staff


class TokenStore:
    """Access to ``api_token``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, new: ApiToken, token_hash: str, now_ms: int) -> None:
        """Keep a new token's hash, and say so in the log of orders."""
        grants = None if new.grants is None else json.dumps(sorted(new.grants))
        values = {
            "id": new.id,
            "token_hash": token_hash,
            "prefix": new.prefix,
            "name": new.name,
            "role": new.role.value,
            "grants": grants,
            "made_by": new.made_by,
            "created_ms": new.created_ms,
            "expires_ms": new.expires_ms,
            **scope_columns(new.scope),
        }
        async with self._database.write() as connection:
            values["maker"] = await _maker(connection, new.made_by)
            await connection.execute(insert(api_token).values(**values))
            await append(
                connection,
                at_ms=now_ms,
                actor=f"operator:{new.made_by}",
                action="token.add",
                outcome="done",
                subject=f"token:{new.prefix}",
                reason=f"{new.name}: {new.role.value}",
            )

    async def all(self) -> list[ApiToken]:
        """Every token, the newest first."""
        query = select(api_token).order_by(api_token.c.created_ms.desc(), api_token.c.id)
        async with self._database.read() as connection:
            return [_token(row) for row in (await connection.execute(query)).mappings()]

    async def find(self, token_hash: str, now_ms: int) -> tuple[ApiToken, Account | None] | None:
        """The token and its maker; None when it is unknown, revoked or expired.

        Keeps when it was used. A token whose maker is not to be found is unknown.
        """
        own = api_token.c
        query = select(api_token).where(
            own.token_hash == token_hash, own.off.is_(False), own.expires_ms > now_ms
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
            found = None if row is None else await _by_id(connection, row["maker"])
        if row is None or (row["maker"] is not None and found is None):
            return None
        if row["used_ms"] is None or now_ms - row["used_ms"] >= SEEN_EVERY_MS:
            async with self._database.write() as connection:
                change = update(api_token).where(own.id == row["id"]).values(used_ms=now_ms)
                await connection.execute(change)
        return _token(row), None if found is None else account_of(found)

    async def adopt(self, token_id: str, by: str, now_ms: int) -> ApiToken:
        """Let a token go on for another maker, by its id or prefix; raise NotFoundError."""
        async with self._database.write() as connection:
            row = (await connection.execute(_named(token_id))).mappings().first()
            if row is None or row["off"]:
                raise NotFoundError(f"no token {token_id} in use; see `fleetd token list`")
            maker = await _maker(connection, by)
            change = update(api_token).where(api_token.c.id == row["id"])
            await connection.execute(change.values(made_by=by, maker=maker))
            await append(
                connection,
                at_ms=now_ms,
                actor=f"operator:{by}",
                action="token.adopt",
                outcome="done",
                subject=f"token:{row['prefix']}",
                reason=f"{row['name']}: from {row['made_by']}",
            )
            row = (await connection.execute(_named(row["id"]))).mappings().one()
        return _token(row)

    async def revoke(self, token_id: str, by: str, now_ms: int) -> ApiToken:
        """End a token, by its id or prefix; raise NotFoundError."""
        own = api_token.c
        async with self._database.write() as connection:
            row = (await connection.execute(_named(token_id))).mappings().first()
            if row is None:
                raise NotFoundError(f"no token {token_id}; see `fleetd token list`")
            change = update(api_token).where(own.id == row["id"]).values(off=True)
            await connection.execute(change)
            await append(
                connection,
                at_ms=now_ms,
                actor=f"operator:{by}",
                action="token.revoke",
                outcome="done",
                subject=f"token:{row['prefix']}",
            )
        return _token(row)


def _named(token_id: str) -> Select[Any]:
    own = api_token.c
    return select(api_token).where((own.id == token_id) | (own.prefix == token_id))


async def _maker(connection: AsyncConnection, name: str) -> str | None:
    """The account of this name; none for a command on the machine, which bears no account's name."""
    query = select(staff.c.id).where(staff.c.name_key == name.lower())
    return (await connection.execute(query)).scalar_one_or_none()


async def _by_id(connection: AsyncConnection, account_id: str | None) -> RowMapping | None:
    if account_id is None:
        return None
    query = select(staff).where(staff.c.id == account_id)
    return (await connection.execute(query)).mappings().first()


def _token(row: RowMapping) -> ApiToken:
    known = {each.value for each in Permission}
    grants = row["grants"]
    return ApiToken(
        id=row["id"],
        name=row["name"],
        prefix=row["prefix"],
        role=Role(row["role"]),
        scope=scope_of(row),
        # One that this version does not know any more grants nothing.
        grants=None
        if grants is None
        else frozenset(Permission(each) for each in json.loads(grants) if each in known),
        made_by=row["made_by"],
        created_ms=row["created_ms"],
        expires_ms=row["expires_ms"],
        used_ms=row["used_ms"],
        off=row["off"],
        maker=row["maker"],
    )
