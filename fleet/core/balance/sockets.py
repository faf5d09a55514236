"""What sockets will take: sessions under way, and those to come.

A day's profile per cabinet is learnt from what sessions took, interval by interval; what was seen
fades by a share per day. A cabinet that was not seen for long leans on the mean of those that have
sockets. Sessions under way are counted by what they draw, until their limits; the sockets that are
free then, or by then, are counted with their share of the profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.forecast import KEPT_A_DAY
from fleet.core.balance.instance import Floats, Ints
from protocols.sockets import SocketState, SocketTelemetry

#: A session's draw counts as known only after a charger has had time to begin.
SOCKET_BEGIN_S: Final = 30
#: Days that the mean of the fleet is worth at a cabinet of its own history.
MEAN_WORTH_D: Final = 2.0
_RUNNING: Final = frozenset({SocketState.ON, SocketState.PAUSED, SocketState.ENDING})
_WORKING: Final = _RUNNING | {SocketState.IDLE}

#: Of the sessions that began in an interval of a day: cabinet, interval, energy, mean length.
Drawn = tuple[int, int, float, float]


class SocketUse:
    """Learns the power that sockets take over the day, a day at a time."""

    def __init__(self, cabinets: int, interval_s: int) -> None:
        self._interval_s = interval_s
        self._seen_wh = np.zeros((cabinets, 24 * 3_600 // interval_s))
        self._days = np.zeros(cabinets)

    def learn(self, rows: Iterable[Drawn], there: NDArray[np.bool_]) -> None:
        """One whole day; ``there`` are the cabinets that could have had sessions."""
        self._seen_wh *= KEPT_A_DAY
        self._days *= KEPT_A_DAY
        self._days[there] += 1.0
        intervals = self._seen_wh.shape[1]
        for cabinet, begun, energy_wh, length_s in rows:
            over = min(max(1, round(length_s / self._interval_s)), intervals)
            at = (min(begun, intervals - 1) + np.arange(over)) % intervals  # into the next morning
            self._seen_wh[cabinet, at] += energy_wh / over

    def expected_w(self) -> Floats:
        """[C, intervals of a day]: the mean power of all sockets of each cabinet."""
        used = self._seen_wh.any(axis=1)
        days = float(self._days[used].sum())
        mean_wh = self._seen_wh[used].sum(axis=0) / days if days else self._seen_wh[:0].sum(axis=0)
        shrunk_wh = (self._seen_wh + MEAN_WORTH_D * mean_wh) / (self._days + MEAN_WORTH_D)[:, None]
        watts: Floats = shrunk_wh * 3_600 / self._interval_s
        return watts


def socket_loads(
    sites: Sequence[Sequence[SocketTelemetry]],
    starts: NDArray[np.int64],
    now_ms: int,
    interval_s: int,
    expected_w: Floats | None = None,
) -> Ints:
    """What the sockets of each cabinet will take [N,T]: sessions under way, and those to come.

    A cabinet that does not follow has none here: it keeps them within its own limit, which is
    reserved for it. ``expected_w`` [N,T or more] is of all sockets of a cabinet.
    """
    load = np.zeros((len(sites), len(starts)), np.int64)
    for row, sockets in enumerate(sites):
        working = [each for each in sockets if each.state in _WORKING]
        taken = np.zeros(len(starts))
        for socket in working:
            if socket.state not in _RUNNING:
                continue
            lasts = starts < now_ms + max(socket.left_s, interval_s) * 1_000
            load[row, lasts] += _draw_w(socket)
            taken += lasts
        if expected_w is None or not working:
            continue
        most_w = sum(each.power_max_w for each in working)
        mean_w = np.minimum(expected_w[row, : len(starts)], most_w)
        load[row] += np.ceil(mean_w * (1.0 - taken / len(working))).astype(np.int64)
    return load


def _draw_w(socket: SocketTelemetry) -> int:
    """What a session takes; at most what it may where that is not known yet."""
    known = socket.state is SocketState.ON and socket.power_w is not None
    if not known or socket.duration_s < SOCKET_BEGIN_S:
        return socket.power_max_w
    return int(np.ceil(min(socket.power_w or 0.0, socket.power_max_w)))
