"""The sender: window, cumulative acknowledgements, resending, restored ledgers."""

from __future__ import annotations

import pytest

from cabinet.core.delivery import PROTEST_GAP_MS, Delivery
from cabinet.core.engine_model import Now
from cabinet.core.outbox import RESEND_MAX_MS, RESEND_MIN_MS, AckEffect, Sender
from protocols.messages import EVENT_WINDOW, Ack


def half() -> float:
    return 0.5


def sent(sender: Sender, now_ms: int = 0) -> Sender:
    return sender.published(sender.next_range(now_ms), now_ms, half)


def ack(seq: int, epoch: int = 1, incarnation: str = "a") -> Ack:
    return Ack(epoch=epoch, seq=seq, incarnation=incarnation)


def test_nothing_to_send() -> None:
    assert not Sender(epoch=1).next_range(0)


def test_a_window_at_a_time() -> None:
    sender = Sender(epoch=1, last=1_000)
    assert sender.next_range(0) == range(1, EVENT_WINDOW + 1)
    sender = sent(sender)
    assert not sender.next_range(1)
    sender, effect = sender.on_ack(ack(50), 10, half)
    assert effect is AckEffect.ADVANCED
    assert sender.next_range(11) == range(EVENT_WINDOW + 1, EVENT_WINDOW + 51)


def test_an_acknowledgement_is_cumulative_and_a_late_one_does_nothing() -> None:
    sender, _ = sent(Sender(epoch=1, last=10)).on_ack(ack(7), 0, half)
    assert sender.acked == 7
    for seq, meant in ((3, AckEffect.BEHIND), (7, AckEffect.NOTHING)):
        same, effect = sender.on_ack(ack(seq), 0, half)
        assert effect is meant
        assert same == sender
    same, effect = sender.on_ack(ack(9, epoch=2), 0, half)
    assert effect is AckEffect.NOTHING


def test_more_than_was_ever_sent_means_that_the_journal_was_replaced() -> None:
    sender = sent(Sender(epoch=1, last=10))
    assert sender.on_ack(ack(11), 0, half) == (sender, AckEffect.OUTRUN)


def test_go_back_after_the_wait_and_only_then() -> None:
    sender = sent(Sender(epoch=1, last=10))
    due_ms = sender.resend_at_ms
    assert due_ms is not None
    assert RESEND_MIN_MS <= due_ms <= RESEND_MAX_MS
    assert not sender.next_range(due_ms - 1)
    assert sender.next_range(due_ms) == range(1, 11)
    again = sent(sender, due_ms)
    assert again.tries == 1
    assert again.resend_at_ms is not None
    assert again.resend_at_ms - due_ms <= RESEND_MAX_MS


def test_new_events_do_not_put_the_resend_off() -> None:
    sender = sent(Sender(epoch=1, last=1))
    due_ms = sender.resend_at_ms
    assert due_ms is not None
    later = sent(sender.committed(1, 2), due_ms - 1)
    assert later.resend_at_ms == due_ms
    assert later.next_range(due_ms) == range(1, 3)


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_the_wait_stays_between_its_bounds(chance: float) -> None:
    sender, now_ms = Sender(epoch=1, last=5), 0
    for _ in range(12):
        sender = sender.published(sender.next_range(now_ms), now_ms, lambda: chance)
        assert sender.resend_at_ms is not None
        assert RESEND_MIN_MS <= sender.resend_at_ms - now_ms <= RESEND_MAX_MS
        now_ms = sender.resend_at_ms


def test_all_acknowledged_waits_for_nothing() -> None:
    sender, _ = sent(Sender(epoch=1, last=10)).on_ack(ack(10), 0, half)
    assert sender.resend_at_ms is None
    assert not sender.next_range(10**9)


def test_a_restored_ledger_rewinds() -> None:
    sender, _ = sent(Sender(epoch=1, last=10)).on_ack(ack(10), 0, half)
    sender, effect = sender.on_ack(ack(4, incarnation="b"), 0, half)
    assert effect is AckEffect.REWOUND
    assert sender.next_range(0) == range(5, 11)
    same, effect = sender.on_ack(ack(3, incarnation="b"), 0, half)
    assert effect is AckEffect.BEHIND
    assert same == sender


def test_a_ledger_that_knows_less_is_protested_against_now_and_then() -> None:
    sender, _ = sent(Sender(epoch=1, last=10)).on_ack(ack(10), 0, half)
    delivery = Delivery("DH-0001", sender, half)
    for mono_ms in (0, 1, PROTEST_GAP_MS - 1, PROTEST_GAP_MS):
        assert delivery.acknowledged(ack(4), Now(mono_ms, 0, wall_synced=False)) is None
    assert delivery.protests == 2
    assert delivery.sender == sender, "nothing is sent again before the ledger is a new one"
    assert delivery.acknowledged(ack(10), Now(0, 0, wall_synced=False)) is None
    assert delivery.protests == 2


def test_a_new_incarnation_that_knows_as_much_is_remembered() -> None:
    sender, _ = sent(Sender(epoch=1, last=10)).on_ack(ack(10), 0, half)
    sender, effect = sender.on_ack(ack(10, incarnation="b"), 0, half)
    assert effect is AckEffect.ADVANCED
    assert sender.incarnation == "b"


def test_a_new_link_sends_what_is_not_acknowledged() -> None:
    sender, _ = sent(Sender(epoch=1, last=10)).on_ack(ack(4), 0, half)
    assert sender.reconnected().next_range(0) == range(5, 11)


def test_a_new_epoch_starts_from_one() -> None:
    sender, _ = sent(Sender(epoch=1, last=10)).on_ack(ack(4), 0, half)
    assert sender.committed(2, 3).next_range(0) == range(1, 4)
