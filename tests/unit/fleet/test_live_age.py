"""How old a cabinet's word is: clocks that jump make none of it new."""

from __future__ import annotations

import pytest

from fleet.core.records import CabinetRecord, LatestRow
from fleet.core.swaps import TELEMETRY_AGE_MAX_MS
from fleet.runtime.live import LivePicture
from protocols.messages import Status, encode
from tests.support.balance_rig import NOW_MS, HandClock, NoRows, telemetry


class Rows(NoRows):
    """With what was kept before a restart."""

    kept: list[LatestRow] = []  # noqa: RUF012 - set by the test

    async def latest(self) -> list[LatestRow]:
        return self.kept


async def heard(clock: HandClock) -> LivePicture:
    live = LivePicture(NoRows(CabinetRecord("A-1", "", 6)), clock)
    await live.load()
    live.take_status("A-1", Status(online=True, session=1, boot_id="b", epoch=1, software="1"))
    assert live.online_count() == 0, "it is there, and has told nothing"
    live.take_telemetry("A-1", telemetry((20,), 100.0))
    assert live.online_count() == 1
    return live


@pytest.mark.parametrize("jump_ms", [-7_200_000, 7_200_000])
async def test_a_clock_that_jumps_makes_no_word_newer_or_older(jump_ms: int) -> None:
    clock = HandClock()
    live = await heard(clock)
    clock.wall += jump_ms
    last = live.last("A-1")
    assert last is not None
    assert last.age_ms == 0
    clock.move(TELEMETRY_AGE_MAX_MS + 1)
    last = live.last("A-1")
    assert last is not None
    assert last.age_ms == TELEMETRY_AGE_MAX_MS + 1, (
        "it has been silent since, whatever the clock says"
    )
    assert live.online_count() == 0


@pytest.mark.parametrize(("received_ms", "age_ms"), [(NOW_MS - 5, 5), (NOW_MS + 5, None)])
async def test_what_was_kept_of_a_time_to_come_is_of_no_age(
    received_ms: int, age_ms: int | None
) -> None:
    rows = Rows(CabinetRecord("A-1", "", 6))
    text = encode(telemetry((20,), 100.0)).decode()
    rows.kept = [LatestRow("A-1", telemetry=text, received_ms=received_ms)]
    live = LivePicture(rows, HandClock())
    await live.load()
    last = live.last("A-1")
    assert last is not None
    assert last.age_ms == age_ms
