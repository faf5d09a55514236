"""Signatures cover every field, the type and nothing else; rubbish is False, never an error."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import messages as m
from protocols import signing
from protocols.errors import MessageError
from tests.support.messages import COMMAND, SIGNED

PRIVATE, PUBLIC = signing.generate()
#: RFC 8032, section 7.1, test 1.
RFC_PRIVATE = base64.b64encode(
    bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
).decode()
RFC_PUBLIC = base64.b64encode(
    bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
).decode()

FIELDS = [
    pytest.param(message, field, id=f"{type(message).__name__}-{field}")
    for message in SIGNED
    for field in message.__struct_fields__
    if field not in ("sig", "schema")
]
KINDS = [type(message).__name__ for message in SIGNED]


def other(value: Any) -> Any:
    """A value of the same type that differs."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return value + "x"
        case tuple():
            return (*value, *value[:1])
        case dict():
            return {**value, "more": 1}
        case m.Precondition():
            return msgspec.structs.replace(value, slot=value.slot + 1)
        case _:
            raise AssertionError(f"no other {value!r}")


@pytest.mark.parametrize("message", SIGNED, ids=KINDS)
def test_a_signed_message_is_the_same_message_and_verifies(message: m.Signed) -> None:
    signed = signing.sign(message, PRIVATE)
    assert msgspec.structs.replace(signed, sig="") == message
    assert signing.verify(signed, PUBLIC)
    assert signing.verify(m.decode(m.encode(signed), type(message)), PUBLIC)


@pytest.mark.parametrize(("message", "field"), FIELDS)
def test_any_changed_field_breaks_the_signature(message: m.Signed, field: str) -> None:
    signed = signing.sign(message, PRIVATE)
    changed = msgspec.structs.replace(signed, **{field: other(getattr(message, field))})
    assert not signing.verify(changed, PUBLIC)


@pytest.mark.parametrize("field", ["reason", "swap_id", "precondition"])
def test_a_field_left_out_breaks_the_signature(field: str) -> None:
    signed = signing.sign(COMMAND, PRIVATE)
    assert signing.verify(signed, PUBLIC)
    empty = "" if field == "reason" else None
    assert not signing.verify(msgspec.structs.replace(signed, **{field: empty}), PUBLIC)


@pytest.mark.parametrize("message", SIGNED, ids=KINDS)
def test_another_key_does_not_verify(message: m.Signed) -> None:
    _, another = signing.generate()
    assert not signing.verify(signing.sign(message, PRIVATE), another)


@pytest.mark.parametrize("message", SIGNED, ids=KINDS)
def test_unsigned_does_not_verify(message: m.Signed) -> None:
    assert not signing.verify(message, PUBLIC)


def test_a_document_cannot_pass_for_another_type() -> None:
    """The bytes name the type, so equal JSON of two types has two signatures."""
    starts = {m.signing_bytes(message).split(b"\n", 1)[0] for message in SIGNED}
    assert len(starts) == len(SIGNED)
    assert all(
        json.loads(m.signing_bytes(message).split(b"\n", 1)[1])["sig"] == "" for message in SIGNED
    )


def test_order_of_arguments_does_not_matter() -> None:
    turned = msgspec.structs.replace(COMMAND, args=dict(reversed(COMMAND.args.items())))
    assert list(turned.args) != list(COMMAND.args)
    assert signing.sign(turned, PRIVATE).sig == signing.sign(COMMAND, PRIVATE).sig


def test_a_signature_survives_being_signed_again() -> None:
    once = signing.sign(COMMAND, PRIVATE)
    assert signing.sign(once, PRIVATE) == once


RUBBISH = ["", "x", "====", "电", "A" * 43, "A" * 44, "\x00", PUBLIC[:-4], PUBLIC + "AAAA", " "]


@pytest.mark.parametrize(
    "key", RUBBISH, ids=range(len(RUBBISH))
)  # two of them differ in each process
def test_a_rubbish_key_does_not_verify(key: str) -> None:
    assert signing.verify(signing.sign(COMMAND, PRIVATE), key) is False


@given(
    sig=st.text(max_size=100) | st.binary(max_size=80).map(lambda b: base64.b64encode(b).decode())
)
def test_a_rubbish_signature_does_not_verify(sig: str) -> None:
    assert signing.verify(msgspec.structs.replace(COMMAND, sig=sig), PUBLIC) is False


@pytest.mark.parametrize("value", [object(), {1: {2, 3j}}, "\ud800"])
def test_what_cannot_be_encoded_does_not_verify(value: object) -> None:
    command = msgspec.structs.replace(
        COMMAND, args={"x": value}, sig=base64.b64encode(bytes(64)).decode()
    )
    assert signing.verify(command, PUBLIC) is False


@given(bit=st.integers(0, 511))
def test_one_flipped_bit_of_the_signature(bit: int) -> None:
    signed = signing.sign(COMMAND, PRIVATE)
    raw = bytearray(base64.b64decode(signed.sig))
    raw[bit // 8] ^= 1 << bit % 8
    assert not signing.verify(
        msgspec.structs.replace(signed, sig=base64.b64encode(raw).decode()), PUBLIC
    )


def test_keys_are_base64_of_32_bytes_and_pair_up() -> None:
    assert signing.public_of(PRIVATE) == PUBLIC
    assert signing.public_of(RFC_PRIVATE) == RFC_PUBLIC
    assert [len(base64.b64decode(key)) for key in (PRIVATE, PUBLIC)] == [32, 32]
    assert signing.generate()[0] != PRIVATE


def test_a_key_read_from_a_file_may_end_in_a_newline() -> None:
    assert signing.verify(signing.sign(COMMAND, PRIVATE + "\n"), PUBLIC + "\n")


@pytest.mark.parametrize("key", ["", "x", "A" * 40, "电"])
def test_signing_with_rubbish_is_an_error(key: str) -> None:
    with pytest.raises(MessageError, match="private key"):
        signing.sign(COMMAND, key)
    with pytest.raises(MessageError, match="private key"):
        signing.public_of(key)
