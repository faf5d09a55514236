"""Small bounded tables of one process: how often, and whether already. Time is a parameter."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from fleet.errors import InvalidError, LimitedError

KEYS_MAX: Final = 20_000  # more callers than this at once: the oldest are forgotten
REPLIES_MAX: Final = 1_000  # each of some kilobytes


@dataclass(frozen=True, slots=True)
class Rate:
    """So many times in a window."""

    name: str
    times_max: int
    window_ms: int


#: Many riders share one address behind a carrier's NAT, so limits per address are wide.
CODES_PER_ADDRESS: Final = Rate("codes-address", 20, 10 * 60_000)
CODES_IN_ALL: Final = Rate("codes-all", 2_000, 60 * 60_000)  # a flood of texts costs money
CHECKS_PER_ADDRESS: Final = Rate("checks-address", 60, 10 * 60_000)
STATIONS_PER_ADDRESS: Final = Rate("stations-address", 300, 60_000)
OFFLINE_PER_RIDER: Final = Rate("offline-rider", 30, 60_000)
RESERVATIONS_PER_RIDER: Final = Rate("reservations-rider", 10, 60_000)
LINKS_PER_ADDRESS: Final = Rate("links-address", 600, 10 * 60_000)
PARTNER_CALLS: Final = Rate("partner-calls", 1_200, 60_000)
#: A depot may share one address. How these go together: ``fleet.web.guessing``.
SIGN_INS_PER_ADDRESS: Final = Rate("staff-address", 30, 60_000)
SIGN_INS_IN_ALL: Final = Rate("staff-all", 400, 60_000)  # about what a core can hash
NAME_AND_ADDRESS: Final = Rate("staff-name-address", 10, 15 * 60_000)
NAME_AND_ADDRESS_DAY: Final = Rate("staff-name-address-day", 30, 24 * 3_600_000)
NAME_DAY: Final = Rate("staff-name-day", 300, 24 * 3_600_000)
KNOWN_PER_DEVICE: Final = Rate("staff-device", 10, 15 * 60_000)
KNOWN_IN_ALL: Final = Rate(
    "staff-devices-all", 100, 60_000
)  # they are few, and nobody can make one
#: One-time links and the identity provider: nothing can be guessed, but each costs a look.
WAYS_IN_PER_ADDRESS: Final = Rate("staff-ways-address", 30, 60_000)
PROOFS_PER_ACCOUNT: Final = Rate("staff-proofs", 10, 15 * 60_000)  # of somebody who is signed in
FORGED_TOKENS: Final = Rate("token-forged", 60, 60_000)
TOKEN_CALLS: Final = Rate("token-calls", 1_200, 60_000)
WHAT_IF: Final = Rate("what-if", 12, 60_000)  # each may take a core for seconds


def starts_per_rider(times_max: int) -> Rate:
    """How often one rider's tap may move a door."""
    return Rate("starts-rider", times_max, 60_000)


class Throttle:
    """Counts per rate and caller in fixed windows.

    Each rate has a table of its own: a flood of addresses forgets no account.
    """

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._tables: dict[str, OrderedDict[str, tuple[int, int]]] = {}

    def spend(self, rate: Rate, who: str, now_ms: int) -> None:
        """Count one; raise LimitedError when that is one too many."""
        windows = self._tables.setdefault(rate.name, OrderedDict())
        since_ms, times = windows.get(who, (now_ms, 0))
        if now_ms - since_ms >= rate.window_ms:
            since_ms, times = now_ms, 0
        if times >= rate.times_max:
            left_ms = since_ms + rate.window_ms - now_ms
            raise LimitedError("too many requests", retry_after_s=-(-left_ms // 1_000))
        windows[who] = (since_ms, times + 1)
        windows.move_to_end(who)
        if len(windows) > self._keys_max:
            windows.popitem(last=False)


class Once:
    """Remembers keys for a while, so that a repeated request is not carried out again."""

    def __init__(self, life_ms: int = 10 * 60_000, keys_max: int = KEYS_MAX) -> None:
        self._life_ms = life_ms
        self._keys_max = keys_max
        self._seen: OrderedDict[tuple[str, ...], int] = OrderedDict()

    def first(self, key: tuple[str, ...], now_ms: int) -> bool:
        """Whether the key is new; from now on it is not."""
        since_ms = self._seen.get(key)
        if since_ms is not None and now_ms - since_ms < self._life_ms:
            return False
        self._seen[key] = now_ms
        self._seen.move_to_end(key)
        if len(self._seen) > self._keys_max:
            self._seen.popitem(last=False)
        return True

    def forget(self, key: tuple[str, ...]) -> None:
        """It did not work out: the key may be used again."""
        self._seen.pop(key, None)


class Replies:
    """What was answered under a key, for a while: the same request again is answered alike."""

    def __init__(self, life_ms: int = 10 * 60_000, keys_max: int = REPLIES_MAX) -> None:
        self._life_ms = life_ms
        self._keys_max = keys_max
        self._kept: OrderedDict[tuple[str, ...], tuple[int, str, bytes]] = OrderedDict()

    def find(self, key: tuple[str, ...], asked: str, now_ms: int) -> bytes | None:
        """The answer; None when there is none. ``asked`` is a digest of the request.

        Raises:
            InvalidError: ``key-reused``: the key was for another request.
        """
        since_ms, was, reply = self._kept.get(key, (0, "", b""))
        if not was or now_ms - since_ms >= self._life_ms:
            return None
        if was != asked:
            raise InvalidError("Idempotency-Key: was for another request", code="key-reused")
        return reply

    def keep(self, key: tuple[str, ...], asked: str, reply: bytes, now_ms: int) -> None:
        """Remember an answer."""
        self._kept[key] = (now_ms, asked, reply)
        self._kept.move_to_end(key)
        if len(self._kept) > self._keys_max:
            self._kept.popitem(last=False)
