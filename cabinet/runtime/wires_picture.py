"""What the buses have read, slot by slot; hands out frozen images of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from cabinet.config import Channel, Config, SlotConfig
from cabinet.core.model import (
    CONTACT_AGE_MAX_MS,
    BmsReading,
    ChargerReading,
    ClimateReading,
    Image,
    Input,
    InputReading,
    MeterReading,
    SlotImage,
    SocketImage,
)
from protocols.messages import Door, Presence

#: Temperatures that differ by less are not news; the safety core looks at every tick anyway.
NEWS_TEMP_C: Final = 1.0


@dataclass(frozen=True, slots=True)
class Moves:
    """What a reading of contacts changed."""

    news: bool  # worth a look by the core
    opened: frozenset[int] = frozenset()
    closed: frozenset[int] = frozenset()
    inserted: frozenset[int] = frozenset()
    removed: frozenset[int] = frozenset()


class Picture:
    """Mutable behind, frozen in front."""

    def __init__(self, config: Config) -> None:
        self._slots = {slot.number: SlotImage(slot.number) for slot in config.slots}
        self._inputs: dict[Input, InputReading] = {}
        self._meter: MeterReading | None = None
        self._climate: ClimateReading | None = None
        self._sockets = {each.number: SocketImage(each.number) for each in config.sockets}
        self._offline: frozenset[str] = frozenset()
        self._image: Image | None = None
        self._slot_configs: Mapping[int, SlotConfig] = {s.number: s for s in config.slots}
        self._input_configs = config.inputs

    def image(self) -> Image:
        """The whole cabinet as last read."""
        if self._image is None:
            self._image = Image(
                slots=tuple(self._slots[number] for number in sorted(self._slots)),
                inputs=dict(self._inputs),
                meter=self._meter,
                climate=self._climate,
                devices_offline=self._offline,
                sockets=tuple(self._sockets.values()),
            )
        return self._image

    def slot(self, number: int) -> SlotImage:
        """One slot as last read."""
        return self._slots[number]

    def contacts(self, board: str, levels: tuple[bool, ...], at_ms: int) -> Moves:
        """The inputs of one board; says what moved."""
        moved: dict[str, set[int]] = {"opened": set(), "closed": set(), "in": set(), "out": set()}
        news = False
        for number, wires in self._slot_configs.items():
            slot = self._slots[number]
            if wires.door.board == board:
                door = Door.CLOSED if _level(wires.door, levels) else Door.OPEN
                news |= slot.door_now(at_ms) is not door
                if slot.door is not door:
                    moved["closed" if door is Door.CLOSED else "opened"].add(number)
                slot = replace(slot, door=door, door_at_ms=at_ms)
            if wires.presence.board == board:
                there = _level(wires.presence, levels)
                presence = Presence.PRESENT if there else Presence.ABSENT
                news |= slot.presence_now(at_ms) is not presence
                if slot.presence is not presence:
                    moved["in" if there else "out"].add(number)
                slot = replace(slot, presence=presence, presence_at_ms=at_ms)
            self._slots[number] = slot
        for name, channel in self._input_configs.items():
            if channel.board == board:
                active = not _level(channel, levels)  # a closed loop: 1 is healthy
                old = self._inputs.get(name)
                stale = old is None or at_ms - old.at_ms > CONTACT_AGE_MAX_MS
                news |= stale or (old is not None and old.active != active)
                self._inputs[name] = InputReading(active, at_ms)
        self._image = None
        return Moves(
            news,
            opened=frozenset(moved["opened"]),
            closed=frozenset(moved["closed"]),
            inserted=frozenset(moved["in"]),
            removed=frozenset(moved["out"]),
        )

    def bms(self, number: int, reading: BmsReading | None) -> bool:
        """A pack's reading; None: the pack was taken out. Whether it is news."""
        old = self._slots[number].bms
        self._put(replace(self._slots[number], bms=reading))
        if old is None or reading is None:
            return old is not reading
        return (
            _gone_cold(old.at_ms, reading.at_ms)
            or _facts(old) != _facts(reading)
            or _differ(old.temp_max_c, reading.temp_max_c)
        )

    def charger(self, number: int, reading: ChargerReading) -> bool:
        """A charger's reading; whether it is news."""
        old = self._slots[number].charger
        self._put(replace(self._slots[number], charger=reading))
        return (
            old is None
            or _gone_cold(old.at_ms, reading.at_ms)
            or (old.output_on, old.protection) != (reading.output_on, reading.protection)
            or _differ(old.air_temp_c, reading.air_temp_c)
        )

    def meter(self, reading: MeterReading) -> None:
        """The meter's reading; the core looks at it when it looks."""
        self._meter = reading
        self._image = None

    def climate(self, reading: ClimateReading) -> None:
        """The climate sensor's reading."""
        self._climate = reading
        self._image = None

    def socket(self, number: int, **told: Any) -> bool:
        """What is known of a socket (fields of ``SocketImage``); whether it is another than before."""
        old = self._sockets[number]
        self._sockets[number] = replace(old, **told)
        self._image = None
        return old != self._sockets[number]

    def offline(self, names: frozenset[str]) -> bool:
        """The devices that do not answer though they should; whether that is news."""
        if names == self._offline:
            return False
        self._offline = names
        self._image = None
        return True

    def _put(self, slot: SlotImage) -> None:
        self._slots[slot.slot] = slot
        self._image = None


def _level(channel: Channel, levels: tuple[bool, ...]) -> bool:
    return levels[channel.channel] is not channel.invert


def _gone_cold(old_ms: int, new_ms: int) -> bool:
    """The old reading had become too old to be used: the new one brings the device back."""
    return new_ms - old_ms > CONTACT_AGE_MAX_MS * 2


def _facts(reading: BmsReading) -> tuple[object, ...]:
    return (
        reading.serial,
        reading.soc_pct,
        reading.protection,
        reading.charge_fet_on,
        reading.discharge_fet_on,
    )


def _differ(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is not new
    return abs(old - new) >= NEWS_TEMP_C
