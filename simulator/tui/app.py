"""The terminal screen of one simulated cabinet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid
from textual.css.query import NoMatches
from textual.widgets import Footer, Input, RichLog, Static, TabbedContent, TabPane

from simulator.errors import RequestRefusedError, UnreachableError
from simulator.tui.draw import Json, Words, box, detail, event_line, foot, head, troubles
from simulator.tui.link import Link
from simulator.tui.menu import Menu
from simulator.tui.trace import ROWS_MAX, TraceList

COLUMNS: Final = 4
LOG_MAX: Final = 500
AGAIN_S: Final = 1.0
SPEEDS: Final = (1.0, 10.0, 60.0, 600.0, 3_600.0)
HEAT_C: Final = 62.0
#: The order in which the tabs are passed.
TABS: Final = ("detail", "log", "trace", "standing")
EXPORT_FILE: Final = "trace.txt"

KEYS: Final = (
    ("o", "door", "open"),
    ("i", "insert", "insert"),
    ("r", "remove", "remove"),
    ("j", "jam", "jam"),
    ("m", "mute", "mute"),
    ("h", "heat", "heat"),
    ("f", "slot_faults", "fault"),
    ("F", "faults", "faults"),
    ("s", "smoke", "smoke"),
    ("space", "freeze", "freeze"),
    ("plus", "faster", "faster"),
    ("minus", "slower", "slower"),
    ("t", "next_tab", "tab"),
    ("slash", "filter", "filter"),
    ("c", "copy", "copy"),
    ("e", "export", "export"),
    ("l", "language", "language"),
    ("q", "quit", "quit"),
)


class SlotBox(Static, can_focus=True):
    """One slot of the drawn cabinet."""

    def __init__(self, number: int) -> None:
        super().__init__(id=f"slot-{number}")
        self.number = number
        self.border_title = str(number)
        self._shown = Text()

    def show(self, slot: Json, faults: list[Json], say: Words) -> None:
        """Draw it as it is."""
        drawn = box(slot, faults, say)
        if drawn != self._shown:  # four looks a second, few of them news
            self._shown = drawn
            self.update(drawn)
        self.border_subtitle = foot(slot, say)
        self.set_class(slot["door"] == "open", "open")
        self.set_class(bool(troubles(slot, faults, say)), "trouble")
        self.set_class(slot["charging"], "charging")


class CabinetScreen(App[None]):
    """Follows the simulator at ``url``; keys are hands and mishaps at the slot with the focus."""

    CSS = """
    Screen { layout: vertical; }
    #head { height: 1; background: $primary; color: $text; padding: 0 1; text-style: bold; }
    #head.lost { background: $error; }
    #cabinet { grid-size: 4; grid-rows: 5; height: auto; }
    SlotBox { height: 5; border: round $surface-lighten-2; padding: 0 1; }
    SlotBox.charging { border: round $warning; }
    SlotBox.open { border: dashed $success; }
    SlotBox.trouble { border: round $error; }
    SlotBox:focus { border: heavy $accent; background: $boost; }
    TabbedContent { height: 1fr; min-height: 4; }
    TabPane { padding: 0 1; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(f"{arrow}", f"move('{arrow}')", show=False)
            for arrow in ("left", "right", "up", "down")
        ),
        *(Binding(key, action, text) for key, action, text in KEYS),
    ]

    def __init__(self, url: str, language: str) -> None:
        super().__init__()
        self._link = Link(url)
        self.say = Words(language)
        self.look: Json | None = None
        self._seen = 0
        self._chosen = 1

    # --- showing --------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Head, cabinet, lists, keys."""
        yield Static(id="head")
        yield Grid(id="cabinet")
        with TabbedContent(id="lists"):
            with TabPane("detail", id="detail"):
                yield Static(id="facts")
            with TabPane("log", id="log"):
                yield RichLog(id="events", max_lines=LOG_MAX)
            with TabPane("trace", id="trace"):
                yield TraceList()
            with TabPane("standing", id="standing"):
                yield Static(id="faults")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to follow."""
        self._speak()
        self.follow()

    @work(exclusive=True, group="follow")
    async def follow(self) -> None:
        """Draw every look; try again for ever when the simulator is away."""
        while True:
            try:
                async for look in self._link.follow():
                    self.look = look
                    self.query_one("#head").remove_class("lost")
                    await self._paint()
                    await self._tell_events()
                    await self._tell_trace()
            except (UnreachableError, RequestRefusedError):
                pass
            except NoMatches:  # the screen is being left
                return
            for head_line in self.query("#head").results(Static):
                head_line.add_class("lost")
                head_line.update(f"{self.say('app.lost')} {self._link.url}")
            await asyncio.sleep(AGAIN_S)

    async def _paint(self) -> None:
        if self.look is None:
            return
        state, faults = self.look["state"], self.look["faults"]
        cabinet = self.query_one("#cabinet", Grid)
        if not cabinet.children:
            await cabinet.mount_all(SlotBox(slot["slot"]) for slot in state["slots"])
            cabinet.children[0].focus()
        for slot in state["slots"]:
            self.query_one(f"#slot-{slot['slot']}", SlotBox).show(slot, faults, self.say)
        self.query_one("#head", Static).update(head(state, self.say))
        self.query_one("#facts", Static).update(detail(self.slot, self.say))
        self.query_one("#faults", Static).update(self._standing(faults))

    def _standing(self, faults: list[Json]) -> str:
        lines = [
            f"{fault['target']}: {self.say('fault.' + fault['kind'])} {fault['value']:g} · "
            f"{fault['struck']} {self.say('fault.struck')}"
            for fault in faults
        ]
        return "\n".join(lines) or self.say("fault.none")

    async def _tell_events(self) -> None:
        assert self.look is not None
        newest = self.look["state"]["event_seq"]
        if newest == self._seen:
            return
        since = self._seen if newest > self._seen else 0
        page = await self._link.ask("GET", f"/events?since={max(since, newest - LOG_MAX)}")
        log = self.query_one("#events", RichLog)
        for event in page["events"]:
            log.write(event_line(event, self.say))
        self._seen = page["next"]

    async def _tell_trace(self) -> None:
        """The frames since the last look, while somebody looks at them."""
        if self.query_one(TabbedContent).active != "trace":
            return
        frames = self.query_one(TraceList)
        asked = {"since": frames.since, "limit": ROWS_MAX, "contains": frames.query_text}
        turn = frames.turn
        page = await self._link.ask("GET", f"/trace?{urlencode(asked)}")
        if turn != frames.turn:  # the filter has changed meanwhile
            return
        if page["next"] < frames.since:
            frames.clear()
            return
        frames.since = page["next"]
        frames.add(page["frames"], self.say)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Another filter of the trace."""
        if event.input.id == "trace-filter":
            self.query_one(TraceList).clear()

    def _speak(self) -> None:
        self.query_one(TraceList).speak(self.say)
        tabs = self.query_one(TabbedContent)
        for name, key in (
            ("detail", "slot.slot"),
            ("log", "log.heading"),
            ("trace", "trace.heading"),
            ("standing", "fault.heading"),
        ):
            tabs.get_tab(name).label = self.say(key)
        for key, action, text in KEYS:
            self._bindings.key_to_bindings[key] = [Binding(key, action, self.say(f"keys.{text}"))]
        self.refresh_bindings()

    # --- the slot with the focus ----------------------------------------------------------------

    @property
    def slot(self) -> Json:
        """The chosen slot as it is."""
        assert self.look is not None
        found: Json = self.look["state"]["slots"][self._chosen - 1]
        return found

    def on_descendant_focus(self) -> None:
        """Remember the slot, also while a list has the focus."""
        if isinstance(self.focused, SlotBox):
            self._chosen = self.focused.number
            if self.look is not None:
                self.query_one("#facts", Static).update(detail(self.slot, self.say))

    def action_move(self, arrow: str) -> None:
        """To the neighbour."""
        step = {"left": -1, "right": 1, "up": -COLUMNS, "down": COLUMNS}[arrow]
        try:
            self.query_one(f"#slot-{self._chosen + step}", SlotBox).focus()
        except NoMatches:
            return

    # --- hands and mishaps ----------------------------------------------------------------------

    async def _do(self, method: str, path: str, body: Json | None = None) -> Any:
        """Ask, and say what was refused; None then."""
        try:
            return await self._link.ask(method, path, body)
        except RequestRefusedError as error:
            self.notify(f"{self.say('say.failed')} {error}", severity="error", markup=False)
        except UnreachableError:
            self.notify(self.say("app.lost"), severity="error")
        return None

    async def _at_slot(self, what: str, body: Json) -> None:
        if self.look is not None:
            await self._do("POST", f"/slots/{self._chosen}/{what}", body)

    async def action_door(self) -> None:
        """Open or shut."""
        if self.look is not None:
            action = "close" if self.slot["door"] == "open" else "open"
            await self._at_slot("door", {"action": action})

    @work
    async def action_insert(self) -> None:
        """Choose a pack and put it in."""
        if self.look is None:
            return
        packs = {pack["id"]: pack for pack in self.look["shelf"]}
        options = {
            key: f"{self.say('shelf.' + pack['fresh'])}  {pack['body']['serial'] or ''}"
            if pack["fresh"]
            else f"{key}  {pack['soc_pct']} %"
            for key, pack in packs.items()
        }
        chosen = await self.push_screen_wait(self._menu("shelf.heading", options))
        if chosen is not None:
            await self._at_slot("insert", packs[chosen]["body"])

    async def action_remove(self) -> None:
        """Take the pack out."""
        await self._at_slot("remove", {})

    async def action_jam(self) -> None:
        """Jam or free the lock."""
        if self.look is not None:
            await self._at_slot("lock", {"jammed": not self.slot["lock_jammed"]})

    async def action_mute(self) -> None:
        """Silence the pack's BMS, or let it talk."""
        pack = self.slot["pack"] if self.look else None
        silent = not (pack and pack["bms_silent"])
        await self._at_slot("pack", {"bms_silent": silent})

    async def action_heat(self) -> None:
        """Heat the pack and keep it so, or let it cool."""
        pack = self.slot["pack"] if self.look else None
        hold = not (pack and pack["hold_temp"])
        await self._at_slot("pack", {"hold_temp": hold, **({"temp_c": HEAT_C} if hold else {})})

    async def action_smoke(self) -> None:
        """Smoke, or none."""
        if self.look is not None:
            active = not self.look["state"]["inputs"]["smoke"]
            await self._do("POST", "/inputs/smoke", {"active": active})

    # --- faults ---------------------------------------------------------------------------------

    @work
    async def action_slot_faults(self) -> None:
        """Choose a fault of the chosen slot and its devices; one that stands is cleared."""
        number = f"{self._chosen:02d}"
        await self._turn_fault((f"slot-{number}", f"bms-{number}", f"charger-{number}"))

    @work
    async def action_faults(self) -> None:
        """Choose any fault; one that stands is cleared."""
        await self._turn_fault(None)

    async def _turn_fault(self, targets: Iterable[str] | None) -> None:
        kinds = await self._do("GET", "/faults/kinds")
        if kinds is None or self.look is None:
            return
        wanted = None if targets is None else set(targets)
        standing = {(fault["target"], fault["kind"]) for fault in self.look["faults"]}
        found = [
            (target, kind["kind"])
            for kind in kinds
            for target in kind["targets"]
            if wanted is None or target in wanted
        ]
        options = {
            f"{target}/{kind}": f"{'■' if (target, kind) in standing else '□'} {target}: "
            f"{self.say('fault.' + kind)}"
            for target, kind in sorted(found, key=lambda each: each not in standing)
        }
        chosen = await self.push_screen_wait(self._menu("fault.heading", options))
        if chosen is None:
            return
        target, _, kind = chosen.partition("/")
        if (target, kind) in standing:
            await self._do("DELETE", f"/faults?target={target}&kind={kind}")
        else:
            await self._do("POST", "/faults", {"target": target, "kind": kind})

    def _menu(self, title: str, options: dict[str, str]) -> Menu:
        return Menu(self.say(title), options, self.say("app.filter"))

    # --- time, lists, words ---------------------------------------------------------------------

    async def action_freeze(self) -> None:
        """Stop time, or let it run."""
        if self.look is not None:
            await self._do("POST", "/freeze", {"frozen": not self.look["state"]["frozen"]})

    async def action_faster(self) -> None:
        """The next speed up."""
        await self._change_speed(min, 1.0)

    async def action_slower(self) -> None:
        """The next speed down."""
        await self._change_speed(max, -1.0)

    async def _change_speed(self, pick: Any, sign: float) -> None:
        if self.look is None:
            return
        now = self.look["state"]["speed"]
        beyond = [speed for speed in SPEEDS if (speed - now) * sign > 0]
        if beyond:
            await self._do("POST", "/speed", {"factor": pick(beyond)})

    def action_next_tab(self) -> None:
        """The next list."""
        tabs = self.query_one(TabbedContent)
        tabs.active = TABS[(TABS.index(tabs.active) + 1) % len(TABS)]

    def action_filter(self) -> None:
        """To the trace and its filter."""
        self.query_one(TabbedContent).active = "trace"
        self.query_one("#trace-filter", Input).focus()

    def action_copy(self) -> None:
        """The bytes of the frame under the cursor, to the terminal's clipboard."""
        found = self.query_one(TraceList).hex
        if found is not None:
            self.copy_to_clipboard(found)
            self.notify(f"{self.say('say.copied')} {found}", markup=False)

    async def action_export(self) -> None:
        """All kept frames that pass the filter, as text, into a file here."""
        contains = self.query_one(TraceList).query_text
        text = await self._link.text(f"/trace/export?{urlencode({'contains': contains})}")
        path = await asyncio.to_thread(_write, text)
        self.notify(f"{self.say('trace.exported')} {path}", markup=False)

    async def action_language(self) -> None:
        """The other language."""
        self.say = Words("en" if self.say.language == "zh" else "zh")
        self._speak()
        await self._paint()

    async def on_unmount(self) -> None:
        """Leave no connection open."""
        await self._link.close()


def _write(text: str) -> Path:
    path = Path(EXPORT_FILE).resolve()
    path.write_text(text, encoding="utf-8")
    return path
