"""The anchor of the log of orders, over real databases, and over a rotation of the key that signs it."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace
from sqlalchemy import text

from fleet.adapters.anchor_file import ANCHOR_FILE, AnchorFile
from fleet.adapters.command_keys import (
    SecretKeeper,
    begin_rotation,
    end_rotation,
    next_command_key,
)
from fleet.core.audit import Violation
from fleet.core.audit_anchor import Anchor, check_anchor, encode, signed_bytes
from fleet.core.audit_log import Head, digest
from fleet.core.quarantine import Quarantine
from fleet.runtime.anchor import AnchorKeeper
from fleet.runtime.metrics import FleetMetrics
from fleet.stores import Stores
from protocols import signing
from tests.support.fleet import T0_MS, ManualClock


async def anchored(town: Stores, folder: Path) -> tuple[AnchorFile, AnchorKeeper]:
    for number in range(4):
        await town.quarantines.put(Quarantine(f"P{number + 2}", "operator:li", "swollen", T0_MS))
    file = AnchorFile(folder, SecretKeeper(folder))
    keeper = AnchorKeeper(
        rows=town.audit_log, file=file, clock=ManualClock(), metrics=FleetMetrics()
    )
    assert await keeper.once()
    return file, keeper


async def check(town: Stores, file: AnchorFile) -> list[Violation]:
    return check_anchor(await town.audit_log.read(), file.read(), file.verify)


async def run(town: Stores, *statements: str) -> None:
    async with town.database.write() as connection:
        for each in statements:
            await connection.execute(text(each))


async def test_what_was_anchored_is_looked_for(town: Stores, tmp_path: Path) -> None:
    file, keeper = await anchored(town, tmp_path)
    held = file.read()
    assert held is not None
    assert held.id == 4
    assert await check(town, file) == []
    await town.quarantines.lift("P2", "operator:li", "checked and good", T0_MS)
    assert await check(town, file) == [], "newer rows are no harm"
    assert await keeper.once()
    held = file.read()
    assert held is not None
    assert held.id == 5
    assert (tmp_path / ANCHOR_FILE).stat().st_mode & 0o077 == 0


async def test_rows_cut_off_with_their_head_are_missed(town: Stores, tmp_path: Path) -> None:
    """The chain itself cannot tell: it ends where its head says. The anchor can."""
    file, keeper = await anchored(town, tmp_path)
    rows = await town.audit_log.read()
    head = Head(3, rows[2].hash).text
    await run(
        town,
        "DELETE FROM audit_log WHERE id = 4",
        f"UPDATE meta SET value = '{head}' WHERE name = 'audit-head'",
    )
    assert [each.code for each in await town.audit.audit()] == []
    (found,) = await check(town, file)
    assert (found.code, found.subject) == ("log-truncated", "log:4")
    assert not await keeper.once(), "the anchor is not moved over it"
    await town.quarantines.lift("P2", "operator:li", "checked and good", T0_MS)
    assert not await keeper.once()
    (found,) = await check(town, file)
    assert (found.code, found.subject) == ("log-rewritten", "log:4")


async def test_a_whole_new_chain_is_seen_through(town: Stores, tmp_path: Path) -> None:
    file, keeper = await anchored(town, tmp_path)
    prev = "0" * 64
    for row in await town.audit_log.read():
        values = {name: getattr(row, name) for name in row.__slots__}
        values |= {"prev": prev, "reason": "all was well"}
        prev = digest(type(row)(**values))
        await run(
            town,
            f"UPDATE audit_log SET reason = 'all was well', prev = '{values['prev']}', "
            f"hash = '{prev}' WHERE id = {row.id}",
        )
    await run(town, f"UPDATE meta SET value = '4:{prev}' WHERE name = 'audit-head'")
    assert await town.audit.audit() == [], "the forger has computed all of it anew"
    (found,) = await check(town, file)
    assert (found.code, found.subject) == ("log-rewritten", "log:4")
    assert not await keeper.once()


class TurnedOver(SecretKeeper):
    """The key is replaced by another process while it is being used."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder: Path | None = folder

    @property
    def current(self) -> str:
        key = super().current
        if self.folder is not None:
            folder, self.folder = self.folder, None
            begin_rotation(folder)
            end_rotation(folder)
        return key


async def test_an_anchor_outlives_the_key_that_signed_it(town: Stores, tmp_path: Path) -> None:
    file, keeper = await anchored(town, tmp_path)
    heads = {row.id: row.hash for row in await town.audit_log.read()}
    first = file.read()
    assert first is not None
    known = (begin_rotation(tmp_path), *SecretKeeper(tmp_path).secrets.command_keys)
    following = next_command_key(tmp_path)
    assert following is not None
    assert await keeper.once(), "the old key signs on"
    file.hand_over(following, known)
    assert await check(town, file) == [], "the next key is the fleet's already"
    assert await keeper.once()
    end_rotation(tmp_path)
    assert await check(town, file) == []
    assert await keeper.once()
    await town.quarantines.lift("P2", "operator:li", "checked and good", T0_MS)
    assert await keeper.once()
    held = file.read()
    assert held is not None
    assert (first.id, held.id) == (4, 5)
    for row in (first.id, held.id):  # what was told before the rotation is still to be found
        assert await town.audit_log.hash_of(row) == (heads | {5: held.hash})[row]
    assert not file.verify(signed_bytes(first), first.sig), "the old key vouches for nothing more"


async def test_an_anchor_that_the_old_key_signed_at_the_last_moment(
    town: Stores, tmp_path: Path
) -> None:
    file, _ = await anchored(town, tmp_path)
    begin_rotation(tmp_path)
    keeper = SecretKeeper(tmp_path)
    known, following = keeper.secrets.command_keys, next_command_key(tmp_path)
    old, held = keeper.current, file.read()
    assert following is not None
    assert held is not None
    file.hand_over(following, known)
    end_rotation(tmp_path)
    late = Anchor(held.id, held.hash, held.at_ms)
    late = replace(late, sig=signing.sign_bytes(signed_bytes(late), old))
    (tmp_path / ANCHOR_FILE).write_bytes(encode(late))
    assert [each.code for each in await check(town, file)] == ["log-anchor-forged"]
    file.hand_over(following, known)
    assert await check(town, file) == []
    file.hand_over(following, (signing.public_of(old),))
    (tmp_path / ANCHOR_FILE).write_bytes(encode(replace(late, id=3)))
    file.hand_over(following, known)
    codes = [each.code for each in await check(town, file)]
    assert codes == ["log-anchor-forged"], "what no key of ours signed is handed to nobody"


async def test_a_key_that_is_replaced_while_it_signs(town: Stores, tmp_path: Path) -> None:
    await anchored(town, tmp_path)
    file = AnchorFile(tmp_path, TurnedOver(tmp_path))
    file.write(await town.audit_log.head(), T0_MS + 1)
    assert await check(town, file) == []


async def test_an_anchor_must_be_there_and_ours(town: Stores, tmp_path: Path) -> None:
    file, keeper = await anchored(town, tmp_path)
    path = tmp_path / ANCHOR_FILE
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"id":4', b'"id":3'))
    (found,) = await check(town, file)
    assert found.code == "log-anchor-forged"
    assert not await keeper.once()
    path.write_bytes(b"nonsense")
    (found,) = await check(town, file)
    assert found.code == "log-unanchored"
    assert not await keeper.once(), "an unreadable one is not simply replaced"
    path.unlink()
    (found,) = await check(town, file)
    assert found.code == "log-unanchored"
    assert not await keeper.once(), "nor is one that is gone, once there was one"
