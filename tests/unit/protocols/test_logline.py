"""A line of a structured log: its ids, its bounds, and no secret in it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.logline import FIELDS, MASK, MESSAGE_CHARS_MAX, TRACE_CHARS_MAX, line, mask


def test_a_line_names_what_it_is_about() -> None:
    fields = {"cabinet": "DH-0001", "swap": "01J", "slot": 3, "command": None, "args": ("x",)}
    text = line(
        at_s=1_790_000_000.5, level="WARNING", logger="fleet.x", message="a\nb", fields=fields
    )
    assert json.loads(text) == {
        "time": "2026-09-21T14:13:20.500Z",
        "level": "warning",
        "logger": "fleet.x",
        "message": "a\nb",
        "cabinet": "DH-0001",
        "swap": "01J",
        "slot": 3,
    }
    assert "\n" not in text


SECRETS = [
    ("store: postgresql://fleetd:hunter2@db/fleet is away", "hunter2"),
    ("store: postgresql+asyncpg://fleetd:p%40ss@db:5432/fleet", "p%40ss"),
    ("GET /ops/login?token=abcDEF123 failed", "abcDEF123"),
    ('{"password": "hunter2"}', "hunter2"),
    ("code=482913, try again", "482913"),
    ("Authorization: Bearer swp_live_0123456789abcdef", "swp_live_0123456789abcdef"),
    ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----", "MHcCAQ"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_is_masked(text: str, secret: str) -> None:
    assert secret not in mask(text)
    assert MASK in mask(text)
    written = line(at_s=0, level="info", logger="x", message=text, fields={}, trace=text)
    assert secret not in written


@pytest.mark.parametrize(
    "text",
    [
        "command 01J open at DH-0001: done",
        "cabinet DH-0001: https://swap.example.cn:8443/enrol does not answer",
        "fleetd ended with code 3",
        "broker 127.0.0.1:8883: connected",
    ],
)
def test_an_ordinary_line_stays_as_it_is(text: str) -> None:
    assert mask(text) == text


@given(st.text(), st.dictionaries(st.sampled_from(FIELDS), st.text() | st.integers(0, 64)))
def test_any_line_is_one_object(message: str, fields: dict[str, object]) -> None:
    text = line(at_s=0, level="info", logger="x", message=message, fields=fields)
    assert len(text.splitlines()) <= 1 or "\n" not in text
    assert json.loads(text).items() >= fields.items()


def test_a_long_line_is_cut_and_a_long_trace_keeps_its_end() -> None:
    told = json.loads(
        line(
            at_s=0, level="x", logger="x", message="m" * 99_999, fields={}, trace="t" * 99_999 + "!"
        )
    )
    assert len(told["message"]) == MESSAGE_CHARS_MAX
    assert len(told["trace"]) == TRACE_CHARS_MAX
    assert told["trace"].endswith("!")
