"""The keys of a cabinet's configuration file, their types, bounds and defaults."""

from __future__ import annotations

from typing import Final

from cabinet.config_devices import TRAITS, ClockSource, Protocol
from cabinet.config_schema import Flag, Item, Number, Table, Tables, Text
from cabinet.core.model import Input, Output
from cabinet.core.safety_limits import BOUNDS
from protocols.fastclock import RATE_MAX
from protocols.messages import SLOTS_MAX
from protocols.settings import TELEMETRY_MAX_S
from protocols.sockets import SOCKETS_MAX

NAME: Final = r"[a-z0-9][a-z0-9-]{0,31}"
NAME_SAYS: Final = "a name of small letters, digits and hyphens"
PORT_HOST: Final = r"[A-Za-z0-9.-]+"
CHANNELS_MAX: Final = 63


def _name() -> Text:
    return Text(pattern=NAME, says=NAME_SAYS)


def _channel(*, required: bool = True) -> Table:
    """One relay or input of a board; ``invert`` turns its meaning over."""
    keys: dict[str, Item] = {
        "board": _name(),
        "channel": Number(0, CHANNELS_MAX),
        "invert": Flag(default=False),
    }
    return Table(keys, required=required)


CABINET: Final = Table(
    {
        "id": Text(pattern=r"[A-Z0-9-]{3,32}", says="3 to 32 capital letters, digits and hyphens"),
        "name": Text(default="", empty=True),
        "slots": Number(1, SLOTS_MAX),
        "data_dir": Text(),
        "breaker_w": Number(*BOUNDS["breaker_w"], default=3_500, unit="W"),
        "power_default_w": Number(0, 100_000, default=2_000, unit="W"),
        "power_max_w": Number(0, 100_000, default=100_000, unit="W"),
        "utc_offset_min": Number(-720, 840, default=480, unit="min"),
        "target_soc_pct": Number(50, 100, default=100, unit="%"),
        "offer_soc_pct": Number(20, 100, default=90, unit="%"),
        "columns": Number(0, 8, default=0),
        "clock": Text(default=ClockSource.KERNEL, choices=tuple(ClockSource)),
        "profile": Text(default="production", choices=("production", "demo")),
        "clock_rate": Number(1, RATE_MAX, default=1),
        "clock_origin_ms": Number(0, 1 << 53, default=0, unit="ms"),
    }
)

FLEET: Final = Table(
    {
        "url": Text(
            default="",
            pattern=rf"(mqtts?://{PORT_HOST}(:\d{{1,5}})?)?",
            says="mqtt://host:port or mqtts://host:port",
        ),
        "credentials_dir": Text(default="", empty=True),
        "username": Text(default="", empty=True),
        "password_file": Text(default="", empty=True),
        "command_key_file": Text(default="", empty=True),
        "group_key_file": Text(default="", empty=True),
        "ca_file": Text(default="", empty=True),
        "page_url": Text(
            default="",
            pattern=r"(https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._/-]*)?)?",
            says="https://host, or empty",
        ),
        "telemetry_s": Number(1, TELEMETRY_MAX_S, default=5.0, whole=False, unit="s"),
    },
    required=False,
)

SCANNER: Final = Table(
    {"port": Text(), "baud": Number(300, 1_000_000, default=115_200)}, required=False
)

VOICE: Final = Table(
    {
        "dir": Text(),
        "language": Text(default="zh", choices=("zh", "en")),
        "player": Text(default="aplay"),
    },
    required=False,
)

WEB: Final = Table(
    {"host": Text(default="127.0.0.1"), "port": Number(0, 65_535, default=8080)},
    required=False,
    empty_default=True,
)

LOG: Final = Table(
    {
        "format": Text(default="text", choices=("text", "json")),
        "level": Text(default="info", choices=("debug", "info", "warning", "error")),
    },
    required=False,
    empty_default=True,
)

PACK: Final = Table(
    {
        "voltage_max_v": Number(10, 120, default=54.6, whole=False, unit="V"),
        "current_max_a": Number(0.1, 60, default=6.0, whole=False, unit="A"),
        "current_min_a": Number(0.1, 10, default=0.5, whole=False, unit="A"),
        "capacity_wh": Number(50, 10_000, default=960.0, whole=False, unit="Wh"),
    },
    required=False,
    empty_default=True,
)

WIRING: Final = Table(
    {
        "pulse_ms": Number(100, 2_000, default=500, unit="ms"),
        "lease_ms": Number(2_000, 60_000, default=8_000, unit="ms"),
        "renew_ms": Number(500, 20_000, default=3_000, unit="ms"),
    },
    required=False,
    empty_default=True,
)

BUS: Final = Table(
    {
        "name": _name(),
        "port": Text(),
        "baud": Number(300, 1_000_000, default=9_600),
        "parity": Text(default="N", choices=("N", "E", "O")),
        "stopbits": Number(1, 2, default=1),
        "protocol": Text(default=Protocol.MODBUS_RTU, choices=tuple(Protocol)),
        "turnaround_ms": Number(0, 500, default=0, unit="ms"),
        "reopen_max_s": Number(0.2, 5, default=2.0, whole=False, unit="s"),
    }
)

#: -1 means that none was given: the type's own value holds, and an address is missing.
DEVICE: Final = Table(
    {
        "name": _name(),
        "type": Text(choices=tuple(TRAITS)),
        "bus": _name(),
        "address": Number(0, 247, default=-1),
        "number": Text(default="", pattern=r"(\d{12})?", says="the twelve digits on its plate"),
        "processing_ms": Number(1, 5_000, default=-1, unit="ms"),
        "turnaround_ms": Number(0, 500, default=-1, unit="ms"),
    }
)

SLOT: Final = Table(
    {
        "number": Number(1, SLOTS_MAX),
        "lock": _channel(),
        "door": _channel(),
        "presence": _channel(),
        "ac": _channel(),
        "green": _channel(required=False),
        "red": _channel(required=False),
        "charger": _name(),
        "bms": _name(),
    }
)

SOCKET: Final = Table(
    {
        "number": Number(1, SOCKETS_MAX),
        "relay": _channel(),
        "meter": _name(),
        "probe": Text(default="", pattern=rf"({NAME})?", says=f"{NAME_SAYS}, or empty"),
        "power_max_w": Number(50, 3_500, default=500, unit="W"),
        "current_max_a": Number(0.2, 16, default=2.5, whole=False, unit="A"),
        "temp_max_c": Number(30, 90, default=55.0, whole=False, unit="°C"),
        "full_w": Number(1, 200, default=12.0, whole=False, unit="W"),
        "full_after_s": Number(5, 7_200, default=300, unit="s"),
    }
)

INPUTS: Final = Table({i.value: _channel(required=i is Input.SMOKE) for i in Input})
OUTPUTS: Final = Table({o.value: _channel(required=o is Output.CONTACTOR) for o in Output})

#: ``[safety]`` is free of form here: its keys are the names of the core's limits.
CONFIG: Final = Table(
    {
        "cabinet": CABINET,
        "fleet": FLEET,
        "scanner": SCANNER,
        "voice": VOICE,
        "web": WEB,
        "log": LOG,
        "pack": PACK,
        "wiring": WIRING,
        "bus": Tables(BUS, least=1),
        "device": Tables(DEVICE, least=1),
        "slot": Tables(SLOT, least=1),
        "socket": Tables(SOCKET),
        "inputs": INPUTS,
        "outputs": OUTPUTS,
    }
)
