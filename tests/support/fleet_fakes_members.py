"""``fleet.ports.Membership`` in memory, by the real rules of links."""

from __future__ import annotations

from typing import Any

from fleet.core.account_views import (
    ChargeView,
    ExportView,
    PackView,
    PartnerView,
    PlanView,
    SessionCharge,
)
from fleet.core.partners import LinkError, Partner, open_link, partner_named
from fleet.errors import DeniedError, RefusedError
from fleet.ports import Entered
from tests.support.fleet_fakes import FakeRiders
from tests.support.fleet_fakes_base import ShiftedClock
from tests.support.partners import Platform

API_TOKEN = "swp_live_of-tests"


def plan(**values: object) -> PlanView:
    """A month's plan with some of it used."""
    given: dict[str, object] = {
        "id": "monthly-60",
        "name_zh": "月卡六十次",
        "name_en": "Monthly 60",
        "per": "period",
        "price_minor": 29_900,
        "currency": "CNY",
        "used": 12,
        "days": 30,
        "quota": 60,
        "left": 48,
    }
    return PlanView(**(given | values))  # type: ignore[arg-type]


class FakeMembership:
    """One partner, and what the test sets."""

    def __init__(self, riders: FakeRiders, clock: ShiftedClock) -> None:
        self.platform = Platform()
        self.partner = Partner(
            "meituan", "美团", self.platform.public_key, colour="#ffd000", support_phone="10109777"
        )
        self.plan: PlanView | None = None
        self.told: dict[str, Any] = {"soc_pct": 97, "capacity_ah": 23.5, "cycles": 312}
        self.sessions: list[SessionCharge] = []
        self.charges: dict[str, ChargeView] = {}
        self.forgotten: list[str] = []
        self.set: list[tuple[str, int | None]] = []
        self._used: set[str] = set()
        self._riders = riders
        self._clock = clock

    async def plan_of(self, rider_id: str) -> PlanView | None:  # noqa: ARG002
        return self.plan

    async def charge_of(self, swap_id: str) -> ChargeView | None:
        return self.charges.get(swap_id)

    async def packs_of(self, rider_id: str) -> tuple[PackView, ...]:
        now_ms = self._clock.wall_ms()
        serials = (await self._riders.get(rider_id)).serials
        return tuple(
            PackView(
                serial=s, since_ms=now_ms, model="48V", capacity_wh=1_150, lent=31, **self.told
            )
            for s in serials
        )

    async def export(self, rider_id: str) -> ExportView:
        rider = await self._riders.get(rider_id)
        return ExportView(
            rider_id=rider.id,
            number=rider.number,
            phone_tail=rider.phone_tail,
            created_ms=0,
            denied_reason="",
            packs=await self.packs_of(rider_id),
            swaps=(),
            reservations=(),
            subscriptions=(),
            charges=(),
            partner_subjects=(),
            audit_log=(),
        )

    async def forget(self, rider_id: str) -> None:
        if (await self._riders.get(rider_id)).serials:
            raise RefusedError("holds a battery", code="holds-battery")
        self.forgotten.append(rider_id)

    async def enter(self, link: str) -> Entered:
        partner_named(link)
        visitor = open_link(link, self.partner, self.platform.audience, self._clock.wall_ms())
        if visitor.jti in self._used:
            raise LinkError("used", code="link-used")
        self._used.add(visitor.jti)
        rider = self._riders.add(f"+00{len(self._used)}")
        return Entered(rider.id, self.partner.name, self.partner.colour, self.partner.support_phone)

    async def partner_by_token(self, token: str) -> PartnerView:
        if token != API_TOKEN:
            raise DeniedError("wrong")
        return PartnerView(
            id="meituan", name="美团", plan="monthly-60", quota_day=100, used_day=3, off=False
        )

    async def set_plan(self, partner: PartnerView, subject: str, until_ms: int | None) -> None:  # noqa: ARG002
        self.set.append((subject, until_ms))

    async def partner_sessions(self, *_: object) -> list[SessionCharge]:
        return self.sessions

    async def partner_swaps(self, partner_id: str, since_ms: int, limit: int) -> list[ChargeView]:  # noqa: ARG002
        return list(self.charges.values())[:limit]
