"""The token's text, and the strict messages of enrolment."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import enrolment
from protocols.enrolment import EnrolRequest, Grant, RenewRequest, Token, parse_token, token_text
from protocols.errors import MessageError

TOKEN = Token("0123456789ab", bytes(range(16)), bytes(range(16, 32)), "fleet.example:8443")
PLACES = st.one_of(
    st.just("[::1]:8443"), st.from_regex(r"[A-Za-z0-9.-]{1,60}:[0-9]{1,5}", fullmatch=True)
)


@given(
    st.binary(min_size=6, max_size=6),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=16, max_size=16),
    PLACES,
)
def test_a_token_survives_its_text(name: bytes, secret: bytes, ca: bytes, place: str) -> None:
    token = Token(name.hex(), secret, ca, place)
    text = token_text(token)
    assert parse_token(text) == token
    assert parse_token(f"  {text[:20]}\n {text[20:]} ") == token  # as it wraps on a screen
    assert token.url == f"https://{place}"


@given(st.data())
def test_a_mistyped_token_is_noticed_and_its_secret_not_told(data: st.DataObject) -> None:
    text = token_text(TOKEN)
    at = data.draw(st.integers(len("yz1."), len(text) - 2))  # the last sign has spare bits
    wrong = data.draw(st.sampled_from([c for c in "abcXYZ019-_" if c != text[at]]))
    with pytest.raises(MessageError) as told:
        parse_token(text[:at] + wrong + text[at + 1 :])
    assert text[10:40] not in str(told.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "does not begin with yz1."),
        ("yz2.abcd", "does not begin with yz1."),
        ("yz1.", "check sum"),
        (token_text(TOKEN)[:-6], "check sum"),
        ("yz1.§§", "mistyped"),
        ("yz1." + "A" * 500, "at most"),
    ],
)
def test_what_is_no_token(text: str, says: str) -> None:
    with pytest.raises(MessageError, match=says):
        parse_token(text)


@given(st.text(max_size=120))
def test_no_text_breaks_the_parser(text: str) -> None:
    for each in (text, enrolment.TOKEN_PREFIX + text):
        try:
            parse_token(each)
        except MessageError:
            continue


def test_a_token_names_a_place_only() -> None:
    for place in ("fleet.example", "user@host:1", "host:1/path", "a b:1", ""):
        with pytest.raises(MessageError, match="host:port"):
            parse_token(token_text(Token(TOKEN.id, TOKEN.secret, TOKEN.fingerprint, place)))


ASKED = {
    "token_id": "0123456789ab",
    "secret": "00" * 16,
    "cabinet": "DH-0001",
    "csr": "x" * 100,
    "software": "0.1.0",
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("token_id", "0123456789AB"),
        ("secret", "00" * 15),
        ("cabinet", "dh-0001"),
        ("cabinet", "DH-0001/x"),
        ("csr", "x" * 10_000),
        ("csr", 7),
        ("more", "x"),
    ],
)
def test_requests_are_strict(key: str, value: object) -> None:
    good = msgspec.json.decode(msgspec.json.encode(ASKED), type=EnrolRequest)
    assert good.cabinet == "DH-0001"
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode({**ASKED, key: value}), type=EnrolRequest)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode({"more": 1}), type=RenewRequest)


def test_what_is_printed_has_no_secrets() -> None:
    key = "A" * 43 + "="
    grant = Grant(
        cabinet="DH-0001",
        epoch=1,
        certificate=None,
        ca="x" * 64,
        command_keys=(key,),
        group_keys=(key,),
        broker_urls=("mqtts://x:1",),
        device_url="https://x:1",
        fleet_url="https://x",
    )
    request = msgspec.json.decode(msgspec.json.encode(ASKED), type=EnrolRequest)
    assert key not in repr(grant)
    assert "00" * 16 not in repr(request)
    assert repr(TOKEN.secret) not in repr(TOKEN)


def test_a_set_of_secrets_has_one_name() -> None:
    name = enrolment.secrets_id(("a",), ("b",))
    assert name == enrolment.secrets_id(("a",), ("b",))
    others = [(("a", "b"), ()), (("b",), ("a",)), (("a",), ("b", "c")), (("a",), ())]
    assert len({name, *(enrolment.secrets_id(*each) for each in others)}) == 1 + len(others)
