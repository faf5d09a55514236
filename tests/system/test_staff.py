"""Staff at a real cabinet: load and unload from the command line, a door opened over REST."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx2
import pytest

from deploy.demo.waiting import until
from tests.support.stack import SystemStack, as_json

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
    with httpx2.Client(base_url=url, headers=headers, trust_env=False, timeout=10) as client:
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

    return until(last_word, within_s=20, what=f"last word on {body}", on_timeout=stack.tails)


def test_a_technician_loads_and_unloads(fresh_stack: SystemStack) -> None:
    stack, cabinet = fresh_stack, fresh_stack.options.cabinet_id
    before = stack.sim.serials()
    with ThreadPoolExecutor(1) as hands:
        load = hands.submit(
            stack.fleet, "cabinet", "load", cabinet, "--technician", TECHNICIAN, "--json"
        )
        slot = until(
            lambda: next((s["slot"] for s in stack.sim.state()["slots"] if s["door"] == "open"), 0),
            within_s=20,
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
