"""The table and the pictures of ``swapsim day``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from simulator.world.day import Result, run
from simulator.world.day_plan import Tuning
from simulator.world.day_town import Town

#: The policy that all others are held against.
REFERENCE: Final = "at-once"
CURVE_Z: Final = (0.5, 1.0, 2.0, 3.0)
CURVE_LEAD: Final = (0, 2, 4)  # intervals
CURVE_PRICE: Final = (0.8, 1.2, 2.0, 4.0)  # of a lost swap


@dataclass(frozen=True, slots=True)
class Row:
    """One policy over all seeds: means, and the ratio of the sums for the saving."""

    policy: str
    energy_cost: float
    peak_cost: float
    valued_cost: float
    saving: float | None  # of the valued cost against charging at once
    saving_per_swap: float | None  # the same for each swap served: losing riders saves nothing
    lost_share: float
    stock_kwh: float
    unplaced_share: float
    handed_soc: float
    solve_s: float


def play(
    towns: Iterable[Town],
    names: Sequence[str],
    say: Callable[[str], None] = lambda _what: None,
) -> list[list[Result]]:
    """Every policy in every town [town][policy]."""
    played = []
    for number, town in enumerate(towns, 1):
        results = []
        for name in names:
            results.append(run(town, name))
            say(f"town {number}: {name} done, {results[-1].lost_share:.2%} lost")
        played.append(results)
    return played


def rows(played: Sequence[Sequence[Result]]) -> list[Row]:
    """The table, one row per policy."""
    table = []
    base, base_swaps = _valued(played, REFERENCE)
    for place, first in enumerate(played[0]):
        results = [one[place] for one in played]
        valued = sum(result.valued_cost for result in results)
        ratio = valued / base if base else None
        swaps = sum(r.riders - r.lost for r in results)
        table.append(
            Row(
                policy=first.policy,
                energy_cost=float(np.mean([r.energy_cost for r in results])),
                peak_cost=float(np.mean([r.peak_cost for r in results])),
                valued_cost=valued / len(results),
                saving=None if ratio is None else 1.0 - ratio,
                saving_per_swap=None if ratio is None else 1.0 - ratio * base_swaps / max(swaps, 1),
                lost_share=sum(r.lost for r in results) / max(sum(r.riders for r in results), 1),
                stock_kwh=float(np.mean([r.stock_kwh for r in results])),
                unplaced_share=float(np.mean([r.unplaced_share for r in results])),
                handed_soc=float(np.mean([r.handed_soc for r in results])),
                solve_s=float(np.mean([r.solve_s for r in results])),
            )
        )
    return table


def _valued(played: Sequence[Sequence[Result]], name: str) -> tuple[float, int]:
    """Cost and swaps of one policy in all towns."""
    found = [result for one in played for result in one if result.policy == name]
    return sum(r.valued_cost for r in found), sum(r.riders - r.lost for r in found)


def text(table: Sequence[Row]) -> str:
    """The table for people."""
    lines = [
        f"{'policy':<18}{'energy':>10}{'peak':>9}{'total':>10}{'saving':>8}{'/swap':>8}{'lost':>8}"
        f"{'end kWh':>9}{'unplaced':>10}{'handed':>8}"
    ]
    for row in table:
        saving, each = (
            "" if share is None else f"{share:.1%}" for share in (row.saving, row.saving_per_swap)
        )
        lines.append(
            f"{row.policy:<18}{row.energy_cost:>10.0f}{row.peak_cost:>9.0f}{row.valued_cost:>10.0f}"
            f"{saving:>8}{each:>8}{row.lost_share:>8.2%}{row.stock_kwh:>9.0f}{row.unplaced_share:>10.2%}"
            f"{row.handed_soc:>8.1%}"
        )
    lines.append(
        "total: energy and peak, with what packs and riders lack at the end bought; saving: of the "
        "total against at-once, and of the total per swap served; handed: mean charge of packs handed out"
    )
    return "\n".join(lines)


def facts(row: Row) -> dict[str, Any]:
    """A row as JSON."""
    return {name: getattr(row, name) for name in Row.__slots__}


def run_facts(result: Result) -> dict[str, Any]:
    """One run as JSON, without its series."""
    names = (name for name in Result.__slots__ if name not in {"region_w", "lost_by_cabinet"})
    return {name: getattr(result, name) for name in names} | {"lost_share": result.lost_share}


def stored(result: Result) -> dict[str, Any]:
    """A run as JSON with its series, to be ``restored``."""
    series = {
        "region_w": result.region_w.tolist(),
        "lost_by_cabinet": result.lost_by_cabinet.tolist(),
    }
    return {name: getattr(result, name) for name in Result.__slots__} | series


def restored(facts: dict[str, Any]) -> Result:
    """The run that was ``stored``."""
    series = {
        "region_w": np.asarray(facts["region_w"], float),
        "lost_by_cabinet": np.asarray(facts["lost_by_cabinet"], np.int64),
    }
    return Result(**(facts | series))


@dataclass(frozen=True, slots=True)
class Setting:
    """One point of the curve of service against cost."""

    line: str  # points of one line belong together
    label: str
    policy: str
    tuning: Tuning | None


def curve_settings() -> list[Setting]:
    """Charging at once; stock fixed by z and lead, or by the price of a lost swap; and ours."""
    settings = [Setting(REFERENCE, "", REFERENCE, None)]
    for lead in CURVE_LEAD:
        for z in CURVE_Z:
            fixed = Tuning(z=z, lead=lead, lost_price=0.0)
            settings.append(Setting(f"lead {lead * 15} min", f"z {z:g}", "plan", fixed))
    for price in CURVE_PRICE:
        tuning = Tuning(lost_price=price, mirrored=False)
        settings.append(Setting("by price", f"{price:g}", "plan", tuning))
    settings.append(Setting("ours", "", "plan", None))
    return settings


def point(setting: Setting, results: Sequence[Result]) -> dict[str, Any]:
    """What a setting came to in some towns."""
    return {
        "line": setting.line,
        "label": setting.label,
        "lost_share": sum(r.lost for r in results) / max(sum(r.riders for r in results), 1),
        "valued_cost": float(np.mean([r.valued_cost for r in results])),
        "unplaced_share": float(np.mean([r.unplaced_share for r in results])),
    }


def curve(
    towns: Sequence[Town], say: Callable[[str], None] = lambda _what: None
) -> list[dict[str, Any]]:
    """Lost swaps and cost over the settings; the first is charging at once."""
    points = []
    for setting in curve_settings():
        results = [run(town, setting.policy, setting.tuning) for town in towns]
        points.append(point(setting, results))
        say(f"{setting.line} {setting.label}: {points[-1]['lost_share']:.2%} lost")
    return points


def curve_text(points: Sequence[dict[str, Any]]) -> str:
    """The curve for people; charging at once stands first."""
    lines = [f"{'line':<14}{'':>6}{'lost':>9}{'total':>11}{'saving':>9}{'unplaced':>10}"]
    for each in points:
        saving = 1.0 - each["valued_cost"] / points[0]["valued_cost"]
        lines.append(
            f"{each['line']:<14}{each['label']:>6}{each['lost_share']:>9.2%}"
            f"{each['valued_cost']:>11.0f}{saving:>9.1%}{each['unplaced_share']:>10.2%}"
        )
    return "\n".join(lines)


def plot_curve(points: Sequence[dict[str, Any]], path: Path, title: str = "") -> None:
    """Saving over lost swaps: one line per lead, z along it; charging at once as a cross."""
    figure, axes = _axes()
    base = points[0]["valued_cost"]
    places = [(100 * p["lost_share"], 100 * (1.0 - p["valued_cost"] / base)) for p in points]
    axes.plot(*places[0], "kX", markersize=10, label="at once")
    for line in dict.fromkeys(p["line"] for p in points[1:]):
        own = [n for n, p in enumerate(points) if p["line"] == line]
        axes.plot(*zip(*(places[n] for n in own), strict=True), marker="o", label=line)
        for n in own:
            axes.annotate(
                points[n]["label"], places[n], (4, 4), textcoords="offset points", fontsize=7
            )
    axes.set(xlabel="swaps lost, %", ylabel="saved against charging at once, %", title=title)
    axes.legend()
    _save(figure, path)


def plot_loads(results: Sequence[Result], path: Path) -> None:
    """The fleet's load under each policy."""
    figure, axes = _axes()
    for result in results:
        load_kw = result.region_w.sum(axis=0) / 1000
        axes.step(np.arange(len(load_kw)) / 4, load_kw, where="post", label=result.policy, lw=1)
    axes.set_xlabel("hours")
    axes.set_ylabel("load, kW")
    axes.legend()
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    """The same picture gives the same bytes; text in SVG stays text."""
    import matplotlib as mpl  # noqa: PLC0415

    dated = {"Date": None} if path.suffix == ".svg" else {}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": path.stem}):
        figure.savefig(path, bbox_inches="tight", metadata=dated)


def _axes() -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 5))
    axes = figure.add_subplot()
    axes.grid(visible=True, alpha=0.3)
    return figure, axes
