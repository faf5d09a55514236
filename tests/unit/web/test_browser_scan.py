"""A code in front of the camera, in a Chromium whose camera shows a film of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import segno
from playwright.async_api import Browser, async_playwright, expect

from fleet.web.pages import QR_WORKER
from tests.support.browser import FLAGS, path_of_chromium
from tests.support.fleet_fakes import Town
from tests.unit.web.test_browser import phone

pytestmark = pytest.mark.browser

WIDTH, HEIGHT, MODULE = 640, 480, 9
WITHIN_MS: Final = 60_000
#: A detector of the browser's own that knows QR codes, as browsers on phones have.
DETECTOR: Final = """(text) => {
  window.BarcodeDetector = class {
    static async getSupportedFormats() { return ["qr_code"]; }
    async detect() { return [{ rawValue: text }]; }
  };
}"""


def film(path: Path, text: str) -> Path:
    """A film of a QR code, a little aside of the middle."""
    code = [list(row) for row in segno.make(text, error="m", micro=False).matrix_iter(border=4)]
    left, top = (WIDTH - MODULE * len(code)) // 2 + 12, (HEIGHT - MODULE * len(code)) // 2 - 6
    luma = bytearray(b"\xb0" * (WIDTH * HEIGHT))
    for y, row in enumerate(code):
        for x, dark in enumerate(row):
            for line in range(MODULE):
                at = (top + y * MODULE + line) * WIDTH + left + x * MODULE
                luma[at : at + MODULE] = (b"\x18" if dark else b"\xeb") * MODULE
    frame = b"FRAME\n" + bytes(luma) + b"\x80" * (WIDTH * HEIGHT // 2)
    head = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F10:1 Ip A1:1 C420mpeg2\n".encode()
    path.write_bytes(head + frame * 3)
    return path


@pytest.fixture
async def browser(town: Town, tmp_path: Path) -> AsyncIterator[Browser]:
    """Its camera looks at the code of DH-0001."""
    shown = film(tmp_path / "code.y4m", f"{town.url}/c/DH-0001")
    camera = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={shown}",
    ]
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=path_of_chromium(), args=[*FLAGS, *camera]
        )
        yield launched
        await launched.close()


async def test_a_browser_without_a_reader_reads_by_the_worker(town: Town, browser: Browser) -> None:
    async with phone(browser) as context:
        page = await context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(town.url)
        assert not any("qr-worker" in url for url in asked), "only where a camera is wanted"
        await page.click("#scan")
        await page.wait_for_url("**/c/DH-0001", timeout=WITHIN_MS)
        await expect(page.locator("h1")).to_have_text("东湖路驿站")
        assert town.url + QR_WORKER.url in asked


async def test_a_browser_with_a_reader_fetches_none(town: Town, browser: Browser) -> None:
    async with phone(browser) as context:
        page = await context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await context.add_init_script(f"({DETECTOR})('DH-0001')")
        await page.goto(f"{town.url}/scan", wait_until="commit")
        await page.wait_for_url("**/c/DH-0001", timeout=WITHIN_MS)
        assert not any("qr-worker" in url for url in asked)
