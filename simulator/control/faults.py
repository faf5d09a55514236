"""The control API's part about faults: what there is, what stands, set and clear."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

from simulator.control.schemas import Body
from simulator.models.faults import (
    COUNT_MAX,
    DURATION_MAX_S,
    KINDS,
    Fault,
    FaultKind,
    FaultOrder,
    Scope,
)
from simulator.ticker import Ticker


class FaultBody(Body):
    """A fault to set; one of the same kind at the same target is replaced."""

    target: Annotated[str, Field(min_length=1, max_length=64)]
    kind: FaultKind
    value: float | None = Field(None, description="The kind's number; left out: its default.")
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0
    count: Annotated[int, Field(ge=1, le=COUNT_MAX)] | None = None
    duration_s: Annotated[float, Field(gt=0, le=DURATION_MAX_S)] | None = None
    seed: int = 1


class KindState(BaseModel):
    """One kind of fault, as a form or a menu needs it."""

    kind: FaultKind
    scope: Scope
    does: str
    unit: str
    low: float
    high: float
    default: float | None
    targets: list[str]


class FaultState(BaseModel):
    """A fault that stands, or that has just been cleared."""

    number: int
    target: str
    kind: FaultKind
    value: float
    probability: float
    count: int | None
    seed: int
    struck: int
    left_s: float | None


class FaultsState(BaseModel):
    """Faults, oldest first."""

    faults: list[FaultState]


def standing(ticker: Ticker) -> list[FaultState]:
    """The faults that stand at the present of the cabinet."""
    return [_state(ticker, fault) for fault in ticker.mishaps.table.standing()]


def add_faults(app: FastAPI, ticker: Ticker) -> None:
    """Add the routes."""

    @app.get("/faults/kinds", tags=["faults"])
    async def kinds() -> list[KindState]:
        """Every kind of fault, what it does, and what it can befall."""
        table = ticker.mishaps.table
        return [
            KindState(
                kind=kind,
                scope=spec.scope,
                does=spec.does,
                unit=spec.unit,
                low=spec.low,
                high=spec.high,
                default=spec.default,
                targets=list(table.targets(spec.scope)),
            )
            for kind, spec in KINDS.items()
        ]

    @app.get("/faults", tags=["faults"])
    async def faults() -> FaultsState:
        """The faults that stand now."""
        ticker.catch_up()
        return FaultsState(faults=standing(ticker))

    @app.post("/faults", tags=["faults"])
    async def begin(body: FaultBody) -> FaultState:
        """Let a fault stand; 404 for an unknown target, 409 for what cannot be."""
        return _state(ticker, ticker.begin(FaultOrder(**body.model_dump())))

    @app.delete("/faults", tags=["faults"])
    async def end(
        target: Annotated[str | None, Query(max_length=64)] = None, kind: FaultKind | None = None
    ) -> FaultsState:
        """Clear the faults of a target, of a kind, of both, or all; returns those that stood."""
        ticker.catch_up()
        return _told(ticker, ticker.mishaps.end(target, kind))


def _told(ticker: Ticker, faults: tuple[Fault, ...]) -> FaultsState:
    return FaultsState(faults=[_state(ticker, fault) for fault in faults])


def _state(ticker: Ticker, fault: Fault) -> FaultState:
    order = fault.order
    left_s = ticker.left_s(fault)
    return FaultState(
        number=fault.number,
        target=order.target,
        kind=order.kind,
        value=fault.value,
        probability=order.probability,
        count=order.count,
        seed=order.seed,
        struck=fault.struck,
        left_s=None if left_s is None else round(left_s, 3),
    )
