"""Telling a partner: what its server does, or its address is, never reaches further than its notice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fleet.adapters import http_post
from fleet.adapters.http_post import post


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/told"
        finally:
            server.shutdown()
            thread.join(60)


class Listens(BaseHTTPRequestHandler):
    """Takes what it is told."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Drips(Listens):
    """Answers one header after the other, for as long as anybody listens."""

    heard_s = 0.05

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.server.over.wait(self.heard_s):  # type: ignore[attr-defined]
                self.wfile.write(b"x")
        except OSError:
            self.close_connection = True


async def test_a_partner_that_listens_is_told() -> None:
    with served(Listens) as url:
        assert await post(url, b"{}", {"Content-Type": "application/json"}) == 204


async def test_an_answer_that_never_ends_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_post, "ANSWER_S", 0.5)
    over = threading.Event()
    monkeypatch.setattr(HTTPServer, "over", over, raising=False)
    try:
        with served(Drips) as url:
            async with asyncio.timeout(60):
                assert await post(url, b"{}", {}) is None
            over.set()
    finally:
        over.set()


@pytest.mark.parametrize(
    "url",
    [
        "https://a..example/hook",  # no name has an empty part
        f"https://{'x' * 64}.example/hook",
        "http://127.0.0.1:9/höre",
        "http://127.0.0.1:99999/hook",
        "http://127.0.0.1:9/a b",
    ],
)
async def test_an_address_that_no_wire_takes_is_no_answer(url: str) -> None:
    assert await post(url, b"{}", {}) is None
