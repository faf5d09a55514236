"""Saved views: a list, the map or the load as somebody has set its filters, under a name. Pure.

A view is an address of one of our own pages and nothing else; who opens another's sees what his own
role and place allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode

import msgspec

from fleet.errors import InvalidError

VIEWS_MAX: Final = 50  # of one account
NAME_CHARS_MAX: Final = 60
QUERY_CHARS_MAX: Final = 500
VALUE_CHARS_MAX: Final = 80
FIELDS_MAX: Final = 20

#: The pages that can be saved: their paths, and the filters of each. What names a rider is not among
#: them: an address is sent on.
PAGES: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "map": ("/ops", frozenset({"state", "at"})),
    "cabinets": ("/ops/cabinets", frozenset({"q", "state", "station", "age", "sort"})),
    "alarms": ("/ops/alarms", frozenset({"code", "cabinet", "noted"})),
    "load": (
        "/ops/balance",
        frozenset({"scope", "limit_kw", "from", "to", "price_pct", "lost"}),
    ),
    "swaps": (
        "/ops/swaps",
        frozenset({"cabinet", "kind", "outcome", "reason", "flagged", "since", "until"}),
    ),
    "packs": ("/ops/packs", frozenset({"q", "place", "cabinet", "state", "disputed"})),
    "tickets": ("/ops/tickets", frozenset({"state", "topic", "cabinet"})),
}


class SavedView(msgspec.Struct, frozen=True, kw_only=True):
    """A named address of one account."""

    id: str
    staff: str
    name: str
    page: str
    query: str
    created_ms: int

    @property
    def url(self) -> str:
        """Where it leads."""
        path, _ = PAGES[self.page]
        return f"{path}?{self.query}" if self.query else path


def check_page(page: str) -> str:
    """A page that can be saved; raise InvalidError."""
    if page not in PAGES:
        raise InvalidError(f"page: is {page[:20]!r}, expected one of {', '.join(PAGES)}")
    return page


def check_name(text: str) -> str:
    """A name in one line; raise InvalidError."""
    name = " ".join(text.split())
    if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
        raise InvalidError(
            f"name: has {len(name)} characters, expected 1 to {NAME_CHARS_MAX} printable ones"
        )
    return name


def kept_query(page: str, text: str) -> str:
    """The filters of a page out of an address, in one order, without what turns its pages.

    Raises:
        InvalidError: it is too long, or has too many fields.
    """
    _, fields = PAGES[check_page(page)]
    if len(text) > QUERY_CHARS_MAX:
        raise InvalidError(f"query: has {len(text)} characters, expected at most {QUERY_CHARS_MAX}")
    try:
        pairs = parse_qsl(text.lstrip("?"), max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise InvalidError(f"query: has more than {FIELDS_MAX} fields") from error
    kept = {
        name: value
        for name, value in pairs
        if name in fields and len(value) <= VALUE_CHARS_MAX and value.isprintable()
    }
    query = urlencode(sorted(kept.items()))
    if len(query) > QUERY_CHARS_MAX:  # what is no ASCII takes up to nine characters for one
        raise InvalidError(
            f"query: comes to {len(query)} characters, expected at most {QUERY_CHARS_MAX}"
        )
    return query
