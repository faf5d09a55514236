"""Broken guards are found; `make mutants` looks for all of them, here those that are found soon."""

from __future__ import annotations

import pytest

from cabinet.core.act import Acting
from simulator.world import fuzz, mutants
from simulator.world.mutants import MUTANTS
from simulator.world.safety_mutants import RULES, Rule, catches

#: A seed of 20 swaps that finds the mutant, and the violation.
KNOWN = {
    "act-before-commit": (1, "pulse-without-journal"),
    "journal-forgotten-at-boot": (1, "journal-broken"),
    "swap-forgotten-at-boot": (1, "swap-without-end"),
    "attempt-reused": (1, "attempt-reused"),
    "two-doors": (1, "two-doors"),
    "nonce-reusable": (1, "nonce-reusable"),
    "ack-before-commit": (1, "ack-before-commit"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_broken_guard_is_found(name: str) -> None:
    seed, code = KNOWN[name]
    with mutants.broken(name):
        assert fuzz.run(seed, 20).code == code
    assert fuzz.run(seed, 5).code is None


def test_everything_is_put_back() -> None:
    turn = Acting.turn
    for name in MUTANTS:
        with mutants.broken(name):
            pass
    assert Acting.turn is turn
    with mutants.broken("act-before-commit"):
        assert Acting.turn is not turn
    with mutants.broken(None):
        assert Acting.turn is turn


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_broken_rule_of_safety_is_caught(rule: Rule) -> None:
    whole, broken = catches(rule)
    assert whole is None
    assert broken is not None
