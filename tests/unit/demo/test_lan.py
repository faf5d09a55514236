from __future__ import annotations

import socket
import ssl
import stat
import threading
import urllib.request
from pathlib import Path

import pytest

from deploy.demo import lan
from deploy.demo.processes import LOOPBACK
from deploy.demo.stack import Tls


def shake_hands(tls: Tls, address: str, *, ca_file: Path) -> None:
    """One TLS handshake as a phone does it, with a server that shows the leaf."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(tls.cert_file, tls.key_file)
    near, far = socket.socketpair()

    def serve() -> None:
        try:
            with server_side.wrap_socket(far, server_side=True):
                pass
        except OSError:
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client = ssl.create_default_context(cafile=str(ca_file))
        with client.wrap_socket(near, server_hostname=address):
            pass
    finally:
        near.close()
        thread.join(60)


def test_a_phone_that_trusts_the_ca_opens_the_page(tmp_path: Path) -> None:
    tls = lan.make_tls(tmp_path, "192.168.1.20")
    shake_hands(tls, "192.168.1.20", ca_file=tls.ca_file)


def test_the_leaf_is_for_this_address_only(tmp_path: Path) -> None:
    tls = lan.make_tls(tmp_path, "192.168.1.20")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"192\.168\.1\.21"):
        shake_hands(tls, "192.168.1.21", ca_file=tls.ca_file)


def test_another_ca_is_not_trusted(tmp_path: Path) -> None:
    tls = lan.make_tls(tmp_path / "ours", "192.168.1.20")
    other = lan.make_tls(tmp_path / "other", "192.168.1.20")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(tls, "192.168.1.20", ca_file=other.ca_file)


def test_a_kept_ca_is_used_again_and_replaced_for_another_address(tmp_path: Path) -> None:
    first = lan.make_tls(tmp_path, "192.168.1.20").ca_file.read_bytes()
    assert lan.make_tls(tmp_path, "192.168.1.20").ca_file.read_bytes() == first
    moved = lan.make_tls(tmp_path, "10.0.0.7")
    assert moved.ca_file.read_bytes() != first
    shake_hands(moved, "10.0.0.7", ca_file=moved.ca_file)


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    lan.make_tls(tmp_path, "192.168.1.20")
    for name in (lan.CA_KEY_FILE, "server.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_the_ca_page_serves_the_ca(tmp_path: Path) -> None:
    tls = lan.make_tls(tmp_path, LOOPBACK)
    page = lan.CaPage(tls.ca_file, LOOPBACK)
    try:
        with urllib.request.urlopen(page.url, timeout=60) as reply:
            assert reply.read() == tls.ca_file.read_bytes()
    finally:
        page.close()
