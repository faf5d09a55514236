"""``fleetd health`` and ``fleetd schema``: for health checks of containers, and before a step back."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any, Final

import msgspec
import typer

from fleet import places
from fleet.cli import EXIT_FAILED, EXIT_UNREACHABLE, ConfigFile, Json, go, load
from fleet.config import FleetConfig

TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 65_536


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("health", epilog="Example: fleetd health --config fleet.toml --json")(health)
    app.command("schema", epilog="Example: fleetd schema --config fleet.toml")(schema)


def health(config: ConfigFile, as_json: Json = False) -> None:
    """Ask the running fleetd whether every part of it is there.

    Exit code 0: all of it; 1: a part is missing, and named; 3: it does not run or does not answer.
    """
    status, answer = _ask(load(config))
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        for name, good in answer["checks"].items():
            typer.echo(f"{name}: {'ok' if good else 'missing'}")
    if status != 200:
        raise typer.Exit(EXIT_FAILED)


def _ask(config: FleetConfig) -> tuple[int, dict[str, Any]]:
    try:
        text = (config.data_dir / places.READY_FILE).read_bytes()
        url = msgspec.json.decode(text, type=places.Ready).http
    except (OSError, msgspec.MsgspecError) as error:
        typer.echo(f"fleetd does not run in {config.data_dir}: {error}", err=True)
        raise typer.Exit(EXIT_UNREACHABLE) from None
    context = None
    if config.http.tls_cert_file is not None:
        # It is asked by its address, and nobody but the one with this certificate will do.
        context = ssl.create_default_context(cafile=config.http.tls_cert_file)
        context.check_hostname = False
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(f"{url}/readyz", timeout=TIMEOUT_S) as reply:
            return reply.status, json.loads(reply.read(ANSWER_BYTES_MAX))
    except urllib.error.HTTPError as error:
        return error.code, _checks(error.read(ANSWER_BYTES_MAX))
    except (OSError, ValueError) as error:
        typer.echo(f"fleetd at {url} does not answer: {error}", err=True)
        raise typer.Exit(EXIT_UNREACHABLE) from None


def _checks(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = {}
    return found if isinstance(found, dict) and "checks" in found else {"checks": {}}


def schema(config: ConfigFile, as_json: Json = False) -> None:
    """Compare the database's schema with what this release knows; nothing is changed.

    Exit code 1: the database was migrated by a later release, which this one cannot work with.
    """
    from fleet.store import schema as store

    found = go(store.compare(load(config).store_url))
    if as_json:
        typer.echo(json.dumps({"database": found.database, "release": found.release}))
    else:
        typer.echo(f"database {found.database or 'empty'}, this release {found.release}")
    if found.later:
        raise typer.Exit(EXIT_FAILED)
