"""A battery in quarantine by order of a person: which slot must be told, by what the slots show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from fleet.core.views import CabinetView
from protocols.messages import SlotTelemetry

#: How long a cabinet has to obey before it is told again.
TELL_AGAIN_MS: Final = 30_000
FLAG: Final = "quarantine"
_SLOT: Final = "slot"


class Quarantine(Struct, frozen=True):
    """One pack; ``since_ms`` 0 says that it is in none. ``holder`` is the ledger's."""

    serial: str
    actor: str
    reason: str
    since_ms: int
    holder: str = ""

    @property
    def cabinet(self) -> str | None:
        """In whose slot the ledger has it."""
        kind, _, rest = self.holder.partition(":")
        return rest.partition(":")[0] if kind == _SLOT else None


def slot_with(cabinet: CabinetView | None, serial: str) -> SlotTelemetry | None:
    """The slot in which the cabinet reads this serial; None: in none, or in two."""
    found = [each for each in (cabinet.slots if cabinet else ()) if each.serial == serial]
    return found[0] if len(found) == 1 else None


def to_tell(
    packs: Iterable[Quarantine], cabinets: dict[str, CabinetView]
) -> list[tuple[Quarantine, str, int]]:
    """The packs that stand in a slot which does not show the quarantine: pack, cabinet, slot."""
    found = []
    for pack in packs:
        cabinet = cabinets.get(pack.cabinet or "")
        slot = slot_with(cabinet, pack.serial)
        if cabinet is not None and cabinet.online and slot is not None and FLAG not in slot.flags:
            found.append((pack, cabinet.id, slot.slot))
    return found
