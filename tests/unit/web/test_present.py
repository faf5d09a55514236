"""What a rider sees and may do, row by row."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.core.views import CabinetView, MovementView, RiderView, SwapView
from fleet.web.drawing import draw, is_live
from fleet.web.i18n import LANGUAGES, catalogue
from fleet.web.present import choices, swap_page
from protocols.messages import STEP_RANK, TERMINAL_STEPS, Kind, SlotState, Step
from tests.support.fleet_fakes import cabinet, slot

EN = catalogue("en")
RIDER = "R000000000001"
GIVEN = MovementView(
    id=1, serial="OLD", from_holder=f"rider:{RIDER}", to_holder="slot:DH-0001:10", at_ms=1
)
TAKEN = MovementView(
    id=2, serial="NEW", from_holder="slot:DH-0001:2", to_holder=f"rider:{RIDER}", at_ms=2
)


def swap(step: Step | None, **values: Any) -> SwapView:
    given_values: dict[str, Any] = {
        "id": "01JD",
        "cabinet_id": "DH-0001",
        "rider_id": RIDER,
        "kind": Kind.SWAP,
        "step": step,
        "rank": STEP_RANK[step] if step else 0,
        "done": step in TERMINAL_STEPS,
        "slot_in": 10,
        "slot_out": 2,
        "created_ms": 1_000_000,
        "updated_ms": 1_000_000,
    }
    return SwapView(**(given_values | values))


@pytest.mark.parametrize(
    ("step", "shown", "doable"),
    [
        (None, (None, "wait", None), (False, True)),
        (Step.RESERVED, (None, "wait", None), (False, True)),
        (Step.OPENING_RETURN, (10, "wait", None), (True, True)),
        (Step.AWAIT_RETURN, (10, "act", 115), (True, True)),
        (Step.VERIFYING, (10, "wait", None), (False, False)),
        (Step.GIVING_BACK, (10, "act", 115), (True, False)),
        (Step.OPENING_PICKUP, (2, "wait", None), (True, False)),
        (Step.AWAIT_PICKUP, (2, "act", 115), (True, False)),
        (Step.AWAIT_CLOSE, (2, "act", 55), (False, False)),
        (Step.COMPLETED, (None, "done", None), (False, False)),
        (Step.REJECTED, (None, "bad", None), (False, False)),
        (Step.CANCELLED, (None, "bad", None), (False, False)),
        (Step.FAULTED, (None, "bad", None), (False, False)),
    ],
)
def test_every_step(
    step: Step | None, shown: tuple[int | None, str, int | None], doable: tuple[bool, bool]
) -> None:
    page = swap_page(swap(step), EN, 1_005_000)
    assert (page.slot, page.mood, page.left_s) == shown
    assert (page.can_reopen, page.can_cancel) == doable
    assert page.say


@pytest.mark.parametrize(
    ("step", "detail", "reason", "slot_shown", "title"),
    [
        (Step.VERIFYING, "opening-return", "reseat", 10, "Battery not recognised"),
        (Step.VERIFYING, "await-return", None, 10, "Put your old battery into slot\u00a010"),
        (Step.AWAIT_PICKUP, "opening-pickup", "resumed", 2, "Door 2 is opening"),
        (Step.VERIFYING, "wrong-slot 10->11", None, 10, "Checking your battery"),
        (Step.COMPLETED, "await-close", None, None, "Swap complete"),
    ],
)
def test_a_step_that_is_told_as_detail(
    step: Step, detail: str, reason: str | None, slot_shown: int | None, title: str
) -> None:
    page = swap_page(swap(step, detail=detail, reason=reason), EN, 1_000_000)
    assert (page.slot, page.title) == (slot_shown, title)


@pytest.mark.parametrize(
    ("kind", "movements", "held"),
    [
        (Kind.SWAP, (), "kept"),
        (Kind.SWAP, (GIVEN,), "owed"),
        (Kind.SWAP, (GIVEN, TAKEN), "full"),
        (Kind.PICKUP, (), "nothing"),
        (Kind.PICKUP, (TAKEN,), "full"),
        (Kind.RETURN, (), "kept"),
        (Kind.RETURN, (GIVEN,), "returned"),
    ],
)
def test_who_has_what_after_a_fault(
    kind: Kind, movements: tuple[MovementView, ...], held: str
) -> None:
    page = swap_page(swap(Step.FAULTED, kind=kind, movements=movements, reason="door-stuck"), EN, 0)
    assert page.held == EN.text(f"held.{held}")
    assert EN.reason("door-stuck") in page.todo
    assert page.advice == EN.advice("door-stuck")


VIEWS = st.builds(
    lambda step, done, slots, **values: swap(
        step,
        done=done or step in TERMINAL_STEPS,
        slot_in=slots[0],
        slot_out=slots[1],
        **values,
    ),
    step=st.sampled_from([None, *Step]),
    done=st.booleans(),
    slots=st.tuples(st.none() | st.integers(1, 12), st.none() | st.integers(1, 12)),
    kind=st.sampled_from(list(Kind)),
    reason=st.sampled_from([None, "no-bms", "what-is-this"]),
    detail=st.sampled_from(["", "await-return", "opening-pickup", "so it goes"]),
)


@pytest.mark.parametrize("language", LANGUAGES)
@given(view=VIEWS, now_ms=st.integers(0, 2_000_000))
def test_every_view_makes_a_page(language: str, view: SwapView, now_ms: int) -> None:
    page = swap_page(view, catalogue(language), now_ms)
    assert page.title
    assert not (page.swap.done and (page.can_cancel or page.can_reopen))
    assert page.left_s is None or 0 < page.left_s <= 120
    assert page.mood in ("wait", "act", "done", "bad")
    dead_end = page.mood == "bad"
    assert bool(page.advice) == bool(page.held) == dead_end


HOLDER = RiderView(id=RIDER, phone_tail="8000", serials=("YZ48-000077",))
NEWCOMER = RiderView(id=RIDER, phone_tail="8000")


@pytest.mark.parametrize(
    ("rider", "changes", "offered"),
    [
        (HOLDER, {}, [(Kind.SWAP, None), (Kind.RETURN, None)]),
        (NEWCOMER, {}, [(Kind.PICKUP, None)]),
        (None, {}, [(Kind.SWAP, None)]),
        (None, {"full": 0}, [(Kind.SWAP, "no-full-battery")]),
        (None, {"online": False}, [(Kind.SWAP, "offline")]),
        (HOLDER, {"full": 0}, [(Kind.SWAP, "no-full-battery"), (Kind.RETURN, None)]),
        (HOLDER, {"empty": 0}, [(Kind.SWAP, "no-empty-slot"), (Kind.RETURN, "no-empty-slot")]),
        (NEWCOMER, {"empty": 0}, [(Kind.PICKUP, None)]),
        (HOLDER, {"age_ms": 90_001}, [(Kind.SWAP, "offline"), (Kind.RETURN, "offline")]),
        (HOLDER, {"alarms": ("smoke",)}, [(Kind.SWAP, "alarm"), (Kind.RETURN, "alarm")]),
        (HOLDER, {"active_swap": "01X"}, [(Kind.SWAP, "busy"), (Kind.RETURN, "busy")]),
    ],
)
def test_what_is_offered(
    rider: RiderView | None, changes: dict[str, Any], offered: list[tuple[Kind, str | None]]
) -> None:
    got = choices(cabinet(**changes), rider, None)
    assert [(choice.kind, choice.refusal) for choice in got] == offered


def test_an_open_swap_comes_first() -> None:
    got = choices(cabinet(), HOLDER, swap(Step.AWAIT_RETURN))
    assert {choice.refusal for choice in got} == {"open-swap"}


def test_picture_of_a_live_cabinet() -> None:
    drawing = draw(cabinet(), target=10)
    looks = [door.look for door in drawing.doors]
    assert looks == ["full"] * 4 + ["charging"] * 4 + ["off"] + ["empty"] * 3
    assert [door.slot for door in drawing.doors if door.target] == [10]
    assert [door.level for door in drawing.doors[:2]] == [26, 25]
    assert dict(drawing.counts()) == {"full": 4, "charging": 4, "empty": 3, "off": 1}


@pytest.mark.parametrize("changes", [{"online": False}, {"age_ms": None}, {"age_ms": 90_001}])
def test_a_silent_cabinet_is_unknown(changes: dict[str, Any]) -> None:
    view = cabinet(**changes)
    assert not is_live(view)
    assert {door.look for door in draw(view).doors} == {"unknown"}
    assert "full" in {door.look for door in draw(view, last_known=True).doors}


@given(st.integers(0, 64), st.integers(0, 64))
def test_doors_stand_apart_and_inside(total: int, told: int) -> None:
    view: CabinetView = cabinet(
        slots_total=total, slots=tuple(slot(n, SlotState.EMPTY) for n in range(1, told + 1))
    )
    drawing = draw(view)
    assert [door.slot for door in drawing.doors] == list(range(1, max(total, told) + 1))
    assert len({(door.x, door.y) for door in drawing.doors}) == len(drawing.doors)
    for door in drawing.doors:
        assert 0 < door.x < door.x + 96 < drawing.width
        assert 0 < door.y < door.y + 54 < drawing.height
