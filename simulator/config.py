"""The configuration of a virtual cabinet: one TOML file, every key optional, no key unknown."""

from __future__ import annotations

import difflib
import tomllib
import typing
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct, field, structs

from simulator.errors import ConfigError
from simulator.models.cabinet import CLOCK_RATE_MAX, PACE_MAX, PackOrder
from simulator.models.outfit import FACTORY, Outfit
from simulator.models.wiring import SLOTS_MAX, SOCKETS_MAX

Baud = Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200]
Soc = Annotated[float, Meta(ge=0, le=100)]
Temp = Annotated[float, Meta(ge=-40, le=150)]

#: State of charge of the packs in slots 1 to 9 when the file names none.
DEFAULT_SOC_PCT: Final = (98.0, 100.0, 97.0, 99.0, 96.0, 100.0, 44.0, 57.0, 69.0)

EXAMPLE: Final = """\
# A virtual swap cabinet. Every key is optional; these are the defaults.

[cabinet]
id = "DH-0001"
slots = 12                   # 1 to 12
sockets = 0                  # of a charging area beside it, 0 to 8

[physics]
seed = 1                     # same seed, same cells, same run
ambient_c = 25.0             # the street
speed = 1.0                  # charge, heat and energy run this much faster; boards and doors do not
clock_rate = 1               # a day on a fast clock: charge and energy once more, heat does not
tick_ms = 100

[wire]
realistic_timing = true      # replies take their time at the line's baud rate
processing_ms = 5.0          # what every device thinks before it answers
bus_a_baud = 9600
bus_chargers_baud = 115200
# slot_baud = 9600           # without it, as the packs are delivered
meter_reserved = "zeros"     # or "exception": what the meter says of registers it does not have

[devices]                    # any type that `cabinetd devices` lists
locks = "waveshare-relay-d"  # or a lock board: kerong-kr-cu16, lock-8a-12 …, on a line bus-locks
chargers = "riden-rd6006"
bms = "jbd-bms"
meter = "eastron-sdm120"     # dlt645-meter stands on a line of its own, bus-meter
climate = "xy-md02"
lights = ""                  # a relay board for the slots' lights, say waveshare-relay-32

# Packs that stand in the cabinet from the start. Without any [[pack]], slots 1 to 9 hold
# YZ48-000001 to YZ48-000009; `pack = []` at the top of the file means an empty cabinet.
[[pack]]
slot = 1
serial = "YZ48-000001"
soc_pct = 98.0
temp_c = 25.0
"""


class CabinetSection(Struct, frozen=True, forbid_unknown_fields=True):
    """[cabinet]."""

    id: Annotated[str, Meta(pattern=r"^[A-Z0-9-]{3,32}$")] = "DH-0001"
    slots: Annotated[int, Meta(ge=1, le=SLOTS_MAX)] = SLOTS_MAX
    sockets: Annotated[int, Meta(ge=0, le=SOCKETS_MAX)] = 0


class PackSection(Struct, frozen=True, forbid_unknown_fields=True):
    """One [[pack]]."""

    slot: Annotated[int, Meta(ge=1, le=SLOTS_MAX)]
    serial: Annotated[str, Meta(min_length=1, max_length=31)]
    soc_pct: Soc = 50.0
    temp_c: Temp | None = None
    cycles: Annotated[int, Meta(ge=0, le=65_535)] | None = None
    soh_pct: Annotated[float, Meta(gt=0, le=110)] | None = None

    @property
    def order(self) -> PackOrder:
        """As a hand would bring it."""
        return PackOrder(
            serial=self.serial,
            soc_pct=self.soc_pct,
            temp_c=self.temp_c,
            cycles=self.cycles,
            soh_pct=self.soh_pct,
        )


class PhysicsSection(Struct, frozen=True, forbid_unknown_fields=True):
    """[physics]."""

    seed: int = 1
    ambient_c: Annotated[float, Meta(ge=-40, le=60)] = 25.0
    speed: Annotated[float, Meta(gt=0, le=PACE_MAX)] = 1.0
    clock_rate: Annotated[int, Meta(ge=1, le=CLOCK_RATE_MAX)] = 1
    tick_ms: Annotated[int, Meta(ge=10, le=1_000)] = 100


class WireSection(Struct, frozen=True, forbid_unknown_fields=True):
    """[wire]."""

    realistic_timing: bool = True
    processing_ms: Annotated[float, Meta(ge=0, le=5_000)] = 5.0
    bus_a_baud: Baud = 9600
    bus_chargers_baud: Baud = 115200
    slot_baud: Baud | None = None  # as its packs are delivered
    meter_reserved: Literal["zeros", "exception"] = "zeros"


class DevicesSection(Struct, frozen=True, forbid_unknown_fields=True):
    """[devices]."""

    locks: str = FACTORY.locks
    chargers: str = FACTORY.chargers
    bms: str = FACTORY.bms
    meter: str = FACTORY.meter
    climate: str = FACTORY.climate
    lights: str = FACTORY.lights

    @property
    def outfit(self) -> Outfit:
        """The same, checked.

        Raises:
            ConfigError: a type that is not known or cannot do what is asked.
        """
        return Outfit(**structs.asdict(self))


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    cabinet: CabinetSection = CabinetSection()
    pack: tuple[PackSection, ...] | None = None
    physics: PhysicsSection = PhysicsSection()
    wire: WireSection = field(default_factory=WireSection)
    devices: DevicesSection = DevicesSection()

    @property
    def packs(self) -> tuple[PackSection, ...]:
        """The packs at the start: those named, else the built-in nine."""
        if self.pack is not None:
            return self.pack
        return tuple(
            PackSection(slot=number, serial=f"YZ48-{number:06d}", soc_pct=soc_pct)
            for number, soc_pct in enumerate(DEFAULT_SOC_PCT, start=1)
            if number <= self.cabinet.slots
        )


def load(path: Path | None) -> Config:
    """Read a configuration; None gives the defaults.

    Raises:
        ConfigError: names every unknown key with the nearest known one, or the first bad value.
    """
    if path is None:
        return Config()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    problems = _unknown_keys(document, Config, "")
    if problems:
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems))
    try:
        config = msgspec.convert(document, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
    _check_packs(path, config)
    try:
        board = config.devices.outfit.lock_board
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if board is not None and board.locks < config.cabinet.slots:
        raise ConfigError(
            f"{path}: devices.locks = {board.type!r} has {board.locks} locks for "
            f"{config.cabinet.slots} slots: choose a larger board"
        )
    return config


def _unknown_keys(table: dict[str, object], struct: type[Struct], prefix: str) -> list[str]:
    sections: dict[str, type[Struct]] = {
        "cabinet": CabinetSection,
        "physics": PhysicsSection,
        "wire": WireSection,
        "devices": DevicesSection,
        "pack": PackSection,
    }
    known = tuple(struct.__struct_fields__)
    problems = []
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(known)}"
            problems.append(f"unknown key {prefix}{key}: {hint}")
        elif struct is Config:
            tables = value if isinstance(value, list) else [value]
            for inner in tables:
                if isinstance(inner, dict):
                    named = typing.cast("dict[str, object]", inner)
                    problems += _unknown_keys(named, sections[key], f"{key}.")
    return problems


def _check_packs(path: Path, config: Config) -> None:
    seen: set[int] = set()
    for pack in config.packs:
        if pack.slot > config.cabinet.slots:
            raise ConfigError(
                f"{path}: pack.slot = {pack.slot}: the cabinet has {config.cabinet.slots} slots"
            )
        if pack.slot in seen:
            raise ConfigError(f"{path}: pack.slot = {pack.slot}: two packs in one slot")
        seen.add(pack.slot)
