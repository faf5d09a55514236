"""What the daemons' logging sets up: JSON with ids, or plain text; both without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from cabinet import logs as cabinet_logs
from fleet import logs as fleet_logs

STARTS: dict[str, Callable[[str, str], None]] = {
    "fleetd": fleet_logs.start,
    "cabinetd": lambda form, level: cabinet_logs.start(form, level, "DH-0042"),
}


@pytest.fixture(params=sorted(STARTS))
def start(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], None]]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield STARTS[request.param]
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in before:
        root.addHandler(handler)
    root.setLevel(level)
    for noisy in cabinet_logs.NOISY:
        logging.getLogger(noisy).setLevel(logging.NOTSET)


def test_json_lines(start: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]) -> None:
    start("json", "info")
    log = logging.getLogger("x.y")
    log.debug("too much")
    log.info("swap %s: %s", "01J", "done", extra={"swap": "01J", "cabinet": "DH-0042"})
    try:
        int("postgresql://fleetd:hunter2@db/fleet")
    except ValueError:
        log.exception("failed")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["message"], first["swap"], first["cabinet"]) == (
        "swap 01J: done",
        "01J",
        "DH-0042",
    )
    assert (second["level"], second["logger"]) == ("error", "x.y")
    assert "ValueError" in second["trace"]
    assert "hunter2" not in second["trace"]


def test_plain_lines(start: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]) -> None:
    start("text", "warning")
    logging.getLogger("x.y").info("not asked for")
    logging.getLogger("x.y").warning("away: %s", "postgresql://fleetd:hunter2@db/fleet")
    assert capsys.readouterr().err.endswith("WARNING x.y: away: postgresql://fleetd:***@db/fleet\n")


def test_every_line_of_a_cabinet_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(cabinet_logs.JsonLines({"cabinet": "DH-0042"}))
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "hi %s", ("there",), None)
    assert json.loads(handler.format(record))["cabinet"] == "DH-0042"
