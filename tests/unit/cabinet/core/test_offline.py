"""Number and code, or a ticket, at the cabinet: what begins a swap, and everything that must not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from cabinet.core import offline
from cabinet.core.engine import Engine
from cabinet.core.engine_model import (
    OfflineCode,
)
from cabinet.core.offline import Memory, OfflineLimits
from cabinet.core.records import JournalRow, Lists
from cabinet.core.swap_model import AwaitReturn, Completed, PickupHeld, is_active
from protocols.messages import Door, Kind
from protocols.offline import TICKET_PREFIX, rider_number
from tests.support.cabinet_rig import CABINET, Rig, verify
from tests.support.offline_rig import ANN, BOB, KEY, STEP_MS, OfflineRig, stocked

DAY_MS = 24 * 3_600_000
LIMITS = OfflineLimits()


@pytest.fixture
def rig() -> OfflineRig:
    made = OfflineRig()
    made.ready()
    return made


def listed(rig: Rig, *packs: str, denied: tuple[str, ...] = ()) -> None:
    lists = Lists(version=1, packs=frozenset(packs), denied_riders=frozenset(denied))
    rig.state = msgspec.structs.replace(rig.state, lists=lists)


def deny(rig: Rig, *riders: str) -> None:
    listed(rig, "YZ48-000001", "YZ48-000002", "OLD-1", denied=riders)


def steps(rig: Rig) -> list[tuple[str, str, str, str]]:
    return [(b.swap_id, b.step.value, b.rider_id, b.authority) for b in rig.bodies("swap.step")]


# --- number and code ----------------------------------------------------------------------------


def test_a_swap_by_number_and_code(rig: OfflineRig) -> None:
    answer = rig.type_in()
    assert answer.reason is None
    assert answer.swap_id is not None
    assert answer.swap_id.startswith(f"off-{CABINET}-1-")
    assert rig.ride() == "YZ48-000001"
    assert isinstance(rig.state.durable.swap, Completed)
    assert {(s, r, a) for s, _, r, a in steps(rig)} == {(answer.swap_id, f"no.{ANN}", "code")}
    moves = rig.bodies("battery.in") + rig.bodies("battery.out")
    assert [(m.serial, m.swap_id, m.rider_id) for m in moves] == [
        ("OLD-1", answer.swap_id, f"no.{ANN}"),
        ("YZ48-000001", answer.swap_id, f"no.{ANN}"),
    ]


def test_a_code_works_once(rig: OfflineRig) -> None:
    code = rig.code()
    assert rig.type_in(code=code).reason is None
    assert rig.type_in(code=code).reason == offline.CODE_USED
    rig.ride()
    assert rig.type_in(code=code).reason == offline.CODE_USED
    rig.run(STEP_MS, 1_000)
    assert rig.type_in().reason is None


def test_an_older_code_than_the_last_used_one_is_refused_too(rig: OfflineRig) -> None:
    old = rig.code()
    rig.run(STEP_MS, 1_000)
    assert rig.type_in().reason is None
    rig.ride()
    assert rig.type_in(code=old).reason == offline.CODE_USED


REFUSALS: list[tuple[str, Callable[[OfflineRig], Any]]] = [
    (offline.BAD_NUMBER, lambda rig: rig.type_in("12345678", "000000")),
    (offline.BAD_NUMBER, lambda rig: rig.type_in("4711", "000000")),
    (offline.BAD_NUMBER, lambda rig: rig.type_in("１２３４５６７８", "000000")),
    (offline.BAD_CODE, lambda rig: rig.type_in(code="12345")),
    (offline.BAD_CODE, lambda rig: rig.type_in(code="12345a")),
    (offline.BAD_CODE, lambda rig: rig.type_in(code="１２３４５６")),
    (offline.WRONG_CODE, lambda rig: rig.type_in(code=rig.wrong())),
    (offline.WRONG_CODE, lambda rig: rig.type_in(ANN, rig.code(BOB))),
    (offline.NEEDS_TICKET, lambda rig: rig.type_in(kind=Kind.PICKUP)),
    (offline.NEEDS_TICKET, lambda rig: rig.type_in(kind=Kind.UNLOAD)),
    (offline.NO_SWAP, lambda rig: rig.type_in(wish="cancel")),
    (offline.BAD_TICKET, lambda rig: rig.show("hello")),
    (offline.BAD_TICKET, lambda rig: rig.show(TICKET_PREFIX + "e30")),
    (offline.BAD_TICKET, lambda rig: rig.show(TICKET_PREFIX + "A" * 5_000)),
    (offline.BAD_SIGNATURE, lambda rig: rig.show(unsigned(rig.ticket()))),
    (offline.BAD_SIGNATURE, lambda rig: rig.show(altered(rig.ticket(), rider_id="R9"))),
    (offline.WRONG_CABINET, lambda rig: rig.show(rig.ticket(cabinet="DH-0002"))),
    (offline.BAD_NUMBER, lambda rig: rig.show(rig.ticket(number="12345678"))),
    (offline.BAD_KIND, lambda rig: rig.show(rig.ticket(kind=Kind.UNLOAD))),
    (offline.BAD_KIND, lambda rig: rig.show(rig.ticket(kind=Kind.LOAD))),
    (offline.TICKET_EXPIRED, lambda rig: rig.show(aged(rig, -7_200_000, 3_600_000))),
    (offline.TICKET_EXPIRED, lambda rig: rig.show(aged(rig, -3_600_000, 3_600_000))),
    (offline.TICKET_EARLY, lambda rig: rig.show(aged(rig, 61_000, 3_600_000))),
    (offline.TICKET_LIFE, lambda rig: rig.show(aged(rig, 0, DAY_MS + 1))),
    (offline.TICKET_LIFE, lambda rig: rig.show(aged(rig, 0, 0))),
    (offline.NO_SWAP, lambda rig: rig.show(rig.ticket(), "cancel")),
]


def unsigned(ticket: Any) -> Any:
    return msgspec.structs.replace(ticket, sig="")


def altered(ticket: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(ticket, **fields)


def aged(rig: OfflineRig, since_ms: int, life_ms: int) -> Any:
    issued_ms = rig.wall_ms + since_ms
    return rig.ticket(issued_ms=issued_ms, expires_ms=issued_ms + life_ms)


@pytest.mark.parametrize(("reason", "act"), REFUSALS)
def test_what_is_refused_opens_nothing(
    rig: OfflineRig, reason: str, act: Callable[[OfflineRig], Any]
) -> None:
    assert act(rig).reason == reason
    assert not rig.opened()
    assert not is_active(rig.state.durable.swap)
    assert rig.bodies("swap.step") == []
    assert rig.state.refusals[reason] == 1
    lines = [row for row in rig.writes if isinstance(row, JournalRow) and row.kind == "offline"]
    assert [line.detail["reason"] for line in lines] == [reason]


def test_no_secret_is_written_down(rig: OfflineRig) -> None:
    code = rig.code()
    rig.type_in(code=rig.wrong())
    rig.type_in(code=code)
    assert all(code not in str(row) and rig.wrong() not in str(row) for row in rig.writes)
    assert rig.config is not None
    assert str(KEY) not in repr(Engine(rig.config, verify, lambda: "", KEY))
    assert code not in repr(OfflineCode("q", ANN, code))


def test_an_untrusted_clock_refuses_codes_and_tickets() -> None:
    rig = OfflineRig(synced=False)
    rig.ready()
    assert rig.type_in().reason == offline.CLOCK_UNTRUSTED
    assert rig.show(rig.ticket()).reason == offline.CLOCK_UNTRUSTED
    assert not rig.opened()


def test_without_a_group_key_only_tickets_count() -> None:
    rig = OfflineRig(group_keys=())
    rig.ready()
    assert rig.type_in().reason == offline.NO_GROUP_KEY
    assert rig.show(rig.ticket()).reason is None


def test_nothing_before_every_slot_was_read() -> None:
    rig = OfflineRig()
    assert rig.type_in().reason == offline.STARTING
    assert rig.show(rig.ticket()).reason == offline.STARTING
    assert rig.state.durable.offline == Memory()


@pytest.mark.parametrize("name", [f"no.{ANN}", f"R{ANN}"])
def test_a_denied_rider_starts_nothing(rig: OfflineRig, name: str) -> None:
    deny(rig, name)
    assert rig.show(rig.ticket()).reason == offline.DENIED_RIDER
    if name.startswith("no."):
        assert rig.type_in().reason == offline.DENIED_RIDER
    assert not rig.opened()
    assert rig.type_in(BOB).reason is None


def test_a_rider_denied_in_mid_swap_may_finish(rig: OfflineRig) -> None:
    rig.type_in()
    rig.run(300)
    deny(rig, f"no.{ANN}")
    rig.run(STEP_MS, 1_000)
    assert rig.type_in(wish="cancel").reason is None


def test_the_tables_refusals_are_told(rig: OfflineRig) -> None:
    rig.take(1)
    rig.take(2)
    rig.run(3_500)
    assert rig.type_in().reason == "no-full-battery"
    assert rig.state.durable.offline.used[ANN].count == 0


# --- locks --------------------------------------------------------------------------------------


def lock(rig: OfflineRig) -> None:
    for tries in range(1, 6):
        answer = rig.type_in(rider_number(tries), rig.wrong(rider_number(tries)))
        assert answer.reason == offline.WRONG_CODE
        assert (answer.wait_ms > 0) == (tries == 5)


def test_five_wrong_codes_lock_the_keypad_for_five_minutes(rig: OfflineRig) -> None:
    lock(rig)
    assert rig.type_in().reason == offline.KEYPAD_LOCKED
    rig.run(299_000, 1_000)
    answer = rig.type_in()
    assert (answer.reason, answer.wait_ms) == (offline.KEYPAD_LOCKED, 1_000)
    assert rig.show(rig.ticket(number=BOB)).reason is None, "tickets are not guessed"
    rig.run(1_000)
    assert rig.type_in(wish="cancel").reason == offline.NO_SWAP, "the code counts again"


def test_the_fleet_hears_of_a_locked_keypad(rig: OfflineRig) -> None:
    lock(rig)
    rig.run(301_000, 1_000)
    told = [(b.code, b.active) for b in rig.bodies("alarm")]
    assert told == [("keypad-locked", True), ("keypad-locked", False)]


def test_a_right_code_between_wrong_ones_starts_the_count_anew(rig: OfflineRig) -> None:
    for _ in range(4):
        rig.type_in(code=rig.wrong())
    assert rig.type_in(wish="cancel").reason == offline.NO_SWAP
    for _ in range(4):
        rig.type_in(code=rig.wrong())
    assert not rig.state.durable.offline.locked


def test_a_restart_does_not_shorten_the_lock(rig: OfflineRig) -> None:
    lock(rig)
    rig.run(299_000, 1_000)
    rig.boot()
    rig.run(1_000)
    assert rig.type_in().reason == offline.KEYPAD_LOCKED
    rig.run(298_000, 1_000)
    assert rig.type_in().reason == offline.KEYPAD_LOCKED
    rig.run(2_000)
    assert rig.type_in().reason is None


def test_wrong_codes_are_counted_over_a_restart(rig: OfflineRig) -> None:
    for _ in range(4):
        rig.type_in(code=rig.wrong())
    rig.boot()
    rig.ready()
    assert rig.type_in(code=rig.wrong()).wait_ms > 0
    assert rig.state.durable.offline.locked


def test_ten_wrong_codes_lock_a_number_but_no_other(rig: OfflineRig) -> None:
    for n in range(10):
        rig.run(STEP_MS, 1_000)
        assert rig.type_in(code=rig.wrong()).reason == offline.WRONG_CODE
        assert rig.type_in(BOB, wish="cancel").reason == offline.NO_SWAP, n
    rig.run(STEP_MS, 1_000)
    assert rig.type_in().reason == offline.NUMBER_LOCKED
    rig.run(3_500_000, 100_000)
    assert rig.type_in().reason == offline.NUMBER_LOCKED
    assert rig.type_in(BOB, wish="cancel").reason == offline.NO_SWAP
    rig.run(200_000, 100_000)
    assert rig.type_in().reason is None


def test_the_lock_does_not_look_at_the_wall_clock(rig: OfflineRig) -> None:
    lock(rig)
    rig.jump_ms = 365 * DAY_MS
    rig.run(1_000)
    assert rig.type_in().reason == offline.KEYPAD_LOCKED
    rig.jump_ms = -DAY_MS
    rig.run(300_000, 1_000)
    assert rig.type_in().reason is None


# --- the day's share ----------------------------------------------------------------------------


def test_two_swaps_a_day_and_the_next_day_again() -> None:
    rig = stocked(12, 8)
    rig.ready()
    for n in (1, 2):
        rig.run(STEP_MS, 1_000)
        assert rig.type_in().reason is None
        rig.ride(f"OLD-{n}")
    rig.run(STEP_MS, 1_000)
    assert rig.type_in().reason == offline.DAY_LIMIT
    assert rig.show(rig.ticket()).reason == offline.DAY_LIMIT, "one share for both ways"
    assert rig.type_in(BOB).reason is None
    rig.ride("OLD-3")
    rig.now_ms += DAY_MS
    rig.run(3_000)
    assert rig.type_in().reason is None


def test_a_clock_that_goes_back_a_day_gives_no_second_share() -> None:
    rig = stocked(12, 8)
    rig.ready()
    for n in (1, 2):
        rig.run(STEP_MS, 1_000)
        rig.type_in()
        rig.ride(f"OLD-{n}")
    rig.jump_ms = -DAY_MS
    assert rig.show(rig.ticket()).reason == offline.DAY_LIMIT
    rig.jump_ms = -DAY_MS + STEP_MS
    assert rig.type_in().reason == offline.CODE_USED, "its step is before the last used one"


def test_a_cancelled_swap_is_given_back(rig: OfflineRig) -> None:
    for _ in range(3):
        rig.run(STEP_MS, 1_000)
        assert rig.type_in().reason is None
        assert rig.state.durable.offline.used[ANN].count == 1
        rig.run(300)
        rig.run(STEP_MS, 1_000)
        assert rig.type_in(wish="cancel").reason is None
        for n in rig.holes:
            rig.shut(n)
        rig.run(4_000)
        assert not is_active(rig.state.durable.swap)
        assert rig.state.durable.offline.used[ANN].count == 0


def test_a_refused_pack_is_given_back_and_so_is_the_share(rig: OfflineRig) -> None:
    listed(rig, "YZ48-000001")
    assert rig.type_in().reason is None
    rig.run(300)
    rig.put(3, "FOREIGN", 20)
    rig.run(200)
    rig.shut(3)
    rig.run(1_000)
    rig.take(3)
    rig.run(300)
    rig.shut(3)
    rig.run(3_000)
    assert rig.steps()[-1] == "rejected"
    assert rig.state.durable.offline.used[ANN].count == 0


def test_the_own_battery_back_gives_the_share_back_too(rig: OfflineRig) -> None:
    ticket = rig.ticket()
    rig.show(ticket)
    rig.run(300)
    rig.put(3, "OLD-1")
    rig.run(200)
    rig.shut(3)
    rig.run(500)
    rig.shut(1)
    rig.run(500)
    assert rig.show(ticket, "give-back").reason is None
    rig.run(500)
    assert rig.holes[3].door is Door.OPEN
    rig.take(3)
    rig.run(300)
    rig.shut(3)
    rig.run(3_000)
    assert rig.steps()[-1] == "cancelled"
    assert rig.state.durable.offline.used[ANN].count == 0


def test_a_swap_that_took_a_pack_in_is_not_given_back(rig: OfflineRig) -> None:
    rig.type_in()
    rig.run(300)
    rig.put(3, "OLD-1")
    rig.run(200)
    rig.shut(3)
    rig.run(500)
    rig.run(130_000, 1_000)  # the pickup door stands open and nobody takes the pack
    assert rig.steps()[-1] == "faulted"
    assert rig.state.durable.offline.used[ANN].count == 1


# --- tickets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.SWAP, Kind.PICKUP, Kind.RETURN])
def test_a_ticket_is_one_transaction(rig: OfflineRig, kind: Kind) -> None:
    ticket = rig.ticket(kind=kind)
    assert rig.show(ticket).swap_id == "T-1"
    rig.ride(kind=kind)
    assert rig.steps()[-1] == "completed"
    assert {(s, r, a) for s, _, r, a in steps(rig)} == {("T-1", f"R{ANN}", "ticket")}
    events = len(rig.events())
    assert rig.show(ticket).reason == offline.TICKET_USED
    rig.boot()
    rig.ready()
    assert rig.show(ticket).reason == offline.TICKET_USED
    assert not rig.opened()
    assert [e.type for e in rig.events()[events:] if e.type not in {"boot", "inventory"}] == []


def test_a_second_scan_resumes(rig: OfflineRig) -> None:
    ticket = rig.ticket()
    rig.show(ticket)
    rig.run(300)
    rig.put(3, "OLD-1")
    rig.run(200)
    rig.shut(3)
    rig.run(500)
    rig.shut(1)  # without taking the pack
    rig.run(500)
    assert isinstance(rig.state.durable.swap, PickupHeld)
    other = rig.ticket("T-2", BOB)
    assert rig.show(other).reason == "busy"
    assert not rig.opened()
    answer = rig.show(ticket)
    assert (answer.reason, answer.swap_id) == (None, "T-1")
    rig.run(500)
    rig.take(1)
    rig.run(300)
    rig.shut(1)
    rig.run(3_000)
    assert rig.steps()[-1] == "completed"
    assert rig.show(other).reason is None, "what was refused is not used up"


def test_a_ticket_that_expires_in_mid_swap_still_resumes(rig: OfflineRig) -> None:
    ticket = rig.ticket()
    rig.show(ticket)
    rig.run(300)
    rig.jump_ms = 2 * 3_600_000
    assert rig.show(ticket).reason is None
    rig.synced = False
    assert rig.show(ticket, "cancel").reason is None


def test_a_rider_ends_by_code_what_he_began_by_ticket(rig: OfflineRig) -> None:
    rig.show(rig.ticket())
    rig.run(300)
    assert rig.type_in(BOB, wish="cancel").reason == offline.NO_SWAP
    assert isinstance(rig.state.durable.swap, AwaitReturn)
    assert rig.type_in(wish="cancel").reason is None


def test_another_rider_does_not_touch_a_swap(rig: OfflineRig) -> None:
    rig.type_in()
    rig.run(300)
    assert rig.type_in(BOB).reason == "busy"
    assert rig.type_in(BOB, wish="cancel").reason == "code-used"
    rig.run(STEP_MS, 1_000)
    assert rig.type_in(BOB, wish="cancel").reason == offline.NO_SWAP
    assert isinstance(rig.state.durable.swap, AwaitReturn)


def test_a_used_ticket_stays_used_when_the_clock_jumps(rig: OfflineRig) -> None:
    ticket = rig.ticket()
    rig.show(ticket)
    rig.ride()
    rig.jump_ms = 30 * DAY_MS
    rig.show(rig.ticket("T-2", BOB))
    rig.ride("OLD-2")
    assert "T-1" not in rig.state.durable.offline.tickets, "long past, so forgotten"
    rig.jump_ms = 0
    assert rig.show(ticket).reason == offline.TICKET_EXPIRED


# --- clocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump_ms", [-10 * 365 * DAY_MS, -3_600_000, 3_600_000, 365 * DAY_MS])
def test_a_swap_does_not_feel_the_wall_clock(rig: OfflineRig, jump_ms: int) -> None:
    rig.type_in()
    rig.run(300)
    rig.jump_ms = jump_ms
    rig.run(1_000)
    assert isinstance(rig.state.durable.swap, AwaitReturn)
    rig.put(3, "OLD-1")
    rig.run(200)
    rig.shut(3)
    rig.jump_ms = -jump_ms
    rig.run(500)
    rig.take(1)
    rig.run(300)
    rig.shut(1)
    rig.run(3_000)
    assert rig.steps()[-1] == "completed"


def test_a_jump_back_does_not_make_a_used_code_good(rig: OfflineRig) -> None:
    used = rig.code()
    rig.type_in(code=used)
    rig.ride()
    rig.jump_ms = DAY_MS
    rig.run(1_000)
    rig.type_in(wish="cancel")  # right, and one day on
    rig.jump_ms = -4_000
    assert rig.type_in(code=used).reason == offline.CODE_USED
    assert rig.type_in().reason == offline.CODE_USED, "everything up to the last used step"
