"""One cabinet: the real act loop and delivery on a modelled disk, rack and link.

It carries out what ``cabinet.core.act`` asks for in the order of ``cabinet.runtime.pump``, and
between any two of these requests the power may go. It looks when something has changed, and at
growing intervals after that, which finds every deadline of the engine soon after it is due without
spending time on a cabinet in which nothing happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cabinet.core.act import Acting, Answer, Commit, Do, Load, Request, Tell
from cabinet.core.charge import PackLimits
from cabinet.core.delivery import Delivery, KeepAck, sender_of
from cabinet.core.engine import (
    CommandReceived,
    Engine,
    EngineConfig,
    Input,
    JournalOutrun,
    Now,
    Observed,
    Outcome,
    State,
    UnlockOutcome,
)
from cabinet.core.model import (
    Effect,
    Indicate,
    SetCharger,
    SetOutput,
    SetSlotAc,
    SetSocket,
    Unlock,
    UnlockResult,
)
from cabinet.core.records import Restored, Write
from cabinet.core.swap_model import (
    AwaitBack,
    AwaitClose,
    AwaitPickup,
    AwaitReturn,
    Cancelling,
    OpeningBack,
    OpeningPickup,
    OpeningReturn,
    Verifying,
    is_active,
)
from protocols.errors import MessageError
from protocols.messages import Ack, Command, Status, encode
from protocols.topics import Leaf
from simulator.world.disk import Disk, DuplicateEventError
from simulator.world.link import Link
from simulator.world.truth import Bay, Rack
from simulator.world.watch import Violation

if TYPE_CHECKING:
    from simulator.world.people import Person
    from simulator.world.world import World

WALL_MS: Final = 1_790_000_000_000
#: When to look again though nothing has changed: just after the next deadline that may be due, by
#: what is under way; then twice as long each time.
LOOK_AFTER_MS: Final[dict[type, int]] = {
    OpeningReturn: 2_600,
    OpeningBack: 2_600,
    OpeningPickup: 2_600,
    Verifying: 1_050,
    Cancelling: 3_050,
    AwaitReturn: 10_000,
    AwaitBack: 10_000,
    AwaitPickup: 10_000,
    AwaitClose: 10_000,
}
LOOK_SETTLING_MS: Final = 3_050
LOOK_STARTING_MS: Final = 500
LOOK_FACTOR: Final = 2
LOOK_MAX_MS: Final = 45_000
POLL_MS: Final = 60
#: A command is judged by a picture not older than this.
FRESH_MS: Final = 300


class PowerCutError(Exception):
    """The cabinet is dark at this very point."""


class Node:
    """A cabinet with everything in it."""

    def __init__(self, world: World, cabinet: str, slots: int) -> None:
        self.world = world
        self.id = cabinet
        self.rack = Rack(slots)
        self.disk = Disk()
        self.link = Link(self)
        self.config = EngineConfig(
            cabinet=cabinet,
            slots=slots,
            software="world",
            pack=PackLimits(),
            breaker_w=3_500,
            power_default_w=2_000,
            target_soc_pct=90,
        )
        self.engine = Engine(self.config, world.verify, self._token)
        self.acting: Acting | None = None
        self.delivery: Delivery | None = None
        self.boots = 0
        self.handling: Command | None = None
        self.present: list[Person] = []
        self.disk_dead_until_ms = 0
        self.skew_ms = 0
        self.synced = True
        self._tokens = 0
        self._mono_base_ms = 0
        self._session = 0
        self._looked_ms = -1
        self._look_number = 0
        self._look_due_ms = 0
        self._wait_ms = 0
        self._resend_armed = False
        self._cut_at_effect = False

    def _token(self) -> str:
        self._tokens += 1
        return f"{self.id}-{self._tokens}"

    # --- time ---------------------------------------------------------------------------------

    @property
    def mono_ms(self) -> int:
        """Its monotonic clock; starts anew with the computer."""
        return self.world.time.now_ms - self._mono_base_ms

    def now(self) -> Now:
        """What its decisions know of the time."""
        wall_ms = WALL_MS + self.world.time.now_ms + self.skew_ms
        return Now(self.mono_ms, wall_ms, self.synced)

    # --- power --------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start the daemon on what is on the disk."""
        if self.acting is not None:
            return
        self.boots += 1
        restored = self.disk.restored()
        state = self.engine.initial(restored, f"{self.id}-boot-{self.boots}")
        self.acting = Acting(self.engine, state)
        sender = sender_of(restored, state.durable)
        self.delivery = Delivery(self.id, sender, self.world.rng.random)
        self.world.note("boot", self.id, self.boots, type(state.durable.swap).__name__)
        self.poke(200)
        self.world.time.after(300 + int(self.world.rng.random() * 1_500), self.connect, self.boots)

    def power_off(self, why: str, off_ms: int, *, reboot: bool) -> None:
        """The daemon is gone; with ``reboot`` the whole computer, and its monotonic clock."""
        if self.acting is None:
            return
        self.world.note("off", self.id, why, off_ms)
        self.acting = self.delivery = None
        self.handling = None
        self._cut_at_effect = False
        self.disconnect()
        self.rack.power_lost()
        for bay in self.rack.bays.values():
            bay.forget_readings()
            bay.prompt = ""
        if reboot:
            self._mono_base_ms = self.world.time.now_ms + off_ms - 5_000
        self.world.time.after(off_ms, self.boot)

    # --- looking ------------------------------------------------------------------------------

    def poke(self, delay_ms: int = POLL_MS) -> None:
        """Something has changed: look soon."""
        self._wait_ms = 0
        due_ms = self.world.time.now_ms + delay_ms
        if self._look_due_ms <= self.world.time.now_ms or due_ms < self._look_due_ms:
            self._arm(delay_ms)

    def _arm(self, delay_ms: int) -> None:
        self._look_number += 1
        self._look_due_ms = self.world.time.now_ms + delay_ms
        self.world.time.after(delay_ms, self._look_due, self._look_number)

    def _look_due(self, number: int) -> None:
        if number == self._look_number and self.acting is not None:
            self.look()

    def look(self) -> None:
        """Read everything and decide."""
        if self.acting is None:
            return
        self._looked_ms = self.world.time.now_ms
        before = self.acting.state.durable
        self.step(Observed(self.rack.image(self.world.time.now_ms, self.mono_ms)))
        acting = self._survivor()
        if acting is None:
            return
        if self._wait_ms == 0 or acting.state.durable is not before:
            self._wait_ms = _next_look_ms(acting.state)
        self._arm(self._wait_ms)
        self._wait_ms = min(LOOK_MAX_MS, self._wait_ms * LOOK_FACTOR)

    def _survivor(self) -> Acting | None:
        """The act loop, unless the power went meanwhile."""
        return self.acting

    # --- deciding -----------------------------------------------------------------------------

    def step(self, event: Input) -> None:
        """One turn of the act loop; the power may go at any of its requests."""
        if self.acting is None:
            return
        turn = self.acting.turn(event, self.now)
        answer: Answer = None
        try:
            while True:
                answer = self._carry_out(turn.send(answer))
        except StopIteration:
            pass
        except PowerCutError as cut:
            turn.close()
            off_ms = 2_000 + int(self.world.rng.random() * 20_000)
            self.power_off(str(cut), off_ms, reboot=self.world.rng.random() < 0.5)

    def _carry_out(self, request: Request) -> Answer:
        match request:
            case Commit(writes):
                return self._commit(writes)
            case Do(effect):
                self._do(effect)
            case Tell(outcome):
                self._tell(outcome)
            case Load():
                return self._load()
        return None

    def _commit(self, writes: Sequence[Write]) -> str | None:
        if self.world.time.now_ms < self.disk_dead_until_ms:
            return "disk dead"
        if not writes:
            return None
        rates, dice = self.world.profile.commit, self.world.rng.random()
        edge = rates["cut-before"]
        if dice < edge:
            raise PowerCutError("before a commit")
        edge += rates["fail-clean"]
        if dice < edge:
            self._break_disk()
            return "disk error, nothing written"
        try:
            self.disk.commit(writes)
        except DuplicateEventError as error:
            raise Violation("journal-broken", f"{self.id}: {error}") from error
        self.world.watch.kept(self, writes)
        edge += rates["cut-after"]
        if dice < edge:
            raise PowerCutError("after a commit")
        edge += rates["fail-late"]
        if dice < edge:
            self._break_disk()
            return "disk error, all written"
        self._cut_at_effect = dice < edge + rates["cut-between-effects"]
        return None

    def _break_disk(self) -> None:
        until_ms = self.world.time.now_ms + int(self.world.rng.random() * 4_000)
        self.disk_dead_until_ms = max(self.disk_dead_until_ms, until_ms)
        self.world.note("disk-error", self.id)
        self.poke(1_100)

    def _load(self) -> Restored | str:
        if self.world.time.now_ms < self.disk_dead_until_ms:
            self.poke(1_100)
            return "disk dead"
        return self.disk.restored()

    def _tell(self, outcome: Outcome) -> None:
        assert self.delivery is not None
        for result in outcome.replies:
            self.world.watch.answered(self, result)
        if self.delivery.adopted(outcome) and self.link.up:
            self.world.time.after(0, self._send_events, self.boots)
        if outcome.replies and self.link.up:
            self.world.time.after(0, self._send_answers, self.boots)

    # --- effects ------------------------------------------------------------------------------

    def _do(self, effect: Effect) -> None:
        match effect:
            case Unlock():
                self._pulse(effect)
                if self._cut_at_effect:
                    raise PowerCutError("after a pulse was sent")
            case SetCharger(slot=slot):
                self.rack.chargers[slot] = effect
            case SetSlotAc(slot, on):
                self.rack.ac[slot] = on
            case SetOutput(output, on):
                self.rack.outputs[output] = on
            case SetSocket():
                pass  # these cabinets have no sockets
            case Indicate(slot, _, prompt):
                if slot is not None:
                    self.rack.bays[slot].prompt = prompt

    def _pulse(self, unlock: Unlock) -> None:
        world = self.world
        world.watch.pulse(self, unlock)
        world.note("pulse", self.id, unlock.slot, unlock.attempt)
        rates, dice = world.profile.pulse, world.rng.random()
        wire_ms = 30 + int(world.rng.random() * 150)
        result, fires = UnlockResult.SENT, True
        edge = rates["refused"]
        if dice < edge:
            result, fires = UnlockResult.REFUSED, False
        elif dice < edge + rates["no-reply-fired"]:
            result, wire_ms = UnlockResult.NO_REPLY, wire_ms + 400
        elif dice < edge + rates["no-reply-fired"] + rates["no-reply-lost"]:
            result, fires, wire_ms = UnlockResult.NO_REPLY, False, wire_ms + 400
        bay = self.rack.bays[unlock.slot]
        if fires:
            spring_ms = 80 + int(world.rng.random() * 150)
            if world.rng.random() < rates["slow-door"]:
                spring_ms += int(world.rng.random() * 1_400)
            if world.rng.random() < rates["jam"]:
                bay.jammed = True
                world.time.after(4_000 + int(world.rng.random() * 30_000), self._unjam, bay)
            world.time.after(25 + spring_ms, self._spring, bay, unlock.attempt)
        world.time.after(wire_ms, self._outcome, self.boots, unlock, result)

    def _unjam(self, bay: Bay) -> None:
        bay.jammed = False

    def _spring(self, bay: Bay, attempt: str) -> None:
        """The lock has let go of its door, whatever became of the daemon meanwhile."""
        if bay.door_open or bay.jammed:
            return
        bay.door_open = True
        self.world.watch.opened(self, bay.number, attempt)
        self.world.note("open", self.id, bay.number)
        self.poke()
        for person in list(self.present):
            person.door_opened(bay)
        self.world.passer_by(self, bay)

    def _outcome(self, boot: int, unlock: Unlock, result: UnlockResult) -> None:
        if boot == self.boots and self.acting is not None:
            self.world.watch.outcome(self, unlock, result)
            self.step(UnlockOutcome(unlock.slot, unlock.attempt, result))
            self.poke(200)

    # --- the link -----------------------------------------------------------------------------

    def connect(self, boot: int) -> None:
        """A session begins, if this boot still lives."""
        if boot != self.boots or self.acting is None or self.delivery is None or self.link.up:
            return
        self.link.up = True
        self._session += 1
        self.delivery.connected()
        self.link.upwards(Leaf.STATUS, encode(self._status(online=True)))
        self.link.subscribe()
        self._send_events(boot)
        self._send_answers(boot)
        self.tell_telemetry()

    def disconnect(self, away_ms: int | None = None) -> None:
        """The session ends without a word; its will comes later, and in the end a new session."""
        if not self.link.up:
            return
        self.link.up = False
        will = Status(
            online=False,
            session=self._session,
            boot_id=f"{self.id}-boot-{self.boots}",
            epoch=1,
            software="world",
        )
        rng = self.world.rng
        self.world.time.after(
            500 + int(rng.random() * 8_000),
            self.world.fleet.on_message,
            self.id,
            Leaf.STATUS,
            encode(will),
        )
        if away_ms is None:
            away_ms = 300 + int(rng.random() * 10_000)
        self.world.time.after(away_ms, self.connect, self.boots)

    def _status(self, *, online: bool) -> Status:
        assert self.acting is not None
        state = self.acting.state
        return Status(
            online=online,
            session=self._session,
            boot_id=state.boot_id,
            epoch=state.durable.epoch,
            software="world",
            slots=self.config.slots,
            lists_version=state.lists.version,
        )

    def tell_status(self) -> None:
        """The broker hands the retained status to a fleet that subscribes anew."""
        if self.link.up and self.acting is not None:
            self.link.upwards(Leaf.STATUS, encode(self._status(online=True)))

    def tell_telemetry(self) -> None:
        """Latest state, for the fleet's picture."""
        self._freshen()
        if self.link.up and self.acting is not None:
            self.link.upwards(Leaf.TELEMETRY, encode(self.acting.telemetry(self.now())))

    def _send_answers(self, boot: int) -> None:
        if boot != self.boots or self.delivery is None or not self.link.up:
            return
        while self.delivery.answers:
            self.link.upwards(Leaf.RESULT, encode(self.delivery.answers.popleft()))

    def _send_events(self, boot: int) -> None:
        if boot != self.boots or self.delivery is None or not self.link.up:
            return
        batch = self.delivery.due(self.mono_ms)
        if batch is not None:
            if self.world.time.now_ms >= self.disk_dead_until_ms:
                for event in self.disk.events(batch.epoch, batch.numbers):
                    self.link.upwards(Leaf.EVENT, encode(event))
            self.delivery.published(batch, self.mono_ms)
        due_ms = self.delivery.sender.resend_at_ms
        if due_ms is not None and not self._resend_armed:
            self._resend_armed = True
            self.world.time.after(due_ms - self.mono_ms + 1, self._resend, boot)

    def _resend(self, _boot: int) -> None:
        self._resend_armed = False
        self._send_events(self.boots)

    def on_message(self, topic: str, payload: bytes) -> None:
        """What the broker brings."""
        if self.acting is None or self.delivery is None:
            return
        try:
            order = self.delivery.read(topic, payload, retained=False)
        except MessageError:
            return
        if isinstance(order, Ack):
            self._acknowledged(order)
        elif isinstance(order, CommandReceived):
            self._command(order)
        elif order is not None:
            self.step(order)

    def _freshen(self) -> None:
        """The pollers have read everything a moment ago, whether or not the engine has looked."""
        if self.world.time.now_ms - self._looked_ms > FRESH_MS:
            self.look()

    def _command(self, order: CommandReceived) -> None:
        self._freshen()
        self.handling = order.command
        self.step(order)
        self.world.watch.used(self, order.command)
        self.handling = None
        self.poke(150)

    def _acknowledged(self, ack: Ack) -> None:
        assert self.delivery is not None
        match self.delivery.acknowledged(ack, self.now()):
            case KeepAck():
                if self.world.time.now_ms >= self.disk_dead_until_ms:
                    self.disk.acknowledge(ack)
                self._send_events(self.boots)
            case JournalOutrun() as outrun:
                self.step(outrun)
            case None:
                pass


def _next_look_ms(state: State) -> int:
    """How long nothing can be due when nothing changes."""
    if not state.ready:
        return LOOK_STARTING_MS
    if is_active(state.durable.swap):
        return LOOK_AFTER_MS.get(type(state.durable.swap), LOOK_SETTLING_MS)
    settling = any(what != "open" for what, _ in state.since_ms)
    return LOOK_SETTLING_MS if settling else LOOK_MAX_MS
