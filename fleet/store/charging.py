"""Charges of what cabinets did without asking: noted when it is told, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.ledger import SwapState
from fleet.core.offline import OVER_QUOTA, UNBILLED, is_unresolved
from fleet.core.plans import refuse_plan
from fleet.core.records import NewSwap
from fleet.store import tables as t
from fleet.store.entitlements import TAKES, entitlement_of, keep_charge


async def charge_told(connection: AsyncConnection, swaps: Iterable[SwapState], now_ms: int) -> None:
    """Charge transactions that are new to the ledger, by the plan of the time when they began.

    A cabinet that could not ask knows neither plan nor quota: what it handed out is handed out. It
    is charged like any other where the rider had a plan, and flagged where it went beyond the plan
    or there was none. Under a number that nobody has there is nobody to charge until it is claimed.
    """
    wanted = [each for each in swaps if each.kind.value in TAKES and not is_unresolved(each.rider)]
    later: Counter[str] = Counter()  # of the same batch, so that an earlier one is not blamed
    for each in sorted(wanted, key=lambda swap: (swap.created_ms or now_ms, swap.id), reverse=True):
        at_ms = now_ms if each.created_ms is None else each.created_ms
        held = await entitlement_of(connection, each.rider, at_ms, to_spend=False)
        before = replace(
            held,
            used=held.used - 1 - later[each.rider],
            partner_used=held.partner_used - later[f"partner:{held.partner}"],
        )
        refusal = refuse_plan(before)
        if refusal is not None and each.authority != "fleet":
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
        later.update((each.rider, f"partner:{held.partner}"))


async def _flag(connection: AsyncConnection, swap: SwapState, flag: str) -> None:
    query = select(t.swap.c.flags).where(t.swap.c.id == swap.id)
    flags = (await connection.execute(query)).scalar_one()
    if flag not in flags.split(","):
        change = update(t.swap).where(t.swap.c.id == swap.id)
        await connection.execute(change.values(flags=",".join(filter(None, (flags, flag)))))
