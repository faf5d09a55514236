"""``cabinetd make-safe``: everything off, without a daemon. What systemd calls when it has ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Final

import typer

from cabinet.config import Config, load
from cabinet.core.model import Output
from cabinet.errors import CabinetError
from cabinet.ports import Clock

#: A dead line must not hold up the end of the service.
ANSWER_WITHIN_S: Final = 6.0


async def switch_off(config: Config, clock: Clock) -> tuple[str, ...]:
    """Chargers, outlets, slots and the contactor off; the boards that could not be told.

    Siren and extinguisher stay as they are: whatever set them off may still be there.
    """
    from cabinet.adapters.devices import DRIVERS
    from cabinet.runtime.poller import Wires

    wires = Wires(config, clock, DRIVERS, left=(Output.SIREN, Output.EXTINGUISHER))
    serving = asyncio.create_task(wires.run(), name="wires")
    await asyncio.wait(
        {serving, asyncio.create_task(wires.ready.wait(), name="boards made safe")},
        timeout=ANSWER_WITHIN_S,
        return_when=asyncio.FIRST_COMPLETED,
    )
    silent = wires.not_made_safe()
    serving.cancel()
    await asyncio.wait({serving})
    if not serving.cancelled() and (error := serving.exception()) is not None:
        raise error
    return tuple(sorted(silent))


def make_safe(
    config: Annotated[Path, typer.Option("--config", help="The cabinet's configuration.")],
) -> None:
    """Switch chargers, slots, sockets and the contactor off, and end.

    Not beside a running daemon, which holds the lines. A relay that is on by lease drops by itself
    within seconds; this is the second wall, for what was switched on without one.
    """
    from cabinet.adapters.clock import SystemClock

    try:
        silent = asyncio.run(switch_off(load(config), SystemClock()))
    except CabinetError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if silent:
        typer.echo(
            f"could not reach {', '.join(silent)}: is cabinetd running, is the line plugged in, "
            "has the board power? What it holds by lease drops by itself.",
            err=True,
        )
        raise typer.Exit(3)
    typer.echo("chargers, slots, sockets and contactor are off")
