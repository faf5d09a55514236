"""axe-core's verdict on an open page."""

from __future__ import annotations

from importlib import resources
from typing import Final

from playwright.sync_api import Page

#: What makes a page unusable for somebody; the rest is advice.
GRAVE: Final = ("serious", "critical")
_RUN: Final = "() => axe.run({resultTypes: ['violations']}).then((found) => found.violations)"


def grave_findings(page: Page) -> list[str]:
    """Rule and place of every serious or critical finding; the page's own policy is kept."""
    script = resources.files("axe_playwright_python").joinpath("axe.min.js")
    page.evaluate(script.read_text(encoding="utf-8"))  # evaluated, so no policy stands in its way
    return [
        f"{found['id']}: {node['target']}"
        for found in page.evaluate(_RUN)
        if found["impact"] in GRAVE
        for node in found["nodes"]
    ]
