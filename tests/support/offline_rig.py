"""A toy cabinet whose riders come with numbers, codes and tickets instead of a network."""

from __future__ import annotations

from typing import Any

import msgspec

from cabinet.core.engine_model import OfflineAnswer, OfflineCode, OfflineTicket, Wish
from protocols import offline
from protocols.messages import Door, Kind, signing_bytes
from protocols.offline import Ticket
from tests.support.cabinet_rig import GOOD, Hole, Rig

KEY = bytes(range(32))
ANN = offline.rider_number(42)
BOB = offline.rider_number(4711)
STEP_MS = offline.CODE_STEP_S * 1000


def code_of(number: str, wall_ms: int) -> str:
    """What the rider's app shows at this time."""
    secret = offline.rider_secret(KEY, number, offline.month_of(wall_ms))
    return offline.totp(secret, offline.step_of(wall_ms))


def signed_ticket(ticket: Ticket) -> Ticket:
    bare = msgspec.structs.replace(ticket, sig="")
    return msgspec.structs.replace(bare, sig=f"{GOOD}-{len(signing_bytes(bare))}")


class OfflineRig(Rig):
    """Full packs in 1 and 2, the rest empty; ``slots`` may be more."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**{"group_keys": (KEY,), **fields})

    @property
    def wall_ms(self) -> int:
        return self.now.wall_ms

    def code(self, number: str = ANN) -> str:
        return code_of(number, self.wall_ms)

    def wrong(self, number: str = ANN) -> str:
        """A code that is not right now, nor a moment ago, nor soon."""
        around = {code_of(number, self.wall_ms + n * STEP_MS) for n in range(-3, 4)}
        return next(text for n in range(10) if (text := f"{n:06d}") not in around)

    def type_in(
        self,
        number: str = ANN,
        code: str | None = None,
        *,
        wish: Wish = "go",
        kind: Kind = Kind.SWAP,
    ) -> OfflineAnswer:
        text = self.code(number) if code is None else code
        self.feed(OfflineCode(f"q{len(self.answers)}", number, text, kind, wish))
        assert self.answers[-1].ref == f"q{len(self.answers) - 1}"
        return self.answers[-1]

    def ticket(self, swap_id: str = "T-1", number: str = ANN, **more: Any) -> Ticket:
        fields: dict[str, Any] = {
            "id": swap_id,
            "rider_id": f"R{number}",
            "number": number,
            "kind": Kind.SWAP,
            "issued_ms": self.wall_ms,
            "expires_ms": self.wall_ms + 3_600_000,
            **more,
        }
        return signed_ticket(Ticket(**fields))

    def show(self, ticket: Ticket | str, wish: Wish = "go") -> OfflineAnswer:
        text = ticket if isinstance(ticket, str) else offline.ticket_text(ticket)
        self.feed(OfflineTicket(f"q{len(self.answers)}", text, wish))
        return self.answers[-1]

    def ride(self, give: str = "OLD-1", kind: Kind = Kind.SWAP) -> str | None:
        """Do what the open doors ask for, to the end; the serial taken."""
        taken = None
        if kind is not Kind.PICKUP:
            self.run(300)
            hole = self._open()
            self.put(hole, give, 20)
            self.run(200)
            self.shut(hole)
        if kind is not Kind.RETURN:
            self.run(500)
            hole = self._open()
            taken = self.holes[hole].serial
            self.take(hole)
            self.run(300)
            self.shut(hole)
        self.run(3_000)
        return taken

    def _open(self) -> int:
        return next(n for n, hole in self.holes.items() if hole.door is Door.OPEN)

    def opened(self) -> bool:
        return any(hole.door is not Door.CLOSED for hole in self.holes.values())


def stocked(slots: int, full: int, **fields: Any) -> OfflineRig:
    """A bigger cabinet."""
    holes = {n: Hole() for n in range(1, slots + 1)}
    for n in range(1, full + 1):
        holes[n] = Hole(f"YZ48-{n:06d}", 100)
    return OfflineRig(slots=slots, holes=holes, **fields)
