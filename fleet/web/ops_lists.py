"""What the operator's lists share: filters that stand in the address, and who asks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import Request

from fleet.core.access import Who, acting
from fleet.core.operations import OPERATOR
from fleet.errors import InvalidError, NotFoundError
from fleet.ports_charts import Charts
from fleet.web.access import need_staff
from fleet.web.pages import web_of

SHORT: Final = 64
ACTOR_CHARS_MAX: Final = 64
_STAFF: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


def charts_of(request: Request) -> Charts:
    """The desk's ports; raise NotFoundError where there is none."""
    charts = web_of(request).charts
    if charts is None:
        raise NotFoundError("this fleet has no desk")
    return charts


def link(path: str, asked: dict[str, str], **more: str) -> str:
    """An address with these filters; what is empty is left out."""
    kept = {key: value for key, value in (asked | more).items() if value}
    return f"{path}?{urlencode(kept)}" if kept else path


@dataclass(frozen=True, slots=True)
class Pager:
    """Where in a list a page stands, and the ways on; an empty one leads nowhere."""

    page: int
    pages: int
    before_url: str
    after_url: str


def pager(path: str, asked: dict[str, str], page: int, pages: int) -> Pager:
    """The ways from one page of a list to the next."""
    before = link(path, asked, page=str(page - 1) if page > 2 else "") if page > 1 else ""
    after = link(path, asked, page=str(page + 1)) if page < pages else ""
    return Pager(page, pages, before, after)


def place_of_row(text: str) -> tuple[int, str] | None:
    """The row at which a page ended, as it stands in the address: its time and its id."""
    at_ms, _, row_id = text.partition(".")
    return (int(at_ms), row_id) if at_ms.isdecimal() and len(at_ms) < 16 and row_id else None


async def actor_of(request: Request, typed: str) -> str:
    """Who acts, as it stands in the log; who sits at a shared seat types a name.

    Raises:
        InvalidError: ``staff-name``: there is none.
    """
    who: Who = await need_staff(request)
    name = acting(who, typed.strip())
    if who.shared and not _STAFF.fullmatch(name):
        raise InvalidError(f"staff {name!r}: expected letters, digits, . _ -", code="staff-name")
    return f"{OPERATOR}{name}"[:ACTOR_CHARS_MAX]


def day_ms(text: str, zone: ZoneInfo, what: str, *, end: bool = False) -> int | None:
    """A date as the moment it begins, or ends; None when empty; raise InvalidError."""
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=zone)
        day += timedelta(days=1 if end else 0)
    except (ValueError, OverflowError):
        raise InvalidError(
            f"{what}: is {text[:20]!r}, expected a date such as 2026-03-04"
        ) from None
    return int(day.timestamp() * 1_000)


def moment_ms(text: str, zone: ZoneInfo, what: str) -> int | None:
    """A local date and time; None when empty; raise InvalidError."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidError(
            f"{what}: is {text[:20]!r}, expected a time such as 2026-03-04T08:00"
        ) from None
    at = at.replace(tzinfo=zone) if at.tzinfo is None else at
    return int(at.timestamp() * 1_000)


def zone_of(request: Request) -> ZoneInfo:
    """Of the place."""
    return ZoneInfo(web_of(request).config.timezone)
