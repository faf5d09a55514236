"""Distance between places on the globe."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt
from typing import Final

EARTH_RADIUS_M: Final = 6_371_000.0


def distance_m(lat: float, lon: float, other_lat: float, other_lon: float) -> int:
    """As the crow flies, between two places in degrees."""
    lat_a, lat_b = radians(lat), radians(other_lat)
    half_lat, half_lon = (lat_b - lat_a) / 2, radians(other_lon - lon) / 2
    root = sin(half_lat) ** 2 + cos(lat_a) * cos(lat_b) * sin(half_lon) ** 2
    return round(2 * EARTH_RADIUS_M * asin(min(sqrt(root), 1.0)))
