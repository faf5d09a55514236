"""swapsim: the command line.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no simulator answers. Heavy imports stand
inside the commands, so that ``--help`` is quick.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from simulator.calling import Body, Http, Json, RunDir, ask, failed, print_json
from simulator.errors import ConfigError, SimulatorError
from simulator.fault_cli import fault_app
from simulator.scenario.cli import scenario_app
from simulator.trace_cli import trace
from simulator.world.cli import fuzz
from simulator.world.day_cli import day

app = typer.Typer(
    help="Virtual battery-swap cabinets on real wires.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
slot_app = typer.Typer(help="A rider's hands and mishaps at one slot.", no_args_is_help=True)
app.add_typer(slot_app, name="slot")
app.add_typer(fault_app, name="fault")
app.add_typer(scenario_app, name="scenario")
app.command("fuzz")(fuzz)
app.command("day")(day)
app.command("trace", epilog="Example: swapsim trace --line bus-a --contains relay --follow")(trace)


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


class DoorAction(StrEnum):
    """What a hand does to a door."""

    OPEN = "open"
    CLOSE = "close"


class Contact(StrEnum):
    """Cabinet-wide contacts."""

    SMOKE = "smoke"
    FLOOD = "flood"
    SERVICE_DOOR = "service-door"
    ESTOP = "e-stop"


@app.command()
def cabinet(
    run_dir: Annotated[Path, typer.Option(help="Where the ports and ready.json appear.")],
    config: Annotated[Path | None, typer.Option(help="TOML file; see example-config.")] = None,
    tcp: Annotated[int | None, typer.Option(min=0, max=65_000, help="First TCP port.")] = None,
    http: Annotated[int, typer.Option(min=0, max=65_535, help="Control port; 0: a free one.")] = 0,
    http_host: Annotated[str, typer.Option(help="Loopback address of the control API.")] = (
        "127.0.0.1"
    ),
) -> None:
    """Present one cabinet on ports DIR/bus-a, DIR/bus-chargers, DIR/slot-01 …, DIR/scanner.

    Example: swapsim cabinet --run-dir /tmp/cabinet --http 8090 --tcp 5020
    """
    import asyncio
    import ipaddress

    from simulator.config import load

    try:
        loopback = ipaddress.IPv4Address(http_host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        message = f"{http_host}: the control API has no login, so 127.0.0.1 (or 127.x.x.x) only"
        raise typer.BadParameter(message, param_hint="--http-host")
    try:
        loaded = load(config)
        from simulator.serve import Options, serve

        options = Options(run_dir.resolve(), http, http_host, tcp)
        asyncio.run(serve(loaded, options, _say_now))
    except SimulatorError as error:
        raise failed(error) from error


@app.command("example-config")
def example_config() -> None:
    """Print a configuration with every key and its default.

    Example: swapsim example-config > cabinet.toml
    """
    from simulator.config import EXAMPLE

    typer.echo(EXAMPLE, nl=False)


@app.command("check-config")
def check_config(path: Annotated[Path, typer.Argument(help="TOML file.")]) -> None:
    """Check a configuration: exit 1 and name key and remedy when it is wrong.

    Example: swapsim check-config cabinet.toml
    """
    from simulator.config import load

    try:
        load(path)
    except ConfigError as error:
        raise failed(error) from error
    typer.echo(f"{path}: good")


@app.command()
def state(*, run_dir: RunDir = None, http: Http = None, as_json: Json = False) -> None:
    """Show the whole truth of the cabinet.

    Example: swapsim state --run-dir /tmp/cabinet --json
    """
    found = ask(run_dir, http, "GET", "/state")
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found['cabinet_id']}  {'frozen  ' if found['frozen'] else ''}", nl=False)
    typer.echo(f"{found['meter']['power_w']:.0f} W  {found['climate']['temp_c']:.1f} °C")
    for slot in found["slots"]:
        typer.echo(_slot_line(slot))


@app.command()
def events(
    *,
    since: Annotated[int, typer.Option(min=0, help="Only after this event number.")] = 0,
    run_dir: RunDir = None,
    http: Http = None,
    as_json: Json = False,
) -> None:
    """Show what has happened.

    Example: swapsim events --since 120 --json
    """
    page = ask(run_dir, http, "GET", f"/events?since={since}")
    if as_json:
        print_json(page)
        return
    for event in page["events"]:
        known = ("seq", "sim_ms", "wall_ms", "kind", "slot")
        rest = " ".join(f"{key}={value}" for key, value in event.items() if key not in known)
        place = f"slot {event['slot']} " if event["slot"] is not None else ""
        typer.echo(
            f"{event['seq']:>6} {event['sim_ms'] / 1000:>10.3f} s {event['kind']} {place}{rest}"
        )


@app.command()
def freeze(
    switch: Annotated[Switch, typer.Argument()], *, run_dir: RunDir = None, http: Http = None
) -> None:
    """Stop all simulated time (physics and relay timers), or let it run on.

    Example: swapsim freeze on
    """
    ask(run_dir, http, "POST", "/freeze", {"frozen": switch is Switch.ON})


@app.command()
def speed(
    factor: Annotated[float, typer.Argument(help="1 is real time.")],
    *,
    run_dir: RunDir = None,
    http: Http = None,
) -> None:
    """Let charge, heat and energy run faster; relay timers and doors keep wall pace.

    Example: swapsim speed 60
    """
    ask(run_dir, http, "POST", "/speed", {"factor": factor})


@app.command()
def tui(
    *,
    run_dir: RunDir = None,
    http: Http = None,
    url: Annotated[str | None, typer.Option(help="The same as --http.")] = None,
    lang: Annotated[str | None, typer.Option(help="zh or en; else as the terminal speaks.")] = None,
) -> None:
    """Show the cabinet in the terminal, and work it by keys.

    Example: swapsim tui --url http://127.0.0.1:8090
    """
    from simulator.control.client import call, find
    from simulator.texts import LANGUAGES, language_of

    if lang is not None and lang not in LANGUAGES:
        raise typer.BadParameter("zh or en", param_hint="--lang")
    spoken = lang or language_of(os.environ.get("LC_ALL") or os.environ.get("LANG") or "")
    try:
        found = find(run_dir, url or http)
        call(found, "GET", "/state")  # say before the screen is taken that nobody answers
    except SimulatorError as error:
        raise failed(error) from error
    from simulator.tui.app import CabinetScreen

    CabinetScreen(found, spoken).run()


@app.command("input")
def contact(
    name: Annotated[Contact, typer.Argument()],
    switch: Annotated[Switch, typer.Argument()],
    *,
    run_dir: RunDir = None,
    http: Http = None,
) -> None:
    """Trigger a cabinet contact, or calm it.

    Example: swapsim input smoke on
    """
    ask(run_dir, http, "POST", f"/inputs/{name.value}", {"active": switch is Switch.ON})


@app.command()
def silent(
    device: Annotated[str, typer.Argument(help="board-1, meter, climate, charger-03, bms-03 …")],
    switch: Annotated[Switch, typer.Argument()],
    *,
    run_dir: RunDir = None,
    http: Http = None,
) -> None:
    """Make a device deaf and dumb, or let it talk again.

    Example: swapsim silent charger-03 on
    """
    from urllib.parse import quote

    path = f"/devices/{quote(device, safe='')}/silent"
    ask(run_dir, http, "POST", path, {"silent": switch is Switch.ON})


@app.command()
def scan(
    text: Annotated[str, typer.Argument(help="What the QR code says.")],
    *,
    run_dir: RunDir = None,
    http: Http = None,
) -> None:
    """Hold a QR code before the cabinet's barcode scanner.

    Example: swapsim scan YZT1.eyJpZCI6… --run-dir /tmp/cabinet
    """
    ask(run_dir, http, "POST", "/scanner", {"text": text})


@dataclass(frozen=True, slots=True)
class _Place:
    number: int
    run_dir: Path | None
    url: str | None

    def post(self, what: str, body: Body | None = None) -> Any:
        return ask(self.run_dir, self.url, "POST", f"/slots/{self.number}/{what}", body or {})


@slot_app.callback()
def slot_place(
    context: typer.Context,
    number: Annotated[int, typer.Argument(min=1, help="Slot, from 1.")],
    *,
    run_dir: RunDir = None,
    http: Http = None,
) -> None:
    """A rider's hands and mishaps at one slot.

    Example: swapsim slot 3 door close
    """
    context.obj = _Place(number, run_dir, http)


@slot_app.command()
def insert(
    context: typer.Context,
    *,
    serial: Annotated[str | None, typer.Option(help="Left out: an unreadable barcode.")] = None,
    soc: Annotated[float | None, typer.Option(min=0, max=100, help="Percent.")] = None,
    temp: Annotated[float | None, typer.Option(min=-40, max=150, help="Celsius.")] = None,
    mute: Annotated[bool | None, typer.Option("--mute/--talk", help="Its BMS.")] = None,
    as_json: Json = False,
) -> None:
    """Put a pack in; the door must be open.

    Example: swapsim slot 3 insert --serial YZ48-000010 --soc 18
    """
    body = {"serial": serial, "soc_pct": soc, "temp_c": temp, "bms_silent": mute}
    _tell(_at(context).post("insert", body), as_json=as_json)


@slot_app.command()
def remove(context: typer.Context, *, as_json: Json = False) -> None:
    """Take the pack out; the door must be open.

    Example: swapsim slot 3 remove
    """
    _tell(_at(context).post("remove"), as_json=as_json)


@slot_app.command()
def door(context: typer.Context, action: Annotated[DoorAction, typer.Argument()]) -> None:
    """Close the door, or open one that is not latched.

    Example: swapsim slot 3 door close
    """
    _at(context).post("door", {"action": action.value})


@slot_app.command()
def lock(
    context: typer.Context,
    *,
    jammed: Annotated[bool, typer.Option("--jammed/--free", help="Jam it, or free it.")],
) -> None:
    """Jam the lock, so that its pulse no longer releases the door.

    Example: swapsim slot 3 lock --jammed
    """
    _at(context).post("lock", {"jammed": jammed})


@slot_app.command()
def pack(
    context: typer.Context,
    *,
    soc: Annotated[float | None, typer.Option(min=0, max=100, help="Percent.")] = None,
    temp: Annotated[float | None, typer.Option(min=-40, max=150, help="Celsius.")] = None,
    hold_temp: Annotated[bool | None, typer.Option("--hold-temp/--free-temp")] = None,
    mute: Annotated[bool | None, typer.Option("--mute/--talk", help="Its BMS.")] = None,
    as_json: Json = False,
) -> None:
    """Change the pack that stands in the slot.

    Example: swapsim slot 3 pack --temp 62 --hold-temp
    """
    body = {"soc_pct": soc, "temp_c": temp, "hold_temp": hold_temp, "bms_silent": mute}
    _tell(_at(context).post("pack", body), as_json=as_json)


def _at(context: typer.Context) -> _Place:
    place = context.obj
    assert isinstance(place, _Place)
    return place


def _tell(pack_state: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(pack_state)
    else:
        typer.echo(f"{pack_state['serial']}  {pack_state['soc_pct']} %")


def _slot_line(slot: Any) -> str:
    held = slot["pack"]
    what = f"{held['serial']} {held['soc_pct']} % {held['temps_c'][0]:.1f} °C" if held else "empty"
    flow = f"  charging {slot['charge_power_w']:.0f} W" if slot["charging"] else ""
    jam = "  lock jammed" if slot["lock_jammed"] else ""
    return f"{slot['slot']:>3}  door {slot['door']:<6}  {what}{flow}{jam}"


def _say_now(line: str) -> None:
    import sys

    typer.echo(line)
    sys.stdout.flush()
