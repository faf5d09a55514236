"""REST of tariffs, feeders and limits: the versions of the grid, what one holds, and a change to it.

The same as the pages of the editor: a change is looked at or kept as a version that counts from a
time on. It names the revision that it was made for, so that none is ever kept twice, nor over
another's.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Final, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from fleet.core.access import Permission
from fleet.core.balance.grid import POWER_MAX_W, PRICE_MAX, Grid, GridRegion, parse_grid
from fleet.core.balance.grid_edit import (
    LINES_MAX,
    CabinetEdit,
    Difference,
    Edit,
    FeederEdit,
    PriceEdit,
    RegionEdit,
    clock,
    differences,
    edited,
)
from fleet.core.balance.versions import CONSOLE, REASON_CHARS_MAX, GridVersion, check_reason
from fleet.errors import InvalidError, RefusedError
from fleet.web import rider
from fleet.web.access import need_staff, needs
from fleet.web.api import Key, answers, as_json
from fleet.web.ops_grid import NUMBER_MAX, State, Version, grid_of, state_of
from fleet.web.ops_lists import actor_of, moment_ms, zone_of
from fleet.web.pages import web_of

router = APIRouter(prefix="/api/v1/grid", tags=["operators"])

ROWS_MAX: Final = 500  # of regions, feeders or versions in one answer
WARNINGS_MAX: Final = 100
_NAME: Final = r"^[A-Za-z0-9._-]{1,64}$"
_CLOCK: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"

Name = Annotated[str, Field(pattern=_NAME)]
Time = Annotated[str, Field(pattern=_CLOCK, examples=["08:00"])]
Watts = Annotated[int, Field(ge=0, le=POWER_MAX_W)]
Price = Annotated[float, Field(ge=0, le=PRICE_MAX, allow_inf_nan=False)]
Rows = Annotated[int, Query(ge=1, le=ROWS_MAX)]
Start = Annotated[int, Query(ge=0, le=1_000_000, description="How many to leave out.")]


class PriceFrom(msgspec.Struct, frozen=True, kw_only=True):
    """The price of a kilowatt-hour from a time of the day on."""

    start: str
    price: float


class LimitWindow(msgspec.Struct, frozen=True, kw_only=True):
    """A stricter limit at some time of the day; may pass midnight."""

    start: str
    end: str
    limit_w: int


class GridRegionView(msgspec.Struct, frozen=True, kw_only=True):
    """One billing area."""

    name: str
    tariff: tuple[PriceFrom, ...]
    limit_w: int | None
    windows: tuple[LimitWindow, ...]
    peak_price_per_kw: float


class GridFeederView(msgspec.Struct, frozen=True, kw_only=True):
    """A line that must never carry more than its limit."""

    name: str
    region: str
    limit_w: int
    cabinets: int


class GridView(msgspec.Struct, frozen=True, kw_only=True):
    """The line of versions, the newest first. ``revision`` goes with every change."""

    revision: int
    counts: int  # the version that counts now
    last: int  # the one that a change is made to
    shortfall_price_per_kwh: float
    lost_swap_price: float
    regions: int
    feeders: int
    cabinets: int
    versions: tuple[GridVersion, ...]


class GridDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One value that is another; empty where there is none."""

    where: str
    before: str
    after: str


class GridChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """What a change comes to. ``version`` is None where it was only looked at."""

    version: int | None
    differences: tuple[GridDifference, ...]
    warnings: tuple[str, ...]


#: For the OpenAPI document.
VIEWS: Final = (GridView, GridRegionView, GridFeederView, GridChangeView)


class Strict(BaseModel):
    """A misspelt field must not leave a limit as it was."""

    model_config = ConfigDict(extra="forbid")


class PriceBody(Strict):
    """The price from a time of the day on; the first begins at midnight."""

    start: Time
    price: Price


class WindowBody(Strict):
    """A stricter limit at some time of the day."""

    start: Time
    end: Time
    limit_w: Watts


class RegionChange(Strict):
    """A region as it shall be, whole; a new one where there is none of this name."""

    what: Literal["region"]
    name: Name
    tariff: Annotated[list[PriceBody], Field(min_length=1, max_length=LINES_MAX)]
    limit_w: Watts | None = None
    windows: Annotated[list[WindowBody], Field(max_length=LINES_MAX)] = []
    peak_price_per_kw: Price = 0.0


class FeederChange(Strict):
    """A feeder's region and limit; a new one where there is none of this name."""

    what: Literal["feeder"]
    name: Name
    region: Name
    limit_w: Watts


class CabinetChange(Strict):
    """On which feeder a cabinet hangs; none takes it out of the grid."""

    what: Literal["cabinet"]
    name: Name
    feeder: Name | None = None


class PricesChange(Strict):
    """What a kilowatt-hour that comes too late costs, and a rider who is turned away."""

    what: Literal["prices"]
    shortfall_price_per_kwh: Price
    lost_swap_price: Price


class GridChangeBody(Strict):
    """One change to the last version, and from when on it counts."""

    revision: Annotated[int, Field(ge=0, description="Of the grid that the change was made for.")]
    change: Annotated[
        RegionChange | FeederChange | CabinetChange | PricesChange, Field(discriminator="what")
    ]
    preview: bool = Field(default=False, description="Only tell what it would come to.")
    valid_from: str = Field(
        default="", max_length=40, description="Empty: now.", examples=["2026-03-04T08:00"]
    )
    reason: str = Field(default="", max_length=REASON_CHARS_MAX, description="Needed to keep it.")
    staff: str = Field(default="", max_length=32, description="At a shared seat: who.")


class WithdrawBody(Strict):
    """Why a version is taken back."""

    revision: Annotated[int, Field(ge=0, le=NUMBER_MAX)]
    reason: str = Field(min_length=3, max_length=REASON_CHARS_MAX)
    staff: str = Field(default="", max_length=32)


@router.get("", responses=answers("GridView"), dependencies=[needs(Permission.SEE_BALANCE)])
async def overview(request: Request, limit: Rows = 50, skip: Start = 0) -> Response:
    """The versions, the newest first, and how large the last one is."""
    return as_json(_overview(await state_of(grid_of(request)), skip, limit))


@router.get(
    "/regions",
    responses=answers("GridRegionView", many=True),
    dependencies=[needs(Permission.SEE_BALANCE)],
)
async def regions(request: Request, limit: Rows = 100, skip: Start = 0) -> Response:
    """The regions of the last version, with tariff, limit and stricter limits by time of day."""
    grid = (await state_of(grid_of(request))).last_grid
    return as_json([_region(each) for each in grid.regions[skip : skip + limit]])


@router.get(
    "/feeders",
    responses=answers("GridFeederView", many=True),
    dependencies=[needs(Permission.SEE_BALANCE)],
)
async def feeders(
    request: Request,
    q: Annotated[str, Query(max_length=64)] = "",
    limit: Rows = 100,
    skip: Start = 0,
) -> Response:
    """The feeders of the last version whose names hold a text."""
    grid, wanted = (await state_of(grid_of(request))).last_grid, q.strip().lower()
    counts = [0] * len(grid.feeders)
    for _, place in grid.cabinets:
        counts[place] += 1
    found = [
        GridFeederView(
            name=each.name,
            region=grid.regions[each.region].name,
            limit_w=each.limit_w,
            cabinets=count,
        )
        for each, count in zip(grid.feeders, counts, strict=True)
        if wanted in each.name.lower()
    ]
    return as_json(found[skip : skip + limit])


@router.get(
    "/versions/{version}",
    responses={200: {"content": {"application/toml": {}}}},
    dependencies=[needs(Permission.SEE_BALANCE)],
)
async def version_text(request: Request, version: Version) -> Response:
    """One version as a file that ``fleetd grid import`` reads."""
    return Response(await grid_of(request).text(version), media_type="application/toml")


@router.post(
    "/versions",
    status_code=201,
    responses=answers("GridChangeView"),
    dependencies=[needs(Permission.EDIT_GRID)],
)
async def change(request: Request, body: GridChangeBody, idempotency_key: Key = None) -> Response:
    """Look at a change, or keep it as a version.

    The same key answers the same for ten minutes. After that, or after a restart, the revision has
    moved on: a repeated change is refused as ``grid-changed``, and never kept twice.
    """
    key = rider.check_key(idempotency_key)
    web, who = web_of(request), await need_staff(request)
    now_ms = web.clock.monotonic_ms()
    asked = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    told = web.replies.find(("grid", who.id, key), asked, now_ms)
    if told is not None:
        return Response(told, status_code=201, media_type="application/json")
    desk = grid_of(request)
    state = await state_of(desk)
    if body.revision != state.revision:
        raise RefusedError(
            f"revision {body.revision}: the grid is at {state.revision} by now; look at it again",
            code="grid-changed",
        )
    begins_ms = moment_ms(body.valid_from, zone_of(request), "valid_from")
    text = await asyncio.to_thread(edited, state.last_text, _edit(body))
    found = await asyncio.to_thread(_found, state.last_grid, text)
    if body.preview:
        return as_json(found)
    reason = " ".join(body.reason.split())
    check_reason(reason)
    version = await desk.propose(
        text,
        valid_from_ms=begins_ms,
        reason=reason,
        actor=await actor_of(request, body.staff),
        source=CONSOLE,
        revision=body.revision,
    )
    kept = msgspec.json.encode(msgspec.structs.replace(found, version=version))
    web.replies.keep(("grid", who.id, key), asked, kept, now_ms)
    where = {"Location": f"/api/v1/grid/versions/{version}"}
    return Response(kept, status_code=201, headers=where, media_type="application/json")


@router.post(
    "/versions/{version}/withdraw",
    responses=answers("GridView"),
    dependencies=[needs(Permission.EDIT_GRID)],
)
async def withdraw(request: Request, version: Version, body: WithdrawBody) -> Response:
    """Take back the last version before it begins. The revision makes a second try harmless."""
    desk = grid_of(request)
    await desk.withdraw(
        version,
        reason=" ".join(body.reason.split()),
        actor=await actor_of(request, body.staff),
        revision=body.revision,
    )
    return as_json(_overview(await state_of(desk), 0, 50))


def _overview(state: State, skip: int, limit: int) -> GridView:
    grid = state.last_grid
    return GridView(
        revision=state.revision,
        counts=state.now.version,
        last=state.last.version,
        shortfall_price_per_kwh=grid.shortfall_price_per_kwh,
        lost_swap_price=grid.lost_swap_price,
        regions=len(grid.regions),
        feeders=len(grid.feeders),
        cabinets=len(grid.cabinets),
        versions=tuple(state.versions[::-1][skip : skip + limit]),
    )


def _region(region: GridRegion) -> GridRegionView:
    return GridRegionView(
        name=region.name,
        tariff=tuple(PriceFrom(start=clock(at), price=price) for at, price in region.prices),
        limit_w=region.limit_w,
        windows=tuple(
            LimitWindow(start=clock(each.from_min), end=clock(each.to_min), limit_w=each.limit_w)
            for each in region.windows
        ),
        peak_price_per_kw=region.peak_price_per_kw,
    )


def _found(before: Grid, text: str) -> GridChangeView:
    after = parse_grid(text)
    rows: list[Difference] = differences(before, after)
    return GridChangeView(
        version=None,
        differences=tuple(
            GridDifference(where=each.where, before=each.before, after=each.after) for each in rows
        ),
        warnings=tuple(after.warnings()[:WARNINGS_MAX]),
    )


def _edit(body: GridChangeBody) -> Edit:
    """The change in the words of the editor's form, which ``parse_grid`` judges."""
    match body.change:
        case RegionChange() as region:
            return RegionEdit(
                name=region.name,
                tariff="\n".join(f"{each.start} {each.price!r}" for each in region.tariff),
                limit_kw="" if region.limit_w is None else _kw(region.limit_w),
                peak_price_per_kw=repr(region.peak_price_per_kw),
                windows="\n".join(
                    f"{each.start}-{each.end} {_kw(each.limit_w)}" for each in region.windows
                ),
            )
        case FeederChange() as feeder:
            return FeederEdit(feeder.name, feeder.region, _kw(feeder.limit_w))
        case CabinetChange() as cabinet:
            return CabinetEdit(cabinet.name, cabinet.feeder or "")
        case PricesChange() as prices:
            return PriceEdit(repr(prices.shortfall_price_per_kwh), repr(prices.lost_swap_price))
        case _:
            raise InvalidError("change.what: expected region, feeder, cabinet or prices")


def _kw(limit_w: int) -> str:
    return repr(limit_w / 1_000)
