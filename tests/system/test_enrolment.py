"""Joining the fleet with the real programs: tokens, a second enrolment, a replaced journal, new keys."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deploy.demo.processes import LOOPBACK, free_port, program_env
from deploy.demo.stack import Options
from deploy.demo.waiting import until
from protocols.enrolment import Token, parse_token, token_text
from tests.support.stack import SystemStack, read_rows

pytestmark = pytest.mark.system

CHANGED_WITHIN_S = 60.0


@pytest.fixture(
    scope="module",
    # tests/contract has the joining on either broker at every push.
    params=["nats", pytest.param("mosquitto", marks=pytest.mark.slow)],
)
def stack_options(request: pytest.FixtureRequest) -> Options:
    return Options(broker=request.param)


def enrol(stack: SystemStack, token: str) -> subprocess.CompletedProcess[str]:
    """`cabinetd enrol`, with the token on its standard input."""
    command = [str(Path(sys.executable).parent / "cabinetd"), "enrol", "--token-file", "-"]
    return subprocess.run(
        [*command, "--config", str(stack.cabinet_config)],
        input=token,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=program_env(stack.mark),
    )


def new_token(stack: SystemStack) -> str:
    told = json.loads(stack.fleet("cabinet", "token", stack.options.cabinet_id, "--json"))
    return str(told["token"])


def held(stack: SystemStack) -> dict[str, object]:
    facts: dict[str, object] = json.loads((stack.credentials / "current/fleet.json").read_text())
    return facts


def epochs(stack: SystemStack) -> list[int]:
    """Of the events that the ledger has."""
    rows = read_rows(stack.fleet_db, "SELECT DISTINCT epoch FROM event ORDER BY epoch")
    return [int(epoch) for (epoch,) in rows]


def connections(stack: SystemStack) -> int:
    state = httpx2.get(f"{stack.cabinet_url}/state.json", trust_env=False).json()
    return int(state["uplink"]["connections"])


def test_the_stack_joined_as_anybody_would(stack: SystemStack) -> None:
    assert held(stack)["epoch"] == 1
    until(lambda: epochs(stack) == [1], within_s=CHANGED_WITHIN_S, what="events of that epoch")
    urls = held(stack)["broker_urls"]
    assert urls == [f"mqtts://{LOOPBACK}:{stack.broker_port}"]


def test_every_failure_has_its_exit_code_and_leaves_what_was(stack: SystemStack) -> None:
    before = held(stack)
    token = parse_token(new_token(stack))
    elsewhere = Token(token.id, token.secret, token.fingerprint, f"{LOOPBACK}:{free_port()}")
    guess = Token(token.id, bytes(16), token.fingerprint, token.place)
    other = Token(token.id, token.secret, bytes(16), token.place)
    for text, code, says in (
        ("", 2, "does not begin with yz1."),
        (token_text(token)[:-4], 2, "check sum"),
        (token_text(guess), 1, "not known to this fleet"),
        (token_text(other), 1, "in between"),
        (token_text(elsewhere), 3, "refused"),
    ):
        done = enrol(stack, text)
        assert (done.returncode, says in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.stderr
        assert token.secret.hex() not in done.stderr + done.stdout
    assert held(stack) == before


def test_enrolled_again_while_it_runs(stack: SystemStack) -> None:
    """The old certificate is out, the daemon goes on with the new one by itself."""
    token = new_token(stack)
    before = connections(stack)
    done = enrol(stack, token)
    assert done.returncode == 0, done.stderr
    assert held(stack)["epoch"] == 2
    until(
        lambda: connections(stack) > before,
        within_s=CHANGED_WITHIN_S,
        what="a connection with the new certificate",
        on_timeout=stack.tails,
    )
    stack.wait_cabinet_online()
    again = enrol(stack, token)
    assert (again.returncode, "used already" in again.stderr) == (1, True)
    stack.whole_swap("YZ48-000101")
    stack.assert_truth_is_ledger()
    assert epochs(stack) == [1], "a journal that lives on keeps its epoch"


def test_a_new_journal_starts_with_the_epoch_that_enrolment_minted(stack: SystemStack) -> None:
    stack.programs["cabinetd"].stop()
    for file in stack.cabinet_data.glob("cabinet.db*"):
        file.unlink()
    assert enrol(stack, new_token(stack)).returncode == 0
    assert held(stack)["epoch"] == 3
    stack.restart("cabinetd")
    stack.wait_cabinet_online()
    until(
        lambda: epochs(stack) == [1, 3],
        within_s=CHANGED_WITHIN_S,
        what="events of the new epoch",
        on_timeout=stack.tails,
    )
    first = read_rows(stack.fleet_db, "SELECT MIN(seq) FROM event WHERE epoch = 3")
    assert first == [(1,)]
    stack.assert_truth_is_ledger()


def test_keys_are_replaced_under_a_running_cabinet(stack: SystemStack) -> None:
    """The command key and the group key, each in two steps; a swap after each of them."""

    def status() -> dict[str, Any]:
        told: dict[str, Any] = json.loads(stack.fleet("command-key", "status", "--json"))
        return told

    def rotate(*words: str) -> None:
        stack.fleet(*words)
        until(
            lambda: status()["waiting_for"] == [],
            within_s=CHANGED_WITHIN_S,
            what="the cabinet has fetched what is new",
            every_s=0.5,
            on_timeout=stack.tails,
        )

    first = status()
    rotate("command-key", "rotate")
    following = status()["next"]
    assert held(stack)["command_keys"] == [first["current"], following]
    _, received = stack.whole_swap(rider_pack(stack))
    rotate("command-key", "rotate")
    assert status()["current"] == following
    assert held(stack)["command_keys"] == [following]
    _, received = stack.whole_swap(received)
    rotate("group-key", "rotate")
    lines = (stack.credentials / "current/group.key").read_text().splitlines()
    assert len(set(lines)) == 2
    rotate("group-key", "retire")
    assert (stack.credentials / "current/group.key").read_text().splitlines() == lines[:1]
    stack.whole_swap(received)
    stack.assert_truth_is_ledger()


def rider_pack(stack: SystemStack) -> str:
    """What the rider holds, by the ledger."""
    query = f"SELECT serial FROM battery WHERE holder = 'rider:{stack.rider_id}'"
    ((serial,),) = read_rows(stack.fleet_db, query)
    return str(serial)


def test_a_disabled_cabinet_is_out_until_it_joins_again(stack: SystemStack) -> None:
    stack.fleet("cabinet", "disable", stack.options.cabinet_id)

    def offline() -> bool:
        view = stack.rider.cabinet(stack.options.cabinet_id)
        return view is not None and not view["online"]

    until(offline, within_s=CHANGED_WITHIN_S, what="the cabinet offline", on_timeout=stack.tails)
    assert enrol(stack, new_token(stack)).returncode == 0
    stack.wait_cabinet_online()
