"""Number, code and ticket: the endpoint, the page without a script, and who gets neither."""

from __future__ import annotations

import base64
import gzip
import re

import segno
from httpx2 import AsyncClient

from fleet.core.offline import TICKET_LIFE_MS, TICKET_STEP_MS
from fleet.core.views import SwapView
from fleet.web.offline import QR_BORDER, qr_drawing
from protocols import signing
from protocols.messages import Kind, Step
from protocols.offline import (
    TICKET_CHARS_MAX,
    matching_step,
    month_of,
    parse_ticket,
    rider_secret,
    step_of,
)
from tests.support.fleet_fakes import COMMAND_KEYS, GROUP_KEY, Town
from tests.unit.web.conftest import PHONE

#: The whole page with its QR code, as it goes over the air.
PAGE_BYTES_MAX = 12_000
SCRIPTS_BYTES_MAX = 3_000


async def test_a_phone_gets_number_secrets_and_ticket(town: Town, rider: AsyncClient) -> None:
    reply = await rider.get("/api/v1/me/offline")
    assert (reply.status_code, reply.headers["cache-control"]) == (200, "no-store")
    body, who = reply.json(), town.riders.views[town.riders.phones[PHONE]]
    assert (body["rider_id"], body["number"]) == (who.id, who.number)
    month = month_of(town.clock.wall_ms())
    secret = rider_secret(GROUP_KEY, who.number, month)
    assert base64.b64decode(body["secrets"][month]) == secret
    ticket = parse_ticket(body["ticket"])
    assert signing.verify(ticket, COMMAND_KEYS[1])
    assert (ticket.rider_id, ticket.number, ticket.kind) == (who.id, who.number, Kind.SWAP)
    assert (ticket.expected_serial, ticket.cabinet) == ("YZ48-000077", None)
    left_ms = ticket.expires_ms - town.clock.wall_ms()
    assert TICKET_LIFE_MS - TICKET_STEP_MS < left_ms <= TICKET_LIFE_MS
    assert len(body["ticket"]) <= TICKET_CHARS_MAX
    assert (body["qr_size"], body["qr_path"]) == qr_drawing(body["ticket"])


async def test_asking_often_gives_the_same_ticket_until_something_changes(
    town: Town, rider: AsyncClient
) -> None:
    async def ticket_id() -> str:
        return parse_ticket((await rider.get("/api/v1/me/offline")).json()["ticket"]).id

    town.clock.shift_ms += TICKET_STEP_MS - town.clock.wall_ms() % TICKET_STEP_MS
    first = await ticket_id()
    assert await ticket_id() == first
    town.riders.give(town.riders.phones[PHONE])
    other = await ticket_id()
    town.clock.shift_ms += TICKET_STEP_MS
    assert len({first, other, await ticket_id()}) == 3


async def test_the_next_month_comes_shortly_before_its_beginning(
    town: Town, rider: AsyncClient
) -> None:
    for day, months in ((15, 1), (31, 2)):
        at_ms = 1_769_900_000_000 // 86_400_000 * 86_400_000  # 2026-01-31
        town.clock.shift_ms = 0
        town.clock.shift_ms = at_ms - (31 - day) * 86_400_000 - town.clock.wall_ms()
        # The session began in the present, so it is younger than it looks.
        reply = await rider.get("/api/v1/me/offline")
        assert list(reply.json()["secrets"]) == ["2026-01", "2026-02"][:months]


async def test_who_gets_none(town: Town, rider: AsyncClient, stranger: AsyncClient) -> None:
    assert (await stranger.get("/api/v1/me/offline")).status_code == 401
    town.riders.deny(town.riders.phones[PHONE])
    reply = await rider.get("/api/v1/me/offline")
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "denied-rider")
    assert "目前不能使用" in (await rider.get("/offline")).text
    assert "目前不能使用" in (await rider.get("/c/DH-0001")).text


async def test_it_is_rate_limited(rider: AsyncClient) -> None:
    codes = [(await rider.get("/api/v1/me/offline")).status_code for _ in range(31)]
    assert codes == [200] * 30 + [429]


async def test_the_page_without_a_script(town: Town, rider: AsyncClient) -> None:
    before_ms = town.clock.wall_ms()
    reply = await rider.get("/offline")
    assert reply.headers["cache-control"] == "no-store"
    page, number = reply.text, town.riders.views[town.riders.phones[PHONE]].number
    assert f"{number[:4]} {number[4:]}" in page
    code = re.search(r'id="off-code"[^>]*>(\d{6})<', page)
    assert code
    step = matching_step((GROUP_KEY,), number, code[1], before_ms)
    assert step in {step_of(before_ms), step_of(town.clock.wall_ms())}
    text = re.search(r'data-ticket="([^"]+)"', page)
    assert text
    size, path = qr_drawing(text[1])
    assert f'viewBox="0 0 {size} {size}"' in page
    assert f'd="{path}"' in page
    assert '<noscript><meta http-equiv="refresh"' in page
    assert len(gzip.compress(reply.content)) < PAGE_BYTES_MAX
    scripts = re.findall(r'src="(/static/[^"]+)"', page)
    assert len(scripts) == 2
    script = (await rider.get(scripts[1])).content
    worker = (await rider.get("/sw.js")).content
    assert len(gzip.compress(script)) + len(gzip.compress(worker)) < SCRIPTS_BYTES_MAX


async def test_the_form_that_phones_keep_tells_nothing_of_anybody(
    town: Town, rider: AsyncClient, stranger: AsyncClient
) -> None:
    shell, empty = await rider.get("/offline?shell=1"), await stranger.get("/offline")
    number = town.riders.views[town.riders.phones[PHONE]].number
    for page in (shell.text, empty.text):
        assert number[:4] + " " + number[4:] not in page
        assert "YZT1." not in page
        assert "先联网登录一次" in page
    worker = await rider.get("/sw.js")
    assert worker.headers["content-type"].startswith("text/javascript")
    for url in re.findall(r'"(/static/[^"]+)"', worker.text):
        assert (await rider.get(url)).status_code == 200
    assert "__" not in worker.text


async def test_logging_out_clears_what_the_phone_kept(rider: AsyncClient) -> None:
    same = {"Sec-Fetch-Site": "same-origin"}
    assert (await rider.post("/logout", headers=same)).headers["clear-site-data"] == '"storage"'


async def test_a_cabinet_without_network_leads_to_the_code(town: Town, rider: AsyncClient) -> None:
    assert 'href="/offline"' not in (await rider.get("/c/DH-0001")).text
    assert 'href="/offline"' in (await rider.get("/me")).text
    town.cabinets.change("DH-0001", online=False)
    assert 'href="/offline"' in (await rider.get("/c/DH-0001")).text


async def test_offline_swaps_are_marked(
    town: Town, rider: AsyncClient, operator: AsyncClient
) -> None:
    rider_id = town.riders.phones[PHONE]
    town.swaps.views["off-1"] = SwapView(
        id="off-1",
        cabinet_id="DH-0001",
        rider_id=rider_id,
        kind=Kind.SWAP,
        step=Step.COMPLETED,
        rank=80,
        done=True,
        created_ms=town.clock.wall_ms() - 3_600_000,
        updated_ms=town.clock.wall_ms(),
        movements=(town.movement(1, "YZ48-000077", f"rider:{rider_id}", "slot:DH-0001:10"),),
        authority="ticket",
        flags=("ticket-reused",),
    )
    assert "· 离线" in (await rider.get("/me")).text
    receipt = (await rider.get("/s/off-1")).text
    assert "离线" in receipt
    assert "用时" not in receipt
    assert "同一张换电凭证用了不止一次" in (await operator.get("/ops")).text


def test_a_drawing_is_the_code() -> None:
    text = "YZT1." + "A" * 430
    size, path = qr_drawing(text)
    matrix = segno.make(text, error="l", micro=False).matrix
    assert size == len(matrix) + 2 * QR_BORDER
    dark = set()
    for y, row in re.findall(r"M4 (\d+)\.5([^M]*)", path):
        x = 4
        for way, length in re.findall(r"([hm])(\d+)", row):
            if way == "h":
                dark |= {(x + n, int(y)) for n in range(int(length))}
            x += int(length)
    assert dark == {
        (x + QR_BORDER, y + QR_BORDER)
        for y, row in enumerate(matrix)
        for x, module in enumerate(row)
        if module
    }
