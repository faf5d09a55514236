"""What the pages of a running fleetd are built from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fleet.adapters.clock import DayClock, SystemClock
from fleet.area import Area
from fleet.console import ConsoleSide
from fleet.ordering import Ordering
from fleet.runtime.balance import BalanceService
from fleet.runtime.cabinets import CabinetService
from fleet.runtime.metrics import FleetMetrics
from fleet.runtime.offline import OfflineService
from fleet.runtime.operations import OperationService
from fleet.runtime.reservations import ReservationService
from fleet.runtime.riders import RiderService
from fleet.runtime.steering import SteeringService
from fleet.runtime.swaps import SwapService
from fleet.stores import Stores


@dataclass(frozen=True, slots=True)
class Parts:
    """What the pages are built from."""

    swaps: SwapService
    cabinets: CabinetService
    riders: RiderService
    offline: OfflineService
    operations: OperationService
    reservations: ReservationService
    area: Area
    ordering: Ordering
    console: ConsoleSide
    balance: BalanceService | None
    steering: SteeringService
    stores: Stores
    clock: SystemClock
    day: DayClock
    metrics: FleetMetrics
    checks: dict[str, Callable[[], Awaitable[bool]]]
    phone_key: bytes
    public_url: str


@dataclass(frozen=True, slots=True)
class Pages:
    """An ASGI application, and what ends its open streams."""

    app: Any
    stop: Callable[[], None]
