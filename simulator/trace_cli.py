"""``swapsim trace``: what goes over the wires, in bytes and in words."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

from protocols.trace import Direction, Frame, one_line
from simulator.calling import Http, Json, RunDir, ask, print_json

FOLLOW_TURN_S: Final = 0.3


class Way(StrEnum):
    """Which way frames go, as seen from the cabinet's computer."""

    OUT = "out"
    IN = "in"


def trace(
    *,
    line: Annotated[str | None, typer.Option(help="Only bus-a, slot-03, bus-a/tcp …")] = None,
    direction: Annotated[Way | None, typer.Option(help="Only requests, or only answers.")] = None,
    contains: Annotated[str, typer.Option(help="Only with this in the bytes or words.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=5_000, help="The newest so many.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C.")] = False,
    run_dir: RunDir = None,
    http: Http = None,
    as_json: Json = False,
) -> None:
    """Show the last frames on the wires, decoded."""
    asked = {"line": line, "direction": direction, "contains": contains, "limit": limit}
    query = urlencode({key: value for key, value in asked.items() if value is not None})
    since = 0
    try:
        while True:
            page = ask(run_dir, http, "GET", f"/trace?since={since}&{query}")
            since = page["next"]
            if as_json and not follow:
                print_json(page)
            else:
                _tell(page, as_json=as_json)
            if not follow:
                return
            time.sleep(FOLLOW_TURN_S)
    except KeyboardInterrupt:
        return


def _tell(page: Any, *, as_json: bool) -> None:
    for found in page["frames"]:
        if as_json:
            print_json(found)
            continue
        frame = Frame(
            seq=found["seq"],
            wall_ms=found["wall_ms"],
            mono_ms=found["mono_ms"],
            line=found["line"],
            direction=Direction(found["direction"]),
            data=bytes.fromhex(found["hex"]),
        )
        typer.echo(one_line(frame, found["text"]))
