"""Whoever holds the broker cannot open a door: each way to abuse a command, on the real processes.

A test client with the fleet's rights at the broker, and where a case needs it with the fleet's
signing key, does to commands what a thief or a bad network would. Each one is refused with a
counted reason, and no lock is pulsed by the simulator's own log.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import pytest

from deploy.demo.stack import Options
from deploy.demo.waiting import until
from protocols import signing
from protocols.messages import Command, Precondition, Presence, encode
from protocols.topics import Leaf
from tests.support import proof
from tests.support.broker_client import BrokerClient, broker_pid
from tests.support.orders import Orders, hold_past
from tests.support.stack import STEP_WITHIN_S, SystemStack, running

pytestmark = pytest.mark.system

SLOT: Final = 1
SHORT_TTL_MS: Final = 1_000
NONCE_LIFE_S: Final = 15.0
OTHER_KEY: Final = signing.generate()[0]
#: Abuses that were refused without a pulse, by broker; and how many there are without the slow ones.
REFUSED: Final[Counter[str]] = Counter()
REFUSED_MIN: Final = 30


@pytest.fixture(
    scope="module",
    # The rules are the cabinet's own; test_swap.py has a swap on either broker at every push.
    params=["nats", pytest.param("mosquitto", marks=pytest.mark.slow)],
)
def abused_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SystemStack]:
    options = Options(
        broker=request.param,
        simulator_toml="".join(
            f'[[pack]]\nslot = {slot}\nserial = "YZ48-{slot:06}"\nsoc_pct = 100\n'
            for slot in range(4, 13)
        ),
    )
    name = f"test_command_abuse-{request.param}"
    # The rule of the wall clock counts only where something keeps that clock right.
    with running(name, tmp_path_factory.mktemp("yz"), options, clock_synced=True) as stack:
        yield stack


@pytest.fixture
def orders(abused_stack: SystemStack) -> Iterator[Orders]:
    with BrokerClient(abused_stack) as client:
        yield (made := Orders(abused_stack, client))
        # A refusal is of that command alone: the next good one is obeyed.
        made.settle()


def refused(orders: Orders, reason: str, command: Command) -> None:
    """Send it; it must be refused for this reason, counted, and no lock may be pulsed."""
    since, before = orders.stack.last_seq(), orders.refusals(reason)
    result = orders.send(command)
    assert (result.outcome, result.reason) == ("refused", reason)
    orders.settle()
    assert orders.refusals(reason) == before + 1
    assert orders.pulses(since) == []
    REFUSED[orders.stack.options.broker] += 1


# --- the good command, and its repetition ------------------------------------------------------


def test_a_command_pulses_once_however_often_and_whenever_it_is_repeated(orders: Orders) -> None:
    stack = orders.stack
    since = stack.last_seq()
    payload = encode(command := orders.open_slot(SLOT))
    assert orders.send_bytes(command.id, payload).outcome == "accepted"
    stack.hands.wait_open(SLOT)
    assert orders.pulses(since) == [SLOT], "the lock was not pulsed for the good command"

    # The same bytes, and then the same id with all that is fresh: the stored result.
    # It is done when the cabinet has seen the door open; a door shut before that it may miss.
    until(
        lambda: orders.send_bytes(command.id, payload).outcome == "done",
        within_s=STEP_WITHIN_S,
        what="the stored result",
    )
    stack.sim.close_door(SLOT)
    boot_id, (nonce,) = orders.nonces()
    again = msgspec.structs.replace(command, nonce=nonce, boot_id=boot_id, seq=orders.next_seq())
    assert orders.send(orders.signed(again)).outcome == "done"

    stack.kill9("cabinetd")
    stack.restart("cabinetd")
    stack.wait_cabinet_online()
    assert orders.send_bytes(command.id, payload).outcome == "done"
    boot_id, (nonce,) = orders.nonces()
    again = msgspec.structs.replace(command, nonce=nonce, boot_id=boot_id, seq=orders.next_seq())
    assert orders.send(orders.signed(again)).outcome == "done"
    orders.settle()
    assert orders.pulses(since) == [SLOT]


# --- each field, each key -----------------------------------------------------------------------

#: A change to every field of a good command after it was signed, and what the cabinet says to it.
ALTERED: Final[dict[str, tuple[Any, str]]] = {
    "id": ("another-id", "bad-signature"),
    "cabinet": ("DH-0002", "wrong-cabinet"),
    "seq": (2**53, "bad-signature"),
    "type": ("alarm.clear", "bad-signature"),
    "args": ({"slot": SLOT + 1}, "bad-signature"),
    "expires_at_ms": (2**52, "bad-signature"),
    "ttl_ms": (30_000, "bad-signature"),
    "nonce": ("another-nonce", "bad-signature"),
    "boot_id": ("another-boot", "wrong-boot"),
    "actor": ("somebody", "bad-signature"),
    "reason": ("because", "bad-signature"),
    "swap_id": ("another-swap", "bad-signature"),
    "precondition": (Precondition(slot=SLOT, presence=Presence.ABSENT), "bad-signature"),
    "sig": ("A" * 86 + "==", "bad-signature"),
}


def test_the_table_of_alterations_has_every_field() -> None:
    assert set(ALTERED) == set(Command.__struct_fields__) - {"schema"}


def test_altered(orders: Orders) -> None:
    for field, (value, reason) in ALTERED.items():
        command = orders.open_slot(SLOT)
        assert getattr(command, field) != value
        refused(orders, reason, msgspec.structs.replace(command, **{field: value}))


def test_unsigned(orders: Orders) -> None:
    refused(orders, "bad-signature", orders.command("slot.open", {"slot": SLOT}))


def test_signed_by_another_key(orders: Orders) -> None:
    command = orders.command("slot.open", {"slot": SLOT})
    refused(orders, "bad-signature", orders.signed(command, OTHER_KEY))


def test_another_cabinets_own_good_command(orders: Orders) -> None:
    refused(orders, "wrong-cabinet", orders.open_slot(SLOT, cabinet="DH-0002"))


def test_another_boots_good_command(orders: Orders) -> None:
    refused(orders, "wrong-boot", orders.open_slot(SLOT, boot_id="before-this-one"))


def test_unknown_nonce(orders: Orders) -> None:
    boot_id, _ = orders.nonces()
    refused(orders, "unknown-nonce", orders.open_slot(SLOT, boot_id=boot_id, nonce="guessed"))


def test_used_nonce(orders: Orders) -> None:
    boot_id, (nonce,) = orders.nonces()
    spent = orders.signed(orders.command(boot_id=boot_id, nonce=nonce))
    assert orders.send(spent).outcome == "done"
    refused(orders, "unknown-nonce", orders.open_slot(SLOT, boot_id=boot_id, nonce=nonce))


def test_reordered(orders: Orders) -> None:
    boot_id, nonces = orders.nonces(2)
    first = orders.open_slot(SLOT, boot_id=boot_id, nonce=nonces[0])
    second = orders.signed(orders.command(boot_id=boot_id, nonce=nonces[1]))
    assert second.seq > first.seq
    assert orders.send(second).outcome == "done"
    refused(orders, "old-sequence", first)


def test_expired_by_the_wall_clock(orders: Orders) -> None:
    past_ms = orders.command().expires_at_ms - 120_000
    refused(orders, "expired", orders.open_slot(SLOT, expires_at_ms=past_ms))


@pytest.mark.parametrize(
    ("reason", "payload", "retain"),
    [
        ("retained", None, True),
        ("malformed", b"{", False),
        ("malformed", b'{"id": "x", "open": "sesame"}', False),
        ("malformed", b"\xff" * 70_000, False),
    ],
    ids=["retained", "cut-off", "unknown-field", "too-long"],
)
def test_what_never_becomes_a_command(
    orders: Orders, reason: str, payload: bytes | None, retain: bool
) -> None:
    stack, client = orders.stack, orders.client
    since, before = stack.last_seq(), orders.refusals(reason)
    if retain:
        # Retained, it waits in the broker for whoever connects next; live subscribers get it now,
        # so the cabinet must be away: else it is an ordinary command.
        command = orders.open_slot(SLOT)
        stack.kill9("cabinetd")
        client.publish(Leaf.COMMAND, encode(command), retain=True)
        stack.restart("cabinetd")
        stack.wait_cabinet_online()
        client.publish(Leaf.COMMAND, b"", retain=True)
        before = 0  # the counters began anew
    else:
        assert payload is not None
        client.publish(Leaf.COMMAND, payload)
    orders.settle()
    assert orders.refusals(reason) > before
    assert orders.pulses(since) == []
    REFUSED[stack.options.broker] += 1


# --- held back past its time to live ------------------------------------------------------------


def stopped(pid: int) -> Callable[[], None]:
    """Stop a process; call the answer to let it go on."""
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)


def held(orders: Orders, where: str, ttl_ms: int) -> None:
    """A good command is held ``where`` until its time is over, and then let go."""
    stack, client = orders.stack, orders.client
    since, before = stack.last_seq(), orders.refusals("stale-nonce")
    command = orders.open_slot(SLOT, ttl_ms=ttl_ms)
    issued_s = time.monotonic()  # noqa: TID251  # real time is what is tested
    heard = len(client.heard)
    if where == "the client":
        hold_past(issued_s, ttl_ms / 1_000)
        client.publish(Leaf.COMMAND, encode(command))
    else:
        pid = broker_pid(stack) if where == "the broker" else stack.programs["cabinetd"].pid
        go_on = stopped(pid)
        try:
            client.hand_over(Leaf.COMMAND, encode(command))
            hold_past(issued_s, ttl_ms / 1_000)
        finally:
            go_on()
    result = orders.answer(command.id, heard)
    assert (result.outcome, result.reason) == ("refused", "stale-nonce")
    orders.settle()
    assert orders.refusals("stale-nonce") == before + 1
    assert orders.pulses(since) == []
    REFUSED[stack.options.broker] += 1


@pytest.mark.parametrize("where", ["the client", "the broker", "the cabinet's queue"])
def test_held_past_its_time_to_live(orders: Orders, where: str) -> None:
    held(orders, where, SHORT_TTL_MS)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["the client", "the broker", "the cabinet's queue"])
def test_held_past_the_life_of_its_nonce(orders: Orders, where: str) -> None:
    held(orders, where, int(NONCE_LIFE_S * 1_000))


# --- the sequence over restarts ----------------------------------------------------------------


def test_the_sequence_rises_over_restarts_of_both(orders: Orders) -> None:
    stack = orders.stack
    old = orders.open_slot(SLOT)
    orders.settle()
    last = orders.last_seq()
    assert last > old.seq

    stack.kill9("cabinetd")
    stack.restart("cabinetd")
    stack.wait_cabinet_online()
    assert orders.last_seq() == last
    boot_id, (nonce,) = orders.nonces()
    fresh = msgspec.structs.replace(old, boot_id=boot_id, nonce=nonce)
    refused(orders, "old-sequence", orders.signed(fresh))

    last = orders.last_seq()
    stack.kill9("fleetd")
    stack.restart("fleetd")
    stack.wait_cabinet_online()
    orders.client.connect()
    assert orders.next_seq() > last
    orders.settle()
    assert orders.last_seq() > last + 1


def test_recorded(abused_stack: SystemStack) -> None:
    """Last: what the long proofs print of this."""
    broker = abused_stack.options.broker
    proof.record(
        f"command abuse on {broker}",
        f"{REFUSED[broker]} refused with a counted reason, 0 pulses",
        f">= {REFUSED_MIN}, 0 pulses",
        REFUSED[broker] >= REFUSED_MIN,
    )
