"""Which peer met which device, and how it ended: printed as a table after the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

ROWS = pytest.StashKey[list[tuple[str, str, str, str]]]()
HEAD = ("peer", "device", "what", "result")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    mark = item.get_closest_marker("peer")
    ended = report.when == "call" or (report.when == "setup" and not report.passed)
    if mark is not None and ended:
        result = {"passed": "ok", "failed": "FAILED"}.get(report.outcome, "")
        if not result:
            result = f"skipped: {report.longrepr[2].removeprefix('Skipped: ')}"
        what = item.originalname.removeprefix("test_").replace("_", " ")  # type: ignore[attr-defined]
        item.config.stash[ROWS].append((*mark.args, what, result))
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    rows = sorted(config.stash[ROWS])
    if not rows:
        return
    terminalreporter.section("independent peers")
    table = [HEAD, *rows]
    widths = [max(len(row[n]) for row in table) for n in range(len(HEAD))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        terminalreporter.line("  ".join(cells).rstrip())
