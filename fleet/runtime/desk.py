"""``fleet.ports_charts``: the operator's lists, alarms and grid, over the store and the live picture."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from msgspec.structs import replace

from fleet.core.account_views import PartnerView
from fleet.core.balance.grid import parse_grid
from fleet.core.balance.versions import GridVersion, NewVersion, check_reason
from fleet.core.console import PAGE_ROWS, Row, one_page
from fleet.core.desk import (
    OFFLINE,
    AlarmFilter,
    AlarmNote,
    AlarmPage,
    AlarmRaised,
    PackFilter,
    PackRow,
    Passport,
    RiderFilter,
    RiderRow,
    StandingAlarm,
    SwapEvent,
    SwapFilter,
    SwapRow,
    by_gravity,
    charged_times,
    is_traced,
    lent_times,
    raised_at,
    standing_alarms,
)
from fleet.core.ids import is_slot
from fleet.core.plans import Plan
from fleet.errors import NotFoundError, RefusedError
from fleet.ports import Cabinets, Clock
from fleet.runtime.desk_rows import (
    AlarmRows,
    DeskRows,
    LifeRows,
    PartnerRows,
    PlanRows,
    RiderJudge,
    VersionRows,
)
from protocols.messages import AlarmBody

#: Of a pack's life; who lives longer is read in the ledger itself.
LIFE_MAX: Final = 5_000
#: For how long a note counts on an alarm that no event tells of, and by how much two looks may differ.
UNNAMED_MS: Final = 86_400_000
SLACK_MS: Final = 2_000
#: How many of a cabinet's alarms are read to see since when one stands; then, for one that flaps.
EVENTS_FIRST: Final = 12
EVENTS_MAX: Final = 200
_NoteKey: TypeAlias = tuple[str, str, int, int, int]
_Events: TypeAlias = Mapping[str, Sequence[tuple[AlarmRaised, AlarmBody]]]


class DeskService:
    """Implements ``fleet.ports_charts.Desk``."""

    def __init__(
        self,
        *,
        rows: DeskRows,
        lives: LifeRows,
        riders: RiderJudge,
        partners: PartnerRows,
        plans: PlanRows,
        cabinets: Cabinets,
        clock: Clock,
    ) -> None:
        self._rows = rows
        self._lives = lives
        self._riders = riders
        self._partners = partners
        self._plans = plans
        self._cabinets = cabinets
        self._clock = clock

    async def packs(self, wanted: PackFilter) -> list[PackRow]:
        """Packs by serial."""
        return await self._rows.packs(wanted)

    async def passport(self, serial: str) -> Passport:
        """One pack and its life, with what its slot last told of it; raise NotFoundError."""
        pack = await self._rows.pack(serial)
        _, life = await self._lives.life(serial)
        slot, cabinet = None, None
        if is_slot(pack.holder):
            cabinet_id, _, number = pack.holder.removeprefix("slot:").rpartition(":")
            try:
                cabinet = await self._cabinets.get(cabinet_id)
            except NotFoundError:
                cabinet = None  # a cabinet that was taken out of the register
            seen = () if cabinet is None else cabinet.slots
            slot = next(
                (each for each in seen if str(each.slot) == number and each.serial == serial), None
            )
        return Passport(
            pack=pack,
            life=tuple(life[-LIFE_MAX:]),
            lent=lent_times(life),
            charged=charged_times(life),
            flags=tuple(sorted({flag for each in life for flag in each.flags})),
            slot=slot,
            cabinet_id=None if cabinet is None else cabinet.id,
            told_age_ms=None if cabinet is None else cabinet.age_ms,
            told=tuple(await self._rows.told(serial)),
        )

    async def swaps(self, wanted: SwapFilter) -> list[SwapRow]:
        """Swaps, the newest first."""
        return await self._rows.swaps(wanted)

    async def swap_events(self, swap: SwapRow) -> list[SwapEvent]:
        """What was told of a swap."""
        return await self._rows.swap_events(swap)

    async def riders(self, wanted: RiderFilter) -> list[RiderRow]:
        """Riders by id."""
        return await self._rows.riders(wanted)

    async def judge_rider(self, rider_id: str, reason: str, actor: str, *, denied: bool) -> None:
        """Block a rider everywhere, or end it; raise InvalidError, NotFoundError."""
        check_reason(reason)
        change = self._riders.deny if denied else self._riders.allow
        await change(rider_id, reason, actor, self._clock.wall_ms())

    async def partners(self) -> list[PartnerView]:
        """Every partner with what its riders used today."""
        return await self._partners.all(self._clock.wall_ms())

    async def judge_partner(self, partner_id: str, reason: str, actor: str, *, off: bool) -> None:
        """A partner's riders take no more packs, or again; raise InvalidError, NotFoundError."""
        check_reason(reason)
        now_ms = self._clock.wall_ms()
        await self._partners.judge(partner_id, reason, actor, now_ms, off=off)

    async def plans(self) -> list[tuple[Plan, int]]:
        """Every plan, and how many riders have it until further notice."""
        counts = await self._rows.subscribers()
        return [(plan, counts.get(plan.id, 0)) for plan in await self._plans.all()]


class AlarmService:
    """Implements ``fleet.ports_charts.AlarmDesk``.

    What stands is in memory; the store is asked who has taken note of what, since that stands after
    the rest of its gravity, and for the rest only of the alarms that are shown.
    """

    def __init__(self, rows: AlarmRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    async def page(self, rows: Iterable[Row], wanted: AlarmFilter) -> AlarmPage:
        """One page of the alarms of these cabinets, the gravest first."""
        standing = standing_alarms(rows)
        found = await self._ordered(standing, wanted)
        shown, page, pages = one_page(found, wanted.page)
        return AlarmPage(
            rows=tuple(by_gravity(await self._filled(shown))),
            total=len(found),
            page=page,
            pages=pages,
            codes=tuple(sorted({each.code for each in standing})),
        )

    async def every(self, rows: Iterable[Row], wanted: AlarmFilter) -> AsyncIterator[StandingAlarm]:
        """All of them, in the same order."""
        found = await self._ordered(standing_alarms(rows), wanted)
        for start in range(0, len(found), PAGE_ROWS):
            for each in by_gravity(await self._filled(found[start : start + PAGE_ROWS])):
                yield each

    async def note(
        self, cabinet: Row, code: str, slot: int | None, *, reason: str, actor: str
    ) -> None:
        """Take note of one.

        Raises:
            InvalidError: no reason that says anything.
            NotFoundError: it does not stand.
            RefusedError: ``alarm-noted``: somebody has already.
        """
        check_reason(reason)
        alarms = await self._filled(standing_alarms([cabinet]))
        alarm = next((each for each in alarms if (each.code, each.slot) == (code, slot)), None)
        if alarm is None:
            raise NotFoundError(f"{cabinet.brief.id}: the alarm {code} does not stand any more")
        if alarm.note is not None:
            raise RefusedError(f"{alarm.note.actor} has taken note already", code="alarm-noted")
        now_ms = self._clock.wall_ms()
        noted = AlarmNote(
            cabinet=cabinet.brief.id,
            code=code,
            slot=slot or 0,
            epoch=alarm.raised.epoch if alarm.raised else 0,
            seq=alarm.raised.seq if alarm.raised else now_ms,
            at_ms=now_ms,
            actor=actor,
            reason=reason,
        )
        if not await self._rows.note(noted):
            raise RefusedError("somebody was quicker to take note of it", code="alarm-noted")

    async def _ordered(
        self, standing: list[StandingAlarm], wanted: AlarmFilter
    ) -> list[StandingAlarm]:
        """Those asked for, in order."""
        found = [each for each in standing if wanted.code in ("", each.code)]
        notes: dict[tuple[str, str, int], AlarmNote] = {}
        for note in await self._rows.noted():
            notes.setdefault((note.cabinet, note.code, note.slot), note)
        if notes:
            found = [
                replace(each, note=notes.get((each.cabinet_id, each.code, each.slot or 0)))
                for each in found
            ]
            # No event names these: whether the note is of this time is seen by the time itself.
            unnamed = [each for each in found if each.note is not None and not each.note.epoch]
            full = iter(await self._filled(unnamed))
            found = [
                next(full) if each.note is not None and not each.note.epoch else each
                for each in found
            ]
        if wanted.noted is not None:
            found = [each for each in found if (each.note is not None) is wanted.noted]
        return by_gravity(found)

    async def _filled(self, alarms: Sequence[StandingAlarm]) -> list[StandingAlarm]:
        """With since when each stands, and who has taken note of that."""
        if not alarms:
            return []
        events = await self._traced(alarms)
        notes: dict[_NoteKey, AlarmNote] = {}
        known = await self._rows.notes({each.cabinet_id for each in alarms})
        for each in sorted(known, key=lambda note: note.at_ms):
            seq = each.seq if each.epoch else 0
            notes[each.cabinet, each.code, each.slot, each.epoch, seq] = each
        now_ms = self._clock.wall_ms()
        return [_filled(each, events.get(each.cabinet_id, []), notes, now_ms) for each in alarms]

    async def _traced(self, alarms: Sequence[StandingAlarm]) -> _Events:
        """The events of these alarms, as far back as is needed: most stand since a few of them."""
        telling = [each for each in alarms if each.code != OFFLINE]
        events = await self._rows.events({each.cabinet_id for each in telling}, EVENTS_FIRST)
        deeper = {
            each.cabinet_id
            for each in telling
            if not is_traced(events[each.cabinet_id], each.code, each.slot, EVENTS_FIRST)
        }
        return {**events, **await self._rows.events(deeper, EVENTS_MAX)} if deeper else events


def _filled(
    alarm: StandingAlarm,
    events: Sequence[tuple[AlarmRaised, AlarmBody]],
    notes: Mapping[_NoteKey, AlarmNote],
    now_ms: int,
) -> StandingAlarm:
    """With since when it stands, and who has taken note of that."""
    raised = None
    since_ms = None
    if alarm.code == OFFLINE:
        # Each silence is another one: it is named by when the cabinet was last heard.
        if alarm.told_age_ms is not None:
            since_ms = now_ms - alarm.told_age_ms
    else:
        raised = raised_at(events, alarm.code, alarm.slot)
        since_ms = raised.at_ms if raised else None
    key = (alarm.cabinet_id, alarm.code, alarm.slot or 0)
    note = notes.get((*key, raised.epoch if raised else 0, raised.seq if raised else 0))
    if note is not None and raised is None:
        # No event names it: the note is of this time when it is younger than the trouble.
        oldest_ms = now_ms - UNNAMED_MS if since_ms is None else since_ms - SLACK_MS
        note = note if note.at_ms >= oldest_ms else None
    severity = raised.severity if raised else alarm.severity
    return replace(alarm, raised=raised, since_ms=since_ms, note=note, severity=severity)


class GridService:
    """Implements ``fleet.ports_charts.GridDesk``. ``day`` is the tariff's clock."""

    def __init__(self, rows: VersionRows, day: Clock, real: Clock) -> None:
        self._rows = rows
        self._day = day
        self._real = real

    def now_ms(self) -> int:
        """By the tariff's clock."""
        return self._day.wall_ms()

    async def history(self) -> tuple[int, list[GridVersion]]:
        """The revision and the versions, the oldest first."""
        return await self._rows.history()

    async def text(self, version: int) -> str:
        """One version as a file; raise NotFoundError."""
        return await self._rows.text(version)

    async def propose(
        self,
        text: str,
        *,
        valid_from_ms: int | None,
        reason: str,
        actor: str,
        source: str,
        revision: int | None,
    ) -> int:
        """A new version, from now on or from then; raise InvalidError or RefusedError."""
        await asyncio.to_thread(parse_grid, text)
        now_ms = self._day.wall_ms()
        return await self._rows.add(
            NewVersion(
                text=text,
                valid_from_ms=now_ms if valid_from_ms is None else valid_from_ms,
                now_ms=now_ms,
                created_ms=self._real.wall_ms(),
                actor=actor,
                reason=reason,
                source=source,
                revision=revision,
            )
        )

    async def withdraw(
        self, version: int, *, reason: str, actor: str, revision: int | None
    ) -> None:
        """Take back the last version before it begins; raise InvalidError, RefusedError."""
        check_reason(reason)
        await self._rows.withdraw(
            version,
            actor=actor,
            reason=reason,
            day_ms=self._day.wall_ms(),
            now_ms=self._real.wall_ms(),
            revision=revision,
        )
