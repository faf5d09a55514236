"""Tokens, certificates and enrolments of cabinets. Every change leaves a line in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.audit_log import DONE
from fleet.core.enrolment import (
    MESSAGES,
    DeviceCert,
    Enrolled,
    Issued,
    Peer,
    TokenRow,
    next_epoch,
    refuse,
)
from fleet.core.records import SecretsHeld
from fleet.errors import DeniedError, NotFoundError
from fleet.store import tables as t
from fleet.store.audit_log import append
from fleet.store.engine import Database
from fleet.store.meta import CABINETS, bump
from protocols.enrolment import NO_CERTIFICATE, REVOKED

COMMAND_LINE: Final = "command-line"
REFUSED: Final = "refused"


class EnrolmentStore:
    """Access to ``enrol_token`` and ``device_cert``, and to what of ``cabinet`` hangs on them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_token(self, row: TokenRow, now_ms: int, actor: str = COMMAND_LINE) -> None:
        """Keep a new token; an earlier one of the cabinet that was not used is void from now on.

        Raises:
            NotFoundError: no such cabinet.
        """
        async with self._database.write() as connection:
            known = select(t.cabinet.c.id).where(t.cabinet.c.id == row.cabinet)
            if (await connection.execute(known.with_for_update(key_share=True))).first() is None:
                raise NotFoundError(f"cabinet {row.cabinet}: is not registered")
            unused = (t.enrol_token.c.cabinet == row.cabinet) & t.enrol_token.c.used_ms.is_(None)
            await connection.execute(delete(t.enrol_token).where(unused))
            await connection.execute(
                insert(t.enrol_token).values(
                    id=row.id,
                    cabinet=row.cabinet,
                    secret_hash=row.secret_hash,
                    created_ms=now_ms,
                    expires_ms=row.expires_ms,
                )
            )
            await append(
                connection,
                at_ms=now_ms,
                actor=actor,
                action="cabinet.token",
                outcome=DONE,
                cabinet=row.cabinet,
                subject=row.id,
            )

    async def redeem(
        self,
        *,
        token_id: str,
        secret_hash: str,
        cabinet: str,
        now_ms: int,
        issue: Callable[[int], Issued],
        secrets_id: str,
    ) -> Enrolled:
        """Use a token up: mint the epoch, remember the certificate, revoke those before.

        ``issue`` signs the certificate for an epoch.

        Raises:
            DeniedError: the token does not admit; the code says why.
        """
        async with self._database.write() as connection:
            row = await _token(connection, token_id)
            reason = refuse(row, secret_hash, cabinet, now_ms)
            if reason is None:
                epoch = await _mint(connection, cabinet)
                issued = issue(epoch)
                await _revoke(connection, cabinet, now_ms)
                used = update(t.enrol_token).where(t.enrol_token.c.id == token_id)
                await connection.execute(used.values(used_ms=now_ms))
                await _let_in(connection, cabinet, epoch, secrets_id)
                await _remember(connection, cabinet, epoch, issued, now_ms)
                await append(
                    connection,
                    at_ms=now_ms,
                    actor=f"cabinet:{cabinet}",
                    action="cabinet.enrol",
                    outcome=DONE,
                    cabinet=cabinet,
                    subject=token_id,
                    evidence=f"epoch {epoch}, certificate {issued.serial}",
                )
                return Enrolled(epoch, issued.pem)
            if row is not None:  # rubbish must not fill a log that only grows
                await append(
                    connection,
                    at_ms=now_ms,
                    actor=f"cabinet:{cabinet}",
                    action="cabinet.enrol",
                    outcome=REFUSED,
                    cabinet=row.cabinet,
                    subject=token_id,
                    result=reason,
                )
        # After the commit, so that the audit line stays.
        raise DeniedError(MESSAGES[reason], code=reason)

    async def renew(
        self,
        peer: Peer,
        now_ms: int,
        issue: Callable[[int], Issued] | None,
        secrets_id: str,
    ) -> Enrolled:
        """A certificate of the same enrolment, and the note which secrets the cabinet was given.

        Raises:
            DeniedError: ``no-certificate``: none of ours; ``revoked``: the cabinet has been
                enrolled again or disabled since.
        """
        async with self._database.write() as connection:
            query = select(t.device_cert).where(t.device_cert.c.serial == peer.serial)
            row = (await connection.execute(query)).first()
            if row is None:
                await _adopt(connection, peer)
            elif (row.cabinet, row.epoch) != (peer.cabinet, peer.epoch):
                raise DeniedError("the certificate is none of ours", code=NO_CERTIFICATE)
            elif row.revoked_ms is not None:
                raise DeniedError("the certificate has been revoked", code=REVOKED)
            await connection.execute(
                update(t.cabinet)
                .where(t.cabinet.c.id == peer.cabinet)
                .values(secrets_id=secrets_id)
            )
            if issue is None:
                return Enrolled(peer.epoch, None)
            issued = issue(peer.epoch)
            await _remember(connection, peer.cabinet, peer.epoch, issued, now_ms)
            await append(
                connection,
                at_ms=now_ms,
                actor=f"cabinet:{peer.cabinet}",
                action="cabinet.renew",
                outcome=DONE,
                cabinet=peer.cabinet,
                evidence=f"epoch {peer.epoch}, certificate {issued.serial}",
            )
            return Enrolled(peer.epoch, issued.pem)

    async def disable(self, cabinet: str, now_ms: int, actor: str = COMMAND_LINE) -> None:
        """Revoke its certificates and void its token; a new token lets it in again.

        Raises:
            NotFoundError: no such cabinet.
        """
        async with self._database.write() as connection:
            query = update(t.cabinet).where(t.cabinet.c.id == cabinet)
            changed = await connection.execute(query.values(enrolled_epoch=None))
            if changed.rowcount == 0:
                raise NotFoundError(f"cabinet {cabinet}: is not registered")
            unused = (t.enrol_token.c.cabinet == cabinet) & t.enrol_token.c.used_ms.is_(None)
            await connection.execute(delete(t.enrol_token).where(unused))
            await _revoke(connection, cabinet, now_ms)
            await bump(connection, CABINETS)
            await append(
                connection,
                at_ms=now_ms,
                actor=actor,
                action="cabinet.disable",
                outcome=DONE,
                cabinet=cabinet,
            )

    async def revoked(self, now_ms: int) -> tuple[int, dict[str, str]]:
        """How many certificates were ever revoked, and those still in date: serial to cabinet."""
        async with self._database.read() as connection:
            gone = t.device_cert.c.revoked_ms.is_not(None)
            total = select(func.count()).select_from(t.device_cert).where(gone)
            number = int((await connection.execute(total)).scalar_one())
            query = select(t.device_cert).where(gone, t.device_cert.c.not_after_ms > now_ms)
            rows = await connection.execute(query)
            return number, {row.serial: row.cabinet for row in rows}

    async def certificates(self, cabinet: str) -> list[DeviceCert]:
        """All that a cabinet ever had, oldest first."""
        query = select(t.device_cert).where(t.device_cert.c.cabinet == cabinet)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(t.device_cert.c.issued_ms))
            return [
                DeviceCert(row.serial, row.cabinet, row.epoch, row.revoked_ms is not None)
                for row in rows
            ]

    async def secrets_held(self) -> list[SecretsHeld]:
        """Which secrets every enrolled cabinet was given last."""
        query = select(t.cabinet.c.id, t.cabinet.c.secrets_id)
        query = query.where(t.cabinet.c.enrolled_epoch.is_not(None)).order_by(t.cabinet.c.id)
        async with self._database.read() as connection:
            rows = await connection.execute(query)
            return [SecretsHeld(row.id, row.secrets_id) for row in rows]


async def _token(connection: AsyncConnection, token_id: str) -> TokenRow | None:
    query = select(t.enrol_token).where(t.enrol_token.c.id == token_id).with_for_update()
    row = (await connection.execute(query)).first()
    if row is None:
        return None
    return TokenRow(row.id, row.cabinet, row.secret_hash, row.expires_ms, row.used_ms)


async def _mint(connection: AsyncConnection, cabinet: str) -> int:
    query = select(t.cabinet.c.epoch, t.cabinet.c.enrolled_epoch).where(t.cabinet.c.id == cabinet)
    row = (await connection.execute(query.with_for_update())).one()
    mark = select(t.watermark.c.epoch).where(t.watermark.c.cabinet == cabinet)
    seen = (await connection.execute(mark)).scalar_one_or_none()
    held = select(func.max(t.device_cert.c.epoch)).where(t.device_cert.c.cabinet == cabinet)
    enrolled = (await connection.execute(held)).scalar_one_or_none()
    return next_epoch(int(row.epoch), enrolled, int(seen or 0))


async def _let_in(connection: AsyncConnection, cabinet: str, epoch: int, secrets_id: str) -> None:
    newer = update(t.cabinet).where(t.cabinet.c.id == cabinet)
    await connection.execute(newer.values(epoch=epoch, enrolled_epoch=epoch, secrets_id=secrets_id))
    await bump(connection, CABINETS)


async def _adopt(connection: AsyncConnection, peer: Peer) -> None:
    """Take in a certificate that our authority signed and this store has forgotten.

    A restored backup lacks what was issued after it. The enrolment that it names must not be older
    than the one that is known, and the cabinet must not be shut out.
    """
    query = select(t.cabinet.c.enrolled_epoch).where(t.cabinet.c.id == peer.cabinet)
    enrolled = (await connection.execute(query.with_for_update())).scalar_one_or_none()
    if enrolled is None or peer.epoch < enrolled:
        raise DeniedError("the certificate is none of ours", code=NO_CERTIFICATE)
    if peer.epoch > enrolled:
        newer = update(t.cabinet).where(t.cabinet.c.id == peer.cabinet)
        await connection.execute(newer.values(enrolled_epoch=peer.epoch, epoch=peer.epoch))
        await bump(connection, CABINETS)


async def _revoke(connection: AsyncConnection, cabinet: str, now_ms: int) -> None:
    valid = (t.device_cert.c.cabinet == cabinet) & t.device_cert.c.revoked_ms.is_(None)
    await connection.execute(update(t.device_cert).where(valid).values(revoked_ms=now_ms))


async def _remember(
    connection: AsyncConnection, cabinet: str, epoch: int, issued: Issued, now_ms: int
) -> None:
    await connection.execute(
        insert(t.device_cert).values(
            serial=issued.serial,
            cabinet=cabinet,
            epoch=epoch,
            issued_ms=now_ms,
            not_after_ms=issued.not_after_ms,
        )
    )
