"""What the commissioning commands have in common: progress, results, exit codes, Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import msgspec
import typer

from cabinet.core.commission.advice import Language, advice
from cabinet.core.commission.findings import Cause, Finding, Verdict, counts, worst

if TYPE_CHECKING:
    from cabinet.commission.bench import Bench
    from cabinet.config import Config

T = TypeVar("T")

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
UNREACHABLE: Final = frozenset(
    {Cause.PORT_BUSY, Cause.PORT_MISSING, Cause.PORT_DENIED, Cause.PORT_UNFIT}
)
_MARKS: Final = {
    Verdict.OK: "ok  ",
    Verdict.WARN: "warn",
    Verdict.SKIPPED: "skip",
    Verdict.FAILED: "FAIL",
}


def tell(text: str) -> None:
    """Progress, on stderr at once."""
    typer.echo(text, err=True)


def language_of(asked: str) -> Language:
    """``--lang``, else the terminal's."""
    wanted = asked or os.environ.get("LC_ALL") or os.environ.get("LANG") or "en"
    return "zh" if wanted.lower().startswith("zh") else "en"


def usage(text: str) -> NoReturn:
    """Say what was wrong with the command line, and end."""
    typer.echo(text, err=True)
    raise typer.Exit(EXIT_USAGE)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, or until Ctrl-C or SIGTERM; either way what was switched on goes off."""
    logging.getLogger("cabinet.runtime").setLevel(logging.ERROR)

    async def guarded() -> T:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(guarded())
    except (KeyboardInterrupt, asyncio.CancelledError):
        typer.echo("stopped; everything that was switched on is off again", err=True)
        raise typer.Exit(EXIT_FAILED) from None


def load_config(path: Path) -> Config:
    """The configuration; ends with every fault named when it is wrong."""
    from cabinet.config import ConfigProblemsError, load

    try:
        return load(path)
    except ConfigProblemsError as error:
        usage(str(error))


def on_bench(
    config: Config, language: Language, work: Callable[[Bench], Awaitable[list[Finding]]]
) -> list[Finding]:
    """Do this with the configured devices; ends with cause and next step when a port is taken."""
    from cabinet.adapters.clock import SystemClock
    from cabinet.commission.bench import PortTroubleError, open_bench
    from cabinet.errors import CabinetError

    async def opened() -> list[Finding]:
        async with open_bench(config, SystemClock(config.cabinet.clock)) as bench:
            return await work(bench)

    try:
        return run(opened())
    except PortTroubleError as error:
        found: dict[tuple[Cause, str], list[str]] = {}
        for name, cause, detail in error.troubles:
            found.setdefault((cause, detail), []).append(name)
        for (cause, detail), names in found.items():
            texts = advice(cause, language)
            typer.echo(f"{', '.join(names)}: {texts.cause}: {detail}", err=True)
            typer.echo(texts.next_step, err=True)
        raise typer.Exit(EXIT_UNREACHABLE) from None
    except CabinetError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_FAILED) from None


def slots_of(text: str, config: Config) -> tuple[int, ...]:
    """``--slot 1-3,7`` as numbers; empty: all of them. Ends when there is no such slot."""
    from cabinet.core.commission.scan_plan import parse_addresses

    every = tuple(slot.number for slot in config.slots)
    if not text:
        return every
    try:
        asked = parse_addresses(text)
    except ValueError:
        usage(f"--slot {text}: write 3 or 1-3,7")
    strange = [n for n in asked if n not in every]
    if strange:
        usage(f"--slot {strange[0]}: the cabinet has slots 1 to {len(every)}")
    return asked


def finish(
    command: str,
    findings: Sequence[Finding],
    *,
    as_json: bool,
    language: Language,
    more: Mapping[str, Any] | None = None,
) -> NoReturn:
    """Print the findings and end with the exit code that they deserve."""
    if as_json:
        typer.echo(json.dumps(as_data(command, findings, language, more), ensure_ascii=False))
    else:
        for group in grouped(findings):
            typer.echo(lines(group, language))
        number = counts(findings)
        typer.echo(
            ", ".join(f"{number[v]} {v.value}" for v in Verdict if number[v]) or "nothing to check"
        )
    raise typer.Exit(exit_code(findings))


def as_data(
    command: str,
    findings: Sequence[Finding],
    language: Language,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """For ``--json``, and for ``commission report --include``."""
    return {
        "command": command,
        "verdict": worst(findings).value,
        **(more or {}),
        "findings": [
            msgspec.to_builtins(finding) | _texts(finding, language) for finding in findings
        ],
    }


def grouped(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Neighbours that differ only in their subject stand together: one cause is told once."""
    groups: list[list[Finding]] = []
    for finding in findings:
        last = groups[-1][-1] if groups else None
        if last is not None and finding.cause is not None and _alike(last, finding):
            groups[-1].append(finding)
        else:
            groups.append([finding])
    return groups


def lines(group: Sequence[Finding], language: Language) -> str:
    """Findings for people: verdict, what, what was seen; below it cause and next step."""
    from cabinet.commission.texts import (
        check_name,
        facts_text,
        subject_name,
        word,
    )

    finding = group[0]
    seen = facts_text(finding.facts, language)
    subjects = ", ".join(subject_name(each.subject, language) for each in group)
    text = f"{_MARKS[finding.verdict]}  {check_name(finding.check, language)} {subjects}"
    text += f": {seen}" if seen else ""
    if finding.cause is not None:
        texts = advice(finding.cause, language)
        text += f"\n      {word('cause', language)}: {texts.cause}"
        text += f"\n      {word('next', language)}: {texts.next_step}"
    return text


def exit_code(findings: Sequence[Finding]) -> int:
    """0 without a failure, 2 when --yes was missing for everything, 3 for no reach at all, else 1."""
    failed = [f for f in findings if f.verdict is Verdict.FAILED]
    if not failed:
        untried = bool(findings) and all(f.cause is Cause.NEEDS_YES for f in findings)
        return EXIT_USAGE if untried else 0
    tried = [f for f in findings if f.verdict is not Verdict.SKIPPED]
    unreached = len(failed) == len(tried) and all(f.cause in UNREACHABLE for f in failed)
    return EXIT_UNREACHABLE if unreached else EXIT_FAILED


def _alike(one: Finding, other: Finding) -> bool:
    return (one.check, one.verdict, one.cause, one.facts) == (
        other.check,
        other.verdict,
        other.cause,
        other.facts,
    )


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether a person agrees: by ``--yes``, or at the terminal; nobody there means no."""
    if yes:
        return True
    if not sys.stdin.isatty():
        return False
    with contextlib.suppress(typer.Abort):
        return typer.confirm(question, default=False, err=True)
    return False


def _texts(finding: Finding, language: Language) -> dict[str, str]:
    if finding.cause is None:
        return {}
    texts = advice(finding.cause, language)
    return {"likely_cause": texts.cause, "next_step": texts.next_step}
