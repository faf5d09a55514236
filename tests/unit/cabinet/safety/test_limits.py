"""The limits: every number bounded, named when wrong, and in order."""

from __future__ import annotations

from dataclasses import fields

import pytest

from cabinet.core.safety import BOUNDS, Limits


def test_every_limit_has_bounds_that_hold_its_default() -> None:
    assert {item.name for item in fields(Limits) if item.type != "bool"} == set(BOUNDS)
    for name, (low, high) in BOUNDS.items():
        assert low <= getattr(Limits(), name) <= high


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_a_value_outside_its_bounds_is_named(name: str) -> None:
    low, high = BOUNDS[name]
    for value in (low - 1, high + 1):
        with pytest.raises(
            ValueError, match=f"^{name} = .*expected {low:g} to {high:g}".replace("+", r"\+")
        ):
            Limits(**{name: type(getattr(Limits(), name))(value)})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "60", None])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="air_trip_c"):
        Limits(air_trip_c=value)  # type: ignore[arg-type]  # the point of the test


def test_whole_numbers_stay_whole() -> None:
    with pytest.raises(ValueError, match=r"breaker_w = 1000\.5: expected a whole number"):
        Limits(breaker_w=1_000.5)  # type: ignore[arg-type]  # the point of the test


def test_flags_are_flags() -> None:
    with pytest.raises(ValueError, match="estop_fitted = 0: expected true or false"):
        Limits(estop_fitted=0)  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize(
    "wrong",
    [
        {"charge_derate_c": 45.0, "charge_temp_max_c": 45.0},
        {"air_warn_c": 60.0},
        {"charge_resume_c": 45.0},
        {"charge_stop_c": 44.0},
        {"fan_off_c": 35.0},
        {"cell_voltage_resume_v": 4.25},
    ],
)
def test_limits_that_contradict_each_other_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be below"):
        Limits(**wrong)  # type: ignore[arg-type]  # all of them floats
