"""What an API token may at this moment: no more than it was made with, and no more than its maker has.

A token acts for the administrator who made it, so it can't be a way to keep rights that were taken
from him: it gets what the token and its maker have in common, looked up at every call. While the
account is off the token rests. It is not revoked: an account that is switched off by mistake, or for
a holiday, comes back with its programs, and an integration that the whole fleet leans on is not
destroyed by the one click that must never be put off. Who leaves for good leaves programs for which
somebody has to answer: the page shows what rests, and another administrator adopts it or revokes it.
What was made on the machine itself (``fleetd token add``) has no account behind it, and is bounded by
its own role, scope and end.
"""

from __future__ import annotations

from enum import StrEnum

from fleet.core.access import GRANTS, Scope, Who
from fleet.core.staff import Account, ApiToken


class Standing(StrEnum):
    """How much of a token is left."""

    WHOLE = "whole"
    NARROWED = "narrowed"  # its maker has less than it was made with
    RESTS = "rests"  # its maker's account is off


def rights(token: ApiToken, maker: Account | None) -> Who | None:
    """Who the token is now; None while it rests. ``maker`` None: it was made on the machine."""
    if maker is None:
        return Who(token.id, token.name, token.role, token.scope, token.grants)
    if maker.off:
        return None
    own = GRANTS[token.role]
    held = own & GRANTS[maker.role]
    grants = token.grants if held == own else held & (own if token.grants is None else token.grants)
    return Who(token.id, token.name, token.role, common(token.scope, maker.scope), grants)


def standing(token: ApiToken, maker: Account | None) -> Standing:
    """How much of it is left, for the list of tokens."""
    now = rights(token, maker)
    if now is None:
        return Standing.RESTS
    return Standing.WHOLE if now == rights(token, None) else Standing.NARROWED


def common(one: Scope, other: Scope) -> Scope:
    """Where both are."""
    return Scope(
        _common(one.stations, other.stations),
        _common(one.partners, other.partners),
    )


def _common(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other
