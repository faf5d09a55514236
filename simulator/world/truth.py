"""What is really there: packs, slots, doors, locks, and sensors that may be wrong about them.

An image is built as the pollers build it: a silent device leaves its old reading to age, a pack
that is seen to leave takes its reading with it, a BMS is asked about once a second and at once
after a door was shut on it.
"""

from __future__ import annotations

from typing import Final

from cabinet.core.model import (
    BmsReading,
    ChargerReading,
    ClimateReading,
    Image,
    Input,
    InputReading,
    MeterReading,
    Output,
    SetCharger,
    SlotImage,
)
from protocols.messages import Door, Presence

BMS_POLL_MS: Final = 1_000
#: A pack in the world charges as fast as it takes to keep riders coming: 1 % in this time.
CHARGE_MS_PER_PCT: Final = 500
_CELLS: Final = (3.7,) * 13
_FOREVER: Final = 1 << 60


class Pack:
    """One battery, wherever it is. ``ill`` names a protection that its BMS reports."""

    __slots__ = ("foreign", "ill", "place", "serial", "since_ms", "soc")

    def __init__(self, serial: str, *, foreign: bool = False, soc: int = 100) -> None:
        self.serial = serial
        self.foreign = foreign
        self.soc = soc
        self.ill: str | None = None
        self.since_ms: int | None = None  # charging since
        self.place = ""  # as the ledger would name it


class Bay:
    """One slot as it really is, and how its sensors are tampered with, each until a moment."""

    __slots__ = (
        "blind_until_ms",
        "door_lie_until_ms",
        "door_open",
        "door_read",
        "door_read_ms",
        "half",
        "jammed",
        "last_bms",
        "nameless_until_ms",
        "number",
        "pack",
        "polled_ms",
        "presence_lie",
        "presence_lie_until_ms",
        "presence_read",
        "prompt",
        "silent_until_ms",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.door_open = False
        self.pack: Pack | None = None
        self.half = False  # the pack is in, but its plug is not
        self.jammed = False
        self.prompt = ""
        self.blind_until_ms = 0
        self.door_lie_until_ms = 0
        self.presence_lie = Presence.PRESENT
        self.presence_lie_until_ms = 0
        self.silent_until_ms = 0
        self.nameless_until_ms = 0
        self.forget_readings()

    def forget_readings(self) -> None:
        """A new process has read nothing yet."""
        self.door_read = Door.UNKNOWN
        self.door_read_ms: int | None = None
        self.presence_read = Presence.UNKNOWN
        self.last_bms: BmsReading | None = None
        self.polled_ms = -_FOREVER

    def heal(self) -> None:
        """All sensors tell the truth, the lock moves, the pack is well plugged in."""
        self.jammed = self.half = False
        self.blind_until_ms = self.door_lie_until_ms = 0
        self.presence_lie_until_ms = self.silent_until_ms = self.nameless_until_ms = 0
        if self.pack is not None:
            self.pack.ill = None

    def reading(self, now_ms: int, mono_ms: int, charger: ChargerReading | None) -> SlotImage:
        """What the pollers know of this slot now."""
        if now_ms >= self.blind_until_ms:
            self._read_contacts(now_ms, mono_ms)
        pack = self.pack
        talks = pack is not None and not self.half and now_ms >= self.silent_until_ms
        if talks and pack is not None and now_ms - self.polled_ms >= BMS_POLL_MS:
            self.polled_ms = now_ms
            self.last_bms = self._bms(pack, now_ms, mono_ms, charger)
        return SlotImage(
            self.number,
            self.door_read,
            self.door_read_ms,
            self.presence_read,
            self.door_read_ms,
            self.last_bms,
            charger,
        )

    def _read_contacts(self, now_ms: int, mono_ms: int) -> None:
        is_open = self.door_open or now_ms < self.door_lie_until_ms
        door = Door.OPEN if is_open else Door.CLOSED
        presence = Presence.ABSENT if self.pack is None else Presence.PRESENT
        if now_ms < self.presence_lie_until_ms:
            presence = self.presence_lie
        if presence is Presence.ABSENT and self.presence_read is Presence.PRESENT:
            self.last_bms = None  # seen to leave
        if door is not self.door_read or presence is not self.presence_read:
            self.polled_ms = -_FOREVER  # hurry
        self.door_read, self.door_read_ms = door, mono_ms
        self.presence_read = presence

    def _bms(
        self, pack: Pack, now_ms: int, mono_ms: int, charger: ChargerReading | None
    ) -> BmsReading:
        self._charge(pack, now_ms, charger)
        return BmsReading(
            mono_ms,
            None if now_ms < self.nameless_until_ms else pack.serial,
            pack.soc,
            48.0,
            charger.current_a if charger else 0.0,
            _CELLS,
            (25.0,),
            frozenset() if pack.ill is None else frozenset((pack.ill,)),
        )

    def _charge(self, pack: Pack, now_ms: int, charger: ChargerReading | None) -> None:
        if charger is None or not charger.output_on:
            pack.since_ms = None
            return
        if pack.since_ms is not None:
            gained = (now_ms - pack.since_ms) // CHARGE_MS_PER_PCT
            pack.soc = min(100, pack.soc + gained)
            pack.since_ms += gained * CHARGE_MS_PER_PCT
        else:
            pack.since_ms = now_ms


class Rack:
    """All bays of one cabinet, its chargers and its outputs."""

    __slots__ = ("ac", "bays", "chargers", "outputs", "smoke")

    def __init__(self, slots: int) -> None:
        self.bays = {number: Bay(number) for number in range(1, slots + 1)}
        self.smoke = False
        self.power_lost()

    def power_lost(self) -> None:
        """Every device falls to its safe state by itself."""
        self.chargers: dict[int, SetCharger] = {}
        self.ac: dict[int, bool] = {}
        self.outputs: dict[Output, bool] = {}

    def image(self, now_ms: int, mono_ms: int) -> Image:
        """The cabinet as its pollers know it."""
        live = self.outputs.get(Output.CONTACTOR, False)
        slots = tuple(
            bay.reading(now_ms, mono_ms, self._charger(number, mono_ms) if live else None)
            for number, bay in self.bays.items()
        )
        quiet = InputReading(active=False, at_ms=mono_ms)
        inputs = {
            Input.SMOKE: InputReading(active=True, at_ms=mono_ms) if self.smoke else quiet,
            Input.FLOOD: quiet,
            Input.SERVICE_DOOR: quiet,
            Input.ESTOP: quiet,
        }
        return Image(
            slots,
            inputs,
            MeterReading(mono_ms, 60.0, 1_000.0),
            ClimateReading(mono_ms, 25.0, 40.0),
        )

    def _charger(self, number: int, mono_ms: int) -> ChargerReading | None:
        if not self.ac.get(number):
            return None
        order = self.chargers.get(number)
        on = order is not None and order.on
        amps = order.current_a if order is not None and on else 0.0
        return ChargerReading(
            mono_ms,
            on,
            order.voltage_v if order else 0.0,
            order.current_a if order else 0.0,
            48.0,
            amps,
            48.0 * amps,
            25.0,
        )
