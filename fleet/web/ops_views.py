"""Saved views: keep the address of a list under a name, go there, rename, forget. No script needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.access import Permission
from fleet.core.saved_views import (
    NAME_CHARS_MAX,
    PAGES,
    QUERY_CHARS_MAX,
    SavedView,
    kept_query,
)
from fleet.errors import FleetError, InvalidError, NotFoundError, RefusedError
from fleet.ports_views import SavedViews
from fleet.web.access import need_staff, needs
from fleet.web.pages import OPS_CSS, explained, page, web_of

router = APIRouter(prefix="/ops/views", include_in_schema=False)

SEE_OTHER: Final = 303
Name = Annotated[str, Form(max_length=2 * NAME_CHARS_MAX)]
Query = Annotated[str, Form(max_length=QUERY_CHARS_MAX)]


@dataclass(frozen=True, slots=True)
class ViewBar:
    """What a page offers of saved views: its own ones, which is open, and what would be saved."""

    page: str
    query: str
    views: tuple[SavedView, ...]
    name_max: int = NAME_CHARS_MAX

    def open(self, view: SavedView) -> bool:
        """Whether the page shows just this view."""
        return view.query == self.query


async def view_bar(request: Request, name: str) -> ViewBar | None:
    """The bar of a page; None where views are not kept."""
    views = web_of(request).views
    if views is None:
        return None
    own = await views.of((await need_staff(request)).id)
    try:
        query = kept_query(name, request.url.query)
    except InvalidError:
        query = ""
    return ViewBar(name, query, tuple(each for each in own if each.page == name))


def views_of(request: Request) -> SavedViews:
    """The port; raise NotFoundError where views are not kept."""
    views = web_of(request).views
    if views is None:
        raise NotFoundError("this fleet keeps no views")
    return views


@router.get("", dependencies=[needs(Permission.OWN_ACCOUNT, narrows=True)])
async def mine(request: Request) -> Response:
    """One's own views, to be opened, renamed, deleted."""
    return await _page(request)


async def _page(request: Request, error: FleetError | None = None) -> Response:
    own = await views_of(request).of((await need_staff(request)).id)
    return page(
        request,
        "ops_views.html",
        status=error.status if error else 200,
        css=OPS_CSS,
        operator=True,
        groups=[(each, some) for each in PAGES if (some := [v for v in own if v.page == each])],
        origin=web_of(request).config.origin,
        name_max=NAME_CHARS_MAX,
        notice=explained(web_of(request).catalogue(request), error) if error else None,
        mistake=str(error) if isinstance(error, InvalidError) else "",
    )


@router.post("", dependencies=[needs(Permission.OWN_ACCOUNT, narrows=True)])
async def save(
    request: Request,
    name: Name = "",
    page_name: Annotated[str, Form(alias="page", max_length=16)] = "",
    query: Query = "",
) -> Response:
    """Keep the filters of a page under a name, and go back there."""
    who = await need_staff(request)
    try:
        view = await views_of(request).save(who.id, name, page_name, query)
    except (InvalidError, RefusedError) as error:
        return await _page(request, error)
    return RedirectResponse(view.url, SEE_OTHER)


@router.get("/{view_id}", dependencies=[needs(Permission.OWN_ACCOUNT, narrows=True)])
async def go(request: Request, view_id: str) -> Response:
    """To the page of a view, also of somebody else's: it shows what who asks may see."""
    return RedirectResponse((await views_of(request).get(view_id)).url, SEE_OTHER)


@router.post("/{view_id}/rename", dependencies=[needs(Permission.OWN_ACCOUNT, narrows=True)])
async def rename(request: Request, view_id: str, name: Name = "") -> Response:
    """Another name for one's own."""
    who = await need_staff(request)
    try:
        await views_of(request).rename(who.id, view_id, name)
    except (InvalidError, RefusedError) as error:
        return await _page(request, error)
    return RedirectResponse("/ops/views", SEE_OTHER)


@router.post("/{view_id}/delete", dependencies=[needs(Permission.OWN_ACCOUNT, narrows=True)])
async def delete(request: Request, view_id: str) -> Response:
    """Forget one's own."""
    await views_of(request).delete((await need_staff(request)).id, view_id)
    return RedirectResponse("/ops/views", SEE_OTHER)
