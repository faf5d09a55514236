"""A ledger put back from an old copy is whole again without a hand, whether fleetd was told or not."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import httpx2
import pytest

from deploy.demo.errors import DemoError, ProgramError
from deploy.demo.stack import Options
from deploy.demo.waiting import now_s, until
from tests.support import proof
from tests.support.stack import SystemStack, parse_metrics, read_rows

pytestmark = pytest.mark.system

WHOLE_WITHIN_S: Final = 60.0
#: More full packs than there are swaps here.
FULL_SLOTS: Final = range(3, 13)
Restore = Callable[[SystemStack, Path], None]


@pytest.fixture(scope="module")
def stack_options() -> Options:
    packs = "".join(
        f'[[pack]]\nslot = {slot}\nserial = "YZ48-{slot:06}"\nsoc_pct = 100\n'
        for slot in FULL_SLOTS
    )
    return Options(broker="nats", simulator_toml=packs)


def rider_pack(stack: SystemStack) -> str:
    """What the ledger says the rider holds."""
    ((serial,),) = read_rows(
        stack.fleet_db, f"SELECT serial FROM battery WHERE holder = 'rider:{stack.rider_id}'"
    )
    return str(serial)


def events(path: Path) -> int:
    return int(read_rows(path, "SELECT count(*) FROM event")[0][0])


def incarnation(stack: SystemStack) -> str:
    return str(read_rows(stack.fleet_db, "SELECT value FROM meta WHERE name = 'incarnation'")[0][0])


def renewals(stack: SystemStack) -> float:
    text = httpx2.get(f"{stack.fleet_url}/metrics", trust_env=False).text
    return parse_metrics(text)["ledger_renewals_total"]


def by_the_book(stack: SystemStack, copy: Path) -> None:
    """One command does it all."""
    answer = json.loads(stack.fleet("restore", str(copy), "--json"))
    assert Path(answer["aside"]).exists()


def by_hand_and_told(stack: SystemStack, copy: Path) -> None:
    """The files changed by hand, and fleetd told."""
    by_hand_and_forgotten(stack, copy)
    assert stack.fleet("restored").startswith("new incarnation")


def by_hand_and_forgotten(stack: SystemStack, copy: Path) -> None:
    """The files changed by hand, and nobody said a word."""
    ledger = stack.fleet_data / "fleet.db"
    for tail in ("", "-wal", "-shm"):
        Path(f"{ledger}{tail}").unlink(missing_ok=True)
    shutil.copy(copy, ledger)


def online_copy(stack: SystemStack, copy: Path) -> None:
    """What another backup tool would take: SQLite's own, without a word to fleetd."""
    with closing(sqlite3.connect(stack.fleet_db)) as old, closing(sqlite3.connect(copy)) as new:
        old.backup(new)


def test_a_backup_is_taken_while_fleetd_runs_and_never_overwritten(
    stack: SystemStack, tmp_path: Path
) -> None:
    copy = tmp_path / "monday.db"
    report = json.loads(stack.fleet("backup", str(copy), "--json"))
    assert report["events"] == events(copy)
    assert report["incarnation"] == incarnation(stack)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["monday.db"]
    with pytest.raises(ProgramError, match="code 2"):
        stack.fleet("backup", str(copy))
    with pytest.raises(ProgramError, match="another fleetd runs here"):
        stack.fleet("restored")
    with pytest.raises(ProgramError, match="another fleetd runs here"):
        stack.fleet("restore", str(copy))


@pytest.mark.parametrize(
    ("put_back", "finds_out"),
    [
        pytest.param(by_hand_and_forgotten, True, id="forgotten"),
        pytest.param(by_the_book, False, id="fleetd-restore", marks=pytest.mark.slow),
        pytest.param(by_hand_and_told, False, id="told", marks=pytest.mark.slow),
    ],
)
def test_the_swaps_since_the_backup_are_there_again(
    stack: SystemStack, tmp_path: Path, put_back: Restore, finds_out: bool
) -> None:
    # A new daemon comes back to a broker soon; one that lost it thrice in a minute is in no hurry.
    stack.kill9("cabinetd")
    stack.restart("cabinetd")
    stack.wait_serving()
    copy = tmp_path / "old.db"
    if finds_out:
        online_copy(stack, copy)
    else:
        stack.fleet("backup", str(copy))
    before = incarnation(stack)

    done, _ = stack.whole_swap(rider_pack(stack))
    stack.assert_truth_is_ledger()
    since = stack.ledger(done)
    lost = events(stack.fleet_db) - events(copy)
    assert lost > 5

    # One more is under way while the ledger goes back.
    serial = rider_pack(stack)
    open_swap = stack.start_swap()
    slot_in = stack.wait_step(open_swap, "await-return")["slot_in"]
    stack.programs["fleetd"].stop()
    put_back(stack, copy)
    started_s = now_s()
    stack.restart("fleetd")
    until(stack.rider.ready, within_s=WHOLE_WITHIN_S, what="fleetd", on_timeout=stack.tails)
    whole_again(stack, done)
    healed_s = now_s() - started_s

    assert incarnation(stack) != before
    assert renewals(stack) == (1 if finds_out else 0)
    moved = [(row["serial"], row["from_holder"], row["to_holder"]) for row in stack.ledger(done)]
    assert moved == [(row["serial"], row["from_holder"], row["to_holder"]) for row in since]

    stack.hands.give(slot_in, serial)
    slot_out = stack.wait_step(open_swap, "await-pickup")["slot_out"]
    stack.hands.take(slot_out)
    stack.sim.close_door(slot_out)
    stack.wait_step(open_swap, "completed")
    stack.assert_truth_is_ledger()

    # And the next one begins: the restored fleet's orders are not taken for old ones.
    stack.wait_serving()
    stack.whole_swap(rider_pack(stack))
    stack.assert_truth_is_ledger()
    how = put_back.__name__.replace("_", " ")
    proof.record(
        f"fleet backup put back {how}",
        f"{lost} lost events there again {healed_s:.1f} s after the start, audit clean",
        "all, without a hand",
        True,
    )


def whole_again(stack: SystemStack, swap_id: str) -> None:
    """The ledger knows the swap that the backup did not, and equals the truth."""

    def completed() -> bool:
        try:
            return bool(stack.rider.swap(swap_id)["step"] == "completed")
        except DemoError:
            return False

    until(
        completed,
        within_s=WHOLE_WITHIN_S,
        what=f"swap {swap_id} in the restored ledger",
        on_timeout=stack.tails,
    )
    stack.assert_truth_is_ledger()
