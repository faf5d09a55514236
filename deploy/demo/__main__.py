"""`make demo`: a whole cabinet on this machine, until Ctrl-C; or one whole swap or day, then an exit code."""

from __future__ import annotations

import io
import shutil
import signal
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import segno
import typer

from deploy.demo import lan
from deploy.demo.clients import texts_to
from deploy.demo.day import CLOCK_RATE, HOURS, Day, options_for, run_day
from deploy.demo.errors import DemoError
from deploy.demo.processes import LOOPBACK, require_free
from deploy.demo.stack import STATION, Options, Stack, Tls
from deploy.demo.swap import jam_all, play, verify
from deploy.demo.waiting import now_s

EXIT_FAILED: Final = 1
DEMO_SOCKETS: Final = 2
WHOLE_RUN_S: Final = 150  # --swap and --jam end by then, come what may
DAY_START_S: Final = 345  # for everything but the day itself, compiling the planner included
WATCH_EVERY_S: Final = 0.5


def main(
    *,
    swap: Annotated[bool, typer.Option(help="Play one whole swap, check it, and end.")] = False,
    jam: Annotated[bool, typer.Option(help="Play a swap with jammed doors; exits 1.")] = False,
    day: Annotated[
        bool, typer.Option(help="Play a whole day on a fast clock; exits 1 above a limit.")
    ] = False,
    hours: Annotated[int, typer.Option(min=1, max=HOURS, help="Of --day.")] = HOURS,
    clock_rate: Annotated[
        int, typer.Option(min=2, max=120, help="Of --day: times faster than real time.")
    ] = CLOCK_RATE,
    lan_mode: Annotated[
        bool, typer.Option("--lan", help="HTTPS on the LAN address, for a real phone.")
    ] = False,
    ca_dir: Annotated[
        Path | None,
        typer.Option(help="Keep the local CA of --lan here, so that a phone need trust it once."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port of the rider's page; a free one by default.")
    ] = None,
    broker: Annotated[str, typer.Option(help="auto, nats or mosquitto.")] = "auto",
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the rider's page in a browser.")
    ] = False,
) -> None:
    """Start simulator, cabinetd and fleetd as separate processes and show where they are."""
    try:
        with _signals_as_interrupt():
            _run(
                swap=swap or jam,
                jam=jam,
                day=Day.planned(clock_rate, hours) if day else None,
                lan_mode=lan_mode,
                ca_dir=ca_dir,
                port=port,
                broker=broker,
                open_browser=open_browser,
            )
    except DemoError as error:
        typer.secho(f"demo: {error}", fg="red", err=True)
        raise typer.Exit(EXIT_FAILED) from error


def _run(
    *,
    swap: bool,
    jam: bool,
    day: Day | None,
    lan_mode: bool,
    ca_dir: Path | None,
    port: int | None,
    broker: str,
    open_browser: bool,
) -> None:
    deadline_s = WHOLE_RUN_S if swap else _day_within_s(day) if day else 0
    host = lan.lan_address() if lan_mode else LOOPBACK
    if port is not None:
        require_free(port, host, "--port")
    # Short, since a path to a pty or socket below it is long enough already.
    run_dir = Path(tempfile.mkdtemp(prefix="yizhan-"))
    tls = lan.make_tls(ca_dir or run_dir / "ca", host) if lan_mode else None
    options = Options(
        broker=broker,
        http_host=host,
        public_host=host,
        http_port=port,
        tls=tls,
        sockets=0 if swap or day else DEMO_SOCKETS,
    )
    if day:
        options = options_for(day, options, run_dir)
    stack = Stack(run_dir, options, say=lambda line: typer.echo(f"  {line}"))
    try:
        if deadline_s:
            signal.alarm(deadline_s)
        typer.echo(f"Starting in {run_dir}")
        started_s = now_s()
        stack.start()
        typer.echo(f"Ready after {now_s() - started_s:.1f} s.\n")
        if swap:
            _one_swap(stack, jam=jam)
        elif day:
            run_day(stack, day, typer.echo)
        else:
            _until_interrupt(stack, tls, open_browser=open_browser)
    except KeyboardInterrupt:
        raise DemoError(f"interrupted, or not done within {deadline_s} s") from None
    except DemoError as error:
        kept = Path(tempfile.mkdtemp(prefix="yizhan-log-"))
        shutil.copytree(run_dir / "log", kept, dirs_exist_ok=True)
        raise DemoError(f"{error}\nThe programs' logs are kept in {kept}") from error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half behind
        typer.echo("Stopping …")
        stack.stop()
        shutil.rmtree(run_dir, ignore_errors=True)


def _day_within_s(day: Day) -> int:
    return DAY_START_S + day.hours * 3_600 // day.fast.rate


def _until_interrupt(stack: Stack, tls: Tls | None, *, open_browser: bool) -> None:
    ca_page = lan.CaPage(tls.ca_file, stack.options.public_host) if tls else None
    try:
        _show(stack)
        if tls and ca_page:
            typer.echo(lan.trust_help(tls, ca_page.url) + "\n")
        if open_browser:
            webbrowser.open(stack.rider_url)
        _watch(stack)
    except KeyboardInterrupt:
        typer.echo("")
    finally:
        if ca_page:
            ca_page.close()


def _one_swap(stack: Stack, *, jam: bool) -> None:
    """Exit quietly when the swap happened; raise SwapFailedError when it did not."""
    if jam:
        jam_all(stack)
        typer.echo("Every lock is jammed: no door will spring open.")
    rider = stack.rider
    rider.login(stack.options.phone)
    played = play(stack, rider, typer.echo)
    typer.echo("Checking ledger against simulator:")
    verify(stack, played, typer.echo)
    typer.secho("The swap is done, and the ledger shows it.", fg="green")


def _show(stack: Stack) -> None:
    code = io.StringIO()
    segno.make(stack.rider_url, error="m").terminal(out=code, compact=True)
    typer.echo(code.getvalue())
    typer.echo(f"Rider:     {stack.rider_url}   (phone {stack.options.phone})")
    if stack.options.sockets:
        typer.echo(f"Station:   {stack.fleet_url}/st/{STATION}")
    typer.echo(f"Operator:  {stack.operator_url}")
    typer.echo(f"Cabinet:   {stack.cabinet_url}")
    typer.echo(f"Simulator: {stack.simulator_url}/docs")
    typer.echo(
        "\nYou are the rider, and the simulator has your hands. Tap on the page, then, in another\n"
        "terminal, for the slot that opens:\n"
        f"  export SWAPSIM_HTTP={stack.simulator_url}\n"
        f"  .venv/bin/swapsim slot N insert --serial {stack.options.rider_serial} --soc 18\n"
        "  .venv/bin/swapsim slot N door close\n"
        "  .venv/bin/swapsim slot M remove\n"
        "  .venv/bin/swapsim slot M door close\n"
        "Login codes appear here. Ctrl-C stops everything.\n"
    )


def _watch(stack: Stack) -> None:
    """Until Ctrl-C: show the login codes, and stop when a program dies."""
    shown = 0
    while True:
        stack.check_alive()
        texts = texts_to(stack.sms_file, stack.options.phone)
        for text in texts[shown:]:
            typer.echo(f"SMS to {stack.options.phone}: {text}")
        shown = len(texts)
        time.sleep(WATCH_EVERY_S)


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """Closing the terminal, SIGTERM and the overall deadline stop us as Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, interrupt)
    yield


if __name__ == "__main__":
    typer.run(main)
