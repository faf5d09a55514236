"""The operator's editor of tariffs, feeders and limits: versions with a time from which they count."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.access import Permission
from fleet.core.balance.grid import Grid, parse_grid
from fleet.core.balance.grid_edit import (
    CabinetEdit,
    Difference,
    Edit,
    FeederEdit,
    PriceEdit,
    RegionEdit,
    differences,
    edited,
    tariff_lines,
    window_lines,
)
from fleet.core.balance.versions import (
    CONSOLE,
    REASON_CHARS_MAX,
    GridVersion,
    check_reason,
    in_force,
    standing,
)
from fleet.errors import InvalidError, NotFoundError, RefusedError
from fleet.ports_charts import GridDesk
from fleet.web.access import need_staff, needs, permitted
from fleet.web.ops_lists import SHORT, actor_of, charts_of, moment_ms, zone_of
from fleet.web.pages import OPS_CSS, page
from fleet.web.refusal import again
from fleet.web.rider import notice_of
from fleet.web.timeline import DAY_HEIGHT, HISTORY_HEIGHT, WIDTH, day_picture, history_picture

router = APIRouter(prefix="/ops/grid", include_in_schema=False)

SEE_OTHER: Final = 303
ROWS_SHOWN: Final = 100
WHATS: Final = ("region", "feeder", "cabinet", "prices")
#: The fields that each form has.
_SHOWN: Final = {
    "region": ("name", "tariff", "windows", "limit_kw", "peak_price"),
    "feeder": ("name", "region", "limit_kw"),
    "cabinet": ("name", "feeder"),
    "prices": ("shortfall_price", "lost_price"),
}
_ALWAYS: Final = ("valid_from", "reason", "staff")
Area = Annotated[str, Form(max_length=8_000)]
Line = Annotated[str, Form(max_length=SHORT)]
Name = Annotated[str, Query(max_length=SHORT)]
NUMBER_MAX: Final = 2**31 - 1  # of a version, of a revision
Version = Annotated[int, Path(ge=0, le=NUMBER_MAX)]


@dataclass(frozen=True, slots=True)
class State:
    """The versions, and the grids of two of them: that which counts now, and the last one."""

    revision: int
    versions: list[GridVersion]
    now: GridVersion
    last: GridVersion
    last_text: str
    grid: Grid
    last_grid: Grid


def grid_of(request: Request) -> GridDesk:
    """The grid's versions; raise NotFoundError where the balance is off."""
    grid = charts_of(request).grid
    if grid is None:
        raise NotFoundError("the balance is off: name a grid in [balance] grid_file")
    return grid


@router.get("", dependencies=[needs(Permission.SEE_BALANCE)])
async def versions(request: Request, q: Name = "") -> Response:
    """The line of versions, and the grid that counts."""
    return await _overview(request, q)


async def _overview(request: Request, q: str = "") -> Response:
    desk = grid_of(request)
    state = await state_of(desk)
    wanted = q.strip().lower()
    feeders = [
        (each, state.grid.regions[each.region].name)
        for each in state.grid.feeders
        if wanted in each.name.lower()
    ]
    now_ms = desk.now_ms()
    return page(
        request,
        "ops_grid.html",
        css=OPS_CSS,
        operator=True,
        state=state,
        rows=state.versions[::-1][:ROWS_SHOWN],
        line=history_picture(state.versions, now_ms, zone_of(request)),
        line_height=HISTORY_HEIGHT,
        width=WIDTH,
        height=DAY_HEIGHT,
        now_ms=now_ms,
        regions=[(each, day_picture(each, None)) for each in state.grid.regions[:ROWS_SHOWN]],
        feeders=feeders[:ROWS_SHOWN],
        left_out=max(len(feeders) - ROWS_SHOWN, 0),
        q=q,
        may_edit=await permitted(request, Permission.EDIT_GRID),
        by_link=(await need_staff(request)).shared,
        reason_max=REASON_CHARS_MAX,
        notice=notice_of(request),
    )


@router.get("/{version}.toml", dependencies=[needs(Permission.SEE_BALANCE)])
async def download(request: Request, version: Version) -> Response:
    """One version, as a file that can be imported."""
    name = f'attachment; filename="grid-{version}.toml"'
    text = await grid_of(request).text(version)
    return Response(text, media_type="application/toml", headers={"Content-Disposition": name})


@router.get("/edit", dependencies=[needs(Permission.EDIT_GRID)])
async def edit_form(request: Request, what: Name = "region", name: Name = "") -> Response:
    """The form of one region, feeder, cabinet, or of the prices of shortage."""
    if what not in WHATS:
        raise NotFoundError(f"no form {what!r}: expected one of {', '.join(WHATS)}")
    state = await state_of(grid_of(request))
    fields = _fields(state.last_grid, what, name.strip())
    return await _form(request, state, what, fields)


@router.post("/edit", dependencies=[needs(Permission.EDIT_GRID)])
async def edit(  # noqa: PLR0917 - the fields of one form
    request: Request,
    what: Line,
    revision: Annotated[int, Form()],
    do: Line = "preview",
    name: Line = "",
    tariff: Area = "",
    windows: Area = "",
    limit_kw: Line = "",
    peak_price: Line = "",
    region: Line = "",
    feeder: Line = "",
    shortfall_price: Line = "",
    lost_price: Line = "",
    valid_from: Line = "",
    reason: Annotated[str, Form(max_length=2 * REASON_CHARS_MAX)] = "",
    staff: Line = "",
) -> Response:
    """Look at a change, or keep it as a version; the form carries the revision that it was made for."""
    fields = {
        "name": name.strip(), "tariff": tariff, "windows": windows, "limit_kw": limit_kw.strip(),
        "peak_price": peak_price.strip(), "region": region.strip(), "feeder": feeder.strip(),
        "shortfall_price": shortfall_price.strip(), "lost_price": lost_price.strip(),
        "valid_from": valid_from, "reason": " ".join(reason.split()), "staff": staff.strip(),
    }  # fmt: skip
    desk = grid_of(request)
    state = await state_of(desk)
    changed: Grid | None = None
    try:
        _same(revision, state)
        begins_ms = moment_ms(valid_from, zone_of(request), "valid_from")
        text = await asyncio.to_thread(edited, state.last_text, edit_of(what, fields))
        changed = await asyncio.to_thread(parse_grid, text)
        if do == "save":
            check_reason(fields["reason"])
            await desk.propose(
                text,
                valid_from_ms=begins_ms,
                reason=fields["reason"],
                actor=await actor_of(request, staff),
                source=CONSOLE,
                revision=revision,
            )
            return RedirectResponse("/ops/grid", SEE_OTHER)
    except (InvalidError, RefusedError) as error:
        shown = _form(request, state, what, fields, changed=changed)
        at = {"what": what, "name": fields["name"]}
        here = f"/ops/grid/edit?{urlencode(at)}"
        typed = {each: fields[each] for each in (*_SHOWN.get(what, ()), *_ALWAYS)}
        return await again(request, error, "grid", typed, here, shown)
    return await _form(request, state, what, fields, changed=changed)


def _same(revision: int, state: State) -> None:
    """Raise RefusedError where the form was made for another revision."""
    if revision != state.revision:
        raise RefusedError("the grid was changed meanwhile", code="grid-changed")


@router.post("/{version}/withdraw", dependencies=[needs(Permission.EDIT_GRID)])
async def withdraw(
    request: Request,
    version: Version,
    revision: Annotated[int, Form(ge=0, le=NUMBER_MAX)],
    reason: Annotated[str, Form(max_length=2 * REASON_CHARS_MAX)] = "",
    staff: Line = "",
) -> Response:
    """Take back the last version before it begins."""
    try:
        await grid_of(request).withdraw(
            version,
            reason=" ".join(reason.split()),
            actor=await actor_of(request, staff),
            revision=revision,
        )
    except (InvalidError, RefusedError) as error:
        typed, shown = {"reason": reason, "staff": staff}, _overview(request)
        return await again(request, error, "withdraw", typed, "/ops/grid", shown)
    return RedirectResponse("/ops/grid", SEE_OTHER)


def edit_of(what: str, fields: dict[str, str]) -> Edit:
    """The change that a form asks for; raise InvalidError."""
    match what:
        case "region":
            return RegionEdit(
                name=fields["name"],
                tariff=fields["tariff"],
                limit_kw=fields["limit_kw"],
                peak_price_per_kw=fields["peak_price"],
                windows=fields["windows"],
            )
        case "feeder":
            return FeederEdit(fields["name"], fields["region"], fields["limit_kw"])
        case "cabinet":
            return CabinetEdit(fields["name"], fields["feeder"])
        case "prices":
            return PriceEdit(fields["shortfall_price"], fields["lost_price"])
        case _:
            raise InvalidError(f"what: is {what!r}, expected one of {', '.join(WHATS)}")


async def _form(
    request: Request,
    state: State,
    what: str,
    fields: dict[str, str],
    *,
    changed: Grid | None = None,
) -> Response:
    found: list[Difference] = [] if changed is None else differences(state.last_grid, changed)
    values: dict[str, Any] = {}
    if what == "region":
        now = _region(state.last_grid, fields["name"])
        then = None if changed is None else _region(changed, fields["name"])
        values["day"] = day_picture(now, then)
    return page(
        request,
        "ops_grid_edit.html",
        css=OPS_CSS,
        operator=True,
        state=state,
        what=what,
        f=fields,
        found=found,
        previewed=changed is not None,
        warnings=[] if changed is None else changed.warnings()[:ROWS_SHOWN],
        regions=[each.name for each in state.last_grid.regions],
        feeders=[each.name for each in state.last_grid.feeders],
        width=WIDTH,
        height=DAY_HEIGHT,
        by_link=(await need_staff(request)).shared,
        reason_max=REASON_CHARS_MAX,
        notice=notice_of(request),
        **({"day": None} | values),
    )


async def state_of(desk: GridDesk) -> State:
    """The versions as they stand; raise NotFoundError where there is none yet."""
    revision, known = await desk.history()
    now = in_force(known, desk.now_ms())
    if now is None:
        raise NotFoundError("the grid has no version yet")
    last = standing(known)[-1]
    last_text = await desk.text(last.version)
    text = last_text if now.version == last.version else await desk.text(now.version)
    last_grid = await asyncio.to_thread(parse_grid, last_text)
    grid = last_grid if text is last_text else await asyncio.to_thread(parse_grid, text)
    return State(revision, known, now, last, last_text, grid, last_grid)


def _region(grid: Grid, name: str) -> Any:
    return next((each for each in grid.regions if each.name == name), None)


def _fields(grid: Grid, what: str, name: str) -> dict[str, str]:
    """The form as the grid has it; empty for what is new."""
    fields = dict.fromkeys(
        ("tariff", "windows", "limit_kw", "peak_price", "region", "feeder", "valid_from", "reason",
         "staff"),
        "",
    )  # fmt: skip
    fields |= {
        "name": name,
        "shortfall_price": f"{grid.shortfall_price_per_kwh:g}",
        "lost_price": f"{grid.lost_swap_price:g}",
    }
    region = _region(grid, name) if what == "region" else None
    if region is not None:
        fields |= {
            "tariff": tariff_lines(region),
            "windows": window_lines(region),
            "limit_kw": "" if region.limit_w is None else f"{region.limit_w / 1_000:g}",
            "peak_price": f"{region.peak_price_per_kw:g}",
        }
    feeder = next((each for each in grid.feeders if each.name == name), None)
    if what == "feeder" and feeder is not None:
        fields |= {
            "region": grid.regions[feeder.region].name,
            "limit_kw": f"{feeder.limit_w / 1_000:g}",
        }
    if what == "cabinet" and name in grid.ids:
        fields["feeder"] = grid.feeders[grid.cabinets[grid.ids.index(name)][1]].name
    return fields
