"""Who may order what, and only once.

A command is obeyed when all of these hold, checked in this order; the first that fails is the
reason of the refusal:

1. it names this cabinet;
2. it was not decided before (a repeated command gets the stored result);
3. it names this boot;
4. its signature is the fleet's;
5. its nonce is one of ours, used for the first time, and within ``ttl_ms`` of its **issue** on the
   monotonic clock: a broker that holds a command back cannot open a door later;
6. its sequence number is above the last one obeyed;
7. it has not expired by the wall clock, if that clock is known to be right;
8. its arguments are of its type;
9. its precondition holds on the slot.

Only a refusal of an authentic command (8, 9 and later) is stored under its id: a fleet whose nonce
went stale may send the same command again with a fresh one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cabinet.core.engine_model import Nonce, Now, Token, Verify
from cabinet.core.swap_model import SlotView
from protocols.command_args import (
    CommandArgs,
    command_args,
)
from protocols.errors import MessageError
from protocols.messages import (
    NONCE_LIFE_MS,
    NONCES_MAX,
    Command,
    Precondition,
    signing_bytes,
)

WRONG_CABINET: Final = "wrong-cabinet"
WRONG_BOOT: Final = "wrong-boot"
BAD_SIGNATURE: Final = "bad-signature"
UNKNOWN_NONCE: Final = "unknown-nonce"
STALE_NONCE: Final = "stale-nonce"
OLD_SEQUENCE: Final = "old-sequence"
EXPIRED: Final = "expired"
BAD_ARGUMENTS: Final = "bad-arguments"
PRECONDITION: Final = "precondition"
#: Of what never becomes a command at all.
RETAINED: Final = "retained"
MALFORMED: Final = "malformed"


def issue(
    pool: Iterable[Nonce], count: int, token: Token, now_ms: int
) -> tuple[tuple[Nonce, ...], tuple[str, ...]]:
    """Fresh nonces; dead ones leave the pool, and the oldest when it would overflow."""
    alive = [nonce for nonce in pool if now_ms - nonce.issued_ms <= NONCE_LIFE_MS]
    fresh = [Nonce(token(), now_ms) for _ in range(min(count, NONCES_MAX))]
    kept = (alive + fresh)[-NONCES_MAX:]
    return tuple(kept), tuple(nonce.value for nonce in fresh)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``refusal`` is None when the command is authentic. ``pool`` has its nonce used up."""

    pool: tuple[Nonce, ...]
    refusal: str | None = None
    detail: str = field(default="")


def authenticate(
    command: Command,
    *,
    boot_id: str,
    pool: tuple[Nonce, ...],
    last_seq: int,
    verify: Verify,
    now: Now,
) -> Verdict:
    """Checks 3 to 7. The nonce is used up by any command with a good signature."""
    if command.boot_id != boot_id:
        return Verdict(pool, WRONG_BOOT)
    if not verify(signing_bytes(command), command.sig):
        return Verdict(pool, BAD_SIGNATURE)
    nonce = next((nonce for nonce in pool if nonce.value == command.nonce), None)
    if nonce is None:
        return Verdict(pool, UNKNOWN_NONCE)
    pool = tuple(other for other in pool if other is not nonce)
    age_ms = now.mono_ms - nonce.issued_ms
    if age_ms > min(command.ttl_ms, NONCE_LIFE_MS):
        return Verdict(pool, STALE_NONCE, f"{age_ms} ms since its issue")
    if command.seq <= last_seq:
        return Verdict(pool, OLD_SEQUENCE, f"{command.seq}, last {last_seq}")
    if now.wall_synced and now.wall_ms > command.expires_at_ms:
        return Verdict(pool, EXPIRED)
    return Verdict(pool)


def arguments(command: Command, slots: int) -> CommandArgs | str:
    """The typed arguments, or why there are none."""
    try:
        args = command_args(command)
    except MessageError as error:
        return str(error)
    slot = getattr(args, "slot", None)
    if slot is not None and slot > slots:
        return f"slot {slot}: the cabinet has {slots}"
    return args


def unmet(precondition: Precondition | None, slot: SlotView) -> str | None:
    """What does not hold on the slot, None when all does. Unknown never meets a condition."""
    if precondition is None:
        return None
    if precondition.presence is not None and slot.presence is not precondition.presence:
        return f"slot {slot.slot}: presence is {slot.presence.value}"
    serial = slot.pack.serial if slot.pack else None
    if precondition.serial is not None and serial != precondition.serial:
        return f"slot {slot.slot}: serial is {serial or 'unknown'}"
    return None
