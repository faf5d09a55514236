"""The cabinet at one instant, for the status page, ``/state.json`` and ``/healthz``."""

from __future__ import annotations

from msgspec import Struct

from protocols.messages import Telemetry


class DeviceStatus(Struct, frozen=True, kw_only=True):
    """One device on a bus."""

    name: str
    silent: bool  # does not answer
    missing: bool  # does not answer and should
    good: int  # replies since start
    bad: int  # everything else since start
    checksum: int = 0  # answers with a wrong checksum since start
    late: int = 0  # answers after their time-out since start
    retries: int = 0
    state: str = "good"  # good, suspect, offline


class BusStatus(Struct, frozen=True, kw_only=True):
    """One line."""

    name: str
    port: str
    is_open: bool
    turn_age_ms: int
    utilisation_pct: int = 0  # of the last ten seconds
    queue_wait_ms: float = 0.0  # on average since start
    echoes: bool = False  # the adapter hears itself
    devices: tuple[DeviceStatus, ...]


class SwapStatus(Struct, frozen=True, kw_only=True):
    """The transaction under way."""

    swap_id: str
    kind: str
    step: str
    slot_in: int | None = None
    slot_out: int | None = None


class UplinkStatus(Struct, frozen=True, kw_only=True):
    """The way to the fleet; ``configured`` is false for a cabinet without one."""

    configured: bool = False
    connected: bool = False
    connections: int = 0
    failures: int = 0
    outbox_depth: int = 0
    last_error: str | None = None


class Snapshot(Struct, frozen=True, kw_only=True):
    """Everything that a person in front of the cabinet may want to know."""

    cabinet: str
    name: str
    software: str
    uptime_s: int
    ready: bool  # every slot has been read since start
    store_error: str | None
    telemetry: Telemetry
    buses: tuple[BusStatus, ...]
    uplink: UplinkStatus
    swap: SwapStatus | None = None
    stuck: tuple[str, ...] = ()  # loops that no longer turn
