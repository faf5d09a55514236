"""How a cabinet joins the fleet and keeps its credentials fresh: the token and the messages.

``fleetd cabinet add`` makes a one-time token. Its text carries where to go, a secret that is good for
one use, and the fingerprint of the fleet's certificate authority, so that the cabinet can tell the
fleet from anybody in between before it says the secret. The cabinet makes its own key, which never
leaves it, and sends a certificate request; the answer, a ``Grant``, is everything that it needs.

Requests are strict; in answers unknown fields are ignored, so that a newer fleet can serve an older
cabinet.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from dataclasses import dataclass, field
from typing import Annotated, Final

from msgspec import Meta, Struct

from protocols.errors import MessageError

TOKEN_PREFIX: Final = "yz1."  # noqa: S105 - no secret
TOKEN_CHARS_MAX: Final = 400
TOKEN_ID_BYTES: Final = 6
SECRET_BYTES: Final = 16
FINGERPRINT_BYTES: Final = (
    16  # of SHA-256: a second certificate of this fingerprint is out of reach
)
BODY_BYTES_MAX: Final = 16 * 1024

CA_PATH: Final = "/device/v1/ca"
ENROL_PATH: Final = "/device/v1/enrol"
RENEW_PATH: Final = "/device/v1/renew"

#: Reason codes of refusals.
TOKEN_UNKNOWN: Final = "token-unknown"  # noqa: S105 - a reason, not a secret
TOKEN_USED: Final = "token-used"  # noqa: S105 - no secret
TOKEN_EXPIRED: Final = "token-expired"  # noqa: S105 - no secret
WRONG_CABINET: Final = "wrong-cabinet"
BAD_REQUEST: Final = "bad-csr"
NO_CERTIFICATE: Final = "no-certificate"
REVOKED: Final = "revoked"

#: The value in ``desired/config`` that names the secrets a cabinet should hold.
CREDENTIALS_VALUE: Final = "credentials"

_CHECK_BYTES: Final = 4
_PLACE: Final = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253}):[0-9]{1,5}")

Pem = Annotated[str, Meta(min_length=64, max_length=8_192)]
Key = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{43}=$")]  # 32 bytes, base64
Url = Annotated[str, Meta(min_length=1, max_length=300, pattern=r"^[a-z]+://[^\s]+$")]
Software = Annotated[str, Meta(max_length=100)]


@dataclass(frozen=True, slots=True)
class Token:
    """What the text of a token says. ``place`` is host:port of the device listener."""

    id: str  # hexadecimal
    secret: bytes = field(repr=False)
    fingerprint: bytes
    place: str

    @property
    def url(self) -> str:
        """Of the device listener."""
        return f"https://{self.place}"


def token_text(token: Token) -> str:
    """The token as it is printed, typed or scanned."""
    body = bytes.fromhex(token.id) + token.secret + token.fingerprint + token.place.encode()
    check = zlib.crc32(body).to_bytes(_CHECK_BYTES)
    return TOKEN_PREFIX + base64.urlsafe_b64encode(body + check).decode().rstrip("=")


def parse_token(text: str) -> Token:
    """The token in a text; raise MessageError that says what is wrong with it, never its secret."""
    text = "".join(text.split())
    if len(text) > TOKEN_CHARS_MAX:
        raise MessageError(f"token: {len(text)} characters, at most {TOKEN_CHARS_MAX} expected")
    if not text.startswith(TOKEN_PREFIX):
        raise MessageError(f"token: does not begin with {TOKEN_PREFIX}")
    body = text.removeprefix(TOKEN_PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageError("token: mistyped: a character is not of base64url") from error
    raw, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if zlib.crc32(raw).to_bytes(_CHECK_BYTES) != check:
        raise MessageError("token: mistyped or cut off: its check sum does not fit")
    secret_at, print_at = TOKEN_ID_BYTES, TOKEN_ID_BYTES + SECRET_BYTES
    place_at = print_at + FINGERPRINT_BYTES
    place = raw[place_at:].decode("ascii", "replace")
    if not _PLACE.fullmatch(place):
        raise MessageError("token: names no host:port")
    return Token(raw[:secret_at].hex(), raw[secret_at:print_at], raw[print_at:place_at], place)


def fingerprint(certificate_der: bytes) -> bytes:
    """What a token keeps of the authority's certificate."""
    return hashlib.sha256(certificate_der).digest()[:FINGERPRINT_BYTES]


def secret_hash(secret: bytes) -> str:
    """What the fleet keeps of a token's secret. It is 128 random bits, so the hash may be quick."""
    return hashlib.sha256(b"yizhan token\n" + secret).hexdigest()


def identity(cabinet: str, epoch: int) -> str:
    """The name in a client certificate that stands for one enrolment of one cabinet (URI)."""
    return f"urn:yizhan:cabinet:{cabinet}:{epoch}"


class EnrolRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``POST /device/v1/enrol``."""

    token_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{12}$")]
    secret: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
    cabinet: Annotated[str, Meta(pattern=r"^[A-Z0-9-]{3,32}$")]
    csr: Pem
    software: Software = ""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"EnrolRequest(token_id={self.token_id!r}, cabinet={self.cabinet!r})"


class RenewRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``POST /device/v1/renew``, over a connection with the present certificate.

    Without ``csr`` the answer has the present keys only.
    """

    csr: Pem | None = None
    software: Software = ""


class Grant(Struct, frozen=True, kw_only=True):
    """What a cabinet holds: the answer to both requests."""

    cabinet: Annotated[str, Meta(pattern=r"^[A-Z0-9-]{3,32}$")]
    epoch: Annotated[int, Meta(ge=1)]
    certificate: Pem | None  # of the cabinet; None when none was asked for
    ca: Pem
    command_keys: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=4)]  # current, next
    group_keys: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=2)]  # current, previous
    broker_urls: Annotated[tuple[Url, ...], Meta(min_length=1, max_length=4)]
    device_url: Url
    fleet_url: Url

    def __repr__(self) -> str:
        """Without the group keys."""
        return f"Grant(cabinet={self.cabinet!r}, epoch={self.epoch})"


class Refusal(Struct, frozen=True, kw_only=True):
    """Why a request was not granted."""

    code: Annotated[str, Meta(max_length=64)]
    message: Annotated[str, Meta(max_length=500)]


class RefusalBody(Struct, frozen=True, kw_only=True):
    """The body of every answer that is not 200."""

    error: Refusal


def secrets_id(command_keys: tuple[str, ...], group_keys: tuple[str, ...]) -> str:
    """Names a set of keys without telling them, so that both sides can see who has which."""
    text = "\n".join((*command_keys, "", *group_keys))
    return hashlib.sha256(b"yizhan secrets id\n" + text.encode()).hexdigest()[:16]
