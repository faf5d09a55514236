"""What the commands about plans, partners and riders' own data do, while fleetd runs or not."""

from __future__ import annotations

from fleet.adapters.clock import SystemClock
from fleet.adapters.secret_files import phone_key
from fleet.adapters.typist import typist
from fleet.config import FleetConfig
from fleet.core.account_views import ExportView, PartnerView
from fleet.core.partners import Partner
from fleet.core.plans import DAY_MS, Plan, Subscription
from fleet.oneshot import to_json
from fleet.runtime.commands import new_id
from fleet.runtime.membership import fresh_token, token_hash, webhook_secret
from fleet.stores import open_stores

__all__ = [
    "add_partner",
    "add_plan",
    "export",
    "forget",
    "list_partners",
    "list_plans",
    "make_default",
    "subscribe",
    "switch_partner",
    "to_json",
]


async def add_plan(config: FleetConfig, plan: Plan) -> None:
    """Put a plan on sale; raise InvalidError."""
    async with open_stores(config.store_url) as stores:
        await stores.plans.add(plan, SystemClock().wall_ms())


async def list_plans(config: FleetConfig) -> list[Plan]:
    """Every plan."""
    async with open_stores(config.store_url) as stores:
        return await stores.plans.all()


async def make_default(config: FleetConfig, plan_id: str | None) -> None:
    """What riders without a plan of their own have; raise NotFoundError."""
    async with open_stores(config.store_url) as stores:
        await stores.plans.make_default(plan_id)


async def subscribe(config: FleetConfig, name: str, plan_id: str, days: int | None) -> str:
    """Give a rider a plan; the rider's id. Raise NotFoundError."""
    now_ms = SystemClock().wall_ms()
    until_ms = None if days is None else now_ms + days * DAY_MS
    async with open_stores(config.store_url) as stores:
        rider = await stores.riders.named(name)
        wanted = Subscription(new_id(now_ms), rider.id, plan_id, None, now_ms, until_ms)
        await stores.plans.subscribe(wanted)
        return rider.id


async def add_partner(config: FleetConfig, partner: Partner) -> tuple[str, str]:
    """Register a partner; its API token, which is kept nowhere, and what signs its webhooks."""
    token = fresh_token()
    async with open_stores(config.store_url) as stores:
        await stores.partners.add(partner, token_hash(token), SystemClock().wall_ms())
    return token, webhook_secret(phone_key(config.data_dir), partner.id)


async def list_partners(config: FleetConfig) -> list[PartnerView]:
    """Every partner, with what its riders used in the last 24 hours."""
    async with open_stores(config.store_url) as stores:
        return await stores.partners.all(SystemClock().wall_ms())


async def switch_partner(config: FleetConfig, partner_id: str, *, off: bool) -> None:
    """Let a partner's riders take no more packs, or again; raise NotFoundError."""
    async with open_stores(config.store_url) as stores:
        await stores.partners.switch(partner_id, off=off)


async def export(config: FleetConfig, name: str) -> ExportView:
    """Everything that is kept of a rider; raise NotFoundError."""
    async with open_stores(config.store_url) as stores:
        rider = await stores.riders.named(name)
        return await stores.privacy.export(rider.id)


async def forget(config: FleetConfig, name: str) -> str:
    """Delete what tells who a rider is; the id. Raise NotFoundError or RefusedError."""
    async with open_stores(config.store_url) as stores:
        rider = await stores.riders.named(name)
        await stores.privacy.forget(rider.id, typist(), SystemClock().wall_ms())
        return rider.id
