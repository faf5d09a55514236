"""``swapsim fuzz``: hunt for lost swaps, or play one seed again. Heavy imports stand inside."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from simulator.world.campaign import Tally
    from simulator.world.fuzz import Verdict

EXIT_FAILED: Final = 1
TAIL_LINES: Final = 60
_SEEDS: Final = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})")


def fuzz(
    *,
    seed: Annotated[int | None, typer.Option(min=0, help="Play this one seed.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Play these, for example 1..2000.")] = None,
    swaps: Annotated[int, typer.Option(min=1, max=100_000, help="Swaps in each seed.")] = 50,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes to share the seeds.")] = 1,
    broken: Annotated[
        str | None, typer.Option("--break", metavar="NAME", help="Break this guard; list: names.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(help="Write the (first failing) trace here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the real cores in a seeded world of faults; exit 1 when an invariant broke.

    Example: swapsim fuzz --seeds 1..2000 --swaps 50 --jobs 2
    """
    from simulator.world import campaign, mutants

    if broken == "list":
        _list_mutants(as_json=as_json)
        return
    if broken is not None and broken not in mutants.MUTANTS:
        message = f"no guard {broken!r}; see swapsim fuzz --break list"
        raise typer.BadParameter(message, param_hint="--break")
    if seed is not None:
        _one(seed, swaps, broken, trace, as_json=as_json)
        return
    tally = campaign.Tally()
    for verdict in campaign.play(_range(seeds), swaps, jobs=jobs, broken=broken):
        tally.add(verdict)
        if verdict.code is not None:
            if not as_json:
                _show(verdict, swaps, broken)
            break
    if tally.failures and trace is not None:
        _write(trace, tally.failures[0])
    _sum_up(tally, swaps, broken, as_json=as_json)
    if tally.failures:
        raise typer.Exit(EXIT_FAILED)


def _range(text: str | None) -> range:
    found = _SEEDS.fullmatch(text or "1..100")
    first, last = (int(found[1]), int(found[2])) if found else (1, 0)
    if first > last:
        message = f"{text!r}: expected FIRST..LAST, for example 1..2000"
        raise typer.BadParameter(message, param_hint="--seeds")
    return range(first, last + 1)


def _list_mutants(*, as_json: bool) -> None:
    from simulator.world.mutants import MUTANTS

    if as_json:
        typer.echo(json.dumps({mutant.name: mutant.guard for mutant in MUTANTS.values()}, indent=2))
        return
    for mutant in MUTANTS.values():
        typer.echo(f"{mutant.name:<26} {mutant.guard}")


def _one(seed: int, swaps: int, broken: str | None, trace: Path | None, *, as_json: bool) -> None:
    from simulator.world import fuzz as engine
    from simulator.world import mutants

    with mutants.broken(broken):
        verdict = engine.run(seed, swaps, want_trace=True)
    if trace is not None:
        _write(trace, verdict)
    if as_json:
        typer.echo(json.dumps(_facts(verdict, swaps, broken), indent=2))
    elif verdict.code is not None:
        _show(verdict, swaps, broken)
    else:
        typer.echo(
            f"seed {seed}: no violation; {verdict.swaps} swaps, {verdict.pulses} pulses, "
            f"{verdict.span_ms / 3_600_000:.1f} h; trace {verdict.digest[:16]}"
        )
    if verdict.code is not None:
        raise typer.Exit(EXIT_FAILED)


def _show(verdict: Verdict, swaps: int, broken: str | None) -> None:
    from simulator.world import campaign

    for line in campaign.tail(verdict, TAIL_LINES):
        typer.echo(line)
    typer.echo(f"seed {verdict.seed}: VIOLATION {verdict.code}: {verdict.detail}")
    typer.echo(f"again: {campaign.replay_command(verdict, swaps, broken)}")


def _sum_up(tally: Tally, swaps: int, broken: str | None, *, as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "seeds": tally.seeds,
                    "swaps": tally.swaps,
                    "pulses": tally.pulses,
                    "virtual_hours": round(tally.span_ms / 3_600_000, 1),
                    "violations": [_facts(v, swaps, broken) for v in tally.failures],
                },
                indent=2,
            )
        )
        return
    what = "VIOLATION found" if tally.failures else "no violation"
    typer.echo(
        f"{what}: {tally.seeds} seeds, {tally.swaps} swaps, {tally.pulses} pulses, "
        f"{tally.span_ms / 3_600_000:.0f} h of virtual time"
    )


def _facts(verdict: Verdict, swaps: int, broken: str | None) -> dict[str, Any]:
    from simulator.world import campaign

    return {
        "seed": verdict.seed,
        "swaps": verdict.swaps,
        "violation": verdict.code,
        "detail": verdict.detail,
        "digest": verdict.digest,
        "again": campaign.replay_command(verdict, swaps, broken),
    }


def _write(path: Path, verdict: Verdict) -> None:
    path.write_text("\n".join(verdict.trace) + "\n", encoding="utf-8")
