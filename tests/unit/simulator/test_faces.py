"""What the faces share: words, the guard against foreign pages, the stream, the packs within reach."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from simulator.models.faults import FaultKind
from simulator.models.truth import Kind
from simulator.models.wiring import Alarm, Output
from simulator.texts import LANGUAGES, language_of, texts
from tests.support.simulator import SimProcess


def test_both_languages_have_every_word() -> None:
    words = {language: set(texts(language)) for language in LANGUAGES}
    assert words["zh"] == words["en"]
    needed = {f"log.{kind}" for kind in Kind} | {f"fault.{kind}" for kind in FaultKind}
    needed |= {f"world.{name}" for name in (*Alarm, *Output)}
    assert needed - words["en"] == set(), "add them to simulator/locales/en.toml and zh.toml"
    assert all(text.strip() for language in LANGUAGES for text in texts(language).values())


@pytest.mark.parametrize(
    ("asked", "spoken"), [("zh_CN.UTF-8", "zh"), ("zh", "zh"), ("en_GB.UTF-8", "en"), ("", "en")]
)
def test_the_terminals_language(asked: str, spoken: str) -> None:
    assert language_of(asked) == spoken


def ask(cabinet: SimProcess, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    parts = urlsplit(cabinet.url)
    link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    link.request(method, path, "{}", {"Content-Type": "application/json", **headers})
    reply = link.getresponse()
    found = reply.status, reply.read().decode()
    link.close()
    return found


OWN = "the cabinet's own address"


@pytest.mark.parametrize(
    ("method", "headers", "allowed"),
    [
        ("GET", {}, True),
        ("GET", {"Host": "localhost:8090"}, True),
        ("GET", {"Host": "[::1]:8090"}, True),
        ("GET", {"Host": "swap.example"}, False),
        ("GET", {"Host": ""}, False),
        ("GET", {"Sec-Fetch-Site": "cross-site"}, True),
        ("DELETE", {}, True),
        ("DELETE", {"Sec-Fetch-Site": "same-origin"}, True),
        ("DELETE", {"Sec-Fetch-Site": "cross-site"}, False),
        ("DELETE", {"Sec-Fetch-Site": "same-site"}, False),
        ("DELETE", {"Origin": OWN}, True),
        ("DELETE", {"Origin": "https://swap.example"}, False),
        ("DELETE", {"Origin": "null"}, False),
    ],
)
def test_foreign_pages_get_nothing_done(
    cabinet: SimProcess, method: str, headers: dict[str, str], allowed: bool
) -> None:
    own = {key: cabinet.url if text is OWN else text for key, text in headers.items()}
    status, body = ask(cabinet, method, "/faults", own)
    assert status == (200 if allowed else 403), body


def looks(cabinet: SimProcess, count: int) -> list[dict[str, Any]]:
    parts = urlsplit(cabinet.url)
    link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    link.request("GET", "/stream")
    reply = link.getresponse()
    found: list[dict[str, Any]] = []
    while len(found) < count:
        line = reply.readline()
        if line.startswith(b"data: "):
            found.append(json.loads(line[6:]))
    link.close()
    return found


def test_the_stream_tells_state_faults_and_shelf(
    cabinet: SimProcess, unlock: Callable[[int], None]
) -> None:
    cabinet.post("/faults", target="meter", kind="crc")
    first, second = looks(cabinet, 2)
    assert first["state"]["cabinet_id"] == "DH-0001"
    assert second["state"]["sim_ms"] > first["state"]["sim_ms"]
    assert [fault["target"] for fault in first["faults"]] == ["meter"]
    unlock(2)
    cabinet.post("/slots/2/remove")
    shelf = looks(cabinet, 2)[1]["shelf"]  # the first look may be a moment old
    assert shelf[-1]["body"]["serial"] == "YZ48-000002"
    assert {pack["fresh"] for pack in shelf[:-1]} >= {"low", "foreign", "nameless"}
    for pack in shelf:  # each goes in as it is offered
        cabinet.post("/slots/2/insert", **pack["body"])
        cabinet.post("/slots/2/remove")


def test_streams_are_bounded(cabinet: SimProcess) -> None:
    parts = urlsplit(cabinet.url)
    links = []
    for _ in range(17):
        link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        link.request("GET", "/stream")
        reply = link.getresponse()
        links.append((link, reply))
        if reply.status == 200:
            reply.readline()
    assert [reply.status for _, reply in links] == [200] * 16 + [503]
    for link, _ in links:
        link.close()


def test_a_page_file_that_is_not_there(cabinet: SimProcess) -> None:
    assert ask(cabinet, "GET", "/ui/..%2fpages.py", {})[0] == 404
    status, body = ask(cabinet, "GET", "/ui/none.js", {})
    assert (status, "no such file" in body) == (404, True)
