"""What a rider may take, read within the transaction that would hand it out; and what it will cost."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.plans import (
    DAY_MS,
    Entitlement,
    Plan,
    Subscription,
    charge_minor,
    period_start_ms,
)
from fleet.core.records import NewSwap
from fleet.core.sockets import OPEN, SILENT_MS
from fleet.store import tables as t
from fleet.store.tables_accounts import charge, partner, rider_plan, subscription
from protocols.messages import Kind

#: Kinds that hand a full pack out.
TAKES = (Kind.SWAP.value, Kind.PICKUP.value)


async def entitlement_of(
    connection: AsyncConnection,
    rider: str,
    now_ms: int,
    *,
    to_spend: bool = True,
    without: Collection[str] = (),
) -> Entitlement:
    """The plan that counts for a rider now, and how much of it is used.

    ``to_spend``: the platform's row stays locked, so that its last swap is not given away twice.
    Transactions in ``without`` are not counted.
    """
    plans = {row["id"]: plan_of(row) for row in (await connection.execute(select(rider_plan))).mappings()}  # fmt: skip
    if not plans:
        return Entitlement()
    query = select(subscription).where(subscription.c.rider == rider)
    query = query.order_by(subscription.c.from_ms.desc(), subscription.c.id.desc())
    rows = [Subscription(**row) for row in (await connection.execute(query)).mappings()]
    live = next((row for row in rows if row.live_at(now_ms) and row.plan in plans), None)
    default = next((each for each in plans.values() if each.is_default), None)
    plan = plans[live.plan] if live else default
    facts: dict[str, Any] = {"any_plan": True, "had_one": bool(rows), "plan": plan}
    facts["owed"] = await _is_owed(connection, rider, without)
    if plan is None:
        return Entitlement(**facts)
    since_ms = period_start_ms(live.from_ms if live else 0, plan.days, now_ms)
    facts["used"] = await _used(connection, rider, since_ms, without)
    if plan.quota_wh is not None:
        facts["used_wh"] = await _energy_wh(connection, rider, since_ms, now_ms)
    if live and live.until_ms is not None:
        facts["until_ms"] = live.until_ms
    if live and live.partner:
        facts |= await _partner_facts(
            connection, live.partner, now_ms, lock=to_spend, without=without
        )
    return Entitlement(**facts)


async def keep_charge(connection: AsyncConnection, new: NewSwap, held: Entitlement) -> None:
    """Note what a transaction costs that hands a full pack out, if it does."""
    if held.plan is None or new.kind.value not in TAKES:
        return
    values = {
        "swap_id": new.id,
        "rider": new.rider,
        "plan": held.plan.id,
        "partner": held.partner,
        "amount_minor": charge_minor(held.plan),
        "currency": held.plan.currency,
        "created_ms": new.now_ms,
        "tell_ms": new.now_ms if held.partner else None,
    }
    await connection.execute(insert(charge).values(**values))


def lasting(now_ms: int) -> ColumnElement[bool]:
    """Of a row of ``socket_session``: it may still give power.

    A cabinet ends a session at its time whatever happens; one that is never heard of again must not
    keep its rider from the sockets of others for ever.
    """
    own = t.socket_session.c
    return own.state.in_(OPEN) & (own.created_ms + own.limit_s * 1_000 + SILENT_MS > now_ms)


def plan_of(row: Any) -> Plan:
    """A row of ``rider_plan`` as the core knows it."""
    return Plan(**{name: row[name] for name in Plan.__slots__})


def handed_out() -> ColumnElement[bool]:
    """Of a row of ``swap``: a full pack was handed out."""
    leg = t.transfer.c
    return exists().where(leg.swap_id == t.swap.c.id, leg.leg == "out", leg.state == "posted")


async def _partner_facts(
    connection: AsyncConnection, name: str, now_ms: int, *, lock: bool, without: Collection[str]
) -> dict[str, Any]:
    query = select(partner).where(partner.c.id == name)
    query = query.with_for_update() if lock else query
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        return {"partner": name, "partner_off": True}
    used = 0
    if row["quota_day"] is not None:
        used = await partner_used(connection, name, now_ms, without)
    return {
        "partner": name,
        "partner_name": row["name"],
        "partner_quota": row["quota_day"],
        "partner_off": row["off"],
        "partner_used": used,
    }


async def partner_used(
    connection: AsyncConnection, name: str, now_ms: int, without: Collection[str] = ()
) -> int:
    """What a platform pays for of the last 24 hours: swaps and sessions, those under way included."""
    since_ms = now_ms - DAY_MS
    swaps = select(func.count()).select_from(charge.join(t.swap, t.swap.c.id == charge.c.swap_id))
    swaps = swaps.where(charge.c.partner == name, charge.c.created_ms >= since_ms, _counts())
    swaps = swaps.where(charge.c.swap_id.not_in(without))
    own = t.socket_session.c
    sessions = select(func.count()).where(
        own.partner == name,
        own.created_ms >= since_ms,
        or_(lasting(now_ms), own.energy_wh > 0, own.amount_minor > 0),
    )
    charged = await connection.execute(sessions.select_from(t.socket_session))
    return int((await connection.execute(swaps)).scalar_one()) + int(charged.scalar_one())


async def _used(
    connection: AsyncConnection, rider: str, since_ms: int, without: Collection[str]
) -> int:
    own = t.swap.c
    query = select(func.count()).select_from(t.swap)
    query = query.where(own.rider == rider, own.created_ms >= since_ms, _counts())
    query = query.where(own.id.not_in(without))
    return int((await connection.execute(query)).scalar_one())


async def counted(connection: AsyncConnection, swaps: Collection[str]) -> frozenset[str]:
    """Those of these transactions that count against a plan."""
    query = select(t.swap.c.id).where(t.swap.c.id.in_(swaps), _counts())
    return frozenset((await connection.execute(query)).scalars())


def _counts() -> ColumnElement[bool]:
    """Of a row of ``swap``: it handed a pack out, or still may."""
    return and_(t.swap.c.kind.in_(TAKES), or_(t.swap.c.open, handed_out()))


async def _energy_wh(connection: AsyncConnection, rider: str, since_ms: int, now_ms: int) -> int:
    """What sessions in the plan took, those that may still give power with all that they may."""
    own = t.socket_session.c
    # Of one that was not begun by us no limit is known: then what it took already counts.
    may_take = lasting(now_ms) & (own.limit_wh > own.energy_wh)
    wh = case((may_take, own.limit_wh), else_=own.energy_wh)
    query = select(func.coalesce(func.sum(wh), 0))
    query = query.where(own.rider == rider, own.included, own.created_ms >= since_ms)
    return int((await connection.execute(query)).scalar_one())


async def _is_owed(connection: AsyncConnection, rider: str, without: Collection[str]) -> bool:
    """Whether the rider's last transaction was a swap that took a pack in and gave none out."""
    leg = t.transfer.c
    given = exists().where(leg.swap_id == t.swap.c.id, leg.leg == "in", leg.state == "posted")
    query = select(t.swap.c.kind, t.swap.c.open, and_(given, ~handed_out()).label("owed"))
    query = query.where(t.swap.c.rider == rider, t.swap.c.id.not_in(without)).order_by(
        t.swap.c.created_ms.desc(), t.swap.c.id.desc()
    )
    row = (await connection.execute(query.limit(1))).first()
    return row is not None and row.kind == Kind.SWAP.value and not row.open and bool(row.owed)
