"""Whoever is bound to stations sees of a pack's life what happened there, and of nobody else's riders."""

from __future__ import annotations

from pathlib import Path

from fleet.core.access import EVERYWHERE, Role, Scope
from fleet.core.records import CabinetRecord, Credential
from protocols.messages import Kind, Step
from tests.support.desk import CABINET, OLD, RIDER, SWAP
from tests.support.fleet import Reporter
from tests.support.whole_town import WholeTown, whole_town

FAR, STRANGER, FRIEND = "FAR-0001", "RSTRANGER", "RFRIEND"
SECRETS = (FAR, STRANGER, "FAR-IN", "FAR-OUT")


async def ride(whole: WholeTown, at: Reporter, swap: str, rider: str, way: str) -> None:
    """The old pack goes out of, or into, the fourth slot of a cabinet."""
    asked = {"rider": rider, "kind": Kind.PICKUP if way == "out" else Kind.RETURN}
    slot = {"slot_out": 4} if way == "out" else {"slot_in": 4}
    events = (
        at.step(swap, Step.RESERVED, **asked, **slot),  # type: ignore[arg-type]
        at.battery(way, OLD, 4, swap=swap, rider=rider),
        at.step(swap, Step.COMPLETED, **asked, **slot),  # type: ignore[arg-type]
    )
    await whole.stores.events.commit([at.arrival(each) for each in events], at.wall_ms)


async def wander(whole: WholeTown) -> None:
    """Out of here, into a cabinet far away, to a stranger there, and back by a friend."""
    stores, here = whole.stores, whole.desk.reporter
    await stores.cabinets.add(CabinetRecord(FAR, FAR, 12), Credential(FAR, "hash", None), 1)
    for number, rider in enumerate((STRANGER, FRIEND)):
        await stores.riders.add(rider, f"hash-{rider}", f"900{number}", 1)
    far = Reporter(FAR, wall_ms=here.wall_ms + 60_000)
    await ride(whole, here, "HERE-OUT", RIDER, "out")
    await ride(whole, far, "FAR-IN", RIDER, "in")
    await ride(whole, far, "FAR-OUT", STRANGER, "out")
    here.wall_ms = far.wall_ms + 60_000
    await ride(whole, here, "HERE-IN", STRANGER, "in")
    await ride(whole, here, "FRIEND-OUT", FRIEND, "out")
    await ride(whole, here, "FRIEND-IN", FRIEND, "in")


async def test_a_passport_is_cut_to_the_scope(tmp_path: Path) -> None:
    async with whole_town(tmp_path) as whole:
        await wander(whole)
        pages = {}
        for scope in (EVERYWHERE, Scope(stations=frozenset({"DRUM"}))):
            _, session = await whole.signed_in(Role.OPERATOR, scope)
            async with whole.browser_of(session) as client:
                reply = await client.get(f"/ops/packs/{OLD}?lang=en")
                assert reply.status_code == 200
                pages[scope.whole] = reply.text
                assert FAR not in (await client.get("/ops/packs.csv")).text
        for text in SECRETS:
            assert text in pages[True], text
        part = pages[False]
        for text in (FAR, "FAR-IN", "FAR-OUT"):
            assert text not in part, text
        for text in (CABINET, SWAP, "HERE-OUT", "HERE-IN", "FRIEND-OUT", FRIEND):
            assert text in part, text
        assert part.count(STRANGER) == 1, "who brought it back here, and not where it was from"
        assert "Only what happened at the stations" in part
        assert 'class="way"' not in part, "a line with gaps would tell what was not so"
        assert 'class="way"' in pages[True]
        other = Scope(stations=frozenset({"BELL"}))
        _, session = await whole.signed_in(Role.OPERATOR, other)
        async with whole.browser_of(session) as client:
            assert (await client.get(f"/ops/packs/{OLD}")).status_code == 403
