"""Prometheus's own tool reads our rules, their tests, and what the programs export."""

from __future__ import annotations

import subprocess

import pytest

from cabinet.runtime.metrics import Metrics
from deploy.monitoring.dashboards import FOLDER
from fleet.runtime.balance_metrics import BalanceMetrics
from fleet.runtime.metrics import FleetMetrics
from tests.unit.cabinet.shell.test_metrics import snapshot


def promtool(*arguments: str, given: bytes = b"") -> None:
    ran = subprocess.run(
        ["promtool", *arguments],
        input=given,
        cwd=FOLDER.parent,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, (ran.stdout + ran.stderr).decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
        ("check", "config", "prometheus.yml"),
    ],
    ids=" ".join,
)
def test_the_files(arguments: tuple[str, ...]) -> None:
    promtool(*arguments)


def test_what_fleetd_exports() -> None:
    metrics = FleetMetrics()
    BalanceMetrics(metrics.registry)
    metrics.swap_seconds.labels("completed").observe(42)
    promtool("check", "metrics", given=metrics.render())


def test_what_cabinetd_exports() -> None:
    promtool("check", "metrics", given=Metrics(snapshot, {}).text())
