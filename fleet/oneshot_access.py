"""What ``fleetd staff`` and ``fleetd token`` do: on the store, while fleetd runs or not."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlencode

from fleet.adapters.clock import SystemClock
from fleet.adapters.local import running_url
from fleet.adapters.staff_secrets import Argon2, seal_of
from fleet.adapters.typist import os_user
from fleet.config import FleetConfig
from fleet.core.access import EVERYWHERE, GRANTS, Role, Scope
from fleet.core.staff import Account, ApiToken, check_grants, check_name, check_role, check_scope
from fleet.errors import FleetError, InvalidError
from fleet.oneshot import to_json
from fleet.runtime.staff import StaffService
from fleet.service import only_one
from fleet.store.staff import StaffStore
from fleet.store.tokens import TokenStore
from fleet.stores import open_stores

__all__ = [
    "add",
    "add_token",
    "adopt",
    "change",
    "first_link",
    "join_url",
    "list_all",
    "list_tokens",
    "reset",
    "revoke",
    "role_table",
    "sign_in_link",
    "switch",
    "to_json",
    "tokens_of",
]


@asynccontextmanager
async def _service(config: FleetConfig) -> AsyncIterator[StaffService]:
    async with open_stores(config.store_url) as stores:
        yield StaffService(
            rows=StaffStore(stores.database),
            tokens=TokenStore(stores.database),
            passwords=Argon2(),
            box=seal_of(config.data_dir),
            clock=SystemClock(),
        )


def _by() -> str:
    """Who runs the command, for the log of orders."""
    try:
        return check_name(f"cli.{os_user() or os.getuid()}"[:32])
    except InvalidError:
        return "cli"


def _scope(stations: Sequence[str], partners: Sequence[str]) -> Scope:
    return check_scope(tuple(stations) or None, tuple(partners) or None)


async def add(
    config: FleetConfig, name: str, role: str, stations: Sequence[str], partners: Sequence[str]
) -> str:
    """A new account; returns the link by which it gets its password."""
    async with _service(config) as staff:
        token = await staff.add(name, check_role(role), _scope(stations, partners), _by())
    return join_url(_home(config), token)


async def list_all(config: FleetConfig) -> list[Account]:
    """Every account."""
    async with _service(config) as staff:
        return await staff.all()


async def change(
    config: FleetConfig, name: str, role: str, stations: Sequence[str], partners: Sequence[str]
) -> Account:
    """Another role and scope."""
    async with _service(config) as staff:
        return await staff.change(name, check_role(role), _scope(stations, partners), _by())


async def switch(config: FleetConfig, name: str, *, off: bool) -> Account:
    """Off, or on again."""
    async with _service(config) as staff:
        return await staff.switch(name, off=off, by=_by())


async def reset(config: FleetConfig, name: str) -> str:
    """Take password, second factor and sessions; returns the link for new ones."""
    async with _service(config) as staff:
        token = await staff.reset(name, _by())
    return join_url(_home(config), token)


async def sign_in_link(config: FleetConfig, name: str, role: str = "") -> str:
    """A link that signs an account in, once; with a role it is made when it is not there."""
    async with _service(config) as staff:
        if role and name.lower() not in {each.name.lower() for each in await staff.all()}:
            await staff.add(name, check_role(role), EVERYWHERE, _by())
        token = await staff.sign_in_link(name)
    return f"{_home(config)}/ops/login?{urlencode({'token': token})}"


async def first_link(config: FleetConfig) -> str | None:
    """The token of a link that makes the first administrator; None where there is one.

    Raises:
        FleetError: a fleetd runs already; a second one must not replace the link that it printed.
    """
    with only_one(config.data_dir):
        async with _service(config) as staff:
            return await staff.first_link()


async def add_token(  # noqa: PLR0917 - the options of one command
    config: FleetConfig,
    name: str,
    role: str,
    stations: Sequence[str],
    partners: Sequence[str],
    grants: Sequence[str],
    days: int,
) -> tuple[ApiToken, str]:
    """A new API token, and its text, which is told this once."""
    chosen, scope = check_grants(tuple(grants) or None), _scope(stations, partners)
    async with _service(config) as staff:
        return await staff.add_token(name, check_role(role), scope, chosen, days, _by())


async def list_tokens(config: FleetConfig) -> list[ApiToken]:
    """Every API token."""
    async with _service(config) as staff:
        return await staff.tokens()


async def adopt(config: FleetConfig, token_id: str) -> ApiToken:
    """Let a token go on by the word of this machine, whoever made it."""
    async with _service(config) as staff:
        return await staff.adopt(token_id, _by())


async def tokens_of(config: FleetConfig, account: Account) -> list[ApiToken]:
    """The tokens in use that rest and go on with an account."""
    async with _service(config) as staff:
        return [each for each in await staff.tokens() if each.maker == account.id and not each.off]


async def revoke(config: FleetConfig, token_id: str) -> ApiToken:
    """End a token, by its id or prefix."""
    async with _service(config) as staff:
        return await staff.revoke(token_id, _by())


def join_url(home: str, token: str) -> str:
    """Where somebody chooses a password, once."""
    return f"{home}/ops/join?{urlencode({'token': token})}"


def _home(config: FleetConfig) -> str:
    """Where the pages are, as far as it is known: a free port only while fleetd runs."""
    if config.http.public_url:
        return config.http.public_url
    try:
        return running_url(config.data_dir / "ready.json").rstrip("/")
    except FleetError:
        return f"http://{config.http.host}:{config.http.port}"


def role_table() -> dict[str, list[str]]:
    """What each role may."""
    return {role.value: sorted(GRANTS[role]) for role in Role}
