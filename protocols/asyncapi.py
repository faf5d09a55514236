"""The MQTT contract as an AsyncAPI 3 document, made from the message Structs.

``python -m protocols.asyncapi`` writes ``asyncapi.yaml`` beside this module; a test compares the
two, so the published contract cannot drift from the code.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from protocols import messages
from protocols.command_args import COMMAND_ARGS
from protocols.topics import CABINET_ID, ROOT, SHARDS, UP, Leaf

PATH: Final = Path(__file__).with_name("asyncapi.yaml")
HEADER: Final = "# Made by `python -m protocols.asyncapi`; edit the Structs, not this file.\n"

_SCHEMA_REF: Final = "#/components/schemas/{name}"
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-/ ")
#: Plain words that YAML 1.1 or 1.2 reads as something else than text.
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})

Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Channel:
    """How one leaf is used."""

    leaf: Leaf
    kind: type[Struct]
    qos: int
    summary: str
    retain: bool = False


_CHANNELS: Final = (
    _Channel(Leaf.STATUS, messages.Status, 1, "Presence, also the last will.", retain=True),
    _Channel(Leaf.TELEMETRY, messages.Telemetry, 0, "The whole cabinet, latest only."),
    _Channel(Leaf.EVENT, messages.Event, 1, "The outbox, in order, until it is acknowledged."),
    _Channel(Leaf.RESULT, messages.Result, 1, "Answers to commands and challenges."),
    _Channel(Leaf.CHALLENGE, messages.Challenge, 0, "Asks for fresh nonces."),
    _Channel(Leaf.ACK, messages.Ack, 0, "Cumulative, sent after the commit."),
    _Channel(
        Leaf.COMMAND,
        messages.Command,
        1,
        "Signed, expiring orders; QoS 0 where the broker would keep them for a later session.",
    ),
    _Channel(
        Leaf.DESIRED_CONFIG, messages.DesiredConfig, 1, "Settings from the fleet.", retain=True
    ),
    _Channel(Leaf.DESIRED_PLAN, messages.DesiredPlan, 1, "Power limits over time.", retain=True),
    _Channel(
        Leaf.DESIRED_LISTS,
        messages.DesiredList,
        1,
        "Known packs, denied packs and riders; one chunk in each numbered topic.",
        retain=True,
    ),
)


def document() -> Node:
    """The whole AsyncAPI document, from the cabinet's point of view."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Yizhan cabinet",
            "version": "1",
            "description": (
                "What a cabinet sends and receives over MQTT 3.1.1 or later. Payloads are JSON of "
                f"at most {messages.PAYLOAD_BYTES_MAX} bytes. Unknown fields are refused on what a "
                "cabinet receives and ignored on what it sends. The shard is the CRC-32 of the "
                f"cabinet id modulo {SHARDS}, as two lower-case hex digits."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {_key(channel): _channel(channel) for channel in _CHANNELS},
        "operations": {_key(channel): _operation(channel) for channel in _CHANNELS},
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def render() -> str:
    """The document as YAML text."""
    return HEADER + "".join(_yaml(document(), 0))


def _key(channel: _Channel) -> str:
    return channel.leaf.value.replace("/", "-")


def _channel(channel: _Channel) -> Node:
    chunked = channel.leaf is Leaf.DESIRED_LISTS
    parameters: Node = {
        "shard": {"description": "Two lower-case hex digits, from the cabinet id."},
        "cabinet": {"description": f"Matches {CABINET_ID.pattern}.", "examples": ["DH-0001"]},
    }
    if chunked:
        parameters["chunk"] = {"description": "Number of the chunk, from 0."}
    tail = f"{channel.leaf.value}/{{chunk}}" if chunked else channel.leaf.value
    return {
        "address": f"{ROOT}/{{shard}}/{{cabinet}}/{tail}",
        "summary": channel.summary,
        "parameters": parameters,
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"} for name in _names(channel.kind)
        },
    }


def _operation(channel: _Channel) -> Node:
    operation: Node = {
        "action": "send" if channel.leaf in UP else "receive",
        "channel": {"$ref": f"#/channels/{_key(channel)}"},
        "summary": channel.summary,
        "bindings": {
            "mqtt": {"qos": channel.qos, "retain": channel.retain, "bindingVersion": "0.2.0"}
        },
    }
    if channel.leaf is Leaf.CHALLENGE or channel.leaf is Leaf.COMMAND:
        operation["reply"] = {"channel": {"$ref": f"#/channels/{Leaf.RESULT.value}"}}
    return operation


def _names(kind: type[Struct]) -> list[str]:
    """Names of a channel's messages: one for each type of event and of command."""
    if kind is messages.Event:
        return list(messages.EVENT_BODIES)
    if kind is messages.Command:
        return list(COMMAND_ARGS)
    return [kind.__name__]


def _messages() -> Node:
    found: Node = {}
    for channel in _CHANNELS:
        for name in _names(channel.kind):
            found[name] = {"name": name, "payload": _payload(channel.kind, name)}
    return found


def _payload(kind: type[Struct], name: str) -> Node:
    envelope = {"$ref": _SCHEMA_REF.format(name=kind.__name__)}
    if kind is messages.Event:
        return _typed(envelope, name, "body", messages.EVENT_BODIES[name])
    if kind is messages.Command:
        return _typed(envelope, name, "args", COMMAND_ARGS[name])
    return envelope


def _typed(envelope: Node, name: str, field: str, inner: type[Struct]) -> Node:
    """An envelope whose type is fixed and whose inner field is therefore known."""
    inner_ref = {"$ref": _SCHEMA_REF.format(name=inner.__name__)}
    return {"allOf": [envelope, {"properties": {"type": {"const": name}, field: inner_ref}}]}


def _schemas() -> Node:
    kinds = [channel.kind for channel in _CHANNELS]
    kinds += messages.EVENT_BODIES.values()
    kinds += COMMAND_ARGS.values()
    _, schemas = msgspec.json.schema_components(
        list(dict.fromkeys(kinds)), ref_template=_SCHEMA_REF
    )
    return {name: _described(schemas[name]) for name in sorted(schemas)}


def _described(node: Any) -> Any:
    """The schema with docstrings as plain text and tuples as lists."""
    if isinstance(node, dict):
        return {
            key: _prose(value) if key == "description" else _described(value)
            for key, value in node.items()
        }
    if isinstance(node, list | tuple):
        return [_described(item) for item in node]
    return node


def _prose(text: str) -> str:
    return " ".join(inspect.cleandoc(text).replace("``", "`").split())


def _yaml(node: Any, depth: int) -> list[str]:
    """Block YAML of dicts, lists and scalars; text is quoted as JSON unless it is plainly text."""
    pad = "  " * depth
    lines: list[str] = []
    entries = (
        [(f"{_scalar(key)}:", value) for key, value in node.items()]
        if isinstance(node, dict)
        else [("-", value) for value in node]
    )
    for lead, value in entries:
        if isinstance(value, dict | list) and value:
            lines.append(f"{pad}{lead}\n")
            lines += _yaml(value, depth + 1)
        else:
            lines.append(f"{pad}{lead} {_scalar(value)}\n")
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, str) and value and set(value) <= _PLAIN:
        text = value[0].isalpha() and value == value.strip() and value.lower() not in _WORDS
        if text:
            return value
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
