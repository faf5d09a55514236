"""Accounts of staff, their sessions and one-time links. Only hashes and sealed secrets are kept.

Whatever changes who may do what is written to the log of orders in the same transaction.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.access import Role, Scope
from fleet.core.staff import (
    SEEN_EVERY_MS,
    SESSIONS_MAX,
    Account,
    LinkFor,
    Secrets,
    StaffSession,
)
from fleet.errors import InvalidError, NotFoundError, RefusedError
from fleet.store.audit_log import append
from fleet.store.engine import Database
from fleet.store.tables_staff import staff, staff_link, staff_recovery, staff_session
from fleet.store.tables_views import saved_view


class StaffStore:
    """Access to ``staff``, ``staff_session``, ``staff_link`` and ``staff_recovery``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- accounts -------------------------------------------------------------------------------

    async def add(self, new: Account, by: str, now_ms: int) -> None:
        """A new account; raise InvalidError when the name is taken."""
        values = {
            "id": new.id,
            "name": new.name,
            "name_key": new.name.lower(),
            "role": new.role.value,
            "issuer": new.issuer,
            "subject": new.subject,
            "created_ms": now_ms,
            **scope_columns(new.scope),
        }
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(staff).values(**values))
                await _log(connection, now_ms, by, "add", new.name, _words(new.role, new.scope))
        except IntegrityError as error:
            raise InvalidError(
                f"staff {new.name}: exists; to let them in again use `fleetd staff reset {new.name}`",
                code="name-taken",
            ) from error

    async def all(self) -> list[Account]:
        """Every account, by name."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(staff).order_by(staff.c.name_key))
            return [account_of(row) for row in rows.mappings()]

    async def secrets(self, name: str) -> Secrets | None:
        """What the account of this name is checked against."""
        async with self._database.read() as connection:
            return _secrets(await _row(connection, name))

    async def named(self, name: str) -> Account:
        """The account; raise NotFoundError."""
        found = await self.secrets(name)
        if found is None:
            raise NotFoundError(f"no account {name}; see `fleetd staff list`")
        return found.account

    async def of_subject(self, issuer: str, subject: str) -> Account | None:
        """Who comes by an identity provider under this subject."""
        query = select(staff).where(staff.c.issuer == issuer, staff.c.subject == subject)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else account_of(row)

    async def change(self, name: str, role: Role, scope: Scope, by: str, now_ms: int) -> Account:
        """Another role or scope; raise NotFoundError, RefusedError ``last-admin``."""
        values = {"role": role.value, **scope_columns(scope)}
        return await self._change(name, values, by, now_ms, "role", _words(role, scope))

    async def switch(self, name: str, *, off: bool, by: str, now_ms: int) -> Account:
        """Off, with all sessions, links and saved views gone, or on again; raise as ``change``.

        Accounts are never deleted, because the log of orders names them: this is their end.
        """
        action = "disable" if off else "enable"
        return await self._change(name, {"off": off}, by, now_ms, action, "", ended=off)

    async def reset(self, name: str, by: str, now_ms: int) -> Account:
        """Without password, second factor, sessions and links; raise NotFoundError."""
        values = {"password_hash": None, "totp_sealed": None, "totp_on": False, "totp_step": -1}
        async with self._database.write() as connection:
            row = await _need(connection, name)
            await connection.execute(update(staff).where(staff.c.id == row["id"]).values(**values))
            gone = delete(staff_recovery).where(staff_recovery.c.staff == row["id"])
            await connection.execute(gone)
            await _end(connection, row["id"])
            await _log(connection, now_ms, by, "reset", name, "")
            return account_of(await _need(connection, name))

    async def _change(  # noqa: PLR0917 - the account and the line in the log
        self,
        name: str,
        values: dict[str, Any],
        by: str,
        now_ms: int,
        action: str,
        words: str,
        *,
        ended: bool = False,
    ) -> Account:
        async with self._database.write() as connection:
            admins = await _admins(connection, lock=True)
            row = await _need(connection, name)
            await connection.execute(update(staff).where(staff.c.id == row["id"]).values(**values))
            if admins and not await _admins(connection):
                text = f"staff {name}: is the last administrator of the whole fleet"
                raise RefusedError(text, code="last-admin")
            if ended:
                await _end(connection, row["id"])
                await connection.execute(delete(saved_view).where(saved_view.c.staff == row["id"]))
            await _log(connection, now_ms, by, action, name, words)
            return account_of(await _need(connection, name))

    async def admins(self) -> int:
        """How many administrators of the whole fleet can come in."""
        async with self._database.read() as connection:
            return await _admins(connection)

    # --- secrets of an account ------------------------------------------------------------------

    async def set_password(self, account_id: str, password_hash: str, now_ms: int) -> None:
        """A new password; every session and link of the account ends."""
        async with self._database.write() as connection:
            row = await _by_id(connection, account_id)
            change = update(staff).where(staff.c.id == account_id)
            await connection.execute(change.values(password_hash=password_hash))
            await _end(connection, account_id)
            await _log(connection, now_ms, row["name"], "password", row["name"], "")

    async def offer_totp(self, account_id: str, sealed: str) -> None:
        """A secret that waits to be confirmed by its first code; nothing while one is in use."""
        where = (staff.c.id == account_id) & staff.c.totp_on.is_(False)
        async with self._database.write() as connection:
            await connection.execute(update(staff).where(where).values(totp_sealed=sealed))

    async def confirm_totp(
        self, account_id: str, step: int, code_hashes: list[str], now_ms: int
    ) -> None:
        """From now on a code is asked for; these recovery codes replace any older ones."""
        async with self._database.write() as connection:
            row = await _by_id(connection, account_id)
            change = update(staff).where(staff.c.id == account_id)
            await connection.execute(change.values(totp_on=True, totp_step=step))
            await _put_codes(connection, account_id, code_hashes)
            await _log(connection, now_ms, row["name"], "totp-on", row["name"], "")

    async def renew_codes(self, account_id: str, code_hashes: list[str], now_ms: int) -> None:
        """Other recovery codes; the older ones end."""
        async with self._database.write() as connection:
            row = await _by_id(connection, account_id)
            await _put_codes(connection, account_id, code_hashes)
            await _log(connection, now_ms, row["name"], "codes", row["name"], "")

    async def codes_left(self, account_id: str) -> int:
        """How many recovery codes were not used."""
        own = staff_recovery.c
        query = select(func.count()).select_from(staff_recovery).where(own.staff == account_id)
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar_one()

    async def has_recovery(self, account_id: str, code_hash: str) -> bool:
        """Whether this is a recovery code, without using it."""
        own = staff_recovery.c
        query = select(own.staff).where(own.staff == account_id, own.code_hash == code_hash)
        async with self._database.read() as connection:
            return (await connection.execute(query)).first() is not None

    async def drop_totp(self, account_id: str, now_ms: int) -> None:
        """No code is asked for any more."""
        async with self._database.write() as connection:
            row = await _by_id(connection, account_id)
            change = update(staff).where(staff.c.id == account_id)
            await connection.execute(change.values(totp_sealed=None, totp_on=False, totp_step=-1))
            gone = delete(staff_recovery).where(staff_recovery.c.staff == account_id)
            await connection.execute(gone)
            await _log(connection, now_ms, row["name"], "totp-off", row["name"], "")

    async def spend_step(self, account_id: str, step: int) -> bool:
        """Use a code's time step up; False when it, or a later one, was used."""
        where = (staff.c.id == account_id) & (staff.c.totp_step < step)
        async with self._database.write() as connection:
            done = await connection.execute(update(staff).where(where).values(totp_step=step))
            return done.rowcount == 1

    async def spend_recovery(self, account_id: str, code_hash: str) -> bool:
        """Use a recovery code up; False when there is none such."""
        own = staff_recovery.c
        where = (own.staff == account_id) & (own.code_hash == code_hash)
        async with self._database.write() as connection:
            return (await connection.execute(delete(staff_recovery).where(where))).rowcount == 1

    # --- one-time links -------------------------------------------------------------------------

    async def put_link(
        self, token_hash: str, purpose: LinkFor, account_id: str | None, expires_ms: int
    ) -> None:
        """A link; an older one for the same ends."""
        own = staff_link.c
        same = (own.purpose == purpose.value) & (
            own.staff.is_(None) if account_id is None else own.staff == account_id
        )
        row = {"purpose": purpose.value, "staff": account_id, "expires_ms": expires_ms}
        async with self._database.write() as connection:
            await connection.execute(delete(staff_link).where(same))
            await connection.execute(insert(staff_link).values(token_hash=token_hash, **row))

    async def link(self, token_hash: str, now_ms: int) -> tuple[LinkFor, Account | None] | None:
        """What a link is good for, without using it."""
        async with self._database.read() as connection:
            return await _link(connection, token_hash, now_ms)

    async def take_link(
        self, token_hash: str, now_ms: int
    ) -> tuple[LinkFor, Account | None] | None:
        """Use a link up: of two who try at once, one gets it."""
        async with self._database.write() as connection:
            found = await _link(connection, token_hash, now_ms)
            gone = delete(staff_link).where(staff_link.c.token_hash == token_hash)
            taken = (await connection.execute(gone)).rowcount == 1
            return found if taken else None

    # --- sessions -------------------------------------------------------------------------------

    async def open_session(
        self, token_hash: str, account_id: str, opened: StaffSession, now_ms: int
    ) -> None:
        """A browser is signed in; expired sessions, and the oldest of too many, end."""
        own = staff_session.c
        row = {name: getattr(opened, name) for name in StaffSession.__slots__}
        async with self._database.write() as connection:
            await connection.execute(delete(staff_session).where(own.expires_ms <= now_ms))
            query = select(own.token_hash).where(own.staff == account_id)
            newest = query.order_by(own.created_ms.desc()).offset(SESSIONS_MAX - 1)
            for each in (await connection.execute(newest)).scalars().all():
                await connection.execute(delete(staff_session).where(own.token_hash == each))
            values = {"token_hash": token_hash, "staff": account_id, **row}
            await connection.execute(insert(staff_session).values(**values))
            change = update(staff).where(staff.c.id == account_id)
            await connection.execute(change.values(last_login_ms=now_ms))

    async def session(self, token_hash: str, now_ms: int) -> tuple[Account, str] | None:
        """Whose session it is, and its id; None when it has ended or the account is off."""
        own = staff_session.c
        query = (
            select(staff, own.id.label("session_id"), own.seen_ms)
            .join(staff_session, own.staff == staff.c.id)
            .where(own.token_hash == token_hash, own.expires_ms > now_ms, staff.c.off.is_(False))
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            return None
        if now_ms - row["seen_ms"] >= SEEN_EVERY_MS:
            async with self._database.write() as connection:
                change = update(staff_session).where(own.token_hash == token_hash)
                await connection.execute(change.values(seen_ms=now_ms))
        return account_of(row), row["session_id"]

    async def proven_ms(self, session_id: str) -> int | None:
        """When who sits there last gave his password; None when the session has ended."""
        query = select(staff_session.c.proven_ms).where(staff_session.c.id == session_id)
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def prove(self, session_id: str, now_ms: int) -> None:
        """The password was given again in this session."""
        change = update(staff_session).where(staff_session.c.id == session_id)
        async with self._database.write() as connection:
            await connection.execute(change.values(proven_ms=now_ms))

    async def sessions(self, account_id: str, now_ms: int) -> list[StaffSession]:
        """The account's sessions, the last one first."""
        own = staff_session.c
        query = select(staff_session).where(own.staff == account_id, own.expires_ms > now_ms)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(own.created_ms.desc()))
            return [
                StaffSession(**{name: row[name] for name in StaffSession.__slots__})
                for row in rows.mappings()
            ]

    async def end_session(
        self, *, token_hash: str | None = None, account_id: str = "", session_id: str = ""
    ) -> None:
        """End one: by its token, or by its id within an account."""
        own = staff_session.c
        one = own.staff == account_id, own.id == session_id
        where = and_(*one) if token_hash is None else own.token_hash == token_hash
        async with self._database.write() as connection:
            await connection.execute(delete(staff_session).where(where))


def scope_columns(scope: Scope) -> dict[str, str | None]:
    """A scope as it is stored."""
    return {
        "stations": None if scope.stations is None else json.dumps(sorted(scope.stations)),
        "partners": None if scope.partners is None else json.dumps(sorted(scope.partners)),
    }


def scope_of(row: RowMapping) -> Scope:
    """A scope out of its columns."""
    found = [
        None if row[name] is None else frozenset(json.loads(row[name]))
        for name in ("stations", "partners")
    ]
    return Scope(*found)


def account_of(row: RowMapping) -> Account:
    """An account out of its row."""
    return Account(
        id=row["id"],
        name=row["name"],
        role=Role(row["role"]),
        scope=scope_of(row),
        off=row["off"],
        has_password=row["password_hash"] is not None,
        second_factor=row["totp_on"],
        issuer=row["issuer"],
        subject=row["subject"],
        created_ms=row["created_ms"],
        last_login_ms=row["last_login_ms"],
    )


async def _row(connection: AsyncConnection, name: str) -> RowMapping | None:
    query = select(staff).where(staff.c.name_key == name.lower())
    return (await connection.execute(query)).mappings().first()


async def _need(connection: AsyncConnection, name: str) -> RowMapping:
    row = await _row(connection, name)
    if row is None:
        raise NotFoundError(f"no account {name}; see `fleetd staff list`")
    return row


async def _by_id(connection: AsyncConnection, account_id: str) -> RowMapping:
    query = select(staff).where(staff.c.id == account_id)
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        raise NotFoundError(f"no account {account_id}")
    return row


async def _admins(connection: AsyncConnection, *, lock: bool = False) -> int:
    """How many there are; with ``lock`` they stay so, or two would switch each other off."""
    own = staff.c
    query = (
        select(own.id)
        .order_by(own.id)
        .where(
            own.role == Role.ADMIN.value,
            own.off.is_(False),
            own.stations.is_(None),
            own.partners.is_(None),
            own.password_hash.is_not(None) | own.issuer.is_not(None),
        )
    )
    if lock:
        query = query.with_for_update()
    return len((await connection.execute(query)).all())


async def _put_codes(connection: AsyncConnection, account_id: str, code_hashes: list[str]) -> None:
    gone = delete(staff_recovery).where(staff_recovery.c.staff == account_id)
    await connection.execute(gone)
    rows = [{"staff": account_id, "code_hash": each} for each in code_hashes]
    await connection.execute(insert(staff_recovery), rows)


async def _end(connection: AsyncConnection, account_id: str) -> None:
    await connection.execute(delete(staff_session).where(staff_session.c.staff == account_id))
    await connection.execute(delete(staff_link).where(staff_link.c.staff == account_id))


async def _link(
    connection: AsyncConnection, token_hash: str, now_ms: int
) -> tuple[LinkFor, Account | None] | None:
    own = staff_link.c
    query = select(own.purpose, own.staff).where(
        own.token_hash == token_hash, own.expires_ms > now_ms
    )
    row = (await connection.execute(query)).first()
    if row is None:
        return None
    if row.staff is None:
        return LinkFor(row.purpose), None
    account = account_of(await _by_id(connection, row.staff))
    return None if account.off else (LinkFor(row.purpose), account)


async def _log(  # noqa: PLR0917 - the fields of one line
    connection: AsyncConnection, now_ms: int, by: str, action: str, name: str, words: str
) -> None:
    await append(
        connection,
        at_ms=now_ms,
        actor=f"operator:{by}",
        action=f"staff.{action}",
        outcome="done",
        subject=f"staff:{name}",
        reason=words,
    )


def _words(role: Role, scope: Scope) -> str:
    """A role and scope, short, for the log."""
    bounds = [
        f"{name} {','.join(sorted(own))[:200] or 'none'}"
        for name, own in (("stations", scope.stations), ("partners", scope.partners))
        if own is not None
    ]
    return "; ".join([role.value, *bounds])


def _secrets(row: RowMapping | None) -> Secrets | None:
    if row is None:
        return None
    return Secrets(account_of(row), row["password_hash"], row["totp_sealed"], row["totp_step"])
