"""What the log tells of a swap: one line per step, with the swap's id."""

from __future__ import annotations

import logging

from cabinet.core.engine_model import Outcome
from cabinet.core.swap_model import job_of

log = logging.getLogger(__name__)


class SwapLog:
    """Listens to every adopted decision and tells of the steps that are new."""

    def __init__(self) -> None:
        self._told: tuple[str, str] | None = None

    def on_outcome(self, outcome: Outcome) -> None:
        """Look at the swap as it now stands."""
        swap = outcome.state.durable.swap
        job = job_of(swap)
        if job is None:
            return
        step = type(swap).__name__
        if self._told == (job.swap_id, step):
            return
        self._told = (job.swap_id, step)
        reason = getattr(swap, "reason", None)
        log.info(
            "swap %s: %s%s",
            *(job.swap_id, step, f" ({reason})" if reason else ""),
            extra={"swap": job.swap_id},
        )
