"""What cabinets tell and are told of the sockets of a charging area beside them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from protocols.fields import Count, Id, TempC

SOCKETS_MAX: Final = 32
#: A session ends by itself; these are the bounds of what may be asked for.
ENERGY_WH_MIN: Final = 10
ENERGY_WH_MAX: Final = 10_000
DURATION_S_MIN: Final = 60
DURATION_S_MAX: Final = 24 * 3_600

SocketNumber = Annotated[int, Meta(ge=1, le=SOCKETS_MAX)]


class SocketState(StrEnum):
    """What a socket is doing."""

    IDLE = "idle"
    ON = "on"
    PAUSED = "paused"  # a session is under way, and there is no power for it at the moment
    ENDING = "ending"  # switched off; the last reading is waited for
    FAULTED = "faulted"  # until a technician has looked at it
    UNKNOWN = "unknown"  # its meter or its board does not answer


class SocketTelemetry(Struct, frozen=True, kw_only=True):
    """One socket as it stands. None means not known, never zero."""

    socket: SocketNumber
    state: SocketState
    power_w: float | None = None
    power_max_w: Count = 0  # what a session may take at most
    session: Id | None = None
    energy_wh: Count = 0  # of the session
    duration_s: Count = 0  # of the session
    left_s: Count = 0  # until a limit ends it, at its present draw
    temp_c: TempC | None = None
    reason: Id | None = None  # of a fault, or of the end


class SocketStep(StrEnum):
    """What became of a socket or of its session."""

    STARTED = "started"
    RUNNING = "running"  # told now and then: what is billed survives the loss of either side
    ENDED = "ended"
    FAULTED = "faulted"  # out of use until a technician clears it
    CLEARED = "cleared"


class SocketBody(Struct, frozen=True, kw_only=True):
    """Event ``socket.step``. Energy and duration are the session's so far, by the socket's meter."""

    socket: SocketNumber
    step: SocketStep
    session: Id | None = None
    rider_id: Id | None = None
    energy_wh: Count = 0
    duration_s: Count = 0
    meter_wh: Count | None = None  # the meter's own count, for whoever checks a bill
    reason: Id | None = None


class SocketStartArgs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``socket.start``: power for one rider, until either limit is reached or the battery is full."""

    socket: SocketNumber
    session: Id
    rider_id: Id
    limit_wh: Annotated[int, Meta(ge=ENERGY_WH_MIN, le=ENERGY_WH_MAX)]
    limit_s: Annotated[int, Meta(ge=DURATION_S_MIN, le=DURATION_S_MAX)]


class SocketStopArgs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``socket.stop``: end a session early."""

    socket: SocketNumber
    session: Id


class SocketArgs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``socket.clear``: a technician has looked at a faulted socket."""

    socket: SocketNumber
