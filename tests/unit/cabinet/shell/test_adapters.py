"""Small adapters: where the broker is, whose signature counts, which session is the newest."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cabinet.adapters.keys import nobody, secret, verifier
from cabinet.adapters.mqtt import endpoint
from cabinet.adapters.session_file import SessionFile
from cabinet.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://broker", "broker", 1883, False),
        ("mqtts://broker", "broker", 8883, True),
        ("mqtts://broker.example:9001", "broker.example", 9001, True),
        ("mqtt://[::1]:1884", "::1", 1884, False),
    ],
)
def test_endpoint(url: str, host: str, port: int, tls: bool) -> None:
    place = endpoint(url, "DH-0001", username="u", password="p-secret")
    assert (place.host, place.port, place.tls) == (host, port, tls)
    assert "p-secret" not in repr(place)


@pytest.mark.parametrize("url", ["", "broker:1883", "http://broker", "mqtt://", "mqtt://b:99999"])
def test_a_wrong_url_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match="expected mqtt://host:port"):
        endpoint(url, "DH-0001")


def test_only_the_fleets_signature_counts(tmp_path: Path) -> None:
    key, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    file = tmp_path / "key"
    file.write_text(base64.b64encode(key.public_key().public_bytes_raw()).decode() + "\n")
    verify = verifier(file)
    good = base64.b64encode(key.sign(b"open 3")).decode()
    assert verify(b"open 3", good)
    assert not verify(b"open 4", good)
    assert not verify(b"open 3", base64.b64encode(stranger.sign(b"open 3")).decode())
    for nonsense in ("", "?", "AAAA", good[:-4], "ü"):
        assert not verify(b"open 3", nonsense)
    assert not nobody(b"open 3", good)


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!"])
def test_a_key_file_that_holds_no_key_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(ConfigError, match=str(file)):
        verifier(file)


def test_a_secret_is_the_first_line(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hush\nmore\n")
    assert secret(file) == "hush"
    file.write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        secret(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        secret(tmp_path / "absent")


def test_the_session_rises_whatever_the_clock_says(tmp_path: Path) -> None:
    file = tmp_path / "session"
    sessions = SessionFile(file)
    assert [sessions.next(1_000), sessions.next(900), sessions.next(5_000)] == [1_000, 1_001, 5_000]
    assert SessionFile(file).next(10) == 5_001
    file.write_text("garbage")
    assert SessionFile(file).next(10) == 10
