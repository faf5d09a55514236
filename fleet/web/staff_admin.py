"""Accounts of others and API tokens, for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.access import GRANTS, Permission, Role
from fleet.core.staff import (
    TOKEN_DAYS_MAX,
    Account,
    ApiToken,
    check_grants,
    check_role,
    check_scope,
    places_of,
)
from fleet.core.token_rights import Standing, standing
from fleet.errors import InvalidError, NotFoundError, RefusedError
from fleet.web.access import need_staff, needs
from fleet.web.lasting import staff_changed
from fleet.web.pages import OPS_CSS, page, web_of
from fleet.web.proof import proven
from fleet.web.refusal import again
from fleet.web.rider import SEE_OTHER, notice_of, refused
from fleet.web.signin import staff_port

router = APIRouter(
    prefix="/ops/access",
    include_in_schema=False,
    dependencies=[needs(Permission.MANAGE_ACCESS)],
)

HERE: Final = "/ops/access"
_Text = Annotated[str, Form(max_length=300)]
_Places = Annotated[str, Form(max_length=8_000)]
_REFUSALS: Final = (InvalidError, RefusedError, NotFoundError)


@router.get("")
async def overview(request: Request) -> Response:
    """Accounts, tokens, and what each role may."""
    staff = staff_port(request)
    accounts, tokens = await staff.all(), await staff.tokens()
    by_id = {each.id: each for each in accounts}
    return page(
        request,
        "ops_access.html",
        css=OPS_CSS,
        operator=True,
        accounts=accounts,
        tokens=[(each, _standing(each, by_id)) for each in tokens],
        me=(await need_staff(request)).id,
        roles=tuple(Role),
        permissions=tuple(Permission),
        grants=GRANTS,
        days_max=TOKEN_DAYS_MAX,
        now_ms=web_of(request).clock.wall_ms(),
        notice=notice_of(request),
    )


@router.post("/staff", dependencies=[proven()])
async def add(
    request: Request,
    name: _Text = "",
    role: _Text = "",
    stations: _Places = "",
    partners: _Places = "",
) -> Response:
    """A new account; shows the link by which it gets its password."""
    who, name = await need_staff(request), name.strip()
    try:
        scope = check_scope(places_of(stations), places_of(partners))
        token = await staff_port(request).add(name, check_role(role), scope, who.name)
    except _REFUSALS as error:
        typed = {"name": name, "role": role, "stations": stations, "partners": partners}
        return await again(request, error, "new", typed, HERE, overview(request))
    return _shown(request, "access.link-for", _link(request, token), name=name)


@router.post("/staff/{name}/role", dependencies=[proven()])
async def change(
    request: Request, name: str, role: _Text = "", stations: _Places = "", partners: _Places = ""
) -> Response:
    """Another role or scope."""
    who = await need_staff(request)
    try:
        scope = check_scope(places_of(stations), places_of(partners))
        await staff_port(request).change(name, check_role(role), scope, who.name)
        staff_changed(request)
    except _REFUSALS as error:
        return refused(HERE, error)
    return RedirectResponse(HERE, SEE_OTHER)


@router.post("/staff/{name}/off")
async def switch_off(request: Request, name: str) -> Response:
    """Off, at once; whoever did it is led to the tokens that rest with the account."""
    return await _switch(request, name, off=True)


@router.post("/staff/{name}/on", dependencies=[proven()])
async def switch_on(request: Request, name: str) -> Response:
    """On again, with its tokens."""
    return await _switch(request, name, off=False)


async def _switch(request: Request, name: str, *, off: bool) -> Response:
    who, staff = await need_staff(request), staff_port(request)
    try:
        account = await staff.switch(name, off=off, by=who.name)
        staff_changed(request)
    except _REFUSALS as error:
        return refused(HERE, error)
    rests = off and any(each.maker == account.id and not each.off for each in await staff.tokens())
    return RedirectResponse(f"{HERE}#tokens" if rests else HERE, SEE_OTHER)


@router.post("/staff/{name}/reset", dependencies=[proven()])
async def reset(request: Request, name: str) -> Response:
    """Take password, second factor and sessions; shows the link for new ones."""
    who = await need_staff(request)
    try:
        token = await staff_port(request).reset(name, who.name)
        staff_changed(request)
    except _REFUSALS as error:
        return refused(HERE, error)
    return _shown(request, "access.link-for", _link(request, token), name=name)


@router.post("/tokens", dependencies=[proven()])
async def add_token(  # noqa: PLR0917 - the fields of one form
    request: Request,
    name: _Text = "",
    role: _Text = "",
    stations: _Places = "",
    partners: _Places = "",
    days: Annotated[int, Form()] = 90,
    grants: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """A new API token, shown this once."""
    who, name = await need_staff(request), name.strip()
    try:
        scope = check_scope(places_of(stations), places_of(partners))
        chosen = check_grants(grants or None)
        service = staff_port(request)
        _, text = await service.add_token(name, check_role(role), scope, chosen, days, who.name)
    except _REFUSALS as error:
        typed = {
            "name": name, "role": role, "stations": stations, "partners": partners,
            "days": str(days), "grants": " ".join(grants or ()),
        }  # fmt: skip
        return await again(request, error, "token", typed, HERE, overview(request))
    return _shown(request, "access.token-of", text, name=name)


@router.post("/tokens/{token_id}/adopt", dependencies=[proven()])
async def adopt(request: Request, token_id: str) -> Response:
    """Answer for a token from now on, in its maker's place."""
    who = await need_staff(request)
    try:
        await staff_port(request).adopt(token_id, who.name)
        staff_changed(request)
    except NotFoundError as error:
        return refused(HERE, error)
    return RedirectResponse(f"{HERE}#tokens", SEE_OTHER)


@router.post("/tokens/{token_id}/revoke")
async def revoke(request: Request, token_id: str) -> Response:
    """End a token."""
    who = await need_staff(request)
    try:
        await staff_port(request).revoke(token_id, who.name)
        staff_changed(request)
    except NotFoundError as error:
        return refused(HERE, error)
    return RedirectResponse(HERE, SEE_OTHER)


def _standing(token: ApiToken, accounts: Mapping[str, Account]) -> Standing:
    maker = None if token.maker is None else accounts.get(token.maker)
    lost = token.maker is not None and maker is None
    return Standing.RESTS if lost else standing(token, maker)


def _link(request: Request, token: str) -> str:
    home = web_of(request).config.public_url.rstrip("/")
    return f"{home}/ops/join?{urlencode({'token': token})}"


def _shown(request: Request, title: str, secret: str, **values: Any) -> Response:
    texts = web_of(request).catalogue(request)
    return page(
        request,
        "ops_once.html",
        css=OPS_CSS,
        operator=True,
        heading=texts.text(title, **values),
        secret=secret,
    )
