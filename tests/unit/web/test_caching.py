"""What browsers and what stands between may keep of each answer, by the routes that there are."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from fleet.core.access import EVERYWHERE, Role, Who
from fleet.web.pages import STATIC
from fleet.web.system import FOREVER
from tests.support.area import area_town
from tests.support.fleet_fakes import serving
from tests.support.fleet_fakes_staff import accounts_over
from tests.support.routes import ways_of, whole_app
from tests.unit.web.test_access_table import NAMED

NOTHING: Final = "no-store"
#: All that anybody may keep, and how long; a script at the root is asked for each time.
KEPT: Final = {
    "/api/v1/ops/map": "private, no-cache",
    "/sw.js": "no-cache",
    "/static/{name}": FOREVER,
}


def filled(path: str) -> str:
    """A path to ask for: with a file that is there, and names that may not be."""
    if path.startswith("/static/"):
        return STATIC[0].url
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: NAMED.get(found[1], "x-1"), path)


async def test_no_answer_is_kept_but_those_that_are_named(tmp_path: Path) -> None:
    """Of whoever is signed in: a shared phone's next reader finds nothing in its cache."""
    paths = sorted({way.path for way in ways_of(whole_app()) if "GET" in way.methods})
    told, found = {}, 0
    async with area_town(tmp_path) as area, serving(area.town, heartbeat_s=0.2):
        area.town.staff.behind = accounts_over(area.stores, area.town.clock)
        seat = area.town.staff.seat(Who("S1", "zhang.wei", Role.ADMIN, EVERYWHERE))
        async with area.town.client(cookies={"yz_ops": seat}) as client:
            await area.town.log_in(client)
            for path in paths:
                async with client.stream("GET", filled(path)) as reply:
                    found += reply.status_code == 200
                    told[path] = reply.headers["cache-control"]
    assert found >= 50
    assert {path: kept for path, kept in told.items() if kept != NOTHING} == KEPT


def test_what_is_kept_forever_is_named_by_what_is_in_it() -> None:
    for file in STATIC:
        digest = hashlib.sha256(file.body).hexdigest()[:12]
        assert digest in file.url, file.url
