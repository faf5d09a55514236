"""The curve of the balance over REST: for operators, where there is a balance."""

from __future__ import annotations

from httpx2 import AsyncClient

from fleet.core.balance.curve import CurvePoint, CurveView
from fleet.errors import NotFoundError
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
    async def curve(self, scope: str) -> CurveView:
        if scope != "fleet":
            raise NotFoundError(f"scope {scope!r}: expected fleet")
        return VIEW


async def test_operators_read_the_curve(town: Town, operator: AsyncClient) -> None:
    reply = await operator.get("/api/v1/balance/curve")
    assert reply.status_code == 404, "off"
    assert "grid_file" in reply.json()["error"]["message"]
    town.app.state.web = type(town.app.state.web)(
        **{
            name: getattr(town.app.state.web, name)
            for name in town.app.state.web.__slots__
            if name != "balance"
        },
        balance=FakeBalance(),
    )
    reply = await operator.get("/api/v1/balance/curve", params={"scope": "fleet"})
    assert reply.status_code == 200
    assert reply.json()["points"] == [
        {"start_ms": 0, "plan_w": 100, "actual_w": None, "limit_w": 200, "price": 0.5}
    ]
    assert (await operator.get("/api/v1/balance/curve?scope=x")).status_code == 404
    assert (await operator.get(f"/api/v1/balance/curve?scope={'x' * 81}")).status_code == 422


async def test_nobody_else_does(stranger: AsyncClient, rider: AsyncClient) -> None:
    for client in (stranger, rider):
        reply = await client.get("/api/v1/balance/curve")
        assert reply.status_code in (401, 403)
