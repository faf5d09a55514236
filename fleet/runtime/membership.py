"""``fleet.ports.Membership``: plans, charges, partners and a rider's own data, over the store."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final, Protocol

from fleet.core.account_views import (
    ChargeView,
    ExportView,
    PackView,
    PartnerView,
    PlanView,
    SessionCharge,
)
from fleet.core.ids import rider_id as make_rider_id
from fleet.core.partners import SUBJECT, LinkError, Partner, Visitor, open_link, partner_named
from fleet.errors import DeniedError, InvalidError
from fleet.ports import Clock, Entered
from fleet.runtime.commands import new_id
from fleet.runtime.riders import RiderRows

API_PREFIX: Final = "swp_live_"
TOKEN_BYTES: Final = 32
SWAPS_MAX: Final = 500


class PlanRows(Protocol):
    """What the service needs of plans and charges."""

    async def of_rider(self, rider: str, now_ms: int) -> PlanView | None:
        """The plan that counts for a rider."""
        ...

    async def charge_of(self, swap_id: str) -> ChargeView | None:
        """What a transaction costs."""
        ...


class PartnerRows(Protocol):
    """What the service needs of partners."""

    async def get(self, partner_id: str) -> Partner | None:
        """One partner."""
        ...

    async def by_token(self, token_hash: str, now_ms: int) -> PartnerView | None:
        """The partner of an API token."""
        ...

    async def use_link(self, visitor: Visitor, now_ms: int) -> bool:
        """Note that a link was used; False when it was before."""
        ...

    async def bind(self, who: Partner, subject: str, rider: str, new_id: str, now_ms: int) -> None:
        """Note whose pseudonym it is, with the partner's plan at the first time."""
        ...

    async def set_plan(
        self, who: PartnerView, subject: str, until_ms: int | None, new_id: str, now_ms: int
    ) -> None:
        """The partner's plan for one of its riders; raise NotFoundError."""
        ...

    async def swaps(self, partner_id: str, since_ms: int, limit: int) -> list[ChargeView]:
        """The swaps of a partner's riders, newest first."""
        ...

    async def sessions(self, partner_id: str, since_ms: int, limit: int) -> list[SessionCharge]:
        """Their sessions at sockets, newest first."""
        ...


class PrivacyRows(Protocol):
    """What the service needs of a rider's own data."""

    async def packs(self, rider: str) -> tuple[PackView, ...]:
        """The batteries in a rider's hands."""
        ...

    async def export(self, rider: str) -> ExportView:
        """Everything that is kept of a rider."""
        ...

    async def forget(self, rider: str, actor: str, now_ms: int) -> None:
        """Delete what tells who a rider is."""
        ...


class MembershipService:
    """Implements ``fleet.ports.Membership``. ``key`` is the server's secret."""

    def __init__(
        self,
        *,
        plans: PlanRows,
        partners: PartnerRows,
        privacy: PrivacyRows,
        riders: RiderRows,
        key: bytes,
        audience: str,
        clock: Clock,
    ) -> None:
        self._plans = plans
        self._partners = partners
        self._privacy = privacy
        self._riders = riders
        self._key = key
        self._audience = audience
        self._clock = clock

    async def plan_of(self, rider_id: str) -> PlanView | None:
        """The plan that counts for a rider; None where no plans are sold."""
        return await self._plans.of_rider(rider_id, self._clock.wall_ms())

    async def charge_of(self, swap_id: str) -> ChargeView | None:
        """What a transaction costs, if it costs anything by a plan."""
        return await self._plans.charge_of(swap_id)

    async def packs_of(self, rider_id: str) -> tuple[PackView, ...]:
        """The batteries in a rider's hands."""
        return await self._privacy.packs(rider_id)

    async def export(self, rider_id: str) -> ExportView:
        """Everything that is kept of a rider; raise NotFoundError."""
        return await self._privacy.export(rider_id)

    async def forget(self, rider_id: str) -> None:
        """Delete an account; raise NotFoundError or RefusedError."""
        await self._privacy.forget(rider_id, rider_id, self._clock.wall_ms())

    async def enter(self, link: str) -> Entered:
        """Whom a partner's signed link stands for, registered when new; raise LinkError."""
        now_ms = self._clock.wall_ms()
        partner = await self._partners.get(partner_named(link))
        if partner is None:
            raise LinkError("link: there is no such partner")
        visitor = open_link(link, partner, self._audience, now_ms)
        if partner.off:
            raise LinkError("link: the partner is switched off", code="partner-off")
        if not await self._partners.use_link(visitor, now_ms):
            raise LinkError("link: was used before", code="link-used")
        rider = await self._rider(partner, visitor.subject, now_ms)
        await self._partners.bind(partner, visitor.subject, rider, new_id(now_ms), now_ms)
        return Entered(rider, partner.name, partner.colour, partner.support_phone)

    async def partner_by_token(self, token: str) -> PartnerView:
        """The partner of an API token; raise DeniedError."""
        found = None
        if token.startswith(API_PREFIX):
            found = await self._partners.by_token(token_hash(token), self._clock.wall_ms())
        if found is None:
            raise DeniedError("Authorization: expected Bearer and a partner's API token")
        return found

    async def set_plan(self, partner: PartnerView, subject: str, until_ms: int | None) -> None:
        """The partner's plan for a rider until then; raise NotFoundError or InvalidError."""
        now_ms = self._clock.wall_ms()
        if not SUBJECT.fullmatch(subject):
            raise InvalidError("subject: expected 1 to 128 visible ASCII characters")
        ends_ms = None if until_ms is None else max(until_ms, now_ms)
        await self._partners.set_plan(partner, subject, ends_ms, new_id(now_ms), now_ms)

    async def partner_swaps(self, partner_id: str, since_ms: int, limit: int) -> list[ChargeView]:
        """The swaps of a partner's riders, newest first."""
        return await self._partners.swaps(partner_id, since_ms, min(limit, SWAPS_MAX))

    async def partner_sessions(
        self, partner_id: str, since_ms: int, limit: int
    ) -> list[SessionCharge]:
        """Their sessions at sockets, newest first."""
        return await self._partners.sessions(partner_id, since_ms, min(limit, SWAPS_MAX))

    async def _rider(self, partner: Partner, subject: str, now_ms: int) -> str:
        """The account of a partner's rider: its hash is of the pseudonym, there is no phone."""
        name = f"partner:{partner.id}:{subject}"
        hidden = hmac.new(self._key, name.encode(), hashlib.sha256).hexdigest()
        known = await self._riders.by_hash(hidden)
        if known is None:
            fresh = make_rider_id(secrets.token_bytes(8))
            await self._riders.add(fresh, hidden, "", now_ms)
            known = await self._riders.by_hash(hidden)
        if known is None:
            raise LinkError("link: the rider could not be registered", code="internal")
        return known.id


def fresh_token() -> str:
    """A new API token, shown once."""
    return API_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> str:
    """What is kept of an API token."""
    return hashlib.sha256(token.encode()).hexdigest()


def webhook_secret(key: bytes, partner_id: str) -> str:
    """What signs the notices to a partner; follows from the server's secret, so nothing is stored."""
    return hmac.new(key, f"webhook:{partner_id}".encode(), hashlib.sha256).hexdigest()
