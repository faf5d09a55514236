"""Whatever is typed and shown in whatever order, over restarts and jumps: one code, one swap."""

from __future__ import annotations

import base64
import json
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cabinet.core.engine_model import Input, OfflineCode, OfflineTicket, Outcome
from cabinet.core.swap_model import is_active
from protocols.messages import Door
from protocols.offline import TICKET_PREFIX, Ticket, step_of, ticket_text
from tests.support.offline_rig import ANN, BOB, STEP_MS, OfflineRig, code_of, stocked

DAY_MS = 24 * 3_600_000

numbers = st.sampled_from([ANN, BOB])
wishes = st.sampled_from(["go", "go", "cancel"])
#: How a decision ends: as it should, or the power goes before or after it is on the disk.
ends = st.sampled_from(["well", "well", "well", "before-commit", "after-commit"])
jumps = st.sampled_from([0, -STEP_MS, STEP_MS, -DAY_MS, DAY_MS, -30 * DAY_MS, 400 * DAY_MS])
acts = st.one_of(
    st.tuples(st.just("code"), numbers, st.sampled_from([-1, 0, 0, 0, 1]), wishes, ends),
    st.tuples(st.just("again"), st.integers(0, 50), wishes, ends),
    st.tuples(st.just("wrong"), numbers, ends),
    st.tuples(st.just("ticket"), numbers, wishes, ends),
    st.tuples(st.just("again-ticket"), st.integers(0, 50), wishes, ends),
    st.tuples(st.just("jump"), jumps),
    st.tuples(st.just("wait"), st.sampled_from([STEP_MS, 6 * 60_000])),
    st.tuples(st.just("ride")),
    st.tuples(st.just("restart")),
)


class World:
    """One cabinet, and every code and ticket that was ever made."""

    def __init__(self) -> None:
        self.rig: OfflineRig = stocked(8, 4)
        self.rig.ready()
        self.codes: list[tuple[str, int]] = []  # number and step
        self.tickets: list[Ticket] = []
        self.begun: dict[object, set[str]] = {}  # code or ticket to the swaps it began
        self.packs = 0

    def reserved(self) -> set[str]:
        return {b.swap_id for b in self.rig.bodies("swap.step") if b.step.value == "reserved"}

    def ask(self, key: object, event: Input, end: str) -> None:
        before = self.reserved()
        if end == "well":
            self.rig.feed(event)
        else:
            outcome = self.rig.engine.step(self.rig.state, event, self.rig.now)
            if end == "after-commit":
                self.rig._commit(outcome)
                self._pulse(outcome)
            self.rig.boot()
            self.rig.run(1_000)
        self.begun.setdefault(key, set()).update(self.reserved() - before)

    def _pulse(self, outcome: Outcome) -> None:
        """The pulse went out; nobody lives to hear of it."""
        for effect in outcome.effects:
            if type(effect).__name__ == "Unlock":
                self.rig.holes[effect.slot].door = Door.OPEN  # type: ignore[union-attr]

    def code(self, number: str, step: int, wish: Any, end: str) -> None:
        text = code_of(number, step * STEP_MS)
        self.ask((number, step), OfflineCode("q", number, text, wish=wish), end)

    def ticket(self, ticket: Ticket, wish: Any, end: str) -> None:
        self.ask(ticket.id, OfflineTicket("q", ticket_text(ticket), wish), end)

    def do(self, act: tuple[Any, ...]) -> None:
        rig = self.rig
        match act:
            case ("code", number, shift, wish, end):
                self.codes.append((number, step_of(rig.wall_ms) + shift))
                self.code(*self.codes[-1], wish, end)
            case ("again", n, wish, end) if self.codes:
                self.code(*self.codes[n % len(self.codes)], wish, end)
            case ("wrong", number, end):
                self.ask(None, OfflineCode("q", number, rig.wrong(number)), end)
            case ("ticket", number, wish, end):
                self.tickets.append(rig.ticket(f"T-{len(self.tickets)}", number))
                self.ticket(self.tickets[-1], wish, end)
            case ("again-ticket", n, wish, end) if self.tickets:
                self.ticket(self.tickets[n % len(self.tickets)], wish, end)
            case ("jump", jump_ms):
                rig.jump_ms = jump_ms
            case ("wait", ms):
                rig.run(ms, 2_000)
            case ("ride",):
                self.ride()
            case ("restart",):
                rig.boot()
                rig.run(1_000)

    def ride(self) -> None:
        """Finish what is open, as a rider would."""
        for _ in range(8):
            self.rig.run(500)
            open_now = [n for n, hole in self.rig.holes.items() if hole.door is Door.OPEN]
            if not is_active(self.rig.state.durable.swap) and not open_now:
                break
            for n in open_now:
                if self.rig.holes[n].serial is None:
                    self.packs += 1
                    self.rig.put(n, f"OLD-{self.packs}", 100)
                else:
                    self.rig.take(n)
                self.rig.run(200)
                self.rig.shut(n)
        self.rig.run(3_000)


@given(st.lists(acts, max_size=25))
@settings(max_examples=60, deadline=None)
def test_one_code_or_ticket_begins_at_most_one_swap(script: list[tuple[Any, ...]]) -> None:
    world = World()
    for act in script:
        world.do(act)
    assert world.begun.get(None, set()) == set(), "a wrong code begins nothing"
    for key, swaps in world.begun.items():
        assert len(swaps) <= 1, key
        if isinstance(key, str):
            assert swaps <= {key}
    told = Counter(b.swap_id for b in world.rig.bodies("swap.step") if b.step.value == "reserved")
    assert all(count == 1 for count in told.values())
    ended = Counter(
        (used_day(world, b), b.rider_id.removeprefix("no.").removeprefix("R"))
        for b in world.rig.bodies("swap.step")
        if b.step.value == "completed"
    )
    assert all(count <= 2 for count in ended.values())


def used_day(world: World, body: Any) -> int:
    """The day on which a swap was begun, by the clock that the cabinet had then."""
    return next(
        e.wall_ms // DAY_MS
        for e, b in zip(world.rig.events("swap.step"), world.rig.bodies("swap.step"), strict=True)
        if b.swap_id == body.swap_id
    )


RUBBISH = st.one_of(
    st.text(max_size=40),
    st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")),
    st.binary(max_size=200).map(lambda raw: TICKET_PREFIX + base64.urlsafe_b64encode(raw).decode()),
    st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5).map(
        lambda body: TICKET_PREFIX + base64.urlsafe_b64encode(json.dumps(body).encode()).decode()
    ),
)


@given(number=RUBBISH, code=RUBBISH, text=RUBBISH)
def test_no_rubbish_stops_the_engine_or_opens_a_door(number: str, code: str, text: str) -> None:
    rig = OfflineRig()
    rig.ready()
    rig.feed(OfflineCode("q", number, code))
    rig.feed(OfflineCode("q", ANN, code))
    rig.feed(OfflineTicket("q", text))
    assert all(answer.reason is not None for answer in rig.answers)
    assert len(rig.answers) == 3
    assert not rig.opened()
