"""The versions of the grid: a line in which each takes effect no earlier than the one before it.

So the last version says all there is, and none that is to come can undo one that was made later.
Nothing is ever changed; what has not begun yet can be withdrawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from fleet.errors import InvalidError, RefusedError

REASON_CHARS_MAX: Final = 300
#: Changes that wait for their time.
AHEAD_MAX: Final = 50
AHEAD_MS_MAX: Final = 366 * 86_400_000
#: Between a form's "now" and its arrival.
LATE_MS: Final = 120_000

FILE, IMPORTED, CONSOLE = "file", "import", "console"


class GridVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version; ``valid_from_ms`` is of the tariff's clock, ``created_ms`` of the fleet's."""

    version: int
    valid_from_ms: int
    created_ms: int
    actor: str
    reason: str
    source: str
    digest: str
    withdrawn_ms: int | None = None
    withdrawn_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A version to be kept; ``revision`` is the one that its author has seen, None does not ask."""

    text: str
    valid_from_ms: int
    now_ms: int  # of the tariff's clock
    created_ms: int
    actor: str
    reason: str
    source: str
    revision: int | None = None


def digest_of(text: str) -> str:
    """By which two texts are told apart."""
    return hashlib.sha256(text.encode()).hexdigest()


def standing(versions: Sequence[GridVersion]) -> list[GridVersion]:
    """Those that were not withdrawn, the oldest first."""
    return sorted(
        (each for each in versions if each.withdrawn_ms is None), key=lambda each: each.version
    )


def in_force(versions: Sequence[GridVersion], now_ms: int) -> GridVersion | None:
    """The version that counts at a moment; the first counts from always."""
    found = None
    for each in standing(versions):
        if found is None or each.valid_from_ms <= now_ms:
            found = each
    return found


def check_new(new: NewVersion, versions: Sequence[GridVersion], revision: int) -> None:
    """Whether a version may join the line.

    Raises:
        InvalidError: a field is out of range.
        RefusedError: ``grid-changed`` (another was made meanwhile), ``grid-order`` (it would begin
            before one that is to come), ``grid-ahead`` (too many are to come).
    """
    check_reason(new.reason)
    _check_seen(revision if new.revision is None else new.revision, revision)
    if not new.now_ms - LATE_MS <= new.valid_from_ms <= new.now_ms + AHEAD_MS_MAX:
        raise InvalidError("valid_from: expected a time to come, within a year")
    kept = standing(versions)
    if not kept:
        return
    if kept[-1].valid_from_ms > new.valid_from_ms:
        raise RefusedError(
            f"version {kept[-1].version} begins later; withdraw it, or begin after it",
            code="grid-order",
        )
    if sum(each.valid_from_ms > new.now_ms for each in kept) >= AHEAD_MAX:
        raise RefusedError(f"{AHEAD_MAX} versions wait for their time", code="grid-ahead")


def check_withdrawal(
    version: int, versions: Sequence[GridVersion], now_ms: int, seen: int, revision: int
) -> None:
    """Whether a version can be withdrawn: the last, before it begins.

    Raises:
        RefusedError: ``grid-changed``, ``grid-begun``, or ``grid-order`` when it is not the last.
    """
    _check_seen(seen, revision)
    kept = standing(versions)
    if not kept or kept[-1].version != version:
        raise RefusedError(
            f"version {version}: only the last one can be withdrawn", code="grid-order"
        )
    if kept[-1].valid_from_ms <= now_ms or len(kept) == 1:
        raise RefusedError(f"version {version} has begun; make a new one", code="grid-begun")


def check_reason(reason: str) -> None:
    """Raise InvalidError unless it says something."""
    if not 3 <= len(reason) <= REASON_CHARS_MAX or not reason.isprintable():
        raise InvalidError(f"reason: expected 3 to {REASON_CHARS_MAX} printable characters")


def _check_seen(seen: int, revision: int) -> None:
    if seen != revision:
        raise RefusedError(
            f"revision {seen}: the grid is at {revision} by now; look at it again",
            code="grid-changed",
        )
