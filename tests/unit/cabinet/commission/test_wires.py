"""Relays that are held for a while: renewed through misses, and off at the end whatever happens."""

from __future__ import annotations

import pytest

from cabinet.commission.wires import LEASE_TRIES, held
from cabinet.errors import LinkError


class Board:
    """A relay board that misses some orders; ``told`` is what reached it."""

    def __init__(self, misses: int = 0) -> None:
        self.misses = misses
        self.told: list[tuple[str, int]] = []

    def _hear(self, what: str, channel: int) -> None:
        if self.misses:
            self.misses -= 1
            raise LinkError("board-1", "no valid reply")
        self.told.append((what, channel))

    async def lease(self, channel: int, lease_ms: int) -> None:
        assert lease_ms
        self._hear("lease", channel)

    async def set_relay(self, channel: int, *, on: bool) -> None:
        self._hear("on" if on else "off", channel)

    async def read_relays(self) -> tuple[bool, ...]:
        return (False,) * 8

    async def all_off(self) -> None:
        raise AssertionError


async def test_relays_are_on_meanwhile_and_off_in_reverse_at_the_end() -> None:
    board = Board()
    async with held([(board, 4), (board, 0)]):
        assert board.told == [("lease", 4), ("lease", 0)]
    assert board.told[2:] == [("off", 0), ("off", 4)]


async def test_they_are_off_as_well_when_the_work_fails() -> None:
    board = Board()
    with pytest.raises(RuntimeError):
        async with held([(board, 4)]):
            raise RuntimeError
    assert board.told[-1] == ("off", 4)


async def test_a_missed_order_is_given_again() -> None:
    board = Board(misses=LEASE_TRIES - 1)
    async with held([(board, 4)]):
        assert board.told == [("lease", 4)]


async def test_a_board_that_stays_silent_ends_it_and_what_was_on_goes_off() -> None:
    good, dead = Board(), Board(misses=LEASE_TRIES)
    with pytest.raises(LinkError):
        async with held([(good, 4), (dead, 0)]):
            raise AssertionError
    assert good.told == [("lease", 4), ("off", 4)]
    assert dead.told == [("off", 0)]
