"""The grid's file: what it gives, and that every mistake is named with key, value and expectation."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fleet.core.balance.grid import parse_grid
from fleet.errors import InvalidError
from fleet.main import app
from tests.support.balance_rig import GRID, grid

EXAMPLE = Path(__file__).parents[3] / "deploy" / "grid.example.toml"


def test_what_it_gives() -> None:
    found = grid()
    assert found.cabinets == (("A-1", 0), ("A-2", 0), ("B-1", 1))
    assert [feeder.limit_w for feeder in found.feeders] == [5_000, 6_000]
    east = found.regions[0]
    assert [east.price(minute) for minute in (0, 479, 480, 1_319, 1_320, 1_439)] == [
        0.3, 0.3, 1.1, 1.1, 0.3, 0.3,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("minute", "limit"),
    [(1_064, 9_000), (1_065, 9_000), (1_066, 5_000), (1_199, 5_000), (1_200, 9_000)],
)
def test_an_interval_that_touches_a_window_has_its_limit(minute: int, limit: int) -> None:
    assert grid().regions[0].limit(minute, 15) == limit


def test_a_window_may_pass_midnight() -> None:
    east = grid(GRID.replace('"18:00", to = "20:00"', '"23:00", to = "01:00"')).regions[0]
    limits = [east.limit(minute, 15) for minute in (1_364, 1_370, 1_439, 0, 59, 60)]
    assert limits == [9_000, 5_000, 5_000, 5_000, 5_000, 9_000]


MISTAKES = [
    ('name = "F1"', 'name = "F 1"', r"feeder\[0\].name: is 'F 1', expected 1 to 64 letters"),
    ('A-2 = "F1"', 'A-2 = "F9"', r"cabinets.A-2: is 'F9', expected one of F1, F2"),
    ('region = "east"', 'region = "west"', r"feeder\[0\].region: is 'west', expected one of east"),
    ("limit_w = 6000", "limit_w = -1", r"feeder\[1\].limit_w: is -1, expected a whole number"),
    ("limit_w = 6000", "limit_w = 6e3", r"feeder\[1\].limit_w: is 6000.0, expected a whole number"),
    ("limit_w = 6000", "limit_w = true", r"feeder\[1\].limit_w: is True, expected a whole number"),
    ("limit_w = 6000\n", "", r"feeder\[1\].limit_w: is missing, expected a whole number"),
    ('"00:00"', '"00:15"', r"region\[0\].tariff\[0\].from: is 00:15, expected 00:00"),
    ('"22:00"', '"08:00"', r"region\[0\].tariff\[2\].from: is 08:00, expected a later time"),
    ('"22:00"', '"24:00"', r"region\[0\].tariff\[2\].from: is '24:00', expected \"HH:MM\""),
    ("price = 1.1", "price = nan", r"region\[0\].tariff\[1\].price: is nan, expected a number"),
    ("price = 1.1", 'price = "1"', r"region\[0\].tariff\[1\].price: is '1', expected a number"),
    ("efficiency = 0.9", "efficiency = 9", r"pack.efficiency: is 9, expected a number from 0.5"),
    ("charger_w = 330", "charger_kw = 330", r"pack.charger_w: is missing"),
    ("base_w = 60", "base = 60", r"cabinet_power.base: is not a key here"),
    ("default_w = 2000", "default_w = 4000", r"cabinet_power.default_w: is 4000.* to 3500"),
    ('name = "F2"', 'name = "F1"', r"feeder.name: 'F1' is there twice"),
    ("[pack]", "[[pack]]", r"pack: is .*, expected a table \[pack\]"),
    ("[[feeder]]", "[[feeders]]", r"feeder: is missing, expected at least one"),
    ("shortfall_price_per_kwh = 30.0", "shortfall = 30.0", r"^shortfall: is not a key here"),
    ("[pack]", "[pack", "grid: is not TOML"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), MISTAKES)
def test_every_mistake_is_named(right: str, wrong: str, message: str) -> None:
    assert right in GRID
    with pytest.raises(InvalidError, match=message):
        parse_grid(GRID.replace(right, wrong))


def test_cabinets_that_are_left_alone_may_be_too_many() -> None:
    assert grid().warnings() == []
    [warning] = grid(GRID.replace("limit_w = 5000\n\n", "limit_w = 4000\n\n")).warnings()
    assert "feeder F1: 2 cabinets without a plan may take 4120 W, the limit is 4000 W" in warning


def test_the_command_checks_and_the_example_is_right(tmp_path: Path) -> None:
    good = CliRunner().invoke(app, ["grid", "check", str(EXAMPLE), "--json"])
    assert good.exit_code == 0, good.output
    assert '"cabinets": 2' in good.output
    broken = tmp_path / "grid.toml"
    broken.write_text(GRID.replace("limit_w = 6000", "limit_w = 0"))
    bad = CliRunner().invoke(app, ["grid", "check", str(broken)])
    assert bad.exit_code == 1
    assert f"{broken}: feeder[1].limit_w: is 0, expected" in bad.output
