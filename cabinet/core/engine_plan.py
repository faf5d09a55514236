"""Which power limit and which target hold now.

A plan is worth something only inside its validity. By the wall clock that is plain; when the wall
clock is not known to be right, the plan counts for its own length from its receipt in this boot,
and then only with its smallest step, since nobody can tell which step it is. Otherwise the safe
local default holds. Nothing ever goes above the breaker, or above what the feeder allows.

Chargers follow within seconds, and a limit of the grid holds from its first: the lower of two steps is
obeyed ``plan_lead_ms`` before it begins.
"""

from __future__ import annotations

from typing import Final

from cabinet.core.engine_model import EngineConfig, Now, State

TARGET_MIN_PCT: Final = 20
TARGET_MAX_PCT: Final = 100


def power_limit_w(state: State, config: EngineConfig, now: Now) -> int:
    """The power that the whole cabinet may take now."""
    return max(0, min(_wanted_w(state, config, now), ceiling_w(config, now)))


def ceiling_w(config: EngineConfig, now: Now) -> int:
    """What no plan may go above now."""
    most_w = min(config.breaker_w, config.power_max_w)
    return min(most_w, config.quiet_power_w) if is_quiet(config, now) else most_w


def is_quiet(config: EngineConfig, now: Now) -> bool:
    """Whether these are the quiet hours; nobody knows them while the wall clock may be wrong."""
    start, end = config.quiet_from_h, config.quiet_until_h
    if start == end or not now.wall_synced:
        return False
    hour = (now.plan_ms // 60_000 + config.utc_offset_min) // 60 % 24
    return start <= hour < end if start < end else hour >= start or hour < end


def _wanted_w(state: State, config: EngineConfig, now: Now) -> int:
    default_w, plan = config.power_default_w, state.durable.plan
    if plan is None:
        return default_w
    if not now.wall_synced:
        return min(plan.power_w) if _within_age(state, now) else default_w
    return min(
        default_w if index is None else plan.power_w[index]
        for index in (
            _index(state, now.plan_ms, len(plan.power_w)),
            _index(state, now.plan_ms + config.plan_lead_ms, len(plan.power_w)),
        )
    )


def target_soc_pct(state: State, config: EngineConfig, now: Now) -> int:
    """The state of charge from which a pack may be offered."""
    default_pct = config.target_soc_pct
    plan = state.durable.plan
    if plan is None or not plan.target_soc_pct or not now.wall_synced:
        return _clamp(default_pct)
    index = _index(state, now.plan_ms, len(plan.target_soc_pct))
    return _clamp(default_pct if index is None else plan.target_soc_pct[index])


def offer_soc_pct(config: EngineConfig) -> int:
    """The state of charge from which a pack may be offered when the target is higher."""
    return _clamp(config.offer_soc_pct)


def charge_soc_pct(state: State, config: EngineConfig, now: Now) -> int:
    """The state of charge up to which packs charge.

    A plan that lets packs go early, because none is full, does not stop them short of what is usual.
    """
    usual_pct = _clamp(config.target_soc_pct)
    return max(target_soc_pct(state, config, now), min(usual_pct, offer_soc_pct(config)))


def _clamp(target_pct: int) -> int:
    return max(TARGET_MIN_PCT, min(TARGET_MAX_PCT, target_pct))


def _index(state: State, at_ms: int, steps: int) -> int | None:
    """The plan's step at a time; None outside its validity."""
    plan = state.durable.plan
    if plan is None or not plan.valid_from_ms <= at_ms < plan.valid_until_ms:
        return None
    index = (at_ms - plan.valid_from_ms) // (plan.step_s * 1000)
    return index if index < steps else None


def _within_age(state: State, now: Now) -> bool:
    """Whether a plan is younger, since its receipt, than it was meant to hold."""
    plan = state.durable.plan
    if plan is None or state.plan_received_ms is None:
        return False
    length_ms = min(
        plan.valid_until_ms - plan.valid_from_ms, len(plan.power_w) * plan.step_s * 1000
    )
    return now.mono_ms - state.plan_received_ms < length_ms
