"""A command whose commit failed: its answer is one and the same, however often the store fails."""

from __future__ import annotations

from cabinet.core.act import Acting, Answer, Commit, Load, Tell
from cabinet.core.engine import Input, Observed
from cabinet.core.engine_model import CommandReceived, DocumentReceived, Outcome
from cabinet.core.records import Restored, ResultRow, SnapshotRow
from protocols.messages import DesiredList
from tests.support.cabinet_rig import CABINET, Rig, signed


class Shell:
    """Carries requests out on a disk that fails as told; ``late`` writes all the same."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.acting = Acting(rig.engine, rig.state)
        self.fails: list[str] = []  # one entry per commit: "", "clean" or "late"
        self.disk = Restored()
        self.told: list[tuple[str, str]] = []

    def turn(self, event: Input) -> None:
        turn = self.acting.turn(event, lambda: self.rig.now)
        answer: Answer = None
        while True:
            try:
                request = turn.send(answer)
            except StopIteration:
                return
            answer = None
            if isinstance(request, Commit):
                answer = self._commit(request)
            elif isinstance(request, Load):
                answer = self.disk
            elif isinstance(request, Tell):
                self._tell(request.outcome)

    def _commit(self, request: Commit) -> str | None:
        how = self.fails.pop(0) if self.fails else ""
        if how != "clean":
            for row in request.writes:
                if isinstance(row, SnapshotRow):
                    self.disk = Restored(snapshot=row.data, results=self.disk.results)
                elif isinstance(row, ResultRow):
                    results = (*self.disk.results, row.result)
                    self.disk = Restored(snapshot=self.disk.snapshot, results=results)
        return how or None

    def _tell(self, outcome: Outcome) -> None:
        self.told += [(reply.id, reply.outcome) for reply in outcome.replies]

    def look(self) -> None:
        self.rig.now_ms += 1_100
        self.turn(Observed(self.rig.image()))


def test_the_answer_waits_until_the_store_really_works() -> None:
    rig = Rig().ready()
    order = rig.order("swap.start", {"kind": "pickup", "rider_id": "R1"}, swap_id="S")
    again = rig.order("swap.start", {"kind": "pickup", "rider_id": "R1"}, swap_id="S", id=order.id)
    shell = Shell(rig)
    shell.fails = ["late", "clean"]  # the order is on the disk; the store fails once more
    shell.turn(CommandReceived(order))
    shell.look()
    shell.turn(CommandReceived(again))
    shell.look()
    shell.turn(CommandReceived(again))
    answers = {outcome for name, outcome in shell.told if name == order.id}
    assert answers == {"accepted"}


def test_an_order_that_is_not_on_the_disk_is_turned_down() -> None:
    rig = Rig().ready()
    order = rig.order("swap.start", {"kind": "pickup", "rider_id": "R1"}, swap_id="S")
    shell = Shell(rig)
    shell.fails = ["clean"]
    shell.turn(CommandReceived(order))
    shell.look()
    assert ("cmd-1", "refused") in shell.told
    shell.turn(CommandReceived(order))  # a copy that the broker kept
    assert ("cmd-1", "accepted") not in shell.told


def test_a_list_that_could_not_be_written_is_taken_up_when_the_store_works_again() -> None:
    """The broker says a desired document once; without its list a cabinet knows no foreign pack."""
    rig = Rig().ready()
    shell = Shell(rig)
    first = signed(DesiredList(cabinet=CABINET, version=1, chunk=0, chunks=2, packs=("P-1",)))
    second = signed(DesiredList(cabinet=CABINET, version=1, chunk=1, chunks=2, packs=("P-2",)))
    shell.turn(DocumentReceived(first))
    shell.fails = ["clean"]
    shell.turn(DocumentReceived(second))
    assert shell.acting.state.lists.version == 0
    shell.look()
    shell.look()
    assert shell.acting.state.lists.packs == {"P-1", "P-2"}
