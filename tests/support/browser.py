"""A headless Chromium as a rider's phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, BrowserContext, sync_playwright

ACTION_TIMEOUT_MS: Final = 15_000
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
def phone(browser: Browser, *, locale: str = "zh-CN") -> Iterator[BrowserContext]:
    """A phone's context: small, touch, mobile."""
    context = browser.new_context(
        viewport={"width": 360, "height": 740},
        device_scale_factor=2,
        is_mobile=True,
        has_touch=True,
        locale=locale,
        timezone_id="Asia/Shanghai",
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
