"""MQTT topics: ``yz/v1/{shard}/{cabinet}/{leaf}``.

The shard lets a fleet worker subscribe to a part of all cabinets on any broker, without shared
subscriptions, and keeps the order per cabinet.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocols.errors import MessageError

ROOT: Final = "yz/v1"
SHARDS: Final = 64
CABINET_ID: Final = re.compile(r"[A-Z0-9-]{3,32}")


class Leaf(StrEnum):
    """The last part of a topic: what it carries."""

    STATUS = "status"
    TELEMETRY = "telemetry"
    CHALLENGE = "challenge"
    EVENT = "event"
    ACK = "ack"
    COMMAND = "command"
    RESULT = "result"
    DESIRED_CONFIG = "desired/config"
    DESIRED_PLAN = "desired/plan"
    DESIRED_LISTS = "desired/lists"


#: What a cabinet subscribes to; the lists come in numbered chunks below their leaf.
DOWN: Final = (
    Leaf.CHALLENGE,
    Leaf.ACK,
    Leaf.COMMAND,
    Leaf.DESIRED_CONFIG,
    Leaf.DESIRED_PLAN,
    Leaf.DESIRED_LISTS,
)
#: What the fleet subscribes to.
UP: Final = (Leaf.STATUS, Leaf.TELEMETRY, Leaf.EVENT, Leaf.RESULT)


@dataclass(frozen=True, slots=True)
class Topic:
    """A parsed topic. ``chunk`` is the list number, None elsewhere."""

    cabinet: str
    leaf: Leaf
    chunk: int | None = None


def check_cabinet_id(cabinet: str) -> str:
    """Return the id unchanged, or raise MessageError when it may not stand in a topic."""
    if not CABINET_ID.fullmatch(cabinet):
        raise MessageError(
            f"cabinet id {cabinet!r}: expected 3 to 32 of A-Z, 0-9 and '-', for example DH-0001"
        )
    return cabinet


def shard(cabinet: str) -> str:
    """Two lower-case hex digits, stable for ever: crc32 of the id modulo 64."""
    return f"{zlib.crc32(check_cabinet_id(cabinet).encode()) % SHARDS:02x}"


def build(cabinet: str, leaf: Leaf, chunk: int | None = None) -> str:
    """The topic of one leaf of one cabinet."""
    tail = leaf.value if chunk is None else f"{leaf.value}/{chunk}"
    return f"{ROOT}/{shard(cabinet)}/{cabinet}/{tail}"


def subscription(cabinet: str, leaf: Leaf) -> str:
    """What a cabinet subscribes to for a leaf: all chunks of the lists, else the topic itself."""
    topic = build(cabinet, leaf)
    return f"{topic}/+" if leaf is Leaf.DESIRED_LISTS else topic


def fleet_subscription(leaf: Leaf, shard_hex: str = "+") -> str:
    """What the fleet subscribes to for a leaf, for all shards or one."""
    return f"{ROOT}/{shard_hex}/+/{leaf.value}"


def parse(topic: str) -> Topic:
    """Parse a topic; raise MessageError when it is not one of ours or its shard is wrong."""
    parts = topic.split("/")
    if len(parts) < 5 or "/".join(parts[:2]) != ROOT:
        raise MessageError(f"topic {topic!r}: expected {ROOT}/SHARD/CABINET/LEAF")
    cabinet, rest = check_cabinet_id(parts[3]), parts[4:]
    if parts[2] != shard(cabinet):
        raise MessageError(f"topic {topic!r}: shard is {parts[2]!r}, expected {shard(cabinet)!r}")
    chunk: int | None = None
    if rest[:2] == ["desired", "lists"] and len(rest) == 3:
        if not rest[2].isascii() or not rest[2].isdigit():
            raise MessageError(f"topic {topic!r}: list number {rest[2]!r} is not a number")
        chunk, rest = int(rest[2]), rest[:2]
    try:
        return Topic(cabinet, Leaf("/".join(rest)), chunk)
    except ValueError:
        raise MessageError(f"topic {topic!r}: unknown leaf {'/'.join(rest)!r}") from None
