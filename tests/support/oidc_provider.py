"""A small OpenID Connect provider over HTTP, with real signatures; it can be told to lie."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

import uvicorn
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from fleet.adapters.clock import SystemClock

CLIENT_ID: Final = "yizhan"
CLIENT_SECRET: Final = "client-secret-of-tests"
STARTED_WITHIN_S: Final = 60.0


@cache
def _key() -> RSAKey:
    """One is enough: making it takes a second."""
    return RSAKey.generate_key(2048, {"kid": "k1", "use": "sig", "alg": "RS256"})


class OidcServer:
    """One person signs in at once; whoever it is stands in ``person``."""

    def __init__(self) -> None:
        self.url = ""
        self.key = _key()
        self.person: dict[str, Any] = {"sub": "u-1", "preferred_username": "wang.fang"}
        self.lie: Callable[[dict[str, Any]], None] = lambda _: None
        self.sign: Callable[[dict[str, Any]], str] = self._sign
        self.asked: list[dict[str, str]] = []
        self._codes: dict[str, dict[str, str]] = {}

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": "k1"}, claims, self.key)

    def sign_by_another(self, claims: dict[str, Any]) -> str:
        other = RSAKey.generate_key(2048, {"kid": "k1"})
        return jwt.encode({"alg": "RS256", "kid": "k1"}, claims, other)

    def sign_by_secret(self, claims: dict[str, Any]) -> str:
        key = OctKey.import_key(CLIENT_SECRET * 2)
        return jwt.encode({"alg": "HS256"}, claims, key)

    def sign_not_at_all(self, claims: dict[str, Any]) -> str:
        head, body, _ = self._sign(claims).split(".")
        head = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
        return f"{head}.{body}."

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/keys", self._keys),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    async def _discovery(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
            }
        )

    async def _keys(self, _: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        self.asked.append(asked)
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?code={code}&state={asked['state']}", 303)

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        asked = self._codes.pop(str(form.get("code")), None)
        digest = hashlib.sha256(str(form.get("code_verifier", "")).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        good = (
            asked is not None
            and request.headers.get("authorization") == f"Basic {basic}"
            and asked["code_challenge_method"] == "S256"
            and asked["code_challenge"] == challenge
            and form.get("redirect_uri") == asked["redirect_uri"]
        )
        if not good or asked is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now_s = SystemClock().wall_ms() // 1_000
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "iat": now_s,
            "exp": now_s + 300,
            "nonce": asked["nonce"],
            **self.person,
        }
        self.lie(claims)
        answer = {"access_token": "a", "token_type": "Bearer", "id_token": self.sign(claims)}
        return JSONResponse(answer)


@asynccontextmanager
async def oidc_server() -> AsyncIterator[OidcServer]:
    """Running on a free port."""
    made = OidcServer()
    server = uvicorn.Server(
        uvicorn.Config(made.app(), port=0, log_level="warning", access_log=False, lifespan="off")
    )
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(STARTED_WITHIN_S):
            while not server.started:
                assert not task.done(), "the provider did not start"
                await asyncio.sleep(0.01)
        made.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield made
    finally:
        server.should_exit = True
        await task
