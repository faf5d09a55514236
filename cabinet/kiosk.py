"""What the kiosk page shows and asks; ``runtime.kiosk`` answers, ``web.kiosk`` serves."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from cabinet.core.engine_model import OfflineAnswer, Wish
from cabinet.core.prompts import Tone
from protocols.messages import Door, Kind, SlotState
from protocols.sockets import SocketState

#: Doors of a cabinet with up to so many slots stand in so many columns, unless it is configured.
COLUMNS = ((3, 1), (8, 2), (18, 3), (64, 4))


class KioskSlot(Struct, frozen=True, kw_only=True):
    """One door as it stands."""

    slot: int
    state: SlotState
    door: Door
    soc_pct: int | None = None


class KioskSocket(Struct, frozen=True, kw_only=True):
    """One socket of the charging area beside the cabinet."""

    socket: int
    state: SocketState


class KioskPrompt(Struct, frozen=True, kw_only=True):
    """What to do now; see ``core.prompts``."""

    key: str
    tone: Tone
    slot: int | None = None
    reason: str | None = None


class KioskScan(Struct, frozen=True, kw_only=True):
    """What became of a ticket at the scanner; ``number`` tells one from the next."""

    number: int
    reason: str | None = None


class KioskView(Struct, frozen=True, kw_only=True):
    """Everything that the page shows."""

    cabinet: str
    name: str
    boot_id: str
    network: bool  # the fleet can be reached
    codes: bool  # number and code would be taken: there is a group key and the clock is right
    tickets: bool
    scanner: bool  # there is one, and it answers
    columns: int
    full: int
    empty: int
    active: bool  # a transaction is under way
    own_back: bool  # its rider may have his own battery back
    keypad_wait_s: int
    prompt: KioskPrompt
    slots: tuple[KioskSlot, ...]
    scan: KioskScan | None = None
    sockets: tuple[KioskSocket, ...] = ()
    language: str = ""  # to begin with; "" is the screen's own
    note: dict[str, str] = {}  # a line of the operator's, by language


class Kiosk(Protocol):
    """What the page may ask of the cabinet."""

    def view(self) -> KioskView:
        """The cabinet at this instant."""
        ...

    async def code(self, number: str, code: str, kind: Kind, wish: Wish) -> OfflineAnswer | None:
        """A number and a code; None when the cabinet cannot write anything down now."""
        ...

    async def ticket(self, text: str, wish: Wish) -> OfflineAnswer | None:
        """A ticket that was typed by a scanner in keyboard mode; None as for ``code``."""
        ...

    def next_scan(self, wish: Wish) -> None:
        """What the next ticket at the scanner is to mean, for a short while."""
        ...

    async def pause(self, delay_s: float) -> None:
        """Sleep between two looks."""
        ...
