"""Ports: what the pages and the runtime need of one another and of the outside world."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fleet.core.account_views import (
    ChargeView,
    ExportView,
    PackView,
    PartnerView,
    PlanView,
    SessionCharge,
)
from fleet.core.balance.curve import CurveView
from fleet.core.balance.hours import HourView
from fleet.core.balance.moves import MovesView
from fleet.core.enrolment import Peer
from fleet.core.geo import Point
from fleet.core.login import Identity, Verdict
from fleet.core.operations import Expected, Wish
from fleet.core.records import LogFilter
from fleet.core.reports import Photo, ReportView, TicketFilter
from fleet.core.station_views import SessionView
from fleet.core.stations import AmenityState, RestStationView
from fleet.core.steering import StationView
from fleet.core.views import (
    CabinetView,
    LogView,
    OfflineView,
    OrderView,
    ReservationView,
    RiderView,
    SwapView,
)
from protocols.enrolment import EnrolRequest, Grant, RenewRequest
from protocols.messages import Kind


class Clock(Protocol):
    """All time comes from here."""

    def monotonic_ms(self) -> int:
        """For deadlines and ages."""
        ...

    def now_utc(self) -> datetime:
        """For records."""
        ...

    def wall_ms(self) -> int:
        """Unix time in milliseconds, for records."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Sleep on the monotonic clock."""
        ...


class Enrolments(Protocol):
    """What cabinets may ask of the running fleet before and besides MQTT."""

    async def enrol(self, request: EnrolRequest) -> Grant:
        """Admit the bearer of a token; raise InvalidError or DeniedError."""
        ...

    async def renew(self, peer: Peer, request: RenewRequest) -> Grant:
        """Fresh keys and perhaps a fresh certificate; raise InvalidError or DeniedError."""
        ...


class SmsSender(Protocol):
    """Delivers a login code."""

    async def send(self, phone: str, text: str) -> None:
        """Send one text; raise FleetError when it could not be handed over."""
        ...


class Swaps(Protocol):
    """What the rider's pages and the REST API may ask of the running fleet."""

    async def start(
        self, *, rider_id: str, cabinet_id: str, kind: Kind, idempotency_key: str
    ) -> SwapView:
        """Authorise one transaction and order the cabinet; the same key returns the same swap.

        Raises:
            NotFoundError: no such cabinet.
            RefusedError: the code says why (``offline``, ``no-full-battery``, ``no-empty-slot``,
                ``busy``, ``open-swap``, ``no-battery``, ``has-battery``, ``alarm``).
        """
        ...

    async def serve(
        self,
        *,
        kind: Kind,
        cabinet_id: str,
        technician: str,
        slot: int | None,
        reason: str,
        expected: Expected | None,
        idempotency_key: str,
    ) -> SwapView:
        """A technician's load or unload; the same key returns the same one.

        Raises:
            NotFoundError: no such cabinet.
            InvalidError: a field is wrong, or the key began something else.
            RefusedError: ``offline`` or ``busy``.
        """
        ...

    async def resume(self, *, swap_id: str, rider_id: str) -> SwapView:
        """Open the waited-for door once more."""
        ...

    async def cancel(self, *, swap_id: str, rider_id: str) -> SwapView:
        """Ask the cabinet to cancel; refused once a pack has been taken in."""
        ...

    async def give_back(self, *, swap_id: str, rider_id: str) -> SwapView:
        """The own battery back in place of the full one.

        Raises:
            RefusedError: ``done``, ``offline``; ``nothing-returned``: none was given in;
                ``too-late``: the full one is out.
        """
        ...

    async def get(self, swap_id: str) -> SwapView:
        """The swap as it stands; raise NotFoundError."""
        ...

    async def of_rider(self, rider_id: str, limit: int = 20) -> list[SwapView]:
        """The rider's swaps, newest first."""
        ...

    async def flagged(self, limit: int = 20) -> list[SwapView]:
        """Swaps that an operator should look into, newest first."""
        ...

    def watch(self, swap_id: str) -> AbstractAsyncContextManager[AsyncIterator[SwapView]]:
        """Whole views, the present one first, then at every change; ends at shutdown."""
        ...


class Operations(Protocol):
    """What operators may order, and the log of what they ordered."""

    async def order(self, wish: Wish) -> OrderView:
        """Log an order and send it; the same key at the same cabinet is the same order.

        Raises:
            NotFoundError: no such cabinet.
            InvalidError: a field is wrong, or the key gave another order.
            RefusedError: ``offline`` or ``busy``.
        """
        ...

    async def get(self, command_id: str) -> OrderView:
        """One order as it stands; raise NotFoundError."""
        ...

    async def of_cabinet(self, cabinet_id: str, limit: int = 20) -> list[OrderView]:
        """The orders at a cabinet, newest first; raise NotFoundError."""
        ...

    async def log(self, wanted: LogFilter) -> list[LogView]:
        """The log of orders, newest first."""
        ...

    def watch(self, command_id: str) -> AbstractAsyncContextManager[AsyncIterator[OrderView]]:
        """The order as it stands, then at every change; ends at shutdown."""
        ...


class Reservations(Protocol):
    """Full batteries kept for riders on the way."""

    async def reserve(self, *, rider_id: str, cabinet_id: str, minutes: int) -> ReservationView:
        """Have the best full pack kept; a live one at this cabinet is returned as it is.

        Raises:
            NotFoundError: no such cabinet or rider.
            InvalidError: ``minutes`` is out of range.
            RefusedError: ``offline``, ``alarm``, ``denied-rider``, ``open-swap``,
                ``reserved-elsewhere``, ``no-shows``, ``no-full-battery``, ``busy``.
        """
        ...

    async def release(self, *, rider_id: str, cabinet_id: str) -> ReservationView:
        """Give the pack free again; raise NotFoundError ``no-reservation``."""
        ...

    async def of_rider(self, rider_id: str) -> ReservationView | None:
        """The rider's live reservation, at whatever cabinet."""
        ...

    async def at(self, *, rider_id: str, cabinet_id: str) -> ReservationView | None:
        """The rider's last one at this cabinet, however it ended."""
        ...


class Cabinets(Protocol):
    """What the pages may ask about cabinets."""

    async def get(self, cabinet_id: str) -> CabinetView:
        """One cabinet as it stands; raise NotFoundError."""
        ...

    async def page(self, after: str, limit: int) -> list[CabinetView]:
        """At most ``limit`` cabinets whose ids come after this one, by id."""
        ...

    def watch(
        self, cabinet_id: str | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[CabinetView]]:
        """Views at every change of one cabinet or of all; ends at shutdown."""
        ...


class Sockets(Protocol):
    """Power from the sockets of a charging area."""

    async def start(
        self,
        *,
        rider_id: str,
        cabinet_id: str,
        socket: int,
        limit_wh: int,
        limit_s: int,
        idempotency_key: str,
    ) -> SessionView:
        """Order power for a rider; the same key returns the same session.

        Raises:
            NotFoundError: no such cabinet or rider.
            InvalidError: a limit is out of range, or the key began another session.
            RefusedError: the code says why; see ``fleet.core.sockets.REFUSALS``.
        """
        ...

    async def stop(self, *, session_id: str, rider_id: str) -> SessionView:
        """End a session early; raise DeniedError, or RefusedError ``done``, ``offline``."""
        ...

    async def get(self, session_id: str) -> SessionView:
        """The session as it stands; raise NotFoundError."""
        ...

    async def of_rider(self, rider_id: str, limit: int = 20) -> list[SessionView]:
        """The rider's sessions, newest first."""
        ...


class Stations(Protocol):
    """Where riders rest."""

    async def all(self) -> list[RestStationView]:
        """Every station, with its cabinets as they stand."""
        ...

    async def page(self, after: str, limit: int) -> list[RestStationView]:
        """Stations by id, those after this one."""
        ...

    async def near(self, here: Point | None, most: int) -> tuple[list[RestStationView], bool]:
        """The nearest, or the first by name; and whether there are more."""
        ...

    async def get(self, station_id: str) -> RestStationView:
        """One station; raise NotFoundError."""
        ...

    async def of_cabinet(self, cabinet_id: str) -> RestStationView | None:
        """The station that a cabinet stands at."""
        ...

    async def where(self, cabinet_id: str) -> str | None:
        """The id of the station that a cabinet stands at."""
        ...

    async def cabinets_at(self, stations: frozenset[str]) -> frozenset[str]:
        """The ids of the cabinets at these stations."""
        ...

    async def set_amenity(
        self, station_id: str, amenity: int, state: AmenityState, note: str | None
    ) -> None:
        """How much is left of an amenity; raise NotFoundError, InvalidError."""
        ...

    async def photo(self, photo_id: str) -> Photo:
        """A station's picture; raise NotFoundError."""
        ...


class Reports(Protocol):
    """What riders report, and the answers."""

    async def file(
        self,
        *,
        rider_id: str,
        topic: str,
        place: str,
        text: str,
        photo: bytes | None = None,
        station_id: str | None = None,
        cabinet_id: str | None = None,
        swap_id: str | None = None,
    ) -> ReportView:
        """Keep a rider's report; raise InvalidError, NotFoundError, LimitedError."""
        ...

    async def restock(self, *, rider_id: str, station_id: str, amenity: int) -> ReportView:
        """A rider says that something is used up; once per rider until it is restocked."""
        ...

    async def get(self, report_id: str, *, rider_id: str | None) -> ReportView:
        """One report; of a rider only the own; raise NotFoundError, DeniedError."""
        ...

    async def of_rider(self, rider_id: str, limit: int = 50) -> list[ReportView]:
        """The rider's reports, newest first."""
        ...

    async def listed(self, *, waiting: bool) -> list[ReportView]:
        """For operators: those that wait, the oldest first; or all, the newest first."""
        ...

    async def tickets(self, wanted: TicketFilter) -> list[ReportView]:
        """For operators: one page of those that fit."""
        ...

    async def answer(self, report_id: str, *, text: str, staff: str, close: bool) -> ReportView:
        """Answer a report; raise InvalidError, NotFoundError."""
        ...

    async def photo(self, report_id: str, *, rider_id: str | None) -> Photo:
        """The picture of a report that one may see; raises as ``get``."""
        ...


class Balance(Protocol):
    """The 24-hour balance."""

    async def curve(self, scope: str) -> CurveView:
        """The day behind and ahead: of ``fleet``, ``region:NAME``, ``feeder:NAME``, ``cabinet:ID``.

        Raises:
            NotFoundError: no such scope.
        """
        ...

    async def hours(self, cabinet_id: str, full: int, slots: int) -> tuple[HourView, ...]:
        """How many full packs to expect of a cabinet hour by hour; empty without a plan."""
        ...

    async def moves(self) -> MovesView:
        """Batteries to carry where charging alone cannot meet the demand."""
        ...


class Steering(Protocol):
    """Where to send riders."""

    async def near(self, lat: float, lon: float, count: int) -> list[StationView]:
        """The best stations for a rider at this place, the best first."""
        ...


class Riders(Protocol):
    """Accounts. Phones arrive in E.164 and are stored as keyed hash and tail."""

    async def get(self, rider_id: str) -> RiderView:
        """Raise NotFoundError."""
        ...

    async def by_phone(self, phone: str, *, create: bool) -> RiderView | None:
        """The rider of this phone; registers one when ``create``."""
        ...


class Offline(Protocol):
    """What a phone keeps for the time without a network."""

    async def passes(self, rider_id: str, cabinet_id: str | None = None) -> OfflineView:
        """Number, secrets and ticket; raise NotFoundError, or RefusedError ``denied-rider``."""
        ...


class Accounts(Protocol):
    """Login codes and sessions; tokens and codes are kept as hashes only."""

    async def ask_code(self, phone: str, now_ms: int) -> str:
        """A fresh code for an E.164 phone, to be sent; raise LimitedError."""
        ...

    async def drop_code(self, phone: str) -> None:
        """Forget a code that could not be sent."""
        ...

    async def check_code(self, phone: str, code: str, now_ms: int) -> Verdict:
        """Judge a typed code; a right one is used up."""
        ...

    async def open_session(self, identity: Identity, now_ms: int) -> str:
        """A new session's token."""
        ...

    async def identity(self, token: str, now_ms: int) -> Identity | None:
        """Whom a token stands for, None when it is unknown or expired."""
        ...

    async def close_session(self, token: str) -> None:
        """Log out."""
        ...


@dataclass(frozen=True, slots=True)
class Entered:
    """Who came by a partner's link, and how the pages name the partner."""

    rider_id: str
    partner_name: str
    colour: str
    support_phone: str


class Membership(Protocol):
    """Plans, charges, partners, and a rider's own data."""

    async def plan_of(self, rider_id: str) -> PlanView | None:
        """The plan that counts for a rider; None where no plans are sold."""
        ...

    async def charge_of(self, swap_id: str) -> ChargeView | None:
        """What a transaction costs, if it costs anything by a plan."""
        ...

    async def packs_of(self, rider_id: str) -> tuple[PackView, ...]:
        """The batteries in a rider's hands."""
        ...

    async def export(self, rider_id: str) -> ExportView:
        """Everything that is kept of a rider; raise NotFoundError."""
        ...

    async def forget(self, rider_id: str) -> None:
        """Delete an account; raise NotFoundError, or RefusedError while something is open."""
        ...

    async def enter(self, link: str) -> Entered:
        """Whom a partner's signed link stands for; raise LinkError (forged, expired, used)."""
        ...

    async def partner_by_token(self, token: str) -> PartnerView:
        """The partner of an API token; raise DeniedError."""
        ...

    async def set_plan(self, partner: PartnerView, subject: str, until_ms: int | None) -> None:
        """The partner's plan for one of its riders until then; raise NotFoundError."""
        ...

    async def partner_swaps(self, partner_id: str, since_ms: int, limit: int) -> list[ChargeView]:
        """The swaps of a partner's riders, newest first."""
        ...

    async def partner_sessions(
        self, partner_id: str, since_ms: int, limit: int
    ) -> list[SessionCharge]:
        """Their sessions at sockets, newest first."""
        ...
