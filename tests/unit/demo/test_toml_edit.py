from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.errors import DemoError
from deploy.demo.toml_edit import literal, with_values

TEXT = """\
# A cabinet.
[cabinet]
id = "DH-0001"  # as on the label
# data_dir = "/var/lib/yizhan"

[fleet]
url = "mqtt://old:1"

[[bus]]
name = "bus-a"
"""


def test_replaces_uncomments_adds_and_appends() -> None:
    text = with_values(
        TEXT,
        {
            "cabinet": {"id": "DH-0002", "data_dir": "/tmp/x", "slots": 12},
            "fleet": {"url": "mqtt://new:2"},
            "web": {"port": 8080, "open": True},
        },
    )
    assert tomllib.loads(text) == {
        "cabinet": {"id": "DH-0002", "data_dir": "/tmp/x", "slots": 12},
        "fleet": {"url": "mqtt://new:2"},
        "bus": [{"name": "bus-a"}],
        "web": {"port": 8080, "open": True},
    }
    assert text.startswith("# A cabinet.\n")


def test_an_active_line_wins_over_a_commented_one() -> None:
    text = with_values("[a]\n# x = 1\nx = 2\n", {"a": {"x": 3}})
    assert text == "[a]\n# x = 1\nx = 3\n"


def test_a_section_that_stands_twice_is_refused() -> None:
    with pytest.raises(DemoError, match=r"\[a\] stands twice"):
        with_values("[a]\n[a]\n", {"a": {"x": 1}})


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f")))
def test_a_string_comes_back_as_it_was(value: str) -> None:
    assert tomllib.loads(f"x = {literal(value)}") == {"x": value}
