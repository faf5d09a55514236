"""The configuration is parsed strictly: every fault names line, key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cabinet.adapters.devices import DRIVERS
from cabinet.config import ConfigProblemsError, load, parse
from cabinet.config_devices import TRAITS, Protocol, Role
from cabinet.config_example import Choice, example_config
from cabinet.config_lines import index_lines
from cabinet.config_schema import Problem
from cabinet.core.model import Input, Output

EXAMPLE = example_config()
FILE = Path("/etc/yizhan/cabinet.toml")


def problems(text: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigProblemsError) as caught:
        parse(text, FILE, environment or {})
    return str(caught.value).splitlines()


def line_of(text: str, fragment: str) -> int:
    return text[: text.index(fragment)].count("\n") + 1


def test_the_example_is_right_and_complete() -> None:
    config = parse(EXAMPLE, FILE, {})
    assert config.cabinet.id == "DH-0001"
    assert [slot.number for slot in config.slots] == list(range(1, 13))
    assert set(config.inputs) == set(Input)
    assert set(config.outputs) == set(Output)
    assert len(config.buses) == 14
    assert len(config.devices) == 4 + 2 + 12 + 12
    assert config.device("charger-07").address == 7
    assert config.device("bms-12").bus == "slot-12"
    assert config.slots[8].lock.board == "board-2"
    assert config.slots[8].lock.channel == 0
    assert config.slots[11].presence.board == "board-4"
    assert config.fleet is not None
    assert config.fleet.credentials_dir == Path("/var/lib/yizhan/cabinet/credentials")
    assert (config.fleet.url, config.fleet.password_file) == ("", None)
    assert config.buses[-1].protocol is Protocol.JBD


def test_the_deployed_example_is_this_one() -> None:
    root = Path(__file__).parents[4]
    assert (root / "deploy/cabinet.example.toml").read_text() == EXAMPLE


def test_a_fast_clock_is_refused_but_in_a_demonstration() -> None:
    fast = EXAMPLE.replace("clock_rate = 1 ", "clock_rate = 60 ")
    demo = fast.replace('profile = "production"', 'profile = "demo"      ')
    [told] = problems(fast)
    assert "cabinet.clock_rate" in told
    assert "cabinet.profile is 'production'" in told
    assert f":{line_of(fast, 'clock_rate =')}:" in told
    [told] = problems(demo)
    assert "cabinet.clock_rate" in told
    assert 'set clock = "host"' in told
    config = parse(demo.replace('clock = "kernel"', 'clock = "host"'), FILE, {})
    assert (config.cabinet.clock_rate, config.cabinet.profile) == (60, "demo")
    assert parse(EXAMPLE, FILE, {}).cabinet.clock_rate == 1


def test_an_example_without_a_fleet() -> None:
    text = example_config("DH-0007", run_dir=Path('/tmp/a "b"'), credentials_dir=None, web_port=0)
    config = parse(text, FILE, {})
    assert config.fleet is None
    assert config.web.port == 0
    assert config.buses[0].port == '/tmp/a "b"/bus-a'


def test_relative_paths_start_at_the_file() -> None:
    text = EXAMPLE.replace('"/run/yizhan/bus-a"', '"run/bus-a"')
    assert parse(text, FILE, {}).buses[0].port == "/etc/yizhan/run/bus-a"


# Each row: what to replace, by what, the fragment on whose line the complaint must stand, the key,
# and a part of the complaint with its remedy.
FAULTS = [
    ('\nport = "/run/yizhan/bus-a"', '\nprt = "/run/yizhan/bus-a"', "prt =", "bus[1].prt", "did you mean 'port'?"),
    ("[web] ", "[weeb] ", "[weeb]", "weeb", "did you mean 'web'?"),
    ("slots = 12", 'slots = "12"', "slots =", "cabinet.slots", "must be a whole number, not text; write slots ="),
    ("slots = 12", "slots = true", "slots =", "cabinet.slots", "must be a whole number, not true or false"),
    ("slots = 12", "slots = 12.0", "slots =", "cabinet.slots", "not a number with a point"),
    ("baud = 9600", "baud = 1", "baud = 1", "bus[1].baud", "give a value from 300 to"),
    ('id = "DH-0001"', 'id = "dh 1"', "id =", "cabinet.id", "capital letters"),
    ('id = "DH-0001"', "", "[cabinet]", "cabinet.id", "is missing; add id ="),
    ("telemetry_s = 5.0", "telemetry_s = nan", "telemetry_s", "fleet.telemetry_s", "out of range"),
    ("telemetry_s = 5.0", "telemetry_s = 46", "telemetry_s", "fleet.telemetry_s", "give a value from 1 to 45"),
    ("telemetry_s = 5.0", 'url = "http://x"', "url =", "fleet.url", "mqtt://host:port"),
    ('credentials_dir = "/var/lib/yizhan/cabinet/credentials"', "", "[fleet]", "fleet.credentials_dir", "run cabinetd enrol, or give a url"),
    ("address = 20", "address = 10", "address = 10\n\n[[device]]\nname = \"charger-01\"", "device[6].address", "already used by 'meter' on line"),
    ("address = 20\n", "", 'name = "climate"', "device[6].address", "add address ="),
    ('name = "board-2"', 'name = "board-1"', 'name = "board-1"\ntype = "waveshare-relay-d"\nbus = "bus-a"\naddress = 2', "device[2].name", "already used on line"),
    ('type = "xy-md02"', 'type = "xy-md2"', "type = \"xy-md2\"", "device[6].type", "did you mean 'xy-md02'?"),
    ('bus = "slot-03"', 'bus = "slot-3"', 'bus = "slot-3"', "device[21].bus", "did you mean 'slot-03'?"),
    ('bus = "slot-03"', 'bus = "slot-02"', 'bus = "slot-02"\n\n[[device]]\nname = "bms-04"', "device[21].bus", "one battery per port"),
    ('bus = "slot-03"', 'bus = "bus-a"', 'bus = "bus-a"\n\n[[device]]\nname = "bms-04"', "device[21].bus", "does not speak modbus-rtu"),
    ('port = "/run/yizhan/slot-02"', 'port = "/run/yizhan/slot-01"', 'port = "/run/yizhan/slot-01"\nbaud = 9600\nprotocol = "jbd"\n\n[[bus]]\nname = "slot-03"', "bus[4].port", "one bus owns one port"),
    ('port = "/run/yizhan/bus-a"', 'port = "udp://x:1"', 'port = "udp', "bus[1].port", "unknown scheme"),
    ('port = "/run/yizhan/bus-a"', 'port = "tcp://x"', 'port = "tcp', "bus[1].port", "write tcp://host:502"),
    ('port = "/run/yizhan/bus-a"', 'port = "modbus-tcp://x:502"', 'protocol = "modbus-rtu"', "bus[1].protocol", "go together"),
    ("number = 5", "number = 4", "number = 4\nlock = { board = \"board-1\", channel = 4 }", "slot[5].number", "already used on line"),
    ("number = 12", "number = 13", "number = 13", "slot[12].number", "above cabinet.slots"),
    ("number = 12", "number = 13", "slots = 12", "cabinet.slots", "slot 12 has no [[slot]]"),
    ('charger = "charger-04"', 'charger = "charger-4"', 'charger = "charger-4"', "slot[4].charger", "did you mean"),
    ('charger = "charger-04"', 'charger = "bms-04"', 'charger = "bms-04"', "slot[4].charger", "there is no charger"),
    ('bms = "bms-04"', 'bms = "bms-05"', 'bms = "bms-05"\n\n[[slot]]\nnumber = 6', "slot[5].bms", "each slot has its own"),
    ('bms = "bms-04"', 'bms = "bms-05"', 'name = "bms-04"', "device[22].name", "no slot uses"),
    ("e-stop = { board = \"board-2\", channel = 7 }", "e-stop = { board = \"board-2\", channel = 6 }", "e-stop =", "inputs.e-stop", "one channel serves one thing"),
    ("siren = { board = \"board-2\", channel = 5 }", "siren = { board = \"board-2\", channel = 3 }", "siren =", "outputs.siren", "relay 3 of 'board-2' is already used"),
    ("fan = { board = \"board-2\", channel = 7 }", "fan = { board = \"board-2\", channel = 8 }", "fan =", "outputs.fan.channel", "from 0 to 7"),
    ("fan = { board = \"board-2\", channel = 7 }", "fan = { board = \"meter\", channel = 7 }", "fan =", "outputs.fan.board", "there is no board 'meter'"),
    ("contactor = { board = \"board-2\", channel = 4 }\n", "", "[outputs]", "outputs.contactor", "add the table"),
    ("voltage_max_v = 54.6", "voltage_max_v = 84.0", "voltage_max_v", "pack.voltage_max_v", "more than a riden-rd6006 gives (60 V)"),
    ("current_max_a = 6.0", "current_max_a = 8.0", "current_max_a", "pack.current_max_a", "more than a riden-rd6006 gives (6 A)"),
    ("power_default_w = 2000", "power_default_w = 4000", "power_default_w", "cabinet.power_default_w", "must fit the breaker"),
    ("pulse_ms = 500", "pulse_ms = 550", "pulse_ms", "wiring.pulse_ms", "boards count 100 ms"),
    ("renew_ms = 3000", "renew_ms = 5000", "renew_ms", "wiring.renew_ms", "at least twice per lease"),
    ("[safety]", "[safety]\nair_tripp_c = 50", "air_tripp_c", "safety.air_tripp_c", "did you mean 'air_trip_c'?"),
    ("[safety]", "[safety]\nair_trip_c = 500", "air_trip_c", "safety.air_trip_c", "give a value from 40 to 70"),
    ("[safety]", "[safety]\nair_trip_c = \"hot\"", "air_trip_c", "safety.air_trip_c", "must be a number"),
    ("[safety]", "[safety]\nair_warn_c = 64", "air_warn_c = 64", "safety.air_warn_c", "must be below"),
    ('port = "/run/yizhan/scanner"', 'port = "/run/yizhan/bus-a"', 'port = "/run/yizhan/bus-a"', "scanner.port", "a scanner owns its port"),
    ('clock = "kernel"', 'clock = "rct"', "clock =", "cabinet.clock", "did you mean 'rtc'?"),
    ("telemetry_s = 5.0", 'page_url = "javascript:alert(1)"', "page_url =", "fleet.page_url", "https://host"),
    ("columns = 0", "columns = 9", "columns =", "cabinet.columns", "from 0 to 8"),
    ("[[bus]]                     # locks", "[bus] # locks", "[bus]", "", "not TOML"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "at", "key", "says"), FAULTS)
def test_a_fault_names_line_key_and_remedy(
    old: str, new: str, at: str, key: str, says: str
) -> None:
    assert old in EXAMPLE
    text = EXAMPLE.replace(old, new, 1)
    found = problems(text)
    hits = [line for line in found if says in line and f" {key}" in line]
    assert hits, found
    assert "; " in hits[0], "no remedy"
    if key:
        assert hits[0].startswith(f"{FILE}:{line_of(text, at) + at_offset(at)}:"), hits


def at_offset(at: str) -> int:
    """Complaints about a device's address or a slot's BMS stand below the fragment's first line."""
    return {
        'name = "board-1"\ntype = "waveshare-relay-d"\nbus = "bus-a"\naddress = 2': 0,
        'number = 4\nlock = { board = "board-1", channel = 4 }': 0,
        'name = "climate"': -1,  # an absent key: the line of its table
    }.get(at, 0)


def test_all_faults_at_once() -> None:
    text = EXAMPLE.replace("slots = 12", "slots = 0").replace("renew_ms", "renw_ms")
    text = text.replace("address = 20", "address = 10").replace(
        "capacity_wh = 960.0", "capacity_wh = -1"
    )
    found = problems(text)
    assert len(found) == 4, found


def test_a_misspelt_required_key_is_one_fault() -> None:
    assert len(problems(EXAMPLE.replace('\nport = "/run/yizhan/bus-a"', '\nprt = "x"'))) == 1


def test_the_environment_overrides_keys() -> None:
    config = parse(
        EXAMPLE,
        FILE,
        {
            "CABINETD__FLEET__URL": "mqtts://broker.example:8883",
            "CABINETD__WEB__PORT": "0",
            "CABINETD__BUS__0__PORT": "/dev/ttyS7",
            "CABINETD__SAFETY__AIR_TRIP_C": "58.5",
            "OTHER": "x",
        },
    )
    assert config.fleet is not None
    assert config.fleet.url == "mqtts://broker.example:8883"
    assert config.web.port == 0
    assert config.buses[0].port == "/dev/ttyS7"
    assert config.safety == {"air_trip_c": 58.5}


def test_a_text_of_digits_in_the_environment_stays_as_it_is() -> None:
    """A plate's number keeps its zeros; an id or a name may well be a number."""
    text = example_config(choice=Choice(meter="dlt645-meter"))
    devices = [line for line in text.splitlines() if line.startswith(("[[device]]", "type = "))]
    types = [line for line in devices if line.startswith("type")]
    index = next(n for n, line in enumerate(types) if "dlt645" in line)
    config = parse(
        text,
        FILE,
        {
            f"CABINETD__DEVICE__{index}__NUMBER": "000000000042",
            "CABINETD__CABINET__ID": "100200",
            "CABINETD__CABINET__NAME": "true",
        },
    )
    assert config.device("meter").number == "000000000042"
    assert (config.cabinet.id, config.cabinet.name) == ("100200", "true")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("CABINETD__FLEET__URLL", "x", "did you mean 'url'?"),
        ("CABINETD__CABINET__BREAKER_W", "100001", "from 100 to 100000 W"),
        ("CABINETD__CABINET__SLOTS", "twelve", "must be a whole number"),
        ("CABINETD__WEB__PORT", "99999", "0 to 65535"),
        ("CABINETD__BUS__99__PORT", "x", "names no table"),
        ("CABINETD__", "x", "names no table"),
        ("CABINETD__BUS", "x", "must be an array of tables"),
    ],
)
def test_a_wrong_override_names_its_variable(variable: str, value: str, says: str) -> None:
    found = problems(EXAMPLE, {variable: value})
    assert any(line.startswith(f"{variable}:") and says in line for line in found), found


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "none.toml", "cannot be read"), (tmp_path, "cannot be read")):
        with pytest.raises(ConfigProblemsError, match=says):
            load(path, {})
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"[cabinet]\nname = '\xff'\n")
    with pytest.raises(ConfigProblemsError, match=r"latin\.toml:2: is not UTF-8"):
        load(latin, {})


def test_every_type_has_a_driver_and_the_other_way_round() -> None:
    assert set(TRAITS) == set(DRIVERS)
    assert {traits.role for traits in TRAITS.values()} == set(Role)


def test_line_index_of_awkward_text() -> None:
    text = '''a.b = 1 # x = 2
"q.q" = """
k = 3
"""
[t]
x = [ 1, # [no]
  { y = 2 },
]
[[t.l]]
z = 'it''s'
[[t.l]]
z = { w = 1, v = [2,
3] }
[t.l.m]
n = 1
'''.replace("'it''s'", '"a\\"b=c"')
    lines = index_lines(text)
    assert lines["a", "b"] == 1
    assert lines[("q.q",)] == 2
    assert ("k",) not in lines
    assert lines["t", "x"] == 6
    assert lines["t", "x", 1, "y"] == 7
    assert lines["t", "l", 0, "z"] == 10
    assert lines["t", "l", 1] == 11
    assert lines["t", "l", 1, "z", "v", 1] == 13
    assert lines["t", "l", 1, "m", "n"] == 15
    assert lines["t", "l"] == 9


@given(
    st.integers(0, len(EXAMPLE)),
    st.integers(0, 40),
    st.text(st.sampled_from("[]{}=\"'#.,\n\\\x00 a1-") | st.characters(), max_size=12),
)
def test_a_mutated_file_never_crashes_the_check(at: int, cut: int, put: str) -> None:
    text = EXAMPLE[:at] + put + EXAMPLE[at + cut :]
    found: tuple[Problem, ...] = ()
    try:
        parse(text, FILE, {})
    except ConfigProblemsError as error:
        found = error.problems or (Problem("", "", "", ""),)
    assert all(problem.what and problem.remedy for problem in found)


@given(st.text(max_size=300))
def test_the_line_index_never_raises(text: str) -> None:
    last = text.count("\n") + 1
    assert all(1 <= line <= last for line in index_lines(text).values())
