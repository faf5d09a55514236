"""Asks the fleet for credentials, over HTTPS, from a thread of its own or a one-shot command.

The very first contact has nothing to trust but the fingerprint in the token. So the authority's
certificate is fetched first, over a connection that proves nothing, and compared with it; only then a
second connection, checked against that authority, carries the token's secret.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cabinet.errors import EnrolError, FleetUnreachableError
from protocols import enrolment
from protocols.enrolment import EnrolRequest, Grant, RefusalBody, RenewRequest, Token

TIMEOUT_S: Final = 15.0
ANSWER_BYTES_MAX: Final = 64 * 1024
#: OpenSSL's codes (x509_vfy.h).
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_HOST_MISMATCH: Final = frozenset({62, 64})


def new_key() -> tuple[str, ec.EllipticCurvePrivateKey]:
    """A private key of our own, as PEM too."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem.decode("ascii"), key


def request_of(key: ec.EllipticCurvePrivateKey, cabinet: str) -> str:
    """A certificate request, as PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cabinet)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode("ascii")


def enrol(token: Token, cabinet: str, software: str, now: datetime) -> tuple[Grant, str]:
    """Join by a token: what the fleet grants, and the key that belongs to it.

    Raises:
        FleetUnreachableError: nobody answers there.
        EnrolError: the code says why: the fleet refuses, or it is not the one that the token names.
    """
    ca_pem, fleet_time = _authority(token)
    key_pem, key = new_key()
    request = EnrolRequest(
        token_id=token.id,
        secret=token.secret.hex(),
        cabinet=cabinet,
        csr=request_of(key, cabinet),
        software=software,
    )
    context = ssl.create_default_context(cadata=ca_pem)
    try:
        grant = _post(token.url, enrolment.ENROL_PATH, request, context)
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(error, token.place, now, fleet_time) from error
    _check(grant, cabinet, ca_pem, key)
    return grant, key_pem


def renew(
    device_url: str,
    ca_file: Path,
    client_file: Path,
    cabinet: str,
    software: str,
    *,
    certificate: bool,
) -> tuple[Grant, str | None]:
    """Fresh keys and, if asked for, a fresh certificate with its key; raise as ``enrol``."""
    key_pem, key, csr = None, None, None
    if certificate:
        key_pem, key = new_key()
        csr = request_of(key, cabinet)
    try:
        context = ssl.create_default_context(cafile=ca_file)
        context.load_cert_chain(client_file)
        request = RenewRequest(csr=csr, software=software)
        grant = _post(device_url, enrolment.RENEW_PATH, request, context)
    except ssl.SSLCertVerificationError as error:
        raise EnrolError(f"{device_url}: {error.verify_message}", code="ca-mismatch") from error
    except OSError as error:
        raise FleetUnreachableError(f"{device_url}: {error}") from error
    _check(grant, cabinet, grant.ca, key)
    return grant, key_pem


def _authority(token: Token) -> tuple[str, str]:
    """The authority's certificate that the token names, and the fleet's time."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what it says is checked by its fingerprint below
    try:
        with _connection(token.url, context) as connection:
            connection.request("GET", enrolment.CA_PATH)
            answer = connection.getresponse()
            pem = answer.read(ANSWER_BYTES_MAX)
            fleet_time = answer.headers.get("date", "")
        certificate = x509.load_pem_x509_certificate(pem)
    except (OSError, http.client.HTTPException) as error:
        raise FleetUnreachableError(f"{token.place}: {_why(error)}") from error
    except ValueError as error:
        raise EnrolError(
            f"{token.place}: does not answer like a fleet; is the address right?",
            code="not-a-fleet",
        ) from error
    der = certificate.public_bytes(serialization.Encoding.DER)
    if enrolment.fingerprint(der) != token.fingerprint:
        raise EnrolError(
            f"{token.place}: its certificate authority is not the one that the token names: "
            "somebody is in between, or it is another fleet. Nothing was sent to it",
            code="ca-mismatch",
        )
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"), fleet_time


def _post(
    url: str, path: str, request: EnrolRequest | RenewRequest, context: ssl.SSLContext
) -> Grant:
    place = urlsplit(url).netloc
    headers = {"Content-Type": "application/json"}
    try:
        with _connection(url, context) as connection:
            connection.request("POST", path, msgspec.json.encode(request), headers)
            answer = connection.getresponse()
            body = answer.read(ANSWER_BYTES_MAX)
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise FleetUnreachableError(f"{place}: {_why(error)}") from error
    try:
        if answer.status == http.client.OK:
            return msgspec.json.decode(body, type=Grant)
        refusal = msgspec.json.decode(body, type=RefusalBody).error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EnrolError(
            f"{place}: answers {answer.status}, and not like a fleet", code="not-a-fleet"
        ) from error
    raise EnrolError(f"the fleet refuses: {refusal.message} ({refusal.code})", code=refusal.code)


@contextlib.contextmanager
def _connection(url: str, context: ssl.SSLContext) -> Iterator[http.client.HTTPSConnection]:
    connection = http.client.HTTPSConnection(
        urlsplit(url).netloc, timeout=TIMEOUT_S, context=context
    )
    try:
        yield connection
    finally:
        connection.close()


def _untrusted(
    error: ssl.SSLCertVerificationError, place: str, now: datetime, fleet_time: str
) -> EnrolError:
    if error.verify_code in {_NOT_YET_VALID, _EXPIRED}:
        here = now.astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        return EnrolError(
            f"{place}: {error.verify_message}. The clock here says {here}, the fleet's {fleet_time}: "
            "set the clock (timedatectl) and try again",
            code="clock",
        )
    if error.verify_code in _HOST_MISMATCH:
        return EnrolError(
            f"{place}: its certificate is for another name: {error.verify_message} "
            "Give the fleet this name (enrol.public_url in fleet.toml) and make a new token",
            code="wrong-name",
        )
    return EnrolError(
        f"{place}: its certificate does not come from the fleet's authority: somebody is in "
        f"between, or it is another fleet ({error.verify_message})",
        code="ca-mismatch",
    )


def _check(grant: Grant, cabinet: str, ca_pem: str, key: ec.EllipticCurvePrivateKey | None) -> None:
    """What we are given must be of use before it replaces what we have."""
    try:
        authority = x509.load_pem_x509_certificate(ca_pem.encode("ascii"))
        fits = grant.cabinet == cabinet
        if key is not None:
            certificate = x509.load_pem_x509_certificate((grant.certificate or "").encode("ascii"))
            certificate.verify_directly_issued_by(authority)
            fits = fits and certificate.public_key() == key.public_key()
    except Exception as error:
        raise EnrolError(f"the fleet's answer is of no use: {error}", code="bad-answer") from error
    if not fits or grant.ca.split() != ca_pem.split():
        raise EnrolError("the fleet's answer is for somebody else", code="bad-answer")


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError | socket.timeout):
        return f"no answer within {TIMEOUT_S:g} s"
    return str(error) or type(error).__name__
