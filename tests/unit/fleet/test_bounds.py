"""Bounds of what staff may type, each at its edge."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.adapters.grid_file import GridFile
from fleet.core.balance.grid import TEXT_CHARS_MAX
from fleet.core.operations import Wish, check_wish
from fleet.core.staff import TOKEN_DAYS_MAX, token_days
from fleet.core.templates import Template
from fleet.errors import InvalidError
from fleet.runtime.rollouts import SOFTWARE_CHARS_MAX, Planning
from tests.support.fleet import ManualClock


def test_a_token_lives_for_a_day_at_least_and_a_year_at_most() -> None:
    assert [token_days(days) for days in (1, TOKEN_DAYS_MAX)] == [1, TOKEN_DAYS_MAX]
    for days in (-1, 0, TOKEN_DAYS_MAX + 1):
        with pytest.raises(InvalidError, match=f"days {days}: expected 1 to"):
            token_days(days)


class Rows:
    """A model without cabinets."""

    async def template(self, model: str) -> Template:
        return Template(model=model, breaker_w=3_000, settings={}, actor="operator:li")


@pytest.mark.parametrize("software", ["1" * (SOFTWARE_CHARS_MAX + 1), "1.0\n2.0"])
async def test_a_release_has_a_short_printable_name(software: str) -> None:
    planning = Planning(Rows(), ManualClock())  # type: ignore[arg-type]  # it asks for no more
    with pytest.raises(InvalidError, match="software: expected at most"):
        await planning.plan(model="yz12", name="li", reason="a new release", software=software)


def test_an_order_for_the_whole_cabinet_names_no_slot() -> None:
    wish = Wish(
        cabinet="DH-0001",
        type="cabinet.restart",
        staff="li",
        reason="does not answer",
        key="key-of-one-tap",
        slot=2,
    )
    with pytest.raises(InvalidError, match=r"slot 2: cabinet\.restart is for"):
        check_wish(wish, 12)


def test_a_grid_file_of_any_size_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "grid.toml"
    for size, told in ((4 * TEXT_CHARS_MAX, None), (4 * TEXT_CHARS_MAX + 1, "too much")):
        with file.open("wb") as opened:
            opened.truncate(size)
        if told is None:
            assert len(GridFile(file).text()) == size
        else:
            with pytest.raises(InvalidError, match=told):
                GridFile(file).text()
