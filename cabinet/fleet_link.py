"""What of the fleet a daemon starts with: from the credentials folder, or from files named one by one.

An explicit key of the configuration wins over the folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import overload

from cabinet.adapters import enrolment
from cabinet.adapters.clock import SystemClock
from cabinet.adapters.credentials import Vault, facts_of
from cabinet.adapters.keys import Verify, group_keys, keyring, nobody, secret, verifier
from cabinet.adapters.mqtt import Endpoint, MqttBroker, endpoint
from cabinet.config import Config, FleetConfig
from cabinet.errors import ConfigError
from cabinet.runtime.renewal import Life, Renewal

FIRST_EPOCH = 1


class HeldKeys(Sequence[bytes]):
    """The group keys of the folder as they are at each look; none while it cannot be read."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def __len__(self) -> int:
        return len(self._now())

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        return self._now()[index]

    def _now(self) -> tuple[bytes, ...]:
        try:
            return self._vault.read().group_keys
        except ConfigError:
            return ()


class FleetLink:
    """Of one cabinet with a fleet.

    Raises:
        ConfigError: it has not been enrolled, or with another id, or a file is missing.
    """

    def __init__(self, config: Config, fleet: FleetConfig) -> None:
        self._fleet = fleet
        self._cabinet = config.cabinet.id
        self._vault = Vault(fleet.credentials_dir) if fleet.credentials_dir else None
        self._attempt = 0
        if self._vault is not None:
            named = self._vault.read().facts.cabinet
            if named != self._cabinet:
                raise ConfigError(
                    f"{fleet.credentials_dir}: credentials of {named}, but [cabinet] id is "
                    f"{self._cabinet}; enrol this cabinet with a token of its own"
                )

    @property
    def epoch(self) -> int:
        """For a new journal: what the fleet minted at enrolment."""
        return FIRST_EPOCH if self._vault is None else self._vault.read().facts.epoch

    @property
    def group_keys(self) -> Sequence[bytes]:
        """What riders' codes are checked with; none: no codes."""
        if self._fleet.group_key_file is not None:
            return group_keys(self._fleet.group_key_file)
        return HeldKeys(self._vault) if self._vault is not None else ()

    @property
    def page_url(self) -> str:
        """Of the riders' pages; empty: not known."""
        if self._fleet.page_url or self._vault is None:
            return self._fleet.page_url
        return self._vault.read().facts.fleet_url

    @property
    def signed(self) -> bool:
        """Whether there is a key that the fleet's orders and tickets are checked with."""
        return self._vault is not None or self._fleet.command_key_file is not None

    def verify(self) -> Verify:
        """Checks the fleet's signatures."""
        vault = self._vault
        if self._fleet.command_key_file is not None:
            return verifier(self._fleet.command_key_file)
        if vault is None:
            return nobody
        return keyring(lambda: vault.read().facts.command_keys)

    def broker(self) -> MqttBroker:
        """The way to the broker."""
        return MqttBroker(self._endpoint(), self._endpoint if self._vault is not None else None)

    def renewal(self, clock: SystemClock, software: str, broker: MqttBroker) -> Renewal | None:
        """What keeps the folder fresh; None where there is no folder."""
        vault = self._vault
        if vault is None:
            return None

        def life() -> Life:
            held = vault.read()
            return Life(held.not_before_ms, held.not_after_ms, held.facts.secrets_id)

        async def fetch(certificate: bool) -> None:  # noqa: FBT001 - a callback of one question
            await asyncio.to_thread(_fetch, vault, self._cabinet, software, certificate=certificate)

        return Renewal(life=life, fetch=fetch, on_certificate=broker.reconnect, clock=clock)

    def _endpoint(self) -> Endpoint:
        fleet, vault = self._fleet, self._vault
        held = vault.read() if vault is not None else None
        url = fleet.url
        if not url and held is not None:
            urls = held.facts.broker_urls
            url = urls[self._attempt % len(urls)]
            self._attempt += 1
        return endpoint(
            url,
            self._cabinet,
            username=fleet.username,
            password=secret(fleet.password_file) if fleet.password_file else "",
            ca_file=fleet.ca_file or (held.ca_file if held else None),
            client_file=held.client_file if held else None,
        )


def link_of(config: Config) -> FleetLink | None:
    """The link of this configuration; None without a fleet. Raise ConfigError."""
    return FleetLink(config, config.fleet) if config.fleet is not None else None


def verify_of(link: FleetLink | None) -> Verify:
    """The verifier; without a fleet nobody's orders count."""
    return nobody if link is None else link.verify()


def _fetch(vault: Vault, cabinet: str, software: str, *, certificate: bool) -> None:
    held = vault.read()
    grant, key_pem = enrolment.renew(
        held.facts.device_url,
        held.ca_file,
        held.client_file,
        cabinet,
        software,
        certificate=certificate,
    )
    facts = facts_of(grant)
    if key_pem is not None or facts != held.facts:  # a flash disk is not written without need
        vault.put(grant, key_pem)
