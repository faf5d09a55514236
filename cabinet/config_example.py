"""A full, commented configuration of the default 12-slot cabinet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cabinet.config_devices import TRAITS, Protocol, Role, Traits

SLOTS: Final = 12
#: Relays and inputs per board.
BOARD: Final = 8
#: The separate lock board, where there is one.
LOCK_BOARD: Final = "board-5"
#: And the one with a lamp or two per slot.
LIGHT_BOARD: Final = "board-6"

HEAD: Final = """\
# cabinetd configuration. Check it with: cabinetd check-config FILE
# Every key may be overridden by the environment, e.g. CABINETD__FLEET__URL=mqtts://broker:8883
# Relative paths start at this file's directory.

[cabinet]
id = "{id}"                 # 3 to 32 capital letters, digits, hyphens; the fleet knows it by this
name = "{name}"
slots = {slots}
data_dir = "{data_dir}"     # journal and outbox
breaker_w = 3500            # charging never takes more than this
power_default_w = 2000      # without a plan, or with a stale one
power_max_w = 100000        # whatever the plan says: what its feeder allows
utc_offset_min = 480        # of the local time, for the quiet hours: China, UTC+8
target_soc_pct = 100        # packs are charged up to this
offer_soc_pct = 90          # and offered to riders from this
columns = 0                 # of doors on the kiosk page; 0 = by their number
clock = "kernel"            # who vouches for the wall clock: kernel (NTP), rtc (NTP, then a battery
                            # clock for two weeks), host (a container whose host keeps it right)
profile = "production"      # "demo" allows clock_rate above 1 (and clock_origin_ms): a day of plans
clock_rate = 1              # that runs so much faster than real time
"""

FLEET: Final = """
[fleet]                     # leave the table out for a cabinet without a fleet
credentials_dir = "{credentials_dir}"  # filled by: cabinetd enrol --config FILE --token-file TOKEN
telemetry_s = 5.0
# With credentials_dir nothing else is needed. These win over it where they are given:
# url = "mqtts://broker.example:8883"    # mqtt:// without encryption
# username = "DH-0001"                   # for a broker that goes by passwords
# password_file = "mqtt-password"
# command_key_file = "command-key.pub"   # Ed25519 public key, base64; only what it signed is obeyed
# group_key_file = "group.key"           # secret, 0600; without one no swaps by number and code
# ca_file = "ca.crt"                     # who vouches for the broker
# page_url = "https://swap.example"      # of the riders' pages, for the QR code at /kiosk
"""

BODY: Final = """
[scanner]                   # USB barcode scanner in serial mode; leave the table out without one
port = "{run_dir}/scanner"

# [voice]                   # a loudspeaker; the texts to record: cabinetd prompts --dir texts
# dir = "voice"             # voice/zh/insert-battery-03.wav …
# language = "zh"
# player = "aplay"

[web]                       # /kiosk for riders, status page, /metrics, /healthz
host = "127.0.0.1"
port = {web_port}           # 0 = any free port

[log]
format = "text"             # json for machines: one object per line, with cabinet and swap
level = "info"              # debug, info, warning, error

[safety]
# Overrides of the safety limits by their names; without them the built-in values hold.

[pack]                      # the batteries: 48 V, 13 cells in series
voltage_max_v = 54.6
current_max_a = 6.0
current_min_a = 0.5
capacity_wh = 960.0

[wiring]
pulse_ms = 500              # lock pulse, timed by the board
lease_ms = 8000             # AC relays drop this long after the daemon died
renew_ms = 3000

# Serial ports: use /dev/serial/by-path/… ; by-id cannot tell two CH340 apart.
# Others: tcp://host:port (a serial server), modbus-tcp://host:port with protocol = "modbus-tcp".

[[bus]]                     # locks, doors, relays, meter, climate
name = "bus-a"
port = "{run_dir}/bus-a"
baud = 9600
protocol = "modbus-rtu"
"""

BMS_NOTE: Final = """
# A battery answers at the same address in every slot, so each slot has a port of its own.
"""

BUS: Final = """
[[bus]]
name = "{name}"
port = "{run_dir}/{name}"
baud = {baud}
protocol = "{protocol}"
"""

DEVICE: Final = """
[[device]]
name = "{name}"
type = "{type}"
bus = "{bus}"
"""

SLOT: Final = """
[[slot]]
number = {n}
lock = {{ board = "{door}", channel = {d} }}
door = {{ board = "{door}", channel = {d} }}      # 1 = closed; invert = true turns it over
presence = {{ board = "{there}", channel = {p} }}  # 1 = a pack stands in the slot
ac = {{ board = "{pack}", channel = {c} }}
"""

SLOT_TAIL: Final = """\
charger = "charger-{n:02}"
bms = "bms-{n:02}"
"""

SOCKETS_HEAD: Final = """
# The charging area beside the cabinet: sockets for e-bike chargers, on a line of their own.

[[bus]]
name = "bus-sockets"
port = "{run_dir}/bus-sockets"
baud = 9600
protocol = "modbus-rtu"
"""

SOCKET: Final = """
[[socket]]
number = {n}
relay = {{ board = "board-7", channel = {c} }}  # a lease: it drops when the daemon dies
meter = "socket-meter-{n}"
probe = "area-climate"      # leave out where no temperature is watched
power_max_w = 500           # above this, or the current, the session ends
current_max_a = 2.5
temp_max_c = 55.0
full_w = 12.0               # drawing less than this for full_after_s: the battery is full
full_after_s = 300
"""

TAIL: Final = """
[inputs]                    # closed loops: 1 = healthy, a broken wire is an alarm
smoke = { board = "board-2", channel = 4 }
flood = { board = "board-2", channel = 5 }
service-door = { board = "board-2", channel = 6 }
e-stop = { board = "board-2", channel = 7 }

[outputs]
contactor = { board = "board-2", channel = 4 }
siren = { board = "board-2", channel = 5 }
extinguisher = { board = "board-2", channel = 6 }
fan = { board = "board-2", channel = 7 }
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """The device types of the example, by what they are for; the defaults are the default set."""

    locks: str = "waveshare-relay-d"
    charger: str = "riden-rd6006"
    bms: str = "jbd-bms"
    meter: str = "eastron-sdm120"
    lights: str = ""  # none

    def __post_init__(self) -> None:
        for key, role in CHOICES.items():
            name = getattr(self, key)
            if (name or key != "lights") and TRAITS[name].role is not role:
                raise ValueError(f"{name} is no {role}")
        if TRAITS[self.locks].locks_face and TRAITS[self.locks].locks < SLOTS:
            raise ValueError(f"{self.locks} has fewer locks than the cabinet has slots")
        if self.lights and TRAITS[self.lights].relays < SLOTS:
            raise ValueError(f"{self.lights} has fewer relays than the cabinet has slots")


#: What each key of a choice must be.
CHOICES: Final = {
    "locks": Role.BOARD,
    "charger": Role.CHARGER,
    "bms": Role.BMS,
    "meter": Role.METER,
    "lights": Role.BOARD,
}
DEFAULT: Final = Choice()


def example_config(
    cabinet_id: str = "DH-0001",
    *,
    run_dir: Path = Path("/run/yizhan"),
    data_dir: Path = Path("/var/lib/yizhan/cabinet"),
    name: str = "",
    credentials_dir: str | None = "/var/lib/yizhan/cabinet/credentials",
    web_port: int = 8080,
    choice: Choice = DEFAULT,
    sockets: int = 0,
) -> str:
    """The file's text, for a cabinet whose ports are in ``run_dir``, and so many sockets beside it.

    ``credentials_dir`` None: without a fleet.
    """
    parts = [
        HEAD.format(id=cabinet_id, name=_quoted(name), slots=SLOTS, data_dir=_quoted(data_dir)),
    ]
    if credentials_dir is not None:
        parts.append(FLEET.format(credentials_dir=_quoted(credentials_dir)))
    run = _quoted(run_dir)
    charger, bms, meter, locks = (
        TRAITS[name] for name in (choice.charger, choice.bms, choice.meter, choice.locks)
    )
    own_line = Protocol.MODBUS_RTU not in meter.protocols
    parts += [BODY.format(web_port=web_port, run_dir=run), _bus("bus-chargers", run, charger)]
    parts += [_bus("bus-locks", run, locks)] if locks.locks_face else []
    parts += [_bus("bus-meter", run, meter)] if own_line else []
    parts.append(BMS_NOTE)
    parts += [_bus(f"slot-{n:02}", run, bms) for n in range(1, SLOTS + 1)]
    parts += [
        _device(f"board-{n}", "waveshare-relay-d", "bus-a", n)
        for n in range(1, 3 if locks.locks_face else 5)
    ]
    if locks.locks_face:
        parts.append(_device(LOCK_BOARD, locks.type, "bus-locks", locks.address))
    if choice.lights:
        parts.append(_device(LIGHT_BOARD, choice.lights, "bus-a", 6))
    bus, number = ("bus-meter", None) if own_line else ("bus-a", 10)
    parts.append(_device("meter", meter.type, bus, number))
    parts.append(_device("climate", "xy-md02", "bus-a", 20))
    addresses = charger.addresses or range(1, SLOTS + 1)
    for n in range(1, SLOTS + 1):
        parts.append(_device(f"charger-{n:02}", charger.type, "bus-chargers", addresses[n - 1]))
    address = None if bms.addresses is None else bms.address
    for n in range(1, SLOTS + 1):
        parts.append(_device(f"bms-{n:02}", bms.type, f"slot-{n:02}", address))
    parts += [
        _slot(n, locks) + _lamps(n, choice.lights) + SLOT_TAIL.format(n=n)
        for n in range(1, SLOTS + 1)
    ]
    return "".join([*parts, *_sockets(sockets, run), TAIL])


def _sockets(count: int, run: str) -> list[str]:
    if not count:
        return []
    numbers = range(1, count + 1)
    parts = [SOCKETS_HEAD.format(run_dir=run)]
    parts.append(_device("board-7", "waveshare-relay-d", "bus-sockets", 1))
    parts += [
        _device(f"socket-meter-{n}", "eastron-sdm120", "bus-sockets", 10 + n) for n in numbers
    ]
    parts.append(_device("area-climate", "xy-md02", "bus-sockets", 20))
    return parts + [SOCKET.format(n=n, c=n - 1) for n in numbers]


def _slot(n: int, locks: Traits) -> str:
    board, channel = divmod(n - 1, BOARD)
    pack = f"board-{1 + board if locks.locks_face else 3 + board}"
    door, there, d, p = f"board-{1 + board}", pack, channel, channel
    if locks.locks_face:
        door, d = LOCK_BOARD, n - 1
        if locks.inputs >= 2 * locks.locks:  # it also sees whether something is inside
            there, p = LOCK_BOARD, locks.locks + n - 1
    return SLOT.format(n=n, door=door, d=d, there=there, p=p, pack=pack, c=channel)


def _lamps(n: int, lights: str) -> str:
    if not lights:
        return ""
    half = TRAITS[lights].relays // 2
    text = f'green = {{ board = "{LIGHT_BOARD}", channel = {n - 1} }}\n'
    if half >= SLOTS:  # two colours
        text += f'red = {{ board = "{LIGHT_BOARD}", channel = {half + n - 1} }}\n'
    return text


def _bus(name: str, run_dir: str, device: Traits) -> str:
    modbus = Protocol.MODBUS_RTU in device.protocols
    protocol = Protocol.MODBUS_RTU if modbus else min(device.protocols)
    text = BUS.format(name=name, run_dir=run_dir, baud=device.baud, protocol=protocol)
    if device.parity == "N":
        return text
    # Pseudo terminals know no parity, and examples run on them.
    return (
        f'{text}# parity = "{device.parity}"              # as delivered: set it on a real line\n'
    )


def _device(name: str, kind: str, bus: str, address: int | None) -> str:
    text = DEVICE.format(name=name, type=kind, bus=bus)
    return text if address is None else f"{text}address = {address}\n"


def _quoted(value: str | Path) -> str:
    """Safe between double quotes in TOML."""
    return str(value).replace("\\", "\\\\").replace('"', '\\"')
