"""Who may order what: the checks, in their order, and every way to be refused."""

from __future__ import annotations

import msgspec
import pytest

from cabinet.core.engine_model import ChallengeReceived, CommandReceived, OrderUnfit
from cabinet.core.model import Unlock
from cabinet.core.records import ResultRow
from protocols.messages import NONCES_MAX, Challenge, Command, Kind, Precondition, Presence
from tests.support.cabinet_rig import WALL_MS, Rig, signed


def ready() -> Rig:
    return Rig().ready()


def off(rig: Rig, **more: object) -> Command:
    return rig.order("slot.service-off", {"slot": 4}, **more)


def test_the_good_command_is_done_stored_and_brings_a_nonce() -> None:
    rig = ready()
    result = rig.send(off(rig))
    assert (result.outcome, result.reason, result.boot_id) == ("done", None, "boot-1")
    assert len(result.nonces) == 1
    (row,) = [row for row in rig.writes if isinstance(row, ResultRow)]
    assert (row.result.id, row.result.outcome, row.result.nonces) == (result.id, "done", ())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cabinet": "DH-9999"}, "wrong-cabinet"),
        ({"boot_id": "boot-0"}, "wrong-boot"),
        ({"nonce": "guessed"}, "unknown-nonce"),
        ({"seq": 1}, "old-sequence"),
        ({"expires_at_ms": WALL_MS}, "expired"),
    ],
)
def test_not_authentic(change: dict[str, object], reason: str) -> None:
    rig = ready()
    rig.send(off(rig))  # uses up sequence number 1
    flags = rig.state.durable.out_of_service
    result = rig.send(off(rig, **change))
    assert (result.outcome, result.reason) == ("refused", reason)
    assert rig.state.refusals == {reason: 1}
    assert rig.state.durable.out_of_service == flags
    assert len([row for row in rig.writes if isinstance(row, ResultRow)]) == 1


def test_a_forged_command_does_not_use_up_the_nonce() -> None:
    rig = ready()
    order = off(rig)
    forged = msgspec.structs.replace(order, id="forged", args={"slot": 1})
    assert rig.send(msgspec.structs.replace(forged, sig="forged")).reason == "bad-signature"
    assert rig.send(order).outcome == "done"


def test_a_changed_field_breaks_the_signature() -> None:
    rig = ready()
    order = msgspec.structs.replace(off(rig), reason="a longer reason than before")
    assert rig.send(order).reason == "bad-signature"


def test_a_nonce_serves_once() -> None:
    rig = ready()
    first = off(rig)
    assert rig.send(first).outcome == "done"
    assert rig.send(off(rig, nonce=first.nonce)).reason == "unknown-nonce"


@pytest.mark.parametrize(
    ("age_ms", "ttl_ms", "reason"),
    [
        (5_000, 5_000, None),
        (5_001, 5_000, "stale-nonce"),
        (15_000, 30_000, None),
        (15_001, 30_000, "stale-nonce"),
    ],
)
def test_time_to_live_counts_from_the_issue_of_the_nonce(
    age_ms: int, ttl_ms: int, reason: str | None
) -> None:
    rig = ready()
    order = off(rig, ttl_ms=ttl_ms)
    rig.now_ms += age_ms  # a broker holds it back
    assert rig.send(order).reason == reason


def test_a_jump_of_the_wall_clock_changes_nothing_when_it_is_not_trusted() -> None:
    rig = ready()
    rig.synced = False
    assert rig.send(off(rig, expires_at_ms=0)).outcome == "done"


def test_a_repeated_command_gets_the_stored_answer_and_acts_once() -> None:
    rig = ready()
    order = rig.order("swap.start", {"kind": "swap", "rider_id": "R2"}, swap_id="S")
    first = rig.send(order)
    pulses = len(rig.of(Unlock))
    again = rig.send(order)
    assert (again.outcome, again.evidence) == (first.outcome, first.evidence)
    assert again.nonces != first.nonces
    assert len(rig.of(Unlock)) == pulses


def test_a_repeated_command_is_known_after_a_restart_even_with_the_old_boot_id() -> None:
    rig = ready()
    order = rig.order("swap.start", {"kind": "swap", "rider_id": "R2"}, swap_id="S")
    rig.send(order)
    rig.boot()
    rig.run(500)
    again = rig.send(order)
    assert again.outcome == "accepted"
    assert again.boot_id == "boot-2"


def test_the_same_swap_under_a_new_command_is_accepted_and_not_run_again() -> None:
    rig = ready()
    rig.start(swap_id="S")
    pulses = len(rig.of(Unlock))
    assert rig.start(swap_id="S").outcome == "accepted"
    assert len(rig.of(Unlock)) == pulses


def test_a_swap_id_from_before_the_last_one_does_not_run_again() -> None:
    rig = ready().whole_swap()
    rig.run(1_000)
    assert rig.start(Kind.PICKUP, "SWAP-2").outcome == "accepted"
    rig.run(300)
    rig.take(2)
    rig.shut(2)
    rig.run(3_000)
    pulses = len(rig.of(Unlock))
    assert rig.start(swap_id="SWAP-1").outcome == "accepted"
    assert len(rig.of(Unlock)) == pulses


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        ("slot.fly", {}),
        ("slot.open", {}),
        ("slot.open", {"slot": "one"}),
        ("slot.open", {"slot": 5}),
        ("slot.open", {"slot": 1, "more": 1}),
        ("swap.start", {"kind": "swap"}),
        ("swap.start", {"kind": "load", "rider_id": "R2", "slot": 9}),
        ("alarm.clear", {"code": "smoke", "slot": 9}),
    ],
)
def test_bad_arguments(kind: str, args: dict[str, object]) -> None:
    rig = ready()
    result = rig.command(kind, args, swap_id="S")
    assert (result.outcome, result.reason) == ("refused", "bad-arguments")
    assert result.evidence
    assert not rig.of(Unlock)


@pytest.mark.parametrize(
    ("precondition", "met"),
    [
        (Precondition(slot=1), True),
        (Precondition(slot=1, presence=Presence.PRESENT, serial="YZ48-000001"), True),
        (Precondition(slot=1, serial="YZ48-000002"), False),
        (Precondition(slot=1, presence=Presence.ABSENT), False),
        (Precondition(slot=3, presence=Presence.ABSENT), True),
        (Precondition(slot=3, serial="YZ48-000001"), False),
        (Precondition(slot=9, presence=Presence.ABSENT), False),
    ],
)
def test_preconditions(precondition: Precondition, met: bool) -> None:
    rig = ready()
    result = rig.command("slot.open", {"slot": 4}, precondition=precondition)
    assert (result.outcome == "accepted") is met
    assert result.reason == (None if met else "precondition")


def test_an_unknown_switch_meets_no_precondition() -> None:
    rig = ready()
    rig.holes[3].blind = True
    rig.run(2_000)
    condition = Precondition(slot=3, presence=Presence.ABSENT)
    assert rig.command("slot.open", {"slot": 4}, precondition=condition).reason == "precondition"


def test_a_swap_without_an_id_is_refused() -> None:
    rig = ready()
    result = rig.command("swap.start", {"kind": "swap", "rider_id": "R2"})
    assert result.reason == "no-swap-id"


def test_challenges_fill_a_bounded_pool_and_the_oldest_leaves() -> None:
    rig = ready()
    rig.feed(ChallengeReceived(Challenge(id="c1", count=NONCES_MAX)))
    first = rig.replies[-1]
    assert first.outcome == "nonces"
    assert len(set(first.nonces)) == NONCES_MAX
    rig.feed(ChallengeReceived(Challenge(id="c2", count=1)))
    assert len(rig.state.nonces) == NONCES_MAX
    assert rig.send(off(rig, nonce=first.nonces[0])).reason == "unknown-nonce"
    assert rig.send(off(rig, nonce=first.nonces[2])).outcome == "done"


def test_dead_nonces_leave_the_pool() -> None:
    rig = ready()
    rig.feed(ChallengeReceived(Challenge(id="c1", count=5)))
    rig.now_ms += 15_001
    rig.feed(ChallengeReceived(Challenge(id="c2", count=1)))
    assert len(rig.state.nonces) == 1


def test_nonces_of_an_earlier_boot_are_dead() -> None:
    rig = ready()
    order = off(rig)
    rig.boot()
    rig.run(500)
    later = signed(msgspec.structs.replace(order, boot_id="boot-2"))
    assert rig.send(later).reason == "unknown-nonce"


def test_the_sequence_is_remembered_across_a_restart() -> None:
    rig = ready()
    rig.send(off(rig))
    rig.boot()
    rig.run(500)
    assert rig.send(off(rig, seq=1)).reason == "old-sequence"


def test_a_refusal_that_was_decided_is_stored_too() -> None:
    rig = ready()
    order = rig.order("swap.cancel", {}, swap_id="S")
    assert rig.send(order).reason == "no-swap"
    assert rig.send(order).reason == "no-swap"
    assert rig.state.refusals == {"no-swap": 1}


def test_cancel_and_resume_reach_the_swap() -> None:
    rig = ready()
    rig.start(swap_id="S")
    assert rig.command("swap.resume", {}, swap_id="S").outcome == "accepted"
    assert rig.command("swap.cancel", {}, swap_id="OTHER").reason == "other-swap"
    assert rig.command("swap.cancel", {}, swap_id="S").outcome == "accepted"
    rig.shut(3)
    rig.run(5_000)
    assert rig.steps()[-1] == "cancelled"


def test_nothing_an_attacker_sends_without_the_key_writes_to_the_disk() -> None:
    rig = ready()
    writes = len(rig.writes)
    bare = off(rig)
    for change in ({"sig": ""}, {"cabinet": "DH-2"}, {"boot_id": "x"}, {"sig": "0" * 100}):
        rig.feed(CommandReceived(msgspec.structs.replace(bare, id="x", **change)))
    assert len(rig.writes) == writes


def test_what_never_becomes_a_command_is_counted() -> None:
    rig = ready()
    effects = len(rig.effects)
    rig.feed(OrderUnfit("retained"))
    rig.feed(OrderUnfit("retained"))
    assert rig.state.refusals == {"retained": 2}
    assert len(rig.effects) == effects
