"""The trace as pages and as JSON: filtered, bounded, and nothing from a wire gets into the markup."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from cabinet.web.trace import LIMIT_MAX, TracePages
from protocols.trace import Direction, Ring


@pytest.fixture
def client() -> TestClient:
    ring = Ring()
    for n in range(5):
        ring.add("bus-a", Direction.OUT, bytes([n]), wall_ms=1_000 * n, mono_ms=n)
        ring.add("slot-03", Direction.IN, b"\xdd", wall_ms=1_000 * n, mono_ms=n, stray=True)
    pages = TracePages(ring, lambda frame: f"<b>{frame.line}</b>")
    return TestClient(Starlette(routes=pages.routes()))


def test_as_json(client: TestClient) -> None:
    page = client.get("/trace.json?line=bus-a&limit=2").json()
    assert (page["first"], page["next"]) == (1, 10)
    assert [frame["hex"] for frame in page["frames"]] == ["03", "04"]
    assert client.get("/trace.json?since=10").json()["frames"] == []
    (last,) = client.get("/trace.json?since=8&direction=in").json()["frames"]
    assert (last["stray"], last["direction"], last["line"]) == (True, "in", "slot-03")
    assert len(client.get("/trace.json?contains=DD").json()["frames"]) == 5


def test_as_text(client: TestClient) -> None:
    assert client.get("/trace.txt?line=bus-a&limit=1").text == (
        "00:00:04.000 bus-a        > 04  <b>bus-a</b>\n"
    )


@pytest.mark.parametrize("language", ["zh", "en"])
def test_as_a_page(client: TestClient, language: str) -> None:
    page = client.get(f"/trace?lang={language}&contains=%22%3E%3Cscript%3E").text
    assert "<script>" not in page
    page = client.get(f"/trace?lang={language}").text
    assert "&lt;b&gt;bus-a&lt;/b&gt;" in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("since=-1", "since '-1': expected a number"),
        ("since=x", "since 'x'"),
        (f"limit={LIMIT_MAX + 1}", f"from 1 to {LIMIT_MAX}"),
        ("limit=0", "limit '0'"),
        ("limit=" + "9" * 5_000, "limit"),
        ("direction=up", "expected out or in"),
        ("contains=" + "a" * 101, "at most 100"),
    ],
)
def test_wrong_queries_are_told_what_is_wrong(client: TestClient, query: str, words: str) -> None:
    for path in ("/trace", "/trace.json", "/trace.txt"):
        reply = client.get(f"{path}?{query}")
        assert reply.status_code == 422
        assert words in reply.text
