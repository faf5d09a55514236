"""A journal that cannot be written or read, with the real programs: told, refused, and over again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import httpx2
import pytest

from deploy.demo.clients import Json
from deploy.demo.errors import DemoError
from deploy.demo.stack import Options
from deploy.demo.waiting import until
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.stack import SystemStack, read_rows, running

pytestmark = pytest.mark.system

DISK_KB: Final = 4_096
WITHIN_S: Final = 60.0
TURNED_DOWN_WITHIN_S: Final = 60.0  # an order that nobody answers is given up when it expires


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("yz") / "cabinet", DISK_KB) as mounted:
        yield mounted


@pytest.fixture(scope="module")
def stack(disk: SmallDisk, stack_options: Options) -> Iterator[SystemStack]:
    with running("test_journal_trouble", disk.where.parent, stack_options) as started:
        started.login()
        yield started


def health(stack: SystemStack) -> Json:
    """What the daemon says of itself; nothing while it is not up."""
    try:
        found: Json = httpx2.get(f"{stack.cabinet_url}/healthz", trust_env=False).json()
    except httpx2.HTTPError:
        return {}
    return found


def wait_trouble(stack: SystemStack) -> str:
    return until(
        lambda: health(stack).get("store_error"),
        within_s=WITHIN_S,
        what="the cabinet says what is wrong with its journal",
        on_timeout=stack.tails,
    )


def wait_sound(stack: SystemStack) -> None:
    until(
        lambda: health(stack).get("ok") and health(stack).get("ready"),
        within_s=WITHIN_S,
        what="the journal works again",
        on_timeout=stack.tails,
    )


def alarms(stack: SystemStack) -> list[str]:
    view = stack.rider.cabinet(stack.options.cabinet_id)
    return list(view["alarms"]) if view else []


def refused_swap(stack: SystemStack) -> str:
    """Tap; the reason for which the cabinet turned it down."""
    swap_id = stack.start_swap()
    view = until(
        lambda: view if (view := stack.rider.swap(swap_id))["done"] else None,
        within_s=TURNED_DOWN_WITHIN_S,
        what="the order is turned down",
        on_timeout=stack.tails,
    )
    return str(view["reason"])


def pulses(stack: SystemStack, since: int) -> list[Json]:
    return [e for e in stack.sim.events(since) if e["kind"] in {"lock-pulse", "door-opened"}]


def test_a_full_disk(stack: SystemStack, disk: SmallDisk) -> None:
    stack.wait_charging({7, 8, 9})
    seq = stack.last_seq()
    disk.fill()
    # The order that finds the disk full may or may not be kept: nobody answers before that is known.
    assert refused_swap(stack) == "no-answer"
    trouble = wait_trouble(stack)
    assert "free some space" in trouble
    until(lambda: not stack.charging(), within_s=WITHIN_S, what="no slot charges")
    until(lambda: "store" in alarms(stack), within_s=WITHIN_S, what="the fleet shows the alarm")
    page = httpx2.get(f"{stack.cabinet_url}/?lang=en", trust_env=False).text
    assert "free some space" in page
    assert refused_swap(stack) == "store"
    assert pulses(stack, seq) == []
    assert not stack.charging()

    disk.free()
    wait_sound(stack)
    stack.wait_charging({7, 8, 9})
    until(lambda: "store" not in alarms(stack), within_s=WITHIN_S, what="the alarm is over")
    stack.whole_swap(rider_pack(stack))
    stack.assert_truth_is_ledger()


def test_a_damaged_journal_is_an_alarm_until_a_new_one_is_ordered(
    stack: SystemStack, disk: SmallDisk
) -> None:
    disk.free()
    stack.programs["cabinetd"].stop()
    database = stack.cabinet_db
    data = bytearray(database.read_bytes())
    data[4_096:20_000] = b"\xa5" * (20_000 - 4_096)
    database.write_bytes(data)
    seq = stack.last_seq()
    stack.restart("cabinetd")
    trouble = wait_trouble(stack)
    assert "cabinetd journal replace" in trouble
    until(lambda: "store" in alarms(stack), within_s=WITHIN_S, what="the fleet shows the alarm")
    with pytest.raises(DemoError, match="no-full-battery"):
        stack.start_swap()  # without its books the cabinet offers nothing
    assert not stack.charging()
    assert pulses(stack, seq) == []
    assert database.read_bytes() == bytes(data), "the broken file is left alone"

    stack.programs["cabinetd"].stop()
    told = stack._run("cabinetd", "journal", "replace", "--config", str(stack.cabinet_config))
    assert "new journal" in told
    assert any(p.read_bytes() == bytes(data) for p in database.parent.glob("*.broken-*"))
    stack.restart("cabinetd")
    wait_sound(stack)
    stack.wait_cabinet_online()
    stack.whole_swap(rider_pack(stack))
    stack.assert_truth_is_ledger()


def rider_pack(stack: SystemStack) -> str:
    """What the ledger says the rider holds."""
    holder = f"rider:{stack.rider_id}"
    rows = read_rows(stack.fleet_db, f"SELECT serial FROM battery WHERE holder = '{holder}'")
    return str(rows[0][0])
