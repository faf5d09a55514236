"""``cabinetd trace``: what goes over the wires of a running cabinet, in bytes and in words."""

from __future__ import annotations

import http.client
import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

EXIT_REFUSED: Final = 1
EXIT_UNREACHABLE: Final = 3
TIMEOUT_S: Final = 5.0
REPLY_MAX: Final = 16_000_000
FOLLOW_TURN_S: Final = 0.3


class Way(StrEnum):
    """Which way frames go."""

    OUT = "out"
    IN = "in"


def trace(
    config: Annotated[Path, typer.Option("--config", help="The cabinet's configuration.")],
    *,
    line: Annotated[str | None, typer.Option(help="Only this bus.")] = None,
    direction: Annotated[Way | None, typer.Option(help="Only requests, or only answers.")] = None,
    contains: Annotated[str, typer.Option(help="Only with this in the bytes or words.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=8_192, help="The newest so many.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a frame.")] = False,
) -> None:
    """Show the last frames on the wires of the running daemon, decoded."""
    from cabinet.config import load
    from cabinet.errors import CabinetError

    try:
        web = load(config).web
    except CabinetError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_REFUSED) from None
    wanted = {"line": line, "direction": direction, "contains": contains, "limit": limit}
    query = urlencode({key: value for key, value in wanted.items() if value})
    since = 0
    try:
        while True:
            page = _ask(web.host, web.port, f"/trace.json?since={since}&{query}")
            since = page["next"]
            for frame in page["frames"]:
                typer.echo(json.dumps(frame, ensure_ascii=False) if as_json else _line(frame))
            if not follow:
                return
            time.sleep(FOLLOW_TURN_S)
    except KeyboardInterrupt:
        return


def _line(found: Any) -> str:
    from protocols.trace import Direction, Frame, one_line

    frame = Frame(
        seq=found["seq"],
        wall_ms=found["wall_ms"],
        mono_ms=found["mono_ms"],
        line=found["line"],
        direction=Direction(found["direction"]),
        data=bytes.fromhex(found["hex"]),
    )
    return one_line(frame, found["text"])


def _ask(host: str, port: int, path: str) -> Any:
    link = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        link.request("GET", path)
        reply = link.getresponse()
        body = reply.read(REPLY_MAX)
        if reply.status != http.HTTPStatus.OK:
            typer.echo(body.decode(errors="replace").strip(), err=True)
            raise typer.Exit(EXIT_REFUSED)
        return json.loads(body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        typer.echo(f"no cabinetd answers at http://{host}:{port}: {error}", err=True)
        raise typer.Exit(EXIT_UNREACHABLE) from None
    finally:
        link.close()
