"""What a configuration says about encryption, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet import places
from fleet.config import FleetConfig, example, parse
from fleet.errors import ConfigError

ROOT = Path(__file__).parents[3]


def config(text: str, env: dict[str, str] | None = None) -> FleetConfig:
    return parse(text, "fleet.toml", Path("/etc/yizhan"), env or {})


def test_the_deployed_example_is_this_one_and_passes() -> None:
    assert (ROOT / "deploy/fleet.example.toml").read_text() == example()
    assert config(example()) == config("")


def test_encryption_is_the_default() -> None:
    plain = config("")
    assert (plain.broker.tls, plain.broker.port, plain.enrol.port) == (True, 8883, 8443)
    assert not config("[broker]\ntls = false\n").broker.tls
    assert not config("", {"FLEETD__BROKER__TLS": "false"}).broker.tls


def test_a_fast_clock_needs_a_demonstration() -> None:
    fast = config('[fleet]\nprofile = "demo"\nclock_rate = 60\nclock_origin_ms = 1772553600000')
    assert (fast.clock_rate, fast.clock_origin_ms) == (60, 1_772_553_600_000)
    assert config("").clock_rate == 1


FAULTS = [
    ('[broker]\ntls = false\nhost = "0.0.0.0"', "2", "broker.tls", "is not this machine"),
    ('[broker]\nmode = "external"\ntls = false\nhost = "mq.example"', "3", "broker.tls", "in"),
    ("[broker]\ntls = 0", "2", "broker.tls", "true or false"),
    ('[broker]\nca_file = "x"', "2", "broker.ca_file", "external"),
    ('[broker]\ncert_file = "x"\nkey_file = "y"', "2", "broker.cert_file", "external"),
    ('[broker]\nmode = "external"\ncert_file = "x"', "", "broker.key_file", "go together"),
    ('[broker]\nmode="external"\ntls=false\nca_file = "x"', "4", "broker.ca_file", "tls = true"),
    ('[broker]\npublic_url = "mqtt://x:1"', "2", "broker.public_url", "mqtts://host:port"),
    ('[enrol]\npublic_url = "https://x"', "2", "enrol.public_url", "https://host:port"),
    ('[enrol]\npublic_url = "https://x:1/path"', "2", "enrol.public_url", "https://host:port"),
    ("[fleet]\nclock_rate = 60", "2", "fleet.clock_rate", "fleet.profile is 'production'"),
    ("[fleet]\nclock_rate = 0", "2", "fleet.clock_rate", "1 to 600"),
    ("[enrol]\nport = 70000", "2", "enrol.port", "0 to 65535"),
]


@pytest.mark.parametrize(("text", "line", "key", "says"), FAULTS)
def test_a_fault_names_line_key_and_remedy(text: str, line: str, key: str, says: str) -> None:
    with pytest.raises(ConfigError) as told:
        config(text)
    first = str(told.value).splitlines()[0]
    assert key in first
    assert says in first
    assert first.startswith(f"fleet.toml:{line}:" if line else "fleet.toml: ")


def test_an_environment_that_is_neither_true_nor_false() -> None:
    with pytest.raises(ConfigError, match=r"environment FLEETD__BROKER__TLS.*true or false"):
        config("", {"FLEETD__BROKER__TLS": "no"})


@pytest.mark.parametrize(
    ("text", "device", "broker", "hosts"),
    [
        ("", "https://127.0.0.1:8443", "mqtts://127.0.0.1:8883", {"127.0.0.1"}),
        (
            '[http]\npublic_url = "https://swap.example"\n',
            "https://swap.example:8443",
            "mqtts://swap.example:8883",
            {"swap.example", "127.0.0.1"},
        ),
        (
            '[http]\nhost = "0.0.0.0"\n[broker]\nhost = "0.0.0.0"\n[enrol]\nhost = "10.0.0.7"\n',
            "https://10.0.0.7:8443",
            "mqtts://127.0.0.1:8883",
            {"10.0.0.7", "127.0.0.1"},
        ),
        (
            '[broker]\npublic_url = "mqtts://mq.example:1"\nhost = "::1"\n'
            '[enrol]\npublic_url = "https://[fd00::1]:2"\n',
            "https://[fd00::1]:2",
            "mqtts://mq.example:1",
            {"mq.example", "fd00::1", "::1", "127.0.0.1"},
        ),
        (
            '[http]\npublic_url = "https://swap.example"\n[broker]\nmode = "external"\n'
            'host = "mq.example"\n',
            "https://swap.example:8443",
            "mqtts://mq.example:8883",
            {"swap.example", "mq.example", "127.0.0.1"},
        ),
    ],
)
def test_where_cabinets_are_sent(text: str, device: str, broker: str, hosts: set[str]) -> None:
    made = config(text)
    assert places.device_url(made, made.enrol.port) == device
    assert places.broker_url(made, made.broker.port) == broker
    assert places.certificate_hosts(made) == hosts
