"""The daemon dies at any input, before or after the commit, before or after the effects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cabinet.core.engine_model import CommandReceived, Input, Outcome
from cabinet.core.model import Unlock, UnlockResult
from cabinet.core.swap_model import Completed
from protocols.messages import STEP_RANK, Door, Kind
from tests.support.cabinet_rig import Hole, Rig

CRASHES = ["before-commit", "before-effects", "after-pulse", "after"]


class Mortal(Rig):
    """Dies once, at input number ``cut`` counted from the order."""

    cut: int = -1
    how: str = "after"
    count: int = 0
    armed: bool = False
    dead: bool = False
    survived: bool = False

    def feed(self, event: Input) -> Outcome:
        if not self.armed or self.count != self.cut:
            self.count += self.armed
            return super().feed(event)
        self.count += 1
        self.armed = False
        outcome = self.engine.step(self.state, event, self.now)
        if self.how != "before-commit":
            self._commit(outcome)
            self.replies += outcome.replies
        if self.how in {"after-pulse", "after"}:
            for effect in outcome.effects:
                if isinstance(effect, Unlock) and not self.holes[effect.slot].jammed:
                    self.holes[effect.slot].door = Door.OPEN  # the outcome never gets home
                    self.effects.append(effect)
        self.dead = True
        return outcome

    def revive(self) -> None:
        if self.dead:
            self.dead = False
            self.now_ms += 5_000
            self.boot()
            self.run(1_000)


def ride(rig: Mortal, kind: Kind) -> None:
    """A rider who does what the doors say, one move in 400 ms."""
    mine = kind in {Kind.SWAP, Kind.RETURN}
    for _ in range(600):
        for _ in range(4):
            rig.run(100)
            rig.revive()
        for slot, hole in rig.holes.items():
            if hole.door is not Door.OPEN:
                continue
            if hole.serial is None and mine:
                rig.put(slot, "OLD-1")
                mine = False
            elif hole.serial == "OLD-1" or hole.serial is None:
                rig.shut(slot)
            else:
                rig.take(slot)
        if isinstance(rig.state.durable.swap, Completed):
            break
    rig.survived, rig.armed = rig.armed, False
    rig.run(10_000)


def check(rig: Mortal, kind: Kind) -> None:
    assert isinstance(rig.state.durable.swap, Completed), rig.state.durable.swap
    here = {slot: hole.serial for slot, hole in rig.holes.items() if hole.serial}
    assert rig.state.durable.inventory == here
    ins, outs = rig.bodies("battery.in"), rig.bodies("battery.out")
    assert len(ins) == (kind in {Kind.SWAP, Kind.RETURN})
    assert len(outs) == (kind in {Kind.SWAP, Kind.PICKUP})
    assert all(body.swap_id == "SWAP-1" for body in ins + outs)
    seqs = [event.seq for event in rig.events()]
    assert seqs == list(range(1, len(seqs) + 1))
    ranks = [STEP_RANK[body.step] for body in rig.bodies("swap.step")]
    assert ranks == sorted(ranks)
    attempts = [effect.attempt for effect in rig.of(Unlock)]
    assert len(attempts) == len(set(attempts)), "the same attempt ran twice"


def play(kind: Kind, cut: int, how: str, answer: UnlockResult = UnlockResult.SENT) -> Mortal:
    rig = Mortal(slots=5, answer=answer)
    rig.holes[4] = Hole("YZ48-000004", 40)
    rig.ready()
    order = rig.order("swap.start", {"kind": kind.value, "rider_id": "R2"}, swap_id="SWAP-1")
    rig.cut, rig.how, rig.armed = cut, how, True
    rig.feed(CommandReceived(order))
    if rig.dead:
        rig.revive()
        # The fleet heard nothing and asks again, with a fresh nonce for the new boot.
        rig.start(kind)
    ride(rig, kind)
    return rig


@pytest.mark.parametrize("how", CRASHES)
@pytest.mark.parametrize("kind", [Kind.SWAP, Kind.PICKUP, Kind.RETURN])
def test_at_every_input(kind: Kind, how: str) -> None:
    cuts = 0
    while True:
        rig = play(kind, cuts, how)
        check(rig, kind)
        if rig.survived:  # the transaction was over before input number ``cut`` came
            break
        cuts += 1
        assert cuts < 120
    assert cuts > 8


@given(
    cut=st.integers(0, 60),
    how=st.sampled_from(CRASHES),
    answer=st.sampled_from([UnlockResult.SENT, UnlockResult.NO_REPLY]),
)
def test_with_an_unsure_bus(cut: int, how: str, answer: UnlockResult) -> None:
    check(play(Kind.SWAP, cut, how, answer), Kind.SWAP)
