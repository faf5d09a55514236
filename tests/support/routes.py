"""The routes of an application, however they were put in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from fastapi.routing import APIRoute, iter_route_contexts

from fleet.web.access import Need, declared
from tests.support.fleet_fakes import Town


@dataclass(frozen=True)
class Way:
    """One path with the methods and the declaration of its route."""

    path: str
    methods: tuple[str, ...]
    need: Need | None


def ways_of(app: Any) -> Iterator[Way]:
    """Every route with a function of ours behind it."""
    needs = declared(app)
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            need = needs.get((min(context.methods), context.path))
            yield Way(context.path, tuple(sorted(context.methods)), need)


def whole_app() -> Any:
    """An application with all its parts, only to look at its routes."""
    town = Town()
    town.area = SimpleNamespace(sockets=None, stations=SimpleNamespace(), reports=None)
    return town.make_app()
