"""The fleet's stores over one database, for fleetd and for the one-shot commands alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fleet.store.asks import AskStore
from fleet.store.audit import AuditStore
from fleet.store.audit_log import AuditLogStore
from fleet.store.batteries import BatteryStore
from fleet.store.cabinets import CabinetStore
from fleet.store.commands import CommandStore
from fleet.store.console import ConsoleStore
from fleet.store.engine import Database
from fleet.store.enrolment import EnrolmentStore
from fleet.store.events import EventStore
from fleet.store.grids import GridStore
from fleet.store.meta import MetaStore
from fleet.store.operations import OperationStore
from fleet.store.partners import PartnerStore
from fleet.store.plans import PlanStore
from fleet.store.privacy import PrivacyStore
from fleet.store.quarantine import QuarantineStore
from fleet.store.reports import ReportStore
from fleet.store.reservations import ReservationStore
from fleet.store.riders import RiderStore
from fleet.store.rollouts import RolloutStore
from fleet.store.sockets import SocketStore
from fleet.store.stations import StationStore
from fleet.store.swaps import SwapStore


@dataclass(frozen=True, slots=True)
class Stores:
    """One of each."""

    database: Database
    meta: MetaStore
    cabinets: CabinetStore
    enrolments: EnrolmentStore
    batteries: BatteryStore
    riders: RiderStore
    swaps: SwapStore
    commands: CommandStore
    events: EventStore
    operations: OperationStore
    audit_log: AuditLogStore
    audit: AuditStore
    reservations: ReservationStore
    sockets: SocketStore
    stations: StationStore
    reports: ReportStore
    plans: PlanStore
    partners: PartnerStore
    privacy: PrivacyStore
    grids: GridStore
    asks: AskStore
    quarantines: QuarantineStore
    rollouts: RolloutStore
    console: ConsoleStore


@asynccontextmanager
async def open_stores(url: str, *, read_ms_max: int | None = None) -> AsyncIterator[Stores]:
    """Open the database, bring its schema up to date, close it at the end.

    ``read_ms_max`` is for who serves others meanwhile: few connections read, and a question that
    takes minutes must not keep riders from them.

    Raises:
        StoreError: it is out of reach.
        ConfigError: the URL is not one of ours.
    """
    database = Database(url, read_ms_max=read_ms_max)
    try:
        await database.migrate()
        yield stores_over(database)
    finally:
        await database.close()


def stores_over(database: Database) -> Stores:
    """Every store of one database that is open and up to date."""
    return Stores(
        database=database,
        meta=MetaStore(database),
        cabinets=CabinetStore(database),
        enrolments=EnrolmentStore(database),
        batteries=BatteryStore(database),
        riders=RiderStore(database),
        swaps=SwapStore(database),
        commands=CommandStore(database),
        events=EventStore(database),
        operations=OperationStore(database),
        audit_log=AuditLogStore(database),
        audit=AuditStore(database),
        reservations=ReservationStore(database),
        sockets=SocketStore(database),
        stations=StationStore(database),
        reports=ReportStore(database),
        plans=PlanStore(database),
        partners=PartnerStore(database),
        privacy=PrivacyStore(database),
        grids=GridStore(database),
        asks=AskStore(database),
        quarantines=QuarantineStore(database),
        rollouts=RolloutStore(database),
        console=ConsoleStore(database),
    )
