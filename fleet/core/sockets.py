"""Sessions at sockets: may one start, how what the cabinet tells changes it, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from fleet.core import plans
from fleet.core.swaps import CabinetFacts, refuse_cabinet
from fleet.errors import InvalidError
from protocols.sockets import (
    DURATION_S_MAX,
    DURATION_S_MIN,
    ENERGY_WH_MAX,
    ENERGY_WH_MIN,
    SocketBody,
    SocketState,
    SocketStep,
    SocketTelemetry,
)

ASKED: Final = "asked"  # the cabinet has not answered yet
ON: Final = "on"
ENDED: Final = "ended"
REFUSED: Final = "refused"
OPEN: Final = (ASKED, ON)

#: Beyond its longest time a session is heard of for so long, or never.
SILENT_MS: Final = 3_600_000

WH_PER_KWH: Final = 1_000
HOUR_S: Final = 3_600

REFUSALS: Final = {
    "offline": "the cabinet is not connected",
    "alarm": "the cabinet has an alarm",
    "no-socket": "there is no such socket",
    "socket-faulted": "the socket is out of use until a technician has looked at it",
    "socket-offline": "the socket's meter does not answer",
    "socket-busy": "the socket serves someone else",
    "denied-rider": "the rider is blocked",
    "open-session": "the rider charges at a socket already",
    **plans.PLAN_REFUSALS,
}


@dataclass(frozen=True, slots=True)
class SocketSession:
    """One row. Prices are those of the moment it was asked for, in the currency's smallest unit."""

    id: str
    cabinet: str
    socket: int
    rider: str
    state: str
    limit_wh: int
    limit_s: int
    created_ms: int
    updated_ms: int
    energy_wh: int = 0
    duration_s: int = 0
    price_kwh_minor: int = 0
    price_hour_minor: int = 0
    amount_minor: int | None = None
    reason: str | None = None
    plan: str | None = None
    partner: str | None = None  # who pays for the plan
    included: bool = False  # its energy is in the plan

    @property
    def open(self) -> bool:
        """Whether it may still give power."""
        return self.state in OPEN

    def lost_at(self, now_ms: int) -> bool:
        """Whether its cabinet would have told its end long ago."""
        return self.created_ms + self.limit_s * 1_000 + SILENT_MS <= now_ms


@dataclass(frozen=True, slots=True)
class NewSession:
    """A rider's wish, with the identifiers minted for it."""

    id: str
    cabinet: str
    socket: int
    rider: str
    key: str
    limit_wh: int
    limit_s: int
    now_ms: int
    expires_ms: int
    shown: str | None = None  # the session that the socket's last telemetry names


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What the ledger says of the rider and of the socket."""

    denied: bool = False
    no_plan: str | None = None  # why the rider's plan lets nothing begin
    rider_open: bool = False
    socket_open: bool = False
    shown_ended: bool = False  # the session that telemetry shows has ended since


def check_limits(limit_wh: int, limit_s: int) -> None:
    """Raise InvalidError for an energy or a time that is out of range."""
    if not ENERGY_WH_MIN <= limit_wh <= ENERGY_WH_MAX:
        raise InvalidError(f"limit_wh {limit_wh}: expected {ENERGY_WH_MIN} to {ENERGY_WH_MAX}")
    if not DURATION_S_MIN <= limit_s <= DURATION_S_MAX:
        raise InvalidError(f"limit_s {limit_s}: expected {DURATION_S_MIN} to {DURATION_S_MAX}")


def refuse_session(
    cabinet: CabinetFacts, socket: SocketTelemetry | None, ledger: SessionFacts
) -> str | None:
    """The code of the first rule that says no, or None. The cabinet has the last word."""
    if (code := refuse_cabinet(cabinet)) is not None:
        return code
    if ledger.denied:
        return "denied-rider"
    if ledger.no_plan is not None:
        return ledger.no_plan
    if ledger.rider_open:
        return "open-session"
    if socket is None:
        return "no-socket"
    match socket.state:
        case SocketState.FAULTED:
            return "socket-faulted"
        case SocketState.UNKNOWN:
            return "socket-offline"
        case _ if ledger.socket_open:
            return "socket-busy"
        case SocketState.IDLE:
            return None
        case _ if ledger.shown_ended:
            return None
        case _:
            return "socket-busy"


def bill(energy_wh: int, duration_s: int, price_kwh_minor: int, price_hour_minor: int) -> int:
    """What a session costs: energy and time, each rounded to the nearest smallest unit."""
    energy = (energy_wh * price_kwh_minor + WH_PER_KWH // 2) // WH_PER_KWH
    return energy + (duration_s * price_hour_minor + HOUR_S // 2) // HOUR_S


def cost_of(session: SocketSession) -> int:
    """The same of a session as it stands; nothing where the rider's plan has its energy."""
    if session.included:
        return 0
    return bill(
        session.energy_wh, session.duration_s, session.price_kwh_minor, session.price_hour_minor
    )


def told(session: SocketSession, body: SocketBody, now_ms: int) -> SocketSession:
    """The session after an event of its cabinet.

    Energy and time never fall, and what has ended stays so: events come in order, but a fleet that
    was restored hears them again. A start that was given up for lost was one after all.
    """
    grown = replace(
        session,
        energy_wh=max(session.energy_wh, body.energy_wh),
        duration_s=max(session.duration_s, body.duration_s),
        updated_ms=now_ms,
    )
    if session.state == ENDED:
        return session
    match body.step:
        case SocketStep.STARTED | SocketStep.RUNNING:
            return replace(grown, state=ON, reason=None)
        case SocketStep.ENDED:
            return replace(grown, state=ENDED, reason=body.reason, amount_minor=cost_of(grown))
        case _:
            return session
