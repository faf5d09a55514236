"""Staff in memory: who is signed in is put there by the test."""

from __future__ import annotations

from typing import Any, Final

from fleet.adapters.staff_secrets import Argon2, Seal
from fleet.core.access import EVERYWHERE, Role, Who
from fleet.core.staff import Account, LinkError, LinkFor
from fleet.runtime.staff import StaffService
from fleet.store.staff import StaffStore
from fleet.store.tokens import TokenStore
from fleet.stores import Stores

#: Signs in a seat of all rights, as often as a test likes.
OPERATOR_TOKEN: Final = "operator-token-of-tests"
SEAT: Final = Who("seat", "seat", Role.ADMIN, EVERYWHERE, shared=True)


class MemoryStaff:
    """As much of ``fleet.ports_access.Staff`` as pages of other parts need."""

    def __init__(self) -> None:
        self.seats: dict[str, Who] = {}
        self.programs: dict[str, Who] = {}
        self.behind: Any = None

    def seat(self, who: Who) -> str:
        """The session's token of somebody who is signed in."""
        token = f"seat-{len(self.seats)}-{'x' * 32}"
        self.seats[token] = who
        return token

    async def of_session(self, token: str) -> tuple[Who, str] | None:
        who = self.seats.get(token)
        return None if who is None else (who, "session-1")

    async def of_token(self, token: str) -> Who | None:
        return self.programs.get(token)

    async def link(self, token: str) -> tuple[LinkFor, Account | None] | None:
        found = Account("seat", "seat", Role.ADMIN)
        return (LinkFor.SIGN_IN, found) if token == OPERATOR_TOKEN else None

    async def use_link(self, token: str, *_: object) -> str:
        if token != OPERATOR_TOKEN:
            raise LinkError("not ours")
        return self.seat(SEAT)

    async def known_device(self, *_: object) -> str | None:
        return None

    async def new_device(self, _name: str) -> str:
        return ""

    async def proven(self, _session_id: str) -> bool:
        return True

    async def sign_out(self, token: str) -> None:
        self.seats.pop(token, None)

    def __getattr__(self, name: str) -> Any:
        """Whatever else is asked goes to the real accounts, where a test has some."""
        return getattr(self.behind, name)


def accounts_over(stores: Stores, clock: Any) -> StaffService:
    """The real accounts, with hashes that cost little."""
    return StaffService(
        rows=StaffStore(stores.database),
        tokens=TokenStore(stores.database),
        passwords=Argon2(memory_kib=64),
        box=Seal(b"s" * 32),
        clock=clock,
    )
