"""Hashes of broker passwords, in the formats that mosquitto and NATS read.

The passwords are ours: 160 random bits. So the hashes may be cheap, and a storm of reconnecting
cabinets does not keep the broker busy with them.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import secrets
from typing import Final

_PBKDF2_ROUNDS: Final = 101
_PBKDF2_SALT_BYTES: Final = 12
_BCRYPT_ALPHABET: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_LIBCRYPT: Final = ("libcrypt.so.1", "libcrypt.so.2")


def new_password() -> str:
    """A random password that may stand in a URL or a config file."""
    return secrets.token_urlsafe(20)


def mosquitto_hash(password: str) -> str:
    """PBKDF2-SHA512 as in mosquitto's password file (``$7$``)."""
    salt = secrets.token_bytes(_PBKDF2_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _PBKDF2_ROUNDS)
    return f"$7${_PBKDF2_ROUNDS}${_b64(salt)}${_b64(digest)}"


def nats_hash(password: str) -> str | None:
    """A bcrypt hash as NATS reads it, by the system's libcrypt; None where that can't do it."""
    salt = "".join(_BCRYPT_ALPHABET[byte & 63] for byte in secrets.token_bytes(21)) + "."
    for name in _LIBCRYPT:
        try:
            crypt = ctypes.CDLL(name).crypt
        except (OSError, AttributeError):
            continue
        crypt.restype = ctypes.c_char_p
        crypt.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
        answer: bytes | None = crypt(password.encode(), f"$2a$04${salt}".encode())
        if answer is not None and answer.startswith(b"$2a$"):
            return answer.decode()
    return None


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
