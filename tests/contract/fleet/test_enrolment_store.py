"""Tokens and certificates on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import select

from fleet.core.enrolment import Enrolled, Issued, Peer, TokenRow
from fleet.errors import DeniedError, NotFoundError
from fleet.store import tables as t
from fleet.stores import Stores
from tests.contract.fleet.conftest import A, B
from tests.support.fleet import T0_MS, Reporter

HOUR_MS = 3_600_000


def token(name: str = "aaaaaaaaaaaa", cabinet: str = A) -> TokenRow:
    return TokenRow(name, cabinet, f"hash-{name}", T0_MS + HOUR_MS)


def signer(name: str) -> Callable[[int], Issued]:
    return lambda epoch: Issued(f"pem-{name}-{epoch}", f"{name}{epoch:x}", T0_MS + 9 * HOUR_MS)


async def redeem(
    stores: Stores, row: TokenRow, *, cabinet: str = A, secret: str = "", now_ms: int = T0_MS
) -> Enrolled:
    return await stores.enrolments.redeem(
        token_id=row.id,
        secret_hash=secret or row.secret_hash,
        cabinet=cabinet,
        now_ms=now_ms,
        issue=signer(row.id),
        secrets_id="s1",
    )


async def audit(stores: Stores) -> list[tuple[str, str, str]]:
    async with stores.database.read() as connection:
        rows = await connection.execute(select(t.audit_log).order_by(t.audit_log.c.id))
        return [(row.actor, row.action, row.outcome) for row in rows]


async def identities(stores: Stores) -> dict[str, int | None]:
    return {row.username: row.enrolled for row in await stores.cabinets.credentials()}


async def test_a_token_is_good_once(town: Stores) -> None:
    before = await town.meta.revisions()
    await town.enrolments.add_token(token(), T0_MS)
    assert await redeem(town, token()) == Enrolled(1, "pem-aaaaaaaaaaaa-1")
    assert await identities(town) == {A: 1, B: None}
    assert (await town.meta.revisions())[0] > before[0]
    with pytest.raises(DeniedError, match="used") as told:
        await redeem(town, token())
    assert told.value.code == "token-used"
    assert await audit(town) == [
        ("command-line", "cabinet.token", "done"),
        (f"cabinet:{A}", "cabinet.enrol", "done"),
        (f"cabinet:{A}", "cabinet.enrol", "refused"),
    ]
    assert await town.audit.audit() == [], "the log's chain holds"


async def test_of_two_at_once_one_gets_in(town: Stores) -> None:
    await town.enrolments.add_token(token(), T0_MS)
    answers = await asyncio.gather(
        *(redeem(town, token()) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(each, Enrolled) for each in answers) == 1
    assert sum(isinstance(each, DeniedError) for each in answers) == 3
    assert len(await town.enrolments.certificates(A)) == 1


async def test_what_is_refused_uses_nothing_up(town: Stores) -> None:
    await town.enrolments.add_token(token(), T0_MS)
    for code, wrong in (
        ("token-unknown", redeem(town, token(), secret="guess")),
        ("token-unknown", redeem(town, token("bbbbbbbbbbbb"))),
        ("wrong-cabinet", redeem(town, token(), cabinet=B)),
        ("token-expired", redeem(town, token(), now_ms=T0_MS + HOUR_MS)),
    ):
        with pytest.raises(DeniedError) as told:
            await wrong
        assert told.value.code == code

    def broken(_epoch: int) -> Issued:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await town.enrolments.redeem(
            token_id=token().id,
            secret_hash=token().secret_hash,
            cabinet=A,
            now_ms=T0_MS,
            issue=broken,
            secrets_id="",
        )
    assert await identities(town) == {A: None, B: None}
    assert (await redeem(town, token())).epoch == 1


async def test_a_new_token_voids_the_one_before(town: Stores) -> None:
    await town.enrolments.add_token(token("aaaaaaaaaaaa"), T0_MS)
    await town.enrolments.add_token(token("bbbbbbbbbbbb"), T0_MS)
    with pytest.raises(DeniedError) as told:
        await redeem(town, token("aaaaaaaaaaaa"))
    assert told.value.code == "token-unknown"
    await redeem(town, token("bbbbbbbbbbbb"))
    with pytest.raises(NotFoundError):
        await town.enrolments.add_token(token(cabinet="DH-9999"), T0_MS)


async def test_another_enrolment_revokes_what_was_before(town: Stores) -> None:
    await town.enrolments.add_token(token("aaaaaaaaaaaa"), T0_MS)
    await redeem(town, token("aaaaaaaaaaaa"))
    assert await town.enrolments.revoked(T0_MS) == (0, {})
    await town.enrolments.add_token(token("bbbbbbbbbbbb"), T0_MS)
    assert await town.enrolments.revoked(T0_MS) == (0, {}), "the working cabinet stays in till then"
    assert (await redeem(town, token("bbbbbbbbbbbb"))).epoch == 2
    assert await identities(town) == {A: 2, B: None}
    assert await town.enrolments.revoked(T0_MS) == (1, {"aaaaaaaaaaaa1": A})
    assert await town.enrolments.revoked(T0_MS + 10 * HOUR_MS) == (1, {}), "out of date by itself"
    first = Peer("aaaaaaaaaaaa1", A, 1)
    with pytest.raises(DeniedError) as told:
        await town.enrolments.renew(first, T0_MS, None, "s2")
    assert told.value.code == "revoked"


async def test_the_epoch_is_above_every_event_that_is_here(town: Stores) -> None:
    reporter = Reporter(A, epoch=6)
    events = reporter.swap_events("S1", "P1", "P2", rider="R1")
    await town.events.commit([reporter.arrival(event) for event in events], T0_MS)
    await town.enrolments.add_token(token(), T0_MS)
    assert (await redeem(town, token())).epoch == 7
    assert {row.id: row.epoch for row in await town.cabinets.all()}[A] == 7


async def test_a_renewal_keeps_the_enrolment(town: Stores) -> None:
    await town.enrolments.add_token(token(), T0_MS)
    await redeem(town, token())
    peer = Peer("aaaaaaaaaaaa1", A, 1)
    only_keys = await town.enrolments.renew(peer, T0_MS, None, "s2")
    assert only_keys == Enrolled(1, None)
    assert [row.secrets_id for row in await town.enrolments.secrets_held()] == ["s2"]
    renewed = await town.enrolments.renew(peer, T0_MS, signer("r"), "s3")
    assert renewed == Enrolled(1, "pem-r-1")
    assert await town.enrolments.revoked(T0_MS) == (0, {}), "the old one lives on beside it"
    assert [row.serial for row in await town.enrolments.certificates(A)] == ["aaaaaaaaaaaa1", "r1"]
    for stranger in (Peer("ff", B, 1), Peer("aaaaaaaaaaaa1", B, 1), Peer("aaaaaaaaaaaa1", A, 2)):
        with pytest.raises(DeniedError) as told:
            await town.enrolments.renew(stranger, T0_MS, None, "s4")
        assert told.value.code == "no-certificate"


async def test_a_restored_backup_takes_in_what_it_has_forgotten(town: Stores) -> None:
    """Certificates that the authority signed after the backup: of this enrolment or a later one."""
    for name in ("aaaaaaaaaaaa", "bbbbbbbbbbbb"):
        await town.enrolments.add_token(token(name), T0_MS)
        await redeem(town, token(name))
    assert await identities(town) == {A: 2, B: None}
    assert (await town.enrolments.renew(Peer("f2", A, 2), T0_MS, None, "s")).epoch == 2
    assert (await town.enrolments.renew(Peer("f5", A, 5), T0_MS, signer("r"), "s")).epoch == 5
    assert await identities(town) == {A: 5, B: None}
    for peer in (Peer("f4", A, 4), Peer("fb", B, 1), Peer("f9", "DH-0009", 9)):
        with pytest.raises(DeniedError) as told:
            await town.enrolments.renew(peer, T0_MS, None, "s")
        assert told.value.code == "no-certificate"
    await town.enrolments.disable(A, T0_MS)
    with pytest.raises(DeniedError):
        await town.enrolments.renew(Peer("f6", A, 6), T0_MS, None, "s")


async def test_a_disabled_cabinet_is_out_until_it_is_enrolled_again(town: Stores) -> None:
    await town.enrolments.add_token(token(), T0_MS)
    await redeem(town, token())
    await town.enrolments.add_token(token("bbbbbbbbbbbb"), T0_MS)
    await town.enrolments.disable(A, T0_MS)
    assert await identities(town) == {A: None, B: None}
    assert await town.enrolments.revoked(T0_MS) == (1, {"aaaaaaaaaaaa1": A})
    with pytest.raises(DeniedError):
        await redeem(town, token("bbbbbbbbbbbb"))
    await town.enrolments.add_token(token("cccccccccccc"), T0_MS)
    assert (await redeem(town, token("cccccccccccc"))).epoch == 2
    with pytest.raises(NotFoundError):
        await town.enrolments.disable("DH-9999", T0_MS)
