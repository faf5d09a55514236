"""One error root for the cabinet; each error tells the caller what to do."""

from __future__ import annotations

from enum import StrEnum


class Retry(StrEnum):
    """What the caller may do after an error."""

    SAFE = "safe"  # repeat it
    CHECK_FIRST = "check-first"  # it may have happened: read back before repeating
    NEVER = "never"


class CabinetError(Exception):
    """Root of everything the cabinet raises."""

    code = "cabinet"
    retry = Retry.NEVER


class LinkError(CabinetError):
    """A device did not answer, or answered nonsense.

    ``sent_maybe`` is False only when the request certainly did not reach the wire.
    """

    code = "link"
    retry = Retry.CHECK_FIRST

    def __init__(self, device: str, why: str, *, sent_maybe: bool = True) -> None:
        super().__init__(f"{device}: {why}")
        self.device = device
        self.why = why
        self.sent_maybe = sent_maybe


class DeviceRefusedError(CabinetError):
    """The device answered with an exception: it did not act."""

    code = "refused"
    retry = Retry.NEVER

    def __init__(self, device: str, why: str) -> None:
        super().__init__(f"{device}: refused: {why}")
        self.device = device
        self.why = why


class StoreFault(StrEnum):
    """What is wrong with the journal."""

    FULL = "full"  # no space left
    READ_ONLY = "read-only"
    DAMAGED = "damaged"  # what is in the file makes no sense
    DISK = "disk"  # the disk reports errors
    IN_USE = "in-use"  # by another daemon
    TOO_NEW = "too-new"  # written by a later version of this program
    OTHER = "other"


class StoreError(CabinetError):
    """The journal could not be read or written: nothing may move. The text says what to do."""

    code = "store"
    retry = Retry.SAFE

    def __init__(self, message: str, fault: StoreFault = StoreFault.OTHER) -> None:
        super().__init__(message)
        self.fault = fault


class BrokerError(CabinetError):
    """No connection to the broker: try again later, nothing is lost."""

    code = "broker"
    retry = Retry.SAFE


class FleetUnreachableError(CabinetError):
    """Nobody answers where the fleet should be: try again later."""

    code = "unreachable"
    retry = Retry.SAFE


class EnrolError(CabinetError):
    """The fleet refuses, or it is not the one that it should be; ``code`` says why."""

    code = "enrol"

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class ConfigError(CabinetError):
    """The configuration is wrong; the message names line, key and remedy."""

    code = "config"
