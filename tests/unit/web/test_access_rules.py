"""Roles, permissions and scopes; and that every route of the staff says what it needs."""

from __future__ import annotations

import itertools

import pytest

from fleet.core.access import (
    EVERYWHERE,
    FLEET_WIDE,
    GRANTS,
    ORDER_NEEDS,
    AtStation,
    OfPartner,
    Permission,
    Role,
    Scope,
    Who,
    may,
    must,
    order_permission,
)
from fleet.core.operations import ORDERS
from fleet.errors import DeniedError
from tests.support.routes import ways_of, whole_app

#: The API of riders, partners and passers-by: these routes judge by themselves who asks.
NOT_FOR_STAFF = frozenset(
    {
        "/api/v1/login/code", "/api/v1/login", "/api/v1/logout", "/api/v1/me",
        "/api/v1/cabinets", "/api/v1/cabinets/stream", "/api/v1/cabinets/{cabinet_id}",
        "/api/v1/cabinets/{cabinet_id}/stream", "/api/v1/cabinets/{cabinet_id}/reservation",
        "/api/v1/cabinets/{cabinet_id}/sockets/{socket}/sessions", "/api/v1/stations",
        "/api/v1/swaps", "/api/v1/swaps/{swap_id}", "/api/v1/swaps/{swap_id}/stream",
        "/api/v1/swaps/{swap_id}/resume", "/api/v1/swaps/{swap_id}/cancel",
        "/api/v1/swaps/{swap_id}/give-back",
        "/api/v1/rest-stations", "/api/v1/rest-stations/{station_id}",
        "/api/v1/rest-stations/{station_id}/restock",
        "/api/v1/sessions", "/api/v1/sessions/{session_id}", "/api/v1/sessions/{session_id}/stream",
        "/api/v1/sessions/{session_id}/stop", "/api/v1/reports",
    }
)  # fmt: skip
#: Prefixes whose routes are riders' or partners' altogether.
THEIRS = ("/api/v1/partner", "/api/v1/me/")


def test_every_route_of_the_staff_says_what_it_needs() -> None:
    silent = [
        f"{'/'.join(way.methods)} {way.path}"
        for way in ways_of(whole_app())
        if way.path.startswith(("/ops", "/api/v1"))
        and way.path not in NOT_FOR_STAFF
        and not way.path.startswith(THEIRS)
        and way.need is None
    ]
    assert not silent, f"add dependencies=[needs(Permission.…)] from fleet.web.access to: {silent}"


def test_the_list_of_other_routes_has_nothing_that_is_gone() -> None:
    assert {way.path for way in ways_of(whole_app())} >= NOT_FOR_STAFF


def test_no_route_of_the_staff_is_open_but_the_way_in_and_out() -> None:
    opened = {way.path for way in ways_of(whole_app()) if way.need and not way.need.permission}
    assert opened == {"/ops/login", "/ops/logout", "/ops/join", "/ops/sso", "/ops/sso/back"}


def who(role: Role, scope: Scope = EVERYWHERE, grants: frozenset[Permission] | None = None) -> Who:
    return Who("S1", "zhang.wei", role, scope, grants)


def test_admin_has_all_and_everybody_has_what_a_viewer_has() -> None:
    assert GRANTS[Role.ADMIN] == frozenset(Permission)
    for role in Role:
        assert GRANTS[role] >= GRANTS[Role.VIEWER]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.TECHNICIAN])
def test_only_an_admin_manages_access_and_the_grid(role: Role) -> None:
    assert not may(who(role), Permission.MANAGE_ACCESS)
    assert not may(who(role), Permission.EDIT_GRID)


def test_a_viewer_moves_nothing() -> None:
    for permission in Permission:
        if not permission.value.startswith("see-") and permission is not Permission.OWN_ACCOUNT:
            assert not may(who(Role.VIEWER), permission), permission


def test_a_latched_alarm_is_cleared_by_a_technician_only_and_packs_are_carried_by_one() -> None:
    for permission in (Permission.CLEAR_ALARM, Permission.LOAD_UNLOAD):
        assert may(who(Role.TECHNICIAN), permission)
        assert not may(who(Role.OPERATOR), permission)


def test_every_order_has_a_permission_and_an_unknown_one_is_refused_to_all_but_admins() -> None:
    assert set(ORDERS) <= set(ORDER_NEEDS)
    assert not may(who(Role.TECHNICIAN), order_permission("doors.open-all"))


NORTH, SOUTH = frozenset({"ST-N"}), frozenset({"ST-S"})


@pytest.mark.parametrize(
    ("scope", "place", "expected"),
    [
        (EVERYWHERE, None, True),
        (EVERYWHERE, AtStation("ST-N"), True),
        (EVERYWHERE, AtStation(None), True),
        (EVERYWHERE, OfPartner(None), True),
        (Scope(stations=NORTH), None, True),
        (Scope(stations=NORTH), AtStation("ST-N"), True),
        (Scope(stations=NORTH), AtStation("ST-S"), False),
        (Scope(stations=NORTH), AtStation(None), False),
        (Scope(stations=NORTH), OfPartner("meituan"), True),
        (Scope(stations=frozenset()), AtStation("ST-N"), False),
        (Scope(partners=frozenset({"meituan"})), OfPartner("meituan"), True),
        (Scope(partners=frozenset({"meituan"})), OfPartner("eleme"), False),
        (Scope(partners=frozenset({"meituan"})), OfPartner(None), False),
        (Scope(partners=frozenset({"meituan"})), AtStation("ST-N"), False),
        (Scope(NORTH, frozenset({"meituan"})), AtStation("ST-N"), True),
        (Scope(SOUTH, frozenset()), AtStation("ST-N"), False),
        (Scope(SOUTH, frozenset()), OfPartner("meituan"), False),
    ],
)
def test_scopes(scope: Scope, place: AtStation | OfPartner | None, expected: bool) -> None:
    assert may(who(Role.OPERATOR, scope), Permission.SEE_CABINETS, place) is expected


def test_what_touches_the_whole_fleet_is_for_nobody_with_a_part_of_it() -> None:
    for permission in FLEET_WIDE:
        assert may(who(Role.ADMIN), permission)
        assert not may(who(Role.ADMIN, Scope(stations=NORTH)), permission)
        assert not may(who(Role.ADMIN, Scope(partners=NORTH)), permission)


def test_a_tokens_grants_only_take_away() -> None:
    for role, permission in itertools.product(Role, Permission):
        assert not may(who(role, grants=frozenset()), permission)
        granted = may(who(role, grants=frozenset({permission})), permission)
        assert granted is may(who(role), permission)


def test_a_refusal_says_whether_it_is_the_role_or_the_place() -> None:
    with pytest.raises(DeniedError) as wrong_role:
        must(who(Role.VIEWER), Permission.OPEN_DOOR, AtStation("ST-N"))
    assert wrong_role.value.code == "role"
    with pytest.raises(DeniedError) as elsewhere:
        must(who(Role.OPERATOR, Scope(stations=SOUTH)), Permission.OPEN_DOOR, AtStation("ST-N"))
    assert elsewhere.value.code == "scope"
