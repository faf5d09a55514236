"""A headless Chromium as the rider's phone, from the first page to the receipt, against the real programs."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from deploy.demo.errors import DemoError
from deploy.demo.stack import Options
from deploy.demo.waiting import now_s
from tests.support.browser import chromium, desk
from tests.support.flaky import Mood, flaky
from tests.support.partners import Platform
from tests.support.ride import BACK_SOC_PCT, Album, Ride, riding
from tests.support.stack import SystemStack
from tests.system.conftest import BROKER

pytestmark = [pytest.mark.system, pytest.mark.browser]

#: `make screenshots` names the folder of the pictures in the README here.
README_PICTURES: Final = os.environ.get("YIZHAN_SCREENSHOTS")
WEAK_S: Final = 5.0
DONE_WITHIN_S: Final = 15.0


@pytest.fixture(scope="module")
def stack_options() -> Options:
    """Whatever a rider brings back may be handed out again at once."""
    return Options(broker=BROKER, sockets=2, cabinet_values={"cabinet": {"target_soc_pct": 50}})


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.mark.parametrize(("locale", "number"), [("zh-CN", "01"), ("en-GB", "11")])
def test_a_new_rider_from_registering_to_giving_back(
    fresh_stack: SystemStack, browser: Browser, locale: str, number: str
) -> None:
    """First pick-up, reservation, swap, receipt, return without pick-up: all on the phone's pages."""
    stack, phone = fresh_stack, f"+86138001380{number}"
    with riding(stack, browser, f"rider-{locale}", phone_number=phone, locale=locale) as ride:
        whole_story(ride)
        expect(ride.page.locator("html")).to_have_attribute("lang", re.compile(locale[:2]))
    stack.assert_truth_is_ledger()


def test_an_operator_sees_cabinet_and_slots(fresh_stack: SystemStack, browser: Browser) -> None:
    stack = fresh_stack
    with desk(browser) as context:
        page = context.new_page()
        page.goto(stack.operator_url)
        page.wait_for_url("**/ops")
        expect(page.locator("[data-n=online]")).to_have_text("1")
        expect(page.locator("#map[data-ready]")).to_be_visible()
        page.goto(f"{stack.fleet_url}/ops/cabinets/{stack.options.cabinet_id}")
        detail = page.locator("#detail")
        expect(detail).to_contain_text(stack.options.cabinet_name)
        for serial in stack.sim.serials().values():
            expect(detail).to_contain_text(serial)
        album = Album("operator")
        album.take(page, "cabinet")
        if README_PICTURES:
            page.screenshot(path=Path(README_PICTURES) / "operator.png")


def test_a_platforms_rider_comes_by_a_link_that_works_once(
    fresh_stack: SystemStack, browser: Browser
) -> None:
    """Forged, expired and replayed links let nobody in; a used-up quota says so and opens no door."""
    stack = fresh_stack
    platform = Platform(audience=stack.fleet_url)
    stack.fleet(
        *[
            "rider-plan",
            "add",
            "free",
            "--zh",
            "免费",
            "--en",
            "Free",
            "--per",
            "swap",
            "--price",
            "0",
            "--default",
        ]
    )
    stack.fleet(
        *[
            "rider-plan",
            "add",
            "single",
            "--zh",
            "单次",
            "--en",
            "Single",
            "--per",
            "swap",
            "--price",
            "350",
        ]
    )
    added = stack.fleet(
        *("partner", "add", platform.id, "--name", "美团", "--link-key", platform.public_key),
        *("--plan", "single", "--quota-day", "1"),
    )
    signed_s = time.time_ns() // 1_000_000_000  # as the platform's server has it
    with riding(stack, browser, "platform", phone_number="+8613800138009") as ride:
        page = ride.page
        for bad in (
            Platform(audience=stack.fleet_url).link(signed_s),
            platform.link(signed_s - 200),
        ):
            assert page.goto(f"{stack.rider_url}?pt={bad}").status == 403  # type: ignore[union-attr]
            ride.look("bad-link")
        good = f"{stack.rider_url}?pt={platform.link(signed_s)}"
        page.goto(good)
        page.wait_for_url(stack.rider_url)
        expect(page.locator(".brand")).to_contain_text("美团")
        ride.take_session()
        first = ride.ride_through(ride.tap("#do-pickup"))
        expect(page.locator(".slip")).to_contain_text("¥3.50")
        assert page.goto(good).status == 403  # type: ignore[union-attr]

        since = stack.last_seq()
        page.goto(stack.rider_url)
        expect(page.locator("#why")).to_contain_text("今天的换电和充电次数已用完")
        expect(page.locator("#do-swap")).to_be_disabled()
        ride.look("quota-exhausted")
        with pytest.raises(DemoError, match="partner-quota"):
            ride.spy.start(stack.options.cabinet_id)
        page.goto(f"{stack.fleet_url}/p/{stack.options.cabinet_id}/1")
        expect(page.locator("main")).to_contain_text("今天的换电和充电次数已用完")
        expect(page.locator("#start")).to_be_disabled()
        ride.look("quota-exhausted-socket")
        with pytest.raises(DemoError, match="partner-quota"):
            ride.spy.charge(stack.options.cabinet_id, 1)
        moved = [each["kind"] for each in stack.sim.events(since)]
        assert "door-opened" not in moved
        assert not any(each["relay_on"] for each in stack.sim.sockets())
        page.goto(stack.rider_url)
        ride.ride_through(ride.tap("#do-return"), first)  # a return is never refused
    token = json.loads(added)["api_token"]
    told = httpx2.get(
        f"{stack.fleet_url}/api/v1/partner/swaps",
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
    ).json()
    assert [(row["state"], row["subject"]) for row in told] == [("charged", "courier-7")]


@pytest.mark.slow
def test_the_same_in_english_without_a_script(fresh_stack: SystemStack, browser: Browser) -> None:
    stack = fresh_stack
    with riding(
        stack,
        browser,
        "rider-en-plain",
        phone_number="+8613800138002",
        locale="en-GB",
        java_script_enabled=False,
    ) as ride:
        whole_story(ride)
        expect(ride.page.locator("html")).to_have_attribute("lang", "en")
    stack.assert_truth_is_ledger()


@pytest.mark.slow
@pytest.mark.parametrize(("mood", "number"), [("resets", 3), ("silent", 4)])
def test_a_network_that_goes_in_mid_swap(
    fresh_stack: SystemStack, browser: Browser, mood: Mood, number: int
) -> None:
    """Five seconds of it; "done" stands on the page less than 15 s after the network is back."""
    stack = fresh_stack
    with (
        flaky(stack.http_port) as proxy,
        riding(
            stack,
            browser,
            f"rider-{mood}",
            phone_number=f"+861380013800{number}",
            base=proxy.url,
        ) as ride,
    ):
        own = with_a_pack(ride)
        swap_id = ride.tap("#do-swap")
        expect(ride.page.locator("#stage .no b")).to_be_visible()
        ride.page.evaluate("window.sameDocument = true")
        proxy.set(mood)
        gone_s = now_s()
        ride.whole_swap_by_hand(swap_id, own)
        ride.page.wait_for_timeout(max(0.0, WEAK_S - (now_s() - gone_s)) * 1_000)
        proxy.set("well")
        back_s = now_s()
        expect(ride.page.locator("#stage .stage.done")).to_be_visible(timeout=30_000)
        assert now_s() - back_s < DONE_WITHIN_S
        assert ride.page.evaluate("window.sameDocument"), "the page was loaded again"
        assert len(stack.ledger(swap_id)) == 2


@pytest.mark.slow
@pytest.mark.parametrize(("mood", "number"), [("resets", 5), ("silent", 6)])
def test_a_tap_into_a_dead_network_is_one_swap(
    fresh_stack: SystemStack, browser: Browser, mood: Mood, number: int
) -> None:
    """It goes out when the network is back, once, though tapped twice."""
    stack = fresh_stack
    with (
        flaky(stack.http_port) as proxy,
        riding(
            stack,
            browser,
            f"rider-tap-{mood}",
            phone_number=f"+861380013800{number}",
            base=proxy.url,
        ) as ride,
    ):
        own = with_a_pack(ride)
        expect(ride.page.locator("#do-swap")).to_be_enabled()
        proxy.set(mood)
        ride.page.evaluate("for (let n = 0; n < 2; n++) document.getElementById('do-swap').click()")
        ride.page.wait_for_timeout(WEAK_S * 1_000)
        proxy.set("well")
        back_s = now_s()
        swap_id = ride.on_swap_page()
        assert now_s() - back_s < DONE_WITHIN_S
        ride.whole_swap_by_hand(swap_id, own)
        expect(ride.page.locator("#stage .stage.done")).to_be_visible(timeout=30_000)
        assert swaps_of(ride) == ["swap", "pickup"]


@pytest.mark.slow
def test_a_double_tap_and_a_reload_in_mid_swap_are_one_swap(
    fresh_stack: SystemStack, browser: Browser
) -> None:
    stack = fresh_stack
    with riding(stack, browser, "rider-twice", phone_number="+8613800138007") as ride:
        own = with_a_pack(ride)
        ride.page.evaluate("for (let n = 0; n < 3; n++) document.getElementById('do-swap').click()")
        swap_id = ride.on_swap_page()
        ride.ride_through(swap_id, own, before_act=lambda _step: ride.page.reload() and None)
        assert swaps_of(ride) == ["swap", "pickup"]
        assert len(stack.ledger(swap_id)) == 2


def whole_story(ride: Ride) -> None:
    """Register, first pick-up, find, reserve, swap, receipt, return without pick-up."""
    page, stack = ride.page, ride.stack
    ride.open_cabinet()
    expect(page.locator("html")).to_have_attribute("lang", re.compile("^(zh|en)"))
    ride.look("cabinet")
    ride.log_in()
    ride.look("first-pick-up")
    first = ride.ride_through(ride.tap("#do-pickup"))

    page.goto(f"{ride.base}/?lat=39.9365&lon=116.3845")
    expect(page.locator(".map .me")).to_have_count(1)
    ride.look("near-me")
    picture(ride, "find")
    ride.open_cabinet()
    page.locator("#reserve").tap()
    expect(page.locator(".keep [data-left]")).to_be_visible(timeout=30_000)
    kept = ride.spy.reservation(stack.options.cabinet_id)
    ride.look("reserved")
    picture(ride, "cabinet")
    swap_id = ride.tap("#do-swap")
    second = ride.ride_through(swap_id, first, before_act=lambda step: picture(ride, "rider", step))
    assert ride.spy.swap(swap_id)["slot_out"] == kept["slot"]
    expect(page.locator(".slip")).to_contain_text(first)
    expect(page.locator(".slip")).to_contain_text(second)
    assert len(stack.ledger(swap_id)) == 2
    told = {row["serial"]: row["soc_pct"] for row in ride.spy.swap(swap_id)["movements"]}
    assert abs(told[first] - BACK_SOC_PCT) <= 1
    assert told[second] >= stack.options.cabinet_values["cabinet"]["target_soc_pct"]
    for soc_pct in told.values():
        expect(page.locator(".slip")).to_contain_text(f"{soc_pct}%")
    picture(ride, "receipt")

    page.goto(f"{ride.base}/me")
    expect(page.locator("main")).to_contain_text(second)
    expect(page.locator("main")).to_contain_text(f"{told[second]}%")
    ride.look("account")
    picture(ride, "account")
    ride.open_cabinet()
    returned = ride.tap("#do-return")
    ride.ride_through(returned, second)
    expect(page.locator(".slip")).to_contain_text(second)
    assert len(stack.ledger(returned)) == 1
    assert swaps_of(ride) == ["return", "swap", "pickup"]


def with_a_pack(ride: Ride) -> str:
    """A new rider, logged in at the cabinet's page with a first pack."""
    ride.open_cabinet()
    ride.log_in()
    serial = ride.ride_through(ride.tap("#do-pickup"))
    ride.open_cabinet()
    return serial


def swaps_of(ride: Ride) -> list[str]:
    """The kinds of the rider's transactions, newest first; all of them completed."""
    rows = ride.spy.swaps()
    assert {row["step"] for row in rows} == {"completed"}
    return [row["kind"] for row in rows]


def picture(ride: Ride, name: str, step: str = "await-return") -> None:
    """A picture for the README, when asked for."""
    chinese = (ride.page.locator("html").get_attribute("lang") or "").startswith("zh")
    if README_PICTURES and chinese and step == "await-return":
        ride.page.screenshot(path=Path(README_PICTURES) / f"{name}.png")
