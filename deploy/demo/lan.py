"""HTTPS on the LAN for a real phone: a local CA, a leaf for this machine, and a page to fetch the CA."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.demo.errors import DemoError
from deploy.demo.stack import Tls

CA_DAYS: Final = 365
LEAF_DAYS: Final = 90
BACKDATE: Final = dt.timedelta(hours=1)  # a phone's clock may be behind ours
CA_FILE: Final = "yizhan-demo-ca.crt"
CA_KEY_FILE: Final = "yizhan-demo-ca.key"

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def lan_address() -> str:
    """This machine's address on the network of its default route; sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))  # documentation range: only the route is looked up
        except OSError as error:
            raise DemoError(
                "no network: this machine has no LAN address. Connect it, or leave --lan away."
            ) from error
        address: str = probe.getsockname()[0]
    return address


def make_tls(folder: Path, address: str) -> Tls:
    """A leaf for the address, from the CA in the folder; makes the CA when there is none.

    The CA may only vouch for this one address (name constraints), so that trusting it on a phone
    opens nothing else, even if its key were stolen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ip = ipaddress.ip_address(address)
    ca, ca_key = _load_ca(folder, ip) or _new_ca(folder, ip)
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = (
        _builder("Yizhan demo", ca.subject, key, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip), x509.DNSName("localhost")]),
            critical=False,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    cert_file, key_file = folder / "server.crt", folder / "server.key"
    cert_file.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    _write_key(key_file, key)
    return Tls(cert_file=cert_file, key_file=key_file, ca_file=folder / CA_FILE)


class CaPage:
    """Serves the CA file, and nothing else, over plain HTTP on the LAN address."""

    def __init__(self, ca_file: Path, address: str) -> None:
        body = ca_file.read_bytes()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/x-x509-ca-cert")
                self.send_header("Content-Disposition", f'attachment; filename="{CA_FILE}"')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name
                """Keep the terminal for the demo."""

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://{address}:{self._server.server_address[1]}/{CA_FILE}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def trust_help(tls: Tls, ca_url: str) -> str:
    """How a phone comes to trust the CA."""
    return (
        f"CA file: {tls.ca_file}\n"
        f"  On the phone open {ca_url} (same Wi-Fi) and install it:\n"
        "    Android: Settings > Security > Encryption & credentials > Install a certificate > CA\n"
        "    iPhone:  Settings > Profile downloaded > Install, then Settings > General > About >\n"
        "             Certificate Trust Settings > switch it on\n"
        "  Remove it again afterwards. It can vouch for this one address only."
    )


def _load_ca(
    folder: Path, ip: IpAddress
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """The CA of an earlier run, when it still fits this address and lives long enough."""
    cert_file, key_file = folder / CA_FILE, folder / CA_KEY_FILE
    if not (cert_file.exists() and key_file.exists()):
        return None
    ca = x509.load_pem_x509_certificate(cert_file.read_bytes())
    key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    names = ca.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees
    fits = x509.IPAddress(ipaddress.ip_network(ip)) in (names or ())
    if not fits or ca.not_valid_after_utc < _now() + dt.timedelta(days=LEAF_DAYS):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise DemoError(f"{key_file} is not a key of ours; remove it")
    return ca, key


def _new_ca(folder: Path, ip: IpAddress) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Yizhan demo CA ({ip})")])
    permitted = [
        x509.IPAddress(ipaddress.ip_network(ip)),
        x509.DNSName("localhost"),
    ]
    ca = (
        _builder(f"Yizhan demo CA ({ip})", subject, key, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_ca_usage(), critical=True)
        .add_extension(
            x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / CA_FILE).write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    _write_key(folder / CA_KEY_FILE, key)
    return ca, key


def _builder(
    common_name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - BACKDATE)
        .not_valid_after(_now() + dt.timedelta(days=days))
    )


def _ca_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)  # noqa: TID251  # certificates need the wall clock
