"""Collects what a support engineer asks for first, without a secret in it."""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import platform
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

import msgspec

from cabinet.adapters import journal_file
from cabinet.adapters.store_schema import STORE_FILE
from cabinet.config import ENV_PREFIX, Config, ConfigProblemsError, load
from cabinet.core.redact import MASK, Redactor

UNIT: Final = "cabinetd"
#: The end of a log tells what happened; its beginning is long past.
TEXT_BYTES_MAX: Final = 1_000_000
SECRET_BYTES_MAX: Final = 64 * 1024
FILES_MAX: Final = 200
COMMAND_WITHIN_S: Final = 10
HTTP_WITHIN_S: Final = 3
PAGES: Final = ("state.json", "healthz", "metrics", "trace.json")
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "journal.log": ("journalctl", "-u", UNIT, "-n", "3000", "--no-pager", "-o", "short-iso"),
    "unit.txt": ("systemctl", "status", UNIT, "--no-pager", "--full"),
    "time.txt": ("timedatectl", "show"),
    "disk.txt": ("df", "-h"),
    "usb.txt": ("lsusb",),
    "network.txt": ("ip", "-brief", "address"),
}
_SECRET_WORDS: Final = ("password", "secret", "token", "key", "credential")
_SECRET_SUFFIXES: Final = frozenset({".key", ".pem", ".token", ".secret"})


class Bundle:
    """Texts by name, each free of secrets before it goes in."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.texts: dict[str, str] = {}

    def add(self, name: str, text: str) -> None:
        """Put a text in, its end if it is long."""
        self.texts[name] = self._redactor.text(text[-TEXT_BYTES_MAX:])

    def collect(self, name: str, read: Callable[[], str]) -> None:
        """Put in what this reads, or why it could not."""
        try:
            self.add(name, read())
        except Exception as error:  # noqa: BLE001 - the rest of the bundle is wanted all the same
            self.add(name, f"not available: {type(error).__name__}: {error}\n")

    def write(self, path: Path, made_at: datetime) -> None:
        """As a tar.gz that only its owner reads.

        Raises:
            OSError: it cannot be written.
        """
        folder = path.name.removesuffix(".tar.gz")
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with (
            os.fdopen(handle, "wb") as out,
            tarfile.open(fileobj=out, mode="w:gz") as tar,
        ):
            for name, text in sorted(self.texts.items()):
                data = text.encode()
                info = tarfile.TarInfo(f"{folder}/{name}")
                info.size, info.mode, info.mtime = len(data), 0o600, int(made_at.timestamp())
                tar.addfile(info, io.BytesIO(data))


def collect(config_path: Path, logs: tuple[Path, ...], made_at: datetime) -> Bundle:
    """Everything about this cabinet; works without the daemon and with a broken configuration."""
    raw = _raw(config_path)
    config: Config | None = None
    verdict = "ok"
    try:
        config = load(config_path)
    except ConfigProblemsError as error:
        verdict = str(error)
    data_dir = _data_dir(config, raw, config_path)
    bundle = Bundle(Redactor(_secrets(config_path, raw, data_dir)))
    bundle.collect("cabinet.toml", lambda: config_path.read_text("utf-8", "replace"))
    bundle.add("check-config.txt", verdict + "\n")
    bundle.collect("system.txt", lambda: _system(made_at))
    bundle.collect("packages.txt", _packages)
    bundle.collect("environment.txt", _environment)
    bundle.collect("ports.txt", lambda: _ports(config))
    bundle.collect("files.txt", lambda: _files(data_dir, raw, config_path))
    if data_dir is not None:
        store = data_dir / STORE_FILE
        bundle.collect("journal-check.json", lambda: _json(journal_file.check(store).as_dict()))
    if config is not None and config.web.port:
        for page in PAGES:
            bundle.collect(page, partial(_page, config.web.host, config.web.port, page))
    for name, command in COMMANDS.items():
        bundle.collect(name, partial(_run, command))
    for number, log in enumerate(logs, 1):
        bundle.collect(f"log-{number}-{log.name}", partial(_tail, log))
    return bundle


def _raw(path: Path) -> dict[str, Any]:
    """The file as far as it can be read; its secrets must be known even when it is wrong."""
    try:
        return tomllib.loads(path.read_text("utf-8", "replace"))
    except (OSError, tomllib.TOMLDecodeError, RecursionError):
        return {}


def _data_dir(config: Config | None, raw: Mapping[str, Any], path: Path) -> Path | None:
    if config is not None:
        return config.cabinet.data_dir
    cabinet = raw.get("cabinet")
    told = cabinet.get("data_dir") if isinstance(cabinet, dict) else None
    return (path.parent / told).absolute() if isinstance(told, str) else None


def _secrets(path: Path, raw: Mapping[str, Any], data_dir: Path | None) -> Iterator[bytes]:
    """The content of every file that may hold one, and values that are named like one."""
    for place in _secret_places(path, raw):
        yield from _contents(place)
    if data_dir is not None and data_dir.is_dir():
        for file in sorted(data_dir.rglob("*"))[:FILES_MAX]:
            if file.suffix in _SECRET_SUFFIXES:
                yield from _contents(file)
    for name, value in os.environ.items():
        if any(word in name.lower() for word in _SECRET_WORDS):
            yield value.encode()
    yield from _named(raw)


def _secret_places(path: Path, raw: Mapping[str, Any]) -> Iterator[Path]:
    fleet = raw.get("fleet")
    if not isinstance(fleet, dict):
        return
    for key in ("password_file", "group_key_file", "credentials_dir"):
        value = fleet.get(key)
        if isinstance(value, str) and value:
            yield path.parent / Path(value).expanduser()


def _contents(place: Path) -> Iterator[bytes]:
    files = sorted(place.rglob("*"))[:FILES_MAX] if place.is_dir() else [place]
    for file in files:
        with contextlib.suppress(OSError):
            if file.is_file() and file.suffix not in {".json"} and "ca.pem" not in file.name:
                yield file.read_bytes()[:SECRET_BYTES_MAX]


def _named(table: Mapping[str, Any]) -> Iterator[bytes]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _named(value)
        elif isinstance(value, str) and _is_secret(key):
            yield value.encode()


def _is_secret(key: str) -> bool:
    """By its name; a path is none."""
    return any(word in key.lower() for word in _SECRET_WORDS) and not key.endswith(
        ("_file", "_dir")
    )


def _system(made_at: datetime) -> str:
    usage = shutil.disk_usage("/")
    lines = [
        f"made: {made_at.isoformat()}",
        f"kernel: {platform.platform()}",
        f"machine: {platform.machine()}",
        f"python: {platform.python_version()}",
        f"load: {os.getloadavg()}",
        f"disk /: {usage.free} of {usage.total} bytes free",
        f"uptime s: {Path('/proc/uptime').read_text().split()[0]}",
        Path("/proc/meminfo").read_text()[:200],
    ]
    return "\n".join(lines) + "\n"


def _packages() -> str:
    found = sorted(f"{d.name} {d.version}" for d in distributions())
    return "\n".join(found) + "\n"


def _environment() -> str:
    """Only ours; a value is shown unless its name speaks of a secret."""
    lines = []
    for name, value in sorted(os.environ.items()):
        if name.startswith(ENV_PREFIX):
            hidden = any(word in name.lower() for word in _SECRET_WORDS)
            lines.append(f"{name}={MASK if hidden and not name.endswith('_FILE') else value}")
    return "\n".join(lines) + "\n"


def _ports(config: Config | None) -> str:
    lines = []
    for folder in (Path("/dev/serial/by-path"), Path("/dev/serial/by-id")):
        if folder.is_dir():
            lines += [f"{link} -> {os.path.realpath(link)}" for link in sorted(folder.iterdir())]
    for bus in config.buses if config else ():
        there = "://" in bus.port or Path(bus.port).exists()
        lines.append(f"bus {bus.name}: {bus.port}: {'there' if there else 'MISSING'}")
    return "\n".join(lines) + "\n"


def _files(data_dir: Path | None, raw: Mapping[str, Any], path: Path) -> str:
    """Names, sizes and modes; never contents."""
    lines = []
    for place in (data_dir, *_secret_places(path, raw)):
        if place is None:
            continue
        files = [place, *sorted(place.rglob("*"))[:FILES_MAX]] if place.is_dir() else [place]
        for file in files:
            try:
                found = file.lstat()
                lines.append(f"{found.st_mode:o} {found.st_uid} {found.st_size:>10} {file}")
            except OSError as error:
                lines.append(f"{file}: {error.strerror}")
    return "\n".join(lines) + "\n"


def _page(host: str, port: int, page: str) -> str:
    """What the running daemon says of itself."""
    here = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
    link = http.client.HTTPConnection(here, port, timeout=HTTP_WITHIN_S)
    try:
        link.request("GET", f"/{page}")
        return link.getresponse().read(TEXT_BYTES_MAX).decode("utf-8", "replace")
    finally:
        link.close()


def _run(command: tuple[str, ...]) -> str:
    done = subprocess.run(  # noqa: S603 - fixed commands
        command,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=COMMAND_WITHIN_S,
        check=False,
    )
    return done.stdout or done.stderr


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TEXT_BYTES_MAX))
        return file.read().decode("utf-8", "replace")


def _json(data: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n"
