"""The rider in front of the cabinet: questions to the engine, answers back, and the scanner's loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from cabinet.core.engine_model import (
    EngineConfig,
    OfflineAnswer,
    OfflineCode,
    OfflineTicket,
    Outcome,
    Wish,
)
from cabinet.core.offline import KEYPAD
from cabinet.core.prompts import of_swap
from cabinet.core.swap_model import (
    AwaitPickup,
    OpeningPickup,
    PickupHeld,
    Verifying,
    is_active,
)
from cabinet.kiosk import COLUMNS, KioskPrompt, KioskScan, KioskSlot, KioskSocket, KioskView
from cabinet.ports import Clock, Scanner
from cabinet.runtime.pump import Pump
from protocols.messages import Door, Kind, SlotState, Telemetry

log = logging.getLogger(__name__)

#: The engine answers within milliseconds unless nothing can be written.
ANSWER_WITHIN_S: Final = 5.0
#: Between two questions: fast enough for people, slow for whoever tries them all.
ASK_GAP_MS: Final = 300
#: How long the end of a transaction stays on the page.
END_SHOWN_MS: Final = 20_000
#: How long a wish waits for its ticket at the scanner.
WISH_MS: Final = 30_000
SCAN_SHOWN_MS: Final = 10_000


class KioskDesk:
    """Implements ``cabinet.kiosk.Kiosk``; ``run`` it in a task group."""

    def __init__(
        self,
        *,
        cabinet: str,
        name: str,
        columns: int,
        codes: bool,
        tickets: bool,
        running: Callable[[], EngineConfig],
        pump: Pump,
        clock: Clock,
        network: Callable[[], bool],
        scanner: Scanner | None = None,
    ) -> None:
        self._cabinet, self._name = cabinet, name
        self._columns = columns
        self._codes, self._tickets = codes, tickets
        self._running = running
        self._pump = pump
        self._clock = clock
        self._network = network
        self._scanner = scanner
        self._asking = asyncio.Lock()
        self._asked = 0
        self._asked_ms: int | None = None
        self._waiting: dict[str, asyncio.Future[OfflineAnswer]] = {}
        self._was_active = False
        self._ended_ms: int | None = None
        self._wish: tuple[Wish, int] | None = None
        self._scan: tuple[KioskScan, int] | None = None
        pump.listen(self._on_outcome)

    # --- asking ---------------------------------------------------------------------------------

    async def code(self, number: str, code: str, kind: Kind, wish: Wish) -> OfflineAnswer | None:
        """A number and a code; None when the cabinet cannot write anything down now."""
        return await self._ask(
            lambda ref, until_ms: OfflineCode(ref, number, code, kind, wish, until_ms)
        )

    async def ticket(self, text: str, wish: Wish) -> OfflineAnswer | None:
        """A ticket; None as for ``code``."""
        return await self._ask(lambda ref, until_ms: OfflineTicket(ref, text, wish, until_ms))

    async def _ask(
        self, question: Callable[[str, int], OfflineCode | OfflineTicket]
    ) -> OfflineAnswer | None:
        async with self._asking:
            now_ms = self._clock.monotonic_ms()
            if self._asked_ms is not None and now_ms - self._asked_ms < ASK_GAP_MS:
                await self._clock.sleep((ASK_GAP_MS - (now_ms - self._asked_ms)) / 1000)
            self._asked += 1
            until_ms = self._clock.monotonic_ms() + int(ANSWER_WITHIN_S * 1000)
            event = question(f"kiosk-{self._asked}", until_ms)
            work = asyncio.ensure_future(self._put(event))
            late = asyncio.ensure_future(self._clock.sleep(ANSWER_WITHIN_S))
            try:
                await asyncio.wait({work, late}, return_when=asyncio.FIRST_COMPLETED)
                return work.result() if work.done() else None
            finally:
                work.cancel()
                late.cancel()
                self._asked_ms = self._clock.monotonic_ms()

    async def _put(self, event: OfflineCode | OfflineTicket) -> OfflineAnswer:
        answer: asyncio.Future[OfflineAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[event.ref] = answer
        try:
            await self._pump.submit(event)
            return await answer
        finally:
            del self._waiting[event.ref]

    def _on_outcome(self, outcome: Outcome) -> None:
        active = is_active(outcome.state.durable.swap)
        if self._was_active and not active:
            self._ended_ms = self._clock.monotonic_ms()
        self._was_active = active
        for answer in outcome.answers:
            waiting = self._waiting.get(answer.ref)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)

    # --- the scanner ----------------------------------------------------------------------------

    def next_scan(self, wish: Wish) -> None:
        """What the next ticket at the scanner is to mean, for a short while."""
        self._wish = (wish, self._clock.monotonic_ms() + WISH_MS)

    async def run(self) -> None:
        """Take what the scanner tells until cancelled; without one there is nothing to do."""
        if self._scanner is not None:
            await self._take(self._scanner)

    async def _take(self, scanner: Scanner) -> None:
        number = 0
        while True:
            text = await scanner.next()
            wish, until_ms = self._wish or ("go", 0)
            self._wish = None
            if self._clock.monotonic_ms() > until_ms:
                wish = "go"
            answer = await self.ticket(text, wish)
            number += 1
            reason = "store" if answer is None else answer.reason
            self._scan = (KioskScan(number=number, reason=reason), self._clock.monotonic_ms())

    # --- showing --------------------------------------------------------------------------------

    async def pause(self, delay_s: float) -> None:
        """Sleep between two looks."""
        await self._clock.sleep(delay_s)

    def view(self) -> KioskView:
        """The cabinet at this instant."""
        state, now = self._pump.state, self._pump.now()
        told = self._pump.telemetry()
        swap = state.durable.swap
        memory = state.durable.offline
        running = self._running()
        lock_ms = running.offline.lock_ms
        wait_ms = state.waits.left_ms(KEYPAD, now.mono_ms, lock_ms) if memory.locked else 0
        free = [slot for slot in told.slots if slot.door is Door.CLOSED]
        scan = self._scan
        shown = scan is not None and now.mono_ms - scan[1] < SCAN_SHOWN_MS
        return KioskView(
            cabinet=self._cabinet,
            name=self._name,
            boot_id=state.boot_id,
            network=self._network(),
            codes=self._codes and now.wall_synced,
            tickets=self._tickets and now.wall_synced,
            scanner=self._scanner is not None and self._scanner.connected,
            columns=self._columns or _columns(len(told.slots)),
            full=sum(slot.state is SlotState.READY for slot in free),
            empty=sum(slot.state is SlotState.EMPTY for slot in free),
            active=is_active(swap),
            own_back=isinstance(swap, Verifying | OpeningPickup | AwaitPickup | PickupHeld),
            keypad_wait_s=-(-wait_ms // 1000),
            language=running.kiosk_language,
            note={"zh": running.kiosk_note_zh, "en": running.kiosk_note_en},
            prompt=self._prompt(told, now.mono_ms),
            slots=tuple(
                KioskSlot(slot=s.slot, state=s.state, door=s.door, soc_pct=s.soc_pct)
                for s in told.slots
            ),
            scan=scan[0] if scan is not None and shown else None,
            sockets=tuple(KioskSocket(socket=s.socket, state=s.state) for s in told.sockets),
        )

    def _prompt(self, told: Telemetry, now_ms: int) -> KioskPrompt:
        state = self._pump.state
        swap = state.durable.swap
        if self._pump.store_error is not None:
            return KioskPrompt(key="store", tone="bad")
        if state.verdict.doors_locked:
            return KioskPrompt(key="keep-away", tone="bad")
        if not state.ready:
            return KioskPrompt(key="starting", tone="wait")
        fresh = self._ended_ms is not None and now_ms - self._ended_ms < END_SHOWN_MS
        prompt = of_swap(swap) if is_active(swap) or fresh else None
        if prompt is not None:
            return KioskPrompt(
                key=prompt.key, tone=prompt.tone, slot=prompt.slot, reason=prompt.reason
            )
        states = [slot.state for slot in told.slots]
        if SlotState.READY not in states:
            return KioskPrompt(key="no-full-battery", tone="bad")
        if SlotState.EMPTY not in states:
            return KioskPrompt(key="no-empty-slot", tone="bad")
        if self._network():
            return KioskPrompt(key="welcome", tone="rest")
        trusted = self._pump.now().wall_synced
        return KioskPrompt(key="welcome-offline" if trusted else "clock-untrusted", tone="rest")


def _columns(slots: int) -> int:
    return next((count for top, count in COLUMNS if slots <= top), COLUMNS[-1][1])
