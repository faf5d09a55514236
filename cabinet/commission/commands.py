"""``cabinetd commission``: every command of the technician with the hardware before him."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cabinet.commission.report_command import report
from cabinet.commission.scan_command import address, scan

if TYPE_CHECKING:
    from cabinet.commission.bench import Bench
    from cabinet.core.commission.findings import Finding

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


class _Work:
    """What a command reads first and says last: configuration, language, slots; findings."""

    def __init__(self, name: str, config: Path, lang: str, slot: str = "") -> None:
        from cabinet.commission import terminal

        self._name = name
        self.config = terminal.load_config(config)
        self.language = terminal.language_of(lang)
        self.slots = terminal.slots_of(slot, self.config)

    def finish(self, check: Callable[[Bench], Awaitable[list[Finding]]], *, as_json: bool) -> None:
        """Run the check on the bench and end with its findings and their exit code."""
        from cabinet.commission import terminal

        found = terminal.on_bench(self.config, self.language, check)
        terminal.finish(self._name, found, as_json=as_json, language=self.language)


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
    from cabinet.commission import checks, terminal

    work = _Work("locks", config, lang, slot)
    sure = terminal.confirmed(
        f"Open the doors of slots {', '.join(map(str, work.slots))}?", yes=yes
    )
    work.finish(
        lambda bench: checks.locks(bench, work.slots, terminal.tell, yes=sure), as_json=as_json
    )


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
    from cabinet.commission import checks, terminal

    work = _Work("door", config, lang, slot)
    work.finish(
        lambda bench: checks.doors(bench, work.slots, terminal.tell, watch), as_json=as_json
    )


@commission.command(epilog="Example: cabinetd commission bms --config cabinet.toml --json")
def bms(config: _Config, slot: _Slots = "", *, as_json: _Json = False, lang: _Lang = "") -> None:
    """Read every slot's battery: serial, cells, temperature, protections. Moves nothing."""
    from cabinet.commission import checks, terminal

    work = _Work("bms", config, lang, slot)
    work.finish(lambda bench: checks.batteries(bench, work.slots, terminal.tell), as_json=as_json)


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
    from cabinet.commission import checks, terminal

    work = _Work("charger", config, lang, slot)
    sure = terminal.confirmed("Switch the chargers' mains on meanwhile?", yes=yes)
    work.finish(
        lambda bench: checks.chargers(bench, work.slots, terminal.tell, yes=sure, charge_s=charge),
        as_json=as_json,
    )


@commission.command(epilog="Example: cabinetd commission meter --config cabinet.toml")
def meter(config: _Config, *, as_json: _Json = False, lang: _Lang = "") -> None:
    """Read the energy meter and the climate sensor. Moves nothing."""
    from cabinet.commission import checks, terminal

    work = _Work("meter", config, lang)
    work.finish(lambda bench: checks.meters(bench, terminal.tell), as_json=as_json)


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
    from cabinet.commission import checks, terminal, texts
    from cabinet.core.commission.judge import PackKind
    from cabinet.core.commission.walk import Limits, Stage

    work = _Work("slot-walk", config, lang, slot)
    if not terminal.confirmed(
        f"Walk slots {', '.join(map(str, work.slots))}: doors open?", yes=yes
    ):
        terminal.usage("a slot walk opens doors and charges: say --yes")
    limits = Limits(
        hand_wait_ms=round(wait * 1_000),
        charge_ms=round(charge * 1_000),
        pack=PackKind(work.config.pack.voltage_max_v),
        charge=charge > 0,
    )

    def prompt(number: int, stage: Stage) -> None:
        terminal.tell(texts.prompt(number, stage, work.language))

    work.finish(
        lambda bench: checks.slot_walk(bench, work.slots, limits, prompt, terminal.tell),
        as_json=as_json,
    )
