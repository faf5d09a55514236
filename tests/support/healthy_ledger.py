"""A ledger with some of everything that happens at cabinets, told by real events, all in order."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import Struct

from fleet.adapters.passwords import mosquitto_hash
from fleet.core.commands import QueuedCommand
from fleet.core.operations import TECHNICIAN
from fleet.core.records import BatteryRecord, CabinetRecord, Credential, NewCommand, NewSwap
from fleet.stores import Stores
from protocols.messages import Kind, Precondition, Presence, Result, Step
from protocols.offline import rider_number
from tests.support.fleet import T0_MS, Reporter

A, B = "DH-0001", "DH-0002"
RIDERS = 6
ROUNDS = 4
#: Riders who come by number, and the one who is known by it only later.
CLAIMED, UNKNOWN = rider_number(4), rider_number(12)


@dataclass(slots=True)
class Town:
    """Writes the events of two cabinets into a store, and keeps where the packs are."""

    stores: Stores
    reporters: dict[str, Reporter] = field(
        default_factory=lambda: {each: Reporter(each) for each in (A, B)}
    )
    slots: dict[str, dict[int, str]] = field(default_factory=lambda: {A: {}, B: {}})
    held: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def name(self, prefix: str = "S") -> str:
        """The next swap's id."""
        self.count += 1
        return f"{prefix}{self.count:03d}"

    def free(self, cabinet: str) -> int:
        return next(n for n in range(1, 13) if n not in self.slots[cabinet])

    async def tell(self, cabinet: str, *events: Struct) -> None:
        reporter = self.reporters[cabinet]
        # Both cabinets' clocks are right: what is told later happened later.
        arrivals = [reporter.arrival(event) for event in events]  # type: ignore[arg-type]
        outcome = await self.stores.events.commit(arrivals, reporter.wall_ms)
        assert outcome.poison == 0
        now_ms = max(each.wall_ms for each in self.reporters.values()) + 90_000
        for each in self.reporters.values():
            each.wall_ms = now_ms

    async def begin(
        self, kind: Kind, cabinet: str, rider: str, slot: int | None = None
    ) -> tuple[str, QueuedCommand]:
        """Authorise a transaction; the cabinet accepts."""
        swap = self.name()
        now_ms = self.reporters[cabinet].wall_ms
        staff = kind in (Kind.LOAD, Kind.UNLOAD)
        command = await self.stores.swaps.begin(
            NewSwap(
                swap, f"start-{swap}", cabinet, rider, kind, f"key-{swap}", now_ms, now_ms + 20_000,
                slot=slot, actor=TECHNICIAN + rider if staff else "", reason="refill",
            ),
            lambda _: None,
        )  # fmt: skip
        assert isinstance(command, QueuedCommand)
        return swap, command

    async def swap(
        self,
        kind: Kind,
        cabinet: str,
        rider: str,
        *,
        end: Step = Step.COMPLETED,
        reason: str | None = None,
        authority: str = "fleet",
        told_as: str | None = None,
    ) -> str:
        """A whole transaction as its cabinet tells it; ``end`` says how far it comes."""
        if authority == "fleet":
            swap, command = await self.begin(kind, cabinet, rider)
            await self.stores.commands.settle(command, "accepted", T0_MS)
        else:
            swap = self.name(f"off-{cabinet}-1-")
        say, who = self.reporters[cabinet], told_as or rider
        gives, takes = kind is not Kind.PICKUP, kind is not Kind.RETURN
        slot_in = self.free(cabinet) if gives else None
        slot_out = max(self.slots[cabinet]) if takes else None
        about = {
            "rider": who, "kind": kind, "slot_in": slot_in, "slot_out": slot_out,
            "authority": authority,
        }  # fmt: skip
        told = [say.step(swap, Step.RESERVED, **about)]  # type: ignore[arg-type]
        early = end is Step.REJECTED or (end is Step.CANCELLED and reason == "return-timeout")
        given = taken = False
        if slot_in is not None:
            told.append(say.step(swap, Step.VERIFYING, **about))  # type: ignore[arg-type]
            if not early:
                pack, given = self.held.pop(rider), True
                told.append(say.battery("in", pack, slot_in, swap=swap, rider=who))
                self.slots[cabinet][slot_in] = pack
        if slot_out is not None and end is Step.COMPLETED:
            told.append(say.step(swap, Step.OPENING_PICKUP, **about))  # type: ignore[arg-type]
            pack, taken = self.slots[cabinet].pop(slot_out), True
            told.append(say.battery("out", pack, slot_out, swap=swap, rider=who))
            self.held[rider] = pack
        if reason == "own-battery" and given and slot_in is not None:
            pack = self.slots[cabinet].pop(slot_in)
            told.append(say.battery("out", pack, slot_in, swap=swap, rider=who))
            self.held[rider] = pack
        assert taken or end is not Step.COMPLETED or not takes
        told.append(say.step(swap, end, reason=reason, **about))  # type: ignore[arg-type]
        await self.tell(cabinet, *told)
        return swap

    async def work(self, kind: Kind, cabinet: str, staff: str, slot: int, pack: str) -> str:
        """A technician's load or unload."""
        swap, command = await self.begin(kind, cabinet, staff, slot)
        await self.stores.commands.settle(command, "accepted", T0_MS)
        say, load = self.reporters[cabinet], kind is Kind.LOAD
        about = {"rider": staff, "kind": kind, "slot_in" if load else "slot_out": slot}
        way = "in" if load else "out"
        await self.tell(
            cabinet,
            say.step(swap, Step.RESERVED, **about),  # type: ignore[arg-type]
            say.battery(way, pack, slot, swap=swap, rider=staff, cause="technician"),
            say.step(swap, Step.COMPLETED, **about),  # type: ignore[arg-type]
        )
        if load:
            self.slots[cabinet][slot] = pack
        else:
            del self.slots[cabinet][slot]
        return swap

    async def order(self, number: int, outcome: str) -> str:
        """An operator's order and what became of it."""
        id_ = f"op-{number}"
        new = NewCommand(
            id_, A, "slot.open", {"slot": 2}, "operator:li", T0_MS, T0_MS + 20_000,
            reason="pack is stuck", precondition=Precondition(slot=2, presence=Presence.PRESENT),
        )  # fmt: skip
        queued = await self.stores.operations.order(new)
        assert queued is not None
        if outcome == "done":
            await self.stores.commands.settle(queued, "accepted", T0_MS)
            last = Result(id=id_, outcome="done", boot_id="boot-1")
            assert await self.stores.commands.finish(A, last, T0_MS)
        elif outcome != "ordered":
            await self.stores.commands.settle(queued, outcome, T0_MS, reason="precondition")
        return id_


async def healthy(stores: Stores) -> dict[str, str]:
    """Fill an empty store; names of what the corruptions take hold of."""
    town = Town(stores)
    for cabinet in (A, B):
        credential = Credential(cabinet, mosquitto_hash("secret"), None)
        await stores.cabinets.add(CabinetRecord(cabinet, cabinet, 12), credential, T0_MS)
    packs = []
    for cabinet in (A, B):
        for slot in range(1, 9):
            town.slots[cabinet][slot] = serial = f"{cabinet[-1]}P{slot}"
            packs.append(BatteryRecord(serial, "48V", 1_200, f"slot:{cabinet}:{slot}"))
    for number in range(1, RIDERS + 1):
        await stores.riders.add(f"R{number}", f"hash-{number}", "0001", T0_MS)
        town.held[f"R{number}"] = serial = f"RP{number}"
        packs.append(BatteryRecord(serial, "48V", 1_200, f"rider:R{number}"))
    packs += [BatteryRecord(f"T{n}", "48V", 1_200, "transit:zhang") for n in (1, 2)]
    await stores.batteries.add(packs, T0_MS)
    named = await _fill(town)
    assert await stores.audit.audit() == []
    assert await stores.audit.differences() == []
    return named


async def _fill(town: Town) -> dict[str, str]:
    named: dict[str, str] = {}
    for _ in range(ROUNDS):
        for number in range(1, RIDERS + 1):
            cabinet = (A, B)[number % 2]
            named["swap"] = await town.swap(Kind.SWAP, cabinet, f"R{number}")
    named["return"] = await town.swap(Kind.RETURN, A, "R1")
    named["pickup"] = await town.swap(Kind.PICKUP, B, "R1")
    named["rejected"] = await town.swap(Kind.SWAP, A, "R2", end=Step.REJECTED, reason="no-bms")
    named["timeout"] = await town.swap(
        Kind.SWAP, B, "R2", end=Step.CANCELLED, reason="return-timeout"
    )
    named["own"] = await town.swap(Kind.SWAP, A, "R2", end=Step.CANCELLED, reason="own-battery")
    named["own-pack"] = town.held["R2"]
    named["faulted"] = await town.swap(Kind.SWAP, A, "R3", end=Step.FAULTED, reason="not-taken")
    await town.swap(Kind.PICKUP, A, "R3")
    named["load"] = await town.work(Kind.LOAD, A, "zhang", 12, "T1")
    named["unload"] = await town.work(Kind.UNLOAD, A, "zhang", 12, "T1")
    for kind in (Kind.SWAP, Kind.SWAP, Kind.RETURN, Kind.PICKUP):
        named["offline"] = await town.swap(kind, B, "R4", authority="code")
    town.held[f"no.{UNKNOWN}"] = "RP0"
    named["stranger"] = await town.swap(
        Kind.SWAP, B, f"no.{UNKNOWN}", authority="code", told_as=f"no.{UNKNOWN}"
    )
    town.held[f"no.{CLAIMED}"] = "RP00"
    await town.swap(Kind.SWAP, B, f"no.{CLAIMED}", authority="code", told_as=f"no.{CLAIMED}")
    await town.stores.riders.set_number("R5", CLAIMED, "test", T0_MS)
    silent, command = await town.begin(Kind.SWAP, A, "R6")
    await town.stores.commands.settle(
        command, "expired", T0_MS, reason="no-answer", verdict=Step.CANCELLED
    )
    named["silent"] = silent
    await _surprises(town, named)
    for number, outcome in enumerate(("done", "refused", "done", "ordered"), start=1):
        named[f"order-{number}"] = await town.order(number, outcome)
    named["asked"], _ = await town.begin(Kind.SWAP, A, "R6")
    return named


async def _surprises(town: Town, named: dict[str, str]) -> None:
    """A pack that vanished, one that was found, a foreign one, and one told by two cabinets."""
    a, b = town.reporters[A], town.reporters[B]
    slot, pack = next(iter(town.slots[A].items()))
    await town.tell(A, a.inventory({}, absent=(slot,)))
    await town.tell(A, a.inventory({slot: pack, 11: "FOREIGN-1"}))
    other, named["disputed"] = next(iter(town.slots[B].items()))
    await town.tell(A, a.battery("in", named["disputed"], 10))  # B has not told that it left
    named["disputed-from"] = f"slot:{B}:{other}"
    await town.tell(B, b.alarm(), b.alarm())
