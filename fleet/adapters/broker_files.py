"""The files of an embedded broker: pure text, from users and places.

Every cabinet is a user of its own name and may use its own topics only: write what goes up, read
what comes down. The fleet's own user may use all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet.core.records import Credential
from protocols.topics import DOWN, ROOT, UP, Leaf

FLEET_USER: Final = "fleet"
QUEUED_MESSAGES_MAX: Final = 10_000  # per client; the default of 1,000 drops after PUBACK
INFLIGHT_MAX: Final = 1_000
#: Each QoS 1 subscription is a consumer; NATS's own default is 1,000 for a stream.
NATS_CONSUMERS_MAX: Final = 200_000
NATS_ACK_WAIT: Final = "10s"


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """Where the broker listens and keeps its files."""

    host: str
    port: int
    folder: Path
    os_user: str


def mosquitto_files(place: BrokerPlace, users: Iterable[Credential]) -> Mapping[str, str]:
    """``mosquitto.conf``, password file and access list."""
    config = [
        f"user {place.os_user}",  # else mosquitto, started by root, can't read its own files
        f"listener {place.port} {place.host}",
        "allow_anonymous false",
        f"password_file {place.folder / 'passwords'}",
        f"acl_file {place.folder / 'acl'}",
        "persistence true",
        f"persistence_location {place.folder}/",
        "autosave_interval 60",
        f"max_queued_messages {QUEUED_MESSAGES_MAX}",
        f"max_inflight_messages {INFLIGHT_MAX}",
        "persistent_client_expiration 1d",
        "set_tcp_nodelay true",
        "connection_messages false",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
    ]
    return {
        "mosquitto.conf": "\n".join(config) + "\n",
        "passwords": "".join(f"{user.username}:{user.pbkdf2}\n" for user in users),
        "acl": "\n".join([f"user {FLEET_USER}", f"topic readwrite {ROOT}/#", *_patterns()]) + "\n",
    }


def _patterns() -> Iterable[str]:
    for leaf in UP:
        yield f"pattern write {ROOT}/+/%u/{leaf.value}"
    for leaf in DOWN:
        tail = f"{leaf.value}/+" if leaf is Leaf.DESIRED_LISTS else leaf.value
        yield f"pattern read {ROOT}/+/%u/{tail}"


def nats_files(place: BrokerPlace, users: Iterable[Credential]) -> Mapping[str, str]:
    """``nats.conf``; its own client port is on loopback and as closed as the MQTT one."""
    config: dict[str, Any] = {
        "server_name": "yizhan",
        "host": "127.0.0.1",
        "port": -1,
        "jetstream": {
            "store_dir": str(place.folder / "jetstream"),
            "limits": {"default_max_consumers": NATS_CONSUMERS_MAX},
        },
        "mqtt": {
            "host": place.host,
            "port": place.port,
            "ack_wait": NATS_ACK_WAIT,
            "max_ack_pending": INFLIGHT_MAX,
        },
        "authorization": {
            "users": [
                {"user": user.username, "password": user.bcrypt, "permissions": _subjects(user)}
                for user in users
                if user.bcrypt is not None
            ]
        },
    }
    return {"nats.conf": json.dumps(config, indent=1) + "\n"}


def _subjects(user: Credential) -> dict[str, Any]:
    root = ROOT.replace("/", ".")
    # A subscription of QoS 1 is delivered on a subject of its own below $MQTT.sub.
    if user.username == FLEET_USER:
        every = f"{root}.>"
        return {"publish": [every], "subscribe": [every, "$MQTT.sub.>"]}
    own = f"{root}.*.{user.username}"
    down = [f"{own}.{leaf.value.replace('/', '.')}" for leaf in DOWN]
    lists = f"{own}.{Leaf.DESIRED_LISTS.value.replace('/', '.')}.*"
    return {
        "publish": [f"{own}.{leaf.value}" for leaf in UP],
        "subscribe": [*down, lists, "$MQTT.sub.>"],
    }
