"""The control API from outside: what the one-shot commands use."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from simulator.errors import RequestRefusedError, UnreachableError

TIMEOUT_S: Final = 5.0
#: The whole state of a cabinet is some 20 kB, a full event ring some 2 MB.
REPLY_MAX: Final = 8_000_000


def find(run_dir: Path | None, url: str | None) -> str:
    """The control address: as given, or as the running simulator wrote it down.

    Raises:
        UnreachableError: nothing is running there.
    """
    if url is not None:
        return url
    if run_dir is None:
        raise UnreachableError("no simulator named: give --http URL, --run-dir DIR or SWAPSIM_HTTP")
    path = run_dir / "ready.json"
    try:
        found: str = json.loads(path.read_text(encoding="utf-8"))["http"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreachableError(f"no simulator runs in {run_dir}: {path} is not there") from error
    return found


def call(url: str, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
    """One request; the decoded JSON answer.

    Raises:
        UnreachableError: no answer.
        RequestRefusedError: an answer that says no, in its own words.
    """
    parts = urlsplit(url)
    link = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TIMEOUT_S)
    try:
        payload = None if body is None else json.dumps(dict(body))
        link.request(method, path, payload, {"Content-Type": "application/json"})
        reply = link.getresponse()
        answer = json.loads(reply.read(REPLY_MAX))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnreachableError(f"no simulator answers at {url}: {error}") from error
    finally:
        link.close()
    if reply.status >= http.HTTPStatus.BAD_REQUEST:
        raise RequestRefusedError(_words(answer))
    return answer


def _words(answer: Any) -> str:
    detail = answer.get("detail", answer) if isinstance(answer, dict) else answer
    if isinstance(detail, list):  # a body that breaks the schema
        return "; ".join(
            f"{'.'.join(str(part) for part in item.get('loc', ())[1:])}: {item.get('msg')}"
            for item in detail
        )
    return str(detail)
