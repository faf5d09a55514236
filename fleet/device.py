"""The side of fleetd that cabinets join by: the authority, its certificates, the device listener."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from fleet import places
from fleet.adapters.command_keys import SecretKeeper
from fleet.adapters.pki import Authority, peer_of
from fleet.config import FleetConfig
from fleet.core.enrolment import Places
from fleet.ports import Clock
from fleet.runtime.enrolment import Enrolments
from fleet.serving import QuietServer, listen
from fleet.stores import Stores
from fleet.web.device import PEER_SCOPE, create_device_app

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 24 * 3_600.0
CONNECTIONS_MAX: Final = 512
KEEP_ALIVE_S: Final = 5
STOP_S: Final = 1


class _PeerProtocol(H11Protocol):
    """Puts whom the client's certificate stands for into the scope of every request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio gives one
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        der = tls.getpeercert(binary_form=True) if tls is not None else None
        peer = None if der is None else peer_of(der)
        inner = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope[PEER_SCOPE] = peer
            await inner(scope, receive, send)

        self.app = app


class DeviceSide:
    """Opens the authority with the server's certificate; serves the device listener."""

    def __init__(self, config: FleetConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._server: uvicorn.Server | None = None
        self._tls: ssl.SSLContext | None = None
        self._ended = asyncio.Event()
        self.authority = Authority.open(config.data_dir / "pki", clock.now_utc())
        self.authority.renew_server(places.certificate_hosts(config), clock.now_utc())
        self._listener = listen("enrol", config.enrol.host, config.enrol.port)

    @property
    def url(self) -> str:
        """Where cabinets find it."""
        return places.device_url(self._config, int(self._listener.getsockname()[1]))

    def now(self) -> dt.datetime:
        """The time, for certificates."""
        return self._clock.now_utc()

    async def serve(
        self,
        *,
        stores: Stores,
        keeper: SecretKeeper,
        broker_url: str,
        fleet_url: str,
        on_enrolled: Callable[[], Awaitable[None]],
    ) -> None:
        """Serve until ``stop``."""
        enrolments = Enrolments(
            rows=stores.enrolments,
            issuer=self.authority,
            secrets=lambda: keeper.secrets,
            places=Places((broker_url,), self.url, fleet_url),
            clock=self._clock,
            on_enrolled=on_enrolled,
        )
        app = create_device_app(
            enrolments=enrolments, ca_pem=self.authority.ca_pem, clock=self._clock
        )
        config = uvicorn.Config(
            app,
            http=_PeerProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            server_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_S,
            ssl_certfile=self.authority.server_file,
            ssl_ca_certs=str(self.authority.ca_file),
            ssl_cert_reqs=ssl.CERT_OPTIONAL,
        )
        config.load()
        self._tls = config.ssl
        self._server = QuietServer(config)
        try:
            await self._server.serve(sockets=[self._listener])
        finally:
            self._ended.set()

    async def keep_fresh(self, on_renewed: Callable[[], None]) -> None:
        """Renew the server's certificate in time, until cancelled; ``on_renewed`` tells the broker."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            self.renew(on_renewed)

    def renew(self, on_renewed: Callable[[], None]) -> None:
        """Renew what is due now."""
        hosts = places.certificate_hosts(self._config)
        if self.authority.renew_server(hosts, self._clock.now_utc()):
            log.info("the certificate of broker and device listener was renewed")
            if self._tls is not None:
                self._tls.load_cert_chain(self.authority.server_file)
        on_renewed()

    async def stop(self) -> None:
        """Let the requests under way end, then no more."""
        if self._server is not None:
            self._server.should_exit = True
            await self._ended.wait()

    def close(self) -> None:
        """Give the port back."""
        self._listener.close()
