"""Pages of templates and of staged roll-outs."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from fleet.core.access import Permission
from fleet.core.operations import REASON_CHARS_MAX, REASON_CHARS_MIN
from fleet.core.rollout import TABLE
from fleet.core.rollout_model import (
    SOAK_S_DEFAULT,
    STAGES_DEFAULT,
    Rollout,
    Signal,
    parse_stages,
)
from fleet.core.templates import BREAKER_MIN_W, parse_settings
from fleet.errors import InvalidError, NotFoundError
from fleet.ports_orders import Rollouts
from fleet.web.access import need_staff, needs
from fleet.web.i18n import Catalogue
from fleet.web.pages import OPS_CSS, Part, Web, in_page, page, part, web_of
from fleet.web.refusal import again, refusal_of
from fleet.web.rider import REFUSALS, notice_of
from protocols.settings import POWER_MAX_W, SETTINGS, Group, Setting

router = APIRouter(prefix="/ops/rollouts", include_in_schema=False)

SEE_OTHER: Final = 303
HERE: Final = "/ops/rollouts"
MEMBERS_SHOWN_MAX: Final = 200
#: Fields of the form: what a setting is to be, and that it is given back.
SET: Final = "set."
OWN: Final = "own."
_WORDS: Final = (Signal.PAUSE, Signal.RESUME, Signal.ABORT)


def rollouts_of(request: Request) -> Rollouts:
    """The port; raise NotFoundError where there is none."""
    found = web_of(request).rollouts
    if found is None:
        raise NotFoundError("no roll-outs here")
    return found


@router.get("", dependencies=[needs(Permission.ROLL_OUT)])
async def overview(request: Request, model: str = "") -> Response:
    """Templates, the form of a new roll-out, and those that were; ``model`` fills the form in."""
    port = rollouts_of(request)
    templates = await port.templates()
    return page(
        request,
        "ops_rollouts.html",
        css=OPS_CSS,
        operator=True,
        templates=templates,
        rollouts=await port.all(),
        groups=settings_by_group(),
        form=next((each for each in templates if each.model == model), None),
        breaker_min=BREAKER_MIN_W,
        breaker_max=POWER_MAX_W,
        opened=[each.partition(".")[2] for each in refusal_of(request).typed],
        stages=",".join(map(str, STAGES_DEFAULT)),
        soak_min=SOAK_S_DEFAULT // 60,
        reason_min=REASON_CHARS_MIN,
        reason_max=REASON_CHARS_MAX,
        notice=notice_of(request),
    )


@router.post("", dependencies=[needs(Permission.ROLL_OUT)])
async def plan(  # noqa: PLR0917 - the fields of one form
    request: Request,
    model: Annotated[str, Form()],
    reason: Annotated[str, Form()] = "",
    software: Annotated[str, Form()] = "",
    stages: Annotated[str, Form()] = "",
    soak_min: Annotated[str, Form(max_length=8)] = str(SOAK_S_DEFAULT // 60),
) -> Response:
    """Begin a roll-out."""
    who = await need_staff(request)
    try:
        found = await rollouts_of(request).plan(
            model=model,
            name=who.name,
            reason=" ".join(reason.split()),
            software=software.strip(),
            stages=parse_stages(stages) if stages.strip() else STAGES_DEFAULT,
            soak_s=_number("soak_min", soak_min) * 60,
        )
    except REFUSALS as error:
        typed = {
            "model": model, "reason": reason, "software": software, "stages": stages,
            "soak_min": soak_min,
        }  # fmt: skip
        return await again(request, error, "begin", typed, HERE, overview(request))
    return RedirectResponse(f"{HERE}/{found.id}", SEE_OTHER)


@router.post("/templates", dependencies=[needs(Permission.ROLL_OUT)])
async def template(
    request: Request,
    model: Annotated[str, Form()],
    breaker_w: Annotated[str, Form(max_length=8)] = "",
    cabinets: Annotated[str, Form()] = "",
) -> Response:
    """Store the next version of a template, and say which cabinets are of its model."""
    who, port = await need_staff(request), rollouts_of(request)
    typed, own = await _typed(request)

    try:
        await port.keep_template(
            model=model.strip(),
            breaker_w=_number("breaker_w", breaker_w),
            settings=parse_settings(typed, own),
            name=who.name,
            cabinets=cabinets.replace(",", " ").split(),
        )
    except REFUSALS as error:
        kept = {"model": model, "breaker_w": breaker_w, "cabinets": cabinets}
        kept |= {f"{SET}{name}": value for name, value in typed.items()}
        kept |= {f"{OWN}{name}": "1" for name in own}
        return await again(request, error, "template", kept, HERE, overview(request))
    return RedirectResponse(HERE, SEE_OTHER)


@router.get("/{rollout_id}", dependencies=[needs(Permission.ROLL_OUT)])
async def one(request: Request, rollout_id: str) -> Response:
    """One roll-out, live."""
    web = web_of(request)
    found = await rollouts_of(request).get(rollout_id)
    return page(
        request,
        "ops_rollout.html",
        css=OPS_CSS,
        operator=True,
        r=found,
        part=in_page(rollout_part(web, web.catalogue(request), found)),
        words=[word for word in _WORDS if (found.phase, word) in TABLE],
        reason_min=REASON_CHARS_MIN,
        reason_max=REASON_CHARS_MAX,
        notice=notice_of(request),
    )


@router.post("/{rollout_id}", dependencies=[needs(Permission.ROLL_OUT)])
async def tell(
    request: Request,
    rollout_id: str,
    signal: Annotated[str, Form()],
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Pause, resume or abort."""
    who, here = await need_staff(request), f"{HERE}/{rollout_id}"
    try:
        word = Signal(signal)
    except ValueError as error:
        raise InvalidError(f"signal {signal!r}: expected pause, resume or abort") from error

    try:
        why = " ".join(reason.split())
        await rollouts_of(request).order(rollout_id, word, name=who.name, reason=why)
    except REFUSALS as error:
        typed, shown = {"reason": reason}, one(request, rollout_id)
        return await again(request, error, "tell", typed, here, shown)
    return RedirectResponse(here, SEE_OTHER)


async def _typed(request: Request) -> tuple[dict[str, str], list[str]]:
    """What was typed into the fields of settings, and which are given back."""
    form = await request.form()
    typed = {
        name.removeprefix(SET): value
        for name, value in form.items()
        if name.startswith(SET) and isinstance(value, str) and value.strip()
    }
    own = [name.removeprefix(OWN) for name in form if name.startswith(OWN)]
    return {name: value for name, value in typed.items() if name not in own}, own


def _number(name: str, text: str) -> int:
    if not re.fullmatch(r"\s*[0-9]{1,7}\s*", text):
        raise InvalidError(f"{name} {text!r}: expected a whole number")
    return int(text)


def settings_by_group() -> list[tuple[Group, list[tuple[str, Setting]]]]:
    """Every setting, under what it is about."""
    return [
        (group, [(name, each) for name, each in SETTINGS.items() if each.group is group])
        for group in Group
    ]


def rollout_part(web: Web, texts: Catalogue, rollout: Rollout) -> Part:
    """How far a roll-out is, and with whom."""
    return part(
        texts,
        web.config,
        "_ops_rollout.html",
        r=rollout,
        sizes=[rollout.size(stage) for stage in range(len(rollout.stages))],
        members=list(rollout.members.items())[:MEMBERS_SHOWN_MAX],
        more=max(0, len(rollout.members) - MEMBERS_SHOWN_MAX),
    )


def rollout_document(web: Web, texts: Catalogue, rollout: Rollout) -> dict[str, Any]:
    """What the page of a roll-out gets at every change."""
    return {
        "type": "rollout",
        "parts": {"rollout": rollout_part(web, texts, rollout)},
        "say": texts.text(f"rollout.{rollout.phase.value}"),
        "settled": rollout.over,
    }
