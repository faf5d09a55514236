"""fleetd's configuration: one TOML file, parsed once and strictly, then frozen.

``FLEETD__SECTION__KEY`` in the environment overrides a key. Every mistake is reported, with its
line, its key and a remedy; a misspelt key stops the daemon.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from fleet.errors import ConfigError

ENV_PREFIX: Final = "FLEETD__"
FILE_BYTES_MAX: Final = 1_000_000  # a config is two kilobytes; more is another file


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """``[http]``; port 0 takes a free one, an empty ``public_url`` is made of host and port."""

    host: str
    port: int
    public_url: str
    tls_cert_file: Path | None
    tls_key_file: Path | None


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """``[broker]``; user name and password are for an external one only."""

    mode: Literal["embedded", "external"]
    host: str
    port: int
    username: str
    password_file: Path | None
    ca_file: Path | None
    prefer: Literal["auto", "nats", "mosquitto"]


@dataclass(frozen=True, slots=True)
class PagesConfig:
    """``[pages]``: how the pages speak."""

    locale: str
    timezone: str
    support_phone: str


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """``[limits]``: how often one caller may ask."""

    starts_per_minute: int


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """All of it. Relative paths have been resolved against the folder of the file."""

    data_dir: Path
    http: HttpConfig
    broker: BrokerConfig
    pages: PagesConfig
    limits: LimitsConfig
    store_url: str
    sms_sender: Literal["console"]
    operator_token_file: Path


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    default: str | int
    doc: str
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 65_535

    def check(self, value: object) -> str | None:
        """What is wrong with the value, or None."""
        kind = type(self.default)
        if type(value) is not kind:
            wanted = "a whole number" if kind is int else "text in quotes"
            return f"is {value!r}, expected {wanted}"
        if isinstance(value, int) and not self.low <= value <= self.high:
            return f"is {value}, expected {self.low} to {self.high}"
        if self.choices and value not in self.choices:
            return f"is {value!r}, expected one of {', '.join(self.choices)}"
        return None


_SECTIONS: Final[Mapping[str, tuple[_Key, ...]]] = {
    "fleet": (
        _Key(
            "data_dir",
            "fleet-data",
            "Database, keys and broker files. Relative paths start at the folder of this file.",
        ),
    ),
    "http": (
        _Key("host", "127.0.0.1", "Where the pages listen; 0.0.0.0 for all interfaces."),
        _Key("port", 8080, "0 takes any free port."),
        _Key(
            "public_url",
            "",
            'What the QR codes lead to, such as "https://swap.example.cn"; empty: host and port.',
        ),
        _Key("tls_cert_file", "", "Certificate and key for https; empty behind a proxy."),
        _Key("tls_key_file", "", ""),
    ),
    "broker": (
        _Key(
            "mode",
            "embedded",
            "embedded: started by fleetd; external: your own.",
            choices=("embedded", "external"),
        ),
        _Key("host", "127.0.0.1", "Where the embedded one listens, or the external one is."),
        _Key("port", 1883, "0 takes any free port (embedded only)."),
        _Key("prefer", "auto", "Which to embed.", choices=("auto", "nats", "mosquitto")),
        _Key("username", "", "External only: the fleet's user there."),
        _Key("password_file", "", "External only: a file that holds its password."),
        _Key("ca_file", "", "External only: a CA certificate; given, TLS is used."),
    ),
    "store": (
        _Key(
            "url",
            "",
            'Empty: SQLite in data_dir. Or "postgresql://user:password@host/database".',
        ),
    ),
    "sms": (
        _Key(
            "sender",
            "console",
            "console prints login codes and keeps them in data_dir/sms.jsonl; for trials only.",
            choices=("console",),
        ),
    ),
    "operator": (
        _Key(
            "token_file",
            "",
            "Opens /ops/login?token=…; empty: data_dir/operator.token, made at the first start.",
        ),
    ),
    "pages": (
        _Key(
            "locale", "zh", "Language of the pages before a visitor chooses.", choices=("zh", "en")
        ),
        _Key("timezone", "Asia/Shanghai", "Of the times shown."),
        _Key("support_phone", "", "Shown where a rider is stuck."),
    ),
    "limits": (
        _Key(
            "starts_per_minute",
            20,
            "Taps of one rider that may move a door, start or reopen; more are told to wait.",
            low=1,
            high=10_000,
        ),
    ),
}


@dataclass(slots=True)
class _Report:
    source: str
    lines: Mapping[str, int]
    problems: list[str] = field(default_factory=list)

    def add(self, key: str, text: str, *, env: bool = False) -> None:
        if env:
            place = f"environment {ENV_PREFIX}{key.upper().replace('.', '__')}"
        else:
            line = self.lines.get(key)
            place = self.source if line is None else f"{self.source}:{line}"
        self.problems.append(f"{place}: {key} {text}")


def load(path: Path, env: Mapping[str, str]) -> FleetConfig:
    """Read, override and check a configuration.

    Raises:
        ConfigError: one line per problem, each naming line, key and remedy.
    """
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from error
    if len(text) > FILE_BYTES_MAX:
        raise ConfigError(f"{path}: is larger than {FILE_BYTES_MAX} bytes; is it a config file?")
    return parse(text, str(path), path.parent, env)


def parse(text: str, source: str, folder: Path, env: Mapping[str, str]) -> FleetConfig:
    """As ``load``, from text; ``folder`` is where relative paths start."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: is not TOML: {error}") from error
    report = _Report(source, _line_index(text))
    values = {
        (section, key.name): key.default for section, keys in _SECTIONS.items() for key in keys
    }
    _read_document(document, values, report)
    _read_env(env, values, report)
    if not report.problems:
        _cross_check(values, report)
    if report.problems:
        raise ConfigError("\n".join(report.problems))
    return _build(values, folder)


def example() -> str:
    """A commented configuration with every key at its default."""
    lines = ["# fleetd's configuration. Every key may be left out; these are the defaults."]
    for section, keys in _SECTIONS.items():
        lines += ["", f"[{section}]"]
        for key in keys:
            choices = f" One of: {', '.join(key.choices)}." if len(key.choices) > 1 else ""
            if key.doc:
                lines.append(f"# {key.doc}{choices}")
            value = f'"{key.default}"' if isinstance(key.default, str) else str(key.default)
            lines.append(f"{key.name} = {value}")
    return "\n".join(lines) + "\n"


def _read_document(
    document: Mapping[str, Any], values: dict[tuple[str, str], str | int], report: _Report
) -> None:
    for section, table in document.items():
        if section not in _SECTIONS:
            report.add(section, f"is not a section{_nearest(section, _SECTIONS)}")
            continue
        if not isinstance(table, dict):
            report.add(section, f"is a value; write it as a section: [{section}]")
            continue
        keys = {key.name: key for key in _SECTIONS[section]}
        for name, value in table.items():
            full = f"{section}.{name}"
            if name not in keys:
                report.add(full, f"is not a key{_nearest(name, keys)}")
            elif (wrong := keys[name].check(value)) is not None:
                report.add(full, wrong)
            else:
                values[section, name] = value


def _read_env(
    env: Mapping[str, str], values: dict[tuple[str, str], str | int], report: _Report
) -> None:
    known = {f"{s}.{key.name}": (s, key) for s, keys in _SECTIONS.items() for key in keys}
    for name in sorted(env):
        if not name.startswith(ENV_PREFIX):
            continue
        full = name.removeprefix(ENV_PREFIX).lower().replace("__", ".")
        if full not in known:
            report.add(full, f"is not a key{_nearest(full, known)}", env=True)
            continue
        section, key = known[full]
        raw = env[name]
        number = isinstance(key.default, int) and re.fullmatch(r"-?[0-9]{1,9}", raw)
        value: str | int = int(raw) if number else raw
        if (wrong := key.check(value)) is not None:
            report.add(full, wrong, env=True)
        else:
            values[section, key.name] = value


def _cross_check(values: Mapping[tuple[str, str], str | int], report: _Report) -> None:
    if bool(values["http", "tls_cert_file"]) != bool(values["http", "tls_key_file"]):
        report.add("http.tls_key_file", "and tls_cert_file go together: give both or neither")
    url = str(values["http", "public_url"])
    if url and not _is_http_url(url):
        report.add("http.public_url", f"is {url!r}, expected http(s)://host without a path")
    external = values["broker", "mode"] == "external"
    if external and values["broker", "port"] == 0:
        report.add("broker.port", "is 0, but an external broker has a port: give its number")
    for name in ("username", "password_file", "ca_file"):
        if not external and values["broker", name]:
            report.add(
                f"broker.{name}", 'is for an external broker: leave it, or mode = "external"'
            )


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and parts.path in {"", "/"}


def _build(values: Mapping[tuple[str, str], Any], folder: Path) -> FleetConfig:
    def path(section: str, name: str) -> Path | None:
        text = values[section, name]
        return (folder / text).resolve() if text else None

    data_dir = path("fleet", "data_dir") or folder.resolve()
    return FleetConfig(
        data_dir=data_dir,
        http=HttpConfig(
            host=values["http", "host"],
            port=values["http", "port"],
            public_url=values["http", "public_url"].rstrip("/"),
            tls_cert_file=path("http", "tls_cert_file"),
            tls_key_file=path("http", "tls_key_file"),
        ),
        broker=BrokerConfig(
            mode=values["broker", "mode"],
            host=values["broker", "host"],
            port=values["broker", "port"],
            username=values["broker", "username"],
            password_file=path("broker", "password_file"),
            ca_file=path("broker", "ca_file"),
            prefer=values["broker", "prefer"],
        ),
        pages=PagesConfig(
            locale=values["pages", "locale"],
            timezone=values["pages", "timezone"],
            support_phone=values["pages", "support_phone"],
        ),
        limits=LimitsConfig(starts_per_minute=values["limits", "starts_per_minute"]),
        store_url=values["store", "url"] or f"sqlite:///{data_dir / 'fleet.db'}",
        sms_sender=values["sms", "sender"],
        operator_token_file=path("operator", "token_file") or data_dir / "operator.token",
    )


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(names)}"


def _line_index(text: str) -> Mapping[str, int]:
    """The lines where sections and keys stand, for messages; right for ordinary files."""
    index: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            section = header[1]
            index.setdefault(section, number)
        elif assigned := re.match(r"\s*\"?([\w.-]+)\"?\s*=", line):
            name = f"{section}.{assigned[1]}" if section else assigned[1]
            index.setdefault(name, number)
            index.setdefault(name.split(".", maxsplit=1)[0], number)
    return index
