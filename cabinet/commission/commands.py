"""``cabinetd commission``: every command of the technician with the hardware before him."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from cabinet.commission.report_command import report
from cabinet.commission.scan_command import address, scan

commission = typer.Typer(
    help=(
        "Find, check and sign off a cabinet's hardware. Nothing moves without --yes; the daemon "
        "must be stopped, since it owns the ports. Works without a network."
    ),
    no_args_is_help=True,
)
commission.command(
    "scan", epilog="Example: cabinetd commission scan run/wires --power --yes --write cabinet.toml"
)(scan)
commission.command(
    "address",
    epilog="Example: cabinetd commission address --port /dev/ttyUSB0 --type waveshare-relay-d "
    "--from 1 --to 3 --yes",
)(address)
commission.command(
    "report",
    epilog="Example: cabinetd commission report --config cabinet.toml --include walk.json "
    "--out report.json --html report.html",
)(report)

_Config = Annotated[Path, typer.Option("--config", help="The cabinet's configuration.")]
_Slots = Annotated[str, typer.Option("--slot", help="Only these, like 3 or 1-3,7.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Doors may open and relays close.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Lang = Annotated[str, typer.Option("--lang", help="en or zh; else the terminal's.")]

#: A person finds the door, does it and steps back.
HAND_WAIT_S: Final = 120.0


@commission.command(
    epilog="Example: cabinetd commission locks --config cabinet.toml --slot 3 --yes"
)
def locks(
    config: _Config,
    slot: _Slots = "",
    *,
    yes: _Yes = False,
    as_json: _Json = False,
    lang: _Lang = "",
) -> None:
    """Pulse every lock once and see its own door, and no other, open. OPENS DOORS, with --yes."""
    from cabinet.commission import checks, terminal  # noqa: PLC0415 - a quick --help

    loaded, language = terminal.load_config(config), terminal.language_of(lang)
    slots = terminal.slots_of(slot, loaded)
    sure = terminal.confirmed(f"Open the doors of slots {', '.join(map(str, slots))}?", yes=yes)
    found = terminal.on_bench(
        loaded, language, lambda bench: checks.locks(bench, slots, terminal.tell, yes=sure)
    )
    terminal.finish("locks", found, as_json=as_json, language=language)


@commission.command(epilog="Example: cabinetd commission door --config cabinet.toml --watch 60")
def door(
    config: _Config,
    slot: _Slots = "",
    *,
    watch: Annotated[
        float, typer.Option("--watch", min=0, max=3_600, help="Seconds to work doors by hand.")
    ] = 0.0,
    as_json: _Json = False,
    lang: _Lang = "",
) -> None:
    """Read the door switches; with --watch see each change while somebody works the doors."""
    from cabinet.commission import checks, terminal  # noqa: PLC0415

    loaded, language = terminal.load_config(config), terminal.language_of(lang)
    slots = terminal.slots_of(slot, loaded)
    found = terminal.on_bench(
        loaded, language, lambda bench: checks.doors(bench, slots, terminal.tell, watch)
    )
    terminal.finish("door", found, as_json=as_json, language=language)


@commission.command(epilog="Example: cabinetd commission bms --config cabinet.toml --json")
def bms(config: _Config, slot: _Slots = "", *, as_json: _Json = False, lang: _Lang = "") -> None:
    """Read every slot's battery: serial, cells, temperature, protections. Moves nothing."""
    from cabinet.commission import checks, terminal  # noqa: PLC0415

    loaded, language = terminal.load_config(config), terminal.language_of(lang)
    slots = terminal.slots_of(slot, loaded)
    found = terminal.on_bench(
        loaded, language, lambda bench: checks.batteries(bench, slots, terminal.tell)
    )
    terminal.finish("bms", found, as_json=as_json, language=language)


@commission.command(
    epilog="Example: cabinetd commission charger --config cabinet.toml --yes --charge 30"
)
def charger(
    config: _Config,
    slot: _Slots = "",
    *,
    yes: _Yes = False,
    charge: Annotated[
        float, typer.Option("--charge", min=0, max=600, help="Seconds of trial charge per slot.")
    ] = 0.0,
    as_json: _Json = False,
    lang: _Lang = "",
) -> None:
    """Read every charger. Without mains they are silent: --yes gives them mains meanwhile."""
    from cabinet.commission import checks, terminal  # noqa: PLC0415

    loaded, language = terminal.load_config(config), terminal.language_of(lang)
    slots = terminal.slots_of(slot, loaded)
    sure = terminal.confirmed("Switch the chargers' mains on meanwhile?", yes=yes)
    found = terminal.on_bench(
        loaded,
        language,
        lambda bench: checks.chargers(bench, slots, terminal.tell, yes=sure, charge_s=charge),
    )
    terminal.finish("charger", found, as_json=as_json, language=language)


@commission.command(epilog="Example: cabinetd commission meter --config cabinet.toml")
def meter(config: _Config, *, as_json: _Json = False, lang: _Lang = "") -> None:
    """Read the energy meter and the climate sensor. Moves nothing."""
    from cabinet.commission import checks, terminal  # noqa: PLC0415

    loaded, language = terminal.load_config(config), terminal.language_of(lang)
    found = terminal.on_bench(loaded, language, lambda bench: checks.meters(bench, terminal.tell))
    terminal.finish("meter", found, as_json=as_json, language=language)


@commission.command(
    "slot-walk",
    epilog="Example: cabinetd commission slot-walk --config cabinet.toml --yes --json > walk.json",
)
def slot_walk(
    config: _Config,
    slot: _Slots = "",
    *,
    yes: _Yes = False,
    wait: Annotated[
        float, typer.Option("--wait", min=1, max=3_600, help="Seconds for each step by hand.")
    ] = HAND_WAIT_S,
    charge: Annotated[
        float, typer.Option("--charge", min=0, max=600, help="Seconds of trial charge; 0: none.")
    ] = 30.0,
    as_json: _Json = False,
    lang: _Lang = "",
) -> None:
    """Go through the slots with a reference battery; the sensors tell when a step is done.

    Each slot: the door opens, the battery goes in and is read, the door is shut, a short charge is
    measured, the door opens again, the battery comes out. No key is pressed, so a script with other
    hands can do it too. OPENS DOORS and charges, with --yes.
    """
    from cabinet.commission import checks, terminal, texts  # noqa: PLC0415
    from cabinet.core.commission.judge import PackKind  # noqa: PLC0415
    from cabinet.core.commission.walk import Limits, Stage  # noqa: PLC0415

    loaded, language = terminal.load_config(config), terminal.language_of(lang)
    slots = terminal.slots_of(slot, loaded)
    if not terminal.confirmed(f"Walk slots {', '.join(map(str, slots))}: doors open?", yes=yes):
        terminal.usage("a slot walk opens doors and charges: say --yes")
    limits = Limits(
        hand_wait_ms=round(wait * 1_000),
        charge_ms=round(charge * 1_000),
        pack=PackKind(loaded.pack.voltage_max_v),
        charge=charge > 0,
    )

    def prompt(number: int, stage: Stage) -> None:
        terminal.tell(texts.prompt(number, stage, language))

    found = terminal.on_bench(
        loaded,
        language,
        lambda bench: checks.slot_walk(bench, slots, limits, prompt, terminal.tell),
    )
    terminal.finish("slot-walk", found, as_json=as_json, language=language)
