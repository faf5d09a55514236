"""What the commands about the grid do: on the store, while fleetd runs or not."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fleet.adapters.clock import DayClock, SystemClock
from fleet.adapters.grid_file import GridFile
from fleet.adapters.typist import typist
from fleet.config import FleetConfig
from fleet.core.balance.versions import IMPORTED, GridVersion, in_force, standing
from fleet.errors import ConfigError, InvalidError, NotFoundError
from fleet.oneshot import to_json
from fleet.runtime.desk import GridService
from fleet.stores import open_stores
from protocols.fastclock import FastClock

__all__ = ["export", "history", "import_file", "to_json", "when", "withdraw"]


async def export(config: FleetConfig, version: int | None) -> str:
    """A version as a file, that which counts now if none is named; raise NotFoundError."""
    async with open_stores(config.store_url) as stores:
        if version is None:
            _, known = await stores.grids.history()
            now = in_force(known, _day(config).wall_ms())
            if now is None:
                raise NotFoundError("the grid has no version yet; start fleetd once with its file")
            version = now.version
        return await stores.grids.text(version)


async def history(config: FleetConfig) -> tuple[int, list[GridVersion]]:
    """The revision, and every version, the oldest first."""
    async with open_stores(config.store_url) as stores:
        return await stores.grids.history()


async def import_file(
    config: FleetConfig, file: Path, *, begin: str | None, reason: str, revision: int | None
) -> int:
    """A file as the next version; its number. Raise InvalidError or RefusedError."""
    text = GridFile(file).text()
    async with open_stores(config.store_url) as stores:
        desk = GridService(stores.grids, _day(config), SystemClock())
        return await desk.propose(
            text,
            valid_from_ms=None if begin is None else _moment_ms(config, begin),
            reason=reason,
            actor=typist(),
            source=IMPORTED,
            revision=revision,
        )


async def withdraw(config: FleetConfig, reason: str) -> int:
    """Take back the last version before it begins; its number. Raise RefusedError."""
    async with open_stores(config.store_url) as stores:
        revision, known = await stores.grids.history()
        kept = standing(known)
        if not kept:
            raise NotFoundError("the grid has no version yet")
        desk = GridService(stores.grids, _day(config), SystemClock())
        last = kept[-1].version
        await desk.withdraw(last, reason=reason, actor=typist(), revision=revision)
        return last


def when(config: FleetConfig, at_ms: int) -> str:
    """A moment of the tariff's clock, as the place reads it."""
    return f"{datetime.fromtimestamp(at_ms / 1_000, _zone(config)):%Y-%m-%d %H:%M}"


def _moment_ms(config: FleetConfig, text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidError(f"--from {text!r}: expected a time such as 2026-03-04T08:00") from None
    return int((at if at.tzinfo else at.replace(tzinfo=_zone(config))).timestamp() * 1_000)


def _zone(config: FleetConfig) -> ZoneInfo:
    try:
        return ZoneInfo(config.pages.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"pages.timezone {config.pages.timezone!r}: is unknown") from error


def _day(config: FleetConfig) -> DayClock:
    return DayClock(FastClock(config.clock_rate, config.clock_origin_ms))
