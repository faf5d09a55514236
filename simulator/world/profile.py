"""How often what goes wrong. Each seed draws its own mixture, so that rare faults meet each other.

A world in which everything fails all the time never gets far enough to fail in an interesting way:
some faults are left out of a seed altogether, the others get a weight of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

#: Per visit of a rider, at full weight: how likely it is that the fault strikes once.
VISIT_RATES: Final[dict[str, float]] = {
    "power-cut": 0.35,  # at a moment of the visit
    "kill": 0.2,  # of the process: the clock goes on
    "link-drop": 0.25,
    "broker-amnesia": 0.06,
    "door-jam": 0.12,
    "door-blind": 0.25,  # the contact board of a slot is silent
    "door-lie": 0.1,  # reads open though shut
    "presence-lie": 0.25,
    "bms-silent": 0.2,
    "bms-nameless": 0.08,
    "pack-ill": 0.15,
    "fleet-crash": 0.12,
    "fleet-restore": 0.05,
    "clock-jump": 0.15,
    "disk-dead": 0.12,  # for a while, clean
    "smoke": 0.02,
    "replay": 0.3,  # an old command is put on the wire again
    "forgery": 0.1,  # a command with a wrong signature
    "echo": 0.1,  # the fleet orders the same swap again, under another command id
    "stray-pack": 0.04,  # a technician's hands leave a pack where nobody expects it
}
#: Per commit of the journal.
COMMIT_RATES: Final[dict[str, float]] = {
    "cut-before": 0.006,
    "cut-after": 0.01,
    "fail-clean": 0.004,
    "fail-late": 0.005,
    "cut-between-effects": 0.006,
}
#: Per message.
MESSAGE_RATES: Final[dict[str, float]] = {
    "lose": 0.04,
    "double": 0.03,
    "late": 0.05,
    "held": 0.015,  # long enough for an order to go stale
    "stall": 0.02,  # an order, and nothing else gets through meanwhile
}
#: Per event of a rider's hands.
RIDER_RATES: Final[dict[str, float]] = {
    "nothing-in": 0.08,
    "half-in": 0.08,
    "left-open": 0.08,
    "walk-away": 0.06,
    "not-taken": 0.1,
    "slow": 0.08,
    "wrong-slot": 0.3,  # when another door stands open
    "exchange": 0.03,
    "foreign": 0.08,  # brings a pack that is not of the network
    "cancel": 0.1,
    "resume": 0.15,
    "give-back": 0.08,
    "double-tap": 0.1,
    "second-rider": 0.1,
    "race": 0.04,  # two workers of the fleet do not see each other's swap
}
#: Per pulse.
PULSE_RATES: Final[dict[str, float]] = {
    "no-reply-fired": 0.04,
    "no-reply-lost": 0.03,
    "refused": 0.03,
    "slow-door": 0.08,
    "jam": 0.03,
}
_OFF: Final = 0.4  # of all faults are left out of a seed


@dataclass(frozen=True, slots=True)
class Profile:
    """The rates of one seed."""

    visit: dict[str, float]
    commit: dict[str, float]
    message: dict[str, float]
    rider: dict[str, float]
    pulse: dict[str, float]


def draw(rng: Random) -> Profile:
    """The mixture of a seed."""
    return Profile(*(_weigh(rng, rates) for rates in _ALL))


_ALL: Final = (VISIT_RATES, COMMIT_RATES, MESSAGE_RATES, RIDER_RATES, PULSE_RATES)


def _weigh(rng: Random, rates: dict[str, float]) -> dict[str, float]:
    weighed = {}
    for name, rate in rates.items():
        weight = 0.0 if rng.random() < _OFF else 0.25 + rng.random() * 1.5
        weighed[name] = rate * weight
    return weighed


def calm(profile: Profile) -> Profile:
    """The same with nothing going wrong."""
    return Profile(
        *(
            dict.fromkeys(rates, 0.0)
            for rates in (
                profile.visit,
                profile.commit,
                profile.message,
                profile.rider,
                profile.pulse,
            )
        )
    )
