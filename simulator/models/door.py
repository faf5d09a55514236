"""A sprung door with a solenoid latch."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.errors import HandsError


@dataclass(slots=True)
class Door:
    """One door, shut and latched to begin with.

    Energising the solenoid releases the latch, and the spring throws the door open, unless the lock
    is jammed. The latch catches whenever the door is shut and the solenoid is off.
    """

    open: bool = False
    latched: bool = True
    energised: bool = False
    jammed: bool = False

    def energise(self, *, on: bool) -> None:
        """The lock relay closes or opens."""
        rising = on and not self.energised
        self.energised = on
        if rising:
            self._release()
        elif not on:
            self._catch()

    def jam(self, *, jammed: bool) -> None:
        """Jam the latch, or free it; a freed latch gives way to a solenoid that is still on."""
        self.jammed = jammed
        if not jammed and self.energised:
            self._release()

    def push(self) -> None:
        """A hand closes the door; closing a closed door is nothing."""
        self.open = False
        self._catch()

    def pull(self) -> None:
        """A hand opens the door.

        Raises:
            HandsError: the latch holds it.
        """
        if self.latched:
            raise HandsError("the door is latched: only the lock can release it")
        self.open = True

    def _release(self) -> None:
        if not self.jammed:
            self.latched, self.open = False, True

    def _catch(self) -> None:
        if not self.open and not self.energised:
            self.latched = True
