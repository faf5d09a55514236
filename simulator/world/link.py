"""The broker between one cabinet and the fleet: it loses, doubles, delays and reorders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protocols import topics
from protocols.topics import Leaf

if TYPE_CHECKING:
    from simulator.world.node import Node

REPLAYS_MAX: Final = 20
_DOCUMENTS: Final = frozenset({Leaf.DESIRED_LISTS, Leaf.DESIRED_PLAN, Leaf.DESIRED_CONFIG})


class Link:
    """One cabinet's way to the broker and on to the fleet."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._world = node.world
        self.up = False
        self._burst_ms = -1
        self._burst_delay_ms = 0
        self._era = 0  # what was under way in an earlier one is lost
        self.retained: bytes | None = None  # desired/lists
        self.commands: list[bytes] = []  # for whoever replays them
        self._topics = {leaf: topics.build(node.id, leaf) for leaf in Leaf}
        self._topics[Leaf.DESIRED_LISTS] = topics.build(node.id, Leaf.DESIRED_LISTS, 0)

    def forget(self) -> None:
        """The broker lost everything: what it held and what it retained."""
        self._era += 1
        self.retained = None

    def upwards(self, leaf: Leaf, payload: bytes) -> None:
        """The cabinet publishes."""
        if leaf is Leaf.STATUS:  # retained, and kept by the broker until the fleet has it
            self._world.time.after(30, self._arrive_up, self._era, leaf, payload)
        elif self.up:
            for delay_ms in self._fates():
                self._world.time.after(delay_ms, self._arrive_up, self._era, leaf, payload)

    def downwards(self, leaf: Leaf, payload: bytes) -> None:
        """The fleet publishes; documents are retained."""
        if leaf in _DOCUMENTS:
            self.retained = payload
        elif leaf is Leaf.COMMAND:
            self.commands.append(payload)
            del self.commands[:-REPLAYS_MAX]
        if leaf is Leaf.COMMAND and self._world.chance(self._world.profile.message["stall"]):
            self._stall(payload)
            return
        for delay_ms in self._fates():
            self._world.time.after(delay_ms, self._arrive_down, self._era, leaf, payload)

    def _stall(self, payload: bytes) -> None:
        """The broker keeps an order in its queue while nothing else gets through."""
        held_ms = 17_000 + int(self._world.rng.random() * 40_000)
        self._node.disconnect(held_ms - 1_000)
        self._world.time.after(held_ms, self._arrive_down, self._era, Leaf.COMMAND, payload)

    def replay(self, payload: bytes) -> None:
        """Somebody puts a payload on the command topic."""
        self._world.time.after(5, self._arrive_down, self._era, Leaf.COMMAND, payload)

    def subscribe(self) -> None:
        """A new session gets what is retained."""
        if self.retained is not None:
            self._world.time.after(
                20, self._arrive_down, self._era, Leaf.DESIRED_LISTS, self.retained
            )

    def _fates(self) -> tuple[int, ...]:
        """When a message arrives: never, once or twice."""
        rng, rates = self._world.rng, self._world.profile.message
        dice = rng.random()
        now_ms = self._world.time.now_ms
        if now_ms != self._burst_ms:  # what is sent at once arrives at once
            self._burst_ms = now_ms
            self._burst_delay_ms = 5 + int(rng.random() * 60)
        delay_ms = self._burst_delay_ms
        edge = rates["lose"]
        if dice < edge:
            return ()
        edge += rates["double"]
        if dice < edge:
            return delay_ms, delay_ms + int(rng.random() * 8_000)
        edge += rates["late"]
        if dice < edge:
            return (delay_ms + 300 + int(rng.random() * 6_000),)
        edge += rates["held"]
        if dice < edge:
            return (16_000 + int(rng.random() * 45_000),)
        return (delay_ms,)

    def _arrive_up(self, era: int, leaf: Leaf, payload: bytes) -> None:
        if era == self._era:
            self._world.fleet.on_message(self._node.id, leaf, payload)

    def _arrive_down(self, era: int, leaf: Leaf, payload: bytes) -> None:
        if era == self._era and self.up:
            self._node.on_message(self._topics[leaf], payload)
