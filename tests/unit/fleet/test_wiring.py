"""Ending the workers of a daemon, also when a cancel got lost."""

from __future__ import annotations

import asyncio

import pytest

from fleet import wiring


async def test_a_worker_that_lost_a_cancel_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wiring, "CANCEL_AGAIN_S", 0.01)
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost == 2:
                    raise
                lost += 1

    workers = [asyncio.ensure_future(deaf()), asyncio.ensure_future(asyncio.sleep(0))]
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await wiring.end(workers)
    assert lost == 2
    assert all(worker.done() for worker in workers)
