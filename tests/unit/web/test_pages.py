"""The pages without a script: login, tap, swap, receipts, operator, system."""

from __future__ import annotations

import re
from typing import Any

import pytest
from httpx2 import AsyncClient

from protocols.messages import Kind, Step
from tests.support.fleet_fakes import Town, cabinet
from tests.unit.web.conftest import PHONE

SAME = {"Sec-Fetch-Site": "same-origin"}


def key_of(page: str) -> str:
    found = re.search(r'name="key" value="([^"]+)"', page)
    assert found
    return found[1]


async def submit(client: AsyncClient, path: str, **form: str) -> Any:
    return await client.post(path, data=form, headers=SAME)


async def test_the_whole_way_without_a_script(town: Town, stranger: AsyncClient) -> None:
    page = (await stranger.get("/c/DH-0001")).text
    assert 'href="/login?next=/c/DH-0001"' in page
    assert "东湖路驿站" in page

    asked = await submit(stranger, "/login", phone="138 0013 8000", next="/c/DH-0001")
    assert (asked.status_code, asked.headers["location"]) == (
        303,
        "/login/code?next=%2Fc%2FDH-0001",
    )
    page = (await stranger.get(asked.headers["location"])).text
    assert "8000" in page
    assert 'autocomplete="one-time-code"' in page
    wrong = await submit(stranger, "/login/code", code="000000", next="/c/DH-0001")
    assert "验证码不对" in (await stranger.get(wrong.headers["location"])).text
    right = await submit(stranger, "/login/code", code="123456", next="/c/DH-0001")
    assert (right.status_code, right.headers["location"]) == (303, "/c/DH-0001")

    page = (await stranger.get("/c/DH-0001")).text
    assert 'value="pickup"' in page
    assert 'id="do-swap"' not in page
    town.riders.give(town.riders.phones[PHONE], "YZ48-000077")
    page = (await stranger.get("/c/DH-0001")).text
    assert page.index('value="swap"') < page.index('value="return"')
    assert "YZ48-000077" in page

    key = key_of(page)
    taps = [await submit(stranger, "/c/DH-0001/swap", kind="swap", key=key) for _ in range(2)]
    assert {tap.status_code for tap in taps} == {303}
    assert taps[0].headers["location"] == taps[1].headers["location"]
    assert len(town.swaps.views) == 1
    swap_id = taps[0].headers["location"].removeprefix("/s/")

    town.swaps.move(swap_id, Step.AWAIT_RETURN, slot_in=10)
    page = (await stranger.get(f"/s/{swap_id}")).text
    assert '<noscript><meta http-equiv="refresh"' in page
    assert "<b>10</b>" in page
    assert "2:00" in page or "1:5" in page
    again = await submit(stranger, f"/s/{swap_id}/resume", key=key_of(page))
    assert (again.status_code, again.headers["location"]) == (303, f"/s/{swap_id}")
    assert town.swaps.resumed == [swap_id]

    rider = f"rider:{town.riders.phones[PHONE]}"
    moved = (
        town.movement(1, "YZ48-000077", rider, "slot:DH-0001:10"),
        town.movement(2, "YZ48-000002", "slot:DH-0001:2", rider),
    )
    town.swaps.move(swap_id, Step.COMPLETED, slot_out=2, movements=moved)
    page = (await stranger.get(f"/s/{swap_id}")).text
    for text in ("换电完成", "YZ48-000077", "10 号仓", "YZ48-000002", "2 号仓", swap_id):
        assert text in page
    assert "http-equiv" not in page
    assert "data-live" not in page
    assert swap_id in (await stranger.get("/me")).text


async def test_who_is_not_logged_in_is_sent_to_log_in(town: Town, stranger: AsyncClient) -> None:
    tap = await submit(stranger, "/c/DH-0001/swap", kind="swap", key="key-of-one-tap")
    assert tap.headers["location"] == "/login?next=%2Fc%2FDH-0001"
    for path in ("/me", "/s/01JD"):
        reply = await stranger.get(path)
        assert (reply.status_code, reply.headers["location"]) == (303, f"/login?next={path}")
    assert (await stranger.get("/login/code")).headers["location"].startswith("/login?")


@pytest.mark.parametrize("phone", ["12", "hello"])
async def test_a_bad_phone_is_explained(stranger: AsyncClient, phone: str) -> None:
    reply = await submit(stranger, "/login", phone=phone, next="/c/DH-0001")
    assert reply.status_code == 422
    assert "手机号不对" in reply.text
    assert f'value="{phone}"' in reply.text


async def test_asking_twice_leads_to_the_code_with_the_wait(stranger: AsyncClient) -> None:
    await submit(stranger, "/login", phone="13800138000", next="/")
    again = await submit(stranger, "/login", phone="13800138000", next="/")
    page = await stranger.get(again.headers["location"])
    assert re.search(r"请 (60|5\d) 秒后再试", page.text)


async def test_a_typed_phone_is_escaped(stranger: AsyncClient) -> None:
    reply = await submit(stranger, "/login", phone='"><script>x</script>', next="/")
    assert "<script>x" not in reply.text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"full": 0}, "现在没有充满的电池"),
        ({"empty": 0}, "现在没有空仓"),
        ({"online": False}, "没有联网"),
        ({"age_ms": 120_000}, "没有联网"),
        ({"alarms": ("smoke",)}, "烟雾"),
        ({"active_swap": "01X"}, "有人正在用"),
    ],
)
async def test_why_a_swap_is_impossible(
    town: Town, rider: AsyncClient, changes: dict[str, Any], text: str
) -> None:
    town.cabinets.change("DH-0001", **changes)
    town.cabinets.put(cabinet("DH-0002", "隔壁驿站", lat=31.232))
    page = (await rider.get("/c/DH-0001")).text
    assert text in page
    assert re.search(r'value="swap"\s+disabled', page)
    assert "隔壁驿站" in page
    assert "222 米" in page


async def test_a_refusal_is_told_and_a_reload_does_no_harm(town: Town, rider: AsyncClient) -> None:
    town.swaps.refusal = "busy"
    tap = await submit(rider, "/c/DH-0001/swap", kind="swap", key="key-of-one-tap")
    assert tap.headers["location"] == "/c/DH-0001?refused=busy"
    page = await rider.get(tap.headers["location"])
    assert (page.status_code, "有人正在用" in page.text) == (200, True)
    odd = await rider.get("/c/DH-0001?refused=<b>odd</b>&wait=<i>")
    assert "odd" not in odd.text.split("<main")[1]


async def test_an_open_swap_is_continued(town: Town, rider: AsyncClient) -> None:
    tap = await submit(rider, "/c/DH-0001/swap", kind="swap", key="key-of-one-tap")
    other = await submit(rider, "/c/DH-0001/swap", kind="swap", key="key-of-other-tap")
    assert other.headers["location"] == tap.headers["location"]
    page = (await rider.get("/c/DH-0001")).text
    assert 'id="continue" form="go" name="kind" value="swap"' in page
    assert 'id="do-swap"' not in page


async def test_cancelling(town: Town, rider: AsyncClient) -> None:
    tap = await submit(rider, "/c/DH-0001/swap", kind="return", key="key-of-one-tap")
    path = tap.headers["location"]
    assert town.swaps.views[path.removeprefix("/s/")].kind is Kind.RETURN
    await submit(rider, f"{path}/cancel", key="whatever-key")
    page = (await rider.get(path)).text
    assert "这一单已取消" in page
    assert "再试一次" in page


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("step", list(Step))
async def test_every_step_has_a_page(
    town: Town, rider: AsyncClient, step: Step, language: str
) -> None:
    tap = await submit(rider, "/c/DH-0001/swap", kind="swap", key="key-of-one-tap")
    swap_id = tap.headers["location"].removeprefix("/s/")
    town.swaps.move(swap_id, step, slot_in=10, slot_out=2, reason="no-such-reason")
    reply = await rider.get(f"/s/{swap_id}?lang={language}")
    assert reply.status_code == 200
    assert 'aria-live="assertive"' in reply.text
    if step in (Step.REJECTED, Step.FAULTED, Step.CANCELLED, Step.GIVING_BACK):
        assert "no-such-reason" in reply.text
    if step in (Step.REJECTED, Step.FAULTED, Step.CANCELLED):
        assert 'href="/c/DH-0001"' in reply.text
        assert "tel:400-000-0000" in reply.text


async def test_language_by_query_cookie_and_header(stranger: AsyncClient) -> None:
    def lang(reply: Any) -> str:
        return re.search(r'<html lang="([^"]+)"', reply.text)[1]  # type: ignore[index]

    assert lang(await stranger.get("/")) == "zh-CN"
    assert lang(await stranger.get("/", headers={"Accept-Language": "en-GB"})) == "en"
    assert lang(await stranger.get("/", headers={"Accept-Language": "fr"})) == "zh-CN"
    assert lang(await stranger.get("/?lang=xx")) == "zh-CN"
    assert lang(await stranger.get("/?lang=en")) == "en"
    assert lang(await stranger.get("/")) == "en"
    assert lang(await stranger.get("/", headers={"Accept-Language": "zh"})) == "en"
    assert "?next=%2Fme&amp;lang=zh" in (await stranger.get("/login?next=/me")).text


async def test_operators_pages(town: Town, operator: AsyncClient) -> None:
    town.cabinets.put(cabinet("DH-0002", "静安寺", online=False, age_ms=400_000))
    page = (await operator.get("/ops")).text
    for text in ("东湖路驿站", "今日换电", "128", "98.5", "0.84"):
        assert text in page
    listed = (await operator.get("/ops/cabinets")).text
    for text in ("东湖路驿站", "静安寺", "离线", "6 分钟前"):
        assert text in listed
    detail = (await operator.get("/ops/cabinets/DH-0001")).text
    for text in ("YZ48-000001", "48.2 V", "25.5 °C", "280 W", "电芯过热", "3000 W"):
        assert text in detail
    stale = (await operator.get("/ops/cabinets/DH-0002?lang=en")).text
    assert "It is not the present" in stale
    assert "6 min ago" in stale
    assert (await operator.get("/ops/cabinets/NOPE")).status_code == 404
    town.cabinets.put(cabinet("DH-0003", "新柜", online=False, age_ms=None, slots=()))
    assert "Nothing has been received" in (await operator.get("/ops/cabinets/DH-0003")).text


async def test_stations(town: Town, stranger: AsyncClient) -> None:
    page = (await stranger.get("/")).text
    assert 'href="/c/DH-0001"' in page
    town.cabinets.views.clear()
    assert "还没有接入电柜" in (await stranger.get("/")).text


async def test_qr_and_label(stranger: AsyncClient) -> None:
    code = await stranger.get("/qr/DH-0001.svg")
    assert code.headers["content-type"].startswith("image/svg+xml")
    assert "<svg" in code.text
    assert "http://yizhan.example:8080/c/DH-0001" in (await stranger.get("/c/DH-0001/label")).text
    assert (await stranger.get("/qr/NOPE.svg")).status_code == 404


async def test_health_and_metrics(town: Town, stranger: AsyncClient) -> None:
    assert (await stranger.get("/healthz")).text == "ok\n"
    ready = await stranger.get("/readyz")
    assert (ready.status_code, ready.json()) == (
        200,
        {"ready": True, "checks": {"store": True, "broker": True}},
    )
    town.ready["broker"] = False
    ready = await stranger.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["broker"]) == (503, False)
    metrics = await stranger.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "up 1" in metrics.text


async def test_a_lost_page_has_a_way_out(stranger: AsyncClient) -> None:
    reply = await stranger.get("/c/NOPE")
    assert reply.status_code == 404
    assert 'href="/"' in reply.text
