"""What signing in needs of the store."""

from __future__ import annotations

from typing import Protocol

from fleet.core.access import Role, Scope
from fleet.core.staff import Account, ApiToken, LinkFor, Secrets, StaffSession


class StaffRows(Protocol):
    """``fleet.store.staff.StaffStore``."""

    async def add(self, new: Account, by: str, now_ms: int) -> None:
        """A new account; raise InvalidError when the name is taken."""
        ...

    async def all(self) -> list[Account]:
        """Every account, by name."""
        ...

    async def secrets(self, name: str) -> Secrets | None:
        """What the account of this name is checked against."""
        ...

    async def named(self, name: str) -> Account:
        """The account; raise NotFoundError."""
        ...

    async def of_subject(self, issuer: str, subject: str) -> Account | None:
        """Who comes by an identity provider under this subject."""
        ...

    async def change(self, name: str, role: Role, scope: Scope, by: str, now_ms: int) -> Account:
        """Another role or scope; raise NotFoundError, RefusedError ``last-admin``."""
        ...

    async def switch(self, name: str, *, off: bool, by: str, now_ms: int) -> Account:
        """Off, with all sessions and links ended, or on again; raise as ``change``."""
        ...

    async def reset(self, name: str, by: str, now_ms: int) -> Account:
        """Without password, second factor, sessions and links; raise NotFoundError."""
        ...

    async def admins(self) -> int:
        """How many administrators of the whole fleet can come in."""
        ...

    async def set_password(self, account_id: str, password_hash: str, now_ms: int) -> None:
        """A new password; every session and link of the account ends."""
        ...

    async def offer_totp(self, account_id: str, sealed: str) -> None:
        """A secret that waits to be confirmed by its first code; nothing while one is in use."""
        ...

    async def confirm_totp(
        self, account_id: str, step: int, code_hashes: list[str], now_ms: int
    ) -> None:
        """From now on a code is asked for; these recovery codes replace any older ones."""
        ...

    async def renew_codes(self, account_id: str, code_hashes: list[str], now_ms: int) -> None:
        """Other recovery codes; the older ones end."""
        ...

    async def codes_left(self, account_id: str) -> int:
        """How many recovery codes were not used."""
        ...

    async def has_recovery(self, account_id: str, code_hash: str) -> bool:
        """Whether this is a recovery code, without using it."""
        ...

    async def drop_totp(self, account_id: str, now_ms: int) -> None:
        """No code is asked for any more."""
        ...

    async def spend_step(self, account_id: str, step: int) -> bool:
        """Use a code's time step up; False when it, or a later one, was used."""
        ...

    async def spend_recovery(self, account_id: str, code_hash: str) -> bool:
        """Use a recovery code up; False when there is none such."""
        ...

    async def put_link(
        self, token_hash: str, purpose: LinkFor, account_id: str | None, expires_ms: int
    ) -> None:
        """A link; an older one for the same ends."""
        ...

    async def link(self, token_hash: str, now_ms: int) -> tuple[LinkFor, Account | None] | None:
        """What a link is good for, without using it."""
        ...

    async def take_link(
        self, token_hash: str, now_ms: int
    ) -> tuple[LinkFor, Account | None] | None:
        """Use a link up: of two who try at once, one gets it."""
        ...

    async def open_session(
        self, token_hash: str, account_id: str, opened: StaffSession, now_ms: int
    ) -> None:
        """A browser is signed in; expired sessions, and the oldest of too many, end."""
        ...

    async def session(self, token_hash: str, now_ms: int) -> tuple[Account, str] | None:
        """Whose session it is, and its id; None when it has ended or the account is off."""
        ...

    async def proven_ms(self, session_id: str) -> int | None:
        """When who sits there last gave his password; None when the session has ended."""
        ...

    async def prove(self, session_id: str, now_ms: int) -> None:
        """The password was given again in this session."""
        ...

    async def sessions(self, account_id: str, now_ms: int) -> list[StaffSession]:
        """The account's sessions, the last one first."""
        ...

    async def end_session(
        self, *, token_hash: str | None = None, account_id: str = "", session_id: str = ""
    ) -> None:
        """End one: by its token, or by its id within an account."""
        ...


class TokenRows(Protocol):
    """``fleet.store.tokens.TokenStore``."""

    async def add(self, new: ApiToken, token_hash: str, now_ms: int) -> None:
        """Keep a new token's hash, and say so in the log of orders."""
        ...

    async def all(self) -> list[ApiToken]:
        """Every token, the newest first."""
        ...

    async def find(self, token_hash: str, now_ms: int) -> tuple[ApiToken, Account | None] | None:
        """The token and its maker, if an account is; None: unknown, revoked or expired."""
        ...

    async def adopt(self, token_id: str, by: str, now_ms: int) -> ApiToken:
        """Let a token go on for another maker, by its id or prefix; raise NotFoundError."""
        ...

    async def revoke(self, token_id: str, by: str, now_ms: int) -> ApiToken:
        """End a token, by its id or prefix; raise NotFoundError."""
        ...
