"""Joining and renewing: the cabinet's own client against the real device listener of a real fleetd."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from sqlalchemy import select
from starlette.applications import Starlette

from cabinet.adapters import enrolment
from cabinet.adapters.credentials import Vault
from cabinet.errors import CabinetError, EnrolError, FleetUnreachableError
from deploy.demo.processes import free_port
from fleet import enrol_oneshot, oneshot, oneshot_riders, service
from fleet.adapters.anchor_file import AnchorFile
from fleet.adapters.broker import Prefer
from fleet.adapters.clock import SystemClock
from fleet.adapters.command_keys import SecretKeeper, begin_rotation, end_rotation
from fleet.adapters.pki import Authority
from fleet.adapters.secret_files import command_key, group_key, rotate_group_key
from fleet.config import FleetConfig, parse
from fleet.core.enrolment import HOUR_MS
from fleet.core.records import CabinetRecord
from fleet.errors import ConfigError
from fleet.parts import Pages, Parts
from fleet.runtime.anchor import AnchorKeeper
from fleet.runtime.metrics import FleetMetrics
from fleet.store import tables as t
from protocols import signing
from protocols.enrolment import Token, parse_token, token_text
from tests.support.certificates import NOW, cabinet_client
from tests.support.servers import BROKERS, broker

A, B = "DH-0001", "DH-0002"


@dataclass(slots=True)
class Fleet:
    config: FleetConfig
    parts: Parts
    device: str
    mqtt: str

    async def token(self, cabinet: str = A, hours: int = 24) -> str:
        """Of `fleetd cabinet add`, or `token` when it is registered."""
        known = {record.id for record in await oneshot.list_cabinets(self.config)}
        if cabinet in known:
            told = await enrol_oneshot.renew_token(self.config, cabinet, hours)
        else:
            told = await oneshot.add_cabinet(
                self.config, CabinetRecord(cabinet, cabinet, 12), hours
            )
        return str(told["token"])

    async def post(self, path: str, body: object, context: ssl.SSLContext) -> httpx2.Response:
        async with httpx2.AsyncClient(verify=context, trust_env=False) as http:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            return await http.post(self.device + path, content=content)

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.config.data_dir / "pki" / "ca.crt")


def configured(folder: Path, port: int, more: str = "") -> FleetConfig:
    text = f"[http]\nport = 0\n[broker]\nport = 0\n[enrol]\nport = {port}\n{more}"
    return parse(text, "test.toml", folder, {})


@asynccontextmanager
async def running(config: FleetConfig) -> AsyncIterator[Fleet]:
    parts: list[Parts] = []
    ready = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    def make_app(_: FleetConfig, got: Parts) -> Pages:
        parts.append(got)
        return Pages(Starlette(), lambda: None)

    task = asyncio.create_task(service.run(config, make_app, ready.set_result, stop=stop))
    try:
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        told = json.loads((config.data_dir / "ready.json").read_text())
        yield Fleet(config, parts[0], told["device"], told["mqtt"])
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await task


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with running(configured(tmp_path / "fleet", 0)) as started:
        yield started


async def join(text: str, folder: Path, cabinet: str = A) -> Vault:
    """As `cabinetd enrol` does."""
    token = parse_token(text)
    grant, key_pem = await asyncio.to_thread(enrolment.enrol, token, cabinet, "test", NOW)
    vault = Vault(folder)
    vault.put(grant, key_pem)
    return vault


async def ask_again(vault: Vault, cabinet: str = A, *, certificate: bool = False) -> Any:
    held = vault.read()
    grant, key_pem = await asyncio.to_thread(
        enrolment.renew,
        held.facts.device_url,
        held.ca_file,
        held.client_file,
        cabinet,
        "test",
        certificate=certificate,
    )
    vault.put(grant, key_pem)
    return grant


async def anchor_holds(fleet: Fleet) -> bool:
    """Whether fleetd itself finds what it anchored, and anchors what is new."""
    data_dir = fleet.config.data_dir
    file = AnchorFile(data_dir, SecretKeeper(data_dir))
    rows = fleet.parts.stores.audit_log
    keeper = AnchorKeeper(rows=rows, file=file, clock=SystemClock(), metrics=FleetMetrics())
    return await keeper.once()


@contextmanager
def refused(code: str) -> Any:
    with pytest.raises(EnrolError) as told:
        yield told
    assert told.value.code == code, str(told.value)


async def audit(fleet: Fleet) -> list[tuple[str, str]]:
    async with fleet.parts.stores.database.read() as connection:
        rows = await connection.execute(select(t.audit_log).order_by(t.audit_log.c.id))
        return [(row.action, row.cabinet) for row in rows]


async def test_a_cabinet_joins_with_a_key_of_its_own(fleet: Fleet, tmp_path: Path) -> None:
    text = await fleet.token()
    vault = await join(text, tmp_path / "c" / "credentials")
    held = vault.read()
    facts = held.facts
    data_dir = fleet.config.data_dir
    assert (facts.cabinet, facts.epoch) == (A, 1)
    assert facts.command_keys == (signing.public_of(command_key(data_dir)),)
    assert facts.broker_urls == (fleet.mqtt,)
    assert facts.device_url == fleet.device
    assert facts.fleet_url.startswith("http://127.0.0.1:")
    assert held.group_keys == (group_key(data_dir),)
    certificate = x509.load_pem_x509_certificate(held.client_file.read_bytes())
    assert certificate.subject.rfc4514_string() == f"CN={A}"
    assert held.not_after_ms == int(certificate.not_valid_after_utc.timestamp() * 1000)
    for path in (tmp_path / "c" / "credentials").rglob("*"):
        if not path.is_symlink():
            wanted = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == wanted, path
    assert await audit(fleet) == [("cabinet.token", A), ("cabinet.enrol", A)]
    # Nothing that was told is in the fleet's store as it was told.
    secret = parse_token(text).secret
    stored = (data_dir / "fleet.db").read_bytes() + (data_dir / "fleet.db-wal").read_bytes()
    assert secret not in stored
    assert secret.hex().encode() not in stored


async def test_a_token_is_good_for_one_cabinet_once_and_for_a_while(
    fleet: Fleet, tmp_path: Path
) -> None:
    text = await fleet.token()
    await fleet.token(B)
    with refused("wrong-cabinet"):
        await join(text, tmp_path / "b", B)
    token = parse_token(text)
    guess = Token(token.id, bytes(16), token.fingerprint, token.place)
    with refused("token-unknown"):
        await join(token_text(guess), tmp_path / "a")
    await join(text, tmp_path / "a")
    with refused("token-used") as told:
        await join(text, tmp_path / "a2")
    assert "fleetd cabinet token" in str(told.value)
    late = await fleet.token()
    async with fleet.parts.stores.database.write() as connection:
        past = t.enrol_token.update().where(t.enrol_token.c.used_ms.is_(None))
        await connection.execute(past.values(expires_ms=fleet.parts.clock.wall_ms() - HOUR_MS))
    with refused("token-expired"):
        await join(late, tmp_path / "a3")
    assert not (tmp_path / "a3").exists()
    assert not (tmp_path / "b").exists()


async def test_the_secret_is_not_said_to_a_stranger(fleet: Fleet, tmp_path: Path) -> None:
    """Who answers with another authority, or with a certificate that is not of the authority."""
    text = await fleet.token()
    token = parse_token(text)
    other = Authority.open(tmp_path / "other", NOW)
    wrong = Token(token.id, token.secret, other.fingerprint, token.place)
    with refused("ca-mismatch") as told:
        await join(token_text(wrong), tmp_path / "a")
    assert "in between" in str(told.value)
    other.renew_server([], NOW)
    async with stranger(fleet.config.data_dir / "pki" / "ca.crt", other) as (place, heard):
        # He knows our authority's certificate, for it is public, but not its key.
        between = Token(token.id, token.secret, token.fingerprint, place)
        with refused("ca-mismatch"):
            await join(token_text(between), tmp_path / "a")
    assert heard == [b"GET /device/v1/ca HTTP/1.1\r\n"]
    await join(text, tmp_path / "a")


@asynccontextmanager
async def stranger(ca_file: Path, other: Authority) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that tells one authority's certificate and shows one of another."""
    heard: list[bytes] = []
    pem = await asyncio.to_thread(ca_file.read_bytes)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readline())
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(pem)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + pem)
        await writer.drain()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(other.server_file)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


async def test_nobody_there_and_nobody_we_know(fleet: Fleet, tmp_path: Path) -> None:
    token = parse_token(await fleet.token())
    silent = Token(token.id, token.secret, token.fingerprint, f"127.0.0.1:{free_port()}")
    with pytest.raises(FleetUnreachableError):
        await join(token_text(silent), tmp_path / "a")
    rubbish = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    async with rubbish:
        port = rubbish.sockets[0].getsockname()[1]
        noisy = Token(token.id, token.secret, token.fingerprint, f"127.0.0.1:{port}")
        with pytest.raises(CabinetError):
            await join(token_text(noisy), tmp_path / "a")


async def test_a_name_that_the_certificate_does_not_have(tmp_path: Path) -> None:
    config = configured(tmp_path / "fleet", 0)
    async with running(config) as fleet:
        text = await fleet.token()
        token = parse_token(text)
        elsewhere = token.place.replace("127.0.0.1", "127.0.0.2")
        renamed = Token(token.id, token.secret, token.fingerprint, elsewhere)
        with pytest.raises(CabinetError) as told:
            await join(token_text(renamed), tmp_path / "a")
        assert isinstance(told.value, FleetUnreachableError) or "another name" in str(told.value)


@pytest.mark.parametrize("days", [3, -400])
async def test_a_wrong_clock_is_named(tmp_path: Path, days: int) -> None:
    """By the cabinet's clock the fleet's certificate is not valid yet, or no more."""
    authority = Authority.open(tmp_path / "pki", NOW + dt.timedelta(days=min(days, 0)))
    authority.renew_server([], NOW + dt.timedelta(days=days))
    async with stranger(authority.ca_file, authority) as (place, _heard):
        text = token_text(Token("0" * 12, bytes(16), authority.fingerprint, place))
        with refused("clock") as told:
            await join(text, tmp_path / "a")
    assert "set the clock" in str(told.value)
    assert "GMT" in str(told.value)


BODY: dict[str, object] = {
    "token_id": "0" * 12,
    "secret": "0" * 32,
    "cabinet": A,
    "csr": "x" * 100,
}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid"),
        (b"[]", 422, "invalid"),
        (b"{" * 5_000, 422, "invalid"),
        (b"\xff\xfe", 422, "invalid"),
        ({**BODY, "more": 1}, 422, "invalid"),
        ({**BODY, "cabinet": "../x"}, 422, "invalid"),
        ({**BODY, "csr": "x" * 9_000}, 422, "invalid"),
        (BODY, 422, "bad-csr"),
        (b"x" * 20_000, 413, "too-large"),
    ],
)
async def test_rubbish_is_refused(fleet: Fleet, body: object, status: int, code: str) -> None:
    answer = await fleet.post("/device/v1/enrol", body, fleet.context())
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert "0" * 32 not in answer.text


async def test_nothing_else_is_answered_there(fleet: Fleet) -> None:
    async with httpx2.AsyncClient(verify=fleet.context(), trust_env=False) as http:
        for path in ("/", "/api/v1/cabinets", "/ops", "/device/v1/enrol", "/metrics"):
            assert (await http.get(fleet.device + path)).status_code in {404, 405}
        ca = await http.get(fleet.device + "/device/v1/ca")
        assert ca.text == (fleet.config.data_dir / "pki" / "ca.crt").read_text()
        assert "server" not in ca.headers
    with pytest.raises(httpx2.HTTPError):
        async with httpx2.AsyncClient(trust_env=False) as http:
            await http.get(fleet.device.replace("https:", "http:"))


async def test_a_flood_of_tries_is_slowed_down(fleet: Fleet) -> None:
    codes = set()
    async with httpx2.AsyncClient(verify=fleet.context(), trust_env=False) as http:
        for _ in range(70):
            answer = await http.post(fleet.device + "/device/v1/enrol", content=b"{}")
            codes.add(answer.status_code)
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) > 0
                break
    assert codes == {422, 429}


async def test_a_renewal_shows_the_present_certificate(fleet: Fleet, tmp_path: Path) -> None:
    vault = await join(await fleet.token(), tmp_path / "a")
    before = vault.read().client_file.read_bytes()
    await ask_again(vault)
    assert vault.read().client_file.read_bytes() == before
    await ask_again(vault, certificate=True)
    after = vault.read().client_file.read_bytes()
    assert after.split(b"-----BEGIN CERT")[0] != before.split(b"-----BEGIN CERT")[0], "a new key"
    assert vault.read().facts.epoch == 1
    await ask_again(vault, certificate=True)
    without = await fleet.post("/device/v1/renew", {}, fleet.context())
    assert (without.status_code, without.json()["error"]["code"]) == (403, "no-certificate")


async def test_who_may_not_renew(fleet: Fleet, tmp_path: Path) -> None:
    await fleet.token()
    authority = Authority.open(fleet.config.data_dir / "pki", NOW)
    other = Authority.open(tmp_path / "other", NOW)
    ca = authority.ca_file
    # One that our authority did sign, but for a cabinet that never used its token.
    unknown = cabinet_client(authority, tmp_path, A).context(ca)
    answer = await fleet.post("/device/v1/renew", {}, unknown)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "no-certificate")
    own = ssl.create_default_context(cafile=ca)
    own.load_cert_chain(authority.client_file("fleet", NOW))
    answer = await fleet.post("/device/v1/renew", {}, own)
    assert answer.json()["error"]["code"] == "no-certificate"
    expired = cabinet_client(authority, tmp_path, A, now=NOW - dt.timedelta(days=400))
    for context in (cabinet_client(other, tmp_path, A).context(ca), expired.context(ca)):
        with pytest.raises(httpx2.HTTPError):
            await fleet.post("/device/v1/renew", {}, context)


async def test_after_another_enrolment_the_old_certificate_is_of_no_use(
    fleet: Fleet, tmp_path: Path
) -> None:
    old = await join(await fleet.token(), tmp_path / "old")
    new = await join(await fleet.token(), tmp_path / "new")
    assert (old.read().facts.epoch, new.read().facts.epoch) == (1, 2)
    with refused("revoked"):
        await ask_again(old)
    await ask_again(new)
    await enrol_oneshot.disable_cabinet(fleet.config, A)
    with refused("revoked"):
        await ask_again(new)


async def test_a_command_key_is_rotated_without_a_gap(fleet: Fleet, tmp_path: Path) -> None:
    data_dir = fleet.config.data_dir
    keeper = SecretKeeper(data_dir)
    vault = await join(await fleet.token(), tmp_path / "a")
    first, version = keeper.current, keeper.version
    assert await anchor_holds(fleet)
    following = begin_rotation(data_dir)
    assert keeper.current == first, "the old one signs on"
    assert keeper.version > version
    status = await enrol_oneshot.command_key_status(fleet.config)
    assert (status["next"], status["waiting_for"]) == (following, [A])
    with pytest.raises(Exception, match="do not have the next key") as told:
        await enrol_oneshot.rotate_command_key(fleet.config)
    assert getattr(told.value, "code", "") == "cabinets-waiting"
    await ask_again(vault)
    assert vault.read().facts.command_keys == (signing.public_of(first), following)
    assert (await enrol_oneshot.command_key_status(fleet.config))["waiting_for"] == []
    await enrol_oneshot.rotate_command_key(fleet.config)
    assert signing.public_of(keeper.current) == following
    assert await anchor_holds(fleet)
    assert await oneshot.audit(fleet.config) == []
    assert ("command-key.end", "") in await audit(fleet)
    await ask_again(vault)
    assert vault.read().facts.command_keys == (following,)
    with pytest.raises(Exception, match="no rotation"):
        end_rotation(data_dir)
    rotate_group_key(data_dir)
    with pytest.raises(Exception, match="do not have the next key"):
        await oneshot_riders.retire_group_key(fleet.config)
    await ask_again(vault)
    assert len(vault.read().group_keys) == 2
    await oneshot_riders.retire_group_key(fleet.config)
    rotate_group_key(data_dir)
    await oneshot_riders.retire_group_key(fleet.config, force=True)


@pytest.mark.parametrize("kind", BROKERS)
async def test_an_external_broker_may_go_by_our_authority(tmp_path: Path, kind: Prefer) -> None:
    data_dir = tmp_path / "fleet" / "fleet-data"
    authority = Authority.open(data_dir / "pki", NOW)
    authority.renew_server([], NOW)
    async with broker(kind, tmp_path, [], authority) as embedded:
        port = embedded.address.port
        more = f'[broker]\nmode = "external"\nport = {port}\n[enrol]\nport = 0\n'
        config = parse("[http]\nport = 0\n" + more, "test.toml", tmp_path / "fleet", {})
        async with running(config) as fleet:
            async with asyncio.timeout(60):
                while not await fleet.parts.checks["broker"]():
                    await asyncio.sleep(0.02)
            first = await join(await fleet.token(), tmp_path / "a")
            assert first.read().facts.broker_urls == (f"mqtts://127.0.0.1:{port}",)
            serial = x509.load_pem_x509_certificate(
                first.read().client_file.read_bytes()
            ).serial_number
            await join(await fleet.token(), tmp_path / "a2")
            crl = x509.load_pem_x509_crl(authority.crl_file.read_bytes())
            assert [row.serial_number for row in crl] == [serial]


async def test_tokens_need_a_place_that_is_known(tmp_path: Path) -> None:
    config = configured(tmp_path / "fleet", 0)
    with pytest.raises(ConfigError, match=r"enrol\.port is 0"):
        await oneshot.add_cabinet(config, CabinetRecord(A, A, 12))
    assert await oneshot.list_cabinets(config) == [], "nothing half done"
    told = await oneshot.add_cabinet(configured(tmp_path / "fleet", 8443), CabinetRecord(A, A, 12))
    assert parse_token(told["token"]).url == "https://127.0.0.1:8443"
    named = '[http]\npublic_url = "https://swap.example"\n'
    config = parse(named, "t.toml", tmp_path / "fleet", {})
    told = await enrol_oneshot.renew_token(config, A, 24)
    assert parse_token(told["token"]).url == "https://swap.example:8443"
