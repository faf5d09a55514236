"""Plans, subscriptions and charges."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, and_, insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.account_views import ChargeView, PlanView
from fleet.core.plans import Entitlement, Plan, Subscription, check_plan, refuse_plan, refuse_socket
from fleet.errors import InvalidError, NotFoundError
from fleet.store import tables as t
from fleet.store.engine import Database
from fleet.store.entitlements import entitlement_of, handed_out, plan_of
from fleet.store.tables_accounts import charge, partner_rider, rider_plan, subscription

CHARGES_MAX: Final = 500


class PlanStore:
    """Access to ``rider_plan``, ``subscription`` and ``charge``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, plan: Plan, now_ms: int) -> None:
        """Put a plan on sale; raise InvalidError when a field is wrong or the id is taken."""
        check_plan(plan)
        async with self._database.write() as connection:
            if await _plan(connection, plan.id) is not None:
                raise InvalidError(f"plan {plan.id}: exists; a plan that was sold does not change")
            if plan.is_default:
                await connection.execute(update(rider_plan).values(is_default=False))
            values = {name: getattr(plan, name) for name in Plan.__slots__}
            await connection.execute(insert(rider_plan).values(created_ms=now_ms, **values))

    async def make_default(self, plan_id: str | None) -> None:
        """Who has no plan gets this one, or none; raise NotFoundError."""
        async with self._database.write() as connection:
            await connection.execute(update(rider_plan).values(is_default=False))
            if plan_id is not None:
                await _need_plan(connection, plan_id)
                where = rider_plan.c.id == plan_id
                await connection.execute(update(rider_plan).where(where).values(is_default=True))

    async def all(self) -> list[Plan]:
        """Every plan, by id."""
        query = select(rider_plan).order_by(rider_plan.c.id)
        async with self._database.read() as connection:
            return [plan_of(row) for row in (await connection.execute(query)).mappings()]

    async def subscribe(self, wanted: Subscription) -> None:
        """Give a rider a plan; what the same payer gave before ends. Raise NotFoundError."""
        async with self._database.write() as connection:
            await _need_plan(connection, wanted.plan)
            known = select(t.rider.c.id).where(t.rider.c.id == wanted.rider).with_for_update()
            if (await connection.execute(known)).first() is None:
                raise NotFoundError(f"no rider {wanted.rider}")
            await put_subscription(connection, wanted)

    async def of_rider(self, rider: str, now_ms: int) -> PlanView | None:
        """The plan that counts for a rider; None where the operator sells no plans."""
        async with self._database.read() as connection:
            held = await entitlement_of(connection, rider, now_ms, to_spend=False)
        return _plan_view(held)

    async def charge_of(self, swap_id: str) -> ChargeView | None:
        """What a transaction costs, if it costs anything by a plan."""
        found = await self.charges(charge.c.swap_id == swap_id, limit=1)
        return found[0] if found else None

    async def charges(self, where: ColumnElement[bool], limit: int) -> list[ChargeView]:
        """Charges with their state by the ledger, newest first."""
        async with self._database.read() as connection:
            return await charge_views(connection, where, min(limit, CHARGES_MAX))


async def put_subscription(connection: AsyncConnection, wanted: Subscription) -> None:
    """Write a subscription; what the same payer gave the rider before ends."""
    own = subscription.c
    payer = own.partner.is_(None) if wanted.partner is None else own.partner == wanted.partner
    where = and_(own.rider == wanted.rider, payer)
    ends = update(subscription).where(
        where, (own.until_ms.is_(None)) | (own.until_ms > wanted.from_ms)
    )
    await connection.execute(ends.values(until_ms=wanted.from_ms))
    values = {name: getattr(wanted, name) for name in Subscription.__slots__}
    await connection.execute(insert(subscription).values(**values))


async def charge_views(
    connection: AsyncConnection, where: ColumnElement[bool], limit: int
) -> list[ChargeView]:
    """As ``PlanStore.charges``, within a transaction, and as many as are asked for."""
    columns = (
        charge,
        t.swap.c.cabinet,
        t.swap.c.kind,
        t.swap.c.open,
        handed_out().label("out"),
        rider_plan.c.name_zh,
        rider_plan.c.name_en,
        partner_rider.c.subject,
    )
    joined = charge.join(t.swap, t.swap.c.id == charge.c.swap_id)
    joined = joined.outerjoin(rider_plan, rider_plan.c.id == charge.c.plan)
    joined = joined.outerjoin(
        partner_rider,
        and_(partner_rider.c.rider == charge.c.rider, partner_rider.c.partner == charge.c.partner),
    )
    query = select(*columns).select_from(joined).where(where)
    query = query.order_by(charge.c.created_ms.desc(), charge.c.swap_id.desc())
    rows = (await connection.execute(query.limit(limit))).mappings()
    return [_charge_view(row) for row in rows]


def _charge_view(row: RowMapping) -> ChargeView:
    state = "charged" if row["out"] else "open" if row["open"] else "void"
    return ChargeView(
        swap_id=row["swap_id"],
        rider_id=row["rider"],
        plan_id=row["plan"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        state=state,
        created_ms=row["created_ms"],
        cabinet_id=row["cabinet"],
        kind=row["kind"],
        name_zh=row["name_zh"] or row["plan"],
        name_en=row["name_en"] or row["plan"],
        subject=row["subject"] or "",
    )


def _plan_view(held: Entitlement) -> PlanView | None:
    refusal, no_socket = refuse_plan(held), refuse_socket(held)
    plan = held.plan
    if plan is None:
        if refusal is None:
            return None
        plan = Plan("", "", "", "swap", 0)
    return PlanView(
        id=plan.id,
        name_zh=plan.name_zh,
        name_en=plan.name_en,
        per=plan.per,
        price_minor=plan.price_minor,
        currency=plan.currency,
        used=held.used,
        days=plan.days,
        quota=plan.quota,
        left=None if plan.quota is None else max(plan.quota - held.used, 0),
        until_ms=held.until_ms,
        partner=held.partner_name,
        refusal=refusal,
        quota_wh=plan.quota_wh,
        left_wh=held.left_wh,
        socket_refusal=no_socket,
    )


async def _plan(connection: AsyncConnection, plan_id: str) -> Any:
    query = select(rider_plan.c.id).where(rider_plan.c.id == plan_id)
    return (await connection.execute(query)).scalar_one_or_none()


async def _need_plan(connection: AsyncConnection, plan_id: str) -> None:
    if await _plan(connection, plan_id) is None:
        raise NotFoundError(f"no plan {plan_id}; see `fleetd rider-plan list`")
