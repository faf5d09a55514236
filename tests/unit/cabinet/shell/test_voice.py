"""What the cabinet says, and how it plays it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cabinet.adapters.voice import VoiceFiles
from cabinet.main import app
from cabinet.prompts_command import lines, say
from cabinet.runtime.indicator import LAMPS, RelayIndicator, SlotLamps
from cabinet.runtime.wires_keeper import Keeper
from cabinet.voice_texts import FALLBACK, SPOKEN, file_name
from cabinet.web.kiosk_texts import REASONS

CORE = Path("cabinet/core")
WITHIN_S = 60.0


def test_every_prompt_of_the_swap_has_words() -> None:
    source = "".join(path.read_text() for path in CORE.glob("swap_*.py"))
    said = set(re.findall(r'Prompt\(\w+, "\w+", "([a-z-]+)"', source))
    said |= set(re.findall(r'prompt = "([a-z-]+)" if \w+ else "([a-z-]+)"', source)[0])
    said |= {"reseat-battery", "done", "cancelled"}
    assert said <= SPOKEN.keys() | REASONS.keys()
    assert said >= SPOKEN.keys(), "words for what is never said"


def test_every_sentence_is_whole_in_both_languages() -> None:
    told = list(lines(12))
    names = {(line.language, line.name) for line in told}
    assert len(names) == len(told)
    assert {language for language, _ in names} == {"zh", "en"}
    for line in told:
        assert line.text.endswith(("。", ".", "？", "?", "！", "!")), line
        assert "{" not in line.text
    assert ("zh", "take-battery-07") in names
    assert ("en", "foreign-pack") in names
    assert say("take-battery", 7, "zh") == "请从7号仓取走满电电池并关门。"
    assert say("bad-code", None, "en") == REASONS["bad-code"][1]
    assert say("no-such-reason", 3, "en") == FALLBACK[1]
    assert file_name("done", 3) == "done"


def test_prompts_are_listed_and_written(tmp_path: Path) -> None:
    runner = CliRunner()
    told = json.loads(runner.invoke(app, ["prompts", "--json", "--slots", "2"]).stdout)
    assert {"name": "close-door-02", "language": "en", "text": "Please shut door 2."} in told
    assert runner.invoke(app, ["prompts", "--dir", str(tmp_path)]).exit_code == 0
    assert (tmp_path / "zh" / "close-door-12.txt").read_text() == "请关上12号仓门。\n"


@contextlib.asynccontextmanager
async def speaking(folder: Path, player: str) -> AsyncIterator[VoiceFiles]:
    voice = VoiceFiles(folder, "zh", player)
    task = asyncio.create_task(voice.run())
    try:
        yield voice
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: object, what: str) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_the_newest_prompt_is_played_next(tmp_path: Path) -> None:
    (tmp_path / "zh").mkdir()
    for name in ("close-door-01", "close-door-02", "close-door-03", "done"):
        (tmp_path / "zh" / f"{name}.wav").touch()
    heard, gate = tmp_path / "heard", tmp_path / "gate"
    player = tmp_path / "player"
    player.write_text(
        f'#!/bin/sh\necho "$(basename "$1")" >> {heard}\n'
        f"while [ ! -e {gate} ]; do sleep 0.01; done\n"
    )
    player.chmod(0o755)
    async with speaking(tmp_path, str(player)) as voice:
        voice.say("close-door", 1)
        await until(heard.exists, "the first")
        voice.say("close-door", 2)  # replaced before its turn
        voice.say("close-door", 3)
        gate.touch()
        await until(lambda: len(heard.read_text().split()) == 2, "the next")
        voice.say("no-such-reason", 1)  # no recording: silence, and it goes on
        await asyncio.sleep(0)
        voice.say("done", 3)
        await until(lambda: "done" in heard.read_text(), "the last")
    assert heard.read_text().split() == ["close-door-01.wav", "close-door-03.wav", "done.wav"]


async def test_a_missing_player_or_recording_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "zh").mkdir()
    (tmp_path / "zh" / "done.wav").touch()
    async with speaking(tmp_path, str(tmp_path / "nobody")) as voice:
        for _ in range(2):
            voice.say("done", None)
            await until(lambda: "cannot run" in caplog.text, "a word about the player")
        voice.say("cancelled", None)
        await until(lambda: "no recording" in caplog.text, "a word about the recording")
    assert caplog.text.count("cannot run") == 1


def keeper() -> Keeper[bool]:
    async def apply(on: bool) -> None:
        """Nobody runs it."""

    return Keeper("lamp", apply, lambda _: None)


def test_each_light_has_its_lamps(caplog: pytest.LogCaptureFixture) -> None:
    green, red = keeper(), keeper()
    lights = RelayIndicator({1: SlotLamps(green, red), 2: SlotLamps()})
    for light, (is_green, is_red) in LAMPS.items():
        lights.show(1, light)
        assert (green.goal, red.goal) == (is_green, is_red)
        lights.show(2, light)
        lights.show(3, light)
    assert not caplog.text
    lights.show(1, "purple")
    assert (green.goal, red.goal) == (False, False)
    assert "purple" in caplog.text
