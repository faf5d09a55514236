"""What a scan has found, and what each silent port means beside the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

from cabinet.core.commission.findings import (
    Cause,
    Check,
    Finding,
    Verdict,
    bad,
    good,
    skipped,
    warn,
)
from protocols.device import Device, Protocol, Role


class Found(Struct, frozen=True, kw_only=True):
    """One device. ``type`` is empty for one that answers and that nobody knows."""

    type: str
    address: int  # 0: its protocol has none
    identity: str = ""
    slow: bool = False  # recognised only with more patience than its type needs
    heard: bool = True  # said anything when it was asked what it is


class PortState(StrEnum):
    """How a port came out of the scan."""

    ANSWERED = "answered"
    SILENT = "silent"
    TROUBLED = "troubled"  # bytes, but nothing readable
    UNUSABLE = "unusable"  # could not be opened
    SCANNER = "scanner"  # a barcode scanner by its name; not asked


class PortFound(Struct, frozen=True, kw_only=True):
    """One port and what hangs on it."""

    name: str  # last part of the path
    path: str
    state: PortState
    cause: Cause | None = None
    detail: str = ""
    baud: int = 9_600
    parity: str = "N"
    stopbits: int = 1
    protocol: Protocol = Protocol.MODBUS_RTU
    devices: tuple[Found, ...] = ()
    garbled: tuple[int, ...] = ()
    echoes: bool = False  # the adapter hears what it sends


def by_number(name: str) -> tuple[tuple[int, str], ...]:
    """Orders ``slot-2`` before ``slot-10``."""
    parts = re.findall(r"\d+|\D+", name)
    return tuple((int(p), "") if p.isdecimal() else (-1, p) for p in parts)


def is_bms_port(port: PortFound, types: Sequence[Device]) -> bool:
    """Whether a battery answers there."""
    roles = {device.type: device.role for device in types}
    return any(roles.get(found.type) is Role.BMS for found in port.devices)


def empty_slots(ports: Iterable[PortFound], types: Sequence[Device]) -> tuple[str, ...]:
    """Silent ports named like those that a battery answers at: slots without a battery.

    ``slot-11`` is one beside ``slot-01``; ``bus-b`` is not: one number may differ, nothing else.
    """
    every = tuple(ports)
    known = [port for port in every if is_bms_port(port, types)]
    return tuple(
        port.name
        for port in every
        if port.state is PortState.SILENT and any(_is_sibling(port, other) for other in known)
    )


def judge_scan(
    ports: Iterable[PortFound], types: Sequence[Device], *, powered: bool
) -> tuple[Finding, ...]:
    """A finding per device, and one per port that is not simply fine."""
    every = tuple(ports)
    empty = empty_slots(every, types)
    boards = any(_role(f.type, types) is Role.BOARD for port in every for f in port.devices)
    chargers = any(_role(f.type, types) is Role.CHARGER for port in every for f in port.devices)
    waiting = boards and not chargers and not powered
    findings: list[Finding] = []
    for port in every:
        findings += [_device(port, found) for found in port.devices]
        findings += [
            bad(Check.SCAN, f"{port.name} address {unit}", Cause.COLLISION)
            for unit in port.garbled
            if port.cause is Cause.COLLISION
        ]
        finding = _port(port, empty=port.name in empty, waiting=waiting)
        if finding is not None:
            findings.append(finding)
    return tuple(findings)


def _device(port: PortFound, found: Found) -> Finding:
    at = f" address {found.address}" if found.address else ""
    subject = f"{port.name}{at}"
    line = f"{port.baud} 8{port.parity}{port.stopbits}"
    if not found.type:
        cause = Cause.UNKNOWN_DEVICE if found.heard else Cause.UNSTEADY
        return bad(Check.SCAN, subject, cause, line=line)
    if found.slow:
        return warn(
            Check.SCAN, subject, Cause.SLOW, type=found.type, line=line, identity=found.identity
        )
    return good(Check.SCAN, subject, type=found.type, line=line, identity=found.identity)


def _port(port: PortFound, *, empty: bool, waiting: bool) -> Finding | None:
    match port.state:
        case PortState.SCANNER:
            return skipped(Check.SCAN, port.name, Cause.SCANNER_PORT)
        case PortState.UNUSABLE:
            cause = port.cause or Cause.PORT_MISSING
            return bad(Check.SCAN, port.name, cause, detail=port.detail)
        case PortState.TROUBLED:
            cause = port.cause or Cause.NOISE
            if cause is Cause.COLLISION and port.garbled:
                return None  # told address by address
            return bad(Check.SCAN, port.name, cause)
        case PortState.SILENT if empty:
            return skipped(Check.SCAN, port.name, Cause.EMPTY_SLOT)
        case PortState.SILENT if waiting:
            return Finding(
                check=Check.SCAN, subject=port.name, verdict=Verdict.WARN, cause=Cause.NO_MAINS
            )
        case PortState.SILENT:
            return bad(Check.SCAN, port.name, Cause.NO_ANSWER)
        case PortState.ANSWERED:
            return warn(Check.SCAN, port.name, Cause.ECHO) if port.echoes else None


def _role(kind: str, types: Sequence[Device]) -> Role | None:
    return next((device.role for device in types if device.type == kind), None)


def _is_sibling(one: PortFound, other: PortFound) -> bool:
    """Whether the paths differ in one number only."""
    parts, others = re.split(r"(\d+)", one.path), re.split(r"(\d+)", other.path)
    if len(parts) != len(others):
        return False
    odd = [n for n, (a, b) in enumerate(zip(parts, others, strict=True)) if a != b]
    return len(odd) == 1 and odd[0] % 2 == 1
