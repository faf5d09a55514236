"""For how long a stream may go on: as long as who opened it may still look.

A page is refused at the next request; a stream makes no other request, so it asks again by itself:
every ``recheck_s``, and at once when this process was told of a change. Any change at all ends
it, of name, role, scope or grants: the browser comes again, and gets what it may have now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import HTTPConnection, Request

from fleet.core.access import Who
from fleet.errors import DeniedError, NotFoundError
from fleet.web.access import need_again
from fleet.web.pages import web_of
from fleet.web.sessions import forget_rider, rider_key, rider_of
from fleet.web.signin import forget_staff, staff_of, who_asks

STAFF: Final = "staff"


class OpenedBy:
    """``fleet.web.sse.Right``. Made by ``right_of``."""

    def __init__(
        self,
        request: Request,
        who: Who | None,
        rider: str | None,
        again: Callable[[Request], Awaitable[Any]] | None,
    ) -> None:
        self.key = STAFF if who else rider_key(rider) if rider else ""
        self._request = request
        self._who = who
        self._rider = rider
        self._again = again

    async def holds(self) -> bool:
        """Whether the same one may still look; raise FleetError when the store can't say."""
        asked = Request(forget_staff(forget_rider(self._request.scope)))
        try:
            if self._who is not None and (await who_asks(asked))[0] != self._who:
                return False
            if self._rider is not None and await rider_of(asked) != self._rider:
                return False
            await need_again(asked)
            if self._again is not None:
                await self._again(asked)
        except (DeniedError, NotFoundError):
            return False
        return True


async def right_of(
    request: Request, again: Callable[[Request], Awaitable[Any]] | None = None
) -> OpenedBy:
    """The right by which this request opens a stream.

    ``again`` raises DeniedError or NotFoundError when it is no more; what the route declares with
    ``needs`` is asked again without it.
    """
    return OpenedBy(request, await staff_of(request), await rider_of(request), again)


def staff_changed(request: HTTPConnection) -> None:
    """Accounts, sessions or tokens of staff are not what they were."""
    web_of(request).streams.rights_changed(STAFF)
