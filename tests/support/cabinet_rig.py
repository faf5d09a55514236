"""A toy cabinet under the real engine: hands, wires and a fleet that signs, all in one thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from cabinet.core.charge import PackLimits
from cabinet.core.engine import Engine
from cabinet.core.engine_model import (
    ChallengeReceived,
    CommandReceived,
    EngineConfig,
    Input,
    Now,
    Observed,
    OfflineAnswer,
    Outcome,
    State,
    UnlockOutcome,
)
from cabinet.core.model import (
    BmsReading,
    ChargerReading,
    ClimateReading,
    Effect,
    Image,
    InputReading,
    MeterReading,
    Output,
    SetCharger,
    SetOutput,
    SetSlotAc,
    SetSocket,
    SlotImage,
    SocketImage,
    Unlock,
    UnlockResult,
)
from cabinet.core.model import Input as Contact
from cabinet.core.records import EventRow, Restored, ResultRow, SnapshotRow, Write
from protocols.messages import (
    Challenge,
    Command,
    Door,
    Event,
    Kind,
    Presence,
    Result,
    event_body,
    signing_bytes,
)

CABINET = "DH-0001"
WALL_MS = 1_790_000_000_000
GOOD = "good"


def verify(data: bytes, sig: str) -> bool:
    """A signature is the word and the length of what was signed."""
    return sig == f"{GOOD}-{len(data)}"


def signed(message: Any) -> Any:
    bare = msgspec.structs.replace(message, sig="")
    return msgspec.structs.replace(bare, sig=f"{GOOD}-{len(signing_bytes(bare))}")


@dataclass
class Hole:
    """One slot as it really is."""

    serial: str | None = None
    soc_pct: int = 100
    door: Door = Door.CLOSED
    temp_c: float = 25.0
    air_c: float = 25.0
    silent: bool = False
    blind: bool = False  # the door's board is silent
    jammed: bool = False
    cells: int = 13
    protection: frozenset[str] = frozenset()
    capacity_ah: float = 0.0  # tells nothing of its age
    cycles: int = 0
    last_bms: BmsReading | None = None
    contact_ms: int = 0


@dataclass
class Rig:
    """``run`` lets time pass; what the engine orders happens at once unless told otherwise."""

    slots: int = 4
    config: EngineConfig | None = None
    restored: Restored = field(default_factory=Restored)
    synced: bool = True
    now_ms: int = 1_000_000
    holes: dict[int, Hole] = field(default_factory=dict)
    contacts: dict[Contact, bool] = field(default_factory=dict)
    offline: frozenset[str] = frozenset()
    answer: UnlockResult = UnlockResult.SENT
    deaf: bool = False  # what became of a pulse is not heard of
    power_w: float = 50.0
    group_keys: tuple[bytes, ...] = ()
    jump_ms: int = 0  # how far the wall clock is off
    plugs: dict[int, float] = field(default_factory=dict)  # watts that each socket would draw
    meters_silent: bool = False  # of the sockets, since the start

    def __post_init__(self) -> None:
        if not self.holes:
            self.holes = {n: Hole() for n in range(1, self.slots + 1)}
            self.holes[1] = Hole("YZ48-000001", 99)
            self.holes[2] = Hole("YZ48-000002", 96)
        self.config = self.config or EngineConfig(
            cabinet=CABINET,
            slots=self.slots,
            software="test",
            pack=PackLimits(),
            breaker_w=3_000,
            power_default_w=1_000,
            target_soc_pct=90,
        )
        self.tokens = 0
        self.engine = Engine(self.config, verify, self.token, self.group_keys)
        self.writes: list[Write] = []
        self.effects: list[Effect] = []
        self.replies: list[Result] = []
        self.answers: list[OfflineAnswer] = []
        self.chargers: dict[int, SetCharger] = {}
        self.ac: dict[int, bool] = {}
        self.outputs: dict[Output, bool] = {}
        self.sockets: dict[int, bool] = {}
        self.socket_wh = dict.fromkeys(self.plugs, 1000.0)
        self.command_seq = 0
        self.boots = 0
        self.disk: Restored = self.restored
        self.boot()

    # --- boot and disk --------------------------------------------------------------------------

    def token(self) -> str:
        self.tokens += 1
        return f"nonce-{self.tokens}"

    def boot(self) -> None:
        """Start the daemon on what is on the disk; all devices have fallen to safe."""
        self.boots += 1
        self.chargers, self.ac, self.outputs, self.sockets = {}, {}, {}, {}
        for hole in self.holes.values():
            hole.last_bms = None
        self.state: State = self.engine.initial(self.disk, f"boot-{self.boots}")

    def _commit(self, outcome: Outcome) -> None:
        self.writes += outcome.writes
        for row in outcome.writes:
            if isinstance(row, SnapshotRow):
                self.disk = replace(self.disk, snapshot=row.data)
            elif isinstance(row, ResultRow):
                kept = tuple(r for r in self.disk.results if r.id != row.result.id)
                self.disk = replace(self.disk, results=(*kept, row.result))

    # --- time and sensors -----------------------------------------------------------------------

    @property
    def now(self) -> Now:
        return Now(self.now_ms, WALL_MS + self.now_ms + self.jump_ms, self.synced)

    def image(self) -> Image:
        return Image(
            slots=tuple(self._slot(n, hole) for n, hole in self.holes.items()),
            inputs={c: InputReading(self.contacts.get(c, False), self.now_ms) for c in Contact},
            meter=MeterReading(self.now_ms, self.power_w, 1_000.0),
            climate=ClimateReading(self.now_ms, 25.0, 40.0),
            devices_offline=self.offline,
            sockets=tuple(self._socket(number) for number in self.plugs),
        )

    def _socket(self, number: int) -> SocketImage:
        live = self.sockets.get(number, False)
        power_w = self.plugs[number] if live else 0.0
        meter = MeterReading(self.now_ms, power_w, self.socket_wh[number])
        meter = None if self.meters_silent else meter
        return SocketImage(number, live=live, meter=meter)

    def _slot(self, number: int, hole: Hole) -> SlotImage:
        if not hole.blind:
            hole.contact_ms = self.now_ms
        if hole.serial and not hole.silent:
            hole.last_bms = BmsReading(
                at_ms=self.now_ms,
                serial=hole.serial,
                soc_pct=hole.soc_pct,
                voltage_v=48.0,
                current_a=0.0,
                cell_v=(3.7,) * hole.cells,
                temps_c=(hole.temp_c,),
                protection=hole.protection,
                capacity_ah=hole.capacity_ah,
                cycles=hole.cycles,
            )
        elif hole.serial is None:
            hole.last_bms = None
        return SlotImage(
            slot=number,
            door=hole.door,
            door_at_ms=hole.contact_ms,
            presence=Presence.PRESENT if hole.serial else Presence.ABSENT,
            presence_at_ms=hole.contact_ms,
            bms=hole.last_bms,
            charger=self._charger(number, hole),
        )

    def _charger(self, number: int, hole: Hole) -> ChargerReading | None:
        if not (self.outputs.get(Output.CONTACTOR) and self.ac.get(number)):
            return None
        order = self.chargers.get(number)
        on = order is not None and order.on
        return ChargerReading(
            at_ms=self.now_ms,
            output_on=on,
            voltage_set_v=order.voltage_v if order else 0.0,
            current_set_a=order.current_a if order else 0.0,
            voltage_v=48.0,
            current_a=order.current_a if order and on else 0.0,
            power_w=48.0 * order.current_a if order and on else 0.0,
            air_temp_c=hole.air_c,
        )

    # --- driving --------------------------------------------------------------------------------

    def feed(self, event: Input) -> Outcome:
        outcome = self.engine.step(self.state, event, self.now)
        self._commit(outcome)
        self.state = outcome.state
        self.replies += outcome.replies
        self.answers += outcome.answers
        self.effects += outcome.effects
        for effect in outcome.effects:
            self._happen(effect)
        return outcome

    def _happen(self, effect: Effect) -> None:
        match effect:
            case Unlock(slot, attempt):
                hole = self.holes[slot]
                if self.answer is not UnlockResult.REFUSED and not hole.jammed:
                    hole.door = Door.OPEN
                if not self.deaf:
                    self.feed(UnlockOutcome(slot, attempt, self.answer))
            case SetCharger(slot=slot):
                self.chargers[slot] = effect
            case SetSlotAc(slot, on):
                self.ac[slot] = on
            case SetOutput(output, on):
                self.outputs[output] = on
            case SetSocket(socket, on):
                self.sockets[socket] = on

    def run(self, ms: int, every_ms: int = 100) -> Rig:
        for _ in range(0, ms, every_ms):
            self.now_ms += every_ms
            for number, on in self.sockets.items():
                self.socket_wh[number] += self.plugs[number] * on * every_ms / 3_600_000
            self.feed(Observed(self.image()))
        return self

    def ready(self) -> Rig:
        self.run(300)
        assert self.state.ready
        return self

    # --- hands and fleet ------------------------------------------------------------------------

    def put(self, slot: int, serial: str, soc_pct: int = 20, **more: Any) -> None:
        self.holes[slot] = replace(
            self.holes[slot], serial=serial, soc_pct=soc_pct, last_bms=None, **more
        )

    def take(self, slot: int) -> None:
        self.holes[slot] = replace(self.holes[slot], serial=None, last_bms=None, silent=False)

    def shut(self, slot: int) -> None:
        self.holes[slot].door = Door.CLOSED

    def nonce(self) -> str:
        self.feed(ChallengeReceived(Challenge(id="challenge")))
        return self.replies[-1].nonces[0]

    def order(self, kind: str, args: dict[str, Any] | None = None, **more: Any) -> Command:
        self.command_seq += 1
        fields: dict[str, Any] = {
            "id": f"cmd-{self.command_seq}",
            "cabinet": CABINET,
            "seq": self.command_seq,
            "type": kind,
            "args": args or {},
            "expires_at_ms": WALL_MS + self.now_ms + 60_000,
            "ttl_ms": 15_000,
            "boot_id": self.state.boot_id,
            "actor": "fleet",
            **more,
        }
        if "nonce" not in fields:
            fields["nonce"] = self.nonce()
        return signed(Command(**fields))

    def command(self, kind: str, args: dict[str, Any] | None = None, **more: Any) -> Result:
        return self.send(self.order(kind, args, **more))

    def send(self, command: Command) -> Result:
        before = len(self.replies)
        self.feed(CommandReceived(command))
        return self.replies[before]

    def start(self, kind: Kind = Kind.SWAP, swap_id: str = "SWAP-1", **args: Any) -> Result:
        body = {"kind": kind.value, "rider_id": "R234567ABCDEF", **args}
        return self.command("swap.start", body, swap_id=swap_id)

    # --- what came of it ------------------------------------------------------------------------

    def events(self, kind: str | None = None) -> list[Event]:
        events = [row.event for row in self.writes if isinstance(row, EventRow)]
        return [e for e in events if kind is None or e.type == kind]

    def bodies(self, kind: str) -> list[Any]:
        return [event_body(event) for event in self.events(kind)]

    def steps(self) -> list[str]:
        return [body.step.value for body in self.bodies("swap.step")]

    def of(self, kind: type, effects: Sequence[Effect] | None = None) -> list[Any]:
        return [e for e in (self.effects if effects is None else effects) if isinstance(e, kind)]

    def whole_swap(self, serial: str = "OLD-1", **start: Any) -> Rig:
        assert self.start(**start).outcome == "accepted"
        self.run(300)
        self.put(3, serial)
        self.run(200)
        self.shut(3)
        self.run(500)
        self.take(1)
        self.run(300)
        self.shut(1)
        self.run(3_000)
        return self
