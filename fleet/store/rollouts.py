"""Templates, settings of cabinets by version, and roll-outs; every change of phase is logged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Select, case, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.audit_log import DONE
from fleet.core.rollout_model import OVER, Phase, Rollout, Send
from fleet.core.templates import Settings, Template, Values, Wishes
from fleet.errors import InvalidError, NotFoundError, RefusedError
from fleet.store import tables as t
from fleet.store import tables_orders as o
from fleet.store.audit_log import append, hold_log
from fleet.store.engine import Database

ROLLOUTS_SHOWN_MAX: Final = 50
_NAMES_AT_ONCE: Final = 500
_FAILED: Final = ("faulted", "rejected")

_NEWEST: Final = select(o.rollout.c.id, o.rollout.c.doc).order_by(
    o.rollout.c.created_ms.desc(), o.rollout.c.id.desc()
)

Change = Callable[[Rollout], tuple[Rollout, Sequence[Send]]]


class RolloutStore:
    """Access to ``config_template``, ``cabinet_model``, ``config_version`` and ``rollout``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = sqlite.insert if database.dialect == "sqlite" else postgresql.insert

    # --- templates ------------------------------------------------------------------------------

    async def keep_template(
        self, wanted: Template, now_ms: int, cabinets: Sequence[str] = ()
    ) -> Template:
        """Store the next version of a model's template, and that these cabinets are of the model.

        Raises:
            NotFoundError: one of them is not known; nothing is stored.
        """
        own = o.config_template
        async with self._database.write() as connection:
            await hold_log(connection)  # a version is given once, the first one too
            query = select(own.c.version, own.c.settings).where(own.c.model == wanted.model)
            last = (await connection.execute(query)).first()
            version = last.version + 1 if last else 1
            kept = msgspec.structs.replace(wanted, version=version, updated_ms=now_ms)
            values = {
                "version": kept.version,
                "breaker_w": kept.breaker_w,
                "settings": _text(kept.settings),
                "actor": kept.actor,
                "updated_ms": now_ms,
            }
            if last is None:
                await connection.execute(insert(own).values(model=kept.model, **values))
            else:
                where = own.c.model == kept.model
                await connection.execute(update(own).where(where).values(**values))
            await append(
                connection,
                at_ms=now_ms,
                actor=kept.actor,
                action="template.set",
                outcome=DONE,
                subject=kept.model,
                reason=f"version {version} {_seal(kept.settings)}: {_change(last, kept)}"[:500],
            )
            await self._assign(connection, kept.model, cabinets, kept.actor, now_ms)
            return kept

    async def templates(self) -> list[Template]:
        """Every template, by model."""
        query = select(o.config_template).order_by(o.config_template.c.model)
        async with self._database.read() as connection:
            return [
                Template(
                    model=row.model,
                    breaker_w=row.breaker_w,
                    settings=msgspec.json.decode(row.settings, type=Wishes),
                    actor=row.actor,
                    version=row.version,
                    updated_ms=row.updated_ms,
                )
                for row in await connection.execute(query)
            ]

    async def template(self, model: str) -> Template:
        """One template; raise NotFoundError."""
        found = next((each for each in await self.templates() if each.model == model), None)
        if found is None:
            raise NotFoundError(f"no template for model {model}")
        return found

    async def assign(self, model: str, cabinets: Sequence[str], *, actor: str, now_ms: int) -> None:
        """Say of which model these cabinets are; raise NotFoundError for one that is not known."""
        async with self._database.write() as connection:
            await self._assign(connection, model, cabinets, actor, now_ms)

    async def _assign(
        self,
        connection: AsyncConnection,
        model: str,
        cabinets: Sequence[str],
        actor: str,
        now_ms: int,
    ) -> None:
        for cabinet in cabinets:
            known = select(t.cabinet.c.id).where(t.cabinet.c.id == cabinet)
            if (await connection.execute(known)).first() is None:
                raise NotFoundError(f"no cabinet {cabinet}")
            query = self._insert(o.cabinet_model).values(cabinet=cabinet, model=model)
            await connection.execute(
                query.on_conflict_do_update(
                    index_elements=["cabinet"], set_={"model": query.excluded.model}
                )
            )
            await append(
                connection,
                at_ms=now_ms,
                actor=actor,
                action="template.assign",
                outcome=DONE,
                cabinet=cabinet,
                subject=model,
            )

    async def cabinets_of(self, model: str) -> list[str]:
        """The cabinets of a model, by id."""
        own = o.cabinet_model.c
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(own.cabinet).where(own.model == model).order_by(own.cabinet)
            )
            return [row.cabinet for row in rows]

    # --- settings -------------------------------------------------------------------------------

    async def settings(self, cabinets: Iterable[str]) -> dict[str, Settings]:
        """What these cabinets are to have; those for which nothing was ever set are left out."""
        own, found = o.config_version.c, {}
        names = list(cabinets)
        async with self._database.read() as connection:
            for start in range(0, len(names), _NAMES_AT_ONCE):
                part = names[start : start + _NAMES_AT_ONCE]
                newest = (
                    select(own.cabinet, func.max(own.version).label("version"))
                    .where(own.cabinet.in_(part))  # else every cabinet's is looked for
                    .group_by(own.cabinet)
                    .subquery()
                )
                joined = (own.cabinet == newest.c.cabinet) & (own.version == newest.c.version)
                query = select(o.config_version).join(newest, joined)
                for row in await connection.execute(query):
                    values = msgspec.json.decode(row.settings, type=Values)
                    found[row.cabinet] = Settings(row.version, values)
        return found

    async def all_settings(self) -> dict[str, Settings]:
        """What every cabinet is to have; those for which nothing was ever set are left out."""
        own = o.config_version.c
        newest = (
            select(own.cabinet, func.max(own.version).label("version"))
            .group_by(own.cabinet)
            .subquery()
        )
        joined = (own.cabinet == newest.c.cabinet) & (own.version == newest.c.version)
        query = select(o.config_version).join(newest, joined)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return {
            row.cabinet: Settings(row.version, msgspec.json.decode(row.settings, type=Values))
            for row in rows
        }

    # --- roll-outs ------------------------------------------------------------------------------

    async def add(self, wanted: Rollout) -> Rollout:
        """Keep a new roll-out.

        Raises:
            RefusedError: ``rollout-open``: another of this kind is under way for this model.
        """
        own = o.rollout
        async with self._database.write() as connection:
            await hold_log(connection)
            open_ = select(own.c.id).where(
                own.c.kind == wanted.kind.value,
                own.c.model == wanted.model,
                own.c.phase.not_in([phase.value for phase in OVER]),
            )
            if (other := (await connection.execute(open_)).scalar_one_or_none()) is not None:
                text = f"model {wanted.model}: roll-out {other} is under way"
                raise RefusedError(text, code="rollout-open")
            await connection.execute(
                insert(own).values(
                    id=wanted.id,
                    kind=wanted.kind.value,
                    model=wanted.model,
                    phase=wanted.phase.value,
                    doc=msgspec.json.encode(wanted).decode(),
                    created_ms=wanted.created_ms,
                    updated_ms=wanted.created_ms,
                )
            )
            await _log(connection, wanted, wanted.actor, wanted.created_ms, _what(wanted))
            return wanted

    async def get(self, rollout_id: str) -> Rollout:
        """One roll-out; raise NotFoundError."""
        async with self._database.read() as connection:
            return await _known(connection, rollout_id)

    async def all(self) -> list[Rollout]:
        """The newest roll-outs first, without those that cannot be read."""
        return (await self._read(_NEWEST.limit(ROLLOUTS_SHOWN_MAX)))[0]

    async def under_way(self) -> tuple[list[Rollout], list[str]]:
        """Those that are not over, the newest first, and the ids of such as cannot be read."""
        over = [phase.value for phase in OVER]
        return await self._read(_NEWEST.where(o.rollout.c.phase.not_in(over)))

    async def _read(self, query: Select[Any]) -> tuple[list[Rollout], list[str]]:
        readable, others = [], []
        async with self._database.read() as connection:
            for row in await connection.execute(query):
                try:
                    readable.append(_rollout(row.doc))
                except InvalidError:
                    others.append(row.id)
        return readable, others

    async def change(
        self, rollout_id: str, change: Change, *, actor: str, now_ms: int
    ) -> tuple[Rollout, Sequence[Send]]:
        """Let ``change`` move it on; what it sends is versioned in the same transaction.

        Raises:
            NotFoundError: no such roll-out; whatever ``change`` raises.
        """
        own = o.rollout
        async with self._database.write() as connection:
            before = await _known(connection, rollout_id, lock=True)
            after, sends = change(before)
            if after == before and not sends:
                return before, ()
            await connection.execute(
                update(own)
                .where(own.c.id == rollout_id)
                .values(
                    doc=msgspec.json.encode(after).decode(),
                    phase=after.phase.value,
                    updated_ms=now_ms,
                )
            )
            if sends:
                rows = [
                    {
                        "cabinet": each.cabinet,
                        "version": each.version,
                        "settings": _text(each.values),
                        "actor": actor,
                        "rollout": rollout_id,
                        "at_ms": now_ms,
                    }
                    for each in sends
                ]
                await connection.execute(insert(o.config_version), rows)
            if after.phase is not before.phase or after.stage != before.stage:
                told = after.cause or f"stage {after.stage + 1} of {len(after.stages)}"
                await _log(connection, after, actor, now_ms, told)
            return after, sends

    async def end_damaged(self, rollout_id: str, *, actor: str, reason: str, now_ms: int) -> None:
        """End one whose document can't be read; its cabinets keep what they were sent.

        Raises:
            NotFoundError: no such roll-out.
            RefusedError: ``rollout-state``: it can be read, or it is over.
        """
        own = o.rollout.c
        async with self._database.write() as connection:
            query = select(own.doc, own.phase).where(own.id == rollout_id).with_for_update()
            row = (await connection.execute(query)).first()
            if row is None:
                raise NotFoundError(f"no roll-out {rollout_id}")
            if row.phase in OVER:
                text = f"roll-out {rollout_id}: is {row.phase}"
                raise RefusedError(text, code="rollout-state")
            if _is_readable(row.doc):
                text = (
                    f"roll-out {rollout_id}: is not damaged; `fleetd rollout abort` takes it back"
                )
                raise RefusedError(text, code="rollout-state")
            change = update(o.rollout).where(own.id == rollout_id)
            await connection.execute(change.values(phase=Phase.STOPPED.value, updated_ms=now_ms))
            await append(
                connection,
                at_ms=now_ms,
                actor=actor,
                action=f"rollout.{Phase.STOPPED.value}",
                outcome=DONE,
                subject=rollout_id,
                reason=f"its document was unreadable: {reason}"[:500],
            )

    async def swaps_since(
        self, cabinets: Sequence[str], since_ms: int
    ) -> dict[str, tuple[int, int]]:
        """Swaps that ended since then, by cabinet: completed, and failed."""
        swap, found = t.swap.c, {}
        good = func.sum(case((swap.step == "completed", 1), else_=0))
        bad = func.sum(case((swap.step.in_(_FAILED), 1), else_=0))
        async with self._database.read() as connection:
            for start in range(0, len(cabinets), _NAMES_AT_ONCE):
                query = (
                    select(swap.cabinet, good, bad)
                    .where(swap.cabinet.in_(cabinets[start : start + _NAMES_AT_ONCE]))
                    .where(swap.updated_ms >= since_ms)
                    .group_by(swap.cabinet)
                )
                for name, completed, failed in await connection.execute(query):
                    found[name] = (int(completed), int(failed))
        return found


async def _known(connection: AsyncConnection, rollout_id: str, *, lock: bool = False) -> Rollout:
    query = select(o.rollout.c.doc).where(o.rollout.c.id == rollout_id)
    if lock:
        query = query.with_for_update()
    doc = (await connection.execute(query)).scalar_one_or_none()
    if doc is None:
        raise NotFoundError(f"no roll-out {rollout_id}")
    return _rollout(doc)


def _rollout(doc: str) -> Rollout:
    try:
        return msgspec.json.decode(doc, type=Rollout)
    except msgspec.MsgspecError as error:
        raise InvalidError(f"roll-out: stored document is unreadable: {error}") from error


def _is_readable(doc: str) -> bool:
    try:
        _rollout(doc)
    except InvalidError:
        return False
    return True


async def _log(
    connection: AsyncConnection, rollout: Rollout, actor: str, at_ms: int, reason: str
) -> None:
    await append(
        connection,
        at_ms=at_ms,
        actor=actor,
        action=f"rollout.{rollout.phase.value}",
        outcome=DONE,
        subject=rollout.id,
        reason=reason[:500],
    )


def _what(rollout: Rollout) -> str:
    what = rollout.software or f"{_seal(rollout.values)} {_text(rollout.values)}"
    return f"{rollout.reason}: {rollout.model}, {len(rollout.cabinets)} cabinets, {what}"


def _seal(values: Wishes) -> str:
    """Stands in the log for all of them: a row has no room for so many, and none may hide."""
    return f"sha256:{hashlib.sha256(_text(values).encode()).hexdigest()[:32]}"


def _change(last: Any, kept: Template) -> str:
    """What a version of a template changes in the one before."""
    before: Wishes = msgspec.json.decode(last.settings, type=Wishes) if last else {}
    changed = {k: v for k, v in kept.settings.items() if k not in before or before[k] != v}
    gone = sorted(before.keys() - kept.settings.keys())
    return _text(changed) + (f", no longer {', '.join(gone)}" if gone else "")


def _text(values: Any) -> str:
    return msgspec.json.encode(values, order="sorted").decode()
