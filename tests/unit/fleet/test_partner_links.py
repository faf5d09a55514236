"""Partners' signed links: what counts, and everything that does not."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.core.partners import (
    LinkError,
    Partner,
    check_partner,
    open_link,
    partner_named,
)
from fleet.errors import InvalidError
from tests.support.partners import Platform

NOW_S = 1_760_000_000
PLATFORM = Platform()
PARTNER = Partner("meituan", "美团", PLATFORM.public_key)


def judged(link: str, partner: Partner = PARTNER, now_s: int = NOW_S) -> str:
    try:
        return open_link(link, partner, PLATFORM.audience, now_s * 1_000).subject
    except LinkError as error:
        return error.code


def test_a_good_link_names_the_rider() -> None:
    link = PLATFORM.link(NOW_S, subject="courier-7", jti="abcdefgh")
    visitor = open_link(link, PARTNER, PLATFORM.audience + "/", NOW_S * 1_000)
    assert (visitor.partner, visitor.subject, visitor.jti) == ("meituan", "courier-7", "abcdefgh")
    assert visitor.expires_ms == (NOW_S + 60) * 1_000
    assert partner_named(link) == "meituan"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": NOW_S}, "link-expired"),
        ({"exp": NOW_S - 1, "iat": NOW_S - 60}, "link-expired"),
        ({"exp": NOW_S + 121}, "link-expired"),  # lives longer than it may
        ({"iat": NOW_S + 31, "exp": NOW_S + 60}, "link-expired"),
        ({"exp": NOW_S + 60, "iat": NOW_S + 60}, "link-expired"),
        ({"aud": "https://elsewhere.example"}, "link-forged"),
        ({"iss": "taobao"}, "link-forged"),
        ({"sub": ""}, "link-forged"),
        ({"sub": "white space"}, "link-forged"),
        ({"sub": "x" * 129}, "link-forged"),
        ({"jti": "short"}, "link-forged"),
        ({"jti": 7}, "link-forged"),
        ({"exp": "soon"}, "link-forged"),
        ({"exp": NOW_S + 60.5}, "link-forged"),
    ],
)
def test_claims_that_do_not_count(claims: dict[str, Any], code: str) -> None:
    assert judged(PLATFORM.link(NOW_S, **claims)) == code


@pytest.mark.parametrize(
    "header", [{"alg": "none"}, {"alg": "HS256"}, {"kid": "taobao"}, {"kid": "../x"}, {"kid": 1}]
)
def test_headers_that_do_not_count(header: dict[str, Any]) -> None:
    assert judged(PLATFORM.link(NOW_S, header=header)) == "link-forged"


def test_another_key_or_a_changed_claim_is_forged() -> None:
    assert judged(Platform().link(NOW_S)) == "link-forged"
    head, body, seal = PLATFORM.link(NOW_S).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    changed = base64.urlsafe_b64encode(json.dumps(claims | {"sub": "other"}).encode())
    assert judged(f"{head}.{changed.rstrip(b'=').decode()}.{seal}") == "link-forged"
    other = "B" if seal[0] == "A" else "A"
    assert judged(f"{head}.{body}.{other}{seal[1:]}") == "link-forged"
    assert judged(f"{head}.{body}.") == "link-forged"


@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"))
def test_nothing_that_is_no_link_gets_in_or_crashes(text: str) -> None:
    assert judged(text) == "link-forged"


@given(st.integers(0, 400), st.characters(codec="ascii"))
def test_no_changed_character_gets_in(place: int, character: str) -> None:
    link = PLATFORM.link(NOW_S, jti="the-same-one")
    place %= len(link)
    changed = link[:place] + character + link[place + 1 :]
    if changed != link:
        assert judged(changed) == "link-forged"


@pytest.mark.parametrize(
    "values",
    [
        {"id": "M"},
        {"id": "Mei Tuan"},
        {"name": ""},
        {"link_key": "AAAA"},
        {"link_key": "not base64!"},
        {"quota_day": 0},
        {"colour": "red"},
        {"colour": "#FFF000"},
        {"webhook_url": "http://partner.example/hook"},
        {"webhook_url": "ftp://partner.example"},
        {"webhook_url": "https://user@partner.example/"},
        {"webhook_url": "https://"},
        {"webhook_url": "https://a..example/hook"},  # what no wire takes
        {"webhook_url": f"https://{'x' * 64}.example/hook"},
        {"webhook_url": "https://partner.example:99999/hook"},
        {"webhook_url": "https://partner.example/höre"},
        {"webhook_url": "https://partner.example/a b"},
    ],
)
def test_a_partner_is_checked(values: dict[str, Any]) -> None:
    good = {"id": "meituan", "name": "美团", "link_key": PLATFORM.public_key}
    check_partner(Partner(**good, webhook_url="https://partner.example/hook"))
    with pytest.raises(InvalidError):
        check_partner(Partner(**(good | values)))
