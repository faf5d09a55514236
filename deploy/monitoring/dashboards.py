"""Grafana dashboards as code: ``python -m deploy.monitoring.dashboards`` writes ``dashboards/*.json``.

Provision them with ``dashboards.yml`` beside this file. Every expression names a series that our
programs export; a test holds them against each other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "dashboards"
WIDTH: Final = 24
PANEL_HEIGHT: Final = 8
SCHEMA_VERSION: Final = 38  # of Grafana 10


@dataclass(frozen=True)
class Panel:
    """One picture; ``lines`` maps legends to expressions."""

    title: str
    lines: dict[str, str]
    unit: str = "short"
    width: int = 12
    kind: str = "timeseries"
    help: str = ""


FLEET: Final = (
    Panel("Cabinets", {"{{state}}": "cabinet_up"}, width=6, kind="stat"),
    Panel(
        "Swaps in 24 h",
        {"completed": 'increase(swap_attempts_total{result="completed"}[24h])'},
        width=6,
        kind="stat",
    ),
    Panel(
        "Success, last hour",
        {
            "completed": 'sum(rate(swap_attempts_total{result="completed"}[1h]))'
            " / sum(rate(swap_attempts_total[1h]))"
        },
        unit="percentunit",
        width=6,
        kind="stat",
    ),
    Panel("Standing alarms", {"{{code}}": "cabinet_alarms_standing > 0"}, width=6, kind="stat"),
    Panel(
        "Swaps by how they ended",
        {"{{result}}": "sum by (result) (rate(swap_attempts_total[15m]) * 3600)"},
        help="Per hour.",
    ),
    Panel(
        "From tap to end",
        {
            "median": "histogram_quantile(0.5, sum by (le)"
            " (rate(swap_duration_seconds_bucket[30m])))",
            "95 of 100": "histogram_quantile(0.95, sum by (le)"
            " (rate(swap_duration_seconds_bucket[30m])))",
        },
        unit="s",
    ),
    Panel(
        "Power: ordered and measured",
        {"ordered": "fleet_balance_planned_watts", "measured": "fleet_balance_actual_watts"},
        unit="watt",
        width=24,
        help="The 24-hour plan against the meters of the cabinets that are heard.",
    ),
    Panel(
        "The plan",
        {
            "age": "fleet_balance_plan_age_seconds",
            "solving, 95 of 100": "histogram_quantile(0.95, sum by (le)"
            " (rate(fleet_balance_solve_seconds_bucket[1h])))",
        },
        unit="s",
    ),
    Panel("Energy that can't be delivered", {"": "fleet_balance_shortfall_watthours"}, "watth"),
    Panel(
        "Events stored",
        {"{{verdict}}": "sum by (verdict) (rate(ingest_events_total[5m]))"},
        help="Per second.",
    ),
    Panel(
        "From arrival to commit, 95 of 100",
        {
            "commit": "histogram_quantile(0.95, sum by (le)"
            " (rate(ingest_commit_seconds_bucket[5m])))"
        },
        unit="s",
    ),
)
CABINET: Final = (
    Panel("Slots", {"{{state}}": 'cabinet_slots{cabinet="$cabinet"}'}, width=12, kind="stat"),
    Panel("Alarms", {"": 'cabinet_alarms{cabinet="$cabinet"}'}, width=6, kind="stat"),
    Panel(
        "Link to the fleet",
        {"": 'cabinet_uplink_connected{cabinet="$cabinet"}'},
        width=6,
        kind="stat",
    ),
    Panel(
        "Power and its limit",
        {
            "meter": 'cabinet_power_watts{cabinet="$cabinet"}',
            "limit": 'cabinet_power_limit_watts{cabinet="$cabinet"}',
        },
        unit="watt",
    ),
    Panel(
        "Hottest cell of each slot",
        {"slot {{slot}}": 'cabinet_slot_temperature_celsius{cabinet="$cabinet"}'},
        unit="celsius",
    ),
    Panel("Events not acknowledged", {"": 'cabinet_outbox_events{cabinet="$cabinet"}'}),
    Panel(
        "Orders refused",
        {"{{reason}}": 'increase(commands_refused_total{cabinet="$cabinet"}[1h])'},
    ),
    Panel(
        "Load of the wires",
        {"{{bus}}": 'rate(cabinet_bus_busy_seconds_total{cabinet="$cabinet"}[5m])'},
        unit="percentunit",
        help="Part of the time in which a bus was in use; near 1 polls wait for one another.",
    ),
    Panel(
        "Answers that were none",
        {"{{device}} {{why}}": 'increase(cabinet_bus_spoilt_total{cabinet="$cabinet"}[1h]) > 0'},
        help="Checksums point at termination, bias and ground; foreign frames at a double address.",
    ),
    Panel(
        "Devices that do not answer",
        {"{{device}}": 'cabinet_bus_device_state{cabinet="$cabinet", state="offline"} > 0'},
        help="A charger without mains and the port of an empty slot are silent by nature.",
    ),
    Panel(
        "Late answers",
        {"{{device}}": 'increase(cabinet_bus_late_replies_total{cabinet="$cabinet"}[1h]) > 0'},
        help="The device needs more time than its configuration gives it (processing_ms).",
    ),
)
DASHBOARDS: Final[dict[str, tuple[str, tuple[Panel, ...], str | None]]] = {
    "fleet": ("Yizhan: fleet", FLEET, None),
    "cabinet": ("Yizhan: one cabinet", CABINET, "label_values(cabinet_slots, cabinet)"),
}


def expressions() -> dict[str, str]:
    """Every expression, by dashboard and panel."""
    return {
        f"{name}: {panel.title}: {legend}": expression
        for name, (_, panels, _) in DASHBOARDS.items()
        for panel in panels
        for legend, expression in panel.lines.items()
    }


def dashboard(name: str) -> dict[str, Any]:
    """One dashboard in Grafana's own format."""
    title, panels, variable = DASHBOARDS[name]
    drawn, x, y = [], 0, 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > WIDTH:
            x, y = 0, y + PANEL_HEIGHT
        drawn.append(_panel(panel, number, x, y))
        x += panel.width
    return {
        "uid": f"yizhan-{name}",
        "title": title,
        "tags": ["yizhan"],
        "schemaVersion": SCHEMA_VERSION,
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": _variables(variable)},
        "panels": drawn,
    }


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": PANEL_HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend}
            for index, (legend, expression) in enumerate(panel.lines.items())
        ],
    }


def _variables(query: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": "datasource", "type": "datasource", "query": "prometheus"}
    ]
    if query is not None:
        source = {"type": "prometheus", "uid": "${datasource}"}
        found.append(
            {"name": "cabinet", "type": "query", "query": query, "datasource": source, "refresh": 2}
        )
    return found


def text_of(name: str) -> str:
    """The file's text."""
    return json.dumps(dashboard(name), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(text_of(name), encoding="utf-8")
