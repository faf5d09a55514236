"""Commands as the fleet makes them, from a test's own hands: signed with the fleet's key, or not."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from deploy.demo.errors import DemoError
from deploy.demo.waiting import until
from fleet.adapters.clock import SystemClock
from fleet.runtime.commands import new_id
from protocols import signing
from protocols.messages import NONCE_LIFE_MS, Challenge, Command, Result, decode, encode
from protocols.topics import Leaf
from tests.support.broker_client import BrokerClient
from tests.support.stack import SystemStack, read_rows, write_row

ANSWER_WITHIN_S: Final = 60.0
ASK_AGAIN_S: Final = 2.0
CONNECTED_WITHIN_S: Final = 60.0
LIFE_MS: Final = 60_000
REFUSED: Final = "commands_refused_total"


class Orders:
    """Makes and sends commands for the stack's one cabinet, and hears the answers."""

    def __init__(self, stack: SystemStack, client: BrokerClient) -> None:
        self.stack = stack
        self.client = client
        self._key = (stack.fleet_data / "command.key").read_text().strip()

    def nonces(self, count: int = 1) -> tuple[str, list[str]]:
        """The cabinet's boot id, and fresh nonces; asks again while it is not connected."""

        def asked() -> Result | None:
            challenge = Challenge(id=new_id(_wall_ms()), count=count)
            since = len(self.client.heard)
            self.client.publish(Leaf.CHALLENGE, encode(challenge))
            try:
                return self.answer(challenge.id, since, within_s=ASK_AGAIN_S)
            except DemoError:
                return None

        answer = until(
            asked, within_s=CONNECTED_WITHIN_S, what="nonces", on_timeout=self.stack.tails
        )
        return answer.boot_id, list(answer.nonces)

    def next_seq(self) -> int:
        """The next number for this cabinet, taken from the fleet's own store."""
        return write_row(
            self.stack.fleet_db,
            "UPDATE cabinet SET command_seq = command_seq + 1 RETURNING command_seq",
        )

    def command(
        self, type_: str = "slot.service-on", args: dict[str, Any] | None = None, **changes: Any
    ) -> Command:
        """A command that is good in every way, but for ``changes``; not signed."""
        fields: dict[str, Any] = {
            "id": new_id(_wall_ms()),
            "cabinet": self.stack.options.cabinet_id,
            "type": type_,
            "args": {"slot": 1} if args is None else args,
            "expires_at_ms": _wall_ms() + LIFE_MS,
            "ttl_ms": NONCE_LIFE_MS,
            "actor": "tester",
            "reason": "test",
            **changes,
        }
        if "nonce" not in fields:
            boot_id, (fields["nonce"],) = self.nonces()
            fields.setdefault("boot_id", boot_id)
        if "seq" not in fields:
            fields["seq"] = self.next_seq()
        return Command(**fields)

    def signed(self, command: Command, key: str | None = None) -> Command:
        """The same with a signature, the fleet's unless ``key`` is another's."""
        return signing.sign(command, key or self._key)

    def open_slot(self, slot: int, **changes: Any) -> Command:
        """A good, signed order to open a door."""
        return self.signed(self.command("slot.open", {"slot": slot}, **changes))

    def send(self, command: Command) -> Result:
        """Publish it as it is; return the answer that came after."""
        return self.send_bytes(command.id, encode(command))

    def send_bytes(self, id_: str, payload: bytes) -> Result:
        """The same for bytes that were sent once before."""
        since = len(self.client.heard)
        self.client.publish(Leaf.COMMAND, payload)
        return self.answer(id_, since)

    def answer(self, id_: str, since: int, within_s: float = ANSWER_WITHIN_S) -> Result:
        """The first answer to this id among what was heard from number ``since`` on."""

        def heard() -> Result | None:
            results = (decode(h.payload, Result) for h in self.client.of(Leaf.RESULT, since))
            return next((result for result in results if result.id == id_), None)

        return until(
            heard,
            within_s=within_s,
            what=f"an answer to {id_}",
            on_timeout=self.stack.tails,
        )

    def settle(self) -> None:
        """A harmless good command to its end: whatever came before it has been dealt with."""
        assert self.send(self.signed(self.command())).outcome == "done"

    # --- what the cabinet says of itself ---------------------------------------------------------

    def refusals(self, reason: str) -> int:
        """How many orders the cabinet has counted as refused for this reason."""
        return int(self.stack.metrics().get(f'{REFUSED}{{reason="{reason}"}}', 0))

    def last_seq(self) -> int:
        """The number of the last command that the cabinet's journal knows as authentic."""
        ((data,),) = read_rows(self.stack.cabinet_db, "SELECT data FROM snapshot WHERE id = 1")
        return int(msgspec.json.decode(data).get("command_seq", 0))

    def pulses(self, since: int) -> list[int]:
        """The slots whose locks were truly pulsed after the event ``since`` of the simulator."""
        return [e["slot"] for e in self.stack.sim.events(since) if e["kind"] == "lock-pulse"]


def hold_past(issued_s: float, ttl_s: float) -> None:
    """Wait until a nonce issued at ``issued_s`` (monotonic) is older than its time to live."""
    left_s = issued_s + ttl_s + 0.2 - time.monotonic()  # noqa: TID251  # real time is what is tested
    time.sleep(max(0.0, left_s))


def _wall_ms() -> int:
    return SystemClock().wall_ms()
