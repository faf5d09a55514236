"""The folder with the cabinet's credentials: the old set or the new one, never half of either."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from cabinet.adapters import credentials
from cabinet.adapters.credentials import Vault
from cabinet.adapters.enrolment import new_key
from cabinet.adapters.keys import keyring
from cabinet.errors import ConfigError
from protocols import signing
from protocols.enrolment import Grant
from protocols.messages import DesiredConfig, signing_bytes

NOW = dt.datetime(2026, 11, 26, tzinfo=dt.UTC)
KEY = "A" * 43 + "="


def grant(epoch: int = 1, *, command_keys: tuple[str, ...] = (KEY,)) -> tuple[Grant, str]:
    key_pem, key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "DH-0001")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(epoch)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    answer = Grant(
        cabinet="DH-0001",
        epoch=epoch,
        certificate=pem,
        ca=pem,
        command_keys=command_keys,
        group_keys=(KEY,),
        broker_urls=("mqtts://x:1",),
        device_url="https://x:1",
        fleet_url="https://x",
    )
    return answer, key_pem


def test_before_it_is_enrolled(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cabinetd enrol"):
        Vault(tmp_path / "none").read()


def test_a_set_replaces_the_one_before_and_readers_notice(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    reader = Vault(folder)
    for epoch in (1, 2, 3, 4):
        Vault(folder).put(*grant(epoch))
        held = reader.read()
        assert held.facts.epoch == epoch
        assert x509.load_pem_x509_certificate(held.client_file.read_bytes()).serial_number == epoch
        assert held.not_after_ms - held.not_before_ms == 365 * 24 * 3_600_000
    assert len(list(folder.glob("v-*"))) == 2, "the last one stays for a connection in the making"
    assert reader.read() is reader.read()


def test_new_keys_without_a_new_certificate(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    vault.put(*grant())
    before = vault.read().client_file.read_bytes()
    answer, _ = grant(command_keys=(KEY, "B" * 43 + "="))
    vault.put(msgspec.structs.replace(answer, certificate=None))
    assert len(vault.read().facts.command_keys) == 2
    assert vault.read().client_file.read_bytes() == before


@pytest.mark.parametrize("step", ["mkdir", "_write", "sync_folder", "symlink_to", "replace"])
def test_a_power_cut_leaves_the_old_set(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Vault(tmp_path).put(*grant(1))

    def cut(*_args: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    target = Path if hasattr(Path, step) else credentials
    with monkeypatch.context() as broken:
        broken.setattr(target, step, cut)
        with pytest.raises(ConfigError, match="No space left"):
            Vault(tmp_path).put(*grant(2))
    assert Vault(tmp_path).read().facts.epoch == 1
    Vault(tmp_path).put(*grant(3))
    assert Vault(tmp_path).read().facts.epoch == 3
    assert len(list(tmp_path.glob("v-*"))) <= 2


@pytest.mark.parametrize("file", ["fleet.json", "client.pem", "group.key"])
@pytest.mark.parametrize("damage", [b"", b"\xff{", b'{"epoch": 0}'])
def test_damage_is_told_with_its_remedy(tmp_path: Path, file: str, damage: bytes) -> None:
    Vault(tmp_path).put(*grant())
    (tmp_path / "current" / file).write_bytes(damage)
    with pytest.raises(ConfigError, match="enrol the cabinet again"):
        Vault(tmp_path).read()


def test_it_writes_for_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Vault(tmp_path / "c").put(*grant())
    finally:
        os.umask(before)
    for path in (tmp_path / "c", *(tmp_path / "c").rglob("*")):
        assert path.is_symlink() or path.stat().st_mode & 0o077 == 0, path


def test_either_key_of_a_rotation_is_the_fleets() -> None:
    (old, old_public), (new, new_public), (stranger, _) = (signing.generate() for _ in range(3))
    order = DesiredConfig(cabinet="DH-0001", version=1, values={"target_soc_pct": 90})
    held: tuple[str, ...] = (old_public, new_public)
    verify = keyring(lambda: held)

    def good(private: str) -> bool:
        signed = signing.sign(order, private)
        return verify(signing_bytes(signed), signed.sig)

    assert (good(old), good(new), good(stranger)) == (True, True, False)
    held = (new_public,)
    assert (good(old), good(new)) == (False, True)
    held = ()
    assert not good(new)

    def away() -> tuple[str, ...]:
        raise ConfigError("no folder")

    signed = signing.sign(order, new)
    assert not keyring(away)(signing_bytes(signed), signed.sig)
    assert not keyring(lambda: ("rubbish", KEY))(signing_bytes(signed), signed.sig)
