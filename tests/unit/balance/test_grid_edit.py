"""Editing a grid by its tables, and the line of its versions."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fleet.core.balance.grid import parse_grid
from fleet.core.balance.grid_edit import (
    CabinetEdit,
    Edit,
    FeederEdit,
    PriceEdit,
    RegionEdit,
    differences,
    edited,
    grid_text,
    tariff_lines,
    window_lines,
)
from fleet.core.balance.versions import (
    AHEAD_MAX,
    AHEAD_MS_MAX,
    LATE_MS,
    GridVersion,
    NewVersion,
    check_new,
    check_withdrawal,
    in_force,
    standing,
)
from fleet.errors import InvalidError, RefusedError
from tests.support.balance_rig import GRID

EXAMPLE = Path(__file__).parents[3] / "deploy" / "grid.example.toml"


@pytest.mark.parametrize("text", [GRID, EXAMPLE.read_text(encoding="utf-8")])
def test_what_is_written_is_the_same_grid(text: str) -> None:
    assert parse_grid(grid_text(tomllib.loads(text))) == parse_grid(text)


def test_the_form_of_a_region_gives_the_region_back() -> None:
    region = parse_grid(GRID).regions[0]
    same = RegionEdit("east", tariff_lines(region), "9", "38", window_lines(region))
    assert differences(parse_grid(GRID), parse_grid(edited(GRID, same))) == []


def test_a_change_is_named_with_both_values() -> None:
    changed = parse_grid(edited(GRID, RegionEdit("east", "00:00 0.5\n07:30 1.2", "", "38", "")))
    found = {
        each.where: (each.before, each.after) for each in differences(parse_grid(GRID), changed)
    }
    assert found == {
        "region east: limit": ("9 kW", ""),
        "region east: tariff": ("00:00 0.3, 08:00 1.1, 22:00 0.3", "00:00 0.5, 07:30 1.2"),
        "region east: windows": ("18:00-20:00 5", ""),
    }
    assert changed.regions[0].prices == ((0, 0.5), (450, 1.2))


def test_feeders_cabinets_and_prices() -> None:
    text = edited(GRID, FeederEdit("F3", "east", "4.5"))
    text = edited(text, CabinetEdit("A-2", "F3"))
    text = edited(text, CabinetEdit("C-9", "F3"))
    text = edited(text, PriceEdit("20", "3"))
    grid = parse_grid(edited(text, CabinetEdit("B-1", "")))
    assert grid.ids == ("A-1", "A-2", "C-9")
    assert [each.limit_w for each in grid.feeders] == [5_000, 6_000, 4_500]
    assert grid.members(2) == (1, 2)
    assert (grid.shortfall_price_per_kwh, grid.lost_swap_price) == (20.0, 3.0)


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (RegionEdit("east", "07:00 0.5", "", "", ""), "region[0].tariff[0].from"),
        (RegionEdit("east", "00:00 0.5\n25:00 1", "", "", ""), "region[0].tariff[1].from"),
        (RegionEdit("east", "00:00 cheap", "", "", ""), "tariff line 1"),
        (RegionEdit("east", "00:00 nan", "", "", ""), "tariff line 1"),
        (RegionEdit("east", "", "", "", ""), "region[0].tariff"),
        (RegionEdit("east", "00:00 1", "-4", "", ""), "region[0].limit_w"),
        (RegionEdit("east", "00:00 1", "", "", "18:00 5"), "region[0].window[0].to"),
        (RegionEdit("no name", "00:00 1", "", "", ""), "region[1].name"),
        (FeederEdit("F1", "west", "4"), "feeder[0].region"),
        (FeederEdit("F1", "east", ""), "limit"),
        (CabinetEdit("A-1", "F9"), "cabinets.A-1"),
        (CabinetEdit("X-1", ""), "cabinets"),
        (CabinetEdit('x"\n[pack]', "F1"), "cabinets"),
        (PriceEdit("0", "2"), "shortfall_price_per_kwh"),
    ],
)
def test_a_mistake_is_named_as_in_the_file(edit: Edit, named: str) -> None:
    with pytest.raises(InvalidError) as caught:
        edited(GRID, edit)
    assert str(caught.value).startswith(named)


def version(number: int, from_ms: int, withdrawn: int | None = None) -> GridVersion:
    return GridVersion(
        version=number,
        valid_from_ms=from_ms,
        created_ms=0,
        actor="op:a",
        reason="why",
        source="console",
        digest="",
        withdrawn_ms=withdrawn,
    )


def new(from_ms: int = 500, reason: str = "winter", revision: int | None = 7) -> NewVersion:
    return NewVersion(
        text="",
        valid_from_ms=from_ms,
        now_ms=500,
        created_ms=0,
        actor="op:a",
        reason=reason,
        source="console",
        revision=revision,
    )


def test_the_last_that_has_begun_counts_and_the_first_counts_from_always() -> None:
    line = [version(1, 100), version(2, 300), version(3, 300), version(4, 900, withdrawn=1)]
    assert [each.version for each in standing(line)] == [1, 2, 3]
    found = [in_force(line, at) for at in (0, 100, 299, 300, 5_000)]
    assert [each.version for each in found if each] == [1, 1, 1, 3, 3]
    assert in_force([], 5) is None


def test_no_version_begins_before_one_that_is_to_come_nor_without_the_last_look() -> None:
    line = [version(1, 100), version(2, 900)]
    check_new(new(900), line, 7)
    check_new(new(900, revision=None), line, 7)
    for wrong, code in ((new(899), "grid-order"), (new(900, revision=6), "grid-changed")):
        with pytest.raises(RefusedError) as caught:
            check_new(wrong, line, 7)
        assert caught.value.code == code
    late = new(500 - LATE_MS - 1)
    for bad in (new(900, reason=" "), new(900, reason="a\nb\nc"), late, new(501 + AHEAD_MS_MAX)):
        with pytest.raises(InvalidError):
            check_new(bad, line, 7)
    ahead = [version(n, 900) for n in range(1, AHEAD_MAX + 1)]
    with pytest.raises(RefusedError, match="wait"):
        check_new(new(900), ahead, 7)


def test_only_the_last_that_has_not_begun_is_withdrawn() -> None:
    line = [version(1, 100), version(2, 900)]
    check_withdrawal(2, line, 500, 7, 7)
    for number, now_ms, seen, code in (
        (1, 500, 7, "grid-order"), (2, 900, 7, "grid-begun"), (2, 500, 6, "grid-changed"),
    ):  # fmt: skip
        with pytest.raises(RefusedError) as caught:
            check_withdrawal(number, line, now_ms, seen, 7)
        assert caught.value.code == code
    with pytest.raises(RefusedError, match="has begun"):
        check_withdrawal(1, line[:1], 0, 7, 7)
