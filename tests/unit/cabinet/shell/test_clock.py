"""Who may vouch for the wall clock; doubt and silence never do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cabinet.adapters.clock import (
    NOTE_EVERY_MS,
    RTC_APART_MAX_S,
    RTC_HOLD_MS,
    SYNC_CHECK_EVERY_MS,
    TIME_ERROR,
    SystemClock,
)
from cabinet.config_devices import ClockSource

NOW_S = 1_790_000_000


class Kernel:
    """Stands in for the C library: what the kernel answers cannot be chosen on this machine."""

    def __init__(self, answer: int) -> None:
        self.answer = answer

    def adjtimex(self, _buffer: object) -> int:
        return self.answer


class Clock(SystemClock):
    """The real one with a kernel and a time that the test sets."""

    def __init__(self, answer: int, folder: Path, source: ClockSource) -> None:
        super().__init__(source, note=folder / "clock-synced", rtc=folder / "rtc0")
        self.kernel = Kernel(answer)
        self._libc = self.kernel  # type: ignore[assignment]
        self.wall_s = NOW_S
        self.mono_ms = 0

    def monotonic_ms(self) -> int:
        return self.mono_ms

    def now_utc(self) -> datetime:
        return datetime.fromtimestamp(self.wall_s, UTC)

    def ask(self) -> bool:
        self.mono_ms += SYNC_CHECK_EVERY_MS
        return self.wall_synced()


def battery_clock(folder: Path, *, hctosys: str = "1", since_epoch: object = NOW_S) -> None:
    (folder / "rtc0").mkdir(exist_ok=True)
    (folder / "rtc0/hctosys").write_text(f"{hctosys}\n")
    (folder / "rtc0/since_epoch").write_text(f"{since_epoch}\n")


def note(folder: Path, ago_ms: int) -> None:
    (folder / "clock-synced").write_text(f"{NOW_S * 1000 - ago_ms}\n")


@pytest.mark.parametrize("source", [ClockSource.KERNEL, ClockSource.RTC])
@pytest.mark.parametrize(
    ("answer", "right"), [(0, True), (3, True), (TIME_ERROR, False), (-1, False)]
)
def test_the_kernel_vouches(tmp_path: Path, source: ClockSource, answer: int, right: bool) -> None:
    assert Clock(answer, tmp_path, source).ask() is right


def test_a_host_vouches_whatever_the_kernel_says(tmp_path: Path) -> None:
    assert Clock(TIME_ERROR, tmp_path, ClockSource.HOST).ask()


def test_without_adjtimex_nobody_knows() -> None:
    clock = SystemClock()
    clock._libc = object()  # type: ignore[assignment]
    assert not clock.wall_synced()


def test_a_battery_clock_vouches_for_two_weeks_after_ntp(tmp_path: Path) -> None:
    battery_clock(tmp_path)
    clock = Clock(0, tmp_path, ClockSource.RTC)
    assert clock.ask()
    assert (tmp_path / "clock-synced").read_text() == f"{NOW_S * 1000}\n"
    clock.kernel.answer = TIME_ERROR
    assert clock.ask()
    clock.wall_s += RTC_HOLD_MS // 1000
    battery_clock(tmp_path, since_epoch=clock.wall_s)
    assert clock.ask()
    clock.wall_s += 1
    battery_clock(tmp_path, since_epoch=clock.wall_s)
    assert not clock.ask()


@pytest.mark.parametrize(
    ("fields", "ago_ms"),
    [
        ({"hctosys": "0"}, 1_000),  # the clock was not set from it
        ({"since_epoch": NOW_S + RTC_APART_MAX_S + 1}, 1_000),
        ({"since_epoch": NOW_S - RTC_APART_MAX_S - 1}, 1_000),
        ({"since_epoch": "nonsense"}, 1_000),
        ({}, -1_000),  # the clock is behind the time that NTP has told
        ({}, RTC_HOLD_MS + 1_000),
        ({}, None),
    ],
)
def test_a_doubtful_battery_clock_does_not_vouch(
    tmp_path: Path, fields: dict[str, object], ago_ms: int | None
) -> None:
    battery_clock(tmp_path, **fields)  # type: ignore[arg-type]
    if ago_ms is not None:
        note(tmp_path, ago_ms)
    assert not Clock(TIME_ERROR, tmp_path, ClockSource.RTC).ask()


def test_a_battery_clock_counts_only_where_it_is_configured(tmp_path: Path) -> None:
    battery_clock(tmp_path)
    note(tmp_path, 1_000)
    assert not Clock(TIME_ERROR, tmp_path, ClockSource.KERNEL).ask()
    assert Clock(TIME_ERROR, tmp_path, ClockSource.RTC).ask()
    assert not SystemClock(ClockSource.RTC, rtc=tmp_path / "rtc0")._rtc_vouches()


def test_the_note_is_written_now_and_then(tmp_path: Path) -> None:
    clock = Clock(0, tmp_path, ClockSource.RTC)
    clock.ask()
    (tmp_path / "clock-synced").unlink()
    clock.ask()
    assert not (tmp_path / "clock-synced").exists()
    clock.mono_ms += NOTE_EVERY_MS
    clock.ask()
    assert (tmp_path / "clock-synced").exists()


def test_a_disk_that_takes_no_note_harms_nobody(tmp_path: Path) -> None:
    clock = Clock(0, tmp_path / "missing", ClockSource.RTC)
    assert clock.ask()
