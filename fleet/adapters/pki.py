"""The fleet's own small certificate authority, and every certificate that comes from it.

One root key (ECDSA P-256) signs the server certificate of broker and device listener, the client
certificates of cabinets, and the fleet's own. It lives in ``data_dir/pki``, readable by its owner
only. Whoever holds it is the fleet: back it up with the database.

A client certificate names its cabinet (CN) and the enrolment that it comes from (a URI). Mosquitto
goes by the first and a revocation list, NATS by the second, since it lists the identities that exist.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleet.adapters.secret_files import load_or_create, write_private
from fleet.core.enrolment import Issued, Peer
from fleet.errors import FleetError, InvalidError
from protocols import enrolment

ROOT_FILE: Final = "root.pem"  # key and certificate: they come into being in one step
CA_FILE: Final = "ca.crt"
SERVER_FILE: Final = "server.pem"  # key and certificate
CRL_FILE: Final = "revoked.crl"
CA_LIFE: Final = dt.timedelta(days=20 * 365)
SERVER_LIFE: Final = dt.timedelta(days=365)
CLIENT_LIFE: Final = dt.timedelta(days=365)
RENEW_BELOW: Final = 1 / 3  # of the life
BACKDATE: Final = dt.timedelta(hours=1)  # a cabinet's clock may be behind ours
#: The root is older than anything that it signs, and its list of revocations counts seconds from
#: its birth (see ``crl``), so it is born well before now.
CA_BACKDATE: Final = dt.timedelta(days=30)
ALWAYS_NAMES: Final = ("localhost", "127.0.0.1", "::1")

_PEM: Final = serialization.Encoding.PEM


class Authority:
    """The certificate authority in a folder; made at the first use."""

    def __init__(
        self, folder: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
    ) -> None:
        self._folder = folder
        self._key = key
        self._certificate = certificate

    @classmethod
    def open(cls, folder: Path, now: dt.datetime) -> Authority:
        """Read it, or make it; two processes that start together end up with the same one.

        Raises:
            FleetError: its file can't be read or written, or holds something else.
        """
        path = folder / ROOT_FILE
        text = load_or_create(path, lambda: _new_root(now))
        try:
            key = serialization.load_pem_private_key(text.encode(), password=None)
            certificate = x509.load_pem_x509_certificate(text.encode())
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise FleetError(f"{path}: is not a key and a certificate: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or (
            key.public_key() != certificate.public_key()
        ):
            raise FleetError(f"{path}: the key does not belong to the certificate")
        authority = cls(folder, key, certificate)
        if not _says(authority.ca_file, authority.ca_pem):
            write_private(authority.ca_file, authority.ca_pem)
        return authority

    @property
    def ca_file(self) -> Path:
        """The authority's certificate, for brokers and for whoever checks us."""
        return self._folder / CA_FILE

    @property
    def server_file(self) -> Path:
        """Key and certificate of broker and device listener."""
        return self._folder / SERVER_FILE

    @property
    def crl_file(self) -> Path:
        """The revocation list."""
        return self._folder / CRL_FILE

    @property
    def ca_pem(self) -> str:
        """The authority's certificate."""
        return self._certificate.public_bytes(_PEM).decode()

    @property
    def fingerprint(self) -> bytes:
        """What tokens carry."""
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        return enrolment.fingerprint(der)

    # --- our own certificates -------------------------------------------------------------------

    def renew_server(self, hosts: Iterable[str], now: dt.datetime) -> bool:
        """Make the server's certificate if there is no good one for these names; True if made."""
        names = sorted({*hosts, *ALWAYS_NAMES})
        if self._good(self.server_file, names, now):
            return False
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder("yizhan fleet", now, SERVER_LIFE).public_key(key.public_key())
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
        )
        certificate = self._signed(builder, ExtendedKeyUsageOID.SERVER_AUTH)
        write_private(self.server_file, _key_pem(key) + _cert_pem(certificate))
        return True

    def client_file(self, name: str, now: dt.datetime) -> Path:
        """Key and certificate of a client of the fleet's own, fresh at every call."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, now, CLIENT_LIFE).public_key(key.public_key())
        builder = builder.add_extension(_uri(fleet_identity(name)), critical=False)
        certificate = self._signed(builder, ExtendedKeyUsageOID.CLIENT_AUTH)
        path = self._folder / f"client-{name}.pem"
        write_private(path, _key_pem(key) + _cert_pem(certificate))
        return path

    def client_context(self, name: str, now: dt.datetime) -> ssl.SSLContext:
        """TLS for a client of the fleet's own."""
        context = ssl.create_default_context(cafile=self.ca_file)
        path = self.client_file(name, now)
        context.load_cert_chain(path)
        path.unlink()  # it is in memory now, and is needed nowhere else
        return context

    # --- cabinets -------------------------------------------------------------------------------

    def check_request(self, csr_pem: str, cabinet: str) -> x509.CertificateSigningRequest:
        """A sound certificate request of this cabinet.

        Raises:
            InvalidError: ``bad-csr``: it is malformed, for another name, or of another kind of key.
        """
        try:
            csr = x509.load_pem_x509_csr(csr_pem.encode())
            sound = csr.is_signature_valid
            key = csr.public_key()
            names = [str(each.value) for each in csr.subject]
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidError(f"csr: not a certificate request: {error}", code=_BAD) from error
        if not sound:
            raise InvalidError("csr: is not signed by its own key", code=_BAD)
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
            raise InvalidError("csr: expected an ECDSA key on P-256", code=_BAD)
        if names != [cabinet]:
            raise InvalidError(f"csr: subject {names}: expected CN={cabinet} alone", code=_BAD)
        return csr

    def issue(
        self, csr: x509.CertificateSigningRequest, cabinet: str, epoch: int, now: dt.datetime
    ) -> Issued:
        """Sign a cabinet's certificate; of the request only the key counts."""
        builder = _builder(cabinet, now, CLIENT_LIFE).public_key(csr.public_key())
        builder = builder.add_extension(_uri(enrolment.identity(cabinet, epoch)), critical=False)
        certificate = self._signed(builder, ExtendedKeyUsageOID.CLIENT_AUTH)
        return Issued(
            _cert_pem(certificate),
            f"{certificate.serial_number:x}",
            int(certificate.not_valid_after_utc.timestamp() * 1000),
        )

    def write_crl(self, serials: Iterable[str], number: int, now: dt.datetime) -> bool:
        """Write the list of revoked certificates; False when the file says that already.

        ``number`` must rise with every change. A broker that has read several lists believes the
        one of the latest date, to the second; so the date is the authority's birth and as many
        seconds as the number says, which is in the past and never the same twice.
        """
        born = self._certificate.not_valid_before_utc
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(min(born + dt.timedelta(seconds=number), now))
            # It is a local file, which fleetd keeps up to date; were it to lapse, nobody got in.
            .next_update(self._certificate.not_valid_after_utc)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        wanted = sorted(int(serial, 16) for serial in serials)
        if self._crl_says(wanted, number):
            return False
        for serial in wanted:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(born)
            builder = builder.add_revoked_certificate(revoked.build())
        signed = builder.sign(self._key, hashes.SHA256())
        write_private(self.crl_file, signed.public_bytes(_PEM).decode())
        return True

    def _crl_says(self, serials: list[int], number: int) -> bool:
        try:
            present = x509.load_pem_x509_crl(self.crl_file.read_bytes())
            known = present.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        except (OSError, ValueError, x509.ExtensionNotFound):
            return False
        listed = sorted(row.serial_number for row in present)
        return (
            known == number
            and listed == serials
            and present.is_signature_valid(self._key.public_key())
        )

    def _good(self, path: Path, names: list[str], now: dt.datetime) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            certificate.verify_directly_issued_by(self._certificate)
        except Exception:  # noqa: BLE001 - whatever is wrong with the old one, a new one mends it
            return False
        covered = {str(name.value) for name in extension.value}
        return not due(certificate, now) and covered == set(names)

    def _signed(
        self, builder: x509.CertificateBuilder, usage: x509.ObjectIdentifier
    ) -> x509.Certificate:
        return (
            builder.issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )


_BAD: Final = enrolment.BAD_REQUEST


def fleet_identity(name: str) -> str:
    """The name in the certificate of one of the fleet's own clients (URI)."""
    return f"urn:yizhan:{name}"


def due(certificate: x509.Certificate, now: dt.datetime) -> bool:
    """Whether less than a third of its life is left."""
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - now < life * RENEW_BELOW


def peer_of(certificate_der: bytes) -> Peer | None:
    """Whom a client certificate stands for; the TLS layer has verified it. None: not a cabinet."""
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound):
        return None
    parts = uris[0].split(":") if len(uris) == 1 else []
    if parts[:3] != ["urn", "yizhan", "cabinet"] or len(parts) != 5 or not parts[4].isdigit():
        return None
    return Peer(f"{certificate.serial_number:x}", parts[3], int(parts[4]))


def _new_root(now: dt.datetime) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Yizhan fleet {serial:x}"[:28])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - CA_BACKDATE)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _key_pem(key) + _cert_pem(certificate)


def _builder(name: str, now: dt.datetime, life: dt.timedelta) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _uri(text: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(text)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _cert_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(_PEM).decode()


def _says(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except OSError:
        return False
