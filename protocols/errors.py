"""One error root for everything that is wrong with bytes or values on a wire."""

from __future__ import annotations


class ProtocolError(Exception):
    """Bytes, a register value or a message break their contract."""


class FrameError(ProtocolError):
    """A serial frame is malformed: length, checksum, start or end byte."""


class RegisterError(ProtocolError):
    """A register definition or value is impossible: overlap, range, unknown name."""


class MessageError(ProtocolError):
    """An MQTT topic or payload breaks its contract."""
