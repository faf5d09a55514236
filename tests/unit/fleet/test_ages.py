"""How old a report is: nothing that happens to the machine's clock makes an old one fresh."""

from __future__ import annotations

from typing import Any

import pytest

from fleet.adapters import clock
from fleet.core.records import CabinetRecord, LatestRow
from fleet.core.swaps import TELEMETRY_AGE_MAX_MS, refuse_cabinet
from fleet.runtime.live import LivePicture
from protocols.messages import Status, encode
from tests.support.fleet import T0_MS, ManualClock, telemetry

A = "DH-0001"
ONLINE = Status(online=True, session=1, boot_id="b", epoch=1, software="1", slots=12)


class Rows:
    """One cabinet, and what a process before us kept of it."""

    def __init__(self, kept: LatestRow | None = None) -> None:
        self.kept = kept

    async def all(self) -> list[CabinetRecord]:
        return [CabinetRecord(A, A, 12)]

    async def latest(self) -> list[LatestRow]:
        return [self.kept] if self.kept else []

    async def save_latest(self, rows: Any) -> None:
        pass


async def heard(live: LivePicture) -> None:
    await live.load()
    live.take_status(A, ONLINE)


class Machine:
    """The machine's clocks, in place of the module ``time``."""

    def __init__(self) -> None:
        self.mono_ms, self.wall_ms = 5_000, T0_MS

    def monotonic_ns(self) -> int:
        return self.mono_ms * 1_000_000

    def time_ns(self) -> int:
        return self.wall_ms * 1_000_000


async def test_a_clock_that_is_set_back_makes_no_silence_fresh(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine()
    monkeypatch.setattr(clock, "time", machine)
    live = LivePicture(Rows(), clock.SteadyClock())
    await heard(live)
    live.take_telemetry(A, telemetry())
    assert refuse_cabinet(live.facts(A)) is None
    machine.wall_ms -= 3_600_000
    machine.mono_ms += TELEMETRY_AGE_MAX_MS + 1_000
    assert live.view(A).age_ms == TELEMETRY_AGE_MAX_MS + 1_000
    assert refuse_cabinet(live.facts(A)) is not None
    assert live.online_count() == 0


@pytest.mark.parametrize(("kept_ms", "age_ms"), [(T0_MS - 500, 500), (T0_MS + 3_600_000, None)])
async def test_what_was_kept_of_the_future_is_of_unknown_age(
    kept_ms: int, age_ms: int | None
) -> None:
    text = encode(telemetry()).decode()
    live = LivePicture(
        Rows(LatestRow(A, telemetry=text, received_ms=kept_ms, status=None, session=0)),
        ManualClock(),
    )
    await heard(live)
    assert live.view(A).age_ms == age_ms
    assert (refuse_cabinet(live.facts(A)) is None) is (age_ms is not None)


async def test_a_cabinet_that_never_told_anything_is_not_counted_as_up() -> None:
    live = LivePicture(Rows(), ManualClock())
    await heard(live)
    assert live.online_count() == 0
    live.take_telemetry(A, telemetry())
    assert live.online_count() == 1
