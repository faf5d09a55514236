"""Codes against RFC 6238 and RFC 4226, numbers, and tickets."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import offline, signing
from protocols.errors import MessageError
from protocols.messages import Kind
from protocols.offline import Ticket

KEY = bytes(range(32))
RFC_SECRET = b"12345678901234567890"
#: RFC 4226 appendix D: the first ten codes of its secret.
RFC4226 = [
    "755224",
    "287082",
    "359152",
    "969429",
    "338314",
    "254676",
    "287922",
    "162583",
    "399871",
    "520489",
]
#: RFC 6238 appendix B, SHA-1, eight digits: the last six are the six-digit code.
RFC6238 = {59: "94287082", 1111111109: "07081804", 1234567890: "89005924", 2000000000: "69279037"}
NOW_MS = 1_795_000_000_000
TICKET = Ticket(
    id="01KB0000000000000000000000",
    rider_id="R0123456789AB",
    number=offline.rider_number(42),
    kind=Kind.SWAP,
    issued_ms=NOW_MS,
    expires_ms=NOW_MS + 3_600_000,
    expected_serial="YZ48-000101",
)


@pytest.mark.parametrize(("counter", "code"), list(enumerate(RFC4226)))
def test_the_codes_of_rfc_4226(counter: int, code: str) -> None:
    assert offline.totp(RFC_SECRET, counter) == code


@pytest.mark.parametrize(("at_s", "code"), list(RFC6238.items()))
def test_the_codes_of_rfc_6238(at_s: int, code: str) -> None:
    assert offline.totp(RFC_SECRET, offline.step_of(at_s * 1000)) == code[-6:]


def _code(number: str, at_ms: int) -> str:
    secret = offline.rider_secret(KEY, number, offline.month_of(at_ms))
    return offline.totp(secret, offline.step_of(at_ms))


@given(st.integers(0, 9_999_999), st.integers(0, 4_000_000_000_000))
def test_a_code_is_taken_once_within_a_step_of_its_time(serial: int, at_ms: int) -> None:
    number = offline.rider_number(serial)
    code = _code(number, at_ms)
    step = offline.matching_step((KEY,), number, code, at_ms)
    assert step is not None
    assert abs(step - offline.step_of(at_ms)) <= offline.CODE_SKEW_STEPS
    again = offline.matching_step((KEY,), number, code, at_ms, after_step=step)
    assert again is None or (again > step and again != step)


@pytest.mark.parametrize("late_ms", [-61_000, 61_000, 3_600_000])
def test_a_code_of_another_time_is_wrong(late_ms: int) -> None:
    number = offline.rider_number(7)
    assert offline.matching_step((KEY,), number, _code(number, NOW_MS), NOW_MS + late_ms) is None


def test_a_code_works_across_the_end_of_a_month() -> None:
    midnight_ms = 1_796_083_200_000  # 2026-12-01T00:00:00Z
    number = offline.rider_number(7)
    before = _code(number, midnight_ms - 5_000)
    assert offline.month_of(midnight_ms - 1) == "2026-11"
    assert offline.month_of(midnight_ms) == "2026-12"
    assert offline.matching_step((KEY,), number, before, midnight_ms + 5_000) is not None


def test_another_rider_key_or_rubbish_is_wrong() -> None:
    mine, other = offline.rider_number(1), offline.rider_number(2)
    code = _code(mine, NOW_MS)
    assert offline.matching_step((KEY,), other, code, NOW_MS) is None
    assert offline.matching_step((bytes(32),), mine, code, NOW_MS) is None
    for rubbish in ("", "1", "12345", "１２３４５６", "x" * 10_000, code + " "):
        assert offline.matching_step((KEY,), mine, rubbish, NOW_MS) is None


@given(st.integers(0, 9_999_999), st.integers(0, 7), st.integers(1, 9))
def test_the_check_digit_finds_every_wrong_digit(serial: int, place: int, shift: int) -> None:
    number = offline.rider_number(serial)
    assert offline.valid_number(number)
    wrong = str((int(number[place]) + shift) % 10)
    assert not offline.valid_number(number[:place] + wrong + number[place + 1 :])


@pytest.mark.parametrize("text", ["", "1234567", "123456789", "1234567x", "１２３４５６７４"])
def test_what_is_no_number(text: str) -> None:
    assert not offline.valid_number(text)


def test_a_ticket_goes_through_its_qr_text() -> None:
    private, public = signing.generate()
    signed = signing.sign(TICKET, private)
    text = offline.ticket_text(signed)
    assert len(text) <= offline.TICKET_CHARS_MAX
    assert offline.parse_ticket(text) == signed
    assert signing.verify(signed, public)


def test_no_field_of_a_ticket_can_change() -> None:
    private, public = signing.generate()
    signed = signing.sign(TICKET, private)
    for changes in ({"rider_id": "Rx"}, {"expires_ms": 2 * NOW_MS}, {"kind": Kind.PICKUP}):
        assert not signing.verify(msgspec.structs.replace(signed, **changes), public)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: base64.b64encode(b).decode()))
def test_rubbish_is_no_ticket(text: str) -> None:
    for candidate in (text, offline.TICKET_PREFIX + text):
        with pytest.raises(MessageError):
            offline.parse_ticket(candidate)


def test_a_group_key_is_thirty_two_bytes() -> None:
    assert offline.parse_group_key(offline.group_key_text(KEY) + "\n") == KEY
    for wrong in ("", "AAAA", "!", offline.group_key_text(b"x" * 31)):
        with pytest.raises(MessageError):
            offline.parse_group_key(wrong)
    assert offline.key_id(KEY) != offline.key_id(bytes(32))


def test_a_file_of_keys_holds_one_or_two() -> None:
    one, two = offline.group_key_text(KEY), offline.group_key_text(bytes(32))
    assert offline.parse_group_keys(f"{one}\n") == (KEY,)
    assert offline.parse_group_keys(f"{one}\n{two}\n") == (KEY, bytes(32))
    for wrong in ("", "\n", f"{one}\n{two}\n{one}", f"{one}\n\n{two}", f"{one}\nAAAA"):
        with pytest.raises(MessageError):
            offline.parse_group_keys(wrong)


def test_codes_of_either_key_are_right_while_a_key_is_rotated() -> None:
    number, old, wall_ms = offline.rider_number(42), bytes(32), 1_800_000_000_000
    step = offline.step_of(wall_ms)
    for key in (KEY, old):
        secret = offline.rider_secret(key, number, offline.month_of(wall_ms))
        code = offline.totp(secret, step)
        assert offline.matching_step((KEY, old), number, code, wall_ms) == step
        assert offline.matching_step((KEY, old), number, code, wall_ms, after_step=step) is None
        assert offline.matching_step((bytes([1]) * 32,), number, code, wall_ms) is None
