"""The operator's desk over a real store and the real planner: lists, passports, alarms, grid, what-if."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx2 import AsyncClient
from msgspec.structs import replace

from fleet.core.access import Role, Scope, Who
from fleet.core.desk import AlarmFilter
from fleet.core.records import LogFilter
from fleet.errors import RefusedError
from fleet.web.csv_out import safe_cell
from fleet.web.i18n import LANGUAGES, catalogue
from fleet.web.ops_alarms import advice_on
from protocols.messages import AlarmBody
from tests.support.balance_rig import NOW_MS
from tests.support.desk import CABINET, HOUR_MS, NEW, OLD, RIDER, SWAP, DeskTown, desk_town
from tests.support.fleet_fakes import OPERATOR_TOKEN, cabinet, serving

#: With a plan, which compiles the planner.
planned = pytest.mark.timeout(600)

LISTS = ("/ops/packs", "/ops/swaps", "/ops/alarms", "/ops/riders", "/ops/plans", "/ops/moves")
PAGES = (*LISTS, f"/ops/packs/{NEW}", f"/ops/swaps/{SWAP}", f"/ops/riders/{RIDER}",
         "/ops/partners", "/ops/balance", "/ops/grid", "/ops/grid/edit?what=region&name=east",
         "/ops/grid/edit?what=feeder&name=F1", "/ops/grid/edit?what=cabinet&name=A-1",
         "/ops/grid/edit?what=prices")  # fmt: skip
REGION = {
    "what": "region",
    "name": "east",
    "tariff": "00:00 0.3\n08:00 1.4",
    "limit_kw": "7",
    "peak_price": "38",
    "staff": "zhang.wei",
}


@pytest.fixture
async def desk(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[DeskTown]:
    planned = request.node.get_closest_marker("timeout") is not None
    async with desk_town(tmp_path, plan=planned) as made, serving(made.town, heartbeat_s=0.2):
        yield made


@pytest.fixture
async def operator(desk: DeskTown) -> AsyncIterator[AsyncClient]:
    async with desk.town.client(headers={"origin": desk.town.url}) as client:
        await client.get("/ops/login", params={"token": OPERATOR_TOKEN})
        yield client


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


@planned
async def test_every_page_opens_in_both_languages_and_to_nobody_else(
    desk: DeskTown, operator: AsyncClient
) -> None:
    async with desk.town.client() as stranger:
        for path in (*PAGES, *(f"{each}.csv" for each in LISTS)):
            joint = "&" if "?" in path else "?"
            for language in LANGUAGES:
                reply = await operator.get(f"{path}{joint}lang={language}")
                assert reply.status_code == 200, (path, reply.text[:300])
            assert (await stranger.get(path)).status_code == 401, path


async def test_packs_by_pages_filters_and_as_a_table(operator: AsyncClient) -> None:
    first = (await operator.get("/ops/packs?place=depot")).text
    assert len(re.findall(r'href="/ops/packs/YZ48', first)) == 50
    url = re.search(r'id="next" href="([^"]+)"', first)
    assert url
    second = (await operator.get(url[1].replace("&amp;", "&"))).text
    assert len(re.findall(r'href="/ops/packs/YZ48', second)) == 10
    rows = table((await operator.get("/ops/packs.csv?place=depot")).text)
    assert len(rows) == 61
    assert rows[0][0] == "serial"
    slot = table((await operator.get(f"/ops/packs.csv?cabinet={CABINET}")).text)
    assert [row[0] for row in slot[1:]] == [OLD]
    assert len(table((await operator.get("/ops/packs.csv?q=YZ48-10000")).text)) == 11
    assert len(table((await operator.get("/ops/packs.csv?q=%25")).text)) == 1, "no wildcard"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert safe_cell(text) == "'" + text
    assert safe_cell(-1) == "-1", "a number is one"


async def test_a_ticking_reason_does_not_run_in_a_spreadsheet(
    desk: DeskTown, operator: AsyncClient
) -> None:
    evil = '=HYPERLINK("http://x","y")'
    await desk.stores.riders.deny(RIDER, evil, "op:a", 1)
    rows = table((await operator.get("/ops/riders.csv")).text)
    assert rows[1][5] == "'" + evil


async def test_a_passport_says_what_is_known_and_what_is_not(
    desk: DeskTown, operator: AsyncClient
) -> None:
    page = (await operator.get(f"/ops/packs/{OLD}?lang=en")).text
    assert f"slot 4 of {CABINET}" in page
    assert "<dd>412</dd>" in page
    assert "23.4 Ah" in page
    assert "not known yet: told once" in page
    assert "Its slot does not tell of this battery at present" in page
    assert page.count(f"/ops/swaps/{SWAP}") >= 1
    assert '<path class="way" d="M' in page
    slots = tuple(desk.town.cabinets.views[CABINET].slots)
    told = tuple(replace(s, serial=OLD, cell_temp_c=31.5) if s.slot == 4 else s for s in slots)
    desk.change(slots=told)
    page = (await operator.get(f"/ops/packs/{OLD}?lang=en")).text
    assert "31.5 °C" in page
    assert "Told by DH-0001, slot 4" in page
    away = (await operator.get(f"/ops/packs/{NEW}?lang=en")).text
    assert "stands in no slot" in away
    assert "not told by the cabinet" in away
    assert (await operator.get("/ops/packs/NONE")).status_code == 404


async def test_a_swap_falls_step_by_step(operator: AsyncClient) -> None:
    page = (await operator.get(f"/ops/swaps/{SWAP}?lang=en")).text
    assert page.count("<rect class=") == 8
    steps = re.findall(r'<tr><th scope="row">([^<]+)</th>', page)
    assert steps == [
        "slots reserved", "opening for the old one", "waiting for the old one", "battery in",
        "checking it", "waiting for the pick-up", "battery out", "completed",
    ]  # fmt: skip
    assert f"/ops/packs/{NEW}" in page
    assert (await operator.get("/ops/swaps/NONE")).status_code == 404
    rows = table((await operator.get(f"/ops/swaps.csv?rider={RIDER}&outcome=completed")).text)
    assert [row[0] for row in rows[1:]] == [SWAP]
    assert len(table((await operator.get("/ops/swaps.csv?outcome=open")).text)) == 1
    assert len(table((await operator.get("/ops/swaps.csv?since=2099-01-01")).text)) == 1
    for wrong in ("since=yesterday", "until=9999-12-31", "since=0000-00-00"):
        assert (await operator.get(f"/ops/swaps?{wrong}")).status_code == 422


async def test_of_two_who_take_note_at_once_one_is_told_that_he_was_late(desk: DeskTown) -> None:
    assert desk.town.charts is not None
    alarms = desk.town.charts.alarms
    desk.change(alarms=("smoke:3",))
    row = desk.town.board.row(CABINET)
    assert row is not None
    both = (
        alarms.note(row, "smoke", 3, reason="on the way", actor=f"operator:{name}")
        for name in ("li.na", "zhang.wei")
    )
    done = await asyncio.gather(*both, return_exceptions=True)
    late = [each for each in done if each is not None]
    assert [each.code for each in late if isinstance(each, RefusedError)] == ["alarm-noted"]
    [smoke] = (await alarms.page([row], AlarmFilter())).rows
    assert smoke.note is not None


async def test_what_burns_stands_first_however_much_is_amiss(
    desk: DeskTown, operator: AsyncClient
) -> None:
    """It stands last by its id, and one that told of fire fell silent itself."""
    put = desk.town.cabinets.put
    for number in range(1, 61):
        put(cabinet(f"AA-{number:04d}", online=False))
    put(cabinet("ZZ-0001", alarms=("smoke:1",)))
    put(cabinet("ZZ-0002", alarms=("over-temperature:2",), online=False))
    page = (await operator.get("/ops/alarms?lang=en")).text
    shown = re.findall(r'href="/ops/cabinets/([A-Z]+-\d+)"', page)
    assert shown[:2] == ["ZZ-0001", "ZZ-0002"]
    assert len(shown) == 50
    assert "63 alarms" in page
    rest = (await operator.get("/ops/alarms?lang=en&page=2")).text
    assert len(re.findall(r'href="/ops/cabinets/([A-Z]+-\d+)"', rest)) == 13
    assert len(table((await operator.get("/ops/alarms.csv")).text)) == 64


async def test_an_alarm_is_noted_once_and_stands_anew_when_raised_again(
    desk: DeskTown, operator: AsyncClient
) -> None:
    desk.change(alarms=("smoke:3",))
    page = (await operator.get("/ops/alarms?lang=en")).text
    assert "call the fire brigade" in page
    assert "critical" in page
    where = f"/ops/cabinets/{CABINET}/alarms/smoke/note"
    form = {"slot": "3", "reason": "on the way", "staff": "li.na"}
    assert (await operator.post(where, data={**form, "reason": ""})).status_code == 422
    assert (await operator.post(where, data={**form, "staff": ""})).status_code == 422
    assert (await operator.post(where, data=form)).status_code == 303
    page = (await operator.get("/ops/alarms?lang=en")).text
    assert "li.na" in page
    assert "on the way" in page
    again = await operator.post(where, data=form)
    assert again.status_code == 409
    assert SWAP not in (await operator.get("/ops/alarms.csv?noted=no")).text
    at = desk.reporter
    await desk.tell(
        *[
            at.event("alarm", AlarmBody(code="smoke", active=active, slot=3, severity="critical"))
            for active in (False, True)
        ]
    )
    page = (await operator.get("/ops/alarms?lang=en&noted=no")).text
    assert "smoke" in page
    assert "li.na" not in page
    log = await desk.stores.audit_log.rows(LogFilter(action="alarm."))
    assert [(each.action, each.actor.rpartition(":")[2]) for each in log] == [
        ("alarm.note", "li.na")
    ]


async def test_riders_are_found_masked_blocked_and_let_again(
    desk: DeskTown, operator: AsyncClient
) -> None:
    found = await operator.post("/ops/riders/find", data={"q": "13800138000"})
    assert found.headers["location"] == f"/ops/riders/{RIDER}", "no number in an address"
    page = (await operator.get(found.headers["location"])).text
    assert "···· 8000" in page
    assert "13800138000" not in page
    found = await operator.post("/ops/riders/find", data={"q": "8000"})
    assert found.headers["location"] == "/ops/riders?q=8000"
    assert RIDER in (await operator.get("/ops/riders?q=8000")).text
    assert RIDER not in (await operator.get("/ops/riders?q=7777")).text
    where = f"/ops/riders/{RIDER}/judge"
    form = {"what": "block", "reason": "pack sold", "staff": "li.na"}
    assert (await operator.post(where, data={**form, "reason": "x"})).status_code == 422
    assert (await operator.post(where, data={**form, "what": "delete"})).status_code == 422
    assert (await operator.post(where, data=form)).status_code == 303
    assert "pack sold" in (await operator.get("/ops/riders?blocked=1")).text
    assert (await operator.post(where, data={**form, "what": "allow"})).status_code == 303
    assert RIDER not in (await operator.get("/ops/riders?blocked=1")).text
    assert (await desk.stores.riders.named(RIDER)).denied is False


async def test_partners_are_switched_with_a_reason(desk: DeskTown, operator: AsyncClient) -> None:
    where = "/ops/partners/meituan/judge"
    form = {"what": "off", "reason": "contract ended", "staff": "li.na"}
    assert (await operator.post(where, data=form)).status_code == 303
    [partner] = await desk.stores.partners.all(1)
    assert partner.off
    assert (await operator.post("/ops/partners/none/judge", data=form)).status_code == 404


@planned
async def test_the_chart_has_plan_fact_limit_price_forecast_and_a_table(
    operator: AsyncClient,
) -> None:
    for scope in ("fleet", "region:east", "feeder:F1", "cabinet:A-1"):
        page = (await operator.get(f"/ops/balance?lang=en&scope={scope}")).text
        for path in ("plan", "actual", "price", "swaps"):
            assert re.search(rf'<path class="{path}" d="M', page), (scope, path)
        assert 40 <= page.count('<tr><th scope="row">20') <= 50
    rows = table((await operator.get("/ops/balance.csv?scope=region:east")).text)
    assert len(rows) > 180
    assert (await operator.get("/ops/balance?scope=region:none")).status_code == 404


@planned
async def test_what_if_draws_a_second_line_and_says_what_it_costs(operator: AsyncClient) -> None:
    page = (await operator.get("/ops/balance?lang=en&scope=region:east&limit_kw=3")).text
    assert '<path class="then" d="M' in page
    assert 'id="answer"' in page
    assert "http-equiv" not in page, "an answer is not asked for again and again"
    assert 'value="3"' in page, "the question stands in the form and in the address"
    bad = await operator.get("/ops/balance?lang=en&scope=feeder:F1&limit_kw=3&from=18:00&to=20:00")
    assert bad.status_code == 422
    assert "one limit for the whole day" in bad.text
    assert (await operator.get("/ops/balance?limit_kw=-3")).status_code == 422
    where = "/api/v1/balance/what-if"
    told = await operator.post(where, json={"scope": "region:east", "limit_w": 3_000})
    assert told.status_code == 200, told.text
    view = told.json()
    assert view["scope"] == "region:east"
    assert 90 <= len(view["points"]) <= 97
    assert max(each["then_w"] for each in view["points"]) <= 3_000
    assert view["then"]["cost"] >= view["now"]["cost"] - view["now"]["cost_error"]
    for body in ({}, {"limit_w": -1}, {"limit": 3}, {"limit_w": 1, "start": "18:00"}):
        assert (await operator.post(where, json=body)).status_code == 422, body
    none = await operator.post(where, json={"scope": "region:none", "limit_w": 1})
    assert none.status_code == 404
    for _ in range(12):
        last = await operator.post(where, json={"scope": "region:none", "limit_w": 1})
    assert last.status_code == 429
    assert int(last.headers["Retry-After"]) > 0
    assert (await operator.get("/ops/balance?limit_kw=3&lang=en")).status_code == 429


async def test_a_tariff_is_looked_at_then_kept_and_counts_at_its_time(
    desk: DeskTown, operator: AsyncClient
) -> None:
    revision = str((await desk.stores.grids.history())[0])
    form = {**REGION, "revision": revision}
    preview = await operator.post("/ops/grid/edit?lang=en", data=form)
    assert preview.status_code == 200
    assert "00:00 0.3, 08:00 1.4" in preview.text
    assert '<path class="then" d="M' in preview.text
    assert len((await desk.stores.grids.history())[1]) == 1, "a look changes nothing"
    wrong = await operator.post("/ops/grid/edit", data={**form, "tariff": "25:00 1"})
    assert wrong.status_code == 422
    assert "region[0].tariff[0].from" in wrong.text
    assert "25:00 1" in wrong.text, "what was typed is still there"
    late = {**form, "do": "save", "reason": "winter tariff", "valid_from": "2026-03-04T11:00"}
    assert (await operator.post("/ops/grid/edit", data={**late, "reason": ""})).status_code == 422
    assert (await operator.post("/ops/grid/edit", data=late)).status_code == 303
    _, known = await desk.stores.grids.history()
    assert known[-1].valid_from_ms == NOW_MS + 55 * 60_000
    assert known[-1].actor.endswith("zhang.wei")
    other = await operator.post("/ops/grid/edit?lang=en", data={**late, "limit_kw": "2"})
    assert other.status_code == 409
    assert "Somebody else changed the grid" in other.text
    page = (await operator.get("/ops/grid?lang=en")).text
    assert "to come" in page
    assert "winter tariff" in page
    file = await operator.get("/ops/grid/2.toml")
    assert "limit_w = 7000" in file.text
    gone = {"revision": str(int(revision) + 1), "reason": "wrong month", "staff": "li.na"}
    assert (await operator.post("/ops/grid/2/withdraw", data=gone)).status_code == 303
    assert "withdrawn" in (await operator.get("/ops/grid?lang=en")).text
    desk.rig.clock.move(HOUR_MS)
    late_now = await operator.post("/ops/grid/1/withdraw", data={**gone, "revision": "3"})
    assert late_now.status_code == 409
    huge = str(2**64)  # more than a database takes
    assert (await operator.get(f"/ops/grid/{huge}.toml")).status_code == 422
    beyond = await operator.post("/ops/grid/1/withdraw", data={**gone, "revision": huge})
    assert beyond.status_code == 422


async def test_who_is_bound_elsewhere_sees_nothing_of_this_place(
    desk: DeskTown, operator: AsyncClient
) -> None:
    desk.change(alarms=("smoke:3",))

    def sit_down(scope: Scope) -> None:
        seat = desk.town.staff.seat(Who("S1", "li.na", Role.ADMIN, scope))
        operator.cookies.clear()
        operator.cookies.set("yz_ops", seat)

    sit_down(Scope(stations=frozenset({"ST-SOUTH"})))
    for path in ("/ops/packs.csv", "/ops/swaps.csv", "/ops/alarms.csv"):
        assert len(table((await operator.get(path)).text)) == 1, path
    form = {"slot": "3", "reason": "on the way", "staff": "li.na"}
    for path in (f"/ops/packs/{OLD}", f"/ops/swaps/{SWAP}", "/ops/riders", "/ops/grid/edit"):
        assert (await operator.get(path)).status_code == 403, path
    where = f"/ops/cabinets/{CABINET}/alarms/smoke/note"
    assert (await operator.post(where, data=form)).status_code == 403
    sit_down(Scope(partners=frozenset({"eleme"})))
    for path in ("/ops/packs", "/ops/swaps.csv", "/ops/alarms"):
        assert (await operator.get(path)).status_code == 403, path
    page = await operator.get("/ops/partners")
    assert page.status_code == 200
    assert "meituan" not in page.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_alarm_has_advice_for_the_operator(language: str) -> None:
    texts = catalogue(language)
    codes = [key.removeprefix("alarm.") for key in texts.texts if key.startswith("alarm.")]
    assert len(codes) > 30
    assert all(advice_on(texts, code) for code in (*codes, "offline", "offline-meter", "new"))
