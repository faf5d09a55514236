"""The running fleetd of this machine, over its own REST API, with all rights.

Where it answers stands in the ready file, the token of this start in the operator's file: whoever
may read the data folder may ask.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from fleet.errors import FleetError, InvalidError

TIMEOUT_S: Final = 15.0
_STREAM_PREFIX: Final = b"data: "


class UnreachableError(FleetError):
    """No fleetd answers here."""

    code = "fleetd"


class LocalFleet:
    """Every call is a request of its own."""

    def __init__(self, url: str, token: str, certificate: str | None) -> None:
        self._url = urlsplit(url)
        self._certificate = certificate
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> Any:
        """Read a view.

        Raises:
            UnreachableError: nobody answers.
            InvalidError, FleetError: fleetd refused, with its code.
        """
        return _checked(self._request("GET", path, None, {}))

    def post(self, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        """Send an order; the same key is the same order.

        Raises:
            UnreachableError: nobody answers; the order may or may not have arrived.
            InvalidError, FleetError: fleetd refused, with its code.
        """
        payload = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        reply = self._request("POST", path, payload, headers)
        answer: dict[str, Any] = _checked(reply)
        return answer

    def stream(self, path: str) -> Iterator[dict[str, Any]]:
        """The events of a stream but for its heartbeats; ends with the stream."""
        reply = self._request("GET", path, None, {})
        if reply.status != HTTPStatus.OK:
            _checked(reply)
        try:
            for line in reply:
                if line.startswith(_STREAM_PREFIX):
                    event = json.loads(line.removeprefix(_STREAM_PREFIX))
                    if event.get("type") != "heartbeat":
                        yield event
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"fleetd went silent: {error}") from error

    def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "https":
            context = ssl.create_default_context(cafile=self._certificate)
            context.check_hostname = False  # exactly this certificate, on this machine
            link: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=TIMEOUT_S, context=context
            )
        else:
            link = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        try:
            link.request(method, path, body, {**headers, **self._headers})
            return link.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"fleetd at {self._url.geturl()}: {error}") from error


def running_url(ready_file: Path) -> str:
    """Where the fleetd of this data folder answers; raise UnreachableError."""
    try:
        url: str = json.loads(ready_file.read_text(encoding="utf-8"))["http"]
    except FileNotFoundError as error:
        raise UnreachableError(f"no fleetd runs here: {ready_file} is not there") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreachableError(f"{ready_file}: can't be read: {error}") from error
    return url


def _checked(reply: http.client.HTTPResponse) -> Any:
    body = reply.read()
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise UnreachableError(f"fleetd answered {reply.status} without JSON") from error
    if reply.status < HTTPStatus.BAD_REQUEST:
        return answer
    wrong = answer.get("error", {})
    text, code = str(wrong.get("message", reply.reason)), str(wrong.get("code", "fleet"))
    if reply.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        raise InvalidError(text, code=code)
    raise FleetError(f"{text} ({code})", code=code)
