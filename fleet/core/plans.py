"""What a rider may take and what it costs: plans, quotas, partners. The answer comes before any door moves.

What was used is counted from the transactions themselves: one without a full pack handed out counts
only while it is open, so that it is void by itself when a door did not open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from fleet.errors import InvalidError
from protocols.sockets import ENERGY_WH_MIN

DAY_MS: Final = 24 * 3_600_000
PERIOD_DAYS_MAX: Final = 366
PRICE_MAX_MINOR: Final = 10_000_000
QUOTA_MAX: Final = 1_000_000
QUOTA_MAX_WH: Final = 10_000_000
PLAN_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_NAME_MAX: Final = 60
_CURRENCY: Final = re.compile(r"[A-Z]{3}")

PLAN_REFUSALS: Final = {
    "no-plan": "the rider has no plan",
    "plan-ended": "the rider's plan has ended",
    "quota-exhausted": "the plan's swaps of this period are used up",
    "partner-off": "the rider's platform takes no swaps here at present",
    "partner-quota": "the platform's swaps and charging sessions of today are used up",
    "socket-quota": "the plan's energy from sockets of this period is used up",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """``price_minor`` is of one swap, or of a period of ``days``; ``quota`` counts swaps of a period.

    With ``quota_wh`` so much energy from sockets is in the plan, and no more can be had in a period;
    without it sockets are paid by what they give, at the station's prices.
    """

    id: str
    name_zh: str
    name_en: str
    per: Literal["swap", "period"]
    price_minor: int
    currency: str = "CNY"
    quota: int | None = None
    days: int = 30
    is_default: bool = False
    quota_wh: int | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """A rider's plan for a time; ``partner`` pays for it where it is not None."""

    id: str
    rider: str
    plan: str
    partner: str | None
    from_ms: int
    until_ms: int | None

    def live_at(self, now_ms: int) -> bool:
        """Whether it holds at this moment."""
        return self.from_ms <= now_ms and (self.until_ms is None or now_ms < self.until_ms)


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What decides whether a rider may take a full pack."""

    plan: Plan | None = None
    partner: str | None = None
    partner_name: str = ""
    until_ms: int | None = None
    used: int = 0  # in the period
    partner_used: int = 0  # swaps and sessions of the last 24 hours, of all the platform's riders
    partner_quota: int | None = None
    partner_off: bool = False
    any_plan: bool = False  # whether the operator sells plans at all
    had_one: bool = False
    owed: bool = False  # a swap took the old pack in and gave none out
    used_wh: int = 0  # from sockets, in the period; a session under way counts in full

    @property
    def left_wh(self) -> int | None:
        """What the plan has left of energy from sockets; None where it counts none."""
        quota_wh = self.plan.quota_wh if self.plan else None
        return None if quota_wh is None else max(0, quota_wh - self.used_wh)


def refuse_plan(held: Entitlement) -> str | None:
    """The code of the first rule that says no, or None.

    Who is owed a pack gets it whatever has become of the plan. Without any plan on sale all is free.
    """
    if held.owed:
        return None
    if held.plan is None:
        if not held.any_plan:
            return None
        return "plan-ended" if held.had_one else "no-plan"
    if (code := _refuse_partner(held)) is not None:
        return code
    if held.plan.quota is not None and held.used >= held.plan.quota:
        return "quota-exhausted"
    return None


def refuse_socket(held: Entitlement) -> str | None:
    """The code of why a rider's plan lets no session at a socket begin, or None.

    The plan's quota of swaps does not count here, nor that of energy for swaps; what the platform
    pays for in a day is one number for both.
    """
    if held.plan is None and held.any_plan:
        return "plan-ended" if held.had_one else "no-plan"
    if (code := _refuse_partner(held)) is not None:
        return code
    left_wh = held.left_wh
    return "socket-quota" if left_wh is not None and left_wh < ENERGY_WH_MIN else None


def _refuse_partner(held: Entitlement) -> str | None:
    if held.partner_off:
        return "partner-off"
    if held.partner_quota is not None and held.partner_used >= held.partner_quota:
        return "partner-quota"
    return None


def period_start_ms(from_ms: int, days: int, now_ms: int) -> int:
    """When the present period began; periods follow one another from the subscription's start."""
    length_ms = days * DAY_MS
    return from_ms + max(now_ms - from_ms, 0) // length_ms * length_ms


def charge_minor(plan: Plan) -> int:
    """What one swap adds to the bill."""
    return plan.price_minor if plan.per == "swap" else 0


def check_plan(plan: Plan) -> Plan:
    """Raise InvalidError naming the field."""
    if not PLAN_ID.fullmatch(plan.id):
        raise InvalidError(f"plan {plan.id!r}: expected a-z, 0-9 and -, such as monthly-60")
    for name in (plan.name_zh, plan.name_en):
        if not 1 <= len(name) <= _NAME_MAX or not name.isprintable():
            raise InvalidError(f"name {name!r}: expected 1 to {_NAME_MAX} printable characters")
    if not 0 <= plan.price_minor <= PRICE_MAX_MINOR:
        raise InvalidError(f"price {plan.price_minor}: expected 0 to {PRICE_MAX_MINOR} (fen)")
    if not _CURRENCY.fullmatch(plan.currency):
        raise InvalidError(f"currency {plan.currency!r}: expected three letters, such as CNY")
    if plan.quota is not None and not 1 <= plan.quota <= QUOTA_MAX:
        raise InvalidError(f"quota {plan.quota}: expected 1 to {QUOTA_MAX}, or none")
    if plan.quota_wh is not None and not ENERGY_WH_MIN <= plan.quota_wh <= QUOTA_MAX_WH:
        raise InvalidError(
            f"quota_wh {plan.quota_wh}: expected {ENERGY_WH_MIN} to {QUOTA_MAX_WH}, or none"
        )
    if not 1 <= plan.days <= PERIOD_DAYS_MAX:
        raise InvalidError(f"days {plan.days}: expected 1 to {PERIOD_DAYS_MAX}")
    return plan
