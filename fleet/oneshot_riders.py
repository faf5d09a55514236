"""What the commands about riders do: on the store and the key files, while fleetd runs or not."""

from __future__ import annotations

from typing import Final

from fleet.adapters.clock import SystemClock
from fleet.adapters.secret_files import (
    GroupKeys,
    command_key,
    group_keys,
    phone_key,
)
from fleet.adapters.secret_files import (
    retire_group_key as retire,
)
from fleet.adapters.secret_files import (
    rotate_group_key as rotate,
)
from fleet.adapters.typist import typist
from fleet.config import FleetConfig
from fleet.core.views import OfflineView, RiderView
from fleet.enrol_oneshot import require_fetched
from fleet.errors import InvalidError
from fleet.oneshot import to_json
from fleet.runtime.offline import OfflineService
from fleet.runtime.riders import RiderService
from fleet.stores import open_stores
from protocols import signing
from protocols.errors import MessageError
from protocols.offline import key_id, valid_number
from protocols.topics import check_cabinet_id

__all__ = [
    "add",
    "issue_ticket",
    "judge",
    "list_all",
    "retire_group_key",
    "rotate_group_key",
    "set_number",
    "show_group_keys",
    "to_json",
]

REASON_CHARS_MAX: Final = 300


async def add(config: FleetConfig, phone: str) -> RiderView:
    """The rider of this E.164 phone, registered if need be; raise InvalidError."""
    key = phone_key(config.data_dir)
    async with open_stores(config.store_url) as stores:
        riders = RiderService(rows=stores.riders, key=key, clock=SystemClock())
        rider = await riders.by_phone(phone, create=True)
    if rider is None:
        raise InvalidError(f"phone {phone!r}: could not be registered")
    return rider


async def list_all(config: FleetConfig, *, denied_only: bool) -> list[RiderView]:
    """Every rider, or those who are blocked."""
    async with open_stores(config.store_url) as stores:
        return await stores.riders.all(denied_only=denied_only)


async def judge(config: FleetConfig, name: str, reason: str, *, denied: bool) -> RiderView:
    """Block the rider of this id or number, or end the block; raise NotFoundError, InvalidError."""
    if not 1 <= len(reason) <= REASON_CHARS_MAX or not reason.isprintable():
        raise InvalidError(f"reason: expected 1 to {REASON_CHARS_MAX} printable characters")
    async with open_stores(config.store_url) as stores:
        rider = await stores.riders.named(name)
        change = stores.riders.deny if denied else stores.riders.allow
        await change(rider.id, reason, typist(), SystemClock().wall_ms())
        return await stores.riders.named(rider.id)


async def set_number(config: FleetConfig, name: str, number: str) -> int:
    """Give a rider a number; how many batteries are booked over. Raise InvalidError, NotFoundError."""
    if not valid_number(number):
        raise InvalidError(f"number {number!r}: expected eight digits whose last one fits; a typo?")
    async with open_stores(config.store_url) as stores:
        rider = await stores.riders.named(name)
        now_ms = SystemClock().wall_ms()
        return await stores.riders.set_number(rider.id, number, typist(), now_ms)


async def issue_ticket(config: FleetConfig, name: str, cabinet: str | None) -> OfflineView:
    """A ticket for a rider; raise NotFoundError, InvalidError, or RefusedError when blocked."""
    if cabinet is not None:
        try:
            check_cabinet_id(cabinet)
        except MessageError as error:
            raise InvalidError(str(error)) from error
    key, clock = command_key(config.data_dir), SystemClock()
    async with open_stores(config.store_url) as stores:
        rider = await stores.riders.named(name)
        riders = RiderService(rows=stores.riders, key=phone_key(config.data_dir), clock=clock)
        offline = OfflineService(
            riders=riders,
            codes_key=lambda: group_keys(config.data_dir).codes,
            sign=lambda ticket: signing.sign(ticket, key),
            clock=clock,
        )
        view = await offline.passes(rider.id, cabinet)
        text = f"{view.ticket_kind.value} at {cabinet or 'any cabinet'}"
        await stores.riders.log_ticket(rider.id, text, typist(), clock.wall_ms())
        return view


async def show_group_keys(config: FleetConfig) -> dict[str, str | None]:
    """The ids of the group keys; raise FleetError."""
    return _ids(group_keys(config.data_dir))


async def rotate_group_key(config: FleetConfig) -> dict[str, str | None]:
    """Mint a new group key; raise FleetError."""
    return _ids(rotate(config.data_dir))


async def retire_group_key(config: FleetConfig, *, force: bool = False) -> dict[str, str | None]:
    """Forget the previous group key.

    Raises:
        RefusedError: cabinets that do not have the new one yet would take no code any more.
        FleetError: there is none to forget.
    """
    await require_fetched(config, force=force)
    return _ids(retire(config.data_dir))


def _ids(keys: GroupKeys) -> dict[str, str | None]:
    return {
        "current": key_id(keys.current),
        "previous": key_id(keys.previous) if keys.previous else None,
        "codes": key_id(keys.codes),
    }
