"""One good example of every message, with as many fields set as it has."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from protocols import messages as m
from protocols.sockets import SocketBody, SocketState, SocketStep, SocketTelemetry

BODIES: Final[list[Struct]] = [
    m.StepBody(
        swap_id="01J0SWAP", kind=m.Kind.SWAP, step=m.Step.GIVING_BACK, rider_id="RABCDEFGHJKLM",
        slot_in=10, slot_out=3, reason="foreign-battery", detail="外来电池",
    ),
    m.BatteryBody(
        serial="YZ48-000001", slot=3, swap_id="01J0SWAP", rider_id="RABCDEFGHJKLM", soc_pct=98,
        cause="swap",
    ),
    m.AlarmBody(code="smoke", active=True, severity="critical", slot=3, detail="board-2 input 4"),
    m.InventoryBody(
        slots=(
            m.InventorySlot(
                slot=1, door=m.Door.CLOSED, presence=m.Presence.PRESENT, serial="YZ48-000001",
                soc_pct=98,
            ),
            m.InventorySlot(slot=2, door=m.Door.UNKNOWN, presence=m.Presence.UNKNOWN),
        )
    ),
    m.SlotFlagBody(slot=4, flag="out-of-service", active=True, detail="lock"),
    m.BootBody(software="0.1.0", resumed="01J0SWAP"),
    SocketBody(
        socket=1, step=SocketStep.ENDED, session="01J0SOCK", rider_id="RABCDEFGHJKLM",
        energy_wh=412, duration_s=9_000, meter_wh=81_234, reason="full",
    ),
]  # fmt: skip

REPORTS: Final[list[Struct]] = [
    m.Status(
        online=True, session=1_790_000_000_000, boot_id="b-1", epoch=1, software="0.1.0",
        config_version=2, plan_version=3, lists_version=4, slots=12,
    ),
    m.Telemetry(
        wall_ms=1_790_000_000_000, boot_id="b-1", mono_ms=5_000,
        slots=(
            m.SlotTelemetry(
                slot=1, state=m.SlotState.CHARGING, door=m.Door.CLOSED,
                presence=m.Presence.PRESENT, serial="YZ48-000001", soc_pct=55, pack_voltage_v=50.2,
                pack_current_a=3.5, cell_temp_c=27.5, air_temp_c=29.0, charge_power_w=176.0,
                flags=("cell-over-voltage",),
            ),
            m.SlotTelemetry(
                slot=2, state=m.SlotState.UNKNOWN, door=m.Door.UNKNOWN, presence=m.Presence.UNKNOWN
            ),
        ),
        power_w=216.0, energy_wh=1_234.0, temp_c=-7.5, humidity_pct=54.6, power_limit_w=3_000,
        plan_version=3, alarms=("flood",), active_swap="01J0SWAP",
        sockets=(
            SocketTelemetry(
                socket=1, state=SocketState.ON, power_w=151.5, power_max_w=500,
                session="01J0SOCK", energy_wh=17, duration_s=400, temp_c=31.5,
            ),
        ),
    ),
    m.Event(
        epoch=1, seq=17, boot_id="b-1", mono_ms=5_000, wall_ms=1_790_000_000_000, wall_synced=True,
        type="alarm", body=m.raw(BODIES[2]),
    ),
    m.Result(
        id="01J0CMD", outcome="failed", boot_id="b-1", reason="door-did-not-open",
        evidence="slot 3", nonces=("n1", "n2"),
    ),
]  # fmt: skip

COMMAND: Final = m.Command(
    id="01J0CMD", cabinet="DH-0001", seq=4, type="swap.start",
    args={"kind": "swap", "rider_id": "RABCDEFGHJKLM", "expected_serial": "YZ48-000009"},
    expires_at_ms=1_790_000_015_000, ttl_ms=15_000, nonce="n1", boot_id="b-1",
    actor="rider:RABCDEFGHJKLM", reason="扫码换电", swap_id="01J0SWAP",
    precondition=m.Precondition(slot=3, presence=m.Presence.PRESENT, serial="YZ48-000001"),
)  # fmt: skip

SIGNED: Final[list[m.Signed]] = [
    COMMAND,
    m.DesiredPlan(
        cabinet="DH-0001", version=3, valid_from_ms=1_790_000_000_000,
        valid_until_ms=1_790_086_400_000, step_s=300, power_w=(3_000, 2_000, 0),
        target_soc_pct=(95, 90, 80),
    ),
    m.DesiredConfig(
        cabinet="DH-0001", version=2,
        values={"target_soc_pct": 95, "warn_c": 55.5, "name": "东湖", "siren": True},
    ),
    m.DesiredList(
        cabinet="DH-0001", version=4, chunk=0, chunks=2, packs=("YZ48-000001",),
        denied_packs=("YZ48-000666",), denied_riders=("RBADBADBADBAD",),
    ),
]  # fmt: skip

ORDERS: Final[list[Struct]] = [
    m.Ack(epoch=1, seq=17, incarnation="i-1"),
    m.Challenge(id="c-1", count=3),
    *SIGNED,
]

SAMPLES: Final[list[Struct]] = [*REPORTS, *ORDERS, *BODIES]
