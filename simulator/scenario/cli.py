"""``swapsim scenario``: run, step, check, list, history, schema, record."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from simulator.calling import EXIT_FAILED, Http, Json, RunDir, failed, print_json
from simulator.clock import SystemClock
from simulator.errors import ConfigError, SimulatorError

if TYPE_CHECKING:
    from simulator.scenario.history import Run
    from simulator.scenario.model import Scenario, Step
    from simulator.scenario.run import Bench

EXIT_USAGE: Final = 2
RECORD_EVERY_S: Final = 0.1
RECORD_MAX_S: Final = 3_600.0
#: Running numbers of riders, of which a run takes ten a scenario: another run has other riders.
RIDERS: Final = 9_000_000
RIDERS_PER_SCENARIO: Final = 10

scenario_app = typer.Typer(
    help="Scripted hands, faults and expectations against a real cabinetd.", no_args_is_help=True
)

Cabinet = Annotated[
    str | None,
    typer.Option(envvar="SWAPSIM_CABINET", help="cabinetd's page, for example http://…:8080."),
]
GroupKey = Annotated[
    Path | None,
    typer.Option(
        envvar="SWAPSIM_GROUP_KEY",
        help="File with the group key that cabinetd checks riders' codes with.",
    ),
]
Restart = Annotated[
    str | None, typer.Option(help="Command that ends cabinetd hard and starts it again.")
]
PackList = Annotated[
    bool, typer.Option("--pack-list", help="This cabinet has the fleet's list of known packs.")
]
TicketKey = Annotated[
    Path | None,
    typer.Option(
        envvar="SWAPSIM_TICKET_KEY",
        help="File with the private half of cabinetd's command key, to sign tickets: a test key.",
    ),
]
HistoryFile = Annotated[Path | None, typer.Option(help="History file; else the user's own.")]


@scenario_app.command(
    "run",
    epilog="Example: swapsim scenario run --all --run-dir run/wires --cabinet http://127.0.0.1:8080 "
    "--group-key group.key",
)
def run(
    names: Annotated[list[str] | None, typer.Argument(help="Built-in names, or files.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All built-in ones.")] = False,
    tag: Annotated[str | None, typer.Option(help="Built-in ones with this tag.")] = None,
    cabinet: Cabinet = None,
    group_key: GroupKey = None,
    restart: Restart = None,
    pack_list: PackList = False,
    ticket_key: TicketKey = None,
    history: HistoryFile = None,
    run_dir: RunDir = None,
    http: Http = None,
    as_json: Json = False,
) -> None:
    """Play scenarios; exit 1 when one fails. What a scenario needs and is not there: skipped."""
    try:
        chosen = _chosen(names or [], tag, everything=everything)
        bench = _with_tickets(_bench(run_dir, http, cabinet, group_key, restart), ticket_key)
    except SimulatorError as error:
        raise failed(error) from error
    given = {"restart": restart, "pack-list": pack_list, "ticket-key": ticket_key}
    offered = {need for need, there in given.items() if there}
    runs = []
    for index, scenario in enumerate(chosen):
        found = _one(scenario, bench, index, offered, quiet=as_json)
        runs.append(found)
        if not as_json:
            typer.echo(_line(found))
    _remember(history, runs)
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(runs))
    else:
        counts = {each: sum(run.result == each for run in runs) for each in _RESULTS}
        typer.echo(", ".join(f"{count} {each}" for each, count in counts.items()))
    if any(found.result == "failed" for found in runs):
        raise typer.Exit(EXIT_FAILED)


_RESULTS: Final = ("passed", "failed", "skipped")


@scenario_app.command("step", epilog="Example: swapsim scenario step swap --run-dir run/wires …")
def step(
    name: Annotated[str, typer.Argument(help="Built-in name, or file.")],
    *,
    cabinet: Cabinet = None,
    group_key: GroupKey = None,
    restart: Restart = None,
    ticket_key: TicketKey = None,
    run_dir: RunDir = None,
    http: Http = None,
) -> None:
    """Play one scenario, and wait for Enter before each step."""
    from simulator.scenario.run import Player

    try:
        (scenario,) = _chosen([name], None, everything=False)
        bench = _with_tickets(_bench(run_dir, http, cabinet, group_key, restart), ticket_key)

        def ask(number: int, told: Step) -> None:
            typer.prompt(_step_line(number, told), default="", show_default=False)

        Player(bench, scenario, ask).play()
    except SimulatorError as error:
        raise failed(error) from error
    typer.echo(f"{scenario.name}: passed")


@scenario_app.command("check", epilog="Example: swapsim scenario check my.yaml")
def check(paths: Annotated[list[Path], typer.Argument(help="Files.")]) -> None:
    """Check files without playing them; exit 1 names file, line and key of a mistake."""
    from simulator.scenario.load import load

    bad = False
    for path in paths:
        try:
            load(path)
            typer.echo(f"{path}: good")
        except ConfigError as error:
            bad = True
            typer.echo(str(error), err=True)
    if bad:
        raise typer.Exit(EXIT_FAILED)


@scenario_app.command("list", epilog="Example: swapsim scenario list --json")
def listed(*, as_json: Json = False) -> None:
    """The built-in scenarios, and what each of them covers."""
    from simulator.scenario.load import library

    found = library().values()
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(list(found)))
        return
    for scenario in found:
        needs = f"  (needs {', '.join(scenario.needs)})" if scenario.needs else ""
        typer.echo(f"{scenario.name:<24} {scenario.title}{needs}")


@scenario_app.command("history", epilog="Example: swapsim scenario history --failed")
def past(
    *,
    only_failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    history: HistoryFile = None,
    as_json: Json = False,
) -> None:
    """What was run, when, and how it ended."""
    import msgspec

    from simulator.scenario.history import default_file, read

    runs = [each for each in read(history or default_file()) if _wanted(each, failed=only_failed)]
    if as_json:
        print_json(msgspec.to_builtins(runs))
        return
    for found in runs:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.wall_ms / 1_000))
        typer.echo(f"{at}  {_line(found)}")


@scenario_app.command("schema", epilog="Example: swapsim scenario schema > scenario.schema.json")
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors and checkers."""
    from simulator.scenario.model import json_schema

    print_json(json_schema())


@scenario_app.command(
    "record",
    epilog="Example: swapsim scenario record seen.yaml --cabinet http://192.168.1.20:8080",
)
def record(
    file: Annotated[Path, typer.Argument(help="Scenario file to write.")],
    *,
    cabinet: Cabinet = None,
    seconds: Annotated[float, typer.Option("--for", min=1, max=RECORD_MAX_S)] = 600.0,
    transactions: Annotated[int, typer.Option(min=1, help="End after so many.")] = 1,
) -> None:
    """Watch a cabinet, real or simulated, and write what happened as a scenario to replay."""
    from simulator.scenario.cabinet import CabinetLink, check_url
    from simulator.scenario.record import Recorder, scenario_text

    clock, recorder, ended, active = SystemClock(), Recorder(), 0, False
    try:
        link = CabinetLink(check_url(cabinet or _lacking("--cabinet")), b"", clock.wall_ms)
        end_s = clock.monotonic_s() + seconds
        while clock.monotonic_s() < end_s and ended < transactions:
            kiosk = link.kiosk()
            recorder.look(link.status(), kiosk)
            ended += active and not kiosk["active"]
            active = kiosk["active"]
            time.sleep(RECORD_EVERY_S)
    except SimulatorError as error:
        raise failed(error) from error
    except KeyboardInterrupt:
        pass
    if not recorder.steps:
        typer.echo("nothing happened, so nothing was written", err=True)
        raise typer.Exit(EXIT_FAILED)
    title = f"Recorded at {cabinet}"
    file.write_text(scenario_text(recorder.steps, _name_of(file), title), encoding="utf-8")
    typer.echo(f"{file}: {len(recorder.steps)} steps")


def _one(scenario: Scenario, bench: Bench, index: int, offered: set[str], *, quiet: bool) -> Run:
    """Play one scenario with riders of its own."""
    import dataclasses

    from simulator.scenario.history import Run
    from simulator.scenario.run import Player

    clock, detail, result = SystemClock(), "", "passed"
    began_s = clock.monotonic_s()
    missing = sorted(set(scenario.needs) - offered)
    if missing:
        result, detail = "skipped", f"needs {', '.join(missing)}"
    else:
        riders = (bench.riders_from + index * RIDERS_PER_SCENARIO) % RIDERS
        own = dataclasses.replace(bench, riders_from=riders)

        def say(number: int, told: Step) -> None:
            if not quiet:
                typer.echo(f"  {_step_line(number, told)}", err=True)

        try:
            Player(own, scenario, say).play()
        except SimulatorError as error:
            result, detail = "failed", str(error)
    return Run(
        wall_ms=clock.wall_ms(),
        scenario=scenario.name,
        result=result,  # type: ignore[arg-type]  # a word of those above
        seconds=round(clock.monotonic_s() - began_s, 1),
        seed=scenario.seed,
        detail=detail,
    )


def _chosen(names: list[str], tag: str | None, *, everything: bool) -> list[Scenario]:
    from simulator.scenario.load import library, load

    known = library()
    if everything:
        return list(known.values())
    if tag is not None:
        return [each for each in known.values() if tag in each.tags]
    if not names:
        raise typer.BadParameter("name scenarios, or give --all or --tag")
    found = []
    for name in names:
        if name not in known and not Path(name).exists():
            raise ConfigError(f"{name}: no file, and no built-in scenario: {', '.join(known)}")
        found.append(known[name] if name in known else load(Path(name)))
    return found


def _bench(
    run_dir: Path | None,
    http: str | None,
    cabinet: str | None,
    group_key: Path | None,
    restart: str | None,
) -> Bench:
    from protocols.errors import MessageError
    from protocols.offline import parse_group_keys
    from simulator.control.client import call, find
    from simulator.scenario.cabinet import CabinetLink, check_url
    from simulator.scenario.run import Bench

    clock = SystemClock()
    path = group_key or Path(_lacking("--group-key"))
    try:
        key = parse_group_keys(path.read_text(encoding="utf-8"))[0]
    except (OSError, UnicodeDecodeError, MessageError) as error:
        raise ConfigError(f"{path}: no group key: {error}") from error
    link = CabinetLink(check_url(cabinet or _lacking("--cabinet")), key, clock.wall_ms)
    sim_url = find(run_dir, http)
    call(sim_url, "GET", "/state")
    link.status()
    riders = clock.wall_ms() // 1_000 % RIDERS
    return Bench(
        sim_url=sim_url,
        cabinet=link,
        clock=clock,
        sleep=time.sleep,
        restart=None if restart is None else shlex.split(restart),
        riders_from=riders,
    )


def _with_tickets(bench: Bench, path: Path | None) -> Bench:
    """The bench with the key that signs tickets; raise ConfigError when the file holds none."""
    import dataclasses

    from protocols.errors import MessageError
    from protocols.signing import public_of

    if path is None:
        return bench
    try:
        key = path.read_text(encoding="utf-8").strip()
        public_of(key)
    except (OSError, UnicodeDecodeError, MessageError) as error:
        raise ConfigError(f"{path}: no private key: {error}") from error
    return dataclasses.replace(bench, ticket_key=key)


def _lacking(option: str) -> str:
    variable = "SWAPSIM_" + option.removeprefix("--").replace("-", "_").upper()
    raise typer.BadParameter(f"give {option}, or set {variable}")


def _remember(path: Path | None, runs: list[Run]) -> None:
    from simulator.scenario.history import add, default_file

    try:
        add(path or default_file(), runs)
    except OSError as error:
        typer.echo(f"the history was not written: {error}", err=True)


def _wanted(run: Run, *, failed: bool) -> bool:
    return run.result == "failed" or not failed


def _line(run: Run) -> str:
    return f"{run.result:<8} {run.scenario:<24} {run.seconds:6.1f} s  {run.detail}".rstrip()


def _step_line(number: int, told: Step) -> str:
    import msgspec

    body: Any = msgspec.to_builtins(told)
    note = body.pop("note", None)
    text = " ".join(f"{key} {value}" for key, value in body.items())
    return f"{number:>3}  {text}{f'  # {note}' if note else ''}"


def _name_of(file: Path) -> str:
    kept = "".join(each if each.isalnum() and each.isascii() else "-" for each in file.stem.lower())
    return "-".join(part for part in kept.split("-") if part)[:64] or f"recorded-{os.getpid()}"
