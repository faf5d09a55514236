"""``fleetd station``: where riders rest, what it costs to charge there, and what it offers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleet.cli import ConfigFile, Json, fail, go, load, table
from fleet.errors import FleetError

station_app = typer.Typer(help="Stations, their cabinets and amenities.", no_args_is_help=True)

Station = Annotated[str, typer.Argument(metavar="STATION", help="Id of the station.")]
Note = Annotated[str | None, typer.Option(help="What riders should know of it.")]


@station_app.command(
    "set",
    epilog='Example: fleetd station set DRUM --name "Drum Tower 鼓楼" --price-kwh 120 -c fleet.toml',
)
def station_set(
    station: Station,
    config: ConfigFile,
    *,
    name: Annotated[str | None, typer.Option(help="Needed for a new one.")] = None,
    address: Annotated[str | None, typer.Option(help="Where it is, in words.")] = None,
    hours: Annotated[str | None, typer.Option(help="When it is open.")] = None,
    notice: Annotated[str | None, typer.Option(help="One line for riders.")] = None,
    lat: Annotated[float | None, typer.Option(help="WGS-84.")] = None,
    lon: Annotated[float | None, typer.Option(help="WGS-84.")] = None,
    price_kwh: Annotated[
        int | None, typer.Option(help="Of a kWh at a socket, in the smallest unit.")
    ] = None,
    price_hour: Annotated[
        int | None, typer.Option(help="Of an hour at a socket, in the smallest unit.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a station, or change what is given of it."""
    from fleet import oneshot_stations as oneshot

    given = {
        "name": name,
        "address": address,
        "hours": hours,
        "notice": notice,
        "lat": lat,
        "lon": lon,
        "price_kwh_minor": price_kwh,
        "price_hour_minor": price_hour,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    record = go(oneshot.set_station(load(config), station, changes))
    typer.echo(oneshot.to_json(record) if as_json else f"{record.id} {record.name}")


@station_app.command("list", epilog="Example: fleetd station list --json --config fleet.toml")
def station_list(config: ConfigFile, as_json: Json = False) -> None:
    """List stations with their cabinets and amenities."""
    from fleet import oneshot_stations as oneshot

    rows = go(oneshot.list_stations(load(config)))
    if as_json:
        typer.echo(oneshot.to_json([oneshot.as_data(*row) for row in rows]))
        return
    table(
        [
            (
                view.id,
                view.name,
                ",".join(cabinets) or "-",
                " ".join(f"{each.id}:{each.kind}:{each.state}" for each in view.amenities) or "-",
            )
            for view, cabinets in rows
        ]
    )


@station_app.command(
    "cabinet", epilog="Example: fleetd station cabinet DH-0001 DRUM --config fleet.toml"
)
def station_cabinet(
    cabinet: Annotated[str, typer.Argument(help="Id of the cabinet.")],
    config: ConfigFile,
    station: Annotated[
        str | None, typer.Argument(help="Id of the station; none: at no station.")
    ] = None,
) -> None:
    """Say at which station a cabinet stands, with the sockets beside it."""
    from fleet import oneshot_stations as oneshot

    go(oneshot.place_cabinet(load(config), cabinet, station))
    typer.echo(f"{cabinet} stands at {station or 'no station'}")


@station_app.command(
    "amenity",
    epilog='Example: fleetd station amenity DRUM repair-kit --note "behind the cabinet" -c fleet.toml',
)
def station_amenity(
    station: Station,
    amenity: Annotated[str, typer.Argument(help="A kind, to add one; or the number of one.")],
    config: ConfigFile,
    *,
    note: Note = None,
    state: Annotated[str, typer.Option(help="ok, low or out.")] = "ok",
    remove: Annotated[bool, typer.Option("--remove", help="It is there no more.")] = False,
) -> None:
    """Add an amenity, restock or change it, or take it away.

    Kinds: repair-kit, first-aid-kit, sewing-kit, water, microwave, rest-area, toilet, shop.
    """
    from fleet import oneshot_stations as oneshot

    number = go(oneshot.set_amenity(load(config), station, amenity, note, state, remove=remove))
    typer.echo(f"amenity {number} at {station}: {'removed' if remove else state}")


@station_app.command(
    "photo", epilog="Example: fleetd station photo DRUM drum.jpg --config fleet.toml"
)
def station_photo(
    station: Station,
    file: Annotated[Path, typer.Argument(help="A JPEG or PNG picture.")],
    config: ConfigFile,
) -> None:
    """Show riders a picture of the station."""
    from fleet import oneshot_stations as oneshot

    try:
        picture = oneshot.read_photo(file)
    except FleetError as error:
        fail(error)
    go(oneshot.set_photo(load(config), station, picture))
    typer.echo(f"{station}: {file}")
