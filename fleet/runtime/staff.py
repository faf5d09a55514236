"""Signing in, accounts and API tokens, over the store and the clock."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from fleet.core import staff as rules
from fleet.core.access import Permission, Role, Scope, Who
from fleet.core.staff import (
    PROVEN_LIFE_MS,
    Account,
    ApiToken,
    LinkError,
    LinkFor,
    SignInError,
    StaffSession,
    new_session,
)
from fleet.core.token_rights import rights
from fleet.errors import InvalidError, NotFoundError
from fleet.ports import Clock
from fleet.ports_access import Box, Came, Passwords, Provided
from fleet.runtime.staff_rows import StaffRows, TokenRows

BY_SYSTEM: Final = "fleetd"
_DAY_MS: Final = 86_400_000


class StaffService:
    """``fleet.ports_access.Staff``."""

    def __init__(
        self,
        *,
        rows: StaffRows,
        tokens: TokenRows,
        passwords: Passwords,
        box: Box,
        clock: Clock,
    ) -> None:
        self._rows = rows
        self._tokens = tokens
        self._passwords = passwords
        self._box = box
        self._clock = clock

    # --- who asks -------------------------------------------------------------------------------

    async def of_session(self, token: str) -> tuple[Who, str] | None:
        """Who is signed in, and the session's id; None when it has ended."""
        found = await self._rows.session(rules.secret_hash(token), self._clock.wall_ms())
        if found is None:
            return None
        account, session_id = found
        return Who(account.id, account.name, account.role, account.scope), session_id

    async def of_token(self, token: str) -> Who | None:
        """The program of an API token with what is left to it; None when that is nothing."""
        if not token.startswith(rules.TOKEN_PREFIX):
            return None
        found = await self._tokens.find(rules.secret_hash(token), self._clock.wall_ms())
        if found is None:
            return None
        return rights(*found)

    async def known_device(self, name: str, marks: Sequence[str], code: str) -> str | None:
        """What sets a sign-in under this name apart from guesses: a device, or a recovery code."""
        found = await self._rows.secrets(name) if _possible(name) else None
        if found is None:
            return None
        owner, now_ms = rules.device_owner(found), self._clock.wall_ms()
        for each in marks:
            mark = self._box.open(each, owner)
            device = None if mark is None else rules.device_of(mark, now_ms)
            if device is not None:
                return device
        typed = rules.recovery_hash(code)
        if typed is not None and await self._rows.has_recovery(found.account.id, typed):
            return typed
        return None

    async def new_device(self, name: str) -> str:
        """The mark of a browser in which the account of this name has just signed in."""
        found = await self._secrets(name)
        mark = rules.device_mark(secrets.token_bytes(rules.DEVICE_BYTES), self._clock.wall_ms())
        return self._box.close(mark, rules.device_owner(found))

    # --- signing in -----------------------------------------------------------------------------

    async def sign_in(self, name: str, password: str, code: str, came: Came) -> str:
        """A session's token; raise SignInError, the same whatever was wrong."""
        found = await self._rows.secrets(name) if _possible(name) else None
        kept = None if found is None or found.account.off else found.password_hash
        within = len(password) <= rules.PASSWORD_CHARS_MAX
        right = await self._passwords.right(password if within else "", kept if within else None)
        if found is None or not right:
            raise SignInError("name, password or code is wrong")
        account = found.account
        if account.second_factor and not await self._factor(found, code):
            raise SignInError("name, password or code is wrong")
        return await self._open(account, came)

    async def _factor(self, found: rules.Secrets, code: str) -> bool:
        account = found.account
        secret = self._box.open(found.totp_sealed or "", account.id)
        if secret is None:
            return False
        step = rules.totp_step(secret, code, self._clock.wall_ms(), found.totp_step)
        if step is not None:
            return await self._rows.spend_step(account.id, step)
        recovery = rules.recovery_hash(code)
        return recovery is not None and await self._rows.spend_recovery(account.id, recovery)

    async def sign_in_by(self, provided: Provided, came: Came) -> str:
        """A session for whom a provider vouches; its role is the provider's word of today."""
        now_ms = self._clock.wall_ms()
        account = await self._rows.of_subject(provided.issuer, provided.subject)
        if account is None:
            account = Account(
                id=_new_id(),
                name=rules.name_for(provided.wanted_name, provided.subject),
                role=provided.role,
                issuer=provided.issuer,
                subject=provided.subject,
            )
            try:
                await self._rows.add(account, BY_SYSTEM, now_ms)
            except InvalidError:  # a name of ours is never taken over
                other = rules.name_for("", f"{provided.issuer} {provided.subject}")
                account = replace(account, name=other)
                await self._rows.add(account, BY_SYSTEM, now_ms)
        if account.off:
            raise SignInError("this account is off")
        if account.role is not provided.role:
            account = await self._rows.change(
                account.name, provided.role, account.scope, BY_SYSTEM, now_ms
            )
        return await self._open(account, came)

    async def _open(self, account: Account, came: Came) -> str:
        token, now_ms = secrets.token_urlsafe(32), self._clock.wall_ms()
        opened = new_session(_new_id(), now_ms, came.address, came.agent)
        await self._rows.open_session(rules.secret_hash(token), account.id, opened, now_ms)
        return token

    async def sign_out(self, token: str) -> None:
        """End a session."""
        await self._rows.end_session(token_hash=rules.secret_hash(token))

    # --- one-time links -------------------------------------------------------------------------

    async def first_link(self) -> str | None:
        """A link that makes the first administrator; None where there is one already."""
        return None if await self._rows.admins() else await self._link(LinkFor.FIRST, None)

    async def sign_in_link(self, name: str) -> str:
        """A link that signs an account in; for whoever may run commands on this machine."""
        account = await self._rows.named(name)
        if account.off:
            raise InvalidError(f"staff {name}: is off; `fleetd staff enable` it first")
        return await self._link(LinkFor.SIGN_IN, account.id)

    async def _link(self, purpose: LinkFor, account_id: str | None) -> str:
        token = secrets.token_urlsafe(32)
        expires_ms = self._clock.wall_ms() + rules.LINK_LIFE_MS[purpose]
        await self._rows.put_link(rules.secret_hash(token), purpose, account_id, expires_ms)
        return token

    async def link(self, token: str) -> tuple[LinkFor, Account | None] | None:
        """What a one-time link is good for, without using it."""
        return await self._rows.link(rules.secret_hash(token), self._clock.wall_ms())

    async def use_link(self, token: str, name: str, password: str, came: Came) -> str:
        """Use a link up; raise LinkError, or InvalidError while it may be tried again."""
        seen = await self.link(token)
        if seen is None:
            raise LinkError("this link was used, or has expired")
        purpose, account = seen
        hashed = ""
        if purpose is not LinkFor.SIGN_IN:
            name = rules.check_name(name) if account is None else account.name
            if account is None and await self._rows.secrets(name) is not None:
                raise InvalidError(f"staff {name}: exists; choose another name", code="name-taken")
            hashed = await self._passwords.hash(rules.check_password(password, name))
        taken = await self._rows.take_link(rules.secret_hash(token), self._clock.wall_ms())
        if taken is None:
            raise LinkError("this link was used, or has expired")
        account = taken[1]
        if account is None:
            if await self._rows.admins():
                raise LinkError("there is an administrator already")
            account = Account(_new_id(), name, Role.ADMIN)
            await self._rows.add(account, BY_SYSTEM, self._clock.wall_ms())
        if purpose is not LinkFor.SIGN_IN:
            await self._rows.set_password(account.id, hashed, self._clock.wall_ms())
        return await self._open(account, came)

    # --- one's own account ----------------------------------------------------------------------

    async def account(self, name: str) -> Account:
        """One account; raise NotFoundError."""
        return await self._rows.named(name)

    async def sessions(self, account_id: str) -> list[StaffSession]:
        """Where the account is signed in."""
        return await self._rows.sessions(account_id, self._clock.wall_ms())

    async def end_session(self, account_id: str, session_id: str) -> None:
        """End one of the account's sessions."""
        await self._rows.end_session(account_id=account_id, session_id=session_id)

    async def change_password(self, name: str, old: str, new: str) -> None:
        """Another password; all sessions end. Raise SignInError, InvalidError."""
        found = await self._proven(name, old)
        rules.check_password(new, name)
        hashed = await self._passwords.hash(new)
        await self._rows.set_password(found.account.id, hashed, self._clock.wall_ms())

    async def offer_totp(self, name: str) -> bytes:
        """A fresh secret for the authenticator app, or the one that waits to be confirmed."""
        found = await self._secrets(name)
        if found.account.second_factor:
            raise InvalidError("the second factor is on already", code="totp-on")
        account = found.account
        waiting = self._box.open(found.totp_sealed, account.id) if found.totp_sealed else None
        if waiting is None:
            waiting = secrets.token_bytes(rules.SECRET_BYTES)
            await self._rows.offer_totp(account.id, self._box.close(waiting, account.id))
        return waiting

    async def confirm_totp(self, name: str, code: str) -> list[str]:
        """Switch the second factor on; the recovery codes are told this once."""
        found = await self._secrets(name)
        secret = self._box.open(found.totp_sealed or "", found.account.id)
        if secret is None or found.account.second_factor:
            raise InvalidError("no second factor waits to be confirmed", code="totp-on")
        now_ms = self._clock.wall_ms()
        step = rules.totp_step(secret, code, now_ms, -1)
        if step is None:
            raise InvalidError("code: is not the app's", code="totp-wrong")
        codes = _new_codes()
        hashes = [rules.secret_hash(each) for each in codes]
        await self._rows.confirm_totp(found.account.id, step, hashes, now_ms)
        return codes

    async def renew_codes(self, name: str) -> list[str]:
        """Other recovery codes, told this once; the older ones end."""
        found = await self._secrets(name)
        if not found.account.second_factor:
            raise InvalidError("there is no second factor", code="totp-off")
        codes = _new_codes()
        hashes = [rules.secret_hash(each) for each in codes]
        await self._rows.renew_codes(found.account.id, hashes, self._clock.wall_ms())
        return codes

    async def codes_left(self, account_id: str) -> int:
        """How many recovery codes were not used."""
        return await self._rows.codes_left(account_id)

    async def drop_totp(self, name: str, password: str, code: str) -> None:
        """Switch the second factor off, against both; raise SignInError."""
        found = await self._proven(name, password)
        if not await self._factor(found, code):
            raise SignInError("the code is wrong")
        await self._rows.drop_totp(found.account.id, self._clock.wall_ms())

    async def proven(self, session_id: str) -> bool:
        """Whether who sits there gave his password a few minutes ago."""
        proven_ms = await self._rows.proven_ms(session_id)
        return proven_ms is not None and self._clock.wall_ms() - proven_ms < PROVEN_LIFE_MS

    async def prove(self, name: str, session_id: str, password: str, code: str) -> None:
        """Take the password, and the second factor where there is one, again; raise SignInError."""
        found = await self._proven(name, password)
        if found.account.second_factor and not await self._factor(found, code):
            raise SignInError("the code is wrong")
        await self._rows.prove(session_id, self._clock.wall_ms())

    async def _proven(self, name: str, password: str) -> rules.Secrets:
        found = await self._secrets(name)
        within = len(password) <= rules.PASSWORD_CHARS_MAX
        if not within or not await self._passwords.right(password, found.password_hash):
            raise SignInError("the present password is wrong")
        return found

    async def _secrets(self, name: str) -> rules.Secrets:
        found = await self._rows.secrets(name)
        if found is None:
            raise NotFoundError(f"no account {name}")
        return found

    # --- administration -------------------------------------------------------------------------

    async def all(self) -> list[Account]:
        """Every account."""
        return await self._rows.all()

    async def add(self, name: str, role: Role, scope: Scope, by: str) -> str:
        """A new account; returns the one-time link's token by which it gets its password."""
        account = Account(_new_id(), rules.check_name(name), role, scope)
        if any(each.name.lower() == name.lower() for each in await self._tokens.all()):
            raise InvalidError(f"staff {name}: a token has this name", code="name-taken")
        await self._rows.add(account, by, self._clock.wall_ms())
        return await self._link(LinkFor.PASSWORD, account.id)

    async def change(self, name: str, role: Role, scope: Scope, by: str) -> Account:
        """Another role or scope; raise RefusedError ``last-admin``."""
        return await self._rows.change(name, role, scope, by, self._clock.wall_ms())

    async def switch(self, name: str, *, off: bool, by: str) -> Account:
        """Off, or on again; raise RefusedError ``last-admin``."""
        return await self._rows.switch(name, off=off, by=by, now_ms=self._clock.wall_ms())

    async def reset(self, name: str, by: str) -> str:
        """Take password, second factor and sessions; returns a link's token for new ones."""
        account = await self._rows.reset(name, by, self._clock.wall_ms())
        return await self._link(LinkFor.PASSWORD, account.id)

    async def tokens(self) -> list[ApiToken]:
        """Every API token."""
        return await self._tokens.all()

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
        now_ms = self._clock.wall_ms()
        if await self._rows.secrets(rules.check_name(name)) is not None:
            # In the log of orders it would pass for that person.
            raise InvalidError(f"token {name}: somebody has this name", code="name-taken")
        text = rules.TOKEN_PREFIX + secrets.token_urlsafe(rules.TOKEN_BYTES)
        made = ApiToken(
            id=_new_id(),
            name=rules.check_name(name),
            prefix=rules.token_prefix(text),
            role=role,
            scope=scope,
            grants=grants,
            made_by=by,
            created_ms=now_ms,
            expires_ms=now_ms + rules.token_days(days) * _DAY_MS,
        )
        await self._tokens.add(made, rules.secret_hash(text), now_ms)
        return made, text

    async def adopt(self, token_id: str, by: str) -> ApiToken:
        """Answer for a token from now on, by its id or prefix; raise NotFoundError."""
        return await self._tokens.adopt(token_id, by, self._clock.wall_ms())

    async def revoke(self, token_id: str, by: str) -> ApiToken:
        """End an API token, by its id or prefix."""
        return await self._tokens.revoke(token_id, by, self._clock.wall_ms())


def _new_id() -> str:
    return secrets.token_hex(12)


def _new_codes() -> list[str]:
    return [
        rules.recovery_text(secrets.token_bytes(rules.RECOVERY_BYTES))
        for _ in range(rules.RECOVERY_CODES)
    ]


def _possible(name: str) -> bool:
    """Whether somebody could have this name; others are not looked for."""
    return len(name) <= 64 and name.isprintable()
