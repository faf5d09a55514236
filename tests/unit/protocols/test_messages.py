"""Messages: every one round trips; strict where a cabinet obeys, lenient where it reports."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from protocols import command_args as a
from protocols import messages as m
from protocols.errors import MessageError
from tests.support.messages import ORDERS, REPORTS, SAMPLES, SIGNED

#: Structs that stand inside an order or an order's arguments.
INNER_ORDERS: Final[list[type[Struct]]] = [m.Precondition, *dict.fromkeys(a.COMMAND_ARGS.values())]
INNER_REPORTS: Final[list[type[Struct]]] = [
    m.SlotTelemetry,
    m.InventorySlot,
    *dict.fromkeys(m.EVENT_BODIES.values()),
]


def names(kinds: Any) -> list[str]:
    return [getattr(kind, "__name__", type(kind).__name__) for kind in kinds]


@pytest.mark.parametrize("message", SAMPLES, ids=names(SAMPLES))
def test_round_trip(message: Struct) -> None:
    payload = m.encode(message)
    again = m.decode(payload, type(message))
    assert m.encode(again) == payload
    assert json.loads(payload)["schema"] == 1 if hasattr(message, "schema") else True


def test_samples_leave_no_message_out() -> None:
    assert {type(message) for message in REPORTS} == {m.Status, m.Telemetry, m.Event, m.Result}
    assert {type(message) for message in ORDERS} >= {m.Ack, m.Challenge, m.Command}
    assert {type(message) for message in SIGNED} == set(m.Signed.__args__)
    assert {type(message) for message in [*REPORTS, *ORDERS]} == set(m.Message.__args__)


@pytest.mark.parametrize("message", ORDERS, ids=names(ORDERS))
def test_an_order_with_an_unknown_field_is_refused(message: Struct) -> None:
    payload = json.dumps({**json.loads(m.encode(message)), "later": 1}).encode()
    with pytest.raises(MessageError, match="unknown field `later`"):
        m.decode(payload, type(message))


@pytest.mark.parametrize("message", REPORTS, ids=names(REPORTS))
def test_a_report_with_an_unknown_field_is_read(message: Struct) -> None:
    payload = json.dumps({**json.loads(m.encode(message)), "later": 1}).encode()
    again = m.decode(payload, type(message))
    assert json.loads(m.encode(again)) == json.loads(m.encode(message))


@pytest.mark.parametrize("kind", INNER_ORDERS, ids=names(INNER_ORDERS))
def test_parts_of_orders_are_strict_too(kind: type[Struct]) -> None:
    assert kind.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize("kind", INNER_REPORTS, ids=names(INNER_REPORTS))
def test_parts_of_reports_are_lenient_too(kind: type[Struct]) -> None:
    assert not kind.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize("message", SAMPLES, ids=names(SAMPLES))
def test_another_schema_version_is_refused(message: Struct) -> None:
    body = json.loads(m.encode(message))
    if "schema" in body:
        with pytest.raises(MessageError, match="schema"):
            m.decode(json.dumps({**body, "schema": 2}).encode(), type(message))


def test_a_message_over_the_limit_is_neither_sent_nor_read() -> None:
    chunk = m.DesiredList(cabinet="DH-0001", version=1, chunk=0, chunks=1, packs=("X" * 50,) * 1300)
    with pytest.raises(MessageError, match=r"DesiredList: \d+ bytes, at most 65536"):
        m.encode(chunk)
    with pytest.raises(MessageError, match="Ack: 65537 bytes, at most 65536"):
        m.decode(b" " * (m.PAYLOAD_BYTES_MAX + 1), m.Ack)


def test_a_message_of_exactly_the_limit_is_read() -> None:
    payload = m.encode(m.Ack(epoch=1, seq=2, incarnation="a"))
    padded = payload + b" " * (m.PAYLOAD_BYTES_MAX - len(payload))
    assert m.decode(padded, m.Ack).seq == 2


def changed(message: Struct, **values: object) -> bytes:
    return json.dumps({**json.loads(m.encode(message)), **values}).encode()


EVENT = next(message for message in REPORTS if isinstance(message, m.Event))
COMMAND = next(message for message in ORDERS if isinstance(message, m.Command))
PLAN = next(message for message in ORDERS if isinstance(message, m.DesiredPlan))
LIST = next(message for message in ORDERS if isinstance(message, m.DesiredList))
TELEMETRY = next(message for message in REPORTS if isinstance(message, m.Telemetry))


@pytest.mark.parametrize(
    ("message", "values", "field"),
    [
        (EVENT, {"seq": 0}, "seq"),
        (EVENT, {"seq": True}, "seq"),
        (EVENT, {"seq": 1.5}, "seq"),
        (EVENT, {"epoch": -1}, "epoch"),
        (EVENT, {"type": ""}, "type"),
        (EVENT, {"boot_id": "a b"}, "boot_id"),
        (EVENT, {"wall_synced": 1}, "wall_synced"),
        (COMMAND, {"ttl_ms": 0}, "ttl_ms"),
        (COMMAND, {"ttl_ms": 30_001}, "ttl_ms"),
        (COMMAND, {"id": "x" * 65}, "id"),
        (COMMAND, {"nonce": "*"}, "nonce"),
        (COMMAND, {"args": []}, "args"),
        (COMMAND, {"sig": "x" * 129}, "sig"),
        (COMMAND, {"precondition": {"slot": 0}}, "precondition.slot"),
        (COMMAND, {"precondition": {"slot": 65}}, "precondition.slot"),
        (COMMAND, {"precondition": {"slot": 1, "presence": "maybe"}}, "precondition.presence"),
        (PLAN, {"power_w": []}, "power_w"),
        (PLAN, {"power_w": [-1]}, "power_w"),
        (PLAN, {"power_w": [0] * 1441}, "power_w"),
        (PLAN, {"step_s": 59}, "step_s"),
        (PLAN, {"target_soc_pct": [101]}, "target_soc_pct"),
        (LIST, {"packs": ["a b"]}, "packs"),
        (LIST, {"chunks": 0}, "chunks"),
        (TELEMETRY, {"slots": [{}]}, "slots"),
        (TELEMETRY, {"wall_ms": "now"}, "wall_ms"),
    ],
)
def test_values_out_of_range_are_refused_by_name(
    message: Struct, values: dict[str, object], field: str
) -> None:
    with pytest.raises(MessageError, match=rf"{type(message).__name__}: .*\$\.{field}"):
        m.decode(changed(message, **values), type(message))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_rubbish_is_refused(payload: bytes) -> None:
    for kind in m.Message.__args__:
        with pytest.raises(MessageError):
            m.decode(payload, kind)


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"epoch": NaN}', b"[" * 60_000]
)
def test_what_is_not_such_an_object_is_refused(payload: bytes) -> None:
    with pytest.raises(MessageError, match="Ack: "):
        m.decode(payload, m.Ack)


@pytest.mark.parametrize("message", [COMMAND, TELEMETRY], ids=["args", "unknown-field"])
def test_nesting_that_exhausts_the_stack_is_refused(message: Struct) -> None:
    field = "args" if isinstance(message, m.Command) else "later"
    payload = changed(message, **{field: {"deep": "HERE"}})
    deep = payload.replace(b'"HERE"', b"[" * 20_000 + b"]" * 20_000)
    with pytest.raises(MessageError, match="recursion"):
        m.decode(deep, type(message))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(message=st.sampled_from([*REPORTS, *ORDERS]), value=JSON, data=st.data())
def test_any_json_in_any_field_is_read_or_refused(
    message: Struct, value: object, data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(message.__struct_fields__))
    try:
        again = m.decode(changed(message, **{field: value}), type(message))
    except MessageError:
        return
    assert m.decode(m.encode(again), type(message)) == again


@pytest.mark.parametrize("name", sorted(m.EVENT_BODIES))
def test_event_bodies_have_their_type(name: str) -> None:
    body = next(each for each in SAMPLES if type(each) is m.EVENT_BODIES[name])
    event = msgspec.structs.replace(EVENT, type=name, body=m.raw(body))
    again = m.decode(m.encode(event), m.Event)
    assert m.event_body(again) == body


@pytest.mark.parametrize(
    ("name", "body", "text"),
    [
        ("swap.stop", b"{}", "unknown type 'swap.stop'"),
        ("alarm", b"{}", "AlarmBody: .*code"),
        ("alarm", b'{"code":"smoke","active":true,"severity":"loud"}', "severity"),
        ("battery.in", b'{"serial":"A","slot":0}', "slot"),
        ("alarm", b"", "AlarmBody"),
    ],
)
def test_bad_event_bodies(name: str, body: bytes, text: str) -> None:
    with pytest.raises(MessageError, match=text):
        m.event_body(msgspec.structs.replace(EVENT, type=name, body=msgspec.Raw(body)))


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        (
            "swap.start",
            {"kind": "swap", "rider_id": "RABC"},
            a.SwapStartArgs(kind=m.Kind.SWAP, rider_id="RABC"),
        ),
        ("swap.cancel", {}, a.SwapArgs()),
        ("swap.resume", {}, a.SwapArgs()),
        ("swap.give-back", {}, a.SwapArgs()),
        ("pack.hold", {"rider_id": "R1", "ttl_s": 900}, a.HoldArgs(rider_id="R1", ttl_s=900)),
        ("pack.release", {"hold": "C1"}, a.ReleaseArgs(hold="C1")),
        ("slot.open", {"slot": 3}, a.SlotArgs(slot=3)),
        ("alarm.clear", {"code": "smoke"}, a.AlarmArgs(code="smoke")),
    ],
)
def test_command_arguments_have_their_type(
    name: str, args: dict[str, Any], expected: Struct
) -> None:
    command = msgspec.structs.replace(COMMAND, type=name, args=args)
    assert a.command_args(m.decode(m.encode(command), m.Command)) == expected


@pytest.mark.parametrize(
    ("name", "args", "text"),
    [
        ("slot.explode", {"slot": 1}, "unknown type 'slot.explode'"),
        ("slot.open", {}, "missing required field `slot`"),
        ("slot.open", {"slot": 65}, "slot"),
        ("slot.open", {"slot": 1, "twice": True}, "unknown field `twice`"),
        ("swap.cancel", {"now": True}, "unknown field `now`"),
        ("swap.start", {"kind": "steal", "rider_id": "R1"}, "kind"),
        ("pack.hold", {"rider_id": "R1", "ttl_s": 59}, "ttl_s"),
        ("pack.hold", {"rider_id": "R1", "ttl_s": 1801}, "ttl_s"),
        ("pack.release", {}, "hold"),
    ],
)
def test_bad_command_arguments(name: str, args: dict[str, Any], text: str) -> None:
    with pytest.raises(MessageError, match=text):
        a.command_args(msgspec.structs.replace(COMMAND, type=name, args=args))


def test_ranks_rise_along_every_path_and_the_ends_are_highest() -> None:
    assert set(m.STEP_RANK) == set(m.Step)
    assert len(set(m.STEP_RANK.values())) == len(m.Step)
    happy = ["reserved", "opening-return", "await-return", "verifying", "opening-pickup",
             "await-pickup", "await-close", "completed"]  # fmt: skip
    ranks = [m.STEP_RANK[m.Step(step)] for step in happy]
    assert ranks == sorted(ranks)
    ends = min(m.STEP_RANK[step] for step in m.TERMINAL_STEPS)
    assert ends > max(rank for step, rank in m.STEP_RANK.items() if step not in m.TERMINAL_STEPS)
