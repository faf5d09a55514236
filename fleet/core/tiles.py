"""A map of licensed raster tiles: which tiles, and where the places stand upon them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import asinh, cos, floor, pi, radians, tan
from typing import Final, Literal
from urllib.parse import urlsplit

from fleet.core.geo import BARS_M, Point, Sketch, Spot, apart, gcj02

TILE: Final = 256
ZOOM_MAX: Final = 17  # a few houses: nearer than that no tile tells more of the way
LAT_MAX: Final = 85.0  # of the Mercator square
EQUATOR_M: Final = 40_075_016.686
TEMPLATE_CHARS_MAX: Final = 500
#: What browsers take in a policy and in an address without quoting.
_TEMPLATE: Final = re.compile(r"https?://[A-Za-z0-9.:-]+/[A-Za-z0-9._~/?&=%{}-]*")


@dataclass(frozen=True, slots=True)
class TileSource:
    """Whose tiles. ``datum``: the degrees that they are drawn in; maps of China use gcj02."""

    template: str
    attribution: str
    datum: Literal["wgs84", "gcj02"] = "wgs84"

    @property
    def origin(self) -> str:
        """Scheme and host, as a policy names them."""
        parts = urlsplit(self.template)
        return f"{parts.scheme}://{parts.netloc}"

    def url(self, zoom: int, x: int, y: int) -> str:
        """Of one tile."""
        return self.template.replace("{z}", str(zoom)).replace("{x}", str(x)).replace("{y}", str(y))


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture and where its corner stands, in the map's units."""

    x: int
    y: int
    url: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A map of tiles: what a sketch has, the tiles under it, and whose they are."""

    sketch: Sketch
    tiles: tuple[Tile, ...]
    attribution: str


def template_problem(template: str) -> str | None:
    """What is wrong with the address of the tiles, or None."""
    names = re.findall(r"{([^}]*)}", template)
    if len(template) > TEMPLATE_CHARS_MAX or not _TEMPLATE.fullmatch(template):
        return (
            f"is {template!r}, expected http(s)://host/… of letters, digits and {{z}}, {{x}}, {{y}}"
        )
    if sorted(names) != ["x", "y", "z"]:
        return f"has {{…}} of {', '.join(names) or 'nothing'}, expected {{z}}, {{x}} and {{y}}, once each"
    if "{" in urlsplit(template).netloc:
        return "names no single host: write one of the hosts in place of {s}"
    return None


def chart(
    source: TileSource,
    places: Sequence[Point],
    here: Point | None,
    *,
    width: int,
    height: int,
    margin: int,
) -> Chart | None:
    """A map of numbered places and of where the reader is; None when there is nothing to draw."""
    if not places:
        return None
    shift = gcj02 if source.datum == "gcj02" else (lambda place: place)
    numbered = [(_square(shift(place)), number) for number, place in enumerate(places, 1)]
    mine = [(_square(shift(here)), 0)] if here else []
    xs, ys = zip(*(at for at, _ in (*numbered, *mine)), strict=True)
    zoom = _zoom(max(xs) - min(xs), max(ys) - min(ys), width - 2 * margin, height - 2 * margin)
    size = TILE << zoom
    left = round((min(xs) + max(xs)) / 2 * size - width / 2)
    top = round((min(ys) + max(ys)) / 2 * size - height / 2)

    def spot(at: tuple[float, float], number: int) -> Spot:
        return Spot(round(at[0] * size) - left, round(at[1] * size) - top, number)

    middle = here or places[0]
    metres = EQUATOR_M * cos(radians(middle.lat)) / size  # of one unit
    bars = [length for length in BARS_M if length / metres <= width / 3]
    bar_m = bars[-1] if bars else BARS_M[0]
    spots = [*apart([spot(*each) for each in numbered]), *(spot(*each) for each in mine)]
    drawn = Sketch(width, height, tuple(spots), round(bar_m / metres), bar_m)
    return Chart(drawn, _tiles(source, zoom, (left, top), drawn), source.attribution)


def _square(place: Point) -> tuple[float, float]:
    """The place in the Mercator square, from 0 to 1 each, from the north-west corner."""
    lat = max(-LAT_MAX, min(LAT_MAX, place.lat))
    return (place.lon + 180) / 360, (1 - asinh(tan(radians(lat))) / pi) / 2


def _zoom(across: float, along: float, width: int, height: int) -> int:
    """The nearest at which everything is seen."""
    for zoom in range(ZOOM_MAX, 0, -1):
        size = TILE << zoom
        if across * size <= width and along * size <= height:
            return zoom
    return 0


def _tiles(
    source: TileSource, zoom: int, corner: tuple[int, int], drawn: Sketch
) -> tuple[Tile, ...]:
    (left, top), count = corner, 1 << zoom
    return tuple(
        Tile(x * TILE - left, y * TILE - top, source.url(zoom, x % count, y))
        for y in range(
            max(0, floor(top / TILE)), min(count, floor((top + drawn.height - 1) / TILE) + 1)
        )
        for x in range(floor(left / TILE), floor((left + drawn.width - 1) / TILE) + 1)
    )
