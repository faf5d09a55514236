"""Staff at a real cabinet: load and unload from the command line, a door opened over REST."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import pytest

from deploy.demo.errors import ProgramError
from deploy.demo.waiting import until
from protocols.settings import SETTINGS
from tests.support.stack import SystemStack, as_json, read_rows

pytestmark = pytest.mark.system

TECHNICIAN: Final = "zhang.wei"
NEW_PACK: Final = "YZ48-000901"
WITHIN_S: Final = 60.0
FINAL: Final = frozenset({"done", "refused", "failed", "expired"})


@pytest.fixture(scope="module")
def operator(fresh_stack: SystemStack) -> Iterator[httpx2.Client]:
    """A command on this machine: everybody names himself in his order."""
    token = fresh_stack.operator_token_file.read_text(encoding="utf-8").strip()
    headers = {"Authorization": f"Bearer {token}"}
    url = fresh_stack.fleet_url
    with httpx2.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as client:
        yield client


def order(stack: SystemStack, operator: httpx2.Client, **body: Any) -> dict[str, Any]:
    """Give an order and wait for its last word."""
    given = {"staff": TECHNICIAN, "reason": "system test", **body}
    path = f"/api/v1/cabinets/{stack.options.cabinet_id}/commands"
    key = {"Idempotency-Key": str(uuid.uuid4())}
    reply = operator.post(path, json=given, headers=key)
    assert reply.status_code == 201, reply.text
    command_id = reply.json()["id"]

    def last_word() -> dict[str, Any] | None:
        view: dict[str, Any] = operator.get(f"/api/v1/commands/{command_id}").json()
        return view if view["outcome"] in FINAL else None

    return until(last_word, within_s=60, what=f"last word on {body}", on_timeout=stack.tails)


def test_a_technician_loads_and_unloads(fresh_stack: SystemStack) -> None:
    stack, cabinet = fresh_stack, fresh_stack.options.cabinet_id
    before = stack.sim.serials()
    with ThreadPoolExecutor(1) as hands:
        load = hands.submit(
            stack.fleet, "cabinet", "load", cabinet, "--technician", TECHNICIAN, "--json"
        )
        slot = until(
            lambda: next((s["slot"] for s in stack.sim.state()["slots"] if s["door"] == "open"), 0),
            within_s=60,
            what="a door for the load",
            on_timeout=stack.tails,
        )
        stack.hands.give(slot, NEW_PACK, 60.0)
        loaded = as_json(load.result(WITHIN_S))
    assert loaded["step"] == "completed"
    assert [(m["serial"], m["to_holder"]) for m in loaded["movements"]] == [
        (NEW_PACK, f"slot:{cabinet}:{slot}")
    ]
    assert stack.sim.serials() == {**before, slot: NEW_PACK}
    stack.assert_truth_is_ledger()

    with ThreadPoolExecutor(1) as hands:
        unload = hands.submit(
            stack.fleet,
            *("cabinet", "unload", cabinet, "--slot", str(slot), "--technician", TECHNICIAN),
        )
        assert stack.hands.take(slot) == NEW_PACK
        stack.sim.close_door(slot)
        printed = unload.result(WITHIN_S)
    # Quick hands may be done before the command has looked at the open door.
    assert f"{NEW_PACK}  slot:{cabinet}:{slot} -> transit:{TECHNICIAN}" in printed
    assert stack.sim.serials() == before
    stack.assert_truth_is_ledger()
    log = as_json(stack.fleet("audit-log", "--staff", TECHNICIAN, "--json"))
    assert {row["action"] for row in log} == {"swap.start:load", "swap.start:unload"}


def test_a_door_opens_for_a_reason_only_on_what_was_seen(
    fresh_stack: SystemStack, operator: httpx2.Client
) -> None:
    stack = fresh_stack
    slot, serial = next(iter(sorted(stack.sim.serials().items())))
    changed = {"presence": "present", "serial": "YZ48-999999"}
    refused = order(stack, operator, type="slot.open", slot=slot, expect=changed)
    assert (refused["outcome"], refused["result"]) == ("refused", "precondition")
    assert stack.sim.slot(slot)["door"] == "closed"
    seen = {"presence": "present", "serial": serial}
    opened = order(stack, operator, type="slot.open", slot=slot, expect=seen)
    assert opened["outcome"] == "done", opened
    stack.hands.wait_open(slot)
    stack.sim.close_door(slot)
    off = order(stack, operator, type="slot.service-off", slot=slot)
    assert off["outcome"] == "done"
    assert order(stack, operator, type="slot.service-on", slot=slot)["outcome"] == "done"
    nothing = order(stack, operator, type="alarm.clear", code="smoke")
    assert (nothing["outcome"], nothing["result"]) == ("refused", "not-latched")
    rows = as_json(stack.fleet("audit-log", "--action", "slot.open", "--json"))
    assert [row["outcome"] for row in reversed(rows)] == [
        "ordered",
        "refused",
        "ordered",
        "accepted",
        "done",
    ]
    stack.assert_truth_is_ledger()


def last_word(stack: SystemStack, operator: httpx2.Client, order_id: str) -> dict[str, Any]:
    def said() -> dict[str, Any] | None:
        view: dict[str, Any] = operator.get(f"/api/v1/commands/{order_id}").json()
        return view if view["outcome"] in FINAL else None

    return until(said, within_s=WITHIN_S, what="the last word", on_timeout=stack.tails)


@contextmanager
def signed_in(stack: SystemStack, name: str) -> Iterator[httpx2.Client]:
    """A browser in which somebody of the staff is signed in."""
    link = as_json(stack.fleet("staff", "link", name, "--role", "admin", "--json"))["link"]
    with httpx2.Client(
        base_url=stack.fleet_url,
        headers={"Sec-Fetch-Site": "same-origin"},
        trust_env=False,
        timeout=60,
        follow_redirects=True,
    ) as client:
        assert client.get(f"/ops/login?{urlsplit(link).query}").is_success
        yield client


def test_settings_a_restart_and_every_door(
    fresh_stack: SystemStack, operator: httpx2.Client
) -> None:
    """A template reaches the cabinet and is kept over a restart by order; then all doors open."""
    stack, cabinet = fresh_stack, fresh_stack.options.cabinet_id
    by = ("--staff", TECHNICIAN)
    wished = {
        "offer_soc_pct": 55,
        "air_trip_c": 58,
        "kiosk_note_en": "half price",
        "power_max_w": 0,
    }
    values = [word for name, value in wished.items() for word in ("--set", f"{name}={value}")]
    stack.fleet("template", "set", "yz12", "--breaker-w", "3500", *values, *by)
    stack.fleet("template", "assign", "yz12", cabinet, *by)
    why = ("--reason", "system test", "--soak-s", "0", "--stages", "100")

    def roll_out(end: str, state: str) -> dict[str, Any]:
        rollout = stack.fleet("rollout", "start", "yz12", *by, *why).strip()

        def phase() -> str:
            return str(operator.get(f"/api/v1/rollouts/{rollout}").json()["phase"])

        until(lambda: phase() == end, within_s=WITHIN_S, what=end, on_timeout=stack.tails)
        view = operator.get(f"/api/v1/cabinets/{cabinet}/settings").json()
        assert view["state"] == state, view
        return {row["name"]: row["actual"] for row in view["settings"]}

    actual = roll_out("done", "in-step")
    assert settings_of(stack) == wished
    assert wished.items() <= actual.items()
    assert telemetry(stack)["power_limit_w"] == 0, "no plan and no default goes above"
    # Its own file trips at 60 degrees, and wins: what is less safe is refused and taken back.
    stack.fleet("template", "set", "yz12", "--breaker-w", "3500", "--set", "air_trip_c=62", *by)
    assert roll_out("rolled-back", "in-step")["air_trip_c"] == 58
    assert settings_of(stack) == wished
    given_back = ("--own", "power_max_w", "--own", "air_trip_c", "--own", "kiosk_note_en")
    stack.fleet("template", "set", "yz12", "--breaker-w", "3500", *given_back, *by)
    assert roll_out("done", "in-step")["air_trip_c"] == 60
    assert settings_of(stack) == {"offer_soc_pct": 55}

    path, key = f"/api/v1/cabinets/{cabinet}", {"Idempotency-Key": str(uuid.uuid4())}
    body = {"type": "cabinet.restart", "staff": TECHNICIAN, "reason": "system test"}
    given = operator.post(f"{path}/commands", json=body, headers=key).json()
    until(lambda: ended(stack), within_s=WITHIN_S, what="an end", on_timeout=stack.tails)
    stack.restart("cabinetd")  # what systemd does
    restarted = last_word(stack, operator, given["id"])
    assert restarted["outcome"] == "done", restarted
    assert settings_of(stack) == {"offer_soc_pct": 55}
    stack.wait_cabinet_online()

    with signed_in(stack, "zhang.wei") as one, signed_in(stack, "li.na") as other:
        asked = one.post(f"{path}/asks", json={"reason": "system test"}, headers=key).json()
        admit = f"{path}/asks/{asked['id']}/admit"
        alone = one.post(admit)
        assert alone.json()["error"]["code"] == "same-person"
        assert all(each["door"] == "closed" for each in stack.sim.state()["slots"])
        admitted = other.post(admit).json()
    opened = last_word(stack, operator, admitted["command_id"])
    assert opened["outcome"] == "done", opened
    assert all(each["door"] == "open" for each in stack.sim.state()["slots"])
    for each in stack.sim.state()["slots"]:
        stack.sim.close_door(each["slot"])
    stack.assert_truth_is_ledger()


def telemetry(stack: SystemStack) -> dict[str, Any]:
    """The cabinet as its own status page has it."""
    body = httpx2.get(f"{stack.cabinet_url}/state.json", trust_env=False, timeout=10)
    told: dict[str, Any] = body.json()["telemetry"]
    return told


def ended(stack: SystemStack) -> bool:
    try:
        stack.programs["cabinetd"].check_alive()
    except ProgramError:
        return True
    return False


def settings_of(stack: SystemStack) -> dict[str, Any]:
    """What the cabinet's journal says that it runs, but for the name of its secrets."""
    ((data,),) = read_rows(stack.cabinet_db, "SELECT data FROM snapshot WHERE id = 1")
    values = as_json(data)["config"]["values"]
    return {name: value for name, value in values.items() if name in SETTINGS}
