"""``cabinetd commission scan`` and ``address``: they need no configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cabinet.commission.ports import Port
    from cabinet.commission.scanning import Scan
    from cabinet.core.commission.inventory import PortFound
    from cabinet.core.commission.proposal import Pin, Proposal

_Yes = Annotated[bool, typer.Option("--yes", help="Do it.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Lang = Annotated[str, typer.Option("--lang", help="en or zh; else the terminal's.")]
_Places = Annotated[
    list[str] | None,
    typer.Argument(
        help="Folders of ports, devices, tcp://host:port; else what is in /dev/serial/by-path, "
        "/dev/yizhan/by-port and /run/yizhan."
    ),
]
_Write = Annotated[
    Path | None, typer.Option("--write", help="Write the proposed configuration here.")
]
_Force = Annotated[bool, typer.Option("--force", help="Also over an existing file.")]
_CabinetId = Annotated[str, typer.Option("--id", help="The cabinet's id.")]
_DataDir = Annotated[
    str, typer.Option("--data-dir", help="Journal and keys; relative to the configuration.")
]
_Addresses = Annotated[
    str, typer.Option("--addresses", help="Modbus addresses to ask, like 1-247.")
]
_Bauds = Annotated[str, typer.Option("--bauds", help="Only these speeds, like 9600,115200.")]
_Thorough = Annotated[bool, typer.Option("--thorough", help="Every speed and parity: minutes.")]
_Power = Annotated[
    bool, typer.Option("--power", help="Hold the chargers' mains relays on meanwhile.")
]
_Other = Annotated[
    list[str] | None,
    typer.Option("--other", help="Serves something else: a port, or bus-a:5 for a board."),
]
_Port = Annotated[str, typer.Option("--port", help="Device or socket that the device is on.")]
_Kind = Annotated[str, typer.Option("--type", help="Its type, as in `cabinetd devices`.")]
_Old = Annotated[int, typer.Option("--from", min=1, max=247, help="Its present address.")]
_New = Annotated[int, typer.Option("--to", min=1, max=247, help="The new one.")]
_Baud = Annotated[
    int | None,
    typer.Option("--baud", min=300, max=1_000_000, help="Of the bus; else the type's own."),
]
_Parity = Annotated[str, typer.Option("--parity", help="N, E or O.")]


def scan(
    places: _Places = None,
    *,
    write: _Write = None,
    force: _Force = False,
    cabinet_id: _CabinetId = "DH-0001",
    data_dir: _DataDir = "cabinet-data",
    addresses: _Addresses = "1-32",
    bauds: _Bauds = "",
    thorough: _Thorough = False,
    power: _Power = False,
    other: _Other = None,
    yes: _Yes = False,
    as_json: _Json = False,
    lang: _Lang = "",
) -> None:
    """Find every device on every port, without a configuration, and propose one.

    Only reads are sent. Chargers are silent without mains: with --power and --yes the contactor's
    and the slots' relays of the standard wiring are held on for the time of a second look; which
    relays these are is told first. No lock relay is touched.
    """
    from cabinet.adapters.clock import SystemClock
    from cabinet.commission import terminal
    from cabinet.commission.ports import PlaceError, find
    from cabinet.commission.scanning import Scan
    from cabinet.core.commission.scan_plan import Wish, parse_addresses
    from protocols.devices import DEVICES

    language = terminal.language_of(lang)
    if write is not None and write.exists() and not force:
        terminal.usage(f"{write}: exists; --force replaces it")
    try:
        speeds = tuple(int(part) for part in bauds.split(",") if part.strip())
        wish = Wish(parse_addresses(addresses), speeds, thorough)
        ports = find(places or ())
    except ValueError as error:
        terminal.usage(f"--addresses or --bauds: {error}")
    except PlaceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(terminal.EXIT_UNREACHABLE) from None
    looker = Scan(tuple(DEVICES.values()), wish, SystemClock(), terminal.tell)
    others = tuple(other or ())
    found, powered = _look(looker, ports, others, ask=power, yes=yes)
    _conclude(
        looker,
        found,
        _Wanted(write, cabinet_id, data_dir, others),
        powered=powered,
        as_json=as_json,
        language=language,
    )


class _Wanted:
    """What to write, if anything."""

    def __init__(
        self, path: Path | None, cabinet: str, data_dir: str, others: Sequence[str]
    ) -> None:
        self.path, self.cabinet, self.data_dir, self.others = path, cabinet, data_dir, others


def _look(
    looker: Scan, ports: Sequence[Port], others: Sequence[str], *, ask: bool, yes: bool
) -> tuple[tuple[PortFound, ...], bool]:
    """Everything that answers; whether the chargers had mains meanwhile."""
    from cabinet.commission import terminal
    from cabinet.core.commission.findings import Cause
    from cabinet.core.commission.inventory import judge_scan
    from cabinet.core.commission.proposal import (
        place_boards,
        power_pins,
        slot_ports,
        without,
    )
    from cabinet.core.commission.scan_plan import estimate_s, plan
    from cabinet.errors import CabinetError

    most_s = estimate_s(plan(looker.types, looker.wish), looker.wish)
    terminal.tell(
        f"{len(ports)} ports side by side, reads only; a silent port takes at most {most_s:.0f} s"
    )
    found = terminal.run(looker.ports(ports))
    told = judge_scan(found, looker.types, powered=False)
    if not any(f.cause is Cause.NO_MAINS for f in told):
        return found, False
    cabinet = without(found, others)
    slots = len(slot_ports(cabinet, looker.types))
    pins = power_pins(place_boards(cabinet, looker.types), slots)
    if not pins:
        terminal.tell(
            "the chargers may lack mains, but boards and slots do not fit the standard wiring, so no "
            "relay is touched"
        )
        return found, False
    question = f"Give the chargers mains for a second look? It holds {_named(pins)}"
    if not (ask or not yes) or not terminal.confirmed(question, yes=ask and yes):
        return found, False
    terminal.tell(f"mains on by {_named(pins)}")
    try:
        return terminal.run(looker.powered(found, cabinet, pins)), True
    except CabinetError as error:
        typer.echo(f"mains could not be switched on: {error}", err=True)
        return found, False


def _named(pins: Sequence[Pin]) -> str:
    by_board: dict[str, list[int]] = {}
    for pin in pins:
        by_board.setdefault(pin.board, []).append(pin.channel)
    return ", ".join(
        f"{board} relays {','.join(map(str, channels))}" for board, channels in by_board.items()
    )


def _conclude(
    looker: Scan,
    found: Sequence[PortFound],
    wanted: _Wanted,
    *,
    powered: bool,
    as_json: bool,
    language: Any,
) -> None:
    """Print what was found, and propose, check and write the configuration."""
    import msgspec

    from cabinet.commission import terminal
    from cabinet.core.commission.inventory import judge_scan
    from cabinet.core.commission.proposal import Names, propose, without

    findings = judge_scan(found, looker.types, powered=powered)
    names = Names(wanted.cabinet, wanted.data_dir)
    proposal = propose(without(found, wanted.others), looker.types, names)
    written = _write(proposal, wanted.path)
    code = terminal.exit_code(findings)
    if not as_json and code != terminal.EXIT_UNREACHABLE:
        for text in proposal.missing:
            typer.echo(f"no configuration yet: {text}", err=True)
        for text in proposal.assumed:
            typer.echo(f"assumed: {text}", err=True)
        if written:
            typer.echo(f"written: {written}; next: cabinetd run --config {written}", err=True)
        elif proposal.text:
            typer.echo("a configuration can be proposed: add --write cabinet.toml", err=True)
    more = {
        "ports": msgspec.to_builtins(tuple(found)),
        "config": written,
        "missing": list(proposal.missing),
        "assumed": list(proposal.assumed),
    }
    if wanted.path is not None and not written:
        code = code or terminal.EXIT_FAILED
    try:
        terminal.finish("scan", findings, as_json=as_json, language=language, more=more)
    except typer.Exit:
        raise typer.Exit(code) from None


def _write(proposal: Proposal, path: Path | None) -> str:
    """Write what passes the daemon's own check; returns the path, or nothing."""
    from cabinet.config import ConfigProblemsError, parse

    if path is None or not proposal.text:
        return ""
    try:
        parse(proposal.text, path, {})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(proposal.text, encoding="utf-8")
    except ConfigProblemsError as error:
        typer.echo(f"the proposal does not pass, so it is not written:\n{error}", err=True)
        return ""
    except OSError as error:
        typer.echo(f"{path}: cannot be written: {error}", err=True)
        return ""
    return str(path)


def address(
    port: _Port,
    kind: _Kind,
    old: _Old,
    new: _New,
    *,
    baud: _Baud = None,
    parity: _Parity = "N",
    yes: _Yes = False,
    as_json: _Json = False,
    lang: _Lang = "",
) -> None:
    """Give one device another address on its bus, and check that it took it. Needs --yes.

    What is at risk is told first. Without --yes nothing is sent.
    """
    from cabinet.adapters.clock import SystemClock
    from cabinet.commission import terminal
    from cabinet.commission.address import Change, change
    from cabinet.commission.ports import PlaceError, find, trouble
    from cabinet.core.commission.addressing import RULES, risks
    from cabinet.core.commission.findings import Check, bad
    from cabinet.core.commission.scan_plan import Setting
    from protocols.devices import DEVICES

    language = terminal.language_of(lang)
    if kind not in RULES:
        terminal.usage(
            f"--type {kind}: its address is not set over the bus (switches, or its own panel); "
            f"these can: {', '.join(RULES)}"
        )
    if old == new:
        terminal.usage("--from and --to are the same")
    if parity not in {"N", "E", "O"}:
        terminal.usage(f"--parity {parity}: write N, E or O")
    for text in risks(kind, old, new):
        terminal.tell(f"at risk: {text}")
    if not terminal.confirmed(f"Change {kind} from address {old} to {new}?", yes=yes):
        terminal.usage("nothing was sent: say --yes")
    try:
        found = find([port])[0]
    except PlaceError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(terminal.EXIT_UNREACHABLE) from None
    if (wrong := trouble(found)) is not None:
        finding = bad(Check.ADDRESS, found.name, wrong.cause, detail=wrong.detail)
    else:
        setting = Setting(baud or DEVICES[kind].baud, parity)
        order = Change(found, setting, DEVICES[kind], old, new)
        finding = terminal.run(change(order, SystemClock(), terminal.tell))
    terminal.finish("address", [finding], as_json=as_json, language=language)
