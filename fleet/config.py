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
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fleet.config_keys import SECTIONS, Key, Value
from fleet.config_store import password_unfit, with_password
from fleet.core.tiles import TileSource, template_problem
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
    """``[broker]``; user name, password and certificates are for an external one only."""

    mode: Literal["embedded", "external"]
    host: str
    port: int
    tls: bool
    public_url: str
    username: str
    password_file: Path | None
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None
    prefer: Literal["auto", "nats", "mosquitto"]


@dataclass(frozen=True, slots=True)
class EnrolConfig:
    """``[enrol]``: where cabinets join and renew; port 0 takes a free one."""

    host: str
    port: int
    public_url: str


@dataclass(frozen=True, slots=True)
class PagesConfig:
    """``[pages]``: how the pages speak."""

    locale: str
    timezone: str
    support_phone: str
    tiles: TileSource | None  # None: the schematic map

    def zone(self) -> ZoneInfo:
        """Of the days that the pages show and the tariffs mean; raise ConfigError."""
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigError(f"pages.timezone {self.timezone!r}: is unknown") from error


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """``[limits]``: how often one caller may ask."""

    starts_per_minute: int


@dataclass(frozen=True, slots=True)
class LogConfig:
    """``[log]``: how and what is logged."""

    format: str
    level: str


@dataclass(frozen=True, slots=True)
class BalanceConfig:
    """``[balance]``: the 24-hour balance; off without a grid."""

    grid_file: Path | None
    interval_s: int
    every_s: int


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """The identity provider of the staff; no issuer: none. Groups are lists with commas."""

    issuer: str
    client_id: str
    client_secret_file: Path | None
    name: str
    groups_claim: str
    admin_groups: str
    technician_groups: str
    operator_groups: str
    viewer_groups: str


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """All of it. Relative paths have been resolved against the folder of the file.

    ``clock_rate`` above 1 is for demonstrations: how fast the day of tariffs and plans runs.
    """

    data_dir: Path
    clock_rate: int
    clock_origin_ms: int
    http: HttpConfig
    broker: BrokerConfig
    enrol: EnrolConfig
    pages: PagesConfig
    limits: LimitsConfig
    balance: BalanceConfig
    log: LogConfig
    store_url: str
    sms_sender: Literal["console"]
    operator_token_file: Path
    oidc: ProviderConfig


_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


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
        (section, key.name): key.default for section, keys in SECTIONS.items() for key in keys
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
    for section, keys in SECTIONS.items():
        lines += ["", f"[{section}]"]
        for key in keys:
            choices = f" One of: {', '.join(key.choices)}." if len(key.choices) > 1 else ""
            if key.doc:
                lines.append(f"# {key.doc}{choices}")
            lines.append(f"{key.name} = {_literal(key.default)}")
    return "\n".join(lines) + "\n"


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _read_document(
    document: Mapping[str, Any], values: dict[tuple[str, str], Value], report: _Report
) -> None:
    for section, table in document.items():
        if section not in SECTIONS:
            report.add(section, f"is not a section{_nearest(section, SECTIONS)}")
            continue
        if not isinstance(table, dict):
            report.add(section, f"is a value; write it as a section: [{section}]")
            continue
        keys = {key.name: key for key in SECTIONS[section]}
        for name, value in table.items():
            full = f"{section}.{name}"
            if name not in keys:
                report.add(full, f"is not a key{_nearest(name, keys)}")
            elif (wrong := keys[name].check(value)) is not None:
                report.add(full, wrong)
            else:
                values[section, name] = value


def _read_env(
    env: Mapping[str, str], values: dict[tuple[str, str], Value], report: _Report
) -> None:
    known = {f"{s}.{key.name}": (s, key) for s, keys in SECTIONS.items() for key in keys}
    for name in sorted(env):
        if not name.startswith(ENV_PREFIX):
            continue
        full = name.removeprefix(ENV_PREFIX).lower().replace("__", ".")
        if full not in known:
            report.add(full, f"is not a key{_nearest(full, known)}", env=True)
            continue
        section, key = known[full]
        value = _from_env(env[name], key)
        if (wrong := key.check(value)) is not None:
            report.add(full, wrong, env=True)
        else:
            values[section, key.name] = value


def _from_env(raw: str, key: Key) -> Value:
    """The text as the type of the key, where it can be read as such."""
    if isinstance(key.default, bool):
        return {"true": True, "false": False}.get(raw, raw)
    if isinstance(key.default, int) and re.fullmatch(r"-?[0-9]{1,16}", raw):
        return int(raw)
    return raw


def _cross_check(values: Mapping[tuple[str, str], Value], report: _Report) -> None:
    if bool(values["http", "tls_cert_file"]) != bool(values["http", "tls_key_file"]):
        report.add("http.tls_key_file", "and tls_cert_file go together: give both or neither")
    url = str(values["http", "public_url"])
    if url and not _is_http_url(url):
        report.add("http.public_url", f"is {url!r}, expected http(s)://host without a path")
    external = values["broker", "mode"] == "external"
    if external and values["broker", "port"] == 0:
        report.add("broker.port", "is 0, but an external broker has a port: give its number")
    for name in ("username", "password_file", "ca_file", "cert_file", "key_file"):
        if not external and values["broker", name]:
            report.add(
                f"broker.{name}", 'is for an external broker: leave it, or mode = "external"'
            )
    if int(values["fleet", "clock_rate"]) > 1 and values["fleet", "profile"] != "demo":
        report.add(
            "fleet.clock_rate",
            f"is {values['fleet', 'clock_rate']}, but fleet.profile is "
            f"{values['fleet', 'profile']!r}: real cabinets and tariffs live in real time; set "
            'clock_rate = 1, or profile = "demo" where nothing real hangs on it',
        )
    if 3_600 % int(values["balance", "interval_s"]):
        report.add(
            "balance.interval_s",
            f"is {values['balance', 'interval_s']}, expected a divisor of 3600, such as 900",
        )
    if (
        values["store", "password_file"]
        and (wrong := password_unfit(str(values["store", "url"]))) is not None
    ):
        report.add("store.password_file", wrong)
    tiles = str(values["pages", "map_tiles"])
    if tiles and (wrong := template_problem(tiles)) is not None:
        report.add("pages.map_tiles", wrong)
    if tiles and not values["pages", "map_attribution"]:
        report.add("pages.map_attribution", "is empty: say whose map it is, as its licence asks")
    _check_tls(values, report)


def _check_tls(values: Mapping[tuple[str, str], Value], report: _Report) -> None:
    host = values["broker", "host"]
    if not values["broker", "tls"]:
        if host not in _LOOPBACK:
            report.add(
                "broker.tls",
                f"is false, but {host} is not this machine: passwords would cross the network "
                "for everybody to read; leave tls = true",
            )
        for name in ("ca_file", "cert_file"):
            if values["broker", name]:
                report.add(f"broker.{name}", "is for TLS: leave it, or tls = true")
    if bool(values["broker", "cert_file"]) != bool(values["broker", "key_file"]):
        report.add("broker.key_file", "and cert_file go together: give both or neither")
    for section, scheme in (("broker", "mqtts"), ("enrol", "https")):
        url = str(values[section, "public_url"])
        if url and not re.fullmatch(
            rf"{scheme}://([A-Za-z0-9.-]+|\[[0-9a-f:.]+\]):[0-9]{{1,5}}", url
        ):
            report.add(f"{section}.public_url", f"is {url!r}, expected {scheme}://host:port")


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

    def all_of(section: str) -> dict[str, Any]:
        """Every key of a section, those that name a file as paths."""
        return {
            name: path(section, name) if name.endswith("_file") else values[section, name]
            for name in (key.name for key in SECTIONS[section])
        }

    data_dir = path("fleet", "data_dir") or folder.resolve()
    return FleetConfig(
        data_dir=data_dir,
        clock_rate=values["fleet", "clock_rate"],
        clock_origin_ms=values["fleet", "clock_origin_ms"],
        http=HttpConfig(
            **all_of("http") | {"public_url": values["http", "public_url"].rstrip("/")}
        ),
        broker=BrokerConfig(**all_of("broker")),
        enrol=EnrolConfig(**all_of("enrol")),
        pages=PagesConfig(
            locale=values["pages", "locale"],
            timezone=values["pages", "timezone"],
            support_phone=values["pages", "support_phone"],
            tiles=_tiles(values),
        ),
        limits=LimitsConfig(**all_of("limits")),
        balance=BalanceConfig(**all_of("balance")),
        log=LogConfig(**all_of("log")),
        store_url=with_password(values["store", "url"], path("store", "password_file"))
        or f"sqlite:///{data_dir / 'fleet.db'}",
        sms_sender=values["sms", "sender"],
        operator_token_file=path("operator", "token_file") or data_dir / "operator.token",
        oidc=ProviderConfig(**all_of("oidc")),
    )


def _tiles(values: Mapping[tuple[str, str], Any]) -> TileSource | None:
    if not values["pages", "map_tiles"]:
        return None
    return TileSource(
        values["pages", "map_tiles"],
        values["pages", "map_attribution"],
        values["pages", "map_datum"],
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
