"""``cabinetd devices``: what can be connected, how, and where that was learnt."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import typer

from protocols.device import Device
from protocols.devices import DEVICES

COLUMNS: Final = ("TYPE", "KIND", "LINE", "CAPABILITIES", "DEVICE")


def devices(
    *, as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False
) -> None:
    """List every device type with its kind, line, capabilities and source.

    Each has a simulated twin of the same name in swapsim.
    """
    if as_json:
        typer.echo(json.dumps([_facts(device) for device in DEVICES.values()], indent=2))
        return
    rows = [COLUMNS, *(_row(device) for device in DEVICES.values())]
    widths = [max(len(row[n]) for row in rows) for n in range(len(COLUMNS))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
    typer.echo("\nSources:")
    for device in DEVICES.values():
        typer.echo(f"  {device.type}: {device.source}")


def _row(device: Device) -> tuple[str, str, str, str, str]:
    line = device.line
    if device.addresses is not None:
        line += f" at {device.address}"
    capabilities = ", ".join(sorted(device.capabilities))
    return device.type, device.role, line, capabilities, device.title


def _facts(device: Device) -> dict[str, Any]:
    addresses = device.addresses
    return {
        "type": device.type,
        "title": device.title,
        "kind": device.role,
        "capabilities": sorted(device.capabilities),
        "protocols": sorted(device.protocols),
        "line": {"baud": device.baud, "parity": device.parity, "stopbits": device.stopbits},
        "address": device.address if addresses is not None else None,
        "addresses": [addresses[0], addresses[-1]] if addresses is not None else None,
        "names_itself": device.names_itself,
        "processing_ms": device.processing_ms,
        "turnaround_ms": device.turnaround_ms,
        "locks": device.locks,
        "relays": device.relays,
        "inputs": device.inputs,
        "voltage_max_v": device.voltage_max_v or None,
        "current_max_a": device.current_max_a or None,
        "simulated_as": device.type,
        "note": device.note,
        "source": device.source,
    }
