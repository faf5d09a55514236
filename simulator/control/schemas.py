"""What the control API takes and gives, as its OpenAPI shows it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from simulator.models.cabinet import PACE_MAX, PackOrder

Serial = Annotated[str, Field(min_length=1, max_length=31, pattern=r"^[\x20-\x7e]+$")]
Percent = Annotated[float, Field(ge=0, le=100)]
TempC = Annotated[float, Field(ge=-40, le=150)]
#: One event as the log tells it: seq, sim_ms, wall_ms, kind, slot, and what belongs to the kind.
EventDetail = str | int | float | bool | None


class Body(BaseModel):
    """Requests are strict: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScanBody(Body):
    """What a QR code says."""

    text: Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[\x20-\x7e]+$")]


class PackBody(Body):
    """What can be said of a pack; what is left out stays as it is."""

    soc_pct: Percent | None = None
    temp_c: TempC | None = None
    hold_temp: bool | None = Field(default=None, description="Pin the temperature where it is.")
    bms_silent: bool | None = None
    protection: list[str] | None = Field(
        default=None, description="Exactly these stand; [] clears."
    )
    cycles: Annotated[int, Field(ge=0, le=65_535)] | None = None
    soh_pct: Annotated[float, Field(gt=0, le=110)] | None = None
    capacity_ah: Annotated[float, Field(gt=0, le=300)] | None = None

    def order(self, serial: str | None) -> PackOrder:
        """For the model."""
        standing = None if self.protection is None else frozenset(self.protection)
        return PackOrder(
            serial=serial,
            soc_pct=self.soc_pct,
            temp_c=self.temp_c,
            hold_temp=self.hold_temp,
            bms_silent=self.bms_silent,
            cycles=self.cycles,
            soh_pct=self.soh_pct,
            capacity_ah=self.capacity_ah,
            protection=standing,
        )


class InsertBody(PackBody):
    """A pack to put in. A serial that left this cabinet comes back as it left."""

    serial: Serial | None = Field(default=None, description="None: the barcode cannot be read.")


class AlterBody(PackBody):
    """Change the pack that stands in the slot; ``serial: null`` makes it unreadable."""

    serial: Serial | None = None


class DoorBody(Body):
    """What a hand does to a door."""

    action: Literal["open", "close"]


class LockBody(Body):
    """The state of a lock."""

    jammed: bool


class ActiveBody(Body):
    """The state of a contact."""

    active: bool


class SilentBody(Body):
    """Deaf and dumb, or not."""

    silent: bool


class FreezeBody(Body):
    """All simulated time stands, or runs."""

    frozen: bool


class SpeedBody(Body):
    """Charge, heat and energy run this many times faster."""

    factor: Annotated[float, Field(gt=0, le=PACE_MAX)]


class PackState(BaseModel):
    """One pack."""

    serial: str | None
    soc_pct: int
    soc_exact: float
    voltage_v: float
    current_a: float
    temps_c: list[float]
    cell_v: list[float]
    capacity_ah: float
    remaining_ah: float
    cycles: int
    charge_fet_on: bool
    discharge_fet_on: bool
    charge_switch_on: bool
    protection: list[str]
    bms_silent: bool
    hold_temp: bool


class ChargerState(BaseModel):
    """One charger."""

    powered: bool
    output_on: bool
    voltage_set_v: float
    current_set_a: float
    voltage_v: float
    current_a: float
    power_w: float
    constant_current: bool
    protection: str | None
    ovp_v: float
    ocp_a: float
    temp_c: float


class SlotState(BaseModel):
    """One slot."""

    slot: int
    door: Literal["open", "closed"]
    latched: bool
    lock_jammed: bool
    presence: bool
    pack: PackState | None
    air_temp_c: float
    ac_on: bool
    charging: bool
    charge_power_w: float
    charger: ChargerState


class OutputsState(BaseModel):
    """Cabinet-wide relays."""

    contactor: bool
    siren: bool
    extinguisher: bool
    fan: bool


class BoardState(BaseModel):
    """One relay board, as its own registers would tell."""

    relays: list[bool]
    inputs: list[bool]


class MeterState(BaseModel):
    """The energy meter, in its own precision."""

    voltage_v: float
    current_a: float
    power_w: float
    apparent_va: float
    reactive_var: float
    power_factor: float
    frequency_hz: float
    import_kwh: float
    export_kwh: float
    total_kwh: float


class ClimateState(BaseModel):
    """The climate sensor, in its own precision."""

    temp_c: float
    humidity_pct: float


class State(BaseModel):
    """The whole truth."""

    cabinet_id: str
    frozen: bool
    speed: float
    sim_ms: int
    wall_ms: int
    physics_ms: int
    slots: list[SlotState]
    outputs: OutputsState
    inputs: dict[str, bool]
    boards: dict[str, BoardState]
    meter: MeterState
    climate: ClimateState
    silent: list[str]
    event_seq: int = Field(description="Number of the newest event; see /events.")


class EventsPage(BaseModel):
    """Events after ``since``. ``first`` > ``since`` + 1 means that some fell out of the ring."""

    first: int
    next: int
    events: list[dict[str, EventDetail]]
