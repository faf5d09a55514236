"""Topics: build, parse, subscribe."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import topics
from protocols.errors import MessageError
from protocols.topics import Leaf, Topic

CABINETS = st.from_regex(topics.CABINET_ID, fullmatch=True)


@given(CABINETS, st.sampled_from(sorted(Leaf)), st.integers(0, 4095))
def test_topics_both_ways(cabinet: str, leaf: Leaf, number: int) -> None:
    chunk = number if leaf is Leaf.DESIRED_LISTS else None
    topic = topics.build(cabinet, leaf, chunk)
    assert topics.parse(topic) == Topic(cabinet, leaf, chunk)
    assert topic.startswith("yz/v1/")
    assert re.fullmatch(r"[0-3][0-9a-f]", topic.split("/")[2])


def test_shard_is_stable_for_ever() -> None:
    # crc32(b"DH-0001") % 64, by another implementation of CRC-32.
    crc = 0xFFFFFFFF
    for byte in b"DH-0001":
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xEDB88320 if crc & 1 else crc >> 1
    assert topics.shard("DH-0001") == f"{(crc ^ 0xFFFFFFFF) % 64:02x}"


@pytest.mark.parametrize("leaf", sorted(Leaf))
def test_subscriptions_match_what_is_built(leaf: Leaf) -> None:
    chunk = 7 if leaf is Leaf.DESIRED_LISTS else None
    topic = topics.build("DH-0001", leaf, chunk)
    pattern = topics.subscription("DH-0001", leaf)
    assert matches(pattern, topic)
    assert not matches(pattern, topics.build("DH-0002", leaf, chunk))
    if leaf in topics.UP:
        assert matches(topics.fleet_subscription(leaf), topic)
        assert matches(topics.fleet_subscription(leaf, topics.shard("DH-0001")), topic)


def test_every_leaf_goes_one_way() -> None:
    assert set(topics.UP) | set(topics.DOWN) == set(Leaf)
    assert not set(topics.UP) & set(topics.DOWN)


@pytest.mark.parametrize(
    "cabinet", ["", "DH", "dh-0001", "DH 0001", "DH/0001", "DH+", "#", "D" * 33, "DH-0001\n"]
)
def test_ids_that_may_not_stand_in_a_topic(cabinet: str) -> None:
    with pytest.raises(MessageError, match="cabinet id"):
        topics.build(cabinet, Leaf.STATUS)


SHARD = topics.shard("DH-0001")


@pytest.mark.parametrize(
    ("topic", "text"),
    [
        ("", "expected yz/v1"),
        ("yz/v1", "expected yz/v1"),
        (f"yz/v2/{SHARD}/DH-0001/status", "expected yz/v1"),
        (f"yz/v1/{SHARD}/DH-0001", "expected yz/v1"),
        ("yz/v1/zz/DH-0001/status", "shard is 'zz'"),
        (f"yz/v1/{SHARD}/dh-0001/status", "cabinet id"),
        (f"yz/v1/{SHARD}/DH-0001/nonsense", "unknown leaf 'nonsense'"),
        (f"yz/v1/{SHARD}/DH-0001/status/1", "unknown leaf 'status/1'"),
        (f"yz/v1/{SHARD}/DH-0001/desired/lists/x", "list number 'x'"),
        (f"yz/v1/{SHARD}/DH-0001/desired/lists/²", "list number '²'"),
        (f"yz/v1/{SHARD}/DH-0001/desired/lists/-1", "list number '-1'"),
    ],
)
def test_topics_that_are_not_ours(topic: str, text: str) -> None:
    with pytest.raises(MessageError, match=re.escape(text)):
        topics.parse(topic)


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        found = topics.parse(text)
    except MessageError:
        return
    assert topics.build(found.cabinet, found.leaf, found.chunk)


def matches(pattern: str, topic: str) -> bool:
    """MQTT matching of + only."""
    wanted, parts = pattern.split("/"), topic.split("/")
    return len(wanted) == len(parts) and all(
        want in ("+", part) for want, part in zip(wanted, parts, strict=True)
    )
