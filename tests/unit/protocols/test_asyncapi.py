"""The published contract is the one in the code, is YAML, and hangs together."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from protocols import asyncapi, command_args, messages, topics

DOCUMENT = asyncapi.document()


def test_the_committed_file_is_the_generated_one() -> None:
    committed = asyncapi.PATH.read_text(encoding="utf-8")
    assert committed == asyncapi.render(), "run `python -m protocols.asyncapi`"


def test_the_command_writes_it(tmp_path: Path) -> None:
    copy = tmp_path / "protocols"
    copy.mkdir()
    for source in asyncapi.PATH.parent.glob("*.py"):
        (copy / source.name).write_bytes(source.read_bytes())
    subprocess.run(
        (sys.executable, "-m", "protocols.asyncapi"), cwd=tmp_path, check=True, timeout=120
    )
    assert (copy / "asyncapi.yaml").read_bytes() == asyncapi.PATH.read_bytes()


def test_a_yaml_reader_sees_the_same_document() -> None:
    assert yaml.safe_load(asyncapi.render()) == DOCUMENT


@pytest.mark.parametrize(
    "value",
    ["", "no", "Yes", "null", "1", "1.5", "-x", "a: b", "a # b", " a", "a ", "x\ny", "电", "~", "[a]",
     "0x1f", "true", "off", "y", "plain", "plain text", "#/a", "{a}", 'say "x"', "'", "\\", "2026-11-24",
     0, 1.5, True, None, [], {}, [[1], []], {"a": {"b": []}}, [{"a": 1, "b": [2]}]],
)  # fmt: skip
def test_any_value_is_written_so_that_it_is_read_back(value: object) -> None:
    node = {"key": value, "no": [value]}
    assert yaml.safe_load("".join(asyncapi._yaml(node, 0))) == node


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > 40
    for reference in found:
        node = DOCUMENT
        assert reference.startswith("#/")
        for part in reference.removeprefix("#/").split("/"):
            assert part in node, reference
            node = node[part]


def test_every_leaf_event_and_command_is_described() -> None:
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert addresses == {
        "yz/v1/{shard}/{cabinet}/" + leaf.value + ("/{chunk}" if "lists" in leaf.value else "")
        for leaf in topics.Leaf
    }
    described = set(DOCUMENT["components"]["messages"])
    assert described >= set(messages.EVENT_BODIES) | set(command_args.COMMAND_ARGS)
    assert set(DOCUMENT["components"]["schemas"]) >= {
        kind.__name__ for kind in messages.Message.__args__
    }


def test_parameters_are_those_of_the_address() -> None:
    for channel in DOCUMENT["channels"].values():
        used = {part[1:-1] for part in channel["address"].split("/") if part.startswith("{")}
        assert used == set(channel["parameters"])


def test_direction_and_delivery() -> None:
    operations = DOCUMENT["operations"]
    sent = {name for name, each in operations.items() if each["action"] == "send"}
    assert sent == {leaf.value for leaf in topics.UP}
    delivery = {
        name: (each["bindings"]["mqtt"]["qos"], each["bindings"]["mqtt"]["retain"])
        for name, each in operations.items()
    }
    assert delivery == {
        "status": (1, True),
        "telemetry": (0, False),
        "event": (1, False),
        "result": (1, False),
        "challenge": (0, False),
        "ack": (0, False),
        "command": (1, False),
        "desired-config": (1, True),
        "desired-plan": (1, True),
        "desired-lists": (1, True),
    }


def test_orders_are_closed_and_reports_are_open() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    closed = {name for name, each in schemas.items() if each.get("additionalProperties") is False}
    assert {"Ack", "Challenge", "Command", "DesiredPlan", "SlotArgs", "Precondition"} <= closed
    assert not {"Status", "Telemetry", "Event", "Result", "StepBody", "SlotTelemetry"} & closed
