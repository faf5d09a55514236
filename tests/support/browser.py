"""A headless Chromium as a rider's phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from typing import Any, Final

from playwright import async_api
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

#: How long a browser on a busy machine may take for what it is asked, and to show what is expected.
ACTION_TIMEOUT_MS: Final = 60_000
expect.set_options(timeout=ACTION_TIMEOUT_MS)
async_api.expect.set_options(timeout=ACTION_TIMEOUT_MS)
FLAGS: Final = (
    "--no-sandbox",  # tests may run as root, in a container
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: What a browser says that is no fault of the page: tests of weak networks fail requests, and a test may
#: be in a field before the browser would have put the rider there.
HARMLESS: Final = ("Failed to load resource", "Autofocus processing was blocked")


def serious(complaints: Sequence[str]) -> list[str]:
    """Those of the browser's complaints that are of the page."""
    return [text for text in complaints if not any(each in text for each in HARMLESS)]


#: Texts whose contrast with what is behind them is below 4.5, disabled buttons excepted.
POOR_CONTRAST: Final = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = rgb(getComputedStyle(each).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const element = node.parentElement;
    if (!node.data.trim() || element.closest('svg,script,.vh,.skip,[hidden],:disabled,noscript')) continue;
    if (!element.getClientRects().length || element.closest('.stale')) continue;
    const [a, b] = [light(rgb(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${node.data.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""

#: What a thumb must hit and is smaller than 56 by 56 pixels; links inside a line of text excepted.
SMALL_TARGETS: Final = """() => [...document.querySelectorAll('a,button,input:not([type=hidden]),summary')]
  .filter((each) => !each.matches('.skip') && each.getClientRects().length)
  .map((each) => [each, each.getBoundingClientRect()])
  .filter(([, box]) => box.height < 56 || box.width < 56)
  .map(([each, box]) => `${each.textContent.trim().slice(0, 20)} ${box.width}x${box.height}`)"""

#: Words in Latin letters on a Chinese page that are neither a number of something, nor a unit, nor
#: the name of a cabinet (the argument), nor the link to the other language.
UNTRANSLATED: Final = """(known) => {
  const odd = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const element = node.parentElement;
    if (element.closest('.mono,body [lang],script,style,noscript,svg .mark')) continue;
    const text = known.reduce((left, each) => left.replaceAll(each, ''), node.data);
    const words = (text.match(/[A-Za-z]{2,}/g) ?? []).filter((word) => !['km', 'kWh', 'min'].includes(word));
    if (words.length) odd.push(node.data.trim());
  }
  for (const each of document.querySelectorAll('[aria-label],[placeholder],[title],[alt]'))
    for (const name of ['aria-label', 'placeholder', 'title', 'alt']) {
      const text = each.getAttribute(name) ?? '';
      if (text && !/[\\u4e00-\\u9fff]/.test(text) && /[A-Za-z]{2,}/.test(text)) odd.push(`${name}: ${text}`);
    }
  return odd;
}"""

#: Chinese on an English page that is neither the name of a cabinet nor the link to the other language.
STILL_CHINESE: Final = """(known) => {
  const odd = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    if (node.parentElement.closest('body [lang],script,style,noscript')) continue;
    const text = known.reduce((left, each) => left.replaceAll(each, ''), node.data);
    if (/[\\u4e00-\\u9fff]/.test(text)) odd.push(node.data.trim());
  }
  return odd;
}"""

#: What axe-core finds serious or critical; it must be put into the page first.
AXE: Final = """async () => (await axe.run(document, { resultTypes: ['violations'] })).violations
  .filter((found) => ['serious', 'critical'].includes(found.impact))
  .map((found) => `${found.id}: ${found.nodes.slice(0, 3).map((node) => node.target.join(' ')).join(', ')}`)"""


@lru_cache(maxsize=1)
def axe_source() -> str:
    """axe-core, to be evaluated in a page; the pages' own policy lets no foreign script in."""
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def path_of_chromium() -> str:
    """Where the system's Chromium is."""
    path = shutil.which("chromium")
    assert path, "no chromium: run deploy/dev/packages.sh tests"
    return path


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, headless."""
    path = path_of_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def phone(browser: Browser, *, locale: str = "zh-CN", **values: Any) -> Iterator[BrowserContext]:
    """A phone's context: small, touch, mobile."""
    context = browser.new_context(
        viewport={"width": 360, "height": 740},
        device_scale_factor=2,
        is_mobile=True,
        has_touch=True,
        locale=locale,
        timezone_id="Asia/Shanghai",
        **values,
    )
    context.set_default_timeout(ACTION_TIMEOUT_MS)
    try:
        yield context
    finally:
        context.close()


@contextmanager
def desk(browser: Browser, *, locale: str = "zh-CN") -> Iterator[BrowserContext]:
    """An operator's context."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, locale=locale, timezone_id="Asia/Shanghai"
    )
    context.set_default_timeout(ACTION_TIMEOUT_MS)
    try:
        yield context
    finally:
        context.close()
