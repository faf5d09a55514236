"""The access lists of Mosquitto and EMQX say what the protocol says, and what our own broker uses."""

from __future__ import annotations

import re
from pathlib import Path

from fleet.adapters.broker_files import (
    FLEET_USER,
    INFLIGHT_MAX,
    QUEUED_MESSAGES_MAX,
    TELEMETRY_USER,
    BrokerPlace,
    TlsFiles,
    mosquitto_files,
)
from protocols.messages import PAYLOAD_BYTES_MAX
from protocols.topics import DOWN, ROOT, UP, Leaf

DEPLOY = Path(__file__).parents[3] / "deploy"


def bare(text: str, comment: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith(comment)]


def settings(text: str) -> dict[str, str]:
    return dict(line.partition(" ")[::2] for line in bare(text, "#"))


def embedded() -> dict[str, str]:
    here = Path("/x")
    place = BrokerPlace("0.0.0.0", 8883, here, "fleetd", TlsFiles(here, here, here))
    return dict(mosquitto_files(place, []))


def test_mosquittos_access_list_is_our_own_brokers() -> None:
    ours = bare((DEPLOY / "mosquitto/yizhan.acl").read_text(), "#")
    assert ours == bare(embedded()["acl"], "#")


def test_mosquitto_is_as_closed_and_as_wide_as_our_own_broker() -> None:
    found = settings((DEPLOY / "mosquitto/yizhan.conf").read_text())
    own = settings(embedded()["mosquitto.conf"])
    for name in (
        "allow_anonymous",
        "require_certificate",
        "use_identity_as_username",
        "use_username_as_clientid",
        "tls_version",
        "max_queued_messages",
        "max_inflight_messages",
        "persistent_client_expiration",
    ):
        assert found[name] == own[name], name
    for name in ("cafile", "certfile", "keyfile", "crlfile", "acl_file"):
        assert name in found
    assert int(found["message_size_limit"]) == PAYLOAD_BYTES_MAX
    assert int(found["max_packet_size"]) > PAYLOAD_BYTES_MAX


# --- EMQX --------------------------------------------------------------------------------------

RULE = re.compile(
    r"\{(?P<what>allow|deny), (?P<who>all|\{username, \"[a-z-]+\"\})"
    r"(?:, (?P<action>all|publish|subscribe), \[(?P<topics>[^\]]*)\])?\}\."
)


def test_emqxs_access_list_says_the_same() -> None:
    text = "\n".join(bare((DEPLOY / "emqx/yizhan.acl").read_text(), "%%"))
    rules = [match.groupdict() for match in RULE.finditer(text)]
    assert not RULE.sub("", text).strip(), "every term was read"
    assert rules[-1] == {"what": "deny", "who": "all", "action": None, "topics": None}
    named = [
        (rule["who"], rule["action"], set(re.findall(r'"([^"]+)"', rule["topics"])))
        for rule in rules[:-1]
    ]
    own = f"{ROOT}/+/${{username}}"
    down = {f"{own}/{leaf.value}" + ("/+" if leaf is Leaf.DESIRED_LISTS else "") for leaf in DOWN}
    assert named == [
        (f'{{username, "{FLEET_USER}"}}', "all", {f"{ROOT}/#"}),
        (f'{{username, "{TELEMETRY_USER}"}}', "subscribe", {f"{ROOT}/+/+/telemetry"}),
        ("all", "publish", {f"{own}/{leaf.value}" for leaf in UP}),
        ("all", "subscribe", down),
    ]
    assert all(rule["what"] == "allow" for rule in rules[:-1])


def hocon(text: str) -> dict[str, str]:
    """Path to value: enough of HOCON for our own file, and strict about it."""
    found: dict[str, str] = {}
    path: list[str] = []
    for raw in bare(text, "#"):
        line = raw.strip()
        if line.startswith("#"):
            continue
        if opened := re.fullmatch(r"([a-z0-9_.]+)(?: =)? ([{\[])", line):
            path.append(opened[1])
        elif line == "{":
            path.append("0")
        elif line in {"}", "]"}:
            path.pop()
        elif assigned := re.fullmatch(r"([a-z0-9_.]+) = (\S.*)", line):
            key = ".".join([*path, assigned[1]])
            assert key not in found, key
            found[key] = assigned[2].strip('"')
        else:
            raise AssertionError(f"not understood: {raw}")
    assert path == [], "every bracket is closed"
    return found


def test_emqx_lets_nobody_in_without_a_certificate_and_is_bounded() -> None:
    found = hocon((DEPLOY / "emqx/yizhan.conf").read_text())
    tls = "listeners.ssl.default.ssl_options"
    assert found[f"{tls}.verify"] == "verify_peer"
    assert found[f"{tls}.fail_if_no_peer_cert"] == "true"
    for name in ("tcp", "ws", "wss"):
        assert found[f"listeners.{name}.default.enable"] == "false"
    assert found["mqtt.peer_cert_as_username"] == found["mqtt.peer_cert_as_clientid"] == "cn"
    assert found["authorization.no_match"] == "deny"
    assert found["authorization.sources.0.path"] == "/etc/emqx/yizhan.acl"
    assert int(found["mqtt.max_mqueue_len"]) == QUEUED_MESSAGES_MAX
    assert int(found["mqtt.max_inflight"]) == INFLIGHT_MAX
    size = re.fullmatch(r"(\d+)KB", found["mqtt.max_packet_size"])
    assert size
    assert int(size[1]) * 1_024 > PAYLOAD_BYTES_MAX
