"""``[[socket]]``: the example is right, and every fault is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from cabinet.config import Channel, ConfigProblemsError, parse
from cabinet.config_example import example_config

TEXT = example_config(sockets=2)
FILE = Path("/etc/yizhan/cabinet.toml")


def test_the_example_with_sockets_is_right() -> None:
    config = parse(TEXT, FILE, {})
    assert [socket.number for socket in config.sockets] == [1, 2]
    second = config.sockets[1]
    assert (second.relay, second.meter) == (Channel("board-7", 1), "socket-meter-2")
    assert (second.probe, second.power_max_w, second.full_after_s) == ("area-climate", 500, 300)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("number = 2\nrelay", "number = 1\nrelay", "socket 1 is already used"),
        ('meter = "socket-meter-2"', 'meter = "socket-meter-1"', "is already used"),
        ('meter = "socket-meter-2"', 'meter = "socket-metre-9"', "there is no meter"),
        ('probe = "area-climate"', 'probe = "meter"', "there is no climate 'meter'"),
        ('"board-7", channel = 1', '"board-7", channel = 0', "relay 0 of 'board-7'"),
        ("power_max_w = 500", "power_max_w = 3500", "leaves nothing of breaker_w"),
        ("current_max_a = 2.5", "current_max_a = 25", "out of range"),
        ("full_after_s = 300", "full_afters = 300", "did you mean 'full_after_s'"),
    ],
)
def test_faults_are_named(old: str, new: str, told: str) -> None:
    assert old in TEXT
    place = TEXT.rindex(old)
    text = TEXT[:place] + new + TEXT[place + len(old) :]
    with pytest.raises(ConfigProblemsError, match=told):
        parse(text, FILE, {})


def test_a_meter_that_no_socket_has_is_a_second_one() -> None:
    place = TEXT.index("\n[[socket]]")
    end = TEXT.index("[inputs]")
    with pytest.raises(ConfigProblemsError, match="a cabinet has one"):
        parse(TEXT[:place] + "\n" + TEXT[end:], FILE, {})
