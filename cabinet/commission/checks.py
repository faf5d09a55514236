"""The checks of a configured cabinet: each returns its findings and tells its progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from cabinet.commission.bench import Bench, Contacts
from cabinet.config_devices import Role
from cabinet.core.commission import walk as walking
from cabinet.core.commission.findings import (
    Cause,
    Check,
    Finding,
    Verdict,
    bad,
    good,
    skipped,
    warn,
)
from cabinet.core.commission.judge import (
    Level,
    PackKind,
    judge_bms,
    judge_charge,
    judge_charger,
    judge_climate,
    judge_contact,
    judge_meter,
    judge_unlock,
    repeated_serials,
)
from cabinet.core.commission.walk import subject
from cabinet.core.model import BmsReading, ChargerReading
from cabinet.errors import CabinetError, DeviceRefusedError

Tell = Callable[[str], None]

OPEN_WAIT_S: Final = 3.0
LOOK_S: Final = 0.1
CHARGER_BOOT_S: Final = 3.0
CHARGE_SAMPLE_S: Final = 1.0


async def doors(bench: Bench, slots: Sequence[int], tell: Tell, watch_s: float) -> list[Finding]:
    """Door switches: as they stand, or, with ``watch_s``, whether each tells both levels."""
    if watch_s <= 0:
        now = await bench.contacts()
        return [_standing(n, now[n]) for n in slots]
    history = await _watched(bench, slots, tell, watch_s)
    return [
        judge_contact(subject(n), levels)
        if levels
        else bad(Check.DOOR, subject(n), Cause.NO_ANSWER)
        for n, levels in history.items()
    ]


async def locks(bench: Bench, slots: Sequence[int], tell: Tell, *, yes: bool) -> list[Finding]:
    """One pulse per slot, judged by the door switches; without ``yes`` nothing is moved."""
    if not yes:
        return [skipped(Check.LOCK, subject(n), Cause.NEEDS_YES) for n in slots]
    refused = await bench.prepare(bench.slot(n).lock.board for n in slots)
    findings = []
    for number in slots:
        board = bench.slot(number).lock.board
        if board in refused:
            findings.append(bad(Check.LOCK, subject(number), Cause.REFUSED, detail=refused[board]))
            continue
        tell(f"slot {number}: opening")
        findings.append(await _one_lock(bench, number))
    return findings


async def batteries(bench: Bench, slots: Sequence[int], tell: Tell) -> list[Finding]:
    """Every slot's battery against its presence switch, and all serials against each other."""
    contacts = await bench.contacts()
    pack = PackKind(bench.config.pack.voltage_max_v)
    findings: list[Finding] = []
    readings: dict[str, BmsReading] = {}
    for number in slots:
        tell(f"slot {number}: asking the battery")
        reading = await bench.bms(number)
        if reading is not None:
            readings[subject(number)] = reading
        findings.append(
            judge_bms(subject(number), reading, present=contacts[number].present, pack=pack)
        )
    return [*findings, *repeated_serials(readings)]


async def chargers(
    bench: Bench, slots: Sequence[int], tell: Tell, *, yes: bool, charge_s: float
) -> list[Finding]:
    """Each charger; with ``yes`` its mains is held meanwhile, and with ``charge_s`` it charges."""
    if not yes:
        return [judge_charger(subject(n), await bench.charger(n), powered=False) for n in slots]
    refused = await bench.prepare(bench.slot(n).ac.board for n in slots)
    if refused:
        return [
            bad(Check.CHARGER, name, Cause.REFUSED, detail=why) for name, why in refused.items()
        ]
    findings = []
    tell(f"mains on for the chargers of slots {_listed(slots)}")
    async with bench.power(slots):
        await bench.clock.sleep(CHARGER_BOOT_S)
        for number in slots:
            found = judge_charger(subject(number), await bench.charger(number), powered=True)
            findings.append(found)
            if charge_s > 0 and found.verdict is Verdict.OK:
                findings.append(await trial_charge(bench, number, charge_s, tell))
    return findings


async def trial_charge(bench: Bench, slot: int, charge_s: float, tell: Tell) -> Finding:
    """Current must flow into a sound battery, and stop. Its mains must be held already."""
    battery = await bench.bms(slot)
    present = (await bench.contacts())[slot].present
    sound = judge_bms(
        subject(slot), battery, present=present, pack=PackKind(bench.config.pack.voltage_max_v)
    )
    if battery is None or sound.verdict is not Verdict.OK:
        cause = sound.cause or Cause.BMS_SILENT
        return skipped(Check.CHARGER, subject(slot), cause, trial_charge=False)
    tell(f"slot {slot}: charging for {charge_s:.0f} s")
    during: list[ChargerReading] = []
    try:
        await bench.order_charge(slot, on=True)
        for _ in range(max(1, round(charge_s / CHARGE_SAMPLE_S))):
            await bench.clock.sleep(CHARGE_SAMPLE_S)
            if (reading := await bench.charger(slot)) is not None:
                during.append(reading)
        seen = await bench.bms(slot)
    except CabinetError as error:
        return bad(Check.CHARGER, subject(slot), Cause.REFUSED, detail=str(error))
    finally:
        await _charge_off(bench, slot, tell)
    await bench.clock.sleep(CHARGE_SAMPLE_S)
    return judge_charge(
        subject(slot),
        during,
        await bench.charger(slot),
        soc_pct=battery.soc_pct,
        pack_current_a=None if seen is None else seen.current_a,
    )


async def meters(bench: Bench, tell: Tell) -> list[Finding]:
    """Meter and climate sensor."""
    findings = []
    for device in bench.of_role(Role.METER):
        tell(f"{device.name}: reading")
        findings.append(judge_meter(device.name, await bench.read(device)))
    for device in bench.of_role(Role.CLIMATE):
        tell(f"{device.name}: reading")
        findings.append(judge_climate(device.name, await bench.read(device)))
    return findings


async def _one_lock(bench: Bench, number: int) -> Finding:
    before = await bench.contacts()
    if before[number].closed is not True:
        cause = Cause.DOOR_OPEN if before[number].closed is False else Cause.NO_ANSWER
        return bad(Check.LOCK, subject(number), cause)
    try:
        sure = await bench.unlock(number)
    except DeviceRefusedError as error:
        return bad(Check.LOCK, subject(number), Cause.REFUSED, detail=error.why)
    end_ms = bench.clock.monotonic_ms() + round(OPEN_WAIT_S * 1_000)
    others: tuple[int, ...] = ()
    opened = False
    while not opened and bench.clock.monotonic_ms() < end_ms:
        await bench.clock.sleep(LOOK_S)
        now = await bench.contacts()
        opened = now[number].closed is False
        others = opened_elsewhere(number, before, now)
        if others:
            break
    return judge_unlock(
        subject(number), closed_before=True, opened=opened, sure=sure, others=others
    )


def opened_elsewhere(
    number: int, before: Mapping[int, Contacts], now: Mapping[int, Contacts]
) -> tuple[int, ...]:
    """Other doors that were shut before and are open now."""
    return tuple(
        other
        for other in now
        if other != number and before[other].closed is True and now[other].closed is False
    )


async def _charge_off(bench: Bench, slot: int, tell: Tell) -> None:
    """Whatever happened, off; its lease drops by itself should even that fail."""
    try:
        await bench.order_charge(slot, on=False)
    except CabinetError as error:
        tell(f"slot {slot}: the charger did not confirm that it is off: {error}")


async def _watched(
    bench: Bench, slots: Sequence[int], tell: Tell, watch_s: float
) -> dict[int, list[Level]]:
    """Levels over time; ends early once every door was opened and closed again."""
    history: dict[int, list[Level]] = {n: [] for n in slots}
    end_ms = bench.clock.monotonic_ms() + round(watch_s * 1_000)
    done: set[int] = set()
    asked = False
    while bench.clock.monotonic_ms() < end_ms and len(done) < len(history):
        now = await bench.contacts()
        at_ms = bench.clock.monotonic_ms()
        for number in slots:
            closed = now[number].closed
            if closed is None:
                continue
            seen = history[number]
            if not seen or seen[-1].on is not closed:
                seen.append(Level(at_ms, closed))
                if len(seen) > 1:  # the first is how it stood
                    tell(f"slot {number}: {'closed' if closed else 'open'}")
                if len(seen) > 2 and number not in done:
                    done.add(number)
        if not asked:  # only now, so that what a quick hand does is seen as a change
            tell(f"open and close every door by hand within {watch_s:.0f} s: {_listed(slots)}")
            asked = True
        await bench.clock.sleep(LOOK_S)
    return history


def _standing(number: int, contacts: Contacts) -> Finding:
    if contacts.closed is None:
        return bad(Check.DOOR, subject(number), Cause.NO_ANSWER)
    facts = {"closed": contacts.closed, "present": contacts.present}
    if not contacts.closed:
        return warn(Check.DOOR, subject(number), Cause.DOOR_OPEN, **facts)
    return good(Check.DOOR, subject(number), **facts)


def _listed(slots: Sequence[int]) -> str:
    return ", ".join(map(str, slots))


async def slot_walk(
    bench: Bench,
    slots: Sequence[int],
    limits: walking.Limits,
    prompt: Callable[[int, walking.Stage], None],
    tell: Tell,
) -> list[Finding]:
    """Guide a person through the slots, one after another; the sensors tell when to go on.

    Locks fire and, unless the limits say otherwise, the chargers' mains is held meanwhile.
    """
    boards = {c.board for n in slots for c in (bench.slot(n).lock, bench.slot(n).ac)}
    refused = await bench.prepare(boards)
    if refused:
        return [bad(Check.WALK, name, Cause.REFUSED, detail=why) for name, why in refused.items()]
    findings: list[Finding] = []
    for number in slots:
        walker = _Walker(bench, number, limits, prompt, tell)
        findings += await walker.run()
    return findings


class _Walker:
    """One slot's walk: feeds the pure core with what the wires show and does what it orders."""

    def __init__(
        self,
        bench: Bench,
        number: int,
        limits: walking.Limits,
        prompt: Callable[[int, walking.Stage], None],
        tell: Tell,
    ) -> None:
        self._bench, self._number, self._limits = bench, number, limits
        self._prompt, self._tell = prompt, tell
        self._before: Mapping[int, Contacts] = {}
        self._charged: Finding | None = None

    async def run(self) -> tuple[Finding, ...]:
        """To the end of the walk."""
        clock = self._bench.clock
        now = await self._bench.contacts()
        walk = walking.begin(
            self._number, _seen(now[self._number]), clock.monotonic_ms(), self._limits
        )
        self._prompt(self._number, walk.stage)
        while not walk.is_over:
            seen = await self._look(walk.stage)
            following, order = walking.step(walk, seen, clock.monotonic_ms(), self._limits)
            if following.stage is not walk.stage:
                self._prompt(self._number, following.stage)
            walk = following
            if order is walking.Order.UNLOCK:
                await self._unlock()
            elif order is walking.Order.CHARGE:
                self._charged = await self._charge()
            elif not walk.is_over:
                await clock.sleep(LOOK_S)
        return walk.findings

    async def _unlock(self) -> None:
        self._before = await self._bench.contacts()
        try:
            await self._bench.unlock(self._number)
        except DeviceRefusedError as error:
            self._tell(f"slot {self._number}: {error}")

    async def _charge(self) -> Finding:
        charge_s = self._limits.charge_ms / 1_000
        try:
            async with self._bench.power([self._number]):
                await self._bench.clock.sleep(CHARGER_BOOT_S)
                told = await trial_charge(self._bench, self._number, charge_s, self._tell)
        except CabinetError as error:
            told = bad(Check.WALK, subject(self._number), Cause.REFUSED, detail=str(error))
        facts = {"stage": walking.Stage.CHARGE.value, **told.facts}
        return Finding(
            check=Check.WALK,
            subject=told.subject,
            verdict=told.verdict,
            cause=told.cause,
            facts=facts,
        )

    async def _look(self, stage: walking.Stage) -> walking.Seen:
        contacts = await self._bench.contacts()
        opening = stage in {walking.Stage.OPEN, walking.Stage.REOPEN}
        battery, elsewhere = None, None
        if stage is walking.Stage.BMS:
            battery = await self._bench.bms(self._number)
            if battery is None:
                elsewhere = await self._answers_elsewhere(contacts)
        return walking.Seen(
            closed=contacts[self._number].closed,
            present=contacts[self._number].present,
            bms=battery,
            opened_elsewhere=(
                opened_elsewhere(self._number, self._before, contacts) if opening else ()
            ),
            bms_elsewhere=elsewhere,
            charged=self._charged,
        )

    async def _answers_elsewhere(self, contacts: Mapping[int, Contacts]) -> int | None:
        """A slot without a battery at whose port one answers: its cable is this slot's."""
        for number, its in contacts.items():
            empty = number != self._number and its.present is False
            if empty and await self._bench.bms(number) is not None:
                return number
        return None


def _seen(contacts: Contacts) -> walking.Seen:
    return walking.Seen(closed=contacts.closed, present=contacts.present)
