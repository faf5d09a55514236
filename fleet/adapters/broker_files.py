"""The files of an embedded broker: pure text, from users and places.

Every cabinet is a user of its own name and may use its own topics only: write what goes up, read
what comes down. The fleet's own users may use all of them.

With TLS everybody must show a certificate of the fleet's authority. Mosquitto takes the user's name
from it (CN), and his client id as well, so that nobody can push another one off by calling himself
the same; what was revoked is in a list. NATS knows an identity (URI) for every enrolment that counts,
and whoever is none of them stays outside. Without TLS, on loopback only, there are passwords.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet.core.records import Credential
from protocols import enrolment
from protocols.topics import DOWN, ROOT, UP, Leaf

FLEET_USER: Final = "fleet"
TELEMETRY_USER: Final = "fleet-telemetry"
QUEUED_MESSAGES_MAX: Final = 10_000  # per client; the default of 1,000 drops after PUBACK
INFLIGHT_MAX: Final = 1_000
#: Each QoS 1 subscription is a consumer; NATS's own default is 1,000 for a stream.
NATS_CONSUMERS_MAX: Final = 200_000
NATS_ACK_WAIT: Final = "10s"
NATS_HANDSHAKE_S: Final = 10  # a storm of cabinets that come back makes handshakes queue up


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What the broker reads: who vouches, its own key and certificate, what was revoked."""

    ca: Path
    server: Path
    crl: Path


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """Where the broker listens and keeps its files; ``tls`` None: passwords, on loopback."""

    host: str
    port: int
    folder: Path
    os_user: str
    tls: TlsFiles | None = None


def mosquitto_files(place: BrokerPlace, users: Iterable[Credential]) -> Mapping[str, str]:
    """``mosquitto.conf``, access list and, without TLS, the password file."""
    config = [
        f"user {place.os_user}",  # else mosquitto, started by root, can't read its own files
        f"listener {place.port} {place.host}",
        "allow_anonymous false",
        *_mosquitto_door(place),
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
    acl = [
        *(f"user {FLEET_USER}", f"topic readwrite {ROOT}/#"),
        *(f"user {TELEMETRY_USER}", f"topic read {ROOT}/+/+/{Leaf.TELEMETRY.value}"),
        *_patterns(),
    ]
    files = {"mosquitto.conf": "\n".join(config) + "\n", "acl": "\n".join(acl) + "\n"}
    if place.tls is None:
        known = (f"{user.username}:{user.pbkdf2}\n" for user in users if user.pbkdf2)
        files["passwords"] = "".join(known)
    return files


def _mosquitto_door(place: BrokerPlace) -> Iterable[str]:
    if place.tls is None:
        return [f"password_file {place.folder / 'passwords'}"]
    return [
        f"cafile {place.tls.ca}",
        f"certfile {place.tls.server}",
        f"keyfile {place.tls.server}",
        f"crlfile {place.tls.crl}",
        "tls_version tlsv1.2",  # and later
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
    ]


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
        "authorization": {"users": list(_nats_users(users, with_tls=place.tls is not None))},
    }
    if place.tls is not None:
        tls = {
            "ca_file": str(place.tls.ca),
            "cert_file": str(place.tls.server),
            "key_file": str(place.tls.server),
            "verify_and_map": True,
            "timeout": NATS_HANDSHAKE_S,
        }
        config["tls"] = config["mqtt"]["tls"] = tls
    return {"nats.conf": json.dumps(config, indent=1) + "\n"}


def _nats_users(users: Iterable[Credential], *, with_tls: bool) -> Iterable[dict[str, Any]]:
    for user in users:
        row: dict[str, Any] = {"permissions": _subjects(user)}
        if not with_tls and user.bcrypt is not None:
            yield {"user": user.username, "password": user.bcrypt, **row}
        elif with_tls and user.enrolled is not None:
            # Without a password, so the server's own client port must not take it.
            yield {"user": _identity(user), "allowed_connection_types": ["MQTT"], **row}


def _identity(user: Credential) -> str:
    if user.username in {FLEET_USER, TELEMETRY_USER}:
        return f"urn:yizhan:{user.username}"
    return enrolment.identity(user.username, user.enrolled or 0)


def _subjects(user: Credential) -> dict[str, Any]:
    root = ROOT.replace("/", ".")
    # A subscription of QoS 1 is delivered on a subject of its own below $MQTT.sub.
    if user.username == TELEMETRY_USER:
        told = f"{root}.*.*.{Leaf.TELEMETRY.value}"
        return {"publish": {"deny": [">"]}, "subscribe": [told, "$MQTT.sub.>"]}
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
