"""What cabinets say was acknowledged to them, held against what the ledger has."""

from __future__ import annotations

import pytest

from fleet.core.ingest import Claim, Watermark, standing, went_back

MARK = Watermark(2, 10)


@pytest.mark.parametrize(
    ("claim", "back"),
    [
        (Claim(2, 9, "now"), False),
        (Claim(2, 10, "now"), False),
        (Claim(2, 11, "now"), True),
        (Claim(3, 1, "now"), True),  # a journal of which the copy knows nothing
        (Claim(3, 0, "now"), False),  # a new journal: nothing was acknowledged yet
        (Claim(1, 99, "now"), False),  # of a journal that has been replaced
        (Claim(2, 11, "before"), False),  # another ledger's word: the greeting sees to it
        (Claim(2, 11, None), False),  # an older cabinet does not say
    ],
)
def test_the_ledger_went_back(claim: Claim, back: bool) -> None:
    assert went_back(MARK, claim, "now") is back


def test_a_cabinet_is_told_where_the_ledger_stands_in_its_own_journal() -> None:
    assert standing(MARK, None) == MARK
    assert standing(MARK, Claim(2, 4, "now")) == MARK
    assert standing(MARK, Claim(1, 4, "now")) == MARK
    assert standing(MARK, Claim(3, 4, "before")) == Watermark(3, 0)
