"""What the fleet's tests share: a clock to set, a reporter that writes a cabinet's outbox, a waiter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from msgspec import Struct

from fleet.core.ingest import Arrival, open_payload
from protocols.messages import (
    AlarmBody,
    Authority,
    BatteryBody,
    Door,
    Event,
    InventoryBody,
    InventorySlot,
    Kind,
    Presence,
    SlotState,
    SlotTelemetry,
    Step,
    StepBody,
    Telemetry,
    encode,
    raw,
)

T0_MS = 1_760_000_000_000
POLL_S = 0.005


class ManualClock:
    """A clock that stands until it is moved; sleeping does not wait."""

    def __init__(self, wall_ms: int = T0_MS) -> None:
        self.mono = 0
        self.wall = wall_ms

    def monotonic_ms(self) -> int:
        return self.mono

    def wall_ms(self) -> int:
        return self.wall

    def now_utc(self) -> datetime:
        return datetime.fromtimestamp(self.wall / 1000, UTC)

    async def sleep(self, delay_s: float) -> None:  # noqa: ARG002 - the port's name
        await asyncio.sleep(0)

    def move(self, duration_ms: int) -> None:
        self.mono += duration_ms
        self.wall += duration_ms


@dataclass(slots=True)
class Reporter:
    """Writes events as one cabinet would, with its own sequence."""

    cabinet: str
    epoch: int = 1
    seq: int = 0
    wall_ms: int = T0_MS
    synced: bool = True
    sent: list[Event] = field(default_factory=list)

    def event(self, type_: str, body: Struct) -> Event:
        self.seq += 1
        self.wall_ms += 1_000
        event = Event(
            epoch=self.epoch,
            seq=self.seq,
            boot_id="boot-1",
            mono_ms=self.seq,
            wall_ms=self.wall_ms,
            wall_synced=self.synced,
            type=type_,
            body=raw(body),
        )
        self.sent.append(event)
        return event

    def step(
        self,
        swap: str,
        step: Step,
        *,
        rider: str = "R1",
        kind: Kind = Kind.SWAP,
        slot_in: int | None = None,
        slot_out: int | None = None,
        reason: str | None = None,
        authority: Authority = "fleet",
    ) -> Event:
        body = StepBody(
            swap_id=swap,
            kind=kind,
            step=step,
            rider_id=rider,
            slot_in=slot_in,
            slot_out=slot_out,
            reason=reason,
            authority=authority,
        )
        return self.event("swap.step", body)

    def battery(
        self,
        way: str,
        serial: str,
        slot: int,
        *,
        swap: str | None = None,
        rider: str | None = None,
        cause: str = "swap",
        **told: object,
    ) -> Event:
        body = BatteryBody(
            serial=serial,
            slot=slot,
            swap_id=swap,
            rider_id=rider,
            cause=cause,  # type: ignore[arg-type]
            **told,  # type: ignore[arg-type]
        )
        return self.event(f"battery.{way}", body)

    def inventory(self, slots: dict[int, str | None], absent: tuple[int, ...] = ()) -> Event:
        rows = [
            InventorySlot(
                slot=slot,
                door=Door.CLOSED,
                presence=Presence.ABSENT if slot in absent else Presence.PRESENT,
                serial=slots.get(slot),
            )
            for slot in sorted({*slots, *absent})
        ]
        return self.event("inventory", InventoryBody(slots=tuple(rows)))

    def alarm(self, code: str = "smoke") -> Event:
        return self.event("alarm", AlarmBody(code=code, active=True))

    def arrival(self, event: Event) -> Arrival:
        return open_payload(self.cabinet, encode(event))

    def swap_events(
        self,
        swap: str,
        back: str,
        out: str,
        *,
        rider: str = "R1",
        slot_in: int = 1,
        slot_out: int = 2,
        authority: Authority = "fleet",
    ) -> list[Event]:
        """A whole swap, as reported."""

        def step(step: Step) -> Event:
            return self.step(
                swap, step, rider=rider, slot_in=slot_in, slot_out=slot_out, authority=authority
            )

        return [
            step(Step.RESERVED),
            step(Step.OPENING_RETURN),
            step(Step.VERIFYING),
            self.battery("in", back, slot_in, swap=swap, rider=rider),
            step(Step.OPENING_PICKUP),
            self.battery("out", out, slot_out, swap=swap, rider=rider),
            step(Step.COMPLETED),
        ]


def telemetry(ready: int = 3, empty: int = 3, **more: object) -> Telemetry:
    """A cabinet with so many full and empty slots."""
    states = [SlotState.READY] * ready + [SlotState.EMPTY] * empty
    slots = tuple(
        SlotTelemetry(
            slot=number,
            state=state,
            door=Door.CLOSED,
            presence=Presence.ABSENT if state is SlotState.EMPTY else Presence.PRESENT,
        )
        for number, state in enumerate(states, start=1)
    )
    return Telemetry(wall_ms=T0_MS, boot_id="boot-1", mono_ms=1, slots=slots, **more)  # type: ignore[arg-type]


async def until(condition: Callable[[], object], what: str, deadline_s: float = 60.0) -> None:
    """Wait for a condition; fail naming it."""
    try:
        async with asyncio.timeout(deadline_s):
            while not condition():
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise AssertionError(f"not within {deadline_s} s: {what}") from None
