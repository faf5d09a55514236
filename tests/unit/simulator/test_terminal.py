"""The terminal screen, driven by Textual's pilot against a real simulator, and once inside tmux."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from textual.pilot import Pilot
from textual.widgets import Static, TabbedContent

from simulator.tui.app import CabinetScreen, SlotBox
from simulator.tui.draw import Words, bar
from simulator.tui.trace import TraceList
from tests.support.simulator import SimProcess, swapsim

WITHIN_S: Final = 60.0
PICTURES: Final = os.environ.get("YIZHAN_SCREENSHOTS")

Screen = Pilot[None]


async def until(pilot: Screen, condition: Callable[[], Any], what: str) -> Any:
    """Let the screen work until something is true."""
    async with asyncio.timeout(WITHIN_S):
        while not (found := condition()):
            await pilot.pause(0.05)
        return found
    raise AssertionError(what)


@asynccontextmanager
async def screen(
    cabinet: SimProcess, language: str = "en"
) -> AsyncIterator[tuple[CabinetScreen, Screen]]:
    app = CabinetScreen(cabinet.url, language)
    async with app.run_test(size=(100, 34)) as pilot:
        await until(pilot, lambda: len(app.query(SlotBox)) == 12, "twelve slots")
        yield app, pilot


def text_of(app: CabinetScreen, selector: str) -> str:
    return str(app.query_one(selector, Static).render())


async def test_hands_by_keys(cabinet: SimProcess, unlock: Callable[[int], None]) -> None:
    unlock(10)
    async with screen(cabinet) as (app, pilot):
        for key in ("down", "down", "right"):
            await pilot.press(key)
        assert app.focused is app.query_one("#slot-10")
        await until(pilot, lambda: app.query_one("#slot-10", SlotBox).has_class("open"), "open")
        await pilot.press("i")
        await until(pilot, lambda: len(app.screen_stack) == 2, "the menu of packs")
        await pilot.press(*"hot", "enter")
        await until(pilot, lambda: cabinet.slot(10)["pack"], "a pack in the slot")
        assert cabinet.slot(10)["pack"]["temps_c"][0] == 62.0
        await until(
            pilot, lambda: "62.0" in str(app.query_one("#slot-10").border_subtitle), "drawn hot"
        )
        await pilot.press("m")
        await until(pilot, lambda: cabinet.slot(10)["pack"]["bms_silent"], "a silent BMS")
        await pilot.press("r")
        await until(pilot, lambda: cabinet.slot(10)["pack"] is None, "the pack is out")
        await pilot.press("o")
        await until(pilot, lambda: cabinet.slot(10)["door"] == "closed", "the door is shut")
        if PICTURES:
            app.save_screenshot(str(Path(PICTURES) / "simulator-terminal.svg"))


async def test_faults_world_time_and_words(cabinet: SimProcess) -> None:
    async with screen(cabinet) as (app, pilot):
        await pilot.press("j")
        await until(pilot, lambda: "jammed" in text_of(app, "#slot-1"), "a jammed lock")
        await pilot.press("j")
        await pilot.press("right", "f")
        await until(pilot, lambda: len(app.screen_stack) == 2, "the menu of faults")
        await pilot.press(*"late", "enter")
        await until(pilot, lambda: "Late answer" in text_of(app, "#slot-2"), "the fault is drawn")
        await pilot.press("F")
        await until(pilot, lambda: len(app.screen_stack) == 2, "the menu of all faults")
        await pilot.press("enter")  # what stands is offered first
        await until(pilot, lambda: not cabinet.get("/faults")["faults"], "the fault is mended")
        await pilot.press("F", "escape", "s")
        await until(pilot, lambda: "Smoke" in text_of(app, "#head"), "smoke")
        await pilot.press("s", "plus", "space")
        await until(pilot, lambda: cabinet.state()["frozen"], "time stands")
        await until(pilot, lambda: cabinet.state()["speed"] == 10, "ten times faster")
        # The next keys go by what the screen shows.
        await until(pilot, lambda: app.look["state"]["frozen"], "it shows that time stands")
        await until(pilot, lambda: app.look["state"]["speed"] == 10, "it shows the speed")
        await pilot.press("minus", "space")
        await until(pilot, lambda: cabinet.state()["speed"] == 1, "real time")
        await pilot.press("l")
        await until(pilot, lambda: app.say.language == "zh", "Chinese")
        await pilot.press("t")
        assert app.query_one(TabbedContent).active == "log"


async def test_the_trace_is_filtered_copied_and_exported(
    cabinet: SimProcess,
    unlock: Callable[[int], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    unlock(9)
    async with screen(cabinet) as (app, pilot):
        await pilot.press("slash")
        trace = app.query_one(TraceList)
        await pilot.press("0", "2", "space", "0", "5")
        await until(pilot, lambda: trace.hex is not None, "frames of board 2")
        app.query_one("#frames").focus()
        await pilot.press("c", "e")
        assert (trace.hex or "").startswith("02 05 02 00")
        assert app.clipboard == trace.hex
        await until(pilot, (tmp_path / "trace.txt").exists, "the exported trace")
        assert "board-2" in (tmp_path / "trace.txt").read_text(encoding="utf-8")
    cabinet.post("/slots/9/door", action="close")


async def test_a_refusal_is_said(cabinet: SimProcess) -> None:
    async with screen(cabinet) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: app._notifications, "a notice")
        assert "door is shut" in next(iter(app._notifications)).message


async def test_a_simulator_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    lost = SimProcess.start(tmp_path / "run")
    async with screen(lost) as (app, pilot):
        await asyncio.to_thread(lost.stop)
        await until(pilot, lambda: app.query_one("#head").has_class("lost"), "it says so")
        again = await asyncio.to_thread(
            SimProcess.start, tmp_path / "run", "--http", app._link.url.rpartition(":")[2]
        )
        await until(pilot, lambda: not app.query_one("#head").has_class("lost"), "it is back")
        await asyncio.to_thread(again.stop)


def test_bars_and_missing_words() -> None:
    assert (bar(0), bar(100), bar(50, 4)) == ("░" * 9, "█" * 9, "██░░")
    assert Words("en")("fault.of-tomorrow") == "of-tomorrow"


def test_nobody_answers() -> None:
    found = swapsim("tui", "--url", "http://127.0.0.1:9")
    assert found.returncode == 3
    assert "no simulator answers" in found.stderr
    assert swapsim("tui", "--lang", "fr").returncode == 2


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_in_a_real_terminal(cabinet: SimProcess, tmp_path: Path) -> None:
    name = f"yz-{uuid.uuid4().hex[:8]}"
    tmux = ("tmux", "-u", "-L", name, "-f", "/dev/null")
    start = "from simulator.main import app; app()"
    program = f"{sys.executable} -c '{start}' tui --url {cabinet.url} --lang en"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LANG": "C.UTF-8"}

    def seen() -> str:
        shown = subprocess.run(
            (*tmux, "capture-pane", "-p"), capture_output=True, text=True, check=False
        )
        return shown.stdout

    def wait(text: str) -> None:
        deadline = time.perf_counter() + WITHIN_S
        while text not in seen():
            assert time.perf_counter() < deadline, f"no {text!r} in:\n{seen()}"
            time.sleep(0.1)

    subprocess.run(
        (*tmux, "new-session", "-d", "-x", "80", "-y", "24", program), check=True, env=env
    )
    try:
        wait("YZ48-000009")
        subprocess.run((*tmux, "send-keys", "j"), check=True)
        wait("jammed")
        subprocess.run((*tmux, "send-keys", "j"), check=True)
        (tmp_path / "screen.txt").write_text(seen(), encoding="utf-8")
        subprocess.run((*tmux, "send-keys", "q"), check=True)
        deadline = time.perf_counter() + WITHIN_S
        while (
            subprocess.run((*tmux, "has-session"), capture_output=True, check=False).returncode == 0
        ):
            assert time.perf_counter() < deadline, "it does not leave"
            time.sleep(0.1)
    finally:
        subprocess.run((*tmux, "kill-server"), capture_output=True, check=False)
