"""Broken guards are found; `make mutants` looks for all of them, here those that are found soon."""

from __future__ import annotations

import pytest

from cabinet.core.act import Acting
from simulator.world import campaign, mutants
from simulator.world.mutants import MUTANTS
from simulator.world.safety_mutants import RULES, Rule, catches

#: Mutants that a few seeds find, and the violation.
SOON = {
    "act-before-commit": "pulse-without-journal",
    "journal-forgotten-at-boot": "journal-broken",
    "swap-forgotten-at-boot": "swap-without-end",
    "attempt-reused": "attempt-reused",
    "two-doors": "two-doors",
    "nonce-reusable": "nonce-reusable",
    "ack-before-commit": "ack-before-commit",
    "repeats-booked": "audit-wrong-movements",
}


@pytest.mark.parametrize("name", SOON)
def test_a_broken_guard_is_found(name: str) -> None:
    found = campaign.first_failure(range(1, 31), 20, jobs=1, broken=name)
    assert found is not None
    assert found.code == SOON[name]


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
