"""The packs within reach of a hand: new ones of several kinds, and those that left this cabinet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel, Field

from simulator.control.faults import FaultState
from simulator.control.schemas import InsertBody, PackState, State
from simulator.control.state import pack_state
from simulator.models.cabinet import Cabinet

#: Of the packs that left, those that left last.
AWAY_SHOWN: Final = 24
#: New packs count from here, above those that a cabinet is delivered with.
NEW_FROM: Final = 101
OWN_LEAD: Final = "YZ48-"
FOREIGN_LEAD: Final = "XX99-"

#: What is offered, by name: how the pack is, and how its serial begins; None: it cannot be read.
NEW_PACKS: Final[dict[str, tuple[str | None, InsertBody]]] = {
    "low": (OWN_LEAD, InsertBody(soc_pct=18)),
    "full": (OWN_LEAD, InsertBody(soc_pct=100)),
    "hot": (OWN_LEAD, InsertBody(soc_pct=40, temp_c=62, hold_temp=True)),
    "cold": (OWN_LEAD, InsertBody(soc_pct=40, temp_c=-15, hold_temp=True)),
    "mute": (OWN_LEAD, InsertBody(soc_pct=40, bms_silent=True)),
    "foreign": (FOREIGN_LEAD, InsertBody(soc_pct=40)),
    "nameless": (None, InsertBody(soc_pct=40)),
}


class ShelfPack(BaseModel):
    """One pack within reach; ``body`` is what to send to ``/slots/N/insert``."""

    id: str
    fresh: str | None = Field(description="Name of its kind; None: it has been here before.")
    soc_pct: int
    body: InsertBody


class Look(BaseModel):
    """What ``/stream`` tells: all that a face draws."""

    state: State
    faults: list[FaultState]
    shelf: list[ShelfPack]


def shelf(cabinet: Cabinet) -> list[ShelfPack]:
    """New packs with serials that nobody has, then those that left, the last first."""
    used = {slot.pack.serial for slot in cabinet.slots if slot.pack} | set(cabinet.away)
    found = []
    for name, (lead, body) in NEW_PACKS.items():
        serial = None if lead is None else next(each for each in _serials(lead) if each not in used)
        whole = body.model_copy(update={"serial": serial})
        soc = round(body.soc_pct or 0)
        found.append(ShelfPack(id=name, fresh=name, soc_pct=soc, body=whole))
    left = list(cabinet.away.values())[-AWAY_SHOWN:]
    return found + [_back(pack_state(pack)) for pack in reversed(left)]


def _serials(lead: str) -> Iterator[str]:
    number = NEW_FROM
    while True:
        yield f"{lead}{number:06d}"
        number += 1


def _back(pack: PackState) -> ShelfPack:
    serial = pack.serial or ""
    return ShelfPack(
        id=serial, fresh=None, soc_pct=pack.soc_pct, body=InsertBody(serial=pack.serial)
    )
