"""A delivery platform: its key, and the links that it signs. Independent of the code under test."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def _part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@dataclass
class Platform:
    """Signs JWTs as RFC 7519 and RFC 8037 say."""

    id: str = "meituan"
    audience: str = "http://yizhan.example:8080"
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public_key(self) -> str:
        return base64.b64encode(self.key.public_key().public_bytes_raw()).decode()

    def link(
        self, now_s: int, *, subject: str = "courier-7", header: dict[str, Any] | None = None, **claims: Any
    ) -> str:  # fmt: skip
        head = {"alg": "EdDSA", "typ": "JWT", "kid": self.id} | (header or {})
        body = {
            "iss": self.id,
            "aud": self.audience,
            "sub": subject,
            "iat": now_s,
            "exp": now_s + 60,
            "jti": secrets.token_urlsafe(12),
        } | claims
        signed = f"{_part(json.dumps(head).encode())}.{_part(json.dumps(body).encode())}"
        return f"{signed}.{_part(self.key.sign(signed.encode()))}"
