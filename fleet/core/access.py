"""Who of the staff may do what, and where. Pure: a table, and one question over it.

A person or a program has one role and one scope. The role says what, the scope says where: at which
stations, for which partners. What is not in the table is refused; so is a place that is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from fleet.errors import DeniedError


class Role(StrEnum):
    """What somebody is trusted with."""

    VIEWER = "viewer"  # looks on
    OPERATOR = "operator"  # runs the fleet from a desk
    TECHNICIAN = "technician"  # works at cabinets
    ADMIN = "admin"  # all of it, and the accounts


class Permission(StrEnum):
    """One thing that a route may need. A new page takes the nearest one, or adds one here."""

    SEE_CABINETS = "see-cabinets"  # cabinets, slots, packs, map, search
    SEE_SWAPS = "see-swaps"
    SEE_ORDERS = "see-orders"
    SEE_AUDIT = "see-audit"  # the log of orders
    SEE_BALANCE = "see-balance"  # load, plan, prices, moves
    SEE_ALARMS = "see-alarms"
    NOTE_ALARMS = "note-alarms"  # say that an alarm is being looked after
    SEE_REPORTS = "see-reports"  # riders' reports and tickets
    SEE_STATIONS = "see-stations"
    SEE_RIDERS = "see-riders"  # personal data
    SEE_PLANS = "see-plans"
    SEE_PARTNERS = "see-partners"
    GIVE_ORDERS = "give-orders"  # any order at all; the order's own permission comes on top
    OPEN_DOOR = "open-door"
    SLOT_SERVICE = "slot-service"  # a slot out of service, and back
    QUARANTINE = "quarantine"
    CLEAR_ALARM = "clear-alarm"
    LOAD_UNLOAD = "load-unload"
    RESTART = "restart"
    APPROVE = "approve"  # the second of two people
    ROLL_OUT = "roll-out"  # settings by templates, and firmware, stage by stage
    EDIT_GRID = "edit-grid"  # tariffs, feeders, limits
    ANSWER_REPORTS = "answer-reports"
    TEND_STATIONS = "tend-stations"
    EDIT_RIDERS = "edit-riders"
    EDIT_PARTNERS = "edit-partners"
    MANAGE_ACCESS = "manage-access"  # accounts, tokens, sign-in by a provider
    OWN_ACCOUNT = "own-account"  # one's own password, second factor, sessions


_P = Permission

_SEEING: Final = frozenset(
    {
        _P.SEE_CABINETS,
        _P.SEE_SWAPS,
        _P.SEE_ORDERS,
        _P.SEE_BALANCE,
        _P.SEE_ALARMS,
        _P.SEE_REPORTS,
        _P.SEE_STATIONS,
        _P.OWN_ACCOUNT,
    }
)
_DESK: Final = _SEEING | {
    _P.SEE_AUDIT,
    _P.SEE_RIDERS,
    _P.SEE_PLANS,
    _P.SEE_PARTNERS,
    _P.GIVE_ORDERS,
    _P.OPEN_DOOR,
    _P.SLOT_SERVICE,
    _P.QUARANTINE,
    _P.RESTART,
    _P.APPROVE,
    _P.NOTE_ALARMS,
    _P.ANSWER_REPORTS,
    _P.TEND_STATIONS,
}
_AT_CABINETS: Final = _SEEING | {
    _P.SEE_AUDIT,
    _P.GIVE_ORDERS,
    _P.OPEN_DOOR,
    _P.SLOT_SERVICE,
    _P.QUARANTINE,
    _P.CLEAR_ALARM,
    _P.LOAD_UNLOAD,
    _P.RESTART,
    _P.APPROVE,
    _P.NOTE_ALARMS,
    _P.ANSWER_REPORTS,
    _P.TEND_STATIONS,
}

GRANTS: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.VIEWER: _SEEING,
    Role.OPERATOR: _DESK,
    Role.TECHNICIAN: _AT_CABINETS,
    Role.ADMIN: frozenset(Permission),
}

#: What each order at a cabinet needs. An order that is not here is nobody's to give.
ORDER_NEEDS: Final[Mapping[str, Permission]] = {
    "slot.open": _P.OPEN_DOOR,
    "slot.service-off": _P.SLOT_SERVICE,
    "slot.service-on": _P.SLOT_SERVICE,
    "slot.quarantine": _P.QUARANTINE,
    "slot.release": _P.QUARANTINE,
    "cabinet.restart": _P.RESTART,
    "cabinet.open-all": _P.OPEN_DOOR,
    "alarm.clear": _P.CLEAR_ALARM,
    "load": _P.LOAD_UNLOAD,
    "unload": _P.LOAD_UNLOAD,
}

#: These touch the whole fleet, so nobody has them for a part of it.
FLEET_WIDE: Final = frozenset(
    {
        _P.SEE_AUDIT,
        _P.EDIT_GRID,
        _P.ROLL_OUT,
        _P.EDIT_RIDERS,
        _P.EDIT_PARTNERS,
        _P.MANAGE_ACCESS,
    }
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where: None is everywhere, an empty set nowhere.

    Who is bound to partners and to no station that is named is at no station: to be let to a partner's
    figures is no leave to open doors.
    """

    stations: frozenset[str] | None = None
    partners: frozenset[str] | None = None

    def __post_init__(self) -> None:
        """Nobody is everywhere by what was left out beside his partners."""
        if self.partners is not None and self.stations is None:
            object.__setattr__(self, "stations", frozenset())

    @property
    def whole(self) -> bool:
        """Whether it is the whole fleet."""
        return self.stations is None and self.partners is None


EVERYWHERE: Final = Scope()


@dataclass(frozen=True, slots=True)
class AtStation:
    """Where a cabinet, an order or a report is; None: at no station, or it is not known."""

    station: str | None


@dataclass(frozen=True, slots=True)
class OfPartner:
    """Whose rider or plan it is; None: nobody's, or it is not known."""

    partner: str | None


Place: TypeAlias = AtStation | OfPartner


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody of the staff, or a program that acts for the operator."""

    id: str
    name: str  # as it stands in the log of orders
    role: Role
    scope: Scope = field(default=EVERYWHERE)
    grants: frozenset[Permission] | None = None  # a token's: no more than these of its role's
    shared: bool = False  # a seat that several people use: each names himself with what he does


def may(who: Who, permission: Permission, place: Place | None = None) -> bool:
    """Whether ``who`` has the permission, at the place if one is named.

    Without a place: whether anywhere at all; what is shown or done must then be cut to the scope.
    """
    if permission not in GRANTS.get(who.role, frozenset()):
        return False
    if who.grants is not None and permission not in who.grants:
        return False
    if permission in FLEET_WIDE and not who.scope.whole:
        return False
    return place is None or within(who.scope, place)


def within(scope: Scope, place: Place) -> bool:
    """Whether a place lies in a scope. What is at no station is out of every list of stations."""
    match place:
        case AtStation(station):
            return scope.stations is None or station in scope.stations
        case OfPartner(partner):
            return scope.partners is None or partner in scope.partners


def must(who: Who, permission: Permission, place: Place | None = None) -> None:
    """Raise DeniedError unless ``may``: ``role`` (not one's work) or ``scope`` (not there)."""
    if not may(who, permission):
        raise DeniedError(f"{who.role} {who.name} lacks the permission {permission}", code="role")
    if not may(who, permission, place):
        raise DeniedError(f"{who.name} works elsewhere: {place} is out of scope", code="scope")


def acting(who: Who, typed: str) -> str:
    """The name for the log of orders: one's own, but at a shared seat the one that was typed."""
    return typed if who.shared else who.name


def order_permission(order: str) -> Permission:
    """What an order at a cabinet needs besides GIVE_ORDERS; MANAGE_ACCESS for one that is unknown."""
    return ORDER_NEEDS.get(order, Permission.MANAGE_ACCESS)
