"""What all suites share: hypothesis profiles, turns, which tests run, and what is counted at the end.

The tests may run in several processes (`make test` does that): what is told at the end is gathered from
their reports alone, which come home to the first process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import hypothesis
import pytest

from tests.support.machine import PROVE, turn

LEDGER_BACKENDS = ("sqlite", "postgres")
PEER = "peer"
PEER_HEAD = ("peer", "device", "what", "result")

# Deadlines per example would make a loaded machine fail; pytest-timeout bounds the whole test.
# A push draws the same examples each time, so that it fails by what it changed and not by chance; `make
# prove` draws new ones, fifty times as many.
hypothesis.settings.register_profile("push", max_examples=100, deadline=None, derandomize=True)
hypothesis.settings.register_profile("prove", max_examples=5_000, deadline=None)
hypothesis.settings.load_profile("prove" if PROVE else "push")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long proofs to `make prove`."""
    if PROVE or config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """A test that holds us to a stated time has the machine alone; its own time limit begins after."""
    with turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """Write into the report of a test of tests/peers which peer met which device, and how it ended."""
    report: pytest.TestReport = yield  # type: ignore[misc]
    mark = item.get_closest_marker(PEER)
    ended = report.when == "call" or (report.when == "setup" and not report.passed)
    if mark is not None and ended:
        result = {"passed": "ok", "failed": "FAILED"}.get(report.outcome, "")
        if not result:
            result = f"skipped: {report.longrepr[2].removeprefix('Skipped: ')}"  # type: ignore[index]
        what = item.originalname.removeprefix("test_").replace("_", " ")  # type: ignore[attr-defined]
        report.user_properties.append((PEER, [*mark.args, what, result]))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How often the fleet's store was tested on each database, and who met our devices."""
    passed = Counter(
        backend
        for report in terminalreporter.stats.get("passed", [])
        for backend in LEDGER_BACKENDS
        if report.when == "call" and f"[{backend}" in report.nodeid
    )
    if passed:
        counts = ", ".join(f"{passed[backend]} on {backend}" for backend in LEDGER_BACKENDS)
        terminalreporter.write_line(f"ledger and store: passed {counts}")
    peers = sorted(
        tuple(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == PEER
    )
    if peers:
        _print_peers(terminalreporter, [PEER_HEAD, *peers])


def _print_peers(terminalreporter: pytest.TerminalReporter, table: list[tuple[str, ...]]) -> None:
    terminalreporter.section("independent peers")
    widths = [max(len(row[n]) for row in table) for n in range(len(PEER_HEAD))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        terminalreporter.line("  ".join(cells).rstrip())
