"""``fleetd moves``: batteries to carry from cabinet to cabinet, as the running fleetd proposes."""

from __future__ import annotations

import json
from datetime import datetime
from zoneinfo import ZoneInfo

import typer

from fleet.cli import ConfigFile, Json, fail, load, table
from fleet.cli_staff import open_local
from fleet.errors import FleetError


def moves(config: ConfigFile, *, as_json: Json = False) -> None:
    """Full batteries to carry where charging alone cannot meet the demand. Needs a running fleetd.

    A van leaves full packs at the taker and brings as many empty ones back to the giver.
    """
    chosen = load(config)
    try:
        found = open_local(chosen).get("/api/v1/balance/moves")
    except FleetError as error:
        fail(error)
    if as_json:
        typer.echo(json.dumps(found))
        return
    zone = ZoneInfo(chosen.pages.timezone)
    rows = [
        (
            move["giver"],
            "->",
            move["taker"],
            f"{move['packs']} packs",
            f"by {datetime.fromtimestamp(move['by_ms'] / 1_000, zone):%H:%M}",
            f"{move['distance_m'] / 1_000:.1f} km",
            f"{move['lost']:g} riders would find none ({move['why']})",
        )
        for move in found["moves"]
    ]
    table(rows)
    typer.echo(
        f"{len(rows)} moves; riders without a battery in the next 24 h: "
        f"{found['lost']:.0f}, then {found['lost_after']:.0f}"
    )
