"""A patient rider: the phone tries again with the same key, the hands go by the doors.

Whatever is killed meanwhile, the phone keeps asking; where the view and the doors disagree, the
doors are what hands can act on. A rider never leaves a door open, and always knows which pack is in
his hands: that is the truth about the packs that no simulator holds.
"""

from __future__ import annotations

import contextlib
import random
import time
import uuid
from dataclasses import dataclass, field
from typing import Final

import httpx2

from deploy.demo.clients import Json, RiderClient, SimClient
from deploy.demo.errors import DemoError
from deploy.demo.waiting import Deadline, now_s
from tests.crash.town import SOC_PCT
from tests.support.stack import SystemStack

LOOK_EVERY_S: Final = 0.12
TAP_AGAIN_S: Final = 0.4
#: A door that the page says is open and is not: press "open again" after this long.
RESUME_AFTER_S: Final = 6.0
SWAP_WITHIN_S: Final = 240.0
START_WITHIN_S: Final = 120.0
#: Steps in which a pack of the rider's own waits behind the return door for him to take it back.
BACK_STEPS: Final = frozenset({"giving-back"})
CANCELLABLE: Final = frozenset({"reserved", "opening-return", "await-return"})


@dataclass(slots=True)
class Ride:
    """One transaction as the rider saw it."""

    rider: int
    cabinet: str
    kind: str
    key: str
    swap_id: str | None = None
    end: str | None = None
    reason: str | None = None
    taps: int = 0
    resumes: int = 0
    seconds: float = 0.0
    steps: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)  # packs that went in by hand
    taken: list[str] = field(default_factory=list)  # packs that came out by hand


class NoStartError(DemoError):
    """The fleet let no swap begin here for as long as a patient rider waits."""


class Rider:
    """One rider with phone and hands; plays one ride at a time."""

    def __init__(self, number: int, phone: RiderClient, pack: str, chance: random.Random) -> None:
        self.number = number
        self.pack: str | None = pack  # in his hands
        self._phone = phone
        self._chance = chance

    def ride(self, site: SystemStack, *, cancels: bool, dawdles: bool) -> Ride:
        """One transaction from the tap to its end, all doors shut again.

        Raises:
            NoStartError: none could begin.
            DemoError: it did not end in time.
        """
        kind = "pickup" if self.pack is None else "swap"
        ride = Ride(self.number, site.options.cabinet_id, kind, str(uuid.UUID(int=self._bits())))
        began_s = now_s()
        ride.swap_id = self._tap(ride)
        hands = _Hands(self, site.sim, ride)
        waiting = _Waiting()
        deadline = Deadline.after(SWAP_WITHIN_S)
        while deadline.left_s() > 0:
            view = self._look(ride.swap_id)
            if view is not None:
                if view["step"] and ride.steps[-1:] != [view["step"]]:
                    ride.steps.append(view["step"])
                if view["done"]:
                    break
                if cancels and view["step"] in CANCELLABLE and self.pack is not None:
                    cancels = not self._ask("cancel", ride)
                if dawdles and view["step"] == "await-pickup":
                    dawdles = not hands.dawdle(view["slot_out"])
                elif not hands.act(view) and waiting.too_long(view):
                    ride.resumes += self._ask("resume", ride)
            time.sleep(LOOK_EVERY_S)
        else:
            raise DemoError(f"swap {ride.swap_id} has no end after {SWAP_WITHIN_S:g} s: {ride}")
        ride.end, ride.reason = view["step"], view["reason"]
        hands.tidy()
        ride.seconds = now_s() - began_s
        return ride

    def _bits(self) -> int:
        return self._chance.getrandbits(128)

    def _tap(self, ride: Ride) -> str:
        """The same key until the fleet answers; a refusal stores nothing, so the same key may go on."""
        deadline = Deadline.after(START_WITHIN_S)
        last = ""
        while deadline.left_s() > 0:
            ride.taps += 1
            try:
                swap_id: str = self._phone.start(ride.cabinet, ride.kind, key=ride.key)["id"]
            except (DemoError, httpx2.TransportError) as error:
                last = str(error)
                time.sleep(TAP_AGAIN_S)
                continue
            return swap_id
        raise NoStartError(f"rider {self.number} at {ride.cabinet} ({ride.kind}): {last}")

    def _look(self, swap_id: str) -> Json | None:
        with contextlib.suppress(DemoError, httpx2.TransportError):
            return self._phone.swap(swap_id)
        return None

    def _ask(self, what: str, ride: Ride) -> bool:
        """Press a button of the page; whether the fleet took it."""
        assert ride.swap_id is not None
        with contextlib.suppress(DemoError, httpx2.TransportError):
            getattr(self._phone, what)(ride.swap_id)
            return True
        return False


class _Waiting:
    """Since when the page has shown the same step."""

    def __init__(self) -> None:
        self._step: str | None = None
        self._since_s = now_s()

    def too_long(self, view: Json) -> bool:
        """Whether it is time to press the button; then the wait begins anew."""
        if view["step"] != self._step or now_s() - self._since_s > RESUME_AFTER_S:
            pressed = view["step"] == self._step
            self._step, self._since_s = view["step"], now_s()
            return pressed and view["step"] in {"await-return", "await-pickup", "giving-back"}
        return False


class _Hands:
    """The rider's hands at one cabinet during one ride."""

    def __init__(self, rider: Rider, sim: SimClient, ride: Ride) -> None:
        self._rider = rider
        self._sim = sim
        self._ride = ride

    def act(self, view: Json) -> bool:
        """What the page asks for, if the doors allow it; whether something was done."""
        step, held = view["step"], self._rider.pack
        if step == "await-return" and held is not None:
            return self._put(view["slot_in"], held)
        if step in BACK_STEPS and held is None:
            return self._take(view["slot_in"])
        if step in {"await-pickup", "await-close"} and held is None:
            return self._take(view["slot_out"])
        slot = view["slot_in"] if step in {"await-return", "verifying", "giving-back"} else None
        slot = view["slot_out"] if step in {"await-pickup", "await-close"} else slot
        return slot is not None and self._close(slot)

    def dawdle(self, slot: int) -> bool:
        """Shut the pickup door without taking the pack, and think; the next look opens it again."""
        return self._close(slot)

    def tidy(self) -> None:
        """No door is left open, and a pack that is still the rider's to take is seen to be in."""
        for slot in self._sim.state()["slots"]:
            if slot["door"] == "open":
                self._sim.close_door(slot["slot"])

    def _put(self, slot: int, serial: str) -> bool:
        there = self._sim.slot(slot)
        if there["door"] != "open" or there["pack"] is not None:
            return False
        self._sim.insert(slot, serial, SOC_PCT)
        self._rider.pack = None
        self._ride.given.append(serial)
        self._sim.close_door(slot)
        return True

    def _take(self, slot: int) -> bool:
        there = self._sim.slot(slot)
        if there["door"] != "open" or there["pack"] is None:
            return False
        serial = self._sim.remove(slot)
        self._rider.pack = serial
        self._ride.taken.append(serial)
        self._sim.close_door(slot)
        return True

    def _close(self, slot: int) -> bool:
        if self._sim.slot(slot)["door"] != "open":
            return False
        self._sim.close_door(slot)
        return True
