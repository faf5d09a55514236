"""The sockets of the charging area within the engine: orders, passes, power and reports.

``sockets`` decides about one socket, ``sockets_power`` about the power of all. A relay is held only
while its session has power, every slot has been read since start, and nothing speaks against it.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from cabinet.core import sockets
from cabinet.core.engine_draft import Draft
from cabinet.core.engine_model import EngineConfig, Now, State
from cabinet.core.engine_plan import power_limit_w
from cabinet.core.model import Image, MeterReading, SetSocket, SocketImage
from cabinet.core.safety_state import Code
from cabinet.core.sockets import (
    Ending,
    Faulted,
    Idle,
    On,
    Session,
    SocketLimits,
    Told,
    Track,
    View,
)
from cabinet.core.sockets_power import Load, Share, share
from protocols.messages import OWN_POWER_W
from protocols.sockets import (
    SocketArgs,
    SocketBody,
    SocketStartArgs,
    SocketState,
    SocketStopArgs,
    SocketTelemetry,
)

NO_SOCKET: Final = "no-socket"
#: Alarms of sockets that are out of use end in their numbers.
ALARM: Final = "socket-fault-"
DENIED: Final = "denied-rider"
#: A session's draw counts as known only after a charger has had time to begin.
BEGIN_MS: Final = 30_000
_UNSURE: Final = frozenset({Code.SMOKE_UNKNOWN.value, Code.ESTOP_UNKNOWN.value})

SocketOrder = SocketStartArgs | SocketStopArgs | SocketArgs


def track(draft: Draft, image: Image) -> None:
    """Let every socket look at what was read; before everything was read once, none is judged."""
    draft.put(sockets_share=_share(draft, image))
    if not draft.state.ready:
        return
    for limits in draft.config.sockets:
        view = _view(draft, image, limits)
        _take(draft, limits, sockets.Look(view))
    draft.put(sockets_share=_share(draft, image))


def hold_power(draft: Draft) -> None:
    """Bring every relay to what is allowed now."""
    issued = draft.state.issued
    told = dict(issued.sockets)
    image = draft.state.image
    for limits in draft.config.sockets:
        number = limits.number
        on = (
            draft.state.ready
            and image is not None
            and _view(draft, image, limits).meter is not None
            and not _unsure(draft)
            and isinstance(draft.durable.sockets.get(number), On)
            and number in draft.state.sockets_share.powered
        )
        if told.get(number) is not on:
            told[number] = on
            draft.effect(SetSocket(number, on))
    if told != issued.sockets:
        draft.put(issued=replace(issued, sockets=told))


def ordered(draft: Draft, args: SocketOrder) -> str | None:
    """Carry out a fleet's order; the code of a refusal, or None."""
    limits = next((each for each in draft.config.sockets if each.number == args.socket), None)
    image = draft.state.image
    if limits is None or image is None:
        return NO_SOCKET
    view = _view(draft, image, limits)
    match args:
        case SocketStopArgs():
            return _take(draft, limits, sockets.Stop(args.session, view))
        case SocketArgs():
            return _take(draft, limits, sockets.Clear(view))
        case SocketStartArgs():
            return _start(draft, limits, args, view, image)


def _start(
    draft: Draft, limits: SocketLimits, args: SocketStartArgs, view: View, image: Image
) -> str | None:
    if args.rider_id in draft.state.lists.denied_riders:
        return DENIED
    if _unsure(draft):
        return sockets.UNSAFE
    idle = isinstance(draft.durable.sockets.get(limits.number, Idle()), Idle)
    order = draft.durable.seq + 1
    new = Load(limits.number, order, limits.power_max_w)
    if idle and limits.number not in _share(draft, image, new).powered:
        return sockets.NO_POWER
    event = sockets.Start(
        id=args.session,
        rider_id=args.rider_id,
        limit_wh=args.limit_wh,
        limit_ms=args.limit_s * 1_000,
        order=order,
        view=view,
    )
    refusal = _take(draft, limits, event)
    draft.put(sockets_share=_share(draft, image))
    return refusal


def _take(draft: Draft, limits: SocketLimits, event: sockets.Event) -> str | None:
    number = limits.number
    before = draft.durable.sockets.get(number, Idle())
    known = draft.state.sockets.get(number, Track())
    after = sockets.step(before, known, event, limits)
    if after.track != known:
        draft.put(sockets={**draft.state.sockets, number: after.track})
    if after.state != before:
        kept = {n: state for n, state in draft.durable.sockets.items() if n != number}
        if not isinstance(after.state, Idle):
            kept[number] = after.state
        draft.keep(sockets=kept)
    if type(after.state) is not type(before):
        reason = getattr(after.state, "reason", None)
        kind = type(after.state).__name__.lower()
        draft.journal("socket", socket=number, state=kind, reason=reason)
    for told in after.told:
        _tell(draft, number, told, event.view)
    return after.refusal


def _tell(draft: Draft, number: int, told: Told, view: View) -> None:
    session = told.session
    body = SocketBody(
        socket=number,
        step=told.step,
        session=session.id if session else None,
        rider_id=session.rider_id if session else None,
        energy_wh=max(0, int(session.energy_wh)) if session else 0,
        duration_s=session.elapsed_ms // 1_000 if session else 0,
        meter_wh=max(0, int(view.meter.energy_wh)) if view.meter else None,
        reason=told.reason,
    )
    draft.event("socket.step", body)


# --- what may be relied on ----------------------------------------------------------------------


def _view(draft: Draft, image: Image, limits: SocketLimits) -> View:
    number, now = limits.number, draft.now
    verdict = draft.state.verdict
    seen = socket_of(image, number)
    return View(
        now_ms=now.mono_ms,
        wall_ms=now.wall_ms if now.wall_synced else None,
        reading=seen.meter,
        live=seen.live,
        temp_c=_temp(seen, now.mono_ms),
        probed=number in draft.config.probed_sockets,
        safe=verdict.cabinet_ac and not verdict.siren,
        powered=not _unsure(draft) and number in draft.state.sockets_share.powered,
    )


def _unsure(draft: Draft) -> bool:
    """A contact that nothing may be charged without is not known."""
    return any(alarm.code in _UNSURE for alarm in draft.state.verdict.alarms)


def socket_of(image: Image, number: int) -> SocketImage:
    """The socket as its wires last told; nothing when they never did."""
    return next((each for each in image.sockets if each.number == number), SocketImage(number))


def _temp(seen: SocketImage, now_ms: int) -> float | None:
    probe = seen.probe
    fresh = probe is not None and now_ms - probe.at_ms <= sockets.PROBE_AGE_MAX_MS
    return probe.temp_c if probe is not None and fresh else None


def _share(draft: Draft, image: Image, *new: Load) -> Share:
    state = draft.state
    plan_w = power_limit_w(state, draft.config, draft.now)
    breaker_w = state.verdict.power_cap_w - OWN_POWER_W
    loads = [*_loads(state, draft.config, image, draft.now_ms), *new]
    return share(loads, min(plan_w - OWN_POWER_W, breaker_w), breaker_w)


def _loads(state: State, config: EngineConfig, image: Image, now_ms: int) -> list[Load]:
    found = []
    for limits in config.sockets:
        number = limits.number
        now = state.durable.sockets.get(number)
        if not isinstance(now, On | Ending):
            continue
        known = state.sockets.get(number, Track())
        begun = sockets.elapsed_ms(now.session, known, now_ms) >= BEGIN_MS
        seen = socket_of(image, number)
        meter = seen.meter
        fresh = meter is not None and now_ms - meter.at_ms <= sockets.METER_AGE_MAX_MS
        sure = meter is not None and fresh and seen.live and begun
        drawn_w = meter.power_w if meter is not None and sure else None
        found.append(Load(number, now.session.order, limits.power_max_w, drawn_w))
    return found


# --- reports ------------------------------------------------------------------------------------


def faulted(draft: Draft, code: str) -> int | None:
    """The socket whose alarm this is; None when it is no socket's."""
    number = code.removeprefix(ALARM)
    known = code != number and number.isascii() and number.isdigit()
    return int(number) if known and any(n == code for n, _, _ in alarms(draft.state)) else None


def alarms(state: State) -> list[tuple[str, None, str]]:
    """Sockets that are out of use, as alarms of the cabinet."""
    return [
        (f"{ALARM}{number}", None, "warning")
        for number, now in sorted(state.durable.sockets.items())
        if isinstance(now, Faulted)
    ]


def telemetry(state: State, config: EngineConfig, now: Now) -> tuple[SocketTelemetry, ...]:
    """Every socket as it stands."""
    image = state.image
    if image is None:
        return ()
    return tuple(_telemetry(state, config, now, limits, image) for limits in config.sockets)


def _telemetry(
    state: State, config: EngineConfig, now: Now, limits: SocketLimits, image: Image
) -> SocketTelemetry:
    number = limits.number
    is_now = state.durable.sockets.get(number, Idle())
    known = state.sockets.get(number, Track())
    seen = socket_of(image, number)
    meter = seen.meter
    fresh = meter is not None and now.mono_ms - meter.at_ms <= sockets.METER_AGE_MAX_MS
    session = is_now.session if isinstance(is_now, On | Ending) else None
    energy_wh = session.energy_wh if session else 0.0
    if session and meter and fresh and isinstance(is_now, On):
        energy_wh = max(energy_wh, meter.energy_wh - session.start_wh)
    temp_c = _temp(seen, now.mono_ms)
    return SocketTelemetry(
        socket=number,
        state=_state(
            is_now,
            known,
            blind=number in config.probed_sockets and temp_c is None,
            fresh=fresh,
        ),
        power_w=meter.power_w if meter and fresh else None,
        power_max_w=limits.power_max_w,
        session=session.id if session else None,
        energy_wh=max(0, int(energy_wh)),
        duration_s=sockets.elapsed_ms(session, known, now.mono_ms) // 1_000 if session else 0,
        left_s=_left_s(session, known, energy_wh, meter, now.mono_ms) if session else 0,
        temp_c=temp_c,
        reason=is_now.reason if isinstance(is_now, Ending | Faulted) else None,
    )


def _left_s(
    session: Session, known: Track, energy_wh: float, meter: MeterReading | None, now_ms: int
) -> int:
    left_s = (session.limit_ms - sockets.elapsed_ms(session, known, now_ms)) // 1_000
    if meter is not None and meter.power_w > sockets.STRAY_W:
        left_wh = max(0.0, session.limit_wh - energy_wh)
        left_s = min(left_s, int(left_wh / meter.power_w * 3_600))
    return max(0, left_s)


def _state(now: sockets.State, known: Track, *, blind: bool, fresh: bool) -> SocketState:
    match now:
        case On():
            return SocketState.ON if known.paused_ms is None else SocketState.PAUSED
        case Ending():
            return SocketState.ENDING
        case Faulted():
            return SocketState.FAULTED
        case Idle():
            return SocketState.IDLE if fresh and not blind else SocketState.UNKNOWN
