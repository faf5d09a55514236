"""Lets cabinets join, and gives those that have joined fresh certificates and keys."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from fleet.core.enrolment import Enrolled, Issued, Peer, Places, Secrets
from fleet.ports import Clock
from protocols import enrolment
from protocols.enrolment import EnrolRequest, Grant, RenewRequest

log = logging.getLogger(__name__)


class Issuer(Protocol):
    """The certificate authority."""

    @property
    def ca_pem(self) -> str:
        """Its own certificate."""
        ...

    def check_request(self, csr_pem: str, cabinet: str) -> Any:
        """A sound certificate request; raise InvalidError."""
        ...

    def issue(self, csr: Any, cabinet: str, epoch: int, now: dt.datetime) -> Issued:
        """Sign it."""
        ...


class EnrolmentRows(Protocol):
    """What the service needs of the store."""

    async def redeem(
        self,
        *,
        token_id: str,
        secret_hash: str,
        cabinet: str,
        now_ms: int,
        issue: Callable[[int], Issued],
        secrets_id: str,
    ) -> Enrolled:
        """Use a token up; raise DeniedError."""
        ...

    async def renew(
        self, peer: Peer, now_ms: int, issue: Callable[[int], Issued] | None, secrets_id: str
    ) -> Enrolled:
        """A certificate of the same enrolment; raise DeniedError."""
        ...


class Enrolments:
    """Implements ``fleet.ports.Enrolments``."""

    def __init__(
        self,
        *,
        rows: EnrolmentRows,
        issuer: Issuer,
        secrets: Callable[[], Secrets],
        places: Places,
        clock: Clock,
        on_enrolled: Callable[[], Awaitable[None]],
    ) -> None:
        self._rows = rows
        self._issuer = issuer
        self._secrets = secrets
        self._places = places
        self._clock = clock
        self._on_enrolled = on_enrolled

    async def enrol(self, request: EnrolRequest) -> Grant:
        """Admit the bearer of a token, and nobody else.

        Raises:
            InvalidError: ``bad-csr``: the certificate request; the token may be used again.
            DeniedError: the token; the code says why.
        """
        csr = self._issuer.check_request(request.csr, request.cabinet)
        secrets = self._secrets()
        now = self._clock.now_utc()
        enrolled = await self._rows.redeem(
            token_id=request.token_id,
            secret_hash=enrolment.secret_hash(bytes.fromhex(request.secret)),
            cabinet=request.cabinet,
            now_ms=self._clock.wall_ms(),
            issue=lambda epoch: self._issuer.issue(csr, request.cabinet, epoch, now),
            secrets_id=secrets.id,
        )
        about = {"cabinet": request.cabinet}
        log.info("cabinet %s enrolled, epoch %d", request.cabinet, enrolled.epoch, extra=about)
        # The broker must know the newcomer before he connects; a cabinet that hangs up meanwhile
        # must not leave it half told.
        await asyncio.shield(asyncio.ensure_future(self._on_enrolled()))
        return self._grant(request.cabinet, enrolled, secrets)

    async def renew(self, peer: Peer, request: RenewRequest) -> Grant:
        """Fresh keys, and a fresh certificate when one is asked for; raise as ``enrol``."""
        issue: Callable[[int], Issued] | None = None
        now = self._clock.now_utc()
        if request.csr is not None:
            csr = self._issuer.check_request(request.csr, peer.cabinet)

            def issue(epoch: int) -> Issued:
                return self._issuer.issue(csr, peer.cabinet, epoch, now)

        secrets = self._secrets()
        renewed = await self._rows.renew(peer, self._clock.wall_ms(), issue, secrets.id)
        return self._grant(peer.cabinet, renewed, secrets)

    def _grant(self, cabinet: str, enrolled: Enrolled, secrets: Secrets) -> Grant:
        return Grant(
            cabinet=cabinet,
            epoch=enrolled.epoch,
            certificate=enrolled.certificate,
            ca=self._issuer.ca_pem,
            command_keys=secrets.command_keys,
            group_keys=secrets.group_keys,
            broker_urls=self._places.broker_urls,
            device_url=self._places.device_url,
            fleet_url=self._places.fleet_url,
        )
