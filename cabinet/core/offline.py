"""What a rider may do at the cabinet itself, by number and code or by a ticket.

Pure: decides over what was typed or scanned, a wall clock that is known to be right, and what the
cabinet remembers. Nothing here opens a door; ``engine_offline`` starts the transaction.

What must hold, beyond ``protocols.offline``:

- a code works once. The last time step used by each number is remembered; what is forgotten raises
  a floor below which no code of any number is taken. So neither a full table nor a wall clock that
  jumps makes a used code good again;
- wrong codes lock the keypad, and the number they were tried on, for a while. The while is counted
  on the monotonic clock; after a restart it begins anew;
- each rider may start so many transactions per UTC day. A rider's day never goes back;
- a ticket is one transaction: its id is remembered until well past its expiry, and forgetting it
  raises a floor of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from protocols.errors import MessageError
from protocols.messages import Kind, signing_bytes
from protocols.offline import (
    CODE_DIGITS,
    Ticket,
    matching_step,
    parse_ticket,
    valid_number,
)

DAY_MS: Final = 24 * 3_600_000
#: Riders remembered; far more than swap at one cabinet in two days.
USED_MAX: Final = 500
#: Numbers with wrong codes remembered. Guessing on more numbers than this within an hour is not
#: possible: the keypad locks long before.
TRIES_MAX: Final = 100
#: Tickets remembered; a cabinet does not see more transactions than this in two days.
TICKETS_MAX: Final = 1_000
#: A used ticket is remembered this long beyond its expiry, for clocks that are set back.
TICKET_MARGIN_MS: Final = DAY_MS
#: The lock of the whole keypad, among the waits that are kept by number.
KEYPAD: Final = ""

STARTING: Final = "starting"
STALE: Final = "stale"
CLOCK_UNTRUSTED: Final = "clock-untrusted"
NO_GROUP_KEY: Final = "no-group-key"
BAD_NUMBER: Final = "bad-number"
BAD_CODE: Final = "bad-code"
WRONG_CODE: Final = "wrong-code"
CODE_USED: Final = "code-used"
KEYPAD_LOCKED: Final = "keypad-locked"
NUMBER_LOCKED: Final = "number-locked"
NEEDS_TICKET: Final = "kind-needs-ticket"
BAD_KIND: Final = "kind-not-allowed"
DENIED_RIDER: Final = "denied-rider"
DAY_LIMIT: Final = "offline-limit"
BAD_TICKET: Final = "bad-ticket"
BAD_SIGNATURE: Final = "bad-signature"
WRONG_CABINET: Final = "wrong-cabinet"
TICKET_EARLY: Final = "ticket-early"
TICKET_EXPIRED: Final = "ticket-expired"
TICKET_LIFE: Final = "ticket-life"
TICKET_USED: Final = "ticket-used"
NO_SWAP: Final = "no-swap"
OTHER_RIDER: Final = "busy"

#: Every reason of this module, for the pages' texts.
REASONS: Final = (
    STARTING, STALE, CLOCK_UNTRUSTED, NO_GROUP_KEY, BAD_NUMBER, BAD_CODE, WRONG_CODE, CODE_USED,
    KEYPAD_LOCKED, NUMBER_LOCKED, NEEDS_TICKET, BAD_KIND, DENIED_RIDER, DAY_LIMIT, BAD_TICKET,
    BAD_SIGNATURE, WRONG_CABINET, TICKET_EARLY, TICKET_EXPIRED, TICKET_LIFE, TICKET_USED, NO_SWAP,
    OTHER_RIDER,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineLimits:
    """How much is trusted off the network."""

    wrong_max: int = 5  # wrong codes in a row lock the keypad
    lock_ms: int = 300_000
    number_wrong_max: int = 10  # wrong codes in a row lock a number
    number_lock_ms: int = 3_600_000
    per_day: int = 2  # transactions of a rider at this cabinet
    ticket_life_ms: int = DAY_MS
    ticket_skew_ms: int = 60_000  # the fleet's clock may be ahead of ours
    code_kinds: frozenset[Kind] = frozenset({Kind.SWAP})
    ticket_kinds: frozenset[Kind] = frozenset({Kind.SWAP, Kind.PICKUP, Kind.RETURN})


# --- what is remembered -------------------------------------------------------------------------


class Used(Struct, frozen=True, array_like=True):
    """What a number has used up. ``step`` -1: no code yet."""

    step: int = -1
    day: int = 0  # the latest UTC day, as days since 1970
    count: int = 0  # transactions of that day


class Running(Struct, frozen=True):
    """The transaction that was begun here, to be given back should nothing change hands."""

    swap_id: str
    number: str
    day: int


class Memory(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What outlives the process."""

    used: dict[str, Used] = {}
    floor: int = -1  # no code of this step or an earlier one is taken from a forgotten number
    wrong: int = 0  # codes in a row
    locked: bool = False  # the keypad
    tries: dict[str, int] = {}  # wrong codes in a row by number
    tickets: dict[str, int] = {}  # id to expiry, wall ms
    ticket_floor_ms: int = 0  # no ticket that expires then or earlier is taken
    minted: int = 0
    running: Running | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """Since when the locks of this boot hold, by number; monotonic, so they do not outlive it."""

    since_ms: Mapping[str, int] = field(default_factory=dict)

    def left_ms(self, who: str, now_ms: int, wait_ms: int) -> int:
        """What is left of a wait; all of it when it has not begun in this boot."""
        return max(0, self.since_ms.get(who, now_ms) + wait_ms - now_ms)


@dataclass(frozen=True, slots=True)
class Instant:
    """The time of one decision."""

    mono_ms: int
    wall_ms: int
    synced: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check: ``reason`` None when it holds. ``memory`` and ``waits`` are as of then."""

    memory: Memory
    waits: Waits
    reason: str | None = None
    wait_ms: int = 0
    ticket: Ticket | None = None


def waiting(memory: Memory, waits: Waits, now_ms: int, limits: OfflineLimits) -> Checked:
    """Let time pass: locks begin to count in this boot, and end."""
    since = dict(waits.since_ms)
    tries = dict(memory.tries)
    locked = memory.locked
    if locked and now_ms - since.setdefault(KEYPAD, now_ms) >= limits.lock_ms:
        locked = False
    for number in memory.tries:
        if now_ms - since.setdefault(number, now_ms) >= limits.number_lock_ms:
            del tries[number]
    since = {who: at for who, at in since.items() if (locked if who == KEYPAD else who in tries)}
    if since != waits.since_ms:
        waits = Waits(since)
    if locked != memory.locked or len(tries) != len(memory.tries):
        memory = replace(memory, locked=locked, tries=tries)
    return Checked(memory, waits)


# --- number and code ----------------------------------------------------------------------------


def check_code(
    memory: Memory,
    waits: Waits,
    *,
    number: str,
    code: str,
    now: Instant,
    limits: OfflineLimits,
    group_keys: tuple[bytes, ...],
) -> Checked:
    """Whether this is a code of this number, used for the first time. A right one is used up."""
    if memory.locked:
        wait_ms = waits.left_ms(KEYPAD, now.mono_ms, limits.lock_ms)
        return Checked(memory, waits, KEYPAD_LOCKED, wait_ms)
    if not now.synced:
        return Checked(memory, waits, CLOCK_UNTRUSTED)
    if not group_keys:
        return Checked(memory, waits, NO_GROUP_KEY)
    if not valid_number(number):
        return Checked(memory, waits, BAD_NUMBER)
    if memory.tries.get(number, 0) >= limits.number_wrong_max:
        wait_ms = waits.left_ms(number, now.mono_ms, limits.number_lock_ms)
        return Checked(memory, waits, NUMBER_LOCKED, wait_ms)
    if len(code) != CODE_DIGITS or not (code.isascii() and code.isdigit()):
        return Checked(memory, waits, BAD_CODE)
    used = memory.used.get(number, Used(step=memory.floor))
    step = matching_step(group_keys, number, code, now.wall_ms, after_step=used.step)
    if step is not None:
        return Checked(_right(memory, number, step), _without(waits, number))
    if matching_step(group_keys, number, code, now.wall_ms) is not None:
        return Checked(memory, waits, CODE_USED)
    return _wrong(memory, waits, number, now.mono_ms, limits)


def _right(memory: Memory, number: str, step: int) -> Memory:
    used = memory.used.get(number, Used())
    tries = {other: count for other, count in memory.tries.items() if other != number}
    return _remembering(replace(memory, wrong=0, tries=tries), number, replace(used, step=step))


def _wrong(
    memory: Memory, waits: Waits, number: str, now_ms: int, limits: OfflineLimits
) -> Checked:
    count = memory.tries.get(number, 0) + 1
    tries = {other: n for other, n in memory.tries.items() if other != number}
    while len(tries) >= TRIES_MAX:
        del tries[next(iter(tries))]
    tries[number] = count
    since = {who: at for who, at in waits.since_ms.items() if who == KEYPAD or who in tries}
    since[number] = now_ms
    wrong = memory.wrong + 1
    locked = wrong >= limits.wrong_max
    if locked:
        wrong = 0
        since[KEYPAD] = now_ms
    memory = replace(memory, wrong=wrong, locked=locked, tries=tries)
    return Checked(memory, Waits(since), WRONG_CODE, limits.lock_ms if locked else 0)


def _without(waits: Waits, number: str) -> Waits:
    return Waits({who: at for who, at in waits.since_ms.items() if who != number})


def _remembering(memory: Memory, number: str, used: Used) -> Memory:
    """With this entry newest; what has to go raises the floor."""
    kept = {other: entry for other, entry in memory.used.items() if other != number}
    floor = memory.floor
    while len(kept) >= USED_MAX:
        floor = max(floor, kept.pop(next(iter(kept))).step)
    kept[number] = used
    return replace(memory, used=kept, floor=floor)


# --- tickets ------------------------------------------------------------------------------------


def check_ticket(
    memory: Memory,
    waits: Waits,
    *,
    text: str,
    now: Instant,
    limits: OfflineLimits,
    cabinet: str,
    verify: Callable[[bytes, str], bool],
) -> Checked:
    """Whether this ticket may be used here and now. It is not used up by that; see ``accepted``.

    A used one passes at any time: it stands for the same transaction, and begins no other.
    """
    try:
        ticket = parse_ticket(text)
        signed = verify(signing_bytes(ticket), ticket.sig)
    except MessageError:
        return Checked(memory, waits, BAD_TICKET)
    if not signed:
        return Checked(memory, waits, BAD_SIGNATURE)
    return Checked(memory, waits, _unfit(memory, ticket, now, limits, cabinet), 0, ticket)


def _unfit(
    memory: Memory, ticket: Ticket, now: Instant, limits: OfflineLimits, cabinet: str
) -> str | None:
    if ticket.id in memory.tickets:
        return None
    if ticket.cabinet not in {None, cabinet}:
        return WRONG_CABINET
    if not now.synced:
        return CLOCK_UNTRUSTED
    if not valid_number(ticket.number):
        return BAD_NUMBER
    if ticket.kind not in limits.ticket_kinds:
        return BAD_KIND
    if not 0 < ticket.expires_ms - ticket.issued_ms <= limits.ticket_life_ms:
        return TICKET_LIFE
    if now.wall_ms < ticket.issued_ms - limits.ticket_skew_ms:
        return TICKET_EARLY
    if now.wall_ms >= ticket.expires_ms:
        return TICKET_EXPIRED
    if ticket.expires_ms <= memory.ticket_floor_ms:
        return TICKET_EXPIRED
    return None


# --- beginning and ending -----------------------------------------------------------------------


def over_limit(memory: Memory, number: str, wall_ms: int, limits: OfflineLimits) -> bool:
    """Whether this rider has had his share of the day."""
    used = memory.used.get(number, Used())
    return used.day >= wall_ms // DAY_MS and used.count >= limits.per_day


def next_id(memory: Memory, cabinet: str, epoch: int, wall_ms: int) -> tuple[int, str]:
    """A new transaction's number and id.

    The number is at least the second of the day's clock: a cabinet whose journal was replaced off
    the network does not mint an id twice.
    """
    number = max(memory.minted + 1, wall_ms // 1000)
    return number, f"off-{cabinet}-{epoch}-{number}"


def accepted(
    memory: Memory, swap_id: str, number: str, wall_ms: int, ticket: Ticket | None = None
) -> Memory:
    """The transaction has begun: counted, and its ticket used."""
    used = memory.used.get(number, Used(step=memory.floor))
    today = wall_ms // DAY_MS
    fresh = today > used.day
    entry = Used(used.step, max(today, used.day), 1 if fresh else used.count + 1)
    memory = _remembering(memory, number, entry)
    if ticket is not None:
        memory = _with_ticket(memory, ticket, wall_ms)
    return replace(memory, running=Running(swap_id, number, entry.day))


def _with_ticket(memory: Memory, ticket: Ticket, wall_ms: int) -> Memory:
    kept = dict(memory.tickets)
    floor_ms = memory.ticket_floor_ms
    kept[ticket.id] = ticket.expires_ms
    old = sorted(kept, key=lambda each: kept[each])
    for each in old:
        past = kept[each] + TICKET_MARGIN_MS < wall_ms
        if each != ticket.id and (past or len(kept) > TICKETS_MAX):
            floor_ms = max(floor_ms, kept.pop(each))
    return replace(memory, tickets=kept, ticket_floor_ms=floor_ms)


def ended(memory: Memory, swap_id: str, *, moved: bool) -> Memory:
    """The transaction has ended; when nothing changed hands it does not count."""
    running = memory.running
    if running is None or running.swap_id != swap_id:
        return memory
    memory = replace(memory, running=None)
    used = memory.used.get(running.number)
    if moved or used is None or used.day != running.day or used.count < 1:
        return memory
    entry = Used(used.step, used.day, used.count - 1)
    return replace(memory, used={**memory.used, running.number: entry})
