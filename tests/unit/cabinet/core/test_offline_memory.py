"""What a cabinet remembers of codes and tickets: bounded, durable, and never in a rider's favour."""

from __future__ import annotations

from typing import Any

from cabinet.core import offline
from cabinet.core.engine_model import (
    Durable,
    EngineConfig,
    OfflineCode,
    OfflineTicket,
    decode_durable,
    encode_durable,
)
from cabinet.core.offline import KEYPAD, Instant, Memory, OfflineLimits, Used, Waits
from protocols.messages import Kind
from protocols.offline import rider_number, ticket_text
from tests.support.offline_rig import ANN, BOB, KEY, STEP_MS, OfflineRig, code_of

LIMITS = OfflineLimits()


def checked_code(memory: Memory, number: str, wall_ms: int, code: str | None = None) -> Any:
    return offline.check_code(
        memory,
        Waits(),
        number=number,
        code=code_of(number, wall_ms) if code is None else code,
        now=Instant(0, wall_ms, synced=True),
        limits=LIMITS,
        group_keys=(KEY,),
    )


def test_a_full_table_forgets_nothing_that_matters() -> None:
    wall_ms = 1_790_000_000_000
    first = rider_number(0)
    memory = checked_code(Memory(), first, wall_ms).memory
    for n in range(1, offline.USED_MAX + 1):
        memory = checked_code(memory, rider_number(n), wall_ms).memory
    assert len(memory.used) == offline.USED_MAX
    assert first not in memory.used
    assert checked_code(memory, first, wall_ms).reason == offline.CODE_USED
    assert checked_code(memory, first, wall_ms + STEP_MS).reason is None


def test_the_table_of_wrong_codes_is_bounded() -> None:
    memory, waits = Memory(), Waits()
    for n in range(3 * offline.TRIES_MAX):
        checked = offline.check_code(
            memory,
            waits,
            number=rider_number(n),
            code="000000",
            now=Instant(n, 1_790_000_000_000, synced=True),
            limits=OfflineLimits(wrong_max=10_000),
            group_keys=(KEY,),
        )
        memory, waits = checked.memory, checked.waits
    assert len(memory.tries) == offline.TRIES_MAX
    assert set(waits.since_ms) == set(memory.tries)


def test_the_table_of_tickets_is_bounded() -> None:
    rig = OfflineRig()
    memory = Memory()
    for n in range(offline.TICKETS_MAX + 5):
        ticket = rig.ticket(f"T-{n}", expires_ms=rig.wall_ms + 1_000 + n)
        memory = offline.accepted(memory, ticket.id, ANN, rig.wall_ms, ticket)
    assert len(memory.tickets) == offline.TICKETS_MAX
    assert memory.ticket_floor_ms == rig.wall_ms + 1_000 + 4


def test_ids_differ_even_when_the_journal_was_lost() -> None:
    first, _ = offline.next_id(Memory(), "DH-0001", 1, 1_790_000_000_000)
    second, _ = offline.next_id(Memory(minted=first), "DH-0001", 1, 1_790_000_000_000)
    later, name = offline.next_id(Memory(), "DH-0001", 1, 1_790_000_060_000)
    assert first < second < later
    assert name == f"off-DH-0001-1-{later}"


def test_a_snapshot_of_an_earlier_version_decodes() -> None:
    assert decode_durable(b"{}").offline == Memory()


def test_the_memory_survives_the_snapshot() -> None:
    rig = OfflineRig()
    rig.ready()
    rig.type_in(code=rig.wrong())
    rig.show(rig.ticket(number=BOB))
    memory = rig.state.durable.offline
    assert memory.running is not None
    assert memory.tries == {ANN: 1}
    assert decode_durable(encode_durable(rig.state.durable)).offline == memory
    assert decode_durable(encode_durable(Durable(offline=memory))).offline == memory


def test_used_is_stored_in_few_bytes() -> None:
    used = {rider_number(n): Used(59_000_000, 20_600, 2) for n in range(offline.USED_MAX)}
    tickets = {f"01KB00000000000000000{n:05d}": 1_790_000_000_000 for n in range(1_000)}
    assert len(encode_durable(Durable(offline=Memory(used=used, tickets=tickets)))) < 64_000


def test_waits_begin_anew_when_they_are_not_known() -> None:
    memory = Memory(locked=True, tries={ANN: 3})
    checked = offline.waiting(memory, Waits(), 1_000, LIMITS)
    assert checked.memory == memory
    assert checked.waits.since_ms == {KEYPAD: 1_000, ANN: 1_000}
    again = offline.waiting(memory, checked.waits, 301_000, LIMITS)
    assert not again.memory.locked
    assert again.waits.since_ms == {ANN: 1_000}


def test_limits_can_let_codes_do_more() -> None:
    limits = OfflineLimits(code_kinds=frozenset({Kind.SWAP, Kind.RETURN}))
    base = OfflineRig().config
    assert base is not None
    fields = {name: getattr(base, name) for name in EngineConfig.__dataclass_fields__}
    rig = OfflineRig(config=EngineConfig(**{**fields, "offline": limits}))
    rig.ready()
    assert rig.type_in(kind=Kind.RETURN).reason is None


def test_a_question_that_nobody_waits_for_opens_nothing() -> None:
    rig = OfflineRig()
    rig.ready()
    late = rig.now_ms - 1
    rig.feed(OfflineCode("q", ANN, rig.code(), until_ms=late))
    rig.feed(OfflineTicket("q", ticket_text(rig.ticket()), until_ms=late))
    assert [answer.reason for answer in rig.answers] == [offline.STALE, offline.STALE]
    assert rig.state.durable.offline == Memory()
    assert not rig.opened()
    rig.feed(OfflineCode("q", ANN, rig.code(), until_ms=rig.now_ms))
    assert rig.answers[-1].reason is None
