"""``cabinetd``: commands and the composition of the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cabinet.commission.commands import commission
from cabinet.config_commands import check_config, example_config
from cabinet.devices_command import devices
from cabinet.diagnose_command import diagnose
from cabinet.enrol_command import enrol
from cabinet.journal_commands import journal
from cabinet.make_safe_command import make_safe
from cabinet.prompts_command import prompts
from cabinet.swap_commands import swap_table
from cabinet.trace_command import trace

app = typer.Typer(
    help="The daemon of one battery-swap cabinet.", no_args_is_help=True, add_completion=True
)
app.command("check-config", epilog="Example: cabinetd check-config cabinet.toml")(check_config)
app.command(
    "example-config", epilog="Example: cabinetd example-config --id DH-0001 > cabinet.toml"
)(example_config)
app.command("devices", epilog="Example: cabinetd devices --json")(devices)
app.command(
    epilog="Example: cabinetd enrol --config /etc/yizhan/cabinet.toml --token-file token.txt"
)(enrol)
app.command("prompts", epilog="Example: cabinetd prompts --dir texts")(prompts)
app.add_typer(journal, name="journal")
app.command(
    epilog="Example: cabinetd trace --config /etc/yizhan/cabinet.toml --line bus-a --follow"
)(trace)
app.command("make-safe", epilog="Example: cabinetd make-safe --config /etc/yizhan/cabinet.toml")(
    make_safe
)
app.add_typer(commission, name="commission")
app.command(
    epilog="Example: cabinetd diagnose --config /etc/yizhan/cabinet.toml --out bundle.tar.gz"
)(diagnose)
app.command("swap-table", epilog="Example: cabinetd swap-table --diagram")(swap_table)


@app.command(epilog="Example: cabinetd run --config /etc/yizhan/cabinet.toml")
def run(
    config: Annotated[Path, typer.Option("--config", help="The cabinet's configuration.")],
    *,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log every detail.")] = False,
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C; then everything is switched off."""
    import asyncio

    from cabinet import logs
    from cabinet.config import load
    from cabinet.daemon import serve
    from cabinet.errors import CabinetError

    try:
        loaded = load(config)
        level = "debug" if verbose else loaded.log.level
        logs.start(loaded.log.format, level, loaded.cabinet.id)
        asyncio.run(serve(loaded, typer.echo))
    except CabinetError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app()
