"""What goes wrong around a visit, by name; the rates stand in ``profile``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from cabinet.core.swap_model import is_active
from fleet.core.ids import slot_holder
from protocols.messages import Command, Presence, decode, encode
from simulator.world.truth import Bay

if TYPE_CHECKING:
    from simulator.world.node import Node

ILLS: Final = ("charge-over-temp", "short-circuit", "front-end-error")
_SPAN_MS: Final = 25_000
Fault = Callable[["Node"], None]


def plan(node: Node, share: float = 1.0) -> None:
    """Let the dice decide what strikes during the transaction that begins."""
    world = node.world
    for name, rate in world.profile.visit.items():
        if rate and world.rng.random() < rate * share:
            delay_ms = int(world.rng.random() * _SPAN_MS)
            world.time.after(delay_ms, _strike, name, node)


def _strike(name: str, node: Node) -> None:
    if node.world.healing:
        return
    node.world.note("fault", name, node.id)
    FAULTS[name](node)


def _span(node: Node, low_ms: int, high_ms: int) -> int:
    return low_ms + int(node.world.rng.random() * (high_ms - low_ms))


def _until(node: Node, low_ms: int, high_ms: int) -> int:
    """A moment in the future, at which the node looks again."""
    span_ms = _span(node, low_ms, high_ms)
    node.poke()
    node.world.time.after(span_ms + 30, node.poke)
    return node.world.time.now_ms + span_ms


def _any(node: Node, *, loaded: bool | None = None) -> Bay | None:
    bays = [
        bay for bay in node.rack.bays.values() if loaded is None or (bay.pack is not None) is loaded
    ]
    return bays[int(node.world.rng.random() * len(bays))] if bays else None


def _likely(node: Node) -> Bay:
    """A bay that matters now, when there is one."""
    chance = node.world.chance(0.6)
    acting = node.acting
    job = getattr(acting.state.durable.swap, "job", None) if acting is not None else None
    if chance and job is not None:
        slots = [slot for slot in (job.slot_in, job.slot_out) if slot is not None]
        if slots:
            return node.rack.bays[slots[int(node.world.rng.random() * len(slots))]]
    bay = _any(node)
    assert bay is not None
    return bay


def _power_cut(node: Node) -> None:
    node.power_off("power cut", _span(node, 2_000, 60_000), reboot=True)


def _kill(node: Node) -> None:
    node.power_off("killed", _span(node, 2_000, 5_000), reboot=False)


def _link_drop(node: Node) -> None:
    node.disconnect()


def _broker_amnesia(node: Node) -> None:
    world = node.world
    for other in world.nodes:
        other.link.forget()
        other.disconnect()
    world.time.after(_span(node, 1_000, 20_000), world.fleet.publish_lists)


def _door_jam(node: Node) -> None:
    bay = _likely(node)
    bay.jammed = True
    if node.world.chance(0.7):
        node.world.time.after(_span(node, 5_000, 60_000), _unjam, bay)


def _unjam(bay: Bay) -> None:
    bay.jammed = False


def _door_blind(node: Node) -> None:
    _likely(node).blind_until_ms = _until(node, 500, 14_000)


def _door_lie(node: Node) -> None:
    _likely(node).door_lie_until_ms = _until(node, 500, 10_000)


def _presence_lie(node: Node) -> None:
    bay = _likely(node)
    if bay.half or bay.silent_until_ms > node.world.time.now_ms:
        return  # one liar at a time, or nobody could know the truth
    bay.presence_lie = Presence.ABSENT if bay.pack is not None else Presence.PRESENT
    short = node.world.chance(0.6)
    bay.presence_lie_until_ms = _until(node, 100, 900) if short else _until(node, 1_000, 9_000)


def _bms_silent(node: Node) -> None:
    bay = _likely(node)
    if node.world.technician in node.present:
        return  # he looks whether the plug fits
    if bay.presence_lie_until_ms <= node.world.time.now_ms:
        bay.silent_until_ms = _until(node, 2_000, 40_000)


def _bms_nameless(node: Node) -> None:
    bay = _any(node, loaded=True)
    if bay is not None and node.world.technician not in node.present:
        bay.nameless_until_ms = _until(node, 1_000, 30_000)


def _pack_ill(node: Node) -> None:
    world = node.world
    bay = _likely(node) if world.chance(0.7) else None
    person = world.riders[int(world.rng.random() * len(world.riders))]
    pack = bay.pack if bay is not None else (person.hands[0] if person.hands else None)
    if pack is not None:
        pack.ill = ILLS[int(world.rng.random() * len(ILLS))]
        node.poke(1_050)


def _fleet_crash(node: Node) -> None:
    node.world.fleet.crash(_span(node, 1_000, 12_000))


def _fleet_restore(node: Node) -> None:
    node.world.fleet.restore(_span(node, 1_000, 12_000))


def _clock_jump(node: Node) -> None:
    """A wrong clock that knows it, or a small error that nobody knows.

    Only clocks tell the ledger in which order two cabinets saw a pack when both send again after a
    restore, so with two cabinets nobody's clock is unknown.
    """
    world = node.world
    if len(world.nodes) > 1 or world.chance(0.3):
        node.skew_ms = _span(node, -20_000, 20_000)
    else:
        node.skew_ms = _span(node, -5 * 86_400_000, 5 * 86_400_000)
        node.synced = False
    world.time.after(_span(node, 5_000, 90_000), _clock_right, node)


def _clock_right(node: Node) -> None:
    node.skew_ms, node.synced = 0, True


def _disk_dead(node: Node) -> None:
    node.disk_dead_until_ms = _until(node, 500, 20_000)


def _smoke(node: Node) -> None:
    node.rack.smoke = True
    node.poke()
    node.world.time.after(_span(node, 3_000, 20_000), _smoke_gone, node)


def _smoke_gone(node: Node) -> None:
    node.rack.smoke = False
    node.poke()


def _replay(node: Node) -> None:
    commands = node.link.commands
    if commands:
        payload = commands[int(node.world.rng.random() * len(commands))]
        node.world.time.after(_span(node, 0, 40_000), node.link.replay, payload)


def _forgery(node: Node) -> None:
    """An eavesdropper knows a good nonce, but has no key."""
    if not node.link.commands or node.acting is None or not node.acting.state.nonces:
        return
    last = decode(node.link.commands[-1], Command)
    forged = msgspec.structs.replace(
        last,
        id=f"forged-{node.world.time.now_ms}",
        type="slot.open",
        args={"slot": 1},
        swap_id=None,
        seq=last.seq + 1,
        nonce=node.acting.state.nonces[-1].value,
        boot_id=node.acting.state.boot_id,
    )
    node.link.replay(encode(forged))


def _echo(node: Node) -> None:
    swaps = list(node.world.watch.swaps)
    if swaps:
        swap_id = swaps[-1 - int(node.world.rng.random() * min(3, len(swaps)))]
        if node.world.watch.swaps[swap_id] == node.id:
            node.world.fleet.echo(swap_id)


def _stray_pack(node: Node) -> None:
    """The power is off, and somebody with a key moves a pack to another slot."""
    acting = node.acting
    if acting is None or node.present or is_active(acting.state.durable.swap):
        return
    node.power_off("service", 20_000, reboot=True)
    node.world.time.after(5_000, _move_pack, node)


def _move_pack(node: Node) -> None:
    if node.acting is not None:
        return
    source, target = _any(node, loaded=True), _any(node, loaded=False)
    if source is None or target is None or source.door_open or target.door_open:
        return
    pack = source.pack
    assert pack is not None
    source.pack, target.pack = None, pack
    pack.place = slot_holder(node.id, target.number)
    node.world.note("moved by key", node.id, source.number, target.number, pack.serial)


FAULTS: Final[dict[str, Fault]] = {
    "power-cut": _power_cut,
    "kill": _kill,
    "link-drop": _link_drop,
    "broker-amnesia": _broker_amnesia,
    "door-jam": _door_jam,
    "door-blind": _door_blind,
    "door-lie": _door_lie,
    "presence-lie": _presence_lie,
    "bms-silent": _bms_silent,
    "bms-nameless": _bms_nameless,
    "pack-ill": _pack_ill,
    "fleet-crash": _fleet_crash,
    "fleet-restore": _fleet_restore,
    "clock-jump": _clock_jump,
    "disk-dead": _disk_dead,
    "smoke": _smoke,
    "replay": _replay,
    "forgery": _forgery,
    "echo": _echo,
    "stray-pack": _stray_pack,
}
