"""What can go wrong in the demo, in words a newcomer can act on."""

from __future__ import annotations


class DemoError(Exception):
    """The demo cannot go on; the message says what happened and what to do."""


class ProgramError(DemoError):
    """One of the programs ended or failed; carries the last lines that it printed."""

    def __init__(self, message: str, *, log_tail: str = "") -> None:
        super().__init__(f"{message}\n{log_tail}" if log_tail else message)


class SwapFailedError(DemoError):
    """The swap did not end as it should: door, ledger or simulator disagree."""
