"""How the daemon logs: plain lines or JSON, to stderr; ``extra`` of a record names what it is about."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

from protocols import logline


class JsonLines(logging.Formatter):
    """One JSON object per record; ``always`` stands in every one."""

    def __init__(self, always: Mapping[str, str]) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        return logline.line(
            at_s=record.created,
            level=record.levelname,
            logger=record.name,
            message=record.getMessage(),
            fields={**self._always, **vars(record)},
            trace=trace,
        )


class PlainLines(logging.Formatter):
    """For people, with secrets masked."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return logline.mask(super().format(record))


def start(form: str, level: str) -> None:
    """Log from now on as ``[log]`` says: ``form`` is text or json."""
    plain = PlainLines("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines({}) if form == "json" else plain)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
