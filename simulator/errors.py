"""One error root for the simulator; each leaf says whose fault it is."""

from __future__ import annotations


class SimulatorError(Exception):
    """Root of everything the simulator raises."""


class ConfigError(SimulatorError):
    """The configuration is wrong; the message names key and remedy."""


class HandsError(SimulatorError):
    """A hand tried what the physical cabinet does not allow, in plain words."""


class UnknownNameError(SimulatorError):
    """There is no such slot, device or input."""


class FaultError(SimulatorError):
    """A fault cannot be set so; the message names what is wrong and what would be right."""


class UnreachableError(SimulatorError):
    """No simulator answers at the control address."""


class RequestRefusedError(SimulatorError):
    """The simulator answered, and refused; the message is its own words."""
