"""The whole cabinet as one pure step.

``Engine.step(state, input, now)`` returns an ``Outcome``: the next state, the rows to commit in one
transaction, the effects to run afterwards, and answers to commands. The caller must commit first,
then adopt the state, then run the effects; when the commit fails it keeps the old state and runs
nothing of it. What became of an effect comes back as an input.

Every image (and every tick) goes through the same pass: safety judges, the swap looks, the
inventory is compared, alarms are told, leases and chargers are brought to what is allowed now.
Safety judges from the very first image; everything that gives power or opens doors waits until
every slot has been read once since start (or a few seconds have passed), because only then can a
transaction that was under way be taken up again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from cabinet.core import (
    engine_claims,
    engine_commands,
    engine_holds,
    engine_inventory,
    engine_manual,
    engine_offline,
    engine_orders,
    engine_report,
    engine_running,
    engine_service,
    engine_settings,
    engine_sockets,
    safety,
)
from cabinet.core import swap_model as swap
from cabinet.core.engine_alarms import raise_and_clear
from cabinet.core.engine_draft import Draft
from cabinet.core.engine_model import (
    ChallengeReceived,
    CommandReceived,
    DocumentReceived,
    Durable,
    EngineConfig,
    Input,
    Issued,
    JournalOutrun,
    Now,
    Observed,
    OfflineAnswer,
    OfflineCode,
    OfflineTicket,
    OrderUnfit,
    Outcome,
    State,
    Tick,
    Token,
    UnlockOutcome,
    Verify,
    decode_durable,
)
from cabinet.core.engine_swap import feed, resume_id, sensed
from cabinet.core.engine_view import Sight
from cabinet.core.model import Image, UnlockResult
from cabinet.core.records import Restored
from cabinet.core.safety_state import with_trip
from protocols.messages import BootBody, Door, Presence, Telemetry

__all__ = [
    "ChallengeReceived",
    "CommandReceived",
    "DocumentReceived",
    "Engine",
    "EngineConfig",
    "Input",
    "JournalOutrun",
    "Now",
    "Observed",
    "OfflineAnswer",
    "OfflineCode",
    "OfflineTicket",
    "OrderUnfit",
    "Outcome",
    "State",
    "Tick",
    "UnlockOutcome",
]

#: How long a device may take after start before it counts as silent.
_FIRST_READ_AGE_MS: Final = 5_000


def _any_settings(_values: Mapping[str, object]) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Engine:
    """Decides for one cabinet. ``verify`` checks the fleet's signature, ``token`` makes nonces.

    ``group_keys`` check the codes of riders, each by itself; without one no code is taken. They
    may change while they are replaced in the fleet. ``fits`` holds settings of the fleet's against the
    cabinet's own file.
    """

    config: EngineConfig
    verify: Verify
    token: Token
    group_keys: Sequence[bytes] = field(default=(), repr=False)
    fits: engine_settings.Fits = _any_settings
    _running: engine_running.Running = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_running", engine_running.Running(self.config))

    def running(self, state: State) -> EngineConfig:
        """What it goes by now: its own configuration, and the settings of the fleet's."""
        return self._running.by(state.durable.config)

    def initial(self, restored: Restored, boot_id: str) -> State:
        """The state to start from; raises msgspec.MsgspecError for a snapshot it cannot read."""
        if restored.snapshot is None:
            durable = Durable(epoch=self.config.epoch)
        else:
            durable = decode_durable(restored.snapshot)
        return State(
            durable=durable,
            boot_id=boot_id,
            lists=restored.lists,
            results={result.id: result for result in restored.results},
            safety=durable.safety,
        )

    def unwritten(self, state: State, outcome: Outcome) -> State:
        """The old state after a decision that could not be written.

        Danger is remembered, and which nonces are used up: the command may be on the disk after all.
        """
        seen = outcome.state
        return replace(
            state,
            image=seen.image,
            safety=seen.safety,
            verdict=seen.verdict,
            nonces=seen.nonces,
        )

    def resumed(self, state: State, restored: Restored) -> State:
        """The state after the store had failed: what is on the disk, and this boot's knowledge.

        Chargers and leases count as not told anything yet, since the shell has made them safe.
        """
        durable = self.initial(restored, state.boot_id).durable
        results = {result.id: result for result in restored.results}
        latched = state.safety
        for trip in durable.safety.trips:  # of before, where the store failed from the start
            if not latched.has(trip.code, trip.slot):
                latched = with_trip(latched, trip)
        return replace(
            state,
            durable=durable,
            lists=restored.lists,
            results=results,
            safety=latched,
            issued=Issued(),
        )

    def step(self, state: State, event: Input, now: Now) -> Outcome:
        """Decide. Never raises for anything that comes from outside."""
        draft = Draft(state, now, self.running(state))
        match event:
            case Observed(image):
                first_ms = now.mono_ms if state.first_image_ms is None else state.first_image_ms
                draft.put(image=image, first_image_ms=first_ms)
                self._pass(draft, image)
            case Tick():
                if state.image is not None:
                    self._pass(draft, state.image)
            case UnlockOutcome():
                self._unlocked(draft, event)
            case CommandReceived(command):
                sight = draft.sight()
                engine_commands.commanded(draft, command, sight, self.verify, self.token)
                self._power(draft)
            case ChallengeReceived(challenge):
                engine_commands.challenged(draft, challenge, self.token)
            case DocumentReceived(document):
                engine_commands.documented(draft, document, self.verify, self._unfit)
            case OrderUnfit(reason):
                draft.refused(reason)
            case JournalOutrun(ack, acked):
                if engine_commands.outrun(draft, ack.epoch, acked):
                    engine_inventory.tell_all(draft, draft.sight())
            case OfflineCode() | OfflineTicket():
                sight = draft.sight()
                engine_offline.asked(draft, event, sight, self.verify, tuple(self.group_keys))
                self._power(draft)
        return draft.outcome()

    def telemetry(self, state: State, now: Now, extra_alarms: tuple[str, ...] = ()) -> Telemetry:
        """The cabinet as it stands, for the uplink and the status page."""
        return engine_report.telemetry(state, self.running(state), now, extra_alarms)

    def _unfit(self, values: Mapping[str, object]) -> str | None:
        """Its own limits first, then all that ``check-config`` would say."""
        return engine_running.unfit(self.config, values) or self.fits(values)

    # --- one pass over an image -----------------------------------------------------------------

    def _pass(self, draft: Draft, image: Image) -> None:
        self._judge(draft, image)
        engine_offline.passing(draft)
        sight = draft.sight()
        recovered = not draft.state.ready and self._complete(draft, image)
        if recovered:
            self._recover(draft, sight)
            sight = draft.sight()
        if draft.state.ready:
            sensed(draft, sight.view, recovered=recovered)
            engine_inventory.track(draft, draft.sight())
            if draft.durable.openings:
                engine_manual.track(draft, draft.sight())
            engine_service.track(draft, draft.sight())
            engine_service.leave(draft)
            engine_settings.settle(draft)
            if draft.durable.claims:
                engine_claims.expire(draft)
            if draft.durable.holds:
                engine_holds.track(draft, draft.sight())
        if draft.config.sockets:
            engine_sockets.track(draft, image)
        raise_and_clear(draft, sight)
        self._power(draft)

    def _judge(self, draft: Draft, image: Image) -> None:
        judged, verdict = safety.step(
            draft.state.safety,
            image,
            engine_orders.charging(draft),
            draft.now_ms,
            draft.config.safety,
        )
        draft.put(safety=judged, verdict=verdict)
        if judged.latched != draft.durable.safety:
            draft.keep(safety=judged.latched)

    def _power(self, draft: Draft) -> None:
        """Leases, outputs and chargers, by what the reservations and flags are now."""
        image = draft.state.image
        if image is None:
            return
        engine_orders.hold_power(draft)
        engine_sockets.hold_power(draft)
        sight = draft.sight()
        engine_orders.order_chargers(draft, image, sight)

    # --- start ----------------------------------------------------------------------------------

    def _complete(self, draft: Draft, image: Image) -> bool:
        """Whether every slot has been read since start, or waiting longer would not help."""
        if len(image.slots) < self.config.slots:
            return False
        first_ms = draft.state.first_image_ms
        if first_ms is not None and draft.now_ms - first_ms >= self.config.recovery_wait_ms:
            return True
        return all(_known(image, slot.slot, draft.now_ms) for slot in image.slots)

    def _recover(self, draft: Draft, sight: Sight) -> None:
        draft.put(ready=True)
        engine_settings.recheck(draft, self._unfit)
        draft.event("boot", BootBody(software=self.config.software, resumed=resume_id(draft)))
        if not draft.durable.adopted:
            engine_inventory.adopt(draft, sight)
        engine_inventory.tell_all(draft, sight)
        engine_service.recovered(draft)
        draft.journal("boot", resumed=resume_id(draft), epoch=draft.durable.epoch)

    # --- pulses ---------------------------------------------------------------------------------

    def _unlocked(self, draft: Draft, event: UnlockOutcome) -> None:
        draft.journal(
            "unlock-outcome", slot=event.slot, attempt=event.attempt, result=event.result.value
        )
        if engine_manual.pulsed(draft, event.slot, event.attempt, event.result):
            return
        fired = event.result is not UnlockResult.REFUSED
        feed(draft, swap.Pulsed(event.attempt, fired=fired), draft.sight().view)


def _known(image: Image, number: int, now_ms: int) -> bool:
    slot = image.slot(number)
    if slot.door_now(now_ms) is Door.UNKNOWN:
        return False
    match slot.presence_now(now_ms):
        case Presence.ABSENT:
            return True
        case Presence.PRESENT:
            return slot.bms_now(now_ms, _FIRST_READ_AGE_MS) is not None
        case Presence.UNKNOWN:
            return False
