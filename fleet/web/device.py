"""What cabinets ask over HTTPS: the authority's certificate, to join, to renew.

Its own port, away from the riders' pages: nothing but these three requests is answered here. Who
renews shows the certificate that he has; the TLS layer has checked it before we see the request, and
``peer`` is put into the scope by the server's protocol (``fleet.device``).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fleet.core.enrolment import Peer
from fleet.errors import DeniedError, FleetError, InvalidError, LimitedError
from fleet.ports import Clock, Enrolments
from fleet.web.limits import Rate, Throttle
from protocols.enrolment import (
    BODY_BYTES_MAX,
    CA_PATH,
    ENROL_PATH,
    NO_CERTIFICATE,
    RENEW_PATH,
    EnrolRequest,
    Refusal,
    RefusalBody,
    RenewRequest,
)

log = logging.getLogger(__name__)

#: A depot commissions its cabinets behind one address; a token has 128 bits, so nobody guesses one.
ENROLS_PER_ADDRESS: Final = Rate("enrols-address", 60, 10 * 60_000)
ENROLS_IN_ALL: Final = Rate("enrols-all", 1_200, 10 * 60_000)
RENEWS_PER_CABINET: Final = Rate("renews-cabinet", 30, 10 * 60_000)
PEER_SCOPE: Final = "yizhan.peer"

R = TypeVar("R", EnrolRequest, RenewRequest)


def create_device_app(*, enrolments: Enrolments, ca_pem: str, clock: Clock) -> Starlette:
    """The device listener's application."""
    throttle = Throttle()

    async def authority(_request: Request) -> Response:
        return PlainTextResponse(ca_pem, media_type="application/x-pem-file")

    async def enrol(request: Request) -> Response:
        address = request.client.host if request.client else ""
        throttle.spend(ENROLS_PER_ADDRESS, address, clock.monotonic_ms())
        throttle.spend(ENROLS_IN_ALL, "", clock.monotonic_ms())
        asked = await _body(request, EnrolRequest)
        return _json(await enrolments.enrol(asked))

    async def renew(request: Request) -> Response:
        peer = request.scope.get(PEER_SCOPE)
        if not isinstance(peer, Peer):
            raise DeniedError("show the cabinet's certificate", code=NO_CERTIFICATE)
        throttle.spend(RENEWS_PER_CABINET, peer.cabinet, clock.monotonic_ms())
        asked = await _body(request, RenewRequest)
        return _json(await enrolments.renew(peer, asked))

    return Starlette(
        routes=[
            Route(CA_PATH, authority),
            Route(ENROL_PATH, _guarded(enrol), methods=["POST"]),
            Route(RENEW_PATH, _guarded(renew), methods=["POST"]),
        ]
    )


def _guarded(
    answer: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        try:
            return await answer(request)
        except FleetError as error:
            if error.status >= 500:
                log.warning("device listener: %s", error)
            refusal = Refusal(code=error.code, message=str(error)[:500])
            response = _json(RefusalBody(error=refusal), error.status)
            if isinstance(error, LimitedError):
                response.headers["Retry-After"] = str(error.retry_after_s)
            return response

    return guarded


async def _body(request: Request, kind: type[R]) -> R:
    """A strictly parsed body; raise InvalidError, whose text never quotes what was sent."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > BODY_BYTES_MAX:
            error = InvalidError(f"body: more than {BODY_BYTES_MAX} bytes", code="too-large")
            error.status = 413
            raise error
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(f"body: {error}") from None


def _json(value: msgspec.Struct, status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(value), status, headers, "application/json")
