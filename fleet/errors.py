"""One error root for the fleet; each error carries a stable code for the API and the pages."""

from __future__ import annotations


class FleetError(Exception):
    """Root. ``code`` is stable and kebab-case; ``status`` is the HTTP status it maps to."""

    code = "fleet"
    status = 500

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class NotFoundError(FleetError):
    """No such cabinet, swap, battery or rider."""

    code = "not-found"
    status = 404


class RefusedError(FleetError):
    """A rule says no, before any door moved: ``no-full-battery``, ``no-empty-slot``, ``offline``."""

    code = "refused"
    status = 409


class InvalidError(FleetError):
    """The request is malformed; the message names field, value and what was expected."""

    code = "invalid"
    status = 422


class DeniedError(FleetError):
    """Not logged in, or not allowed."""

    code = "denied"
    status = 403


class LimitedError(FleetError):
    """Too many tries; ``retry_after_s`` says when to come back."""

    code = "limited"
    status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ConfigError(FleetError):
    """The configuration is wrong; the message names line, key and remedy."""

    code = "config"
