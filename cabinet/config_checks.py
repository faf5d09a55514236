"""Checks across keys: references, addresses, channels, voltages.

Values may be None where the schema already complained; such entries are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cabinet.config_devices import TRAITS, Protocol, Role
from cabinet.config_lines import Path
from cabinet.config_schema import Report, nearest
from cabinet.core.safety import BOUNDS, Limits

Entry = Mapping[str, Any]
#: What each wire of a slot must end at.
SLOT_CHANNELS: Final = {
    "lock": "lock",
    "door": "input",
    "presence": "input",
    "ac": "relay",
    "green": "relay",
    "red": "relay",
}


def check(values: Mapping[str, Any], report: Report) -> None:
    """Report everything that is wrong between keys that are right alone."""
    buses = _by_name(values["bus"], "bus", report)
    devices = _by_name(values["device"], "device", report)
    _ports(values["bus"], report)
    _scanner(values, report)
    _devices(values["device"], buses, report)
    _slot_numbers(values, report)
    _channels(values, devices, report)
    _partners(values["slot"], devices, report)
    _sockets(values, devices, report)
    _unused(values, report)
    _power(values, devices, report)
    _leases(values["wiring"], report)
    _fleet(values["fleet"], report)
    _clock(values["cabinet"], report)


def read_safety(raw: object, report: Report) -> dict[str, Any]:
    """``[safety]``: each key is a limit of the core by its name; the core checks its bounds."""
    path: Path = ("safety",)
    if not isinstance(raw, dict):
        report.add(path, "must be a table", "write [safety]")
        return {}
    good: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in BOUNDS:
            report.add((*path, key), "unknown limit", nearest(key, BOUNDS))
            continue
        low, high = BOUNDS[key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            report.add((*path, key), "must be a number", f"write {key} = {low:g}")
        elif not low <= value <= high:
            remedy = f"give a value from {low:g} to {high:g}"
            report.add((*path, key), f"{value} is out of range", remedy)
        else:
            good[key] = value
    try:
        Limits(**good)
    except ValueError as error:
        first = str(error).partition(" ")[0]
        at = (*path, first) if first in good else path
        report.add(at, str(error), "mend either, or leave both at their built-in values")
    return good


def _by_name(entries: Sequence[Entry], table: str, report: Report) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    first: dict[str, Path] = {}
    for number, entry in enumerate(entries):
        name, path = entry["name"], (table, number, "name")
        if name is None:
            continue
        if name in found:
            _twice(report, path, f"{table} {name!r}", first[name], "give each its own name")
        else:
            found[name], first[name] = entry, path
    return found


def _twice(
    report: Report, path: Path, what: str, first: Path, remedy: str, *, by: str = ""
) -> None:
    by = f" by {by!r}" if by else ""
    report.add(path, f"{what} is already used{by} on line {report.line(first)}", remedy)


def _scanner(values: Mapping[str, Any], report: Report) -> None:
    """The scanner has a port of its own."""
    port = values["scanner"]["port"] if values["scanner"] else None
    for number, bus in enumerate(values["bus"]):
        if port is not None and bus["port"] == port:
            first: Path = ("bus", number, "port")
            _twice(report, ("scanner", "port"), f"port {port!r}", first, "a scanner owns its port")


def _ports(buses: Sequence[Entry], report: Report) -> None:
    first: dict[str, Path] = {}
    for number, bus in enumerate(buses):
        port, path = bus["port"], ("bus", number, "port")
        if port is None:
            continue
        if port in first:
            _twice(report, path, f"port {port!r}", first[port], "one bus owns one port")
        first.setdefault(port, path)
        scheme = port.partition("://")[0] if "://" in port else ""
        if scheme and scheme not in {"tcp", "modbus-tcp"}:
            report.add(
                path, f"unknown scheme {scheme!r}", "use a device path, tcp:// or modbus-tcp://"
            )
        elif scheme and not _is_endpoint(port):
            report.add(path, f"{port!r} has no host and port", f"write {scheme}://host:502")
        if (scheme == "modbus-tcp") != (bus["protocol"] == Protocol.MODBUS_TCP):
            report.add(
                ("bus", number, "protocol"),
                f"{bus['protocol']!r} does not fit the port {port!r}",
                "protocol modbus-tcp and a port modbus-tcp://host:port go together",
            )


def _is_endpoint(url: str) -> bool:
    host, _, port = url.partition("://")[2].rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536


def _devices(devices: Sequence[Entry], buses: Mapping[str, Entry], report: Report) -> None:
    taken: dict[tuple[str, int | str], tuple[Path, str]] = {}
    for number, device in enumerate(devices):
        path: Path = ("device", number)
        bus = buses.get(device["bus"])
        if device["bus"] is not None and bus is None:
            report.add(
                (*path, "bus"), f"there is no bus {device['bus']!r}", nearest(device["bus"], buses)
            )
        if bus is None or device["type"] is None or bus["protocol"] is None:
            continue
        traits = TRAITS[device["type"]]
        if bus["protocol"] not in traits.protocols:
            report.add(
                (*path, "bus"),
                f"{device['type']} does not speak {bus['protocol']}",
                f"put it on a bus with protocol {' or '.join(sorted(traits.protocols))}",
            )
        addressed = traits.addresses is not None
        if traits.addresses is not None and device["address"] not in traits.addresses:
            given, span = device["address"], traits.addresses
            what = "is missing" if given < 0 else f"{given} is none of a {traits.type}"
            remedy = f"add address = {traits.address} (from {span[0]} to {span[-1]})"
            report.add((*path, "address"), what, remedy)
            continue
        if device["number"] and not traits.numbered:
            what = f"a {traits.type} is not asked by a number"
            report.add((*path, "number"), what, "remove it")
        key = (device["bus"], device["address"] if addressed else device["number"])
        if key in taken:
            address = f"address {device['address']} on {device['bus']!r}"
            what = address if addressed else f"bus {device['bus']!r} (one battery per port)"
            at = (*path, "address" if addressed else "bus")
            first_path, by = taken[key]
            _twice(report, at, what, first_path, "give each device its own", by=by)
        taken.setdefault(key, ((*path, "address" if addressed else "bus"), device["name"] or ""))


def _slot_numbers(values: Mapping[str, Any], report: Report) -> None:
    slots, count = values["slot"], values["cabinet"]["slots"]
    first: dict[int, Path] = {}
    for index, slot in enumerate(slots):
        number, path = slot["number"], ("slot", index, "number")
        if number is None:
            continue
        if number in first:
            _twice(report, path, f"slot {number}", first[number], "number the slots 1, 2, 3 …")
        first.setdefault(number, path)
    if count is None or len(first) < len(slots):
        return
    expected = set(range(1, count + 1))
    missing, extra = sorted(expected - set(first)), sorted(set(first) - expected)
    if extra:
        report.add(
            first[extra[0]], f"slot {extra[0]} is above cabinet.slots = {count}", "mend either"
        )
    if missing:
        report.add(
            ("cabinet", "slots"),
            f"is {count}, but slot {missing[0]} has no [[slot]]",
            "number the slots 1, 2, 3 … without a gap",
        )


def _channels(values: Mapping[str, Any], devices: Mapping[str, Entry], report: Report) -> None:
    """Every relay and every input of a board serves one purpose."""
    relays: dict[tuple[str, int], Path] = {}
    inputs: dict[tuple[str, int], Path] = {}
    for index, slot in enumerate(values["slot"]):
        for key, kind in SLOT_CHANNELS.items():
            used = inputs if kind == "input" else relays
            _channel(slot[key], ("slot", index, key), used, devices, report, kind=kind)
    for key, channel in values["inputs"].items():
        _channel(channel, ("inputs", key), inputs, devices, report, kind="input")
    for key, channel in values["outputs"].items():
        _channel(channel, ("outputs", key), relays, devices, report, kind="relay")
    for index, socket in enumerate(values["socket"]):
        path: Path = ("socket", index, "relay")
        _channel(socket["relay"], path, relays, devices, report, kind="relay")


def _channel(
    channel: Entry | None,
    path: Path,
    used: dict[tuple[str, int], Path],
    devices: Mapping[str, Entry],
    report: Report,
    *,
    kind: str,
) -> None:
    if channel is None or channel["board"] is None or channel["channel"] is None:
        return
    board, number = channel["board"], int(channel["channel"])
    boards = [name for name, device in devices.items() if _role(device) is Role.BOARD]
    if board not in boards:
        report.add((*path, "board"), f"there is no board {board!r}", nearest(board, boards))
        return
    traits = TRAITS[devices[board]["type"]]
    count = {"lock": traits.locks, "relay": traits.relays, "input": traits.inputs}[kind]
    if number >= count:
        what = f"{board!r} has no {kind} {number}"
        remedy = f"give a channel from 0 to {count - 1}" if count else f"a {traits.type} has none"
        report.add((*path, "channel"), what, remedy)
    if kind != "input" and channel["invert"]:
        report.add((*path, "invert"), "a relay cannot be inverted", "wire it normally open")
    if (board, number) in used:
        what = f"{kind} {number} of {board!r}"
        _twice(report, path, what, used[board, number], "one channel serves one thing")
    used.setdefault((board, number), path)


def _role(device: Entry | None) -> Role | None:
    return TRAITS[device["type"]].role if device and device["type"] else None


def _partners(slots: Sequence[Entry], devices: Mapping[str, Entry], report: Report) -> None:
    """Each slot has its own charger and BMS, of that role."""
    first: dict[str, Path] = {}
    for index, slot in enumerate(slots):
        for role in (Role.CHARGER, Role.BMS):
            name, path = slot[role.value], ("slot", index, role.value)
            if name is None:
                continue
            fitting = [n for n, device in devices.items() if _role(device) is role]
            if name not in fitting:
                report.add(path, f"there is no {role} {name!r}", nearest(name, fitting))
            elif name in first:
                _twice(report, path, f"{role} {name!r}", first[name], "each slot has its own")
            first.setdefault(name, path)


def _sockets(values: Mapping[str, Any], devices: Mapping[str, Entry], report: Report) -> None:
    """Each socket has its number and its meter for itself; probes are shared."""
    first: dict[object, Path] = {}
    breaker = values["cabinet"]["breaker_w"]
    for index, socket in enumerate(values["socket"]):
        for key in ("number", "meter"):
            path: Path = ("socket", index, key)
            if socket[key] is None:
                continue
            if socket[key] in first:
                what = f"{'socket' if key == 'number' else key} {socket[key]!r}"
                _twice(report, path, what, first[socket[key]], "give each socket its own")
            first.setdefault(socket[key], path)
        for key, role in (("meter", Role.METER), ("probe", Role.CLIMATE)):
            fitting = [name for name, device in devices.items() if _role(device) is role]
            if socket[key] and socket[key] not in fitting:
                what = f"there is no {role} {socket[key]!r}"
                report.add(("socket", index, key), what, nearest(socket[key], fitting))
        most = socket["power_max_w"]
        if most is not None and breaker is not None and most >= breaker:
            what = f"{most} W leaves nothing of breaker_w = {breaker} W"
            report.add(("socket", index, "power_max_w"), what, "lower it")


def _unused(values: Mapping[str, Any], report: Report) -> None:
    used = {slot[role.value] for slot in values["slot"] for role in (Role.CHARGER, Role.BMS)}
    of_sockets = {socket[key] for socket in values["socket"] for key in ("meter", "probe")}
    single: dict[Role, Path] = {}
    for number, device in enumerate(values["device"]):
        role, path = _role(device), ("device", number, "name")
        if device["name"] in of_sockets:
            continue
        if role in {Role.CHARGER, Role.BMS} and device["name"] not in used:
            what = f"no slot uses the {role} {device['name']!r}"
            report.add(path, what, f"name it in a [[slot]] as {role} or remove it")
        if role in {Role.METER, Role.CLIMATE}:
            if role in single:
                _twice(report, path, f"the {role}", single[role], "a cabinet has one")
            single.setdefault(role, path)


def _power(values: Mapping[str, Any], devices: Mapping[str, Entry], report: Report) -> None:
    pack, cabinet = values["pack"], values["cabinet"]
    types = {d["type"] for d in devices.values() if _role(d) is Role.CHARGER}
    for name in sorted(types):
        traits = TRAITS[name]
        for key, most, unit in (
            ("voltage_max_v", traits.voltage_max_v, "V"),
            ("current_max_a", traits.current_max_a, "A"),
        ):
            if pack[key] is not None and pack[key] > most:
                report.add(
                    ("pack", key),
                    f"{pack[key]:g} {unit} is more than a {name} gives ({most:g} {unit})",
                    "lower it or choose another charger type",
                )
    low, high = pack["current_min_a"], pack["current_max_a"]
    if low is not None and high is not None and low > high:
        report.add(("pack", "current_min_a"), "is above current_max_a", "lower it")
    breaker, default = cabinet["breaker_w"], cabinet["power_default_w"]
    if breaker is not None and default is not None and default > breaker:
        report.add(
            ("cabinet", "power_default_w"),
            f"{default} W is above breaker_w = {breaker} W",
            "the local default must fit the breaker",
        )


def _leases(wiring: Entry, report: Report) -> None:
    for key in ("pulse_ms", "lease_ms"):
        if wiring[key] is not None and wiring[key] % 100:
            report.add(
                ("wiring", key), f"{wiring[key]} is not a multiple of 100", "boards count 100 ms"
            )
    lease, renew = wiring["lease_ms"], wiring["renew_ms"]
    if lease is not None and renew is not None and lease < 2 * renew:
        report.add(
            ("wiring", "renew_ms"),
            f"{renew} ms leaves no second try within lease_ms = {lease}",
            "renew at least twice per lease",
        )


def _fleet(fleet: Entry | None, report: Report) -> None:
    if fleet is None or fleet["url"] or fleet["credentials_dir"]:
        return
    report.add(
        ("fleet", "credentials_dir"),
        "is missing",
        'add credentials_dir = "credentials" and run cabinetd enrol, or give a url',
    )


def _clock(cabinet: Entry | None, report: Report) -> None:
    """A fast clock is for demonstrations: real packs and tariffs live in real time."""
    if cabinet is None or cabinet["clock_rate"] in {None, 1}:
        return
    path: Path = ("cabinet", "clock_rate")
    rate = cabinet["clock_rate"]
    if cabinet["profile"] != "demo":
        remedy = 'set clock_rate = 1, or profile = "demo" where nothing real hangs on it'
        report.add(path, f"is {rate}, but cabinet.profile is {cabinet['profile']!r}", remedy)
    elif cabinet["clock"] != "host":
        what = f"is {rate}, but cabinet.clock is {str(cabinet['clock'])!r}"
        report.add(
            path, what, 'set clock = "host": the age of a plan is told by the wall clock alone'
        )
