"""The machine's clocks; the only place that reads them."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cabinet.config_devices import ClockSource

#: adjtimex(2) answers this while nobody keeps the clock right.
TIME_ERROR: Final = 5
#: More than any kernel's ``struct timex``.
TIMEX_BYTES: Final = 512
SYNC_CHECK_EVERY_MS: Final = 5_000
#: A battery clock is believed this long after NTP last kept it right: a poor one (20 ppm) is then
#: 24 s off, and a rider's code is good for 30 s either way.
RTC_HOLD_MS: Final = 14 * 24 * 3_600_000
#: The system clock and the battery clock that it was set from; the latter counts whole seconds.
RTC_APART_MAX_S: Final = 3
NOTE_EVERY_MS: Final = 3_600_000
RTC: Final = Path("/sys/class/rtc/rtc0")


class SystemClock:
    """Implements ``cabinet.ports.Clock``.

    Args:
        source: who vouches for the wall clock. Silence and doubt never do.
        note: a file that remembers when NTP last kept it right; needed for ``rtc``.
        rtc: the kernel's folder of the battery clock.
    """

    def __init__(
        self,
        source: ClockSource = ClockSource.KERNEL,
        *,
        note: Path | None = None,
        rtc: Path = RTC,
    ) -> None:
        self._libc = ctypes.CDLL(None)
        self._source = source
        self._note = note
        self._rtc = rtc
        self._synced = False
        self._checked_ms: int | None = None
        self._noted_ms: int | None = None  # monotonic, of the last note

    def monotonic_ms(self) -> int:
        """For deadlines and ages; never jumps."""
        return time.monotonic_ns() // 1_000_000

    def now_utc(self) -> datetime:
        """The wall clock, right or wrong."""
        return datetime.now(UTC)  # noqa: TID251 - this is the clock

    def wall_synced(self) -> bool:
        """Whether the wall clock is known to be right."""
        now_ms = self.monotonic_ms()
        if self._checked_ms is None or now_ms - self._checked_ms >= SYNC_CHECK_EVERY_MS:
            self._checked_ms = now_ms
            self._synced = self._ask()
        return self._synced

    async def sleep(self, delay_s: float) -> None:
        """Sleep on the monotonic clock."""
        await asyncio.sleep(delay_s)

    def _ask(self) -> bool:
        if self._source is ClockSource.HOST:
            return True
        if self._ask_kernel():
            self._write_note()
            return True
        return self._source is ClockSource.RTC and self._rtc_vouches()

    def _ask_kernel(self) -> bool:
        """An all-zero ``timex`` only reads; -1 means that it may not be asked here."""
        try:
            answer: int = self._libc.adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
        except AttributeError:
            return False
        return 0 <= answer < TIME_ERROR

    # --- the battery clock ----------------------------------------------------------------------

    def _wall_ms(self) -> int:
        return int(self.now_utc().timestamp() * 1000)

    def _write_note(self) -> None:
        """The kernel copies a clock that NTP keeps to the battery clock, every eleven minutes."""
        now_ms = self.monotonic_ms()
        due = self._noted_ms is None or now_ms - self._noted_ms >= NOTE_EVERY_MS
        if self._note is None or self._source is not ClockSource.RTC or not due:
            return
        self._noted_ms = now_ms
        with contextlib.suppress(OSError):  # then the battery clock is not believed
            staged = self._note.with_name(self._note.name + ".new")
            staged.write_text(f"{self._wall_ms()}\n", encoding="ascii")
            staged.replace(self._note)

    def _rtc_vouches(self) -> bool:
        """Set from a battery clock, still agreeing with it, and not long after NTP kept it right."""
        if self._note is None:
            return False
        try:
            set_from_it = (self._rtc / "hctosys").read_text(encoding="ascii").strip() == "1"
            rtc_s = int((self._rtc / "since_epoch").read_text(encoding="ascii"))
            right_ms = int(self._note.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return False
        wall_ms = self._wall_ms()
        agree = abs(rtc_s - wall_ms // 1000) <= RTC_APART_MAX_S
        return set_from_it and agree and right_ms <= wall_ms <= right_ms + RTC_HOLD_MS
