"""Phone numbers as people type them, and the rules of codes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.core.login import (
    CODE_LIFE_MS,
    RESEND_AFTER_MS,
    SENDS_MAX,
    SENDS_WINDOW_MS,
    TRIES_MAX,
    LoginCode,
    Verdict,
    Wait,
    ask,
    check,
    code_from,
    code_hash,
    normalise_code,
    normalise_phone,
    token_hash,
)
from fleet.errors import InvalidError

NOW_MS = 1_800_000_000_000
RIGHT, OTHER = "right-hash", "other-hash"

national = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True)
fillers = st.sampled_from(["", " ", "-", "  "])


@pytest.mark.parametrize(
    ("typed", "phone"),
    [
        ("13800138000", "+8613800138000"),
        ("138 0013 8000", "+8613800138000"),
        ("138-0013-8000", "+8613800138000"),
        ("8613800138000", "+8613800138000"),
        ("+86 138 0013 8000", "+8613800138000"),
        ("008613800138000", "+8613800138000"),
        ("１３８００１３８０００", "+8613800138000"),
        ("+852 9123 4567", "+85291234567"),
        ("0085291234567", "+85291234567"),
        ("+1 (415) 555-2671", "+14155552671"),
        ("+33 6.12.34.56.78", "+33612345678"),
    ],
)
def test_phone_is_normalised(typed: str, phone: str) -> None:
    assert normalise_phone(typed) == phone


@pytest.mark.parametrize(
    "typed",
    ["", "12", "hello", "23800138000", "1380013800", "138001380000", "+", "+0123456789", "+86 10 6552 9988",
     "+861380013800", "13800138000 ext 5", "+" + "1" * 30, "1" * 100, "138001３八000"],
)  # fmt: skip
def test_what_is_no_phone_is_refused(typed: str) -> None:
    with pytest.raises(InvalidError) as caught:
        normalise_phone(typed)
    assert caught.value.code == "phone-invalid"


@given(number=national, gap=fillers, prefix=st.sampled_from(["", "86", "+86", "0086"]))
def test_a_chinese_number_has_one_form(number: str, gap: str, prefix: str) -> None:
    typed = prefix + gap + gap.join((number[:3], number[3:7], number[7:]))
    assert normalise_phone(typed) == f"+86{number}"


@given(st.text(max_size=60))
def test_normalising_is_total_and_idempotent(text: str) -> None:
    try:
        phone = normalise_phone(text)
    except InvalidError:
        return
    assert normalise_phone(phone) == phone
    assert phone[0] == "+"
    assert phone[1:].isascii()
    assert phone[1:].isdigit()


@pytest.mark.parametrize(
    ("typed", "code"),
    [("123456", "123456"), (" 123 456 ", "123456"), ("１２３４５６", "123456"), ("000000", "000000"),
     ("12345", None), ("1234567", None), ("12a456", None), ("", None), ("١٢٣٤٥٦", None)],
)  # fmt: skip
def test_code_is_normalised(typed: str, code: str | None) -> None:
    assert normalise_code(typed) == code


@given(st.integers(0, 999_999))
def test_a_code_has_six_digits(number: int) -> None:
    assert len(code_from(number)) == 6
    assert int(code_from(number)) == number


@pytest.mark.parametrize("number", [-1, 1_000_000])
def test_no_code_from_outside(number: int) -> None:
    with pytest.raises(ValueError, match="below"):
        code_from(number)


def test_hashes_depend_on_all_they_stand_for() -> None:
    base = code_hash(b"k", "p", "123456")
    others = {code_hash(b"x", "p", "123456"), code_hash(b"k", "q", "123456"), code_hash(b"k", "p", "123457")}  # fmt: skip
    assert base not in others
    assert len(others) == 3
    assert len(base) == len(token_hash("t")) == 64


def sent(at_ms: int = NOW_MS, *, tries: int = 0, sends: int = 1) -> LoginCode:
    return LoginCode(RIGHT, at_ms + CODE_LIFE_MS, tries=tries, sent_ms=at_ms, sends=sends)


@pytest.mark.parametrize(
    ("row", "after_ms", "answer"),
    [
        (None, 0, 1),
        (sent(), 0, Wait(60)),
        (sent(), RESEND_AFTER_MS - 1, Wait(1)),
        (sent(), RESEND_AFTER_MS, 2),
        (sent(sends=SENDS_MAX - 1), RESEND_AFTER_MS, SENDS_MAX),
        (sent(sends=SENDS_MAX), RESEND_AFTER_MS, Wait(3_540)),
        (sent(sends=SENDS_MAX), SENDS_WINDOW_MS - 1, Wait(1)),
        (sent(sends=SENDS_MAX), SENDS_WINDOW_MS, 1),
        (sent(sends=SENDS_MAX), -1, 1),  # the clock was set back
    ],
)
def test_asking(row: LoginCode | None, after_ms: int, answer: int | Wait) -> None:
    got = ask(row, OTHER, NOW_MS + after_ms)
    if isinstance(answer, Wait):
        assert got == answer
    else:
        now_ms = NOW_MS + after_ms
        assert got == LoginCode(OTHER, now_ms + CODE_LIFE_MS, tries=0, sent_ms=now_ms, sends=answer)


@pytest.mark.parametrize(
    ("row", "typed", "after_ms", "verdict", "tries"),
    [
        (None, RIGHT, 0, Verdict.EXPIRED, None),
        (sent(), RIGHT, 0, Verdict.RIGHT, TRIES_MAX),
        (sent(), RIGHT, CODE_LIFE_MS - 1, Verdict.RIGHT, TRIES_MAX),
        (sent(), RIGHT, CODE_LIFE_MS, Verdict.EXPIRED, 0),
        (sent(), RIGHT, -1, Verdict.EXPIRED, 0),
        (sent(), OTHER, 0, Verdict.WRONG, 1),
        (sent(tries=4), OTHER, 0, Verdict.WRONG, 5),
        (sent(tries=4), RIGHT, 0, Verdict.RIGHT, TRIES_MAX),
        (sent(tries=5), RIGHT, 0, Verdict.EXPIRED, 5),
    ],
)
def test_checking(
    row: LoginCode | None, typed: str, after_ms: int, verdict: Verdict, tries: int | None
) -> None:
    got, kept = check(row, typed, NOW_MS + after_ms)
    assert got is verdict
    assert (kept.tries if kept else None) == tries


@given(st.lists(st.sampled_from([RIGHT, OTHER]), max_size=12))
def test_a_code_opens_once_and_dies_after_five_wrong_tries(typed: list[str]) -> None:
    row: LoginCode | None = sent()
    verdicts = []
    for each in typed:
        verdict, row = check(row, each, NOW_MS)
        verdicts.append(verdict)
    first = typed.index(RIGHT) if RIGHT in typed else TRIES_MAX
    expected = [Verdict.WRONG] * min(first, TRIES_MAX, len(typed))
    if first < TRIES_MAX and RIGHT in typed:
        expected.append(Verdict.RIGHT)
    expected += [Verdict.EXPIRED] * (len(typed) - len(expected))
    assert verdicts == expected


@given(st.lists(st.integers(0, SENDS_WINDOW_MS // 4), max_size=40))
def test_never_more_codes_than_the_limit_in_a_window(gaps_ms: list[int]) -> None:
    row: LoginCode | None = None
    now_ms, sent_at = NOW_MS, []
    for gap_ms in gaps_ms:
        now_ms += gap_ms
        answer = ask(row, OTHER, now_ms)
        if isinstance(answer, Wait):
            assert 1 <= answer.retry_after_s <= SENDS_WINDOW_MS // 1_000
        else:
            row = answer
            sent_at.append(now_ms)
    for first, second in pairwise(sent_at):
        assert second - first >= RESEND_AFTER_MS
    for first, sixth in zip(sent_at, sent_at[SENDS_MAX:], strict=False):
        assert sixth - first >= SENDS_WINDOW_MS
