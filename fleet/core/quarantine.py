"""A battery in quarantine by order of a person: which slot must be told, by what the slots show.

The end of a quarantine is remembered until the slot knows of it, as its beginning is: the cabinet may
be away when somebody ends it, and its slot keeps the flag over any time and restart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from fleet.core.views import CabinetView
from protocols.messages import SlotTelemetry

#: How long a cabinet has to obey before it is told again.
TELL_AGAIN_MS: Final = 30_000
FLAG: Final = "quarantine"
#: Of an answer to ``slot.release``: the order's flag is gone, whatever the sensors have against the pack.
_GONE: Final = frozenset({"not-quarantined", "cause-stands"})
_SLOT: Final = "slot"


class Quarantine(Struct, frozen=True):
    """One pack; ``since_ms`` 0 says that it is in none. ``holder`` is the ledger's."""

    serial: str
    actor: str
    reason: str
    since_ms: int
    holder: str = ""
    lifted_ms: int = 0  # 0: it stands; else ``actor`` and ``reason`` are of who ended it
    state: str = ""  # of the order that told its slot of the end; empty: none was given
    result: str = ""

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


def to_release(
    lifted: Iterable[Quarantine], cabinets: dict[str, CabinetView], now_ms: int
) -> tuple[list[tuple[Quarantine, str, int]], list[Quarantine]]:
    """The packs whose slot still shows a quarantine that was ended, as ``to_tell``, and the settled.

    It is settled when the pack stands in no slot any more, for its flag leaves with it; when the
    cabinet answered that the order's flag is gone, since then a flag that still stands is the
    sensors'; or when the slot shows none in a report long enough after the end that no order to set
    the flag was still on its way.
    """
    tell, settled = [], []
    for pack in lifted:
        cabinet = cabinets.get(pack.cabinet or "")
        slot = slot_with(cabinet, pack.serial)
        answered = pack.state == "done" or (pack.state == "refused" and pack.result in _GONE)
        if pack.cabinet is None or answered:
            settled.append(pack)
        elif cabinet is None or not cabinet.online or slot is None:
            continue
        elif FLAG in slot.flags:
            tell.append((pack, cabinet.id, slot.slot))
        elif cabinet.age_ms is not None and (
            now_ms - cabinet.age_ms - pack.lifted_ms >= TELL_AGAIN_MS
        ):
            settled.append(pack)
    return tell, settled
