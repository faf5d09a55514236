"""What all suites share: hypothesis profiles, time limits, which tests run, and two counts."""

from __future__ import annotations

import os
from collections import Counter

import hypothesis
import pytest

PROVE = os.environ.get("YIZHAN_PROVE") == "1"
SYSTEM_TIMEOUT_S = 300
LEDGER_BACKENDS = ("sqlite", "postgres")

# Deadlines per example would make a loaded machine fail; pytest-timeout bounds the whole test.
hypothesis.settings.register_profile("push", max_examples=100, deadline=None)
hypothesis.settings.register_profile("prove", max_examples=5_000, deadline=None)
hypothesis.settings.load_profile("prove" if PROVE else "push")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long proofs to `make prove`, and give whole-system tests their time."""
    for item in items:
        if item.get_closest_marker("system") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SYSTEM_TIMEOUT_S))
    if PROVE or config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How often the fleet's store was tested on each database."""
    passed = Counter(
        backend
        for report in terminalreporter.stats.get("passed", [])
        for backend in LEDGER_BACKENDS
        if report.when == "call" and f"[{backend}" in report.nodeid
    )
    if passed:
        counts = ", ".join(f"{passed[backend]} on {backend}" for backend in LEDGER_BACKENDS)
        terminalreporter.write_line(f"ledger and store: passed {counts}")
