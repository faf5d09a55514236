"""A full, commented configuration of the default 12-slot cabinet."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SLOTS: Final = 12
#: Relays and inputs per board.
BOARD: Final = 8

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
target_soc_pct = 100        # packs are charged up to this
offer_soc_pct = 90          # and offered to riders from this
columns = 0                 # of doors on the kiosk page; 0 = by their number
clock = "kernel"            # who vouches for the wall clock: kernel (NTP), rtc (NTP, then a battery
                            # clock for two weeks), host (a container whose host keeps it right)
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

[web]                       # /kiosk for riders, status page, /metrics, /healthz
host = "127.0.0.1"
port = {web_port}           # 0 = any free port

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

[[bus]]
name = "bus-chargers"
port = "{run_dir}/bus-chargers"
baud = 115200
protocol = "modbus-rtu"
"""

BMS_NOTE: Final = """
# A battery answers at the same address in every slot, so each slot has a port of its own.
"""

BMS_BUS: Final = """
[[bus]]
name = "slot-{n:02}"
port = "{run_dir}/slot-{n:02}"
baud = 9600
protocol = "jbd"
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
lock = {{ board = "board-{door}", channel = {c} }}
door = {{ board = "board-{door}", channel = {c} }}      # 1 = closed; invert = true turns it over
presence = {{ board = "board-{pack}", channel = {c} }}  # 1 = a pack stands in the slot
ac = {{ board = "board-{pack}", channel = {c} }}
charger = "charger-{n:02}"
bms = "bms-{n:02}"
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


def example_config(
    cabinet_id: str = "DH-0001",
    *,
    run_dir: Path = Path("/run/yizhan"),
    data_dir: Path = Path("/var/lib/yizhan/cabinet"),
    name: str = "",
    credentials_dir: str | None = "/var/lib/yizhan/cabinet/credentials",
    web_port: int = 8080,
) -> str:
    """The file's text, for a cabinet whose ports are in ``run_dir``.

    ``credentials_dir`` None: without a fleet.
    """
    parts = [
        HEAD.format(id=cabinet_id, name=_quoted(name), slots=SLOTS, data_dir=_quoted(data_dir)),
    ]
    if credentials_dir is not None:
        parts.append(FLEET.format(credentials_dir=_quoted(credentials_dir)))
    run = _quoted(run_dir)
    parts += [BODY.format(web_port=web_port, run_dir=run), BMS_NOTE]
    parts += [BMS_BUS.format(n=n, run_dir=run) for n in range(1, SLOTS + 1)]
    parts += [_device(f"board-{n}", "waveshare-relay-d", "bus-a", n) for n in range(1, 5)]
    parts.append(_device("meter", "eastron-sdm120", "bus-a", 10))
    parts.append(_device("climate", "xy-md02", "bus-a", 20))
    for n in range(1, SLOTS + 1):
        parts.append(_device(f"charger-{n:02}", "riden-rd6006", "bus-chargers", n))
    for n in range(1, SLOTS + 1):
        parts.append(_device(f"bms-{n:02}", "jbd-bms", f"slot-{n:02}", None))
    for n in range(1, SLOTS + 1):
        board, channel = divmod(n - 1, BOARD)
        parts.append(SLOT.format(n=n, door=1 + board, pack=3 + board, c=channel))
    return "".join([*parts, TAIL])


def _device(name: str, kind: str, bus: str, address: int | None) -> str:
    text = DEVICE.format(name=name, type=kind, bus=bus)
    return text if address is None else f"{text}address = {address}\n"


def _quoted(value: str | Path) -> str:
    """Safe between double quotes in TOML."""
    return str(value).replace("\\", "\\\\").replace('"', '\\"')
