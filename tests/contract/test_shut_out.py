"""Who was shut out loses the connection that stands: from the command line to brokers as they are."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
import pytest

from cabinet.adapters.credentials import Vault
from fleet import enrol_oneshot
from fleet.adapters.broker import Prefer
from fleet.adapters.clock import SystemClock
from fleet.adapters.external_broker import Revocations
from fleet.adapters.pki import Authority
from fleet.config import parse
from fleet.core.records import Credential
from tests.contract.test_enrolment import A, B, join, running
from tests.support.certificates import NOW, cabinet_client
from tests.support.servers import BROKERS, broker


def connected(vault: Vault, name: str = A) -> aiomqtt.Client:
    """A client with the certificate of an enrolment."""
    held = vault.read()
    url = urlsplit(held.facts.broker_urls[0])
    context = ssl.create_default_context(cafile=held.ca_file)
    context.load_cert_chain(held.client_file)
    return aiomqtt.Client(
        str(url.hostname), url.port or 8883, identifier=name, tls_context=context, timeout=10
    )


async def ended(client: aiomqtt.Client, what: str) -> None:
    """Wait until the broker has ended this connection."""
    with contextlib.suppress(aiomqtt.MqttError):
        async with asyncio.timeout(60):
            async for _ in client.messages:
                pass
    assert not client._client.is_connected(), what


@pytest.mark.parametrize("kind", BROKERS)
async def test_a_cabinet_that_is_shut_out_loses_the_connection_that_stands(
    tmp_path: Path, kind: Prefer
) -> None:
    """From the command line to the broker, as it is: the certificate alone is not looked at again."""
    text = f'[http]\nport = 0\n[broker]\nport = 0\nprefer = "{kind}"\n[enrol]\nport = 0\n'
    config = parse(text, "test.toml", tmp_path / "fleet", {})
    async with running(config) as fleet:
        vault = await join(await fleet.token(), tmp_path / "a")
        other = await join(await fleet.token(B), tmp_path / "b", B)
        async with contextlib.AsyncExitStack() as stack:
            stack.push(lambda kind, *_: kind is aiomqtt.MqttError)  # it leaves unasked
            thief = await stack.enter_async_context(connected(vault))
            stays = await stack.enter_async_context(connected(other, B))
            await enrol_oneshot.disable_cabinet(fleet.config, A)
            await ended(thief, "the one that was shut out")
            assert stays._client.is_connected(), "nobody else is disturbed"
            with pytest.raises(aiomqtt.MqttError):
                async with connected(vault):
                    pass


class Hasty(SystemClock):
    """A hundred seconds are one."""

    async def sleep(self, delay_s: float) -> None:
        await super().sleep(delay_s / 100)


async def test_an_external_brokers_connection_is_ended(tmp_path: Path) -> None:
    """Mosquitto reads the list and lets a connection live that stands; also one of before our start."""
    authority = Authority.open(tmp_path / "pki", NOW)
    authority.renew_server([], NOW)
    first, second = cabinet_client(authority, tmp_path, A), cabinet_client(authority, tmp_path, B)
    both = [Credential(A, enrolled=1), Credential(B, enrolled=1)]
    async with (
        broker("mosquitto", tmp_path, both, authority) as embedded,
        asyncio.TaskGroup() as group,
    ):
        place = embedded.address
        assert place.tls is not None
        revocations = Revocations(authority, Hasty(), place)
        worker = group.create_task(revocations.run())
        told = {}
        for number, client in enumerate((first, second), 1):
            name = (A, B)[number - 1]
            told[client.issued.serial] = name
            context = client.context(authority.ca_file)
            async with aiomqtt.Client(
                place.host, place.port, identifier=name, tls_context=context, timeout=10
            ) as standing:
                revocations.publish(number, told, [name])  # of the first nothing was known before
                embedded.hang_up()
                await ended(standing, name)
        worker.cancel()
