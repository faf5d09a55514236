"""REST of orders that need two people, and of roll-outs."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from fleet.core.access import Permission
from fleet.core.operations import OPEN_ALL, REASON_CHARS_MAX, REASON_CHARS_MIN
from fleet.core.rollout_model import SOAK_S_DEFAULT, SOAK_S_MAX, STAGES_DEFAULT, Rollout, Signal
from fleet.web import rider
from fleet.web.access import need_staff, needs
from fleet.web.api import Key, View, answers, as_json, events
from fleet.web.asks import ask_at, asks_of, person_of
from fleet.web.lasting import right_of
from fleet.web.pages import web_of
from fleet.web.rollouts import rollout_document, rollouts_of
from fleet.web.sse import one_stream

router = APIRouter(prefix="/api/v1", tags=["operators"])


class AskBody(BaseModel):
    """What is asked for, and why."""

    type: Literal["cabinet.open-all"] = OPEN_ALL
    reason: str = Field(min_length=REASON_CHARS_MIN, max_length=REASON_CHARS_MAX)


class RolloutBody(BaseModel):
    """A roll-out of a model's template, or of a release that is installed by other means."""

    model: str = Field(max_length=32)
    reason: str = Field(min_length=REASON_CHARS_MIN, max_length=REASON_CHARS_MAX)
    software: str = Field(default="", max_length=64)
    stages: list[int] = Field(default=list(STAGES_DEFAULT), max_length=10)
    soak_s: int = Field(default=SOAK_S_DEFAULT, ge=0, le=SOAK_S_MAX)


class WordBody(BaseModel):
    """What a roll-out is told, and why."""

    signal: Literal["pause", "resume", "abort"]
    reason: str = Field(min_length=REASON_CHARS_MIN, max_length=REASON_CHARS_MAX)


@router.post(
    "/cabinets/{cabinet_id}/asks",
    status_code=201,
    responses=answers("Ask"),
    dependencies=[needs(Permission.OPEN_DOOR)],
)
async def ask(
    request: Request, cabinet_id: str, body: AskBody, idempotency_key: Key = None
) -> Response:
    """Ask for an order that needs two people; nothing moves before another admits it."""
    key, who = rider.check_key(idempotency_key), await person_of(request)
    found = await asks_of(request).ask(
        cabinet=cabinet_id,
        type_=body.type,
        person=who.id,
        name=who.name,
        reason=body.reason,
        key=key,
    )
    return as_json(found, status=201)


@router.get(
    "/cabinets/{cabinet_id}/asks",
    responses=answers("Ask", many=True),
    dependencies=[needs(Permission.SEE_ORDERS)],
)
async def asks(request: Request, cabinet_id: str) -> Response:
    """What waits, or waited, for a second person at a cabinet."""
    return as_json(await asks_of(request).of_cabinet(cabinet_id))


@router.post(
    "/cabinets/{cabinet_id}/asks/{ask_id}/admit",
    responses=answers("Ask"),
    dependencies=[needs(Permission.APPROVE)],
)
async def admit(request: Request, cabinet_id: str, ask_id: str) -> Response:
    """Admit it as another person than asked; ``command_id`` names the order that goes out."""
    who = await person_of(request)
    await ask_at(request, cabinet_id, ask_id)
    return as_json(await asks_of(request).admit(ask_id, person=who.id, name=who.name))


@router.get(
    "/cabinets/{cabinet_id}/settings",
    responses=answers("SettingsView"),
    dependencies=[needs(Permission.SEE_CABINETS)],
)
async def settings(request: Request, cabinet_id: str) -> Response:
    """What the fleet wishes a cabinet to be set to, beside what is in force there."""
    return as_json(await rollouts_of(request).settings(cabinet_id))


@router.get(
    "/rollouts",
    responses=answers("Rollout", many=True),
    dependencies=[needs(Permission.ROLL_OUT)],
)
async def rollouts(request: Request) -> Response:
    """The newest roll-outs first."""
    return as_json(await rollouts_of(request).all())


@router.post(
    "/rollouts",
    status_code=201,
    responses=answers("Rollout"),
    dependencies=[needs(Permission.ROLL_OUT)],
)
async def plan(request: Request, body: RolloutBody) -> Response:
    """Begin a roll-out."""
    who = await need_staff(request)
    found = await rollouts_of(request).plan(
        model=body.model,
        name=who.name,
        reason=body.reason,
        software=body.software,
        stages=body.stages,
        soak_s=body.soak_s,
    )
    headers = {"Location": f"/api/v1/rollouts/{found.id}"}
    return as_json(found, status=201, headers=headers)


@router.get(
    "/rollouts/{rollout_id}",
    responses=answers("Rollout"),
    dependencies=[needs(Permission.ROLL_OUT)],
)
async def rollout(request: Request, rollout_id: str, view: View = None) -> Response:
    """One roll-out as it stands."""
    web = web_of(request)
    found = await rollouts_of(request).get(rollout_id)
    if view is not None:
        return as_json(rollout_document(web, web.catalogue(request), found))
    return as_json(found)


@router.post(
    "/rollouts/{rollout_id}",
    responses=answers("Rollout"),
    dependencies=[needs(Permission.ROLL_OUT)],
)
async def tell(request: Request, rollout_id: str, body: WordBody) -> Response:
    """Pause, resume or abort; to abort takes back what was sent."""
    who = await need_staff(request)
    port, signal = rollouts_of(request), Signal(body.signal)
    return as_json(await port.order(rollout_id, signal, name=who.name, reason=body.reason))


@router.get(
    "/rollouts/{rollout_id}/stream",
    responses=events("Rollout"),
    dependencies=[needs(Permission.ROLL_OUT)],
)
async def stream(request: Request, rollout_id: str, view: View = None) -> Response:
    """One roll-out, first as it stands, then at every change."""
    web, port = web_of(request), rollouts_of(request)
    await port.get(rollout_id)  # may be unknown
    texts = web.catalogue(request)

    async def told(found: Rollout) -> Any:
        if view is not None:
            return rollout_document(web, texts, found)
        return {"type": "rollout", "rollout": found}

    right = await right_of(request)
    return one_stream(web.streams, rollout_id, port.watch, port.get, told, right=right)
