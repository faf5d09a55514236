"""Settings that the fleet wishes: checked, kept until nobody is served, then taken over, journalled.

A document that does not fit is refused as a whole: the cabinet goes on with what it has and says in
its status which version it refused and why. Only the name of the secrets to hold is taken out of it,
because a cabinet must not lose its fleet over a percentage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from msgspec.structs import replace

from cabinet.core.engine_draft import Draft
from cabinet.core.engine_model import Refusal, State
from cabinet.core.swap_model import is_active
from protocols.messages import DesiredConfig
from protocols.settings import BESIDE

#: What the cabinet's own file says of the values of a document: None, or why it does not take them.
Fits: TypeAlias = Callable[[Mapping[str, object]], str | None]

#: Of a document that holds nothing but what the settings' refusal left over; below every other.
NO_VERSION: Final = 1
WHY_CHARS_MAX: Final = 500


def take(draft: Draft, config: DesiredConfig, fits: Fits) -> None:
    """Take a newer document up, or refuse it."""
    durable = draft.durable
    newest = durable.config_next or durable.config
    if newest is not None and config.version < newest.version:
        draft.refused("document-old-version")
        return
    if config == newest:
        return
    if why := fits(config.values):
        _refuse(draft, config, why[:WHY_CHARS_MAX])
        return
    draft.keep(config_next=config, config_refused=None)
    settle(draft)


def settle(draft: Draft) -> None:
    """Take over what waits, unless somebody is being served or a door is being opened."""
    wanted = draft.durable.config_next
    if wanted is None or not draft.state.ready or _engaged(draft.state):
        return
    draft.keep(config=wanted, config_next=None)
    draft.journal("config", version=wanted.version, values=dict(wanted.values))


def recheck(draft: Draft, fits: Fits) -> None:
    """After a start: what was taken over once may not fit the file as it is now.

    Each by itself: one that waited must not take away the limits of the one that runs.
    """
    for field in ("config", "config_next"):  # the newest refusal is told last, and stays
        held = getattr(draft.durable, field)
        if held is not None and (why := fits(held.values)):
            draft.keep(**{field: None})
            _refuse(draft, held, why[:WHY_CHARS_MAX])


def _engaged(state: State) -> bool:
    durable = state.durable
    return is_active(durable.swap) or bool(durable.openings) or durable.opening_all is not None


def _refuse(draft: Draft, config: DesiredConfig, why: str) -> None:
    durable = draft.durable
    refusal = Refusal(config.version, why)
    if refusal != durable.config_refused:
        draft.refused("document-unfit")
        draft.keep(config_refused=refusal)
        draft.journal("config-refused", version=config.version, why=why)
    beside = {name: value for name, value in config.values.items() if name in BESIDE}
    # What waited is older than what was refused, but the fleet has not taken it back.
    for field in ("config", "config_next"):
        held = getattr(draft.durable, field)
        if held is not None and held.version < config.version:
            draft.keep(**{field: replace(held, values={**held.values, **beside})})
    if draft.durable.config is None and beside:
        draft.keep(config=DesiredConfig(cabinet=config.cabinet, version=NO_VERSION, values=beside))
