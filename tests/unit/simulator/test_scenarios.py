"""Scenario files: strict reading, published schema, verdicts, history, recording."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from typer.testing import CliRunner

from protocols import signing
from protocols.offline import parse_ticket, rider_number
from simulator.errors import ConfigError
from simulator.main import app
from simulator.scenario.cabinet import signed_ticket
from simulator.scenario.history import RUNS_MAX, Run, add, read
from simulator.scenario.judge import Sight, wrong
from simulator.scenario.load import BYTES_MAX, library, parse
from simulator.scenario.model import Expect, Scenario, json_schema
from simulator.scenario.record import Recorder, scenario_text

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "simulator" / "scenario" / "schema.json"
TABLE = SCHEMA.with_name("README.md")
HEAD = "schema: 1\nname: a-b\ntitle: T\nsteps:\n"

#: Every case of the swap transaction that a cabinet without a fleet can be put into.
CASES = {
    "Scan and eligibility check",
    "No full battery",
    "No empty slot",
    "Double scan",
    "Double tap",
    "Two riders",
    "Assigned empty slot is occupied",
    "Network down",
    "Door won't open",
    "Door left open",
    "Rider inserts nothing",
    "Half inserted",
    "BMS silent",
    "Foreign or unregistered battery",
    "Battery valid but not the one lent to him",
    "Hot or damaged battery",
    "Full battery not taken",
    "Battery put in another slot",
    "Rider takes a battery without returning one",
    "Second-scan resume",
    "Rider wants his own battery back",
    "Power cut",
    "Power cut mid-swap",
    "Daemon killed at any step",
    "Late, duplicated and reordered reports",
    "Smoke in mid-swap",
}


def scenario(text: str) -> Scenario:
    return parse((HEAD + text).encode(), "my.yaml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "  - ask: {ridder: 1}\n",
            "my.yaml:5: unknown key steps[0].ask.ridder: did you mean rider?",
        ),
        (
            "  - note: x\n    hands: {}\n",
            "my.yaml:6: unknown key steps[0].hands: did you mean hand?",
        ),
        (
            "  - wait_s: 1\n  - hand: {do: shove, slot: in}\n",
            "my.yaml:6: steps[1].hand.do: Invalid",
        ),
        (
            "  - hand: {do: close, slot: 13}\n",
            "my.yaml:5: steps[0].hand.slot: Expected `int` <= 12",
        ),
        (
            "  - ask: {kind: pickup}\n",
            "my.yaml:5: steps[0].ask: kind needs ticket",
        ),
        (
            "  - ask: {ticket: 1, code: wrong}\n",
            "my.yaml:5: steps[0].ask: give either ticket or code",
        ),
        (
            "  - hand: {do: close}\n",
            "my.yaml:5: steps[0].hand: Object missing required field `slot`",
        ),
        ("  - note: nothing\n", "my.yaml:5: steps[0]: give exactly one of ask"),
        ("  - {wait_s: 1, speed: 2}\n", "my.yaml:5: steps[0]: give exactly one of"),
        ("  - fault: {kind: crc}\n", "my.yaml:5: steps[0].fault: give either slot or target"),
        ("  - expect: {door: open}\n", "my.yaml:5: steps[0].expect: door, holds"),
        ("  - expect:\n      prompt: [done, 7]\n", "my.yaml:6: steps[0].expect.prompt"),
        ("  - wait_s: soon\n", "my.yaml:5: steps[0].wait_s: Expected `float | null`"),
        ("  - wait_s: 1\n    wait_s: 2\n", "my.yaml:6: key wait_s stands twice"),
        ("  - wait_s: [1\n", "my.yaml:6: not YAML"),
        ("  - wait_s: !!python/object:os.system x\n", "my.yaml:5: 'x' cannot be read"),
        ("  - wait_s: 2026-13-45\n", "my.yaml:5: '2026-13-45' cannot be read"),
        ("", "my.yaml:4: steps: Expected `array`"),
        ("  - " + "[" * 40 + "]" * 40, "my.yaml:5: nested too deeply"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_key(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        scenario(text)
    assert str(caught.value).startswith(told), caught.value


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "x.yaml:1: is empty"),
        (b"- 1\n", "x.yaml:1: the file: Expected `object`"),
        (b"schema: 2\nname: a\ntitle: t\nsteps: [{wait_s: 1}]\n", "x.yaml:1: schema: Invalid"),
        (b"\xff\xfe", "x.yaml: not UTF-8"),
        (b"#" * (BYTES_MAX + 1), "x.yaml: larger than"),
        (b"a: &a [*a]\n", "x.yaml"),
    ],
)
def test_a_file_that_is_none(data: bytes, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(data, "x.yaml")
    assert str(caught.value).startswith(told), caught.value


def test_the_published_schema_is_the_models() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json_schema(), (
        "run: swapsim scenario schema > simulator/scenario/schema.json"
    )


def test_the_library_covers_every_case() -> None:
    found = library()
    assert len(found) >= 20
    covered = {case for scenario in found.values() for case in scenario.covers}
    assert covered == CASES
    for name, each in found.items():
        assert any(step.expect for step in each.steps), name
        assert each.name == name


def test_the_table_names_every_scenario_and_only_tests_that_exist() -> None:
    rows = TABLE.read_text(encoding="utf-8").split("|---|---|---|\n")[1]
    named = set(re.findall(r"`([^`]+)`", rows))
    tests = {name for name in named if name.startswith("tests/")}
    assert named - tests == set(library())
    assert [name for name in sorted(tests) if not (ROOT / name).is_file()] == []


def test_tickets_are_signed_and_stay_the_same() -> None:
    private, public = signing.generate()
    text = signed_ticket(7, "pickup", "scenario-1-1", 1_700_000_000_000, private)
    ticket = parse_ticket(text)
    assert signing.verify(ticket, public)
    assert (ticket.kind, ticket.id, ticket.number) == ("pickup", "scenario-1-1", rider_number(7))


# --- verdicts -------------------------------------------------------------------------------------


def sight(**more: Any) -> Sight:
    pack = {"serial": "YZ48-000001"}
    truth = {"slots": [{"door": "open", "charging": False, "pack": pack}]}
    slots = [{"slot": 1, "state": "reserved", "flags": ["duplicate"]}]
    told = {"telemetry": {"alarms": ["smoke"], "slots": slots}}
    kiosk = {"prompt": {"key": "done", "reason": None}, "active": False}
    events = [{"kind": "lock-pulse", "slot": 1}, {"kind": "lock-pulse", "slot": 2}]
    fields = {"truth": truth, "told": told, "kiosk": kiosk, "events": events, "slot": 1, **more}
    return Sight(serials={"own": "YZ48-000001", "nameless": None}, **fields)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"prompt": "done"}, {"prompt": ("rejected", "cancelled")}),
        ({"prompt": ("done", "rejected")}, {"reason": "foreign-pack"}),
        ({"alarm": "smoke"}, {"alarm": "flood"}),
        ({"quiet": True}, {"quiet": False}),
        ({"door": "open"}, {"door": "closed"}),
        ({"charging": False}, {"charging": True}),
        ({"state": "reserved"}, {"state": ("ready", "empty")}),
        ({"flag": "duplicate"}, {"flag": "quarantine"}),
        ({"holds": "own"}, {"holds": "foreign"}),
        ({"holds": "any"}, {"holds": "nothing"}),
        ({"holds": "own"}, {"holds": "nameless"}),
        ({"event": "lock-pulse"}, {"event": "door-opened"}),
        ({"pulses_max": 1}, {"pulses_max": 0}),
        ({"opened_max": 0}, {"event": "door-closed"}),
    ],
)
def test_what_is_as_expected_and_what_is_not(good: dict[str, Any], bad: dict[str, Any]) -> None:
    def verdict(fields: dict[str, Any]) -> list[str]:
        return wrong(msgspec.convert({"slot": 1, **fields}, Expect), sight())

    assert verdict(good) == []
    assert len(verdict(bad)) == 1
    assert next(iter(bad)) in verdict(bad)[0]


def test_without_a_slot_everything_counts() -> None:
    expect = msgspec.convert({"pulses_max": 1}, Expect)
    assert wrong(expect, sight(slot=None)) == ["pulses_max: 2 lock pulses, 1 at most"]


# --- history --------------------------------------------------------------------------------------


def test_history_is_kept_bounded_and_survives_a_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "h.jsonl"
    one = Run(wall_ms=1, scenario="swap", result="passed", seconds=1.5, seed=1)
    add(path, [one])
    with path.open("a", encoding="utf-8") as file:
        file.write("not json\n")
    add(path, [msgspec.structs.replace(one, wall_ms=2)])
    assert [run.wall_ms for run in read(path)] == [1, 2]
    add(path, [one] * (RUNS_MAX + 5))
    assert len(read(path)) == RUNS_MAX
    shown = command("scenario", "history", "--history", str(path), "--failed", "--json")
    assert json.loads(shown.stdout) == []


# --- recording ------------------------------------------------------------------------------------


def look(prompt: str, slot: int | None, active: bool, **door: str) -> tuple[Any, Any]:
    slots = [
        {
            "slot": n,
            "door": door.get(f"door{n}", "closed"),
            "presence": door.get(f"in{n}", "absent"),
        }
        for n in (1, 2)
    ]
    told = {"telemetry": {"slots": slots}}
    return told, {"active": active, "prompt": {"key": prompt, "slot": slot, "reason": None}}


def test_what_was_seen_becomes_a_scenario() -> None:
    recorder = Recorder()
    for told, kiosk in [
        look("welcome", None, False, in2="present"),
        look("open-return", 1, True, in2="present"),
        look("put-battery", 1, True, door1="open", in2="present"),
        look("put-battery", 1, True, door1="open", in1="present", in2="present"),
        look("checking", 1, True, in1="present", in2="present"),
        look("take-battery", 2, True, door2="open", in1="present", in2="present"),
        look("close-door", 2, True, door2="open", in1="present"),
        look("done", None, False, in1="present"),
    ]:
        recorder.look(told, kiosk)
    text = scenario_text(recorder.steps, "seen", "Seen")
    read_back = parse(text.encode(), "seen.yaml")
    assert [next(iter(step)) for step in yaml.safe_load(text)["steps"]] == [
        "ask", "expect", "hand", "hand", "expect", "hand", "expect", "hand", "expect",
    ]  # fmt: skip
    hands = [(step.hand.do, step.hand.slot) for step in read_back.steps if step.hand]
    assert hands == [("insert", "in"), ("close", "in"), ("remove", "out"), ("close", "out")]


# --- commands -------------------------------------------------------------------------------------


def command(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def test_commands_that_need_no_cabinet(tmp_path: Path) -> None:
    listed = command("scenario", "list")
    assert "swap " in listed.stdout
    assert "needs restart" in listed.stdout
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(HEAD + "  - wait_s: 1\n", encoding="utf-8")
    bad.write_text(HEAD + "  - wait: 1\n", encoding="utf-8")
    assert command("scenario", "check", str(good)).exit_code == 0
    found = command("scenario", "check", str(good), str(bad))
    assert found.exit_code == 1
    assert f"{bad}:5: unknown key steps[0].wait: did you mean wait_s?" in found.stderr
    assert command("scenario", "run").exit_code == 2
    assert command("scenario", "run", "swap").exit_code == 2
    assert command("scenario", "run", "no-such-scenario").exit_code == 1
    key = tmp_path / "group.key"
    key.write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", encoding="utf-8")
    lost = command(
        *("scenario", "run", "swap", "--http", "http://127.0.0.1:9"),
        *("--cabinet", "http://127.0.0.1:9", "--group-key", str(key)),
    )
    assert lost.exit_code == 3
