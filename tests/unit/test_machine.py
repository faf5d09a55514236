"""Whose turn it is on a machine that several processes of tests share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.machine import WORKER

ROOT = Path(__file__).parents[2]
#: Takes turns and writes down when each began and ended, by a clock that all processes have.
PLAYER = """
import sys, time
from pathlib import Path
from tests.support.machine import turn
alone, turns = sys.argv[1] == "alone", int(sys.argv[2])
places = (Path(sys.argv[3]), Path(sys.argv[3]).parent)
print("up", flush=True)
sys.stdin.readline()
for _ in range(turns):
    with turn(alone=alone, places=places):
        began = time.monotonic()
        time.sleep(0.02)
        print(began, time.monotonic())
"""


def test_who_wants_it_alone_has_it_alone_and_is_let_in(tmp_path: Path) -> None:
    turnstile = tmp_path / "turnstile"
    turnstile.touch()
    env = {WORKER: "gw0", "PYTHONPATH": str(ROOT)}
    players = [
        subprocess.Popen(
            (sys.executable, "-c", PLAYER, kind, turns, str(turnstile)),
            env=env, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for kind, turns in (("alone", "5"), ("shared", "40"), ("shared", "40"))
    ]  # fmt: skip
    for player in players:
        assert player.stdout
        assert player.stdout.readline() == "up\n"
    told = []
    for player in players:
        assert player.stdin
        player.stdin.write("go\n")
        player.stdin.flush()
    for player in players:
        out, _ = player.communicate(timeout=120)
        told.append([tuple(map(float, line.split())) for line in out.splitlines()])
    alone, *shared = told
    others = [turn for turns in shared for turn in turns]
    assert (len(alone), len(others)) == (5, 80)
    assert not [
        (mine, theirs)
        for mine in alone
        for theirs in others
        if mine[0] < theirs[1] and theirs[0] < mine[1]
    ]
    assert alone[-1][1] < max(end for _, end in others), "it was let in while the others went on"
