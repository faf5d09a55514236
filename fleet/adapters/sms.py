"""Senders of text messages. The console one is for demos and tests: it shows the text and sends none."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fleet.errors import FleetError

PRIVATE_MODE: Final = 0o600


class SmsError(FleetError):
    """The text could not be handed over; nobody will get it."""

    code = "sms-failed"
    status = 503


class ConsoleSmsSender:
    """Writes each text as a JSON line ``{"phone", "text"}`` to a private file, and echoes it."""

    def __init__(self, file: Path, *, echo: Callable[[str], None]) -> None:
        self._file = file
        self._echo = echo

    async def send(self, phone: str, text: str) -> None:
        """Append and echo one text; raise SmsError when the file can't be written."""
        line = json.dumps({"phone": phone, "text": text}, ensure_ascii=False) + "\n"
        try:
            await asyncio.to_thread(self._append, line.encode())
        except OSError as error:
            raise SmsError(f"sms: can't write {self._file}: {error}") from error
        self._echo(f"SMS to {phone}: {text}")

    def _append(self, line: bytes) -> None:
        # One write of an O_APPEND file: lines of two senders never mix.
        handle = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE_MODE)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)
