"""Ed25519 signatures of what a cabinet obeys. Keys and signatures are base64 text."""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from protocols.errors import MessageError
from protocols.messages import Signed, signing_bytes
from protocols.offline import Ticket

S = TypeVar("S", bound=Signed | Ticket)


def generate() -> tuple[str, str]:
    """A new key pair: private, public."""
    private = Ed25519PrivateKey.generate()
    return _text(private.private_bytes_raw()), _text(private.public_key().public_bytes_raw())


def public_of(private_b64: str) -> str:
    """The public key of a private one; raise MessageError when it is no key."""
    return _text(_private(private_b64).public_key().public_bytes_raw())


def sign(message: S, private_b64: str) -> S:
    """The same message with its signature; raise MessageError when the key is no key."""
    signature = _private(private_b64).sign(signing_bytes(message))
    return msgspec.structs.replace(message, sig=_text(signature))


def verify(message: Signed | Ticket, public_b64: str) -> bool:
    """Whether this key signed every field of this message. Rubbish of any kind is False."""
    try:
        public = Ed25519PublicKey.from_public_bytes(_bytes(public_b64))
        public.verify(_bytes(message.sig), signing_bytes(message))
    except (InvalidSignature, ValueError, TypeError, RecursionError, msgspec.MsgspecError):
        return False
    return True


def sign_bytes(data: bytes, private_b64: str) -> str:
    """The signature of plain bytes; raise MessageError when the key is no key."""
    return _text(_private(private_b64).sign(data))


def verify_bytes(data: bytes, signature_b64: str, public_b64: str) -> bool:
    """Whether this key signed these bytes. Rubbish of any kind is False."""
    try:
        public = Ed25519PublicKey.from_public_bytes(_bytes(public_b64))
        public.verify(_bytes(signature_b64), data)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=1)  # reading it takes as long as a signature, and plans are signed by thousands
def _private(private_b64: str) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(_bytes(private_b64))
    except ValueError as error:
        raise MessageError(f"private key is not 32 bytes of base64: {error}") from error


def _bytes(text: str) -> bytes:
    """Strict base64 without surrounding white space; raise ValueError otherwise."""
    try:
        return base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
