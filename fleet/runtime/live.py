"""What cabinets last told, in memory: status by session, telemetry by arrival.

The store holds a copy, written once a second, so that a restart shows something at once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fleet.core.console import Brief, brief_of
from fleet.core.records import CabinetRecord, LatestRow
from fleet.core.swaps import TELEMETRY_AGE_MAX_MS, CabinetFacts, facts_of, is_free_full
from fleet.core.views import CabinetView
from fleet.errors import NotFoundError
from fleet.ports import Clock
from protocols.errors import MessageError
from protocols.messages import SlotState, Status, Telemetry, decode, encode
from protocols.settings import Value

log = logging.getLogger(__name__)


class CabinetRows(Protocol):
    """What the live picture needs of the store."""

    async def all(self) -> list[CabinetRecord]:
        """Every registered cabinet."""
        ...

    async def latest(self) -> list[LatestRow]:
        """The last that each told."""
        ...

    async def save_latest(self, rows: list[LatestRow]) -> None:
        """Keep it."""
        ...


@dataclass(slots=True)
class _Live:
    record: CabinetRecord
    status: Status | None = None
    telemetry: Telemetry | None = None
    received_ms: int | None = None  # wall clock
    heard_ms: int | None = None  # monotonic; None: not since the start
    status_dirty: bool = False
    telemetry_dirty: bool = False


@dataclass(frozen=True, slots=True)
class Last:
    """What a cabinet last told, and how long ago."""

    online: bool
    age_ms: int | None
    telemetry: Telemetry | None
    settings: Mapping[str, Value] = field(default_factory=dict)  # as they were last in force


class LivePicture:
    """All cabinets as they stand. ``take_*`` are called from the broker's callback.

    The wall clock of ``clock`` must not be set while it runs: ages go by it.
    """

    def __init__(self, rows: CabinetRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock
        self._live: dict[str, _Live] = {}
        self._dirty: set[str] = set()
        self.revision = 0  # rises with every look at the register

    async def load(self) -> None:
        """Take in the registered cabinets and what the store remembers of them."""
        await self.refresh()
        for row in await self._rows.latest():
            live = self._live.get(row.cabinet)
            if live is None:
                continue
            try:
                if row.telemetry is not None:
                    live.telemetry = decode(row.telemetry.encode(), Telemetry)
                    # Of the future: by a clock that was wrong, and then nobody knows how old it is.
                    heard = (row.received_ms or 0) <= self._clock.wall_ms()
                    live.received_ms = row.received_ms if heard else None
                if row.status is not None:
                    # Whether it is still there only the broker can tell.
                    live.status = _offline(decode(row.status.encode(), Status))
            except MessageError as error:
                log.warning("cabinet %s: stored state is unreadable: %s", row.cabinet, error)

    async def refresh(self) -> list[str]:
        """Take in cabinets that were registered meanwhile; their ids."""
        fresh: list[str] = []
        self.revision += 1
        for record in await self._rows.all():
            live = self._live.get(record.id)
            if live is None:
                self._live[record.id] = _Live(record)
                fresh.append(record.id)
            else:
                live.record = record
        return fresh

    def known(self, cabinet: str) -> bool:
        """True for a registered cabinet."""
        return cabinet in self._live

    def ids(self) -> list[str]:
        """Every registered cabinet, by id."""
        return sorted(self._live)

    def places(self) -> dict[str, tuple[float, float]]:
        """Latitude and longitude of the cabinets of which both are known."""
        return {
            cabinet: (live.record.lat, live.record.lon)
            for cabinet, live in self._live.items()
            if live.record.lat is not None and live.record.lon is not None
        }

    def take_status(self, cabinet: str, status: Status) -> bool:
        """Take up a status; False when a newer session has spoken.

        After a reboot with a clock that was set back the session is lower and the boot another;
        only a will, which never says online, can come that late from an older boot.
        """
        live = self._live.get(cabinet)
        if live is None:
            return False
        if (known := live.status) is not None and status.session < known.session:
            reborn = status.online and status.boot_id != known.boot_id
            if not reborn:
                return False
        live.status = status
        live.status_dirty = True
        self._dirty.add(cabinet)
        return True

    def take_telemetry(self, cabinet: str, telemetry: Telemetry) -> bool:
        """Take up telemetry; False from a stranger."""
        live = self._live.get(cabinet)
        if live is None:
            return False
        live.telemetry = telemetry
        live.received_ms, live.heard_ms = self._clock.wall_ms(), self._clock.monotonic_ms()
        live.telemetry_dirty = True
        self._dirty.add(cabinet)
        return True

    def drain(self) -> list[LatestRow]:
        """What is to be stored; it counts as stored from now on."""
        dirty, self._dirty = self._dirty, set()
        rows: list[LatestRow] = []
        for cabinet in sorted(dirty):
            live = self._live[cabinet]
            telemetry = live.telemetry if live.telemetry_dirty else None
            status = live.status if live.status_dirty else None
            live.telemetry_dirty = live.status_dirty = False
            rows.append(
                LatestRow(
                    cabinet,
                    telemetry=None if telemetry is None else encode(telemetry).decode(),
                    received_ms=live.received_ms,
                    status=None if status is None else encode(status).decode(),
                    session=0 if status is None else status.session,
                )
            )
        return rows

    def facts(self, cabinet: str) -> CabinetFacts:
        """What decides whether a swap may start; raise NotFoundError."""
        live = self._live.get(cabinet)
        if live is None:
            raise NotFoundError(f"no cabinet {cabinet}")
        return facts_of(live.status, live.telemetry, self._age_ms(live))

    def last(self, cabinet: str) -> Last | None:
        """The raw telemetry of one cabinet; None of one that is not registered."""
        live = self._live.get(cabinet)
        if live is None:
            return None
        online = live.status is not None and live.status.online
        settings = {} if live.status is None else live.status.settings
        return Last(online, self._age_ms(live), live.telemetry, settings)

    def status(self, cabinet: str) -> Status | None:
        """The last status of one cabinet; None of one that never spoke."""
        live = self._live.get(cabinet)
        return None if live is None else live.status

    def view(self, cabinet: str) -> CabinetView:
        """One cabinet as it stands; raise NotFoundError."""
        live = self._live.get(cabinet)
        if live is None:
            raise NotFoundError(f"no cabinet {cabinet}")
        record, status, seen = live.record, live.status, live.telemetry
        slots = () if seen is None else seen.slots
        return CabinetView(
            id=record.id,
            name=record.name,
            slots_total=record.slots,
            online=status is not None and status.online,
            age_ms=self._age_ms(live),
            slots=slots,
            full=sum(map(is_free_full, slots)),
            empty=sum(slot.state is SlotState.EMPTY for slot in slots),
            power_w=None if seen is None else seen.power_w,
            power_limit_w=None if seen is None else seen.power_limit_w,
            temp_c=None if seen is None else seen.temp_c,
            alarms=() if seen is None else seen.alarms,
            active_swap=None if seen is None else seen.active_swap,
            software="" if status is None else status.software,
            lat=record.lat,
            lon=record.lon,
            sockets=() if seen is None else seen.sockets,
        )

    def brief(self, cabinet: str, station: tuple[str, str] = ("", "")) -> Brief:
        """One cabinet in a line; raise NotFoundError."""
        live = self._live.get(cabinet)
        if live is None:
            raise NotFoundError(f"no cabinet {cabinet}")
        return brief_of(live.record, live.status, live.telemetry, live.received_ms, station)

    def alarm_counts(self) -> Counter[str]:
        """By alarm code, the cabinets that last told of it; silence does not end an alarm."""
        counts: Counter[str] = Counter()
        for live in self._live.values():
            if live.telemetry is not None and live.telemetry.alarms:
                counts.update({_alarm_kind(alarm) for alarm in live.telemetry.alarms})
        return counts

    def online_count(self) -> int:
        """Cabinets that are connected and have told something lately."""
        return sum(
            live.status is not None
            and live.status.online
            and (age_ms := self._age_ms(live)) is not None
            and age_ms <= TELEMETRY_AGE_MAX_MS
            for live in self._live.values()
        )

    def _age_ms(self, live: _Live) -> int | None:
        """By the monotonic clock: one that is put back makes nobody's old word a new one."""
        if live.heard_ms is not None:
            return self._clock.monotonic_ms() - live.heard_ms
        if live.received_ms is None:
            return None
        age_ms = self._clock.wall_ms() - live.received_ms
        return age_ms if age_ms >= 0 else None  # of a time to come: nobody knows


def _offline(status: Status) -> Status:
    return Status(
        online=False,
        session=0,
        boot_id=status.boot_id,
        epoch=status.epoch,
        software=status.software,
        slots=status.slots,
        settings=status.settings,
    )


def _alarm_kind(alarm: str) -> str:
    """An alarm of telemetry without its slot, and without the name of a device that is silent."""
    code = alarm.partition(":")[0]
    return "device-offline" if code.startswith("offline-") else code
