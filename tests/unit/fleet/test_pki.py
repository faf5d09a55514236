"""The fleet's own certificate authority."""

from __future__ import annotations

import datetime as dt
import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cabinet.adapters.enrolment import new_key, request_of
from fleet.adapters import pki
from fleet.adapters.pki import Authority, peer_of
from fleet.core.enrolment import Peer
from fleet.errors import FleetError, InvalidError
from protocols import enrolment

NOW = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(tmp_path / "pki", NOW)


def server(authority: Authority) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.server_file.read_bytes())


def test_it_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    first = Authority.open(tmp_path / "pki", NOW)
    first.renew_server(["fleet.example"], NOW)
    first.write_crl([], 0, NOW)
    again = Authority.open(tmp_path / "pki", NOW + DAY)
    assert again.ca_pem == first.ca_pem
    assert again.fingerprint == first.fingerprint
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700
    for file in (tmp_path / "pki").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert "PRIVATE" not in first.ca_file.read_text()


def test_two_that_start_together_have_the_same(tmp_path: Path) -> None:
    found: list[str] = []
    gate = threading.Barrier(4)

    def start() -> None:
        gate.wait()
        found.append(Authority.open(tmp_path / "pki", NOW).ca_pem)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


@pytest.mark.parametrize("text", ["rubbish", "-----BEGIN PRIVATE KEY-----\nAA\n-----END"])
def test_a_damaged_root_is_told_and_never_replaced(tmp_path: Path, text: str) -> None:
    root = tmp_path / "pki" / pki.ROOT_FILE
    root.parent.mkdir()
    root.write_text(text)
    with pytest.raises(FleetError, match=r"root\.pem"):
        Authority.open(tmp_path / "pki", NOW)
    assert root.read_text() == text


def test_a_root_with_somebody_elses_key(tmp_path: Path) -> None:
    one = Authority.open(tmp_path / "one", NOW)
    two = Authority.open(tmp_path / "two", NOW)
    key = (tmp_path / "one" / pki.ROOT_FILE).read_text().split("-----BEGIN CERT")[0]
    assert one.ca_pem != two.ca_pem
    (tmp_path / "two" / pki.ROOT_FILE).write_text(key + two.ca_pem)
    with pytest.raises(FleetError, match="does not belong"):
        Authority.open(tmp_path / "two", NOW)


def test_the_server_is_renewed_in_its_last_third_or_for_other_names(authority: Authority) -> None:
    assert authority.renew_server(["fleet.example", "10.0.0.1"], NOW)
    names = server(authority).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert {str(name.value) for name in names.value} == {
        *("fleet.example", "10.0.0.1", "localhost", "127.0.0.1", "::1")
    }
    assert not authority.renew_server(["10.0.0.1", "fleet.example"], NOW)
    life = pki.SERVER_LIFE + pki.BACKDATE
    third = NOW + pki.SERVER_LIFE - life / 3
    assert not authority.renew_server(["fleet.example", "10.0.0.1"], third - DAY)
    before = server(authority).serial_number
    assert authority.renew_server(["fleet.example", "10.0.0.1"], third + DAY)
    assert server(authority).serial_number != before
    assert authority.renew_server(["other.example"], third + DAY)


def test_a_server_certificate_of_another_authority_is_replaced(
    authority: Authority, tmp_path: Path
) -> None:
    other = Authority.open(tmp_path / "other", NOW)
    other.renew_server([], NOW)
    authority.server_file.write_bytes(other.server_file.read_bytes())
    assert authority.renew_server([], NOW)
    authority.server_file.write_text("torn")
    assert authority.renew_server([], NOW)


def test_a_cabinets_certificate_says_who_and_since_when(authority: Authority) -> None:
    _, key = new_key()
    csr = authority.check_request(request_of(key, "DH-0001"), "DH-0001")
    issued = authority.issue(csr, "DH-0001", 3, NOW)
    certificate = x509.load_pem_x509_certificate(issued.pem.encode())
    assert certificate.public_key() == key.public_key()
    (name,) = certificate.subject
    assert (name.oid, name.value) == (NameOID.COMMON_NAME, "DH-0001")
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.not_valid_after_utc == NOW + dt.timedelta(days=365)
    assert issued.not_after_ms == int(certificate.not_valid_after_utc.timestamp() * 1000)
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert peer_of(der) == Peer(issued.serial, "DH-0001", 3)
    assert authority.issue(csr, "DH-0001", 3, NOW).serial != issued.serial


def test_our_own_clients_are_no_cabinets(authority: Authority) -> None:
    pem = authority.client_file("fleet", NOW).read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    assert peer_of(der) is None
    assert peer_of(b"rubbish") is None


def csr_of(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, *names: str) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in names])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, algorithm)
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def forged() -> str:
    pem = csr_of(ec.generate_private_key(ec.SECP256R1()), "DH-0001")
    csr = x509.load_pem_x509_csr(pem.encode())
    der = bytearray(csr.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM).decode()


P256 = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("csr", "says"),
    [
        ("rubbish", "not a certificate request"),
        (csr_of(P256, "DH-0002"), "expected CN=DH-0001"),
        (csr_of(P256, "DH-0001", "fleet"), "expected CN=DH-0001"),
        (csr_of(P256), "expected CN=DH-0001"),
        (csr_of(ec.generate_private_key(ec.SECP384R1()), "DH-0001"), "P-256"),
        (csr_of(ed25519.Ed25519PrivateKey.generate(), "DH-0001"), "P-256"),
        (forged(), "own key"),
    ],
)
def test_a_bad_request_is_refused(authority: Authority, csr: str, says: str) -> None:
    with pytest.raises(InvalidError, match=says) as told:
        authority.check_request(csr, "DH-0001")
    assert told.value.code == enrolment.BAD_REQUEST


def test_lists_of_revocations_get_later_and_stay_in_the_past(authority: Authority) -> None:
    dates = []
    for number, serials in ((0, []), (1, ["aa"]), (2, ["aa", "bb"]), (3, ["bb"])):
        assert authority.write_crl(serials, number, NOW)
        assert not authority.write_crl(serials, number, NOW)
        crl = x509.load_pem_x509_crl(authority.crl_file.read_bytes())
        assert sorted(f"{row.serial_number:x}" for row in crl) == serials
        dates.append(crl.last_update_utc)
    assert dates == sorted(set(dates))
    assert dates[-1] < NOW
    authority.crl_file.write_text("torn")
    assert authority.write_crl(["bb"], 3, NOW)
