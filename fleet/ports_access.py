"""Ports of accounts, tokens and signing in: what pages need of them, and what they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fleet.core.access import Permission, Role, Scope, Who
from fleet.core.staff import Account, ApiToken, LinkFor, StaffSession


class Passwords(Protocol):
    """Hashing that costs time on purpose."""

    async def hash(self, password: str) -> str:
        """What is kept of a password."""
        ...

    async def right(self, password: str, kept: str | None) -> bool:
        """Whether this is the password; None takes as long and is never right."""
        ...


class Box(Protocol):
    """Secrets that must be read again, sealed under a key outside the database."""

    def close(self, secret: bytes, owner: str) -> str:
        """The sealed text."""
        ...

    def open(self, text: str, owner: str) -> bytes | None:
        """What was sealed for this owner; None when it was not, or was changed."""
        ...


@dataclass(frozen=True, slots=True)
class Came:
    """From where somebody signs in; shown in the list of sessions."""

    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class Provided:
    """Whom an identity provider vouches for."""

    issuer: str
    subject: str
    wanted_name: str
    role: Role


class Provider(Protocol):
    """An OpenID Connect provider."""

    name: str

    async def begin(self, onwards: str, now_ms: int) -> tuple[str, str]:
        """Where to send the browser, and the sealed text that it must bring back; FleetError."""
        ...

    async def end(self, kept: str, state: str, code: str, now_ms: int) -> tuple[Provided, str]:
        """Whom it vouches for, and where the browser wanted to go; an empty code: it refused.

        Raises:
            SignInError, FleetError.
        """
        ...


class Staff(Protocol):
    """Accounts of staff and API tokens. Raise SignInError, LinkError, LimitedError, InvalidError."""

    async def of_session(self, token: str) -> tuple[Who, str] | None:
        """Who is signed in, and the session's id; None when it has ended."""
        ...

    async def of_token(self, token: str) -> Who | None:
        """The program of an API token, as far as its maker's rights go; None when it may nothing."""
        ...

    async def known_device(self, name: str, marks: Sequence[str], code: str) -> str | None:
        """What sets a sign-in under this name apart from guesses: a device, or a recovery code."""
        ...

    async def new_device(self, name: str) -> str:
        """The mark of a browser in which the account of this name has just signed in."""
        ...

    async def sign_in(self, name: str, password: str, code: str, came: Came) -> str:
        """A session's token for a name, password and, where one is set up, second factor."""
        ...

    async def sign_in_by(self, provided: Provided, came: Came) -> str:
        """A session's token for whom a provider vouches."""
        ...

    async def sign_out(self, token: str) -> None:
        """End a session."""
        ...

    async def link(self, token: str) -> tuple[LinkFor, Account | None] | None:
        """What a one-time link is good for, without using it."""
        ...

    async def use_link(self, token: str, name: str, password: str, came: Came) -> str:
        """Use a link up: make the first administrator, set a password, or just sign in."""
        ...

    async def account(self, name: str) -> Account:
        """One account; raise NotFoundError."""
        ...

    async def sessions(self, account_id: str) -> list[StaffSession]:
        """Where the account is signed in."""
        ...

    async def end_session(self, account_id: str, session_id: str) -> None:
        """End one of the account's sessions."""
        ...

    async def change_password(self, name: str, old: str, new: str) -> None:
        """Another password; all sessions end."""
        ...

    async def offer_totp(self, name: str) -> bytes:
        """A fresh secret for the authenticator app, or the one that waits to be confirmed."""
        ...

    async def confirm_totp(self, name: str, code: str) -> list[str]:
        """Switch the second factor on; the recovery codes are told this once."""
        ...

    async def renew_codes(self, name: str) -> list[str]:
        """Other recovery codes, told this once; raise InvalidError ``totp-off``."""
        ...

    async def codes_left(self, account_id: str) -> int:
        """How many recovery codes were not used."""
        ...

    async def drop_totp(self, name: str, password: str, code: str) -> None:
        """Switch the second factor off."""
        ...

    async def proven(self, session_id: str) -> bool:
        """Whether who sits there gave his password a few minutes ago."""
        ...

    async def prove(self, name: str, session_id: str, password: str, code: str) -> None:
        """Take the password, and the second factor where there is one, again."""
        ...

    async def all(self) -> list[Account]:
        """Every account."""
        ...

    async def add(self, name: str, role: Role, scope: Scope, by: str) -> str:
        """A new account; returns the one-time link's token by which it gets its password."""
        ...

    async def change(self, name: str, role: Role, scope: Scope, by: str) -> Account:
        """Another role or scope; raise RefusedError ``last-admin``."""
        ...

    async def switch(self, name: str, *, off: bool, by: str) -> Account:
        """Off, or on again; raise RefusedError ``last-admin``."""
        ...

    async def reset(self, name: str, by: str) -> str:
        """Take password, second factor and sessions; returns a link's token for new ones."""
        ...

    async def tokens(self) -> list[ApiToken]:
        """Every API token."""
        ...

    async def add_token(  # noqa: PLR0917 - what a token is
        self,
        name: str,
        role: Role,
        scope: Scope,
        grants: frozenset[Permission] | None,
        days: int,
        by: str,
    ) -> tuple[ApiToken, str]:
        """A new API token, and its text, which is told this once."""
        ...

    async def adopt(self, token_id: str, by: str) -> ApiToken:
        """Answer for a token from now on, by its id or prefix; raise NotFoundError."""
        ...

    async def revoke(self, token_id: str, by: str) -> ApiToken:
        """End an API token."""
        ...
