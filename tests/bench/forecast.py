"""`python -m tests.bench.forecast`: pinball loss of the forecaster against naive ones, on known truth.

The naive forecasts are given the benefit of the doubt: their spread is a Poisson one about what was
seen (yesterday, or the same weekday last week), not the bare count.
"""

from __future__ import annotations

from typing import Annotated, Final

import numpy as np
import typer

from fleet.core.balance.forecast import Forecaster, pinball, quantile
from simulator.world.day_town import build

LEVELS: Final = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
PER_HOUR: Final = 4


def compare(*, cabinets: int, days: int, scored: int, seed: int) -> dict[str, dict[float, float]]:
    """Mean pinball loss of hourly counts over the last ``scored`` days, by method and level."""
    town = build(cabinets, 1, 30.0, seed, history=days)
    hourly = town.history.reshape(days, cabinets, 24, PER_HOUR).sum(axis=3)
    forecaster = Forecaster(np.full(cabinets, 30.0))
    losses: dict[str, dict[float, list[float]]] = {
        name: {level: [] for level in LEVELS}
        for name in ("forecast", "yesterday", "last week", "yesterday, bare", "last week, bare")
    }
    for day in range(days):
        conditions = ("rain",) if town.rain[day] else ()
        if day >= days - scored:
            guess = forecaster.forecast([(day % 7, conditions)], 0, 96)
            mean = guess.mean.reshape(cabinets, 24, PER_HOUR).sum(axis=2)
            for level in LEVELS:
                ours = quantile(mean, guess.relative_variance[:, None], level)
                losses["forecast"][level].append(pinball(hourly[day], ours, level))
                for name, before in (("yesterday", 1), ("last week", 7)):
                    seen = hourly[day - before]
                    spread = quantile(np.maximum(seen, 0.1), 0.0, level)
                    losses[name][level].append(pinball(hourly[day], spread, level))
                    losses[f"{name}, bare"][level].append(pinball(hourly[day], seen, level))
        forecaster.learn(town.history[day], day % 7, conditions=conditions)
    return {
        name: {level: float(np.mean(values)) for level, values in by_level.items()}
        for name, by_level in losses.items()
    }


def main(
    *,
    cabinets: Annotated[int, typer.Option(min=1)] = 300,
    days: Annotated[int, typer.Option(min=15)] = 42,
    seed: Annotated[int, typer.Option(min=0)] = 1,
) -> None:
    """Print the table; exit 1 when a naive forecast is better on the mean of the levels."""
    table = compare(cabinets=cabinets, days=days, scored=14, seed=seed)
    print(f"pinball loss of hourly swaps, {cabinets} cabinets, last 14 of {days} days, synthetic")
    print(f"{'':<18}" + "".join(f"{level:>8}" for level in LEVELS) + f"{'mean':>8}")
    means = {}
    for name, losses in table.items():
        means[name] = float(np.mean(list(losses.values())))
        row = "".join(f"{losses[level]:>8.3f}" for level in LEVELS)
        print(f"{name:<18}{row}{means[name]:>8.3f}")
    if means["forecast"] > min(means.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
