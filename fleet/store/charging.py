"""Charges of what cabinets did without asking: noted when it is told, once."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.ledger import SwapState
from fleet.core.offline import OVER_QUOTA, UNBILLED, is_unresolved
from fleet.core.plans import refuse_plan
from fleet.core.records import NewSwap
from fleet.store import tables as t
from fleet.store.entitlements import TAKES, counted, entitlement_of, keep_charge
from fleet.store.tables_accounts import charge


async def charge_told(connection: AsyncConnection, swaps: Iterable[SwapState], now_ms: int) -> None:
    """Charge transactions that are new to the ledger, by the plan of the time when they began.

    A cabinet that could not ask knows neither plan nor quota: what it handed out is handed out. It
    is charged like any other where the rider had a plan, and flagged where it went beyond the plan
    or there was none; what handed nothing out is no matter of the plan. Under a number that nobody
    has there is nobody to charge until it is claimed.
    """
    wanted = [each for each in swaps if each.kind.value in TAKES and not is_unresolved(each.rider)]
    counts = await counted(connection, [each.id for each in wanted])
    these: set[str] = set()  # it and the later ones of the same batch, which it is not blamed for
    for each in sorted(wanted, key=lambda swap: (swap.created_ms or now_ms, swap.id), reverse=True):
        at_ms = now_ms if each.created_ms is None else each.created_ms
        these.add(each.id)
        held = await entitlement_of(connection, each.rider, at_ms, to_spend=False, without=these)
        asked = each.authority == "fleet"
        if each.id in counts and not asked and refuse_plan(held) is not None:
            await _flag(connection, each, UNBILLED if held.plan is None else OVER_QUOTA)
        new = NewSwap(
            id=each.id,
            command_id="",
            cabinet=each.cabinet,
            rider=each.rider,
            kind=each.kind,
            key="",
            now_ms=at_ms,
            expires_ms=at_ms,
        )
        await keep_charge(connection, new, held)


async def tell_again(connection: AsyncConnection, swaps: Collection[str], now_ms: int) -> None:
    """What these swaps cost may be another thing than their partners were told: they hear of it anew.

    A swap that was given up for want of an answer costs nothing, until its cabinet tells that it
    handed a pack out after all.
    """
    own = charge.c
    change = update(charge).where(own.swap_id.in_(swaps), own.partner.is_not(None))
    await connection.execute(change.values(tell_ms=now_ms, tries=0))


async def _flag(connection: AsyncConnection, swap: SwapState, flag: str) -> None:
    query = select(t.swap.c.flags).where(t.swap.c.id == swap.id)
    flags = (await connection.execute(query)).scalar_one()
    if flag not in flags.split(","):
        change = update(t.swap).where(t.swap.c.id == swap.id)
        await connection.execute(change.values(flags=",".join(filter(None, (flags, flag)))))
