"""What the one-shot commands do: on the store directly, while fleetd runs or not."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from fleet.adapters.anchor_file import AnchorFile
from fleet.adapters.clock import SystemClock
from fleet.adapters.command_keys import SecretKeeper
from fleet.adapters.passwords import mosquitto_hash, nats_hash, new_password
from fleet.adapters.secret_files import command_key, group_key
from fleet.config import FleetConfig
from fleet.core.audit import Violation
from fleet.core.audit_anchor import check_anchor
from fleet.core.enrolment import TOKEN_HOURS
from fleet.core.ids import valid_holder, valid_serial
from fleet.core.rebuild import Difference
from fleet.core.records import (
    BatteryRecord,
    CabinetRecord,
    Credential,
    ImportOutcome,
    LogFilter,
)
from fleet.core.views import LifeView, LogView, SwapView
from fleet.enrol_oneshot import new_token
from fleet.errors import InvalidError
from fleet.runtime.commands import new_id
from fleet.service import only_one
from fleet.store.backup import put_back
from fleet.stores import Stores, open_stores
from protocols import offline, signing
from protocols.errors import MessageError
from protocols.messages import SLOTS_MAX
from protocols.topics import check_cabinet_id

CSV_COLUMNS: Final = ("serial", "model", "capacity_wh", "holder")
IMPORT_ROWS_MAX: Final = 2_000_000
_MODEL_CHARS_MAX: Final = 100


async def add_cabinet(
    config: FleetConfig, record: CabinetRecord, hours: int = TOKEN_HOURS
) -> dict[str, Any]:
    """Register a cabinet; its one-time token is told this once and kept as a hash.

    With a broker without TLS it is a password instead.

    Raises:
        InvalidError: the id is malformed or taken, or a figure is out of range.
    """
    try:
        check_cabinet_id(record.id)
    except MessageError as error:
        raise InvalidError(str(error)) from error
    if not 1 <= record.slots <= SLOTS_MAX:
        raise InvalidError(f"slots {record.slots}: expected 1 to {SLOTS_MAX}")
    for name, value, limit in (("lat", record.lat, 90), ("lon", record.lon, 180)):
        if value is not None and not -limit <= value <= limit:
            raise InvalidError(f"{name} {value}: expected {-limit} to {limit} degrees")
    if config.broker.tls:
        token = new_token(config, record.id, hours)
        async with open_stores(config.store_url) as stores:
            await stores.cabinets.add(record, Credential(record.id), SystemClock().wall_ms())
            await stores.enrolments.add_token(token.row, SystemClock().wall_ms())
        return {"epoch": record.epoch, **token.told}
    password = new_password()
    credential = Credential(record.id, mosquitto_hash(password), nats_hash(password))
    async with open_stores(config.store_url) as stores:
        await stores.cabinets.add(record, credential, SystemClock().wall_ms())
    return {
        "id": record.id,
        "epoch": record.epoch,
        "mqtt_username": record.id,
        "mqtt_password": password,
        "command_key": signing.public_of(command_key(config.data_dir)),
        "group_key_id": offline.key_id(group_key(config.data_dir)),
    }


async def list_cabinets(config: FleetConfig) -> list[CabinetRecord]:
    """Every cabinet, by id."""
    async with open_stores(config.store_url) as stores:
        return await stores.cabinets.all()


async def import_batteries(config: FleetConfig, file: Path) -> ImportOutcome:
    """Register the batteries of a CSV file; raise InvalidError naming the line."""
    records = list(read_csv(file))
    async with open_stores(config.store_url) as stores:
        return await stores.batteries.add(records, SystemClock().wall_ms())


def read_csv(file: Path) -> Iterator[BatteryRecord]:
    """The rows of an import file; raise InvalidError naming the line."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            missing = [name for name in CSV_COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                expected = ",".join(CSV_COLUMNS)
                raise InvalidError(f"{file}:1: no column {missing[0]!r}; expected {expected}")
            seen: dict[str, int] = {}
            for row in reader:
                record = _record(f"{file}:{reader.line_num}", row)
                if (before := seen.setdefault(record.serial, reader.line_num)) != reader.line_num:
                    text = (
                        f"{file}:{reader.line_num}: serial {record.serial} is in line {before} too"
                    )
                    raise InvalidError(text)
                if len(seen) > IMPORT_ROWS_MAX:
                    raise InvalidError(f"{file}: more than {IMPORT_ROWS_MAX} rows; split it")
                yield record
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidError(f"{file}: can't be read: {error}") from error


def _record(place: str, row: dict[str, str | None]) -> BatteryRecord:
    cells = {name: (row[name] or "").strip() for name in CSV_COLUMNS}
    if not valid_serial(cells["serial"]):
        raise InvalidError(
            f"{place}: serial {cells['serial']!r}: expected 1 to 50 of A-Z a-z 0-9 ._-"
        )
    if not valid_holder(cells["holder"]):
        raise InvalidError(
            f"{place}: holder {cells['holder']!r}: expected slot:CABINET:N, rider:ID, depot:NAME, "
            "transit:NAME, workshop:NAME, lost, scrapped or unknown"
        )
    capacity = cells["capacity_wh"]
    if capacity and not (capacity.isascii() and capacity.isdigit() and len(capacity) <= 6):
        raise InvalidError(f"{place}: capacity_wh {capacity!r}: expected whole watt-hours")
    if len(cells["model"]) > _MODEL_CHARS_MAX:
        raise InvalidError(f"{place}: model: longer than {_MODEL_CHARS_MAX} characters")
    return BatteryRecord(
        serial=cells["serial"],
        model=cells["model"] or None,
        capacity_wh=int(capacity) if capacity else None,
        holder=cells["holder"],
    )


async def battery_life(config: FleetConfig, serial: str) -> tuple[dict[str, Any], list[LifeView]]:
    """A battery and its whole life in the ledger; raise NotFoundError."""
    async with open_stores(config.store_url) as stores:
        return await stores.batteries.life(serial)


async def rebuild(config: FleetConfig, *, check_only: bool) -> list[Difference]:
    """Where the stored present is not what the past says; mended unless ``check_only``."""
    async with open_stores(config.store_url) as stores:
        if check_only:
            return await stores.audit.differences()
        return await stores.audit.rebuild("cli", SystemClock().wall_ms())


async def swap_view(config: FleetConfig, swap_id: str) -> SwapView:
    """A swap with its movements; raise NotFoundError."""
    async with open_stores(config.store_url) as stores:
        return await stores.swaps.view(swap_id)


async def audit(config: FleetConfig) -> list[Violation]:
    """Every broken invariant of the ledger, and whether the log is what was anchored."""
    anchor = AnchorFile(config.data_dir, SecretKeeper(config.data_dir))
    async with open_stores(config.store_url) as stores:
        held = anchor.read()  # before the log, which only grows
        found = await stores.audit.audit()
        if anchor.missing and not await stores.audit_log.anchored():
            return found  # fleetd has not run since it learnt to anchor
        return [*found, *check_anchor(await stores.audit_log.read(), held, anchor.verify)]


async def log_rows(config: FleetConfig, wanted: LogFilter) -> list[LogView]:
    """The log of orders, newest first."""
    async with open_stores(config.store_url) as stores:
        return await stores.audit_log.rows(wanted)


def utc_text(wall_ms: int) -> str:
    """A moment to the second, in UTC."""
    return f"{datetime.fromtimestamp(wall_ms / 1_000, UTC):%Y-%m-%d %H:%M:%SZ}"


async def restored(config: FleetConfig) -> str:
    """Give the ledger a new incarnation, so that cabinets send again what a backup lacks.

    Raises:
        FleetError: fleetd runs; it would go on with the old one.
    """
    with only_one(config.data_dir):
        return await _renewed(config)


async def _renewed(config: FleetConfig) -> str:
    fresh = new_id(SystemClock().wall_ms())
    async with open_stores(config.store_url) as stores:
        await stores.meta.renew_incarnation(fresh)
        await _anchor_anew(config, stores)
    return fresh


async def _anchor_anew(config: FleetConfig, stores: Stores) -> None:
    """The log may end before its anchor now; that this was by order is written into it."""
    file = AnchorFile(config.data_dir, SecretKeeper(config.data_dir))
    before, now_ms = file.read(), SystemClock().wall_ms()
    told = f"row {before.id} was anchored" if before else "no row was anchored"
    head = await stores.audit_log.head()
    await stores.audit_log.note(
        at_ms=now_ms,
        actor="cli",
        action="ledger.restored",
        subject="log",
        reason=f"{told}, the log of the backup ends at row {head.id}",
    )
    file.write(await stores.audit_log.head(), now_ms)
    await stores.audit_log.mark_anchored()


async def restore(config: FleetConfig, file: Path) -> dict[str, Any]:
    """Put a backup in the place of the ledger, and give it a new incarnation.

    Raises:
        InvalidError: it is no backup of a ledger, or the store is not SQLite.
        FleetError: fleetd runs.
    """
    with only_one(config.data_dir):
        aside = put_back(config.store_url, file, str(SystemClock().wall_ms()))
        return {
            "file": str(file),
            "aside": None if aside is None else str(aside),
            "incarnation": await _renewed(config),
        }


def to_json(value: object) -> str:
    """One line of JSON of records, views and dictionaries."""
    return msgspec.json.encode(value).decode()
