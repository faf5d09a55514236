"""A POST to a partner: bounded in time, and never led elsewhere by a redirect."""

from __future__ import annotations

import asyncio
import http.client
import logging
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 5.0


async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int | None:
    """The answer's status; None when there was none."""
    return await asyncio.to_thread(_post, url, body, headers)


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> int | None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            host, parts.port, timeout=TIMEOUT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", path, body, dict(headers))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        log.info("webhook %s: %s", host, error)
        return None
    finally:
        connection.close()
