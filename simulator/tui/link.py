"""The control API as the terminal screen uses it: a stream to follow, and questions to ask."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx2

from simulator.errors import RequestRefusedError, UnreachableError

ASK_TIMEOUT_S: Final = 5.0
#: The stream speaks four times a second.
SILENCE_S: Final = 5.0


class Link:
    """Asynchronous calls to one simulator at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx2.AsyncClient(base_url=self.url, timeout=ASK_TIMEOUT_S, trust_env=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """One request; the decoded answer.

        Raises:
            UnreachableError: no answer.
            RequestRefusedError: an answer that says no, in its own words.
        """
        try:
            reply = await self._http.request(method, path, json=body)
            answer = reply.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise UnreachableError(f"no simulator answers at {self.url}: {error}") from error
        if reply.is_error:
            detail = answer.get("detail", answer) if isinstance(answer, dict) else answer
            raise RequestRefusedError(str(detail))
        return answer

    async def text(self, path: str) -> str:
        """What a path answers, as text; raises as ``ask``."""
        try:
            reply = await self._http.get(path)
            reply.raise_for_status()
        except httpx2.HTTPError as error:
            raise UnreachableError(f"no simulator answers at {self.url}: {error}") from error
        return reply.text

    async def follow(self) -> AsyncIterator[Any]:
        """Every look at the cabinet until the stream ends.

        Raises:
            UnreachableError: it does not answer, or fell silent.
        """
        try:
            async with self._http.stream("GET", "/stream", timeout=SILENCE_S) as reply:
                reply.raise_for_status()
                async for line in reply.aiter_lines():
                    if line.startswith("data: "):
                        told = json.loads(line[6:])
                        if told.get("type") != "beat":
                            yield told
        except (httpx2.HTTPError, ValueError) as error:
            raise UnreachableError(f"no simulator answers at {self.url}: {error}") from error
