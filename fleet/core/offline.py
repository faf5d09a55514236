"""Offline transactions as the fleet sees them: names of riders, tickets, twins, secrets of a month.

A cabinet that could not ask names a rider by number, ``no.`` and eight digits. The ledger books to
riders, so the name is resolved before an event is applied. A number that nobody has stays what it
is, a holder of its own, until somebody claims it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from fleet.core.ids import ulid
from fleet.core.views import RiderView
from protocols.messages import BatteryBody, EventBody, Kind, StepBody
from protocols.offline import Ticket, month_of, valid_number

NUMBER_PREFIX: Final = "no."
#: Flags of a swap that an operator should look into.
UNKNOWN_RIDER: Final = "unknown-rider"
TICKET_REUSED: Final = "ticket-reused"
DENIED_RIDER: Final = "denied-rider"
OVER_QUOTA: Final = "over-quota"  # the plan would have let no pack go
UNBILLED: Final = "unbilled"  # the rider had no plan
FLAGS: Final = (UNKNOWN_RIDER, TICKET_REUSED, DENIED_RIDER, OVER_QUOTA, UNBILLED)
#: The cause of a movement from a number to the rider whose number it turned out to be.
CLAIMED: Final = "claimed"

TICKET_LIFE_MS: Final = 12 * 3_600_000
#: Within this time a rider who holds the same packs gets the same ticket, however often he asks:
#: so nobody collects tickets, and each is one transaction.
TICKET_STEP_MS: Final = 3_600_000
#: How long before its beginning the secret of the next month is given out.
NEXT_MONTH_LEAD_MS: Final = 3 * 24 * 3_600_000
_ID_CHARS_MAX: Final = 64


def number_name(number: str) -> str:
    """How a cabinet names the rider of this number."""
    return NUMBER_PREFIX + number


def number_of(name: str) -> str | None:
    """The number in a cabinet's name of a rider; None when it is a rider's id."""
    number = name.removeprefix(NUMBER_PREFIX)
    return number if number != name and valid_number(number) else None


def is_unresolved(name: str) -> bool:
    """True for a name by number that no rider has."""
    return name.startswith(NUMBER_PREFIX)


def numbers_in(bodies: Iterable[EventBody]) -> set[str]:
    """The numbers that these events name riders by."""
    names = (each.rider_id for each in bodies if isinstance(each, (StepBody, BatteryBody)))
    return {number for name in names if name and (number := number_of(name))}


def resolve(body: EventBody, riders: Mapping[str, str]) -> EventBody:
    """The same event with the rider's id in place of his number, where ``riders`` knows it."""
    if not isinstance(body, (StepBody, BatteryBody)) or body.rider_id is None:
        return body
    rider = riders.get(number_of(body.rider_id) or "")
    return body if rider is None else msgspec.structs.replace(body, rider_id=rider)


def twin_id(swap_id: str, cabinet: str) -> str:
    """The id of the second use of a ticket, at this cabinet."""
    twin = f"{swap_id}:{cabinet}"
    if len(twin) <= _ID_CHARS_MAX:
        return twin
    return f"twin:{hashlib.sha256(twin.encode()).hexdigest()[:48]}"


def ticket_for(rider: RiderView, now_ms: int, cabinet: str | None = None) -> Ticket:
    """The ticket, unsigned, for what this rider would do now: swap what he holds, or pick one up."""
    begun_ms = now_ms - now_ms % TICKET_STEP_MS
    kind = Kind.SWAP if rider.serials else Kind.PICKUP
    text = "\n".join((rider.id, kind.value, cabinet or "", *rider.serials))
    return Ticket(
        id=ulid(begun_ms, hashlib.sha256(text.encode()).digest()[:10]),
        rider_id=rider.id,
        number=rider.number,
        kind=kind,
        issued_ms=begun_ms,
        expires_ms=begun_ms + TICKET_LIFE_MS,
        cabinet=cabinet,
        expected_serial=rider.serials[0] if len(rider.serials) == 1 else None,
    )


def months(now_ms: int) -> tuple[str, ...]:
    """The months whose secrets a phone gets now: this one, and the next shortly before it begins."""
    return tuple(dict.fromkeys((month_of(now_ms), month_of(now_ms + NEXT_MONTH_LEAD_MS))))
