"""Delivery platforms: who they are, and the signed links by which their riders come. Pure.

A link carries a compact JWT (``?pt=``), signed with Ed25519 by the platform: header ``alg`` EdDSA and
``kid`` the platform's id; claims ``iss`` the same id, ``aud`` our public URL, ``sub`` the rider's
pseudonym there, ``iat``, ``exp`` at most 120 s later, and ``jti``, which works once.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fleet.core.plans import QUOTA_MAX
from fleet.errors import DeniedError, InvalidError

LINK_CHARS_MAX: Final = 1_500
LINK_LIFE_S: Final = 120
SKEW_S: Final = 30
PARTNER_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,31}")
SUBJECT: Final = re.compile(r"[\x21-\x7e]{1,128}")
JTI: Final = re.compile(r"[A-Za-z0-9_.-]{8,64}")
COLOUR: Final = re.compile(r"#[0-9a-f]{6}")
#: What a request line can carry; a host or a path in other letters comes in its encoded form.
_SENDABLE: Final = re.compile(r"[\x21-\x7e]+")
_PART: Final = re.compile(r"[A-Za-z0-9_-]+")
_KEY_BYTES: Final = 32
T = TypeVar("T")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class LinkError(DeniedError):
    """A partner's link that does not count; the code says why."""

    code = "link-forged"


@dataclass(frozen=True, slots=True)
class Partner:
    """A delivery platform.

    ``quota_day``: what it pays for in any 24 hours, swaps and sessions at sockets of all its riders
    together; None for no limit.
    """

    id: str
    name: str
    link_key: str  # Ed25519 public key, base64
    plan: str | None = None  # what its riders get
    quota_day: int | None = None
    webhook_url: str = ""
    support_phone: str = ""
    colour: str = ""
    off: bool = False


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whom a good link stands for. ``jti`` must not have been seen before."""

    partner: str
    subject: str
    jti: str
    expires_ms: int


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str
    typ: str = "JWT"


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    aud: str
    sub: str
    iat: int
    exp: int
    jti: str


def partner_named(link: str) -> str:
    """The platform that a link says it is from; raise LinkError."""
    header = _decode(_split(link)[0], _Header)
    if header.alg not in ("EdDSA", "Ed25519") or not PARTNER_ID.fullmatch(header.kid):
        raise LinkError("link: expected a JWT with alg EdDSA and the partner's id as kid")
    return header.kid


def open_link(link: str, partner: Partner, audience: str, now_ms: int) -> Visitor:
    """Judge a link by the key of the platform that it names; raise LinkError."""
    head, body, seal = _split(link)
    if partner_named(link) != partner.id:
        raise LinkError("link: is of another partner")
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(partner.link_key))
    try:
        key.verify(_bytes(seal), f"{head}.{body}".encode())
    except InvalidSignature:
        raise LinkError("link: the signature is not the partner's") from None
    claims = _decode(body, _Claims)
    if claims.iss != partner.id or claims.aud.rstrip("/") != audience.rstrip("/"):
        raise LinkError("link: is not for this service")
    if not SUBJECT.fullmatch(claims.sub) or not JTI.fullmatch(claims.jti):
        raise LinkError("link: sub or jti is malformed")
    now_s = now_ms // 1_000
    life_s = claims.exp - claims.iat
    if not 0 < life_s <= LINK_LIFE_S or claims.iat > now_s + SKEW_S or claims.exp <= now_s:
        raise LinkError("link: has expired", code="link-expired")
    return Visitor(partner.id, claims.sub, claims.jti, claims.exp * 1_000)


def check_partner(partner: Partner) -> Partner:
    """Raise InvalidError naming the field."""
    if not PARTNER_ID.fullmatch(partner.id):
        raise InvalidError(f"partner {partner.id!r}: expected a-z, 0-9 and -, such as meituan")
    if not 1 <= len(partner.name) <= 60 or not partner.name.isprintable():
        raise InvalidError("name: expected 1 to 60 printable characters")
    try:
        raw = base64.b64decode(partner.link_key, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise InvalidError("link key: expected an Ed25519 public key, 32 bytes in base64")
    if partner.quota_day is not None and not 1 <= partner.quota_day <= QUOTA_MAX:
        raise InvalidError(f"quota {partner.quota_day}: expected 1 to {QUOTA_MAX}, or none")
    if partner.colour and not COLOUR.fullmatch(partner.colour):
        raise InvalidError(f"colour {partner.colour!r}: expected #rrggbb in small letters")
    if partner.webhook_url:
        _check_webhook(partner.webhook_url)
    return partner


def _check_webhook(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        raise InvalidError(f"webhook {url!r}: is not a URL") from None
    plain = parts.scheme == "http" and host in _LOOPBACK
    sendable = bool(host) and port != 0 and _SENDABLE.fullmatch(url) is not None
    if not sendable or parts.username or not (parts.scheme == "https" or plain) or len(url) > 300:
        raise InvalidError(f"webhook {url!r}: expected https://host/path, at most 300 characters")


def _split(link: str) -> tuple[str, str, str]:
    parts = link.split(".") if len(link) <= LINK_CHARS_MAX else []
    if len(parts) != 3 or not all(_PART.fullmatch(each) for each in parts):
        raise LinkError("link: expected a compact JWT")
    return parts[0], parts[1], parts[2]


def _bytes(part: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise LinkError("link: is not base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise LinkError("link: is not canonical base64url")
    return raw


def _decode(part: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(_bytes(part), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise LinkError("link: its JSON is not what is expected") from None
