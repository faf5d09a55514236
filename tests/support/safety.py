"""Images of a healthy cabinet that tests spoil one reading at a time."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from cabinet.core.model import (
    BmsReading,
    ChargerReading,
    ClimateReading,
    Image,
    Input,
    InputReading,
    MeterReading,
    SlotImage,
)
from cabinet.core.safety import Limits, SafetyState, Verdict, step
from protocols.messages import Door, Presence

NOW_MS: Final = 1_000_000
CELLS: Final = 13


def bms(
    at_ms: int = NOW_MS, temp_c: float = 25.0, serial: str = "YZ48-000001", **over: Any
) -> BmsReading:
    """A good pack at half charge; ``temp_c`` is its hottest sensor."""
    values: dict[str, Any] = {
        "soc_pct": 50,
        "voltage_v": 48.0,
        "current_a": 0.0,
        "cell_v": (3.7,) * CELLS,
        "temps_c": (temp_c, temp_c - 0.5 if temp_c > 10 else temp_c),
    }
    return BmsReading(at_ms=at_ms, serial=serial, **(values | over))


def charger(at_ms: int = NOW_MS, *, on: bool = False, **over: Any) -> ChargerReading:
    """A good charger, with cool air."""
    values: dict[str, Any] = {
        "voltage_set_v": 54.6 if on else 0.0,
        "current_set_a": 6.0 if on else 0.0,
        "voltage_v": 48.5 if on else 0.0,
        "current_a": 6.0 if on else 0.0,
        "power_w": 291.0 if on else 0.0,
        "air_temp_c": 25.0,
    }
    return ChargerReading(at_ms=at_ms, output_on=on, **(values | over))


def slot(number: int, at_ms: int = NOW_MS, *, on: bool = False, **over: Any) -> SlotImage:
    """A closed slot with a good pack and charger."""
    values: dict[str, Any] = {
        "door": Door.CLOSED,
        "door_at_ms": at_ms,
        "presence": Presence.PRESENT,
        "presence_at_ms": at_ms,
        "bms": bms(at_ms, serial=f"YZ48-{number:06}"),
        "charger": charger(at_ms, on=on),
    }
    return SlotImage(slot=number, **(values | over))


def empty(number: int, at_ms: int = NOW_MS, **over: Any) -> SlotImage:
    """A closed slot without a pack."""
    return slot(number, at_ms, **({"presence": Presence.ABSENT, "bms": None} | over))


def inputs(at_ms: int = NOW_MS, *active: Input) -> dict[Input, InputReading]:
    """All contacts read, those named in alarm."""
    return {name: InputReading(name in active, at_ms) for name in Input}


def image(
    *slots: SlotImage, at_ms: int = NOW_MS, active: tuple[Input, ...] = (), **over: Any
) -> Image:
    """A cabinet of these slots with healthy contacts, meter and climate."""
    values: dict[str, Any] = {
        "inputs": inputs(at_ms, *active),
        "meter": MeterReading(at_ms, 100.0, 5_000.0, 230.0),
        "climate": ClimateReading(at_ms, 25.0, 40.0),
    }
    return Image(slots=slots, **(values | over))


def charging_image(at_ms: int, temp_c: float = 25.0, **over: Any) -> Image:
    """One slot that charges, everything fresh."""
    return image(slot(1, at_ms, on=True, bms=bms(at_ms, temp_c), **over), at_ms=at_ms)


def judged(
    picture: Image,
    now_ms: int = NOW_MS,
    *,
    charging: frozenset[int] = frozenset(),
    state: SafetyState | None = None,
    limits: Limits | None = None,
) -> tuple[SafetyState, Verdict]:
    """One step from a state in which AC has long been held."""
    limits = limits or Limits()
    if state is None:
        state, _ = step(SafetyState(), picture, charging, now_ms - 60_000, limits)
        state = replace_trips(state)
    return step(state, picture, charging, now_ms, limits)


def replace_trips(state: SafetyState) -> SafetyState:
    """The state without trips, with AC held since before."""
    return SafetyState(tracks=state.tracks)


def codes(verdict: Verdict, number: int | None = None) -> set[str]:
    """Codes of the alarms of a slot, or of the whole cabinet."""
    return {alarm.code for alarm in verdict.alarms if alarm.slot == number}


def with_slot(picture: Image, number: int, **over: Any) -> Image:
    """The image with some readings of one slot replaced."""
    slots = tuple(replace(s, **over) if s.slot == number else s for s in picture.slots)
    return replace(picture, slots=slots)
