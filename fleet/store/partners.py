"""Partners: their links that were used, their riders, their swaps, and what they are still to be told."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Select, and_, delete, exists, insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.account_views import ChargeView, Notice, PartnerView, SessionCharge
from fleet.core.audit_log import DONE
from fleet.core.partners import Partner, Visitor, check_partner
from fleet.core.plans import Subscription
from fleet.core.sockets import ENDED
from fleet.errors import InvalidError, NotFoundError
from fleet.store import tables as t
from fleet.store.audit_log import append
from fleet.store.engine import Database
from fleet.store.entitlements import partner_used
from fleet.store.plans import charge_views, put_subscription
from fleet.store.tables_accounts import (
    charge,
    partner,
    partner_link,
    partner_rider,
    rider_plan,
    subscription,
)

#: Between two tries to tell a partner; after the last one it has to ask itself.
TELL_AFTER_MS: Final = (5_000, 30_000, 120_000, 600_000, 3_600_000, 6 * 3_600_000)


class PartnerStore:
    """Access to ``partner``, ``partner_link`` and ``partner_rider``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, new: Partner, token_hash: str, now_ms: int) -> None:
        """Register a partner; raise InvalidError when a field is wrong or the id is taken."""
        check_partner(new)
        values = {name: getattr(new, name) for name in Partner.__slots__}
        try:
            async with self._database.write() as connection:
                if new.plan is not None:
                    query = select(rider_plan.c.id).where(rider_plan.c.id == new.plan)
                    if (await connection.execute(query)).first() is None:
                        raise NotFoundError(f"no plan {new.plan}; see `fleetd rider-plan list`")
                row = insert(partner).values(token_hash=token_hash, created_ms=now_ms, **values)
                await connection.execute(row)
        except IntegrityError as error:
            raise InvalidError(f"partner {new.id}: exists") from error

    async def switch(self, partner_id: str, *, off: bool) -> None:
        """Let a partner's riders swap no more, or again; raise NotFoundError."""
        async with self._database.write() as connection:
            change = update(partner).where(partner.c.id == partner_id).values(off=off)
            if (await connection.execute(change)).rowcount != 1:
                raise NotFoundError(f"no partner {partner_id}")

    async def judge(
        self, partner_id: str, reason: str, actor: str, now_ms: int, *, off: bool
    ) -> None:
        """The same, with who did it and why in the log; raise NotFoundError."""
        async with self._database.write() as connection:
            change = update(partner).where(partner.c.id == partner_id).values(off=off)
            if (await connection.execute(change)).rowcount != 1:
                raise NotFoundError(f"no partner {partner_id}")
            await append(
                connection,
                at_ms=now_ms,
                actor=actor,
                action="partner.off" if off else "partner.on",
                outcome=DONE,
                subject=partner_id,
                reason=reason,
            )

    async def all(self, now_ms: int) -> list[PartnerView]:
        """Every partner, by id."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(partner).order_by(partner.c.id))
            found = [row._mapping for row in rows]  # noqa: SLF001 - its documented name
        return [await self._view(row, now_ms) for row in found]

    async def get(self, partner_id: str) -> Partner | None:
        """One partner."""
        async with self._database.read() as connection:
            query = select(partner).where(partner.c.id == partner_id)
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else Partner(**{n: row[n] for n in Partner.__slots__})

    async def by_token(self, token_hash: str, now_ms: int) -> PartnerView | None:
        """The partner of an API token."""
        async with self._database.read() as connection:
            query = select(partner).where(partner.c.token_hash == token_hash)
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else await self._view(row, now_ms)

    async def use_link(self, visitor: Visitor, now_ms: int) -> bool:
        """Note that a link was used; False when it was before."""
        values = {
            "partner": visitor.partner,
            "jti": visitor.jti,
            "expires_ms": visitor.expires_ms,
        }
        try:
            async with self._database.write() as connection:
                old = delete(partner_link).where(partner_link.c.expires_ms <= now_ms)
                await connection.execute(old)
                await connection.execute(insert(partner_link).values(**values))
        except IntegrityError:
            return False
        return True

    async def bind(self, who: Partner, subject: str, rider: str, new_id: str, now_ms: int) -> None:
        """Note whose pseudonym it is; at the first time the rider gets the partner's plan."""
        async with self._database.write() as connection:
            known = select(partner_rider.c.rider).where(
                partner_rider.c.partner == who.id, partner_rider.c.subject == subject
            )
            if (await connection.execute(known)).first() is None:
                row = insert(partner_rider).values(partner=who.id, subject=subject, rider=rider)
                await connection.execute(row)
            had = exists().where(subscription.c.rider == rider, subscription.c.partner == who.id)
            if who.plan is not None and not (await connection.execute(select(had))).scalar_one():
                wanted = Subscription(new_id, rider, who.plan, who.id, now_ms, None)
                await put_subscription(connection, wanted)

    async def set_plan(
        self, who: PartnerView, subject: str, until_ms: int | None, new_id: str, now_ms: int
    ) -> None:
        """The partner's plan for one of its riders until then; raise NotFoundError.

        One that holds already goes on to that time: told again it begins no new period, whose quota
        would be whole again.
        """
        async with self._database.write() as connection:
            known = select(partner_rider.c.rider).where(
                partner_rider.c.partner == who.id, partner_rider.c.subject == subject
            )
            rider = (await connection.execute(known)).scalar_one_or_none()
            if rider is None or who.plan is None:
                raise NotFoundError(f"no rider {subject!r} of {who.id}, or the partner has no plan")
            own = subscription.c
            holds = (own.rider == rider) & (own.partner == who.id) & (own.plan == who.plan)
            holds &= (own.from_ms <= now_ms) & (own.until_ms.is_(None) | (own.until_ms > now_ms))
            goes_on = update(subscription).where(holds).values(until_ms=until_ms)
            if (await connection.execute(goes_on)).rowcount:
                return
            wanted = Subscription(new_id, rider, who.plan, who.id, now_ms, until_ms)
            await put_subscription(connection, wanted)

    async def swaps(self, partner_id: str, since_ms: int, limit: int) -> list[ChargeView]:
        """The swaps of a partner's riders, newest first."""
        where = and_(charge.c.partner == partner_id, charge.c.created_ms >= since_ms)
        async with self._database.read() as connection:
            return await charge_views(connection, where, limit)

    async def sessions(self, partner_id: str, since_ms: int, limit: int) -> list[SessionCharge]:
        """The sessions at sockets of a partner's riders, newest first."""
        own = t.socket_session.c
        query = _sessions_of(partner_id).where(own.created_ms >= since_ms)
        query = query.order_by(own.created_ms.desc(), own.id.desc()).limit(limit)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings()
            return [_session_charge(row) for row in rows]

    async def due(self, now_ms: int, limit: int) -> list[Notice]:
        """What partners are to be told now, up to ``limit`` of each kind for each partner.

        For each, so that one that does not listen keeps nobody waiting.
        """
        query = select(partner.c.id, partner.c.webhook_url).where(partner.c.webhook_url != "")
        notices = []
        async with self._database.read() as connection:
            for name, url in (await connection.execute(query.order_by(partner.c.id))).all():
                notices += await _swaps_due(connection, name, url, now_ms, limit)
                notices += await _sessions_due(connection, name, url, now_ms, limit)
        return notices

    async def told(self, notice: Notice, now_ms: int, *, well: bool) -> None:
        """How telling went: done with it, or again later, or given up."""
        tries = notice.tries
        later = None if well or tries >= len(TELL_AFTER_MS) else now_ms + TELL_AFTER_MS[tries]
        own = charge if notice.swap else t.socket_session
        change = (
            update(charge).where(charge.c.swap_id == notice.swap.swap_id)
            if notice.swap
            else update(t.socket_session).where(
                t.socket_session.c.id == (notice.session.session_id if notice.session else None)
            )
        )
        if notice.due_ms is not None:  # else it has changed since, and what was told is old
            change = change.where(own.c.tell_ms == notice.due_ms)
        async with self._database.write() as connection:
            await connection.execute(change.values(tell_ms=later, tries=tries + 1))

    async def _view(self, row: Any, now_ms: int) -> PartnerView:
        async with self._database.read() as connection:
            used = await partner_used(connection, row["id"], now_ms)
        return PartnerView(
            id=row["id"],
            name=row["name"],
            plan=row["plan"],
            quota_day=row["quota_day"],
            used_day=used,
            off=row["off"],
            colour=row["colour"],
            support_phone=row["support_phone"],
        )


async def _swaps_due(
    connection: AsyncConnection, name: str, url: str, now_ms: int, limit: int
) -> list[Notice]:
    """Swaps that have ended and of which the partner has not heard."""
    ended = exists().where(t.swap.c.id == charge.c.swap_id, ~t.swap.c.open)
    query = select(charge.c.swap_id, charge.c.tries, charge.c.tell_ms)
    query = query.where(charge.c.partner == name, charge.c.tell_ms <= now_ms, ended)
    notices = []
    for row in (await connection.execute(query.order_by(charge.c.tell_ms).limit(limit))).all():
        (view,) = await charge_views(connection, charge.c.swap_id == row.swap_id, 1)
        notices.append(
            Notice(partner=name, url=url, swap=view, tries=row.tries, due_ms=row.tell_ms)
        )
    return notices


async def _sessions_due(
    connection: AsyncConnection, name: str, url: str, now_ms: int, limit: int
) -> list[Notice]:
    """The same of sessions; what never gave power costs nothing and is not told."""
    own = t.socket_session.c
    query = _sessions_of(name).where(own.tell_ms <= now_ms, own.state == ENDED)
    rows = (await connection.execute(query.order_by(own.tell_ms).limit(limit))).mappings()
    return [
        Notice(
            partner=name,
            url=url,
            session=_session_charge(row),
            tries=row["tries"],
            due_ms=row["tell_ms"],
        )
        for row in rows
    ]


def _sessions_of(partner_id: str) -> Select[Any]:
    """A partner's sessions with its own name for each rider."""
    own, known = t.socket_session.c, partner_rider.c
    joined = t.socket_session.outerjoin(
        partner_rider, and_(known.rider == own.rider, known.partner == own.partner)
    )
    query = select(t.socket_session, known.subject).select_from(joined)
    return query.where(own.partner == partner_id)


def _session_charge(row: RowMapping) -> SessionCharge:
    return SessionCharge(
        session_id=row["id"],
        subject=row["subject"] or "",
        cabinet_id=row["cabinet"],
        socket=row["socket"],
        plan_id=row["plan"] or "",
        state=row["state"],
        energy_wh=row["energy_wh"],
        duration_s=row["duration_s"],
        included=row["included"],
        created_ms=row["created_ms"],
        amount_minor=row["amount_minor"],
    )
