"""Commands of ``fleetd`` for settings: templates per model, and staged roll-outs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleet.cli import EXIT_FAILED, ConfigFile, Json, fail, go, load, table
from fleet.errors import FleetError

if TYPE_CHECKING:
    from fleet.core.rollout_model import Rollout

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Such as yz12.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Of the roll-out.")]
Staff = Annotated[str, typer.Option(help="Your staff number; it goes into the log of orders.")]
Reason = Annotated[str, typer.Option(help="Why; it goes into the log of orders.")]
Value = Annotated[
    list[str] | None, typer.Option("--set", help="A setting, such as target_soc_pct=90.")
]
Own = Annotated[
    list[str] | None,
    typer.Option(help="A setting that is given back: the cabinet's own file holds."),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    template = typer.Typer(no_args_is_help=True, help="Templates of settings per cabinet model.")
    rollout = typer.Typer(no_args_is_help=True, help="Staged roll-outs of settings and releases.")
    app.add_typer(template, name="template")
    app.add_typer(rollout, name="rollout")
    end = "--config fleet.toml"
    said = f'01JD… --staff zhang.wei --reason "noise at night" {end}'
    template.command(
        "set",
        epilog="Example: fleetd template set yz12 --breaker-w 3500 --set target_soc_pct=90 "
        f"--staff zhang.wei {end}",
    )(template_set)
    template.command("list", epilog=f"Example: fleetd template list {end} --json")(template_list)
    template.command(
        "assign", epilog=f"Example: fleetd template assign yz12 DH-0001 --staff zhang.wei {end}"
    )(template_assign)
    rollout.command(
        "start",
        epilog='Example: fleetd rollout start yz12 --staff zhang.wei --reason "summer targets" '
        f"--stages 0,5,25,100 --soak-s 1800 {end}",
    )(rollout_start)
    rollout.command("list", epilog=f"Example: fleetd rollout list {end} --json")(rollout_list)
    rollout.command("show", epilog=f"Example: fleetd rollout show 01JD… {end} --json")(rollout_show)
    rollout.command("pause", epilog=f"Example: fleetd rollout pause {said}")(rollout_pause)
    rollout.command("resume", epilog=f"Example: fleetd rollout resume {said}")(rollout_resume)
    rollout.command("abort", epilog=f"Example: fleetd rollout abort {said}")(rollout_abort)
    rollout.command("end", epilog=f"Example: fleetd rollout end {said}")(rollout_end)


def template_set(
    model: Model,
    *,
    config: ConfigFile,
    breaker_w: Annotated[int, typer.Option(help="Of the cabinets of this model, in W.")],
    settings: Value = None,
    own: Own = None,
    staff: Staff,
    as_json: Json = False,
) -> None:
    """Store the next version of a model's template; ``rollout start`` brings it to cabinets."""
    from fleet import oneshot_rollout as work
    from fleet.core.templates import parse_settings

    try:
        values = parse_settings(settings or [], own or [])
    except FleetError as error:
        fail(error)
    kept = go(work.keep_template(load(config), model, breaker_w, values, staff))
    _show(kept, as_json=as_json, text=f"{kept.model}: version {kept.version}")


def template_list(config: ConfigFile, as_json: Json = False) -> None:
    """List the templates."""
    from fleet import oneshot_rollout as work

    found = go(work.templates(load(config)))
    if as_json:
        _show(found, as_json=True, text="")
        return
    table(
        [
            (
                each.model,
                f"version {each.version}",
                f"{each.breaker_w} W",
                " ".join(
                    f"{name}={'own' if value is None else value}"
                    for name, value in each.settings.items()
                ),
            )
            for each in found
        ]
    )


def template_assign(
    model: Model,
    cabinets: Annotated[list[str], typer.Argument(metavar="CABINET…", help="Such as DH-0001.")],
    config: ConfigFile,
    staff: Staff,
) -> None:
    """Say of which model cabinets are."""
    from fleet import oneshot_rollout as work

    go(work.assign(load(config), model, cabinets, name=staff))
    typer.echo(f"{model}: {len(cabinets)} cabinets")


def rollout_start(
    model: Model,
    *,
    config: ConfigFile,
    staff: Staff,
    reason: Reason,
    software: Annotated[
        str, typer.Option(help="Watch this release instead of sending settings.")
    ] = "",
    stages: Annotated[
        str, typer.Option(help="Rising percentages up to 100; 0 is one cabinet.")
    ] = "0,5,25,100",
    soak_s: Annotated[int, typer.Option(help="Seconds to watch after each stage.")] = 1800,
    as_json: Json = False,
) -> None:
    """Begin a roll-out; a running fleetd brings it about, stops it and takes it back."""
    from fleet import oneshot_rollout as work
    from fleet.core.rollout_model import parse_stages

    try:
        percent = parse_stages(stages)
    except FleetError as error:
        fail(error)
    found = go(
        work.plan(
            load(config),
            model=model,
            name=staff,
            reason=reason,
            software=software,
            stages=percent,
            soak_s=soak_s,
        )
    )
    _show(found, as_json=as_json, text=found.id)


def rollout_list(config: ConfigFile, as_json: Json = False) -> None:
    """List the newest roll-outs."""
    from fleet import oneshot_rollout as work

    found = go(work.rollouts(load(config)))
    if as_json:
        _show(found, as_json=True, text="")
        return
    table([(each.id, each.model, _progress(each), each.cause) for each in found])


def rollout_show(rollout: Id, config: ConfigFile, as_json: Json = False) -> None:
    """Show one roll-out; exit code 1 when it was stopped or taken back."""
    from fleet import oneshot_rollout as work
    from fleet.core.rollout_model import Phase

    found = go(work.rollout(load(config), rollout))
    _show(found, as_json=as_json, text=f"{found.model} {_progress(found)} {found.cause}".rstrip())
    if not as_json:
        table(
            [(name, f"stage {m.stage + 1}", str(m.back or m.version)) for name, m in _rows(found)]
        )
    if found.phase in {Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.STOPPED}:
        raise typer.Exit(EXIT_FAILED)


def rollout_pause(
    rollout: Id, *, config: ConfigFile, staff: Staff, reason: Reason, as_json: Json = False
) -> None:
    """Send no further stage until it is resumed; failures still take everything back."""
    _tell("pause", rollout, config, staff, reason, as_json=as_json)


def rollout_resume(
    rollout: Id, *, config: ConfigFile, staff: Staff, reason: Reason, as_json: Json = False
) -> None:
    """Go on after a pause; the stage is watched anew."""
    _tell("resume", rollout, config, staff, reason, as_json=as_json)


def rollout_abort(
    rollout: Id, *, config: ConfigFile, staff: Staff, reason: Reason, as_json: Json = False
) -> None:
    """Stop it and take back the settings that were sent."""
    _tell("abort", rollout, config, staff, reason, as_json=as_json)


def rollout_end(
    rollout: Id, *, config: ConfigFile, staff: Staff, reason: Reason, as_json: Json = False
) -> None:
    """End one whose stored document is damaged; its cabinets keep what they were sent."""
    from fleet import oneshot_rollout as work

    go(work.end_damaged(load(config), rollout, name=staff, reason=reason))
    _show({"id": rollout, "phase": "stopped"}, as_json=as_json, text=f"{rollout}: stopped")


def _tell(
    signal: str, rollout: str, config: ConfigFile, staff: str, reason: str, *, as_json: bool
) -> None:
    from fleet import oneshot_rollout as work
    from fleet.core.rollout_model import Signal

    found = go(work.order(load(config), rollout, Signal(signal), name=staff, reason=reason))
    _show(found, as_json=as_json, text=_progress(found))


def _progress(rollout: Rollout) -> str:
    there = f"{len(rollout.members)} of {len(rollout.cabinets)} cabinets"
    return f"{rollout.phase.value}, stage {rollout.stage + 1} of {len(rollout.stages)}, {there}"


def _rows(rollout: Rollout) -> Sequence[tuple[str, Any]]:
    return sorted(rollout.members.items())


def _show(value: object, *, as_json: bool, text: str) -> None:
    if as_json:
        from fleet.oneshot import to_json

        typer.echo(to_json(value))
    else:
        typer.echo(text)
