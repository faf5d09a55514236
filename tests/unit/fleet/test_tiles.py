"""Licensed map tiles: which ones, where places stand upon them, and what is no address of tiles."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fleet.config import parse
from fleet.core.geo import Point, gcj02
from fleet.core.tiles import TILE, ZOOM_MAX, Chart, TileSource, chart, template_problem
from fleet.errors import ConfigError

GOOD = "https://tiles.example.cn/{z}/{x}/{y}.png?key=abc"
SIZE: dict[str, int] = {"width": 328, "height": 220, "margin": 28}
TOWER = Point(39.9365, 116.3845)


def drawn(*places: Point, here: Point | None = None, **more: Any) -> Chart:
    made = chart(TileSource(GOOD, "© Somebody", **more), places, here, **SIZE)
    assert made is not None
    return made


def test_tiles_cover_the_map_without_a_gap_and_none_is_beside_it() -> None:
    made = drawn(TOWER, Point(39.9465, 116.4045), here=Point(39.93, 116.39))
    corners = {(tile.x, tile.y) for tile in made.tiles}
    assert len(corners) == len(made.tiles) <= 6
    for x in range(0, SIZE["width"], 4):
        for y in range(0, SIZE["height"], 4):
            over = [c for c in corners if c[0] <= x < c[0] + TILE and c[1] <= y < c[1] + TILE]
            assert len(over) == 1, (x, y)
    for spot in made.sketch.spots:
        assert 0 <= spot.x <= SIZE["width"]
        assert 0 <= spot.y <= SIZE["height"]
    assert made.attribution == "© Somebody"


def test_a_place_stands_where_its_tile_has_it() -> None:
    """Berlin is in tile 10/550/335 of every such map."""
    made = drawn(Point(52.52, 13.405))
    (spot,) = made.sketch.spots
    assert (spot.x, spot.y) == (SIZE["width"] // 2, SIZE["height"] // 2), "alone in the middle"
    (home,) = [
        tile
        for tile in made.tiles
        if tile.x <= spot.x < tile.x + TILE and tile.y <= spot.y < tile.y + TILE
    ]
    found = re.fullmatch(r"https://tiles.example.cn/17/(\d+)/(\d+).png\?key=abc", home.url)
    assert found is not None
    assert (int(found[1]) >> (ZOOM_MAX - 10), int(found[2]) >> (ZOOM_MAX - 10)) == (550, 335)


def test_a_chinese_map_gets_chinese_degrees() -> None:
    """Half a kilometre east and south: another tile at a street's zoom."""
    assert {tile.url for tile in drawn(TOWER, datum="gcj02").tiles} == {
        tile.url for tile in drawn(gcj02(TOWER)).tiles
    }
    assert {t.url for t in drawn(TOWER, datum="gcj02").tiles} != {t.url for t in drawn(TOWER).tiles}


def test_far_apart_it_is_seen_from_far_and_the_pole_is_no_crash() -> None:
    made = drawn(Point(89.9, -179.9), Point(-89.9, 179.9))
    assert made.tiles
    assert all("/0/0/0.png" in tile.url for tile in made.tiles)
    assert chart(TileSource(GOOD, "x"), [], TOWER, **SIZE) is None


def test_the_scale_is_true() -> None:
    """A kilometre of latitude, in units by the bar."""
    made = drawn(TOWER, Point(TOWER.lat + 1_000 / 111_195, TOWER.lon))
    one, other = made.sketch.spots
    metres = abs(one.y - other.y) / made.sketch.bar * made.sketch.bar_m
    assert metres == pytest.approx(1_000, rel=0.03)


@pytest.mark.parametrize(
    "bad",
    [
        "tiles.example.cn/{z}/{x}/{y}.png",
        "javascript:alert({z}{x}{y})",
        "https://tiles.example.cn/{z}/{x}.png",
        "https://tiles.example.cn/{z}/{x}/{y}/{y}.png",
        "https://{s}.example.cn/{z}/{x}/{y}.png",
        "https://tiles.example.cn/{s}/{z}/{x}/{y}.png",
        "https://tiles.example.cn; script-src */{z}/{x}/{y}.png",
        'https://tiles.example.cn/{z}/{x}/{y}.png"><script>',
        "https://tiles.example.cn/{z}/{x}/{y}.png " + "a" * 500,
    ],
)
def test_what_is_no_address_of_tiles_is_refused(bad: str) -> None:
    assert template_problem(bad) is not None
    text = f"[pages]\nmap_tiles = {bad!r}\nmap_attribution = 'x'\n"
    with pytest.raises(ConfigError, match=r"map_tiles|TOML"):
        parse(text, "fleet.toml", Path("/srv"), {})


def test_tiles_come_with_their_owners_name() -> None:
    assert template_problem(GOOD) is None
    with pytest.raises(ConfigError, match=r"fleet.toml.*map_attribution is empty"):
        parse(f"[pages]\nmap_tiles = '{GOOD}'\n", "fleet.toml", Path("/srv"), {})
    text = f"[pages]\nmap_tiles = '{GOOD}'\nmap_attribution = '© 某图'\nmap_datum = 'gcj02'\n"
    source = parse(text, "fleet.toml", Path("/srv"), {}).pages.tiles
    assert source == TileSource(GOOD, "© 某图", "gcj02")
    assert source.origin == "https://tiles.example.cn"
    assert parse("", "fleet.toml", Path("/srv"), {}).pages.tiles is None
