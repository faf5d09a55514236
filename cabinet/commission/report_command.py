"""``cabinetd commission report``: make the signed report, or verify one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cabinet.commission.report import Report
    from cabinet.config import Config
    from cabinet.core.commission.advice import Language
    from cabinet.core.commission.findings import Finding

_Config = Annotated[Path | None, typer.Option("--config", help="The cabinet's configuration.")]
_Out = Annotated[Path | None, typer.Option("--out", help="The report, as JSON.")]
_Page = Annotated[Path | None, typer.Option("--html", help="The report, to print.")]
_Include = Annotated[
    list[Path] | None,
    typer.Option("--include", help="Output of another command's --json, like a slot walk."),
]
_NoChecks = Annotated[
    bool, typer.Option("--no-checks", help="Only what is included, ask no device.")
]
_Technician = Annotated[str, typer.Option("--technician", help="Who commissioned it.")]
_Key = Annotated[
    Path | None,
    typer.Option("--key", help="Ed25519 key; else the cabinet's own, in data_dir."),
]
_Verify = Annotated[
    Path | None, typer.Option("--verify", help="Only verify this report, JSON or page.")
]
_Trusted = Annotated[
    str, typer.Option("--trusted", help="Public key that it must be signed with, or a file.")
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def report(
    config: _Config = None,
    *,
    out: _Out = None,
    page: _Page = None,
    include: _Include = None,
    no_checks: _NoChecks = False,
    technician: _Technician = "",
    key: _Key = None,
    verify: _Verify = None,
    trusted: _Trusted = "",
    as_json: _AsJson = False,
    lang: Annotated[str, typer.Option("--lang", help="en or zh; else the terminal's.")] = "",
) -> None:
    """Check doors, batteries, chargers and meter once more, add other results, and sign it all.

    Moves nothing: locks and charge come from --include. --verify tells whether a report is as it
    was signed; a printed page is verified to its last letter.
    """
    from cabinet.commission import terminal
    from cabinet.commission.report import ReportError

    try:
        if verify is not None:
            _verify(verify, trusted, as_json=as_json)
            return
        if config is None:
            terminal.usage("give --config, or --verify FILE")
        if out is None and page is None:
            terminal.usage("give --out report.json or --html report.html, or both")
        language = terminal.language_of(lang)
        loaded = terminal.load_config(config)
        findings = _findings(loaded, include or (), language, checks=not no_checks)
        made = _signed(loaded, findings, technician, key)
        _save(made, out, page, language)
    except ReportError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(terminal.EXIT_FAILED) from None
    except OSError as error:
        typer.echo(f"{error.filename}: {error.strerror}", err=True)
        raise typer.Exit(terminal.EXIT_FAILED) from None
    more = {"out": str(out or ""), "html": str(page or ""), "public_key": made.public_key}
    terminal.finish("report", made.findings, as_json=as_json, language=language, more=more)


def _findings(
    config: Config, include: Sequence[Path], language: Language, *, checks: bool
) -> tuple[Finding, ...]:
    from cabinet.commission import checks as checking
    from cabinet.commission import terminal
    from cabinet.commission.bench import Bench
    from cabinet.commission.report import findings_in, merge

    parts = [findings_in(path) for path in include]
    slots = terminal.slots_of("", config)
    tell = terminal.tell

    async def all_checks(bench: Bench) -> list[Finding]:
        return [
            *await checking.doors(bench, slots, tell, 0.0),
            *await checking.batteries(bench, slots, tell),
            *await checking.chargers(bench, slots, tell, yes=False, charge_s=0.0),
            *await checking.meters(bench, tell),
        ]

    if checks:
        parts.append(tuple(terminal.on_bench(config, language, all_checks)))
    return merge(parts)


def _signed(
    config: Config, findings: tuple[Finding, ...], technician: str, key: Path | None
) -> Report:
    from importlib.metadata import version

    from cabinet.adapters.clock import SystemClock
    from cabinet.commission import terminal
    from cabinet.commission.report import (
        FORMAT,
        KEY_FILE,
        Report,
        fingerprint,
        own_key,
        sha256_of,
        signed,
    )

    clock = SystemClock(config.cabinet.clock)
    path = key or config.cabinet.data_dir / KEY_FILE
    private, fresh = own_key(path)
    made = signed(
        Report(
            format=FORMAT,
            cabinet=config.cabinet.id,
            made_at=clock.now_utc().strftime("%Y-%m-%dT%H:%M:%SZ"),
            clock_trusted=clock.wall_synced(),
            software=version("yizhan"),
            technician=technician,
            config_sha256=sha256_of(config.path),
            findings=findings,
        ),
        private,
    )
    if fresh:
        terminal.tell(f"new signing key: {path}; write its public key into the cabinet's papers:")
    terminal.tell(f"signed with {made.public_key} ({fingerprint(made.public_key)})")
    return made


def _save(made: Report, out: Path | None, page: Path | None, language: Language) -> None:
    from cabinet.commission.page import render
    from cabinet.commission.report import encode

    for path, data in ((out, encode(made)), (page, render(made, language))):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def _verify(path: Path, trusted: str, *, as_json: bool) -> None:
    """Say whether it is genuine; exit code 1 when it is not."""
    import json

    from cabinet.commission import terminal
    from cabinet.commission.report import fingerprint

    made, wrong = judge_file(path, trusted)
    if as_json:
        facts = {"genuine": wrong is None, "why": wrong or "", "cabinet": made.cabinet}
        typer.echo(json.dumps({**facts, "made_at": made.made_at, "public_key": made.public_key}))
    elif wrong is not None:
        typer.echo(f"{path}: NOT GENUINE: {wrong}", err=True)
    else:
        told = "the trusted key" if trusted else "its key: compare it with the cabinet's papers"
        typer.echo(
            f"{path}: genuine: cabinet {made.cabinet}, {made.made_at}, signed with "
            f"{made.public_key} ({fingerprint(made.public_key)}), {told}"
        )
    if wrong is not None:
        raise typer.Exit(terminal.EXIT_FAILED)


def judge_file(path: Path, trusted: str) -> tuple[Report, str | None]:
    """A report and what is wrong with it; None: it is genuine.

    Raises:
        ReportError: it is no report.
        OSError: it cannot be read.
    """
    from cabinet.commission.page import render
    from cabinet.commission.report import decode, is_genuine

    data = path.read_bytes()
    made = decode(data)
    if not is_genuine(made):
        return made, "it was changed after it was signed, or never signed"
    if trusted and made.public_key != _trusted(trusted):
        return made, "it is signed with another key than the trusted one"
    if data.lstrip()[:1] == b"<" and data not in {render(made, "en"), render(made, "zh")}:
        return made, (
            "the page does not show what was signed, or another version made it "
            f"({made.software}); the data in it is genuine, the page is not proven"
        )
    return made, None


def _trusted(text: str) -> str:
    path = Path(text)
    return path.read_text(encoding="ascii").strip() if path.is_file() else text.strip()
