"""Rules, their tests, the runbook and the dashboards belong together and name what there is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from cabinet.runtime.metrics import Metrics
from deploy.monitoring import dashboards
from fleet.adapters.clock import SystemClock
from fleet.checks import Check
from fleet.core.offline import FLAGS
from fleet.errors import FleetError
from fleet.runtime.balance_metrics import BalanceMetrics
from fleet.runtime.metrics import ALARM_CODES_MAX, PARTS, FleetMetrics
from fleet.runtime.parts_watch import PartsWatch
from tests.unit.cabinet.shell.test_metrics import snapshot

FOLDER = Path(dashboards.__file__).parent
GIVEN_BY_PROMETHEUS = {"up"}
NAME = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b|\bup\b")
#: Words of the query language and our labels, where they look like names of series.
WORDS = {"histogram_quantile", "label_values"}


def rules() -> list[dict[str, Any]]:
    text = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    return [rule for group in text["groups"] for rule in group["rules"]]


def names_in(expression: str) -> set[str]:
    """The series that an expression reads."""
    bare = re.sub(r'"[^"]*"|\[[^]]*\]', "", expression)
    return set(NAME.findall(bare)) - WORDS


def exported() -> set[str]:
    """Every series that one of our programs exports."""
    fleet = FleetMetrics()
    BalanceMetrics(fleet.registry)
    now = snapshot()
    limited = replace(now, telemetry=replace(now.telemetry, power_limit_w=2_000))
    cabinet = Metrics(lambda: limited, {})._registry
    return {name for registry in (fleet.registry, cabinet) for name in _samples(registry)}


def _samples(registry: CollectorRegistry) -> Iterable[str]:
    for family in registry.collect():
        if family.type == "counter":
            yield f"{family.name}_total"
        elif family.type == "histogram":
            yield f"{family.name}_bucket"
        else:
            yield family.name


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_is_about_something_exported_and_has_its_page_and_its_tests(
    rule: dict[str, Any],
) -> None:
    name = rule["alert"]
    assert names_in(rule["expr"]) <= exported() | GIVEN_BY_PROMETHEUS
    assert rule["labels"]["severity"] in {"critical", "warning"}
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^## (\w+)$", (FOLDER / page).read_text(), re.MULTILINE)
    assert anchor == name.lower()
    assert name in headings
    tests = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    assert {f"{name} raised", f"{name} quiet"} <= {test["name"] for test in tests}


#: A counter, and what a rule asks of one of its labels; ``result`` of a ratio's whole is any.
RISES = re.compile(r"(?:rate|increase)\((\w+)(?:\{(\w+)=\"([^\"]*)\"\})?\[")


def test_what_a_rule_waits_for_to_rise_is_there_before_it_happens() -> None:
    """A series that begins with its first event has not risen, and the rule stays quiet."""
    registry = FleetMetrics().registry
    samples = [sample for family in registry.collect() for sample in family.samples]
    asked = {found for rule in rules() for found in RISES.findall(rule["expr"])}
    assert ("ingest_events_total", "verdict", "poison") in asked
    for name, label, value in asked:
        there = [each for each in samples if each.name == name]
        assert there, name
        if label:
            assert value in {each.labels[label] for each in there}, (name, label, value)
    flags = {each.labels["flag"] for each in samples if each.name == "swap_flagged_total"}
    assert flags == set(FLAGS)


async def test_a_store_that_is_away_is_a_series() -> None:
    metrics, there = FleetMetrics(), {"broker": True, "store": True}

    def answers(part: str) -> Check:
        async def check() -> bool:
            if part == "store" and not there[part]:
                raise FleetError("store: gone")
            return there[part]

        return check

    def shown() -> tuple[float | None, ...]:
        read = metrics.registry.get_sample_value
        return tuple(read("fleetd_part_up", {"part": part}) for part in PARTS)

    watch = PartsWatch({part: answers(part) for part in PARTS}, metrics, SystemClock())
    await watch.look()
    assert shown() == (1, 1)
    there["store"] = False
    await watch.look()
    assert shown() == (1, 0)
    there.update(store=True, broker=False)
    await watch.look()
    assert shown() == (0, 1)


@pytest.mark.parametrize("where", dashboards.expressions())
def test_a_picture_is_of_something_exported(where: str) -> None:
    assert names_in(dashboards.expressions()[where]) <= exported()


@pytest.mark.parametrize("name", dashboards.DASHBOARDS)
def test_the_dashboards_are_those_of_the_code(name: str) -> None:
    made = (dashboards.FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert made == dashboards.text_of(name), "run: python -m deploy.monitoring.dashboards"


def test_codes_from_outside_are_bounded_and_crowd_nothing_out() -> None:
    metrics = FleetMetrics()
    metrics.set_alarms({f"odd-{number:03}": 1 for number in range(200)} | {"smoke": 2})
    found = {
        sample.labels["code"]: sample.value
        for family in metrics.alarms.collect()
        for sample in family.samples
    }
    assert found["smoke"] == 2
    assert len(found) == ALARM_CODES_MAX + 1
    assert sum(found.values()) == 202
    metrics.set_alarms({})
    assert metrics.registry.get_sample_value("cabinet_alarms_standing", {"code": "smoke"}) == 0
