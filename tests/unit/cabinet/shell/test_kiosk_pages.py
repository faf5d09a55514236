"""The kiosk's routes: what only the page may ask, what everybody may see, and every word of it."""

from __future__ import annotations

import string
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from cabinet.core import offline
from cabinet.core.engine_model import OfflineAnswer
from cabinet.core.prompts import REST_KEYS, SWAP_KEYS
from cabinet.kiosk import KioskPrompt, KioskSlot, KioskView
from cabinet.web.app import create_app
from cabinet.web.kiosk import BODY_BYTES_MAX, HEADERS, QUESTIONS_MAX, STREAMS_MAX, KioskPages
from cabinet.web.kiosk_texts import PROMPTS, REASONS, WORDS, say, texts
from protocols.messages import Door, SlotState
from protocols.sockets import SocketState

HOME = "http://127.0.0.1:8080"
GOOD = {"number": "12345674", "code": "123456"}


class FakeKiosk:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answer: OfflineAnswer | None = OfflineAnswer("q", None, "off-1")

    def view(self) -> KioskView:
        return KioskView(
            cabinet="DH-0001",
            name="<b>鼓楼",
            boot_id="b1",
            network=False,
            codes=True,
            tickets=True,
            scanner=True,
            columns=3,
            full=1,
            empty=1,
            active=True,
            own_back=False,
            keypad_wait_s=0,
            prompt=KioskPrompt(key="put-battery", tone="act", slot=7),
            slots=(KioskSlot(slot=1, state=SlotState.READY, door=Door.CLOSED, soc_pct=100),),
        )

    async def code(self, *asked: Any) -> OfflineAnswer | None:
        self.asked.append(asked)
        return self.answer

    async def ticket(self, *asked: Any) -> OfflineAnswer | None:
        self.asked.append(asked)
        return self.answer

    def next_scan(self, wish: Any) -> None:
        self.asked.append((wish,))

    async def pause(self, delay_s: float) -> None:
        raise AssertionError(f"one look is enough here, not another in {delay_s} s")


class Site:
    """The application, asked as a browser asks it."""

    def __init__(self, page_url: str = "https://swap.example/c/DH-0001") -> None:
        self.kiosk = FakeKiosk()
        self.pages = KioskPages(self.kiosk, host="127.0.0.1", page_url=page_url)
        app = create_app(lambda: None, lambda: b"", self.pages.routes())  # type: ignore[arg-type, return-value]
        self.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=HOME)

    async def token(self) -> str:
        page = (await self.http.get("/kiosk")).text
        return page.partition('name="kiosk-token" content="')[2].partition('"')[0]

    async def post(self, path: str, body: Any, **headers: Any) -> Any:
        given: dict[str, Any] = {"Origin": HOME, "X-Kiosk-Token": await self.token(), **headers}
        sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        if isinstance(body, bytes):
            given.setdefault("Content-Type", "application/json")
        return await self.http.post(path, headers=given, **sent)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    yield made
    await made.http.aclose()


async def test_number_and_code_reach_the_cabinet(site: Site) -> None:
    answer = await site.post("/kiosk/code", GOOD)
    assert (answer.status_code, answer.json()) == (200, {"swap_id": "off-1"})
    assert site.kiosk.asked == [("12345674", "123456", "swap", "go")]
    assert (
        await site.post("/kiosk/ticket", {"text": "YZT1.x", "wish": "cancel"})
    ).status_code == 200
    assert (await site.post("/kiosk/wish", {"wish": "give-back"})).status_code == 200
    assert site.kiosk.asked[1:] == [("YZT1.x", "cancel"), ("give-back",)]


async def test_a_refusal_has_a_reason_and_how_long_it_lasts(site: Site) -> None:
    site.kiosk.answer = OfflineAnswer("q", "keypad-locked", None, 299_001)
    answer = await site.post("/kiosk/code", GOOD)
    assert (answer.status_code, answer.json()) == (409, {"reason": "keypad-locked", "wait_s": 300})
    site.kiosk.answer = None
    assert (await site.post("/kiosk/code", GOOD)).status_code == 503


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Kiosk-Token": ""}, 403),
        ({"X-Kiosk-Token": "abc.def"}, 403),
        ({"X-Kiosk-Token": "ü.é".encode()}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Host": "rebound.example", "Origin": "http://rebound.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_only_the_page_may_ask(site: Site, headers: dict[str, Any], status: int) -> None:
    for path, body in (("/kiosk/code", GOOD), ("/kiosk/ticket", {"text": "YZT1.x"}), ("/kiosk/wish", {"wish": "go"})):  # fmt: skip
        assert (await site.post(path, body, **headers)).status_code == status
    assert site.kiosk.asked == []


async def test_questions_in_a_crowd_are_turned_away(site: Site) -> None:
    site.pages._questions = QUESTIONS_MAX
    assert (await site.post("/kiosk/code", GOOD)).status_code == 429
    assert (await site.post("/kiosk/ticket", {"text": "YZT1.x"})).status_code == 429
    assert site.kiosk.asked == []
    site.pages._questions = 0
    assert (await site.post("/kiosk/code", GOOD)).status_code == 200
    assert site.pages._questions == 0


async def test_a_token_of_another_process_does_not_count(site: Site) -> None:
    other = Site()
    token = await other.token()
    await other.http.aclose()
    assert (await site.post("/kiosk/code", GOOD, **{"X-Kiosk-Token": token})).status_code == 403


async def test_a_name_from_elsewhere_gets_no_token(site: Site) -> None:
    page = await site.http.get("/kiosk", headers={"Host": "rebound.example"})
    assert page.status_code == 403
    for host in ("localhost:8080", "127.0.0.1", "[::1]:8080", "192.168.1.9"):
        assert (await site.http.get("/kiosk", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"\xff\xfe", 400),
        (b'{"number":"12345674"}', 400),
        (b'{"number":"12345674","code":"123456","open":3}', 400),
        (b'{"number":12345674,"code":"123456"}', 400),
        (b'{"number":"12345674","code":"123456","kind":"open-all"}', 400),
        (b'{"number":"12345674","code":"123456","wish":"open"}', 400),
        (b'{"number":"' + b"1" * 17 + b'","code":"123456"}', 400),
        (b" " * (BODY_BYTES_MAX + 1), 413),
        (b"[" * BODY_BYTES_MAX, 400),
    ],
)
async def test_a_form_is_read_strictly(site: Site, body: bytes, status: int) -> None:
    answer = await site.post("/kiosk/code", body)
    assert (answer.status_code, answer.json()) == (status, {"reason": "form"})
    assert site.kiosk.asked == []


async def test_a_get_asks_nothing(site: Site) -> None:
    for path in ("/kiosk/code", "/kiosk/ticket", "/kiosk/wish"):
        assert (await site.http.get(path)).status_code == 405


async def test_the_state_says_it_in_both_languages(site: Site) -> None:
    state = (await site.http.get("/kiosk/state")).json()
    assert state["prompt"]["key"] == "put-battery"
    assert state["prompt"]["say"]["en"]["text"].startswith("Put your old battery into slot 7")
    assert "7" in state["prompt"]["say"]["zh"]["text"]
    assert state["qr"] is True
    assert state["slots"][0] == {"slot": 1, "state": "ready", "door": "closed", "soc_pct": 100}


async def test_the_stream_tells_at_once_and_its_number_is_bounded(site: Site) -> None:
    stream = site.pages._stream()
    assert (await anext(stream)).startswith(b'data: {"cabinet":"DH-0001"')
    assert site.pages._streams == 1
    await stream.aclose()  # type: ignore[attr-defined]
    assert site.pages._streams == 0
    site.pages._streams = STREAMS_MAX
    assert (await site.http.get("/kiosk/events")).status_code == 503


async def test_everything_is_our_own_and_nothing_is_inline(site: Site) -> None:
    for path in ("/kiosk", "/kiosk/static/kiosk.js", "/kiosk/static/kiosk.css", "/kiosk/qr.svg", "/kiosk/texts.json"):  # fmt: skip
        answer = await site.http.get(path)
        assert answer.status_code == 200
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
    page = (await site.http.get("/kiosk")).text
    assert "<style" not in page
    assert "style=" not in page
    assert page.count("<script") == page.count('<script src="/kiosk/static/kiosk.js"') == 1
    assert "http://" not in page
    assert "https://" not in page
    assert (await site.http.get("/kiosk/static/../app.py")).status_code == 404
    assert (await site.http.get("/kiosk/static/kiosk.html")).status_code == 404


async def test_the_qr_code_needs_a_fleet() -> None:
    site = Site(page_url="")
    assert (await site.http.get("/kiosk/qr.svg")).status_code == 404
    assert (await site.http.get("/kiosk/state")).json()["qr"] is False
    await site.http.aclose()


# --- words --------------------------------------------------------------------------------------


def test_every_prompt_and_reason_has_words() -> None:
    assert set(PROMPTS) == {*SWAP_KEYS, *REST_KEYS}
    assert set(offline.REASONS) <= set(REASONS)
    assert {f"state-{state.value}" for state in SlotState} <= set(WORDS)
    assert {f"socket-{state.value}" for state in SocketState} <= set(WORDS)


def test_chinese_is_chinese_and_english_is_not() -> None:
    words = texts()
    assert words["zh"].keys() == words["en"].keys()
    for key, text in words["zh"].items():
        if key != "language":
            assert not set(text) & set(string.ascii_letters), key
            assert words["en"][key].isascii() or "…" in words["en"][key], key
    for key in PROMPTS:
        told = say(key, 12, "no-bms")
        for part in ("title", "text", "why"):
            assert not set(told["zh"][part]) & set(string.ascii_letters), key
            assert "{" not in told["zh"][part] + told["en"][part]
            assert told["en"][part].isascii()
            assert told["zh"][part]
