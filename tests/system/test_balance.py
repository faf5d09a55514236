"""The balance loop on real processes: a cabinet takes its plan up, and stays at or below it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deploy.demo.stack import Options
from deploy.demo.waiting import until
from protocols.messages import OWN_POWER_W
from tests.support.stack import SystemStack, parse_metrics, read_rows
from tests.system.conftest import BROKER

pytestmark = pytest.mark.system

LIMIT_W = 900
BASE_W = 100  # of the simulated cabinet's standby, and more
PLANNED_WITHIN_S = 240.0  # the first time the planner is compiled
SETTLE_WITHIN_S = 60.0
LOOKS = 4

GRID = f"""
[[region]]
name = "east"
tariff = [{{ from = "00:00", price = 0.5 }}]
peak_price_per_kw = 0.0
[[feeder]]
name = "F1"
region = "east"
limit_w = {LIMIT_W}
[cabinets]
DH-0001 = "F1"
[pack]
capacity_wh = 960
charger_w = 330
efficiency = 0.9
[cabinet_power]
breaker_w = 3500
default_w = 600
base_w = {BASE_W}
"""


@pytest.fixture(scope="module")
def stack_options(tmp_path_factory: pytest.TempPathFactory) -> Options:
    """A fleet that plans every ten seconds for a narrow feeder."""
    grid: Path = tmp_path_factory.mktemp("grid") / "grid.toml"
    grid.write_text(GRID)
    balance = {"grid_file": str(grid), "interval_s": 60, "every_s": 10}
    return Options(broker=BROKER, fleet_values={"balance": balance})


def told(stack: SystemStack) -> dict[str, Any]:
    """The cabinet's last telemetry, as the fleet keeps it."""
    [(text,)] = read_rows(stack.fleet_db, "SELECT telemetry FROM cabinet_latest")
    found: dict[str, Any] = json.loads(text) if text else {"plan_version": 0}
    return found


def plans(stack: SystemStack) -> dict[str, Any] | None:
    """The plan that the fleet keeps for the cabinet."""
    rows = read_rows(stack.fleet_db, "SELECT doc FROM desired WHERE kind = 'plan'")
    return json.loads(rows[0][0]) if rows else None


def acknowledged(stack: SystemStack, above: int) -> int | None:
    """The version of a plan newer than this that the cabinet says it has."""
    stack.check_alive()
    plan = plans(stack)
    version = int(told(stack)["plan_version"])
    return version if plan is not None and above < version <= plan["version"] else None


def wait_acknowledged(stack: SystemStack, above: int) -> int:
    return until(
        lambda: acknowledged(stack, above),
        within_s=PLANNED_WITHIN_S,
        what=f"a plan above {above} taken up",
        on_timeout=stack.tails,
    )


def wait_within_plan(stack: SystemStack) -> None:
    """The cabinet draws no more than it was ordered, several reports in a row."""
    seen: dict[int, bool] = {}

    def obeys() -> bool:
        state = told(stack)
        right = state["power_limit_w"] <= LIMIT_W - BASE_W + OWN_POWER_W
        right = right and state["power_w"] <= state["power_limit_w"] - OWN_POWER_W + BASE_W
        if not right:
            seen.clear()
        seen[state["wall_ms"]] = right
        return sum(seen.values()) >= LOOKS

    until(
        obeys,
        within_s=SETTLE_WITHIN_S,
        what="power at or below the plan",
        on_timeout=lambda: f"({told(stack)})\n{stack.tails()}",
    )


def test_the_cabinet_follows_its_plan_over_a_restart_of_the_fleet(stack: SystemStack) -> None:
    version = wait_acknowledged(stack, 0)
    wait_within_plan(stack)
    with httpx2.Client(base_url=stack.fleet_url, trust_env=False, follow_redirects=True) as client:
        token = re.search(r"token=(.*)", stack.operator_url)
        assert token
        client.get("/ops/login", params={"token": token[1]})
        reply = client.get("/api/v1/balance/curve", params={"scope": "feeder:F1"})
        assert reply.status_code == 200, reply.text
        curve = reply.json()
        assert curve["plan"]["planned"] == 1
        assert curve["plan"]["gap"] <= 0.001
        assert {point["limit_w"] for point in curve["points"]} == {LIMIT_W}
        assert all(point["plan_w"] <= LIMIT_W for point in curve["points"])
        metrics = parse_metrics(client.get("/metrics").text)
        assert metrics["fleet_balance_gap_ratio"] <= 0.001
    stack.kill9("fleetd")
    stack.restart("fleetd")
    assert wait_acknowledged(stack, version) > version
    wait_within_plan(stack)
