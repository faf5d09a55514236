"""The curve of the balance over REST: for operators, where there is a balance."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC
from typing import Any

from httpx2 import AsyncClient
from msgspec.structs import replace

from fleet.core.balance.curve import CurvePoint, CurveView, ServiceNote
from fleet.core.balance.moves import MovesView, MoveView
from fleet.errors import NotFoundError
from fleet.runtime.balance_metrics import ALARMS
from fleet.web.curve import LEFT, WIDTH, picture
from fleet.web.i18n import LANGUAGES, catalogue
from tests.support.fleet_fakes import Town

VIEW = CurveView(
    scope="fleet",
    interval_s=900,
    now_ms=1_000,
    plan=None,
    alarms=("late",),
    points=(CurvePoint(start_ms=0, plan_w=100, actual_w=None, limit_w=200, price=0.5),),
)


class FakeBalance:
    async def moves(self) -> MovesView:
        move = MoveView(
            giver="A-1", taker="B-2", packs=3, by_ms=1_000, distance_m=1_200, why="busy", lost=4.0
        )
        return MovesView(version=5, moves=(move,), lost=4.0, lost_after=1.0)

    async def curve(self, scope: str) -> CurveView:
        if scope != "fleet":
            raise NotFoundError(f"scope {scope!r}: expected fleet")
        return VIEW


def switch_on(town: Town) -> None:
    town.app.state.web = dataclasses.replace(town.app.state.web, balance=FakeBalance())


async def test_operators_read_the_curve(town: Town, operator: AsyncClient) -> None:
    reply = await operator.get("/api/v1/balance/curve")
    assert reply.status_code == 404, "off"
    assert "grid_file" in reply.json()["error"]["message"]
    switch_on(town)
    reply = await operator.get("/api/v1/balance/curve", params={"scope": "fleet"})
    assert reply.status_code == 200
    assert reply.json()["points"] == [
        {"start_ms": 0, "plan_w": 100, "actual_w": None, "limit_w": 200, "price": 0.5}
        | {"swaps": None, "shortfall_wh": None}
    ]
    assert (await operator.get("/api/v1/balance/curve?scope=x")).status_code == 404
    assert (await operator.get(f"/api/v1/balance/curve?scope={'x' * 81}")).status_code == 422


async def test_nobody_else_does(stranger: AsyncClient, rider: AsyncClient) -> None:
    for client in (stranger, rider):
        reply = await client.get("/api/v1/balance/curve")
        assert reply.status_code in (401, 403)


async def test_the_page_draws_it_in_both_languages(town: Town, operator: AsyncClient) -> None:
    assert (await operator.get("/ops/balance")).status_code == 404, "off"
    assert "/ops/balance" not in (await operator.get("/ops")).text
    switch_on(town)
    assert "/ops/balance" in (await operator.get("/ops")).text
    english = (await operator.get("/ops/balance?lang=en")).text
    assert "Planning takes too long" in english
    assert f'class="plan" d="M{LEFT}.0' in english
    assert "计划" in (await operator.get("/ops/balance?lang=zh")).text
    assert (await operator.get("/ops/balance?scope=x")).status_code == 404


async def test_batteries_to_carry(town: Town, operator: AsyncClient, rider: AsyncClient) -> None:
    assert (await operator.get("/api/v1/balance/moves")).status_code == 404, "off"
    switch_on(town)
    assert (await rider.get("/api/v1/balance/moves")).status_code in (401, 403)
    told = (await operator.get("/api/v1/balance/moves")).json()
    assert told["moves"][0]["packs"] == 3
    english = (await operator.get("/ops/balance?lang=en")).text
    assert "A-1 → B-2" in english
    assert "3 full for empty" in english
    assert "charging can" in english
    assert "满电换空电 3 块" in (await operator.get("/ops/balance?lang=zh")).text


async def test_a_fast_day_says_so(town: Town, operator: AsyncClient, monkeypatch: Any) -> None:
    switch_on(town)
    assert "times faster" not in (await operator.get("/ops/balance?lang=en")).text
    monkeypatch.setattr("tests.unit.web.test_balance.VIEW", replace(VIEW, clock_rate=60))
    assert "runs 60 times faster" in (await operator.get("/ops/balance?lang=en")).text


async def test_the_page_and_rest_say_what_service_the_plan_is_held_to(
    town: Town, operator: AsyncClient, monkeypatch: Any
) -> None:
    service = ServiceNote(
        lost_swap_price=3.25,
        usual_price=2.0,
        riders=120,
        lost=7,
        lost_at_once=5,
        since_ms=0,
        counted=False,
    )
    switch_on(town)
    assert 'id="service"' not in (await operator.get("/ops/balance?lang=en")).text
    monkeypatch.setattr("tests.unit.web.test_balance.VIEW", replace(VIEW, service=service))
    english = (await operator.get("/ops/balance?lang=en")).text
    for text in ("3.25", "(grid: 2.00)", "7 / 120", "at once", "not believed"):
        assert text in english
    assert "随到随充" in (await operator.get("/ops/balance?lang=zh")).text
    told = (await operator.get("/api/v1/balance/curve")).json()["service"]
    assert (told["lost_swap_price"], told["lost_at_once"], told["counted"]) == (3.25, 5, False)


async def test_strangers_do_not_see_the_page(town: Town, stranger: AsyncClient) -> None:
    switch_on(town)
    assert 'class="plan"' not in (await stranger.get("/ops/balance")).text


def test_every_alarm_has_words() -> None:
    for code in ALARMS:
        for language in LANGUAGES:
            assert f"balance.alarm-{code}" in catalogue(language).texts


def test_the_picture_breaks_where_nothing_is_known_and_keeps_inside() -> None:
    hour = 3_600_000
    points = tuple(
        CurvePoint(
            start_ms=place * hour,
            plan_w=1_000,
            actual_w=None if place == 1 else 2_000,
            limit_w=9_000 if place else 2_200,
            price=-0.1 * place,
        )
        for place in range(3)
    )
    view = CurveView(
        scope="fleet", interval_s=3_600, now_ms=hour, plan=None, alarms=(), points=points
    )
    drawn = picture(view, UTC)
    assert drawn is not None
    assert drawn.actual.count("M") == 2
    assert drawn.limit.count("H") == 1, "a limit far above is not drawn"
    numbers = [float(each) for each in re.findall(r"[MLH ](-?[0-9.]+)", drawn.price + drawn.plan)]
    assert min(numbers) >= 0
    assert max(numbers) <= WIDTH
    assert picture(replace(view, points=()), UTC) is None
