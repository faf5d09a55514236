"""What an order must bring along, and the chain of the log of orders."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleet.core.audit_log import GENESIS, Head, LogRow, check_log, digest, head_of
from fleet.core.operations import Expected, Wish, by_staff, check_wish, order_id
from fleet.errors import InvalidError
from protocols.messages import Precondition, Presence

GOOD = Wish(
    cabinet="DH-0001",
    type="slot.open",
    staff="zhang.wei",
    reason="pack is stuck",
    key="key-12345",
    slot=3,
    expected=Expected(Presence.PRESENT, "P3"),
)


def test_a_good_order_names_what_must_still_hold() -> None:
    check_wish(GOOD, 12)
    assert GOOD.args == {"slot": 3}
    expected = Precondition(slot=3, presence=Presence.PRESENT, serial="P3")
    assert GOOD.precondition == expected
    clear = replace(GOOD, type="alarm.clear", code="smoke", slot=None, expected=None)
    check_wish(clear, 12)
    assert (clear.args, clear.precondition) == ({"code": "smoke"}, None)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"type": "swap.start"}, "invalid"),
        ({"reason": "why"}, "reason-short"),
        ({"reason": " a  b  c  d "}, "reason-short"),
        ({"reason": "x" * 301}, "invalid"),
        ({"reason": "broken\nlock"}, "invalid"),
        ({"staff": ""}, "staff-invalid"),
        ({"staff": "张伟"}, "staff-invalid"),
        ({"staff": "R0123456789AB"}, "staff-invalid"),
        ({"staff": "no.12345678"}, "staff-invalid"),
        ({"slot": None}, "invalid"),
        ({"slot": 0}, "invalid"),
        ({"slot": 13}, "invalid"),
        ({"expected": None}, "invalid"),
        ({"expected": Expected(Presence.PRESENT, "P 3")}, "invalid"),
        ({"type": "alarm.clear"}, "invalid"),
        ({"type": "alarm.clear", "code": "../smoke"}, "invalid"),
    ],
)
def test_a_bad_order_is_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(InvalidError) as caught:
        check_wish(replace(GOOD, **changes), 12)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_a_key_is_one_order_per_cabinet() -> None:
    assert order_id("A", "k") == order_id("A", "k")
    assert len({order_id("A", "k"), order_id("B", "k"), order_id("A", "l")}) == 3


def test_only_people_are_logged() -> None:
    assert [by_staff(a) for a in ("operator:x", "technician:x", "R0123456789AB")] == [
        True,
        True,
        False,
    ]


# --- the chain ----------------------------------------------------------------------------------


def chain(count: int = 4) -> list[LogRow]:
    rows: list[LogRow] = []
    last = GENESIS
    for number in range(1, count + 1):
        bare = LogRow(
            number, 1_000 * number, "operator:z", "slot.open", "ordered", "A", f"op-{number}",
            slot=number, reason="a reason", prev=last,
        )  # fmt: skip
        rows.append(replace(bare, hash=digest(bare)))
        last = rows[-1].hash
    return rows


def head(rows: list[LogRow]) -> Head:
    return Head(rows[-1].id, rows[-1].hash)


def codes(rows: list[LogRow], end: Head) -> set[tuple[str, str]]:
    return {(each.code, each.subject) for each in check_log(rows, end)}


def test_a_whole_chain_is_in_order() -> None:
    assert check_log([], Head()) == []
    assert codes(chain(), head(chain())) == set()
    assert head_of(head(chain()).text) == head(chain())
    assert head_of(None) == head_of("") == head_of("x:y") == Head()


@pytest.mark.parametrize("name", sorted(set(LogRow.__slots__) - {"id", "hash", "prev"}))
def test_every_field_is_under_the_hash(name: str) -> None:
    rows = chain()
    old = getattr(rows[1], name)
    rows[1] = replace(rows[1], **{name: old + 1 if isinstance(old, int) else f"{old}x"})
    assert codes(rows, head(rows)) == {("log-tampered", "log:2")}


def test_what_is_taken_out_put_in_or_moved_is_named() -> None:
    rows, end = chain(), head(chain())
    assert codes(rows[:1] + rows[2:], end) == {("log-gap", "log:3")}
    assert codes(rows[1:], end) == {("log-gap", "log:2")}
    assert codes(rows[:-1], end) == {("log-truncated", "log:4")}
    swapped = [replace(rows[1], id=1), replace(rows[0], id=2), *rows[2:]]
    assert {("log-tampered", "log:1"), ("log-tampered", "log:2")} <= codes(swapped, end)
    # One who can hash, but does not rewrite everything behind it.
    forged = replace(rows[1], reason="another reason")
    forged = replace(forged, hash=digest(forged))
    assert codes([rows[0], forged, *rows[2:]], end) == {("log-broken", "log:3")}
