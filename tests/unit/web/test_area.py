"""Stations, sockets and reports on the pages and in the API, over a real store."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from httpx2 import AsyncClient

from fleet.core import sockets as core
from fleet.core.reports import Topic
from fleet.core.stations import AmenityKind, AmenityState
from fleet.core.tiles import TileSource
from fleet.web.i18n import LANGUAGES, catalogue
from fleet.web.ops_lists import place_of_row
from protocols.sockets import SocketBody, SocketState, SocketStep
from tests.support.area import DRUM, AreaTown, area_town, sockets
from tests.support.fleet_fakes import OPERATOR_TOKEN, serving
from tests.support.fleet_fakes_members import FakeMembership, plan
from tests.unit.fleet.test_photos import exif, jpeg

PHONE = "+8613800138000"
SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def area(tmp_path: Path) -> AsyncIterator[AreaTown]:
    async with area_town(tmp_path) as made, serving(made.town, heartbeat_s=0.2):
        yield made


@pytest.fixture
async def rider(area: AreaTown) -> AsyncIterator[AsyncClient]:
    async with area.town.client(headers=SAME) as client:
        await area.town.log_in(client, PHONE)
        await area.know(area.town.riders.phones[PHONE])
        yield client


@pytest.fixture
async def operator(area: AreaTown) -> AsyncIterator[AsyncClient]:
    async with area.town.client(headers=SAME) as client:
        await client.get("/ops/login", params={"token": OPERATOR_TOKEN})
        yield client


async def test_a_stranger_sees_the_station_and_its_sockets(area: AreaTown) -> None:
    async with area.town.client() as client:
        listed = (await client.get("/stations")).text
        assert "鼓楼驿站" in listed
        assert "空闲插座 2 个" in listed
        shown = (await client.get("/st/DRUM")).text
        for text in ("鼓楼东大街 1 号", "修车工具", "柜子后面", "/p/DH-0001/2", "¥1.20"):
            assert text in shown
        assert "Repair kit" in (await client.get("/st/DRUM?lang=en")).text
        assert "/st/DRUM" in (await client.get("/c/DH-0001")).text
        assert (await client.get("/st/NOWHERE")).status_code == 404
        assert (await client.get("/p/DH-0001/9")).status_code == 404
        code = await client.get("/qr/DH-0001/2.svg")
        assert code.headers["content-type"] == "image/svg+xml"
        reply = await client.get("/api/v1/rest-stations/DRUM")
        assert reply.json()["cabinets"][0]["slots"][0]["serial"] is None
        assert (await client.get("/charging")).status_code == 303
        assert "/stations" in (await client.get("/")).text
        for code in ("https://swap.example/p/DH-0001/2", "/p/dh-0001/2?x=1"):
            scanned = await client.get("/scan", params={"code": code})
            assert scanned.headers["location"] == "/p/DH-0001/2"
        for code in ("/p/DH-0001/9", "/p/DH-0009/1", "//evil.example/p/DH-0001/2/../x"):
            assert (await client.get("/scan", params={"code": code})).status_code == 200
        assert (await client.get("/reports/new")).status_code == 303


async def test_a_station_whose_place_is_known_shows_the_way(area: AreaTown) -> None:
    async with area.town.client() as client:
        assert 'id="way"' not in (await client.get("/st/DRUM")).text
        await area.stores.stations.put(replace(DRUM, lat=39.9365, lon=116.3845), 1)
        page = (await client.get("/st/DRUM")).text
    assert "<svg viewBox" in page
    assert 'class="pin-no"' not in page, "one pin says something on streets only"
    assert "/?lat=39.9365&amp;lon=116.3845" in page
    way = re.search(r'id="way" href="([^"]+)"', page)
    assert way is not None
    assert "uri.amap.com/navigation?to=116.39" in way[1], "in the degrees of Chinese maps"


async def test_the_nearest_station_comes_first_with_its_number_on_the_map(area: AreaTown) -> None:
    for name, lat in (("NEAR", 39.9465), ("FAR", 40.2365)):
        await area.stores.stations.put(replace(DRUM, id=name, name=name, lat=lat, lon=116.3845), 1)
    async with area.town.client() as client:
        page = (await client.get("/stations?lat=39.9365&lon=116.3845")).text
        plain = (await client.get("/stations?lat=200&lon=0")).status_code
        nowhere = (await client.get("/stations?lat=95&lon=0")).text
    assert re.findall(r'href="/st/([A-Z]+)"', page) == ["NEAR", "FAR", "DRUM"], (
        "unknown places last"
    )
    assert "1.1 公里 · " in page
    assert "33.4 公里 · " in page
    assert page.count('class="pin-no"') == 2
    assert 'class="me"' in page
    assert "修车工具 · 优惠商店" in page
    assert plain == 422
    assert "公里 · " not in nowhere


async def test_a_used_up_plan_is_told_before_the_tap(area: AreaTown, rider: AsyncClient) -> None:
    town = area.town
    members = FakeMembership(town.riders, town.clock)
    members.plan = plan(socket_refusal="partner-quota")
    town.app.state.web = replace(town.app.state.web, membership=members)
    page = (await rider.get("/p/DH-0001/1")).text
    assert "今天的换电和充电次数已用完" in page
    assert '<button class="btn go" id="start" disabled>' in page


async def test_a_station_stands_on_a_licensed_map(tmp_path: Path) -> None:
    source = TileSource("https://tiles.example.cn/{z}/{x}/{y}.png", "© 某图", "gcj02")
    async with area_town(tmp_path) as made, serving(made.town, tiles=source):
        await made.stores.stations.put(replace(DRUM, lat=39.9365, lon=116.3845), 1)
        async with made.town.client() as client:
            page = (await client.get("/st/DRUM")).text
    assert 'class="pin-no"' in page
    assert '<image href="https://tiles.example.cn/17/' in page
    assert "© 某图" in page


async def test_a_session_without_a_script_from_tap_to_receipt(
    area: AreaTown, rider: AsyncClient
) -> None:
    form = (await rider.get("/p/DH-0001/1")).text
    key = re.search(r'name="key" value="([^"]+)"', form)
    assert key is not None
    wish = {"key": key[1], "limit_wh": "500", "hours": "2"}
    tapped = [await rider.post("/p/DH-0001/1", data=wish) for _ in range(2)]
    (path,) = {reply.headers["location"] for reply in tapped}
    assert len(area.sent.orders) == 1
    order = area.sent.orders[0]
    assert (order.type, order.args["limit_wh"], order.args["limit_s"]) == (
        "socket.start",
        500,
        7_200,
    )
    assert "正在通电" in (await rider.get(path)).text
    session = path.removeprefix("/e/")
    common = {"socket": 1, "session": session, "rider_id": order.actor}
    await area.tell(SocketBody(step=SocketStep.STARTED, **common))
    telling = sockets(SocketState.ON, SocketState.IDLE, power_w=151.0, session=session)
    area.town.cabinets.change("DH-0001", sockets=telling)
    shown = (await rider.get(path)).text
    assert "正在充电" in shown
    assert "151 W" in shown
    assert "你正在充电" in (await rider.get("/p/DH-0001/2")).text

    assert "最多 0.5 度" in shown
    told = (await rider.post(f"{path}/stop")).headers["location"]
    assert told == f"{path}?stopping=1"
    assert "已通知电柜断电" in (await rider.get(told)).text
    assert [order.type for order in area.sent.orders] == ["socket.start", "socket.stop"]
    ended = SocketBody(
        step=SocketStep.ENDED, energy_wh=412, duration_s=9_000, reason="stopped", **common
    )
    await area.tell(ended)
    receipt = (await rider.get(told)).text
    assert "已通知电柜断电" not in receipt
    assert "¥0.99" in receipt  # 0.412 kWh at 1.20, two and a half hours at 0.20
    assert "你结束了充电" in receipt
    assert "¥0.99" in (await rider.get("/charging")).text
    # Telemetry is a few seconds old and still shows the ended session: that is no reason to wait.
    again = await rider.post("/p/DH-0001/1", data={"key": "the-next-tap"})
    assert again.headers["location"].startswith("/e/")
    view = (await rider.get(f"/api/v1/sessions/{session}")).json()
    assert (view["state"], view["amount_minor"]) == ("ended", 99)
    async with area.town.client(headers=SAME) as other:
        await area.town.log_in(other, "+8613900139000")
        assert (await other.get(path)).status_code == 403
        assert (await other.post(f"{path}/stop")).status_code == 403


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (SocketState.FAULTED, "停用"),
        (SocketState.UNKNOWN, "暂时联系不上"),
        (SocketState.ON, "正有人使用"),
    ],
)
async def test_a_refusal_says_why_and_what_to_do(
    area: AreaTown, rider: AsyncClient, state: SocketState, text: str
) -> None:
    area.town.cabinets.change("DH-0001", sockets=sockets(state))
    reply = await rider.post("/p/DH-0001/1", data={"key": "key-of-a-tap"})
    page = await rider.get(reply.headers["location"])
    assert text in page.text
    assert not area.sent.orders


async def test_the_api_starts_and_lists(area: AreaTown, rider: AsyncClient) -> None:
    path = "/api/v1/cabinets/DH-0001/sockets/2/sessions"
    assert (await rider.post(path, json={})).status_code == 400
    key = {"Idempotency-Key": "key-of-a-tap"}
    made = await rider.post(path, json={"limit_wh": 300, "limit_s": 600}, headers=key)
    assert made.status_code == 201
    again = await rider.post(path, json={"limit_wh": 300, "limit_s": 600}, headers=key)
    assert again.json()["id"] == made.json()["id"]
    second = await rider.post(path, json={}, headers={"Idempotency-Key": "another-key"})
    assert second.json()["error"]["code"] == "open-session"
    assert len((await rider.get("/api/v1/sessions")).json()) == 1
    wrong = await rider.post(path, json={"limit_wh": 1}, headers=key)
    assert wrong.status_code == 422
    assert len(area.sent.orders) == 1


async def test_a_session_that_is_never_heard_of_again_keeps_nobody(
    area: AreaTown, rider: AsyncClient
) -> None:
    first = await rider.post("/p/DH-0001/1", data={"key": "first-tap-of-all", "hours": "2"})
    area.town.clock.shift_ms += 4 * 3_600_000
    assert "充电结束" in (await rider.get(first.headers["location"])).text
    assert 'id="start"' in (await rider.get("/p/DH-0001/2")).text
    second = await rider.post("/p/DH-0001/2", data={"key": "second-tap-of-all"})
    assert second.headers["location"].startswith("/e/")


async def test_a_report_with_a_picture_and_its_answer(
    area: AreaTown, rider: AsyncClient, operator: AsyncClient
) -> None:
    form = await rider.get("/reports/new?topic=station&station=DRUM")
    assert 'value="鼓楼驿站"' in form.text
    fields = {"topic": "station", "place": "鼓楼驿站", "text": "水没了\n<b>", "station": "DRUM"}
    files = {"photo": ("../evil.php", jpeg(exif(6)), "text/html")}
    sent = await rider.post("/reports", data=fields, files=files)
    assert sent.status_code == 303, sent.text
    path = sent.headers["location"]
    shown = (await rider.get(path)).text
    assert "&lt;b&gt;" in shown
    assert "我们收到了" in shown
    photo = await rider.get(f"{path}/photo")
    assert photo.headers["content-type"] == "image/jpeg"
    assert "sandbox" in photo.headers["content-security-policy"]
    assert photo.headers["x-content-type-options"] == "nosniff"
    assert b"GPS" not in photo.content

    assert path.removeprefix("/reports/") in (await operator.get("/ops/reports")).text
    answer = {"text": "已送水，谢谢", "staff": "li.wei", "close": "1"}
    assert (await operator.post(f"/ops{path}/answer", data=answer)).status_code == 303
    assert "已送水，谢谢" in (await rider.get(path)).text
    assert "没有待处理" in (await operator.get("/ops/reports")).text
    assert "已处理" in (await rider.get("/reports")).text
    async with area.town.client(headers=SAME) as other:
        assert (await other.get(path)).status_code == 303  # to the login
        await area.town.log_in(other, "+8613900139000")
        assert (await other.get(path)).status_code == 403
        assert (await other.get(f"{path}/photo")).status_code == 403
        assert (await other.get("/ops/reports")).status_code == 401


async def test_what_is_no_picture_is_told_and_the_text_is_kept(
    area: AreaTown, rider: AsyncClient
) -> None:
    fields = {"topic": "other", "place": "", "text": "something is wrong"}
    files = {"photo": ("a.jpg", b"<svg onload=alert(1)>", "image/jpeg")}
    told = await rider.post("/reports", data=fields, files=files)
    assert told.status_code == 422
    assert "照片不能用" in told.text
    assert "something is wrong" in told.text
    huge = {"photo": ("a.jpg", b"\xff\xd8" + b"\x00" * 7_000_000, "image/jpeg")}
    assert (await rider.post("/reports", data=fields, files=huge)).status_code == 413
    async with area.town.client(headers=SAME) as stranger:
        assert (await stranger.post("/reports", data=fields)).status_code == 401
        # Other paths take no more than before.
        assert (await stranger.post("/login", data={"phone": "1" * 20_000})).status_code == 413
    assert not await area.stores.reports.listed(None, 9)


async def test_used_up_reported_and_restocked(
    area: AreaTown, rider: AsyncClient, operator: AsyncClient
) -> None:
    for _ in range(2):
        reply = await rider.post("/st/DRUM/restock", data={"amenity": "1"})
        assert reply.headers["location"] == "/st/DRUM?thanks=1"
    assert "有人报缺" in (await rider.get("/st/DRUM")).text
    board = (await operator.get("/ops/stations")).text
    assert "1 人报缺" in board  # twice by one rider is once
    await operator.post("/ops/stations/DRUM/amenities/1", data={"state": "ok"})
    assert "有人报缺" not in (await rider.get("/st/DRUM")).text
    (report,) = await area.stores.reports.of_rider(area.town.riders.phones[PHONE], 9)
    assert "已补充" in (await rider.get(f"/reports/{report.id}")).text
    wrong = await operator.post("/ops/stations/DRUM/amenities/1", data={"state": "plenty"})
    assert wrong.status_code == 422
    assert (
        await rider.post("/ops/stations/DRUM/amenities/1", data={"state": "ok"})
    ).status_code == 401


async def test_a_fleet_without_stations_has_no_such_pages(tmp_path: Path) -> None:
    async with area_town(tmp_path) as made:
        made.town.area = None
        async with serving(made.town), made.town.client() as client:
            assert (await client.get("/stations")).status_code == 404
            assert "/st/" not in (await client.get("/c/DH-0001")).text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_composed_text_exists(language: str) -> None:
    texts = catalogue(language)
    keys = [f"amenity.{kind.value}" for kind in AmenityKind]
    keys += [f"amenity.state-{state.value}" for state in AmenityState]
    keys += [f"area.state-{state.value}" for state in SocketState]
    keys += [f"session.{name}" for name in ("asked", "on", "paused", "ended", "refused")]
    keys += [f"report.topic-{topic.value}" for topic in Topic]
    keys += [f"report.state-{name}" for name in ("open", "answered", "closed")]
    reasons = [*core.REFUSALS, "no-power", "no-session", "photo", "full", "no-load", "limit-energy"]
    reasons += ["limit-time", "stopped", "over-current", "socket-hot", "meter-lost", "meter-reset"]
    reasons += ["probe-lost", "lease-lost", "stray-power", "unsafe", "interrupted", "no-answer"]
    keys += [f"reason.{code}" for code in reasons]
    keys += [f"advice.{code}" for code in reasons if code != "alarm"]
    assert [key for key in keys if not texts.has(key)] == []


async def test_numbers_that_no_database_holds_are_refused(
    area: AreaTown, rider: AsyncClient, operator: AsyncClient
) -> None:
    huge = 10**30
    form = {"key": "key-12345678", "hours": "1"}
    assert (await rider.post(f"/p/DH-0001/{huge}", data=form)).status_code == 422
    told = await operator.post(f"/ops/stations/DRUM/amenities/{huge}", data={"state": "ok"})
    assert told.status_code == 422
    assert (place_of_row("²3.S1"), place_of_row("23.S1")) == (None, (23, "S1"))
    assert (await rider.get("/api/v1/rest-stations", params={"limit": 1})).status_code == 200
    assert (await rider.get("/api/v1/rest-stations", params={"after": "DRUM"})).json() == []
