"""Sign-in by an OpenID Connect provider: code flow with PKCE, by Authlib; tokens by joserfc.

Nothing is kept on the server between the two redirects: state, nonce and verifier travel in a sealed
cookie, so that only the browser that left can come back, and only for a while.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import msgspec
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fleet.core.access import Role
from fleet.core.staff import SignInError, role_of_groups
from fleet.errors import FleetError
from fleet.ports_access import Box, Provided

TIMEOUT_S: Final = 10.0
LEFT_MS_MAX: Final = 10 * 60_000
DISCOVERY_LIFE_MS: Final = 5 * 60_000  # a provider may change its keys
LEEWAY_S: Final = 60
#: Signatures by a key that only the provider has; never "none", never a shared secret.
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
_OWNER: Final = "oidc"


class ProviderError(FleetError):
    """The provider does not answer, or not as it should."""

    code = "sso"
    status = 502


@dataclass(frozen=True, slots=True)
class OidcConfig:
    """``roles`` maps the provider's groups; who is in none of them does not come in."""

    issuer: str
    client_id: str
    client_secret: str
    redirect_url: str
    name: str
    groups_claim: str
    roles: Mapping[str, Role]


class _Left(msgspec.Struct, frozen=True):
    """What a browser takes along."""

    state: str
    nonce: str
    verifier: str
    onwards: str
    at_ms: int


class _Discovery(msgspec.Struct, frozen=True):
    """The part of the provider's document that we need."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class OidcProvider:
    """``fleet.ports_access.Provider``."""

    def __init__(self, config: OidcConfig, box: Box) -> None:
        self.name = config.name
        self._config = config
        self._box = box
        self._known: tuple[_Discovery, KeySet, int] | None = None

    async def begin(self, onwards: str, now_ms: int) -> tuple[str, str]:
        """Where to send the browser, and the sealed text that it must bring back."""
        left = _Left(
            state=secrets.token_urlsafe(24),
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
            onwards=onwards,
            at_ms=now_ms,
        )
        async with self._client() as client:
            found, _ = await self._discover(client, now_ms)
            url, _ = client.create_authorization_url(
                found.authorization_endpoint,
                state=left.state,
                nonce=left.nonce,
                code_verifier=left.verifier,
            )
        return str(url), self._box.close(msgspec.json.encode(left), _OWNER)

    async def end(self, kept: str, state: str, code: str, now_ms: int) -> tuple[Provided, str]:
        """Whom it vouches for, and where the browser wanted to go; an empty code: it refused."""
        left = self._left(kept, state, now_ms)
        if not code:
            raise SignInError("the identity provider refused")
        async with self._client() as client:
            found, keys = await self._discover(client, now_ms)
            try:
                token = await client.fetch_token(
                    found.token_endpoint, code=code, code_verifier=left.verifier
                )
            except OAuthError as error:
                raise SignInError(f"the identity provider refused the code: {error}") from error
            except (httpx2.HTTPError, ValueError) as error:
                raise ProviderError(f"{self._config.issuer}: {error}") from error
        claims = self._claims(token.get("id_token"), keys, left.nonce, now_ms)
        return self._provided(claims), left.onwards

    def _left(self, kept: str, state: str, now_ms: int) -> _Left:
        opened = self._box.open(kept, _OWNER) if kept else None
        left = msgspec.json.decode(opened, type=_Left) if opened is not None else None
        fresh = left is not None and 0 <= now_ms - left.at_ms <= LEFT_MS_MAX
        same = left is not None and secrets.compare_digest(left.state.encode(), state.encode())
        if left is None or not fresh or not same:
            raise SignInError("this browser did not begin this sign-in, or too long ago")
        return left

    def _claims(self, text: object, keys: KeySet, nonce: str, now_ms: int) -> dict[str, Any]:
        """The claims of an ID token, all of it checked (OpenID Connect Core 3.1.3.7)."""
        config, now_s = self._config, now_ms // 1_000
        wanted: dict[str, Any] = {
            "iss": {"essential": True, "value": config.issuer},
            "aud": {"essential": True, "value": config.client_id},
            "sub": {"essential": True},
            "exp": {"essential": True},
            "iat": {"essential": True},
            "nonce": {"essential": True, "value": nonce},
        }
        try:
            token = jwt.decode(str(text), keys, algorithms=list(ALGORITHMS))
            rules = jwt.JWTClaimsRegistry(now=now_s, leeway=LEEWAY_S, **wanted)
            rules.validate(token.claims)
        except (JoseError, ValueError) as error:
            raise SignInError(f"the provider's token does not hold: {error}") from error
        claims: dict[str, Any] = token.claims
        if claims.get("azp", config.client_id) != config.client_id:
            raise SignInError("the provider's token is for another party")
        return claims

    def _provided(self, claims: dict[str, Any]) -> Provided:
        groups = claims.get(self._config.groups_claim, ())
        groups = [groups] if isinstance(groups, str) else groups
        role = role_of_groups(groups, self._config.roles) if isinstance(groups, list) else None
        subject = claims["sub"]
        if not isinstance(subject, str) or not 1 <= len(subject) <= 255:
            raise SignInError("the provider's token has no usable sub")
        if role is None:
            raise SignInError(f"none of the groups of {subject} has a role here")
        wanted = claims.get("preferred_username") or claims.get("email") or ""
        name = wanted if isinstance(wanted, str) else ""
        return Provided(self._config.issuer, subject, name, role)

    async def _discover(self, client: Any, now_ms: int) -> tuple[_Discovery, KeySet]:
        if self._known is not None and 0 <= now_ms - self._known[2] < DISCOVERY_LIFE_MS:
            return self._known[:2]
        base = self._config.issuer.rstrip("/")
        try:
            reply = await client.request(
                "GET", f"{base}/.well-known/openid-configuration", withhold_token=True
            )
            reply.raise_for_status()
            found = msgspec.json.decode(reply.content, type=_Discovery)
            reply = await client.request("GET", found.jwks_uri, withhold_token=True)
            reply.raise_for_status()
            keys = KeySet.import_key_set(reply.json())
        except (httpx2.HTTPError, msgspec.MsgspecError, JoseError, ValueError) as error:
            raise ProviderError(f"{base}: {error}") from error
        if found.issuer != self._config.issuer:
            raise ProviderError(f"{base}: calls itself {found.issuer!r}")
        self._known = (found, keys, now_ms)
        return found, keys

    def _client(self) -> Any:
        config = self._config
        return AsyncOAuth2Client(
            client_id=config.client_id,
            client_secret=config.client_secret,
            redirect_uri=config.redirect_url,
            scope="openid profile email groups",
            code_challenge_method="S256",
            timeout=TIMEOUT_S,
            trust_env=False,
        )
