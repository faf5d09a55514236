"""A serial line whose port fails in the middle of a request."""

from __future__ import annotations

import asyncio
import gc
import os
import pty
import tty
from typing import Any

import pytest

from cabinet.runtime.line import Line, LineDownError

#: More than any terminal takes while nobody reads it.
REQUEST = bytes(1_000_000)


async def test_a_port_that_takes_no_bytes_is_told_once_and_to_whom_it_concerns() -> None:
    """Not a second time by the loop, as an error that nobody has fetched."""
    strange: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: strange.append(context))
    master, slave = pty.openpty()
    tty.setraw(slave)
    line = Line(os.ttyname(slave))
    try:
        assert await line.ensure_open()
        with pytest.raises(LineDownError, match="takes no bytes") as down:
            await line.exchange(REQUEST, lambda received: received or None, 60)
        assert down.value.sent_maybe, "some of it went out"
        assert not line.is_open
        del down
        gc.collect()
        await asyncio.sleep(0)
        assert strange == []
    finally:
        line.close()
        os.close(slave)
        os.close(master)
