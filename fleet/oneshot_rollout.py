"""What the commands about settings do: on the store directly, while fleetd runs or not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fleet.adapters.clock import SystemClock
from fleet.config import FleetConfig
from fleet.core.rollout_model import Rollout, Signal
from fleet.core.templates import Template, Wishes
from fleet.runtime.rollouts import Planning
from fleet.stores import open_stores


@asynccontextmanager
async def _planning(config: FleetConfig) -> AsyncIterator[Planning]:
    async with open_stores(config.store_url) as stores:
        yield Planning(stores.rollouts, SystemClock())


async def keep_template(
    config: FleetConfig, model: str, breaker_w: int, settings: Wishes, name: str
) -> Template:
    """Store the next version of a template; raise InvalidError."""
    async with _planning(config) as work:
        return await work.keep_template(
            model=model, breaker_w=breaker_w, settings=settings, name=name
        )


async def templates(config: FleetConfig) -> list[Template]:
    """Every template."""
    async with _planning(config) as work:
        return await work.templates()


async def assign(config: FleetConfig, model: str, cabinets: Sequence[str], *, name: str) -> None:
    """Say of which model cabinets are; raise NotFoundError."""
    async with _planning(config) as work:
        await work.assign(model, cabinets, name=name)


async def plan(config: FleetConfig, **wanted: Any) -> Rollout:
    """Begin a roll-out; raise as ``Planning.plan``."""
    async with _planning(config) as work:
        return await work.plan(**wanted)


async def rollouts(config: FleetConfig) -> list[Rollout]:
    """The newest roll-outs first."""
    async with _planning(config) as work:
        return await work.all()


async def rollout(config: FleetConfig, rollout_id: str) -> Rollout:
    """One roll-out; raise NotFoundError."""
    async with _planning(config) as work:
        return await work.get(rollout_id)


async def order(
    config: FleetConfig, rollout_id: str, signal: Signal, *, name: str, reason: str
) -> Rollout:
    """Pause, resume or abort; raise as ``Planning.order``."""
    async with _planning(config) as work:
        return await work.order(rollout_id, signal, name=name, reason=reason)


async def end_damaged(config: FleetConfig, rollout_id: str, *, name: str, reason: str) -> None:
    """End one that cannot be read; raise as ``Planning.end_damaged``."""
    async with _planning(config) as work:
        await work.end_damaged(rollout_id, name=name, reason=reason)
