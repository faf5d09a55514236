"""Places: stored in WGS-84, shown to Chinese navigation in GCJ-02, drawn on a schematic map. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, hypot, pi, radians, sin, sqrt
from typing import Final

METRES_PER_DEGREE: Final = 111_195
#: The Krassovsky ellipsoid that GCJ-02 is built on.
_AXIS_M: Final = 6_378_245.0
_ECCENTRICITY2: Final = 0.006_693_421_622_965_943
#: Outside of this box the offset is not applied, by convention.
_LON_RANGE: Final = (72.004, 137.8347)
_LAT_RANGE: Final = (0.8293, 55.8271)
#: Lengths that a scale bar may have.
BARS_M: Final = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000)
#: A map of one place shows at least so much around it.
_SPAN_MIN_M: Final = 300.0


@dataclass(frozen=True, slots=True)
class Point:
    """WGS-84 degrees."""

    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class Spot:
    """A place on the map, in its units; ``number`` is the one in the list, 0 for the reader's own."""

    x: int
    y: int
    number: int


@dataclass(frozen=True, slots=True)
class Sketch:
    """A schematic map: no streets, no borders, true directions and distances."""

    width: int
    height: int
    spots: tuple[Spot, ...]
    bar: int  # how long the scale bar is, in units
    bar_m: int  # and in metres


def gcj02(place: Point) -> Point:
    """The place as maps in China want it; elsewhere it is the same."""
    inside = (
        _LON_RANGE[0] <= place.lon <= _LON_RANGE[1] and _LAT_RANGE[0] <= place.lat <= _LAT_RANGE[1]
    )
    if not inside:
        return place
    x, y = place.lon - 105.0, place.lat - 35.0
    wave = (20.0 * sin(6.0 * x * pi) + 20.0 * sin(2.0 * x * pi)) * 2.0 / 3.0
    lat = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * sqrt(abs(x)) + wave
    lat += (20.0 * sin(y * pi) + 40.0 * sin(y / 3.0 * pi)) * 2.0 / 3.0
    lat += (160.0 * sin(y / 12.0 * pi) + 320.0 * sin(y * pi / 30.0)) * 2.0 / 3.0
    lon = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * sqrt(abs(x)) + wave
    lon += (20.0 * sin(x * pi) + 40.0 * sin(x / 3.0 * pi)) * 2.0 / 3.0
    lon += (150.0 * sin(x / 12.0 * pi) + 300.0 * sin(x / 30.0 * pi)) * 2.0 / 3.0
    flat = 1.0 - _ECCENTRICITY2 * sin(radians(place.lat)) ** 2
    lat_m = _AXIS_M * (1.0 - _ECCENTRICITY2) / (flat * sqrt(flat)) * pi / 180.0
    lon_m = _AXIS_M / sqrt(flat) * cos(radians(place.lat)) * pi / 180.0
    return Point(place.lat + lat / lat_m, place.lon + lon / lon_m)


def sketch(
    places: Sequence[Point], here: Point | None, *, width: int, height: int, margin: int
) -> Sketch | None:
    """A map of numbered places, and of where the reader is; None when there is nothing to draw."""
    if not places:
        return None
    everything = [*places, *([here] if here else [])]
    lats, lons = [each.lat for each in everything], [each.lon for each in everything]
    middle = Point((min(lats) + max(lats)) / 2, (min(lons) + max(lons)) / 2)
    shrink = cos(radians(middle.lat))
    across_m = (max(lons) - min(lons)) * METRES_PER_DEGREE * shrink
    along_m = (max(lats) - min(lats)) * METRES_PER_DEGREE
    scale = min(
        (width - 2 * margin) / max(across_m, _SPAN_MIN_M),
        (height - 2 * margin) / max(along_m, _SPAN_MIN_M),
    )

    def spot(place: Point, number: int) -> Spot:
        x = (place.lon - middle.lon) * METRES_PER_DEGREE * shrink * scale
        y = (middle.lat - place.lat) * METRES_PER_DEGREE * scale
        return Spot(round(width / 2 + x), round(height / 2 + y), number)

    bars = [length for length in BARS_M if length * scale <= width / 3]
    bar_m = bars[-1] if bars else BARS_M[0]
    spots = apart([spot(place, number) for number, place in enumerate(places, 1)])
    if here:
        spots.append(spot(here, 0))
    return Sketch(width, height, tuple(spots), round(bar_m * scale), bar_m)


def apart(spots: list[Spot], least: int = 30) -> list[Spot]:
    """Move marks that lie upon one another to the side, so that each number can be read."""
    placed: list[Spot] = []
    for each in spots:
        x = each.x
        while any(hypot(x - other.x, each.y - other.y) < least for other in placed):
            x += least
        placed.append(Spot(x, each.y, each.number))
    return placed
