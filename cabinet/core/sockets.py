"""One socket of the charging area: a pure state machine over readings, orders and time.

``step`` is total over (state x event), by ``TABLE``. What a rider pays for is kept by the socket's
own meter: a session remembers the count it began at, so that energy is never lost with a process.
States go into the snapshot; a ``Track`` holds what only this boot knows.

A session ends by itself: at its limits, when the battery is full (it draws next to nothing), on
anything that is not as it should be, and when meter, probe or relay are no longer known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from cabinet.core.model import MeterReading
from protocols.sockets import SocketStep

#: A meter's reading older than this is not known; a session then ends.
METER_AGE_MAX_MS: Final = 3_000
#: For meter and probe to be read once after a start.
FIRST_READ_MS: Final = 15_000
#: The same of the area's temperature.
PROBE_AGE_MAX_MS: Final = 60_000
#: A relay that should be on and is not: longer than a lease and its renewals.
RELAY_WAIT_MS: Final = 12_000
#: So far above its limit a current trips at the first reading; below it at the second in a row.
GROSS: Final = 1.5
#: What an open relay may leak, and for how long more than that may be seen.
STRAY_W: Final = 15.0
STRAY_MS: Final = 3_000
#: After the relay fell, the reading that counts last is taken this much later.
SETTLE_MS: Final = 300
ENDING_MAX_MS: Final = 15_000
#: A session under way is written down this often.
PROGRESS_MS: Final = 60_000
#: Without power for so long a session ends.
PAUSE_MAX_MS: Final = 15 * 60_000
#: After a shorter interruption than this a session goes on.
RESUME_MAX_MS: Final = 10 * 60_000
#: More energy than the limits allow for the time, plus this, is the meter's fault.
ENERGY_SLACK_WH: Final = 50.0
#: Less than this was drawn: nothing was plugged in.
NOTHING_WH: Final = 2.0

STOPPED: Final = "stopped"
FULL: Final = "full"
NO_LOAD: Final = "no-load"
LIMIT_ENERGY: Final = "limit-energy"
LIMIT_TIME: Final = "limit-time"
OVER_CURRENT: Final = "over-current"
SOCKET_HOT: Final = "socket-hot"
METER_LOST: Final = "meter-lost"
METER_RESET: Final = "meter-reset"
PROBE_LOST: Final = "probe-lost"
LEASE_LOST: Final = "lease-lost"
STRAY_POWER: Final = "stray-power"
UNSAFE: Final = "unsafe"
NO_POWER: Final = "no-power"
INTERRUPTED: Final = "interrupted"
#: Ends after which a technician has to look at the socket.
FAULTS: Final = frozenset({OVER_CURRENT, SOCKET_HOT, STRAY_POWER})

BUSY: Final = "socket-busy"
OFFLINE: Final = "socket-offline"
BROKEN: Final = "socket-faulted"
NO_SESSION: Final = "no-session"
NOT_LATCHED: Final = "not-latched"


class SocketLimits(Struct, frozen=True, kw_only=True):
    """One socket, from the configuration."""

    number: int
    power_max_w: int = 500
    current_max_a: float = 2.5
    temp_max_c: float = 55.0
    full_w: float = 12.0
    full_after_ms: int = 300_000


# --- states -------------------------------------------------------------------------------------


class Session(Struct, frozen=True, kw_only=True):
    """What was agreed, and how far it has come. ``order`` rises with every session."""

    id: str
    rider_id: str
    limit_wh: int
    limit_ms: int
    order: int
    start_wh: float  # the meter's count when it began
    energy_wh: float = 0.0
    elapsed_ms: int = 0
    wall_ms: int | None = None  # when the last two were true; None: the clock was not right


class Idle(Struct, frozen=True, tag="idle"):
    """Nobody's."""


class On(Struct, frozen=True, tag="on"):
    """A session is under way."""

    session: Session


class Ending(Struct, frozen=True, tag="ending"):
    """Switched off; the last reading is waited for."""

    session: Session
    reason: str


class Faulted(Struct, frozen=True, tag="faulted"):
    """Out of use until a technician has looked at it."""

    reason: str


State: TypeAlias = Idle | On | Ending | Faulted


class Track(Struct, frozen=True):
    """What this boot remembers of one socket; each time is since when something holds."""

    mark_ms: int | None = None  # when the session's ``elapsed_ms`` was right
    told_ms: int = 0
    over_at_ms: int | None = None  # the reading that was above the limit
    low_ms: int | None = None
    dark_ms: int | None = None  # it should be on, and the relay is not
    paused_ms: int | None = None
    stray_ms: int | None = None
    off_ms: int | None = None
    ending_ms: int | None = None


# --- events -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The socket as it may be relied on now.

    ``live``: the relay is held, as far as its board told. ``temp_c`` is None when it is not known.
    """

    now_ms: int
    wall_ms: int | None  # None: not known to be right
    reading: MeterReading | None
    live: bool
    temp_c: float | None = None
    probed: bool = False  # a probe is fitted
    safe: bool = True  # the cabinet's safety lets it
    powered: bool = True  # there is power for it

    @property
    def meter(self) -> MeterReading | None:
        """The reading, unless it is too old."""
        reading = self.reading
        if reading is None or self.now_ms - reading.at_ms > METER_AGE_MAX_MS:
            return None
        return reading


@dataclass(frozen=True, slots=True)
class Start:
    """An order to begin."""

    id: str
    rider_id: str
    limit_wh: int
    limit_ms: int
    order: int
    view: View


@dataclass(frozen=True, slots=True)
class Stop:
    """An order to end."""

    id: str
    view: View


@dataclass(frozen=True, slots=True)
class Clear:
    """A technician has looked at it."""

    view: View


@dataclass(frozen=True, slots=True)
class Look:
    """Time has passed, or something was read."""

    view: View


Event: TypeAlias = Start | Stop | Clear | Look


@dataclass(frozen=True, slots=True)
class Told:
    """What the fleet is to hear."""

    step: SocketStep
    session: Session | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What comes of an event. ``refusal`` answers an order; None is yes."""

    state: State
    track: Track
    told: tuple[Told, ...] = ()
    refusal: str | None = None


Handler: TypeAlias = "Callable[[State, Track, Event, SocketLimits], Step]"


def step(state: State, track: Track, event: Event, limits: SocketLimits) -> Step:
    """The next state; never raises."""
    return TABLE[type(state), type(event)](state, track, event, limits)


def elapsed_ms(session: Session, track: Track, now_ms: int) -> int:
    """How long a session has lasted."""
    since_ms = 0 if track.mark_ms is None else max(0, now_ms - track.mark_ms)
    return session.elapsed_ms + since_ms


def measured(session: Session, track: Track, view: View, limits: SocketLimits) -> float | None:
    """The session's energy by the meter; None when it is not known or cannot be true."""
    meter = view.meter
    if meter is None:
        return None
    energy_wh = meter.energy_wh - session.start_wh
    hours = elapsed_ms(session, track, view.now_ms) / 3_600_000
    most_wh = limits.power_max_w * GROSS * hours + ENERGY_SLACK_WH
    return energy_wh if session.energy_wh - 1.0 <= energy_wh <= most_wh else None


# --- orders -------------------------------------------------------------------------------------


def _begin(state: State, track: Track, event: Event, _limits: SocketLimits) -> Step:
    assert isinstance(event, Start)
    view = event.view
    meter = view.meter
    if not view.safe:
        return Step(state, track, refusal=UNSAFE)
    if meter is None or (view.probed and view.temp_c is None):
        return Step(state, track, refusal=OFFLINE)
    session = Session(
        id=event.id,
        rider_id=event.rider_id,
        limit_wh=event.limit_wh,
        limit_ms=event.limit_ms,
        order=event.order,
        start_wh=meter.energy_wh,
        wall_ms=view.wall_ms,
    )
    fresh = Track(mark_ms=view.now_ms, told_ms=view.now_ms)
    return Step(On(session), fresh, (Told(SocketStep.STARTED, session),))


def _begin_again(state: State, track: Track, event: Event, _limits: SocketLimits) -> Step:
    """The same session ordered twice is one."""
    assert isinstance(event, Start)
    assert isinstance(state, On | Ending)
    return Step(state, track, refusal=None if state.session.id == event.id else BUSY)


def _broken(state: State, track: Track, _event: Event, _limits: SocketLimits) -> Step:
    return Step(state, track, refusal=BROKEN)


def _no_session(state: State, track: Track, _event: Event, _limits: SocketLimits) -> Step:
    return Step(state, track, refusal=NO_SESSION)


def _stop(state: State, track: Track, event: Event, limits: SocketLimits) -> Step:
    assert isinstance(event, Stop)
    assert isinstance(state, On)
    if state.session.id != event.id:
        return Step(state, track, refusal=NO_SESSION)
    return _end(state.session, track, event.view, limits, STOPPED)


def _stop_again(state: State, track: Track, event: Event, _limits: SocketLimits) -> Step:
    assert isinstance(event, Stop)
    assert isinstance(state, Ending)
    return Step(state, track, refusal=None if state.session.id == event.id else NO_SESSION)


def _not_latched(state: State, track: Track, _event: Event, _limits: SocketLimits) -> Step:
    return Step(state, track, refusal=NOT_LATCHED)


def _clear(state: State, _track: Track, _event: Event, _limits: SocketLimits) -> Step:
    assert isinstance(state, Faulted)
    return Step(Idle(), Track(), (Told(SocketStep.CLEARED, reason=state.reason),))


# --- looks --------------------------------------------------------------------------------------


def _look_idle(state: State, track: Track, event: Event, _limits: SocketLimits) -> Step:
    """Power through a relay that is off: it is welded, or somebody has tapped the line."""
    assert isinstance(event, Look)
    since_ms = _stray_since(track, event.view)
    if since_ms is not None and event.view.now_ms - since_ms >= STRAY_MS:
        return Step(Faulted(STRAY_POWER), Track(), (Told(SocketStep.FAULTED, reason=STRAY_POWER),))
    return Step(state, replace(track, stray_ms=since_ms))


def _look_faulted(state: State, track: Track, _event: Event, _limits: SocketLimits) -> Step:
    return Step(state, track)


def _look_on(state: State, track: Track, event: Event, limits: SocketLimits) -> Step:
    assert isinstance(event, Look)
    assert isinstance(state, On)
    view, session = event.view, state.session
    if track.mark_ms is None:  # this boot found it so
        if not _resumable(session, view):
            return _end(session, track, view, limits, INTERRUPTED)
        track = Track(mark_ms=view.now_ms, told_ms=view.now_ms)
    track = _noted(track, view, limits)
    reason = _why_end(session, track, view, limits)
    if reason is not None:
        return _end(session, track, view, limits, reason)
    track = replace(track, over_at_ms=_over_at(view, limits))
    if view.now_ms - track.told_ms < PROGRESS_MS:
        return Step(state, track)
    session = _counted(session, track, view, limits)
    track = replace(track, mark_ms=view.now_ms, told_ms=view.now_ms)
    return Step(On(session), track, (Told(SocketStep.RUNNING, session),))


def _look_ending(state: State, track: Track, event: Event, limits: SocketLimits) -> Step:
    """Wait for the relay to fall, then for a reading; not for ever."""
    assert isinstance(event, Look)
    assert isinstance(state, Ending)
    view, now_ms = event.view, event.view.now_ms
    began_ms = now_ms if track.ending_ms is None else track.ending_ms
    off_ms = None if view.live else (now_ms if track.off_ms is None else track.off_ms)
    track = replace(track, ending_ms=began_ms, off_ms=off_ms)
    meter, late = view.meter, now_ms - began_ms >= ENDING_MAX_MS
    settled = meter is not None and off_ms is not None and meter.at_ms - off_ms >= SETTLE_MS
    dark = settled and meter is not None and meter.power_w <= STRAY_W
    if not dark and not late:
        return Step(state, track)
    reason = STRAY_POWER if settled and not dark else state.reason
    session = _counted(state.session, track, view, limits)
    told = [Told(SocketStep.ENDED, session, state.reason)]
    if reason not in FAULTS:
        return Step(Idle(), Track(), tuple(told))
    told.append(Told(SocketStep.FAULTED, reason=reason))
    return Step(Faulted(reason), Track(), tuple(told))


def _end(session: Session, track: Track, view: View, limits: SocketLimits, reason: str) -> Step:
    """Off now; the reading until here is kept in case no other comes."""
    kept = _counted(session, track, view, limits)
    return Step(Ending(kept, reason), Track(ending_ms=view.now_ms))


def _counted(session: Session, track: Track, view: View, limits: SocketLimits) -> Session:
    energy_wh = measured(session, track, view, limits)
    return replace(
        session,
        energy_wh=session.energy_wh if energy_wh is None else max(session.energy_wh, energy_wh),
        elapsed_ms=elapsed_ms(session, track, view.now_ms),
        wall_ms=view.wall_ms,
    )


def _resumable(session: Session, view: View) -> bool:
    if session.wall_ms is None or view.wall_ms is None:
        return False
    return 0 <= view.wall_ms - session.wall_ms <= RESUME_MAX_MS


def _noted(track: Track, view: View, limits: SocketLimits) -> Track:
    """Since when it draws little, is dark, or has no power."""
    now_ms, meter = view.now_ms, view.meter
    charging = view.live and view.powered
    low = charging and meter is not None and meter.power_w < limits.full_w
    dark = view.powered and not view.live
    return replace(
        track,
        low_ms=_since(track.low_ms, now_ms, holds=low),
        dark_ms=_since(track.dark_ms, now_ms, holds=dark),
        paused_ms=_since(track.paused_ms, now_ms, holds=not view.powered),
    )


def _since(since_ms: int | None, now_ms: int, *, holds: bool) -> int | None:
    if not holds:
        return None
    return now_ms if since_ms is None else since_ms


def _why_end(session: Session, track: Track, view: View, limits: SocketLimits) -> str | None:
    """The first thing that ends a session, the gravest first."""
    danger = _danger(track, view, limits)
    if danger is not None:
        return danger
    if view.meter is None:
        return METER_LOST if view.reading is not None or _waited(track, view) else None
    energy_wh = measured(session, track, view, limits)
    if energy_wh is None:
        return METER_RESET
    if energy_wh >= session.limit_wh:
        return LIMIT_ENERGY
    if elapsed_ms(session, track, view.now_ms) >= session.limit_ms:
        return LIMIT_TIME
    if _held(track.low_ms, view.now_ms, limits.full_after_ms):
        return FULL if energy_wh >= NOTHING_WH else NO_LOAD
    if _held(track.dark_ms, view.now_ms, RELAY_WAIT_MS):
        return LEASE_LOST
    return NO_POWER if _held(track.paused_ms, view.now_ms, PAUSE_MAX_MS) else None


def _danger(track: Track, view: View, limits: SocketLimits) -> str | None:
    over_ms = _over_at(view, limits)
    if over_ms is not None and (
        _times_over(view, limits) >= GROSS
        or (track.over_at_ms is not None and over_ms > track.over_at_ms)
    ):
        return OVER_CURRENT
    if view.temp_c is not None and view.temp_c >= limits.temp_max_c:
        return SOCKET_HOT
    if not view.safe:
        return UNSAFE
    blind = view.probed and view.temp_c is None
    return PROBE_LOST if blind and _waited(track, view) else None


def _waited(track: Track, view: View) -> bool:
    """Whether everything should have been read once by now."""
    return _held(track.mark_ms, view.now_ms, FIRST_READ_MS)


def _held(since_ms: int | None, now_ms: int, length_ms: int) -> bool:
    return since_ms is not None and now_ms - since_ms >= length_ms


def _over_at(view: View, limits: SocketLimits) -> int | None:
    """The time of the reading, when it is above a limit."""
    meter = view.meter
    return meter.at_ms if meter is not None and _times_over(view, limits) > 1.0 else None


def _times_over(view: View, limits: SocketLimits) -> float:
    meter = view.meter
    if meter is None:
        return 0.0
    share = meter.power_w / limits.power_max_w
    return share if meter.current_a is None else max(share, meter.current_a / limits.current_max_a)


def _stray_since(track: Track, view: View) -> int | None:
    meter = view.meter
    stray = meter is not None and not view.live and meter.power_w > STRAY_W
    return _since(track.stray_ms, view.now_ms, holds=stray)


TABLE: Final[Mapping[tuple[type, type], Handler]] = MappingProxyType(
    {
        (Idle, Start): _begin,
        (Idle, Stop): _no_session,
        (Idle, Clear): _not_latched,
        (Idle, Look): _look_idle,
        (On, Start): _begin_again,
        (On, Stop): _stop,
        (On, Clear): _not_latched,
        (On, Look): _look_on,
        (Ending, Start): _begin_again,
        (Ending, Stop): _stop_again,
        (Ending, Clear): _not_latched,
        (Ending, Look): _look_ending,
        (Faulted, Start): _broken,
        (Faulted, Stop): _no_session,
        (Faulted, Clear): _clear,
        (Faulted, Look): _look_faulted,
    }
)
