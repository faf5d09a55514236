"""Every reason for which the swap table refuses or ends has words for the rider, at both places."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import cabinet.core
from cabinet.core.swap_table import TABLE
from cabinet.web.kiosk_texts import REASONS
from fleet.web.i18n import catalogue

#: Between engine and table only: no rider ever sees it.
INTERNAL = {"old-attempt"}
REFUSALS = sorted({reason for row in TABLE.values() for reason in row.refuses} - INTERNAL)


def ends() -> list[str]:
    """The reasons that the swap's modules give to an end, read from their source."""
    folder = Path(cabinet.core.__file__).parent
    source = "".join(path.read_text("utf-8") for path in sorted(folder.glob("swap_*.py")))
    pattern = r'(?:fault|cancelled|give_back)\(\s*(?:state\.)?job, "([a-z-]+)"'
    return sorted(set(re.findall(pattern, source)))


def test_the_search_for_ends_works() -> None:
    assert {"door-unknown", "return-timeout", "not-taken-back", "no-bms"} <= set(ends())


@pytest.mark.parametrize("reason", [*REFUSALS, *ends()])
def test_there_are_words_for_it(reason: str) -> None:
    assert reason in REASONS, "cabinet/web/kiosk_texts.py"
    for language in ("zh", "en"):
        assert catalogue(language).has(f"reason.{reason}"), f"fleet/web/locales/{language}.toml"
