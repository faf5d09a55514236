"""Passwords are not guessed, and nobody is locked out by somebody who tries."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from httpx2 import AsyncClient

from fleet.core.access import Role
from fleet.core.staff import DEVICE_LIFE_MS, device_of
from fleet.errors import LimitedError
from fleet.web import guessing, limits
from protocols.offline import step_of, totp
from tests.support.fleet_fakes import Town
from tests.support.staff_town import (
    OTHER,
    PASSWORD,
    SAME,
    member,
    service,
    shift,
    sign_in,
    staff_stores,
    staff_town,
)

DAY_MS: Final = 24 * 3_600_000


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with staff_stores(tmp_path) as stores, staff_town(stores) as running:
        yield running


@pytest.fixture
async def client(town: Town) -> AsyncIterator[AsyncClient]:
    """A browser in which nobody was ever signed in."""
    async with town.client(headers=SAME) as opened:
        yield opened


def forget(town: Town) -> None:
    """As if all that was tried had been tried by nobody."""
    town.app.state.web.staff_throttle.__init__()


def spend(town: Town, rate: limits.Rate, who: str, times: int) -> None:
    """As if somebody had tried so often, or until it was enough."""
    web = town.app.state.web
    with suppress(LimitedError):
        for _ in range(times):
            web.staff_throttle.spend(rate, who, web.clock.monotonic_ms())


def use_up_the_day(town: Town, name: str) -> None:
    """As ten networks do, each within its own bounds."""
    spend(town, limits.NAME_DAY, guessing.slot_of(name), limits.NAME_DAY.times_max)


async def test_a_name_is_tried_ten_times_from_one_network(town: Town, client: AsyncClient) -> None:
    await member(town, "zhang.wei", Role.VIEWER)
    forget(town)
    for _ in range(limits.NAME_AND_ADDRESS.times_max):
        assert (await sign_in(client, "zhang.wei", OTHER)).status_code == 401
    last = await sign_in(client, "ZHANG.WEI")
    assert last.status_code == 429
    assert int(last.headers["retry-after"]) > 60
    assert "恢复码" in last.text, "it says how to come in all the same"
    assert (await client.get("/ops")).status_code == 401
    shift(town, limits.NAME_AND_ADDRESS.window_ms)
    assert (await sign_in(client, "zhang.wei")).status_code == 303


async def test_a_guesser_locks_out_nobody_elsewhere(
    town: Town, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await member(town, "zhang.wei", Role.VIEWER)
    monkeypatch.setattr(guessing, "address", lambda _: "203.0.113.7")
    for _ in range(limits.NAME_AND_ADDRESS.times_max + 1):
        last = await sign_in(client, "zhang.wei", OTHER)
    assert last.status_code == 429
    monkeypatch.setattr(guessing, "address", lambda _: "198.51.100.1")
    assert (await sign_in(client, "zhang.wei")).status_code == 303


async def test_one_network_takes_a_tenth_of_a_names_day(town: Town, client: AsyncClient) -> None:
    await member(town, "zhang.wei", Role.VIEWER)
    forget(town)
    tried = 0
    for _ in range(DAY_MS // limits.NAME_AND_ADDRESS.window_ms - 1):
        while (await sign_in(client, "zhang.wei", OTHER)).status_code == 401:
            tried += 1
        shift(town, limits.NAME_AND_ADDRESS.window_ms)
    assert tried == limits.NAME_AND_ADDRESS_DAY.times_max == limits.NAME_DAY.times_max // 10


async def test_no_number_of_networks_guesses_on(
    town: Town, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await member(town, "zhang.wei", Role.VIEWER)
    use_up_the_day(town, "zhang.wei")
    for number in range(3):
        monkeypatch.setattr(guessing, "address", lambda _, n=number: f"203.0.113.{n}")
        assert (await sign_in(client, "Zhang.Wei")).status_code == 429
    shift(town, limits.NAME_DAY.window_ms)
    assert (await sign_in(client, "zhang.wei")).status_code == 303


async def test_a_browser_that_is_known_comes_in_whatever_others_try(
    town: Town, client: AsyncClient
) -> None:
    await member(town, "zhang.wei", Role.VIEWER)
    await member(town, "li.na", Role.VIEWER)
    await sign_in(client, "zhang.wei")
    await sign_in(client, "li.na")  # a desk that two share
    await client.post("/ops/logout")
    for name in ("zhang.wei", "li.na"):
        use_up_the_day(town, name)
    spend(town, limits.SIGN_INS_PER_ADDRESS, "testclient", 1)
    spend(town, limits.SIGN_INS_IN_ALL, "", limits.SIGN_INS_IN_ALL.times_max - 20)
    async with town.client(headers=SAME) as stranger:
        assert (await sign_in(stranger, "zhang.wei")).status_code == 429
        # Another account's mark is none.
        stranger.cookies.set(guessing.DEVICE_COOKIE, "AAAA." + "x" * 300)
        assert (await sign_in(stranger, "zhang.wei")).status_code == 429
    for name in ("zhang.wei", "li.na"):
        assert (await sign_in(client, name)).status_code == 303, name
    for _ in range(limits.KNOWN_PER_DEVICE.times_max + 1):
        last = await sign_in(client, "zhang.wei", OTHER)
    assert last.status_code == 429, "a known browser may not guess on either"


async def test_a_mark_is_of_one_account_and_of_one_password(
    town: Town, client: AsyncClient
) -> None:
    await member(town, "zhang.wei", Role.VIEWER)
    await member(town, "li.na", Role.VIEWER)
    staff = service(town)
    mark = await staff.new_device("zhang.wei")
    assert await staff.known_device("Zhang.Wei", ["?", mark], "") is not None
    assert await staff.known_device("li.na", [mark], "") is None
    assert await staff.known_device("nobody", [mark], "") is None
    shift(town, DEVICE_LIFE_MS)
    assert await staff.known_device("zhang.wei", [mark], "") is None
    shift(town, -DEVICE_LIFE_MS)
    await staff.change_password("zhang.wei", PASSWORD, OTHER)
    assert await staff.known_device("zhang.wei", [mark], "") is None
    assert (await sign_in(client, "zhang.wei", OTHER)).status_code == 303
    assert device_of(b"short", 0) is None


async def test_a_recovery_code_comes_in_from_anywhere(town: Town, client: AsyncClient) -> None:
    await member(town, "zhang.wei", Role.VIEWER)
    secret = await service(town).offer_totp("zhang.wei")
    now = step_of(town.clock.wall_ms())
    codes = await service(town).confirm_totp("zhang.wei", totp(secret, now))
    use_up_the_day(town, "zhang.wei")
    assert (await sign_in(client, "zhang.wei", code=totp(secret, now + 1))).status_code == 429
    assert (await sign_in(client, "zhang.wei", OTHER, codes[0])).status_code == 401, (
        "with the password"
    )
    assert (await sign_in(client, "zhang.wei", code=codes[0].upper())).status_code == 303
    async with town.client(headers=SAME) as other:
        assert (await sign_in(other, "zhang.wei", code=codes[0])).status_code == 429, "once"


async def test_a_one_time_link_comes_in_whatever_others_try(
    town: Town, client: AsyncClient
) -> None:
    await member(town, "zhang.wei", Role.VIEWER)
    use_up_the_day(town, "zhang.wei")
    spend(town, limits.SIGN_INS_IN_ALL, "", limits.SIGN_INS_IN_ALL.times_max)
    spend(town, limits.SIGN_INS_PER_ADDRESS, "testclient", 1)
    assert (await sign_in(client, "zhang.wei")).status_code == 429
    link = await service(town).sign_in_link("zhang.wei")
    used = await client.get("/ops/login", params={"token": link})
    assert used.headers["location"] == "/ops"
    await client.post("/ops/logout")
    assert (await sign_in(client, "zhang.wei")).status_code == 303, "the browser is known by now"


async def test_an_address_may_not_try_all_names(town: Town, client: AsyncClient) -> None:
    for number in range(limits.SIGN_INS_PER_ADDRESS.times_max):
        assert (await sign_in(client, f"name-{number}")).status_code == 401
    assert (await sign_in(client, "name-x")).status_code == 429


async def test_links_are_not_looked_up_without_end(town: Town, client: AsyncClient) -> None:
    for _ in range(limits.WAYS_IN_PER_ADDRESS.times_max):
        assert (await client.get("/ops/join", params={"token": "x"})).status_code == 403
    assert (await client.get("/ops/join", params={"token": "x"})).status_code == 429


async def test_all_sign_ins_together_are_bounded(town: Town, client: AsyncClient) -> None:
    await member(town, "li.na", Role.ADMIN)
    spend(town, limits.SIGN_INS_IN_ALL, "", limits.SIGN_INS_IN_ALL.times_max)
    assert (await sign_in(client, "li.na")).status_code == 429


async def test_names_that_are_nobodys_are_counted_as_others_are(
    town: Town, client: AsyncClient
) -> None:
    await member(town, "li.na", Role.ADMIN)
    said = set()
    for name in ("li.na", "nobody"):
        use_up_the_day(town, name)
        reply = await sign_in(client, name)
        said.add((reply.status_code, re.sub(rf'value="{name}"', "", reply.text)))
    assert len(said) == 1


def test_no_flood_of_names_pushes_a_count_out_or_locks_others() -> None:
    throttle = limits.Throttle()
    for _ in range(limits.NAME_DAY.times_max):
        throttle.spend(limits.NAME_DAY, guessing.slot_of("li.na"), 0)
    for number in range(3 * guessing.SLOTS):
        slot = guessing.slot_of(f"name-{number}")
        if slot != guessing.slot_of("li.na"):
            throttle.spend(limits.NAME_DAY, slot, 1)
    with pytest.raises(LimitedError):
        throttle.spend(limits.NAME_DAY, guessing.slot_of("li.na"), 2)
    assert guessing.slot_of("Li.Na") == guessing.slot_of("li.na")
    names_a_day = limits.SIGN_INS_IN_ALL.times_max * limits.NAME_DAY.window_ms // 60_000
    assert names_a_day / guessing.SLOTS * 10 < limits.NAME_DAY.times_max
    assert guessing.SLOTS <= limits.KEYS_MAX, "no place is forgotten"


def test_the_figures_of_the_docstring() -> None:
    a_year = limits.NAME_DAY.times_max * 365
    assert a_year < 110_000
    assert 100 * 24 / limits.NAME_DAY.times_max == 8, "of what ASVS 2.2.1 bears"
    assert 26**10 / 2 / a_year > 640e6
