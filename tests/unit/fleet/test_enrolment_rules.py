"""Who may join, and with which epoch."""

from __future__ import annotations

import pytest

from fleet.core.enrolment import MESSAGES, TokenRow, next_epoch, refuse

ROW = TokenRow("t1", "DH-0001", "hash", expires_ms=1_000)
USED = TokenRow("t1", "DH-0001", "hash", expires_ms=1_000, used_ms=5)


@pytest.mark.parametrize(
    ("row", "secret", "cabinet", "now_ms", "reason"),
    [
        (ROW, "hash", "DH-0001", 999, None),
        (ROW, "hash", "DH-0001", 1_000, "token-expired"),
        (ROW, "hosh", "DH-0001", 999, "token-unknown"),
        (ROW, "hash", "DH-0002", 999, "wrong-cabinet"),
        (USED, "hash", "DH-0001", 999, "token-used"),
        (USED, "hash", "DH-0001", 2_000, "token-used"),
        # Who does not know the secret learns nothing of the rest.
        (USED, "hosh", "DH-0001", 2_000, "token-unknown"),
        (ROW, "hosh", "DH-0002", 2_000, "token-unknown"),
        (None, "hash", "DH-0001", 999, "token-unknown"),
    ],
)
def test_a_token_admits_once_in_time_its_own_cabinet(
    row: TokenRow | None, secret: str, cabinet: str, now_ms: int, reason: str | None
) -> None:
    assert refuse(row, secret, cabinet, now_ms) == reason
    assert reason is None or MESSAGES[reason]


@pytest.mark.parametrize(
    ("registered", "enrolled", "seen", "epoch"),
    [
        (1, None, 0, 1),  # the first enrolment takes what registration minted
        (1, None, 1, 2),  # but never an epoch that has events already
        (1, None, 7, 8),
        (1, 1, 0, 2),
        (1, 1, 1, 2),
        (2, 2, 5, 6),
        (9, 2, 5, 10),
    ],
)
def test_every_enrolment_mints_an_epoch_above_all_that_was_seen(
    registered: int, enrolled: int | None, seen: int, epoch: int
) -> None:
    assert next_epoch(registered, enrolled, seen) == epoch
