"""The cabinet's configuration: one TOML file, parsed once and strictly.

Every key of the file may be overridden by an environment variable named after its path, such as
``CABINETD__FLEET__URL`` or ``CABINETD__BUS__0__PORT`` (entries of arrays count from 0).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from cabinet import config_checks, config_layout, config_lines
from cabinet.config_devices import TRAITS, ClockSource, Protocol, Traits
from cabinet.config_schema import Item, Problem, Report, Table, Tables, Text, read_table
from cabinet.core.model import Input, Output
from cabinet.errors import ConfigError

ENV_PREFIX: Final = "CABINETD__"
#: A configuration is some hundred lines; more than this is another file.
FILE_BYTES_MAX: Final = 1_000_000


class ConfigProblemsError(ConfigError):
    """The configuration is wrong; the message has one line per problem."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class CabinetConfig:
    """``[cabinet]``: who it is and what its mains may carry."""

    id: str
    name: str
    slots: int
    data_dir: Path
    breaker_w: int
    power_default_w: int
    power_max_w: int  # of its feeder; above the breaker it says nothing
    utc_offset_min: int  # of the hours in settings: the local time
    target_soc_pct: int
    offer_soc_pct: int
    columns: int  # of doors as they stand; 0: by their number
    clock: ClockSource
    profile: str  # "production" or "demo"
    clock_rate: int  # above 1 only in a demonstration: how fast the day of the plans runs
    clock_origin_ms: int


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """``[fleet]``: the broker and what the cabinet trusts."""

    url: str  # mqtt://host:port or mqtts://host:port; empty: from credentials_dir
    credentials_dir: Path | None  # what `cabinetd enrol` fills; the keys below win over it
    username: str
    password_file: Path | None
    command_key_file: Path | None
    group_key_file: Path | None  # None: no swaps by number and code
    ca_file: Path | None
    page_url: str  # of the riders' pages, for the QR code on the kiosk page; "" shows none
    telemetry_s: float


@dataclass(frozen=True, slots=True)
class ScannerConfig:
    """``[scanner]``: a barcode scanner that shows up as a serial port."""

    port: str
    baud: int


@dataclass(frozen=True, slots=True)
class VoiceConfig:
    """``[voice]``: recordings of the prompts, and the program that plays them."""

    dir: Path
    language: str
    player: str


@dataclass(frozen=True, slots=True)
class WebConfig:
    """``[web]``: where the status page listens; port 0 takes any free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class LogConfig:
    """``[log]``: how and what is logged."""

    format: str  # "text" or "json"
    level: str


@dataclass(frozen=True, slots=True)
class PackConfig:
    """``[pack]``: the batteries that this cabinet charges."""

    voltage_max_v: float
    current_max_a: float
    current_min_a: float
    capacity_wh: float


@dataclass(frozen=True, slots=True)
class WiringConfig:
    """``[wiring]``: lock pulse and leases."""

    pulse_ms: int
    lease_ms: int
    renew_ms: int


@dataclass(frozen=True, slots=True)
class BusConfig:
    """One ``[[bus]]``: a serial port or socket and what it speaks."""

    name: str
    port: str  # device path, tcp://host:port or modbus-tcp://host:port
    baud: int
    parity: str
    stopbits: int
    protocol: Protocol
    turnaround_ms: int
    reopen_max_s: float


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """One ``[[device]]``.

    ``address`` is 0 where the protocol has none; ``number`` is on the plate of a meter that is
    asked by it, empty where it is alone on its line.
    """

    name: str
    type: str
    bus: str
    address: int
    processing_ms: int
    turnaround_ms: int
    number: str = ""

    @property
    def traits(self) -> Traits:
        """What its type can do."""
        return TRAITS[self.type]


@dataclass(frozen=True, slots=True)
class Channel:
    """One relay or input of a board; ``invert`` turns the level over (inputs only)."""

    board: str
    channel: int
    invert: bool = False


@dataclass(frozen=True, slots=True)
class SlotConfig:
    """One ``[[slot]]``: what its wires end at."""

    number: int
    lock: Channel
    door: Channel
    presence: Channel
    ac: Channel
    charger: str
    bms: str
    green: Channel | None = None  # the slot's lamps
    red: Channel | None = None


@dataclass(frozen=True, slots=True)
class SocketConfig:
    """One ``[[socket]]`` of the charging area; ``probe`` is "" where no temperature is watched."""

    number: int
    relay: Channel
    meter: str
    probe: str
    power_max_w: int
    current_max_a: float
    temp_max_c: float
    full_w: float
    full_after_s: int


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file, checked."""

    path: Path
    cabinet: CabinetConfig
    fleet: FleetConfig | None
    scanner: ScannerConfig | None
    voice: VoiceConfig | None
    web: WebConfig
    log: LogConfig
    safety: Mapping[str, int | float | bool]  # overrides of the core's limits, by name
    pack: PackConfig
    wiring: WiringConfig
    buses: tuple[BusConfig, ...]
    devices: tuple[DeviceConfig, ...]
    slots: tuple[SlotConfig, ...]
    sockets: tuple[SocketConfig, ...]
    inputs: Mapping[Input, Channel]
    outputs: Mapping[Output, Channel]

    def device(self, name: str) -> DeviceConfig:
        """The device of this name; KeyError when there is none."""
        for device in self.devices:
            if device.name == name:
                return device
        raise KeyError(name)


def load(path: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigProblemsError: with every problem found: file and line, key, what is wrong, remedy.
    """
    try:
        data = path.read_bytes()
        if len(data) > FILE_BYTES_MAX:
            raise _one(str(path), f"is larger than {FILE_BYTES_MAX} bytes", "is it the right file?")
        text = data.decode()
    except OSError as error:
        why = error.strerror or str(error)
        raise _one(
            str(path), f"cannot be read: {why}", "give the path of a readable file"
        ) from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _one(f"{path}:{line}", "is not UTF-8 text", "save the file as UTF-8") from error
    return parse(text, path, os.environ if environment is None else environment)


def parse(text: str, path: Path, environment: Mapping[str, str]) -> Config:
    """Check the text of a configuration file; relative paths in it start at the file's directory.

    Raises:
        ConfigProblemsError: as ``load``.
    """
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        where = f"{path}:{_line_of(error, text)}"
        raise _one(where, f"is not TOML: {error}", "mend the syntax at this place") from error
    report = Report(str(path), config_lines.index_lines(text))
    report.environment = _override(raw, environment, report)
    safety = config_checks.read_safety(raw.pop("safety", {}), report)
    values = read_table(raw, config_layout.CONFIG, (), report)
    config_checks.check(values, report)
    if report.problems:
        raise ConfigProblemsError(tuple(report.problems))
    return _build(values, safety, path)


def _one(where: str, what: str, remedy: str) -> ConfigProblemsError:
    return ConfigProblemsError((Problem(where, "", what, remedy),))


def _line_of(error: Exception, text: str) -> int:
    """The line that tomllib names in its message; the last one when it names the end."""
    words = str(error).replace(",", " ").split()
    if "line" in words and words[words.index("line") + 1].isdigit():
        return int(words[words.index("line") + 1])
    return text.count("\n") + 1


def _override(
    raw: dict[str, Any], environment: Mapping[str, str], report: Report
) -> Mapping[config_lines.Path, str]:
    """Lay the environment over the file; returns which key came from which variable."""
    sources: dict[config_lines.Path, str] = {}
    for variable in sorted(environment):
        if not variable.startswith(ENV_PREFIX):
            continue
        parts = variable.removeprefix(ENV_PREFIX).lower().split("__")
        keys: config_lines.Path = tuple(int(p) if p.isdigit() else p for p in parts)
        sources[keys] = variable
        if not _put(raw, keys, environment[variable]):
            report.environment = dict(sources)
            report.add(keys, "names no table of the file", "use CABINETD__TABLE__KEY")
    return sources


def _put(raw: dict[str, Any], keys: config_lines.Path, text: str) -> bool:
    here: Any = raw
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(here, list) and isinstance(key, int) and key < len(here) and not last:
            here = here[key]
        elif isinstance(here, dict) and isinstance(key, str) and key:
            if last:
                here[key] = text if _is_text(keys) else _typed(text)
            else:
                here = here.setdefault(key, {})
        else:
            return False
    return True


def _is_text(keys: config_lines.Path) -> bool:
    """Whether the key at this path holds text, though what stands there may look like a number."""
    item: Item | None = config_layout.CONFIG
    for key in keys:
        if isinstance(item, Tables):
            item = item.table
        else:
            item = item.keys.get(str(key)) if isinstance(item, Table) else None
    return isinstance(item, Text)


def _typed(text: str) -> Any:
    """``true``, ``12`` and ``1.5`` as TOML reads them; anything else is the text itself."""
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _build(
    values: Mapping[str, Any], safety: Mapping[str, int | float | bool], path: Path
) -> Config:
    base = path.parent

    def file(text: str) -> Path | None:
        return (base / Path(text).expanduser()).absolute() if text else None

    cabinet = dict(values["cabinet"])
    data_dir = file(cabinet.pop("data_dir"))
    assert data_dir is not None
    fleet = dict(values["fleet"]) if values["fleet"] is not None else None
    if fleet:
        for key in (
            "credentials_dir",
            "password_file",
            "command_key_file",
            "group_key_file",
            "ca_file",
        ):
            fleet[key] = file(fleet[key])
    scanner = dict(values["scanner"]) if values["scanner"] is not None else None
    if scanner:
        scanner["port"] = str(base / scanner["port"])
    buses = []
    for bus in values["bus"]:
        port = bus["port"] if "://" in bus["port"] else str(base / bus["port"])
        buses.append(BusConfig(**{**bus, "port": port, "protocol": Protocol(bus["protocol"])}))
    return Config(
        path=path,
        cabinet=CabinetConfig(
            **{**cabinet, "data_dir": data_dir, "clock": ClockSource(cabinet["clock"])}
        ),
        fleet=FleetConfig(**fleet) if fleet else None,
        scanner=ScannerConfig(**scanner) if scanner else None,
        voice=_voice(values["voice"], base),
        web=WebConfig(**values["web"]),
        log=LogConfig(**values["log"]),
        safety=MappingProxyType(dict(safety)),
        pack=PackConfig(**values["pack"]),
        wiring=WiringConfig(**values["wiring"]),
        buses=tuple(buses),
        devices=tuple(_device(device) for device in values["device"]),
        slots=tuple(sorted(map(_slot, values["slot"]), key=lambda slot: slot.number)),
        sockets=tuple(sorted(map(_socket, values["socket"]), key=lambda socket: socket.number)),
        inputs={Input(k): Channel(**v) for k, v in values["inputs"].items() if v},
        outputs={Output(k): Channel(**v) for k, v in values["outputs"].items() if v},
    )


def _device(raw: Mapping[str, Any]) -> DeviceConfig:
    traits = TRAITS[raw["type"]]
    own = {
        key: getattr(traits, key) if raw[key] < 0 else raw[key]
        for key in ("processing_ms", "turnaround_ms")
    }
    return DeviceConfig(**{**raw, **own, "address": max(0, raw["address"])})


def _slot(raw: Mapping[str, Any]) -> SlotConfig:
    wired = ("lock", "door", "presence", "ac", "green", "red")
    channels = {key: Channel(**raw[key]) for key in wired if raw[key] is not None}
    return SlotConfig(**{**raw, **channels})


def _voice(raw: Mapping[str, Any] | None, base: Path) -> VoiceConfig | None:
    if raw is None:
        return None
    folder = (base / Path(raw["dir"]).expanduser()).absolute()
    return VoiceConfig(folder, raw["language"], raw["player"])


def _socket(raw: Mapping[str, Any]) -> SocketConfig:
    return SocketConfig(**{**raw, "relay": Channel(**raw["relay"])})
