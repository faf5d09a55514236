"""What contacts and readings mean, and what of them is news."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from msgspec.structs import replace as changed

from cabinet.config import parse
from cabinet.config_example import example_config
from cabinet.core.model import BmsReading, ChargerReading, Input
from cabinet.runtime.wires_picture import Picture
from protocols.messages import Door, Presence

CONFIG = parse(example_config(), Path("cabinet.toml"), {})
CLOSED = (True,) * 8
READING = BmsReading(
    at_ms=0, serial="A", soc_pct=50, voltage_v=50, current_a=0, cell_v=(3.8,), temps_c=(25.0,)
)


def but(levels: tuple[bool, ...], *channels: int) -> tuple[bool, ...]:
    return tuple(level != (n in channels) for n, level in enumerate(levels))


def test_doors_presence_and_inputs_by_level() -> None:
    picture = Picture(CONFIG)
    moves = picture.contacts("board-1", but(CLOSED, 2), 1_000)
    assert moves.news
    assert moves.opened == {3}
    assert moves.closed == {1, 2, 4, 5, 6, 7, 8}
    picture.contacts("board-2", but(CLOSED, 4), 1_010)
    moves = picture.contacts("board-3", but(CLOSED, 0), 1_020)
    assert moves.removed == {1}
    assert moves.inserted == set(range(2, 9))
    image = picture.image()
    assert image.slot(3).door is Door.OPEN
    assert image.slot(9).door is Door.CLOSED
    assert image.slot(9).door_at_ms == 1_010
    assert image.slot(1).presence is Presence.ABSENT
    assert image.slot(12).presence is Presence.UNKNOWN
    assert image.inputs[Input.SMOKE].active, "an open loop is an alarm"
    assert not image.inputs[Input.ESTOP].active


def test_only_changes_and_returns_from_silence_are_news() -> None:
    picture = Picture(CONFIG)
    assert picture.contacts("board-2", CLOSED, 1_000).news
    moves = picture.contacts("board-2", CLOSED, 1_200)
    assert not moves.news
    assert not moves.closed
    assert picture.contacts("board-2", CLOSED, 2_300).news, "the door was unknown meanwhile"
    assert picture.contacts("board-2", but(CLOSED, 4), 2_400).news
    assert picture.contacts("board-2", but(CLOSED, 3), 2_500).opened == {12}


def test_an_inverted_channel() -> None:
    slot = CONFIG.slots[0]
    config = replace(
        CONFIG,
        slots=(replace(slot, door=replace(slot.door, invert=True)), *CONFIG.slots[1:]),
    )
    picture = Picture(config)
    picture.contacts("board-1", CLOSED, 0)
    assert picture.slot(1).door is Door.OPEN
    assert picture.slot(2).door is Door.CLOSED


def test_news_of_a_pack() -> None:
    picture = Picture(CONFIG)
    assert picture.bms(1, READING)
    assert not picture.bms(1, changed(READING, at_ms=1_000, voltage_v=51.0))
    assert picture.bms(1, changed(READING, at_ms=2_000, serial="B"))
    assert picture.bms(1, changed(READING, at_ms=9_000, serial="B")), "it was silent"
    assert picture.bms(1, changed(READING, at_ms=9_100, serial="B", temps_c=(27.0,)))
    assert picture.bms(1, None)
    assert picture.image().slot(1).bms is None
    assert not picture.bms(1, None)


def test_news_of_a_charger() -> None:
    picture = Picture(CONFIG)
    reading = ChargerReading(0, True, 54.6, 3.0, 50.0, 3.0, 150.0, 25.0)
    assert picture.charger(1, reading)
    assert not picture.charger(1, changed(reading, at_ms=1_000, voltage_v=51.0))
    assert picture.charger(1, changed(reading, at_ms=1_100, output_on=False))
    assert picture.charger(1, changed(reading, at_ms=1_200, output_on=False, air_temp_c=30.0))


def test_an_image_never_changes() -> None:
    picture = Picture(CONFIG)
    picture.contacts("board-2", CLOSED, 1_000)
    before = picture.image()
    assert picture.image() is before
    picture.contacts("board-2", but(CLOSED, 4, 0), 1_100)
    picture.offline(frozenset({"meter"}))
    assert before.slot(9).door is Door.CLOSED
    assert not before.inputs[Input.SMOKE].active
    assert before.devices_offline == frozenset()
    assert picture.image().devices_offline == {"meter"}
