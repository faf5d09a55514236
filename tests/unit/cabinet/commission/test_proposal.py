"""From what a scan found to a configuration that the daemon takes, or to what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cabinet.config import parse
from cabinet.config_example import example_config
from cabinet.core.commission.findings import Cause, Verdict
from cabinet.core.commission.inventory import (
    Found,
    PortFound,
    PortState,
    by_number,
    empty_slots,
    judge_scan,
)
from cabinet.core.commission.proposal import (
    Names,
    Pin,
    bus_name,
    place_boards,
    power_pins,
    propose,
    wire_up,
    without,
)
from protocols.device import Protocol
from protocols.devices import DEVICES

TYPES = tuple(DEVICES.values())
NAMES = Names("DH-0001", "data")
BOARD, CHARGER, BMS = "waveshare-relay-d", "riden-rd6006", "jbd-bms"


def port(name: str, state: PortState = PortState.SILENT, **more: Any) -> PortFound:
    return PortFound(name=name, path=f"/run/yizhan/{name}", state=state, **more)


def bus(name: str, *devices: tuple[str, int], baud: int = 9_600, **more: Any) -> PortFound:
    found = tuple(Found(type=kind, address=address) for kind, address in devices)
    return port(name, PortState.ANSWERED, devices=found, baud=baud, **more)


def battery(number: int) -> PortFound:
    return bus(f"slot-{number:02}", (BMS, 0), protocol=Protocol.JBD)


BUS_A = bus("bus-a", *((BOARD, n) for n in range(1, 5)), ("eastron-sdm120", 10), ("xy-md02", 20))
CHARGERS = bus("bus-chargers", *((CHARGER, n) for n in range(1, 13)), baud=115_200)
FULL = (
    BUS_A,
    CHARGERS,
    port("scanner", PortState.SCANNER),
    *(battery(n) for n in range(1, 10)),
    *(port(f"slot-{n:02}") for n in range(10, 13)),
)


def test_the_standard_cabinet_is_proposed_as_the_example_has_it() -> None:
    proposal = propose(FULL, TYPES, NAMES)
    assert proposal.missing == ()
    made = parse(proposal.text, Path("/etc/yizhan/cabinet.toml"), {})
    known = parse(example_config(credentials_dir=None), Path("/etc/yizhan/cabinet.toml"), {})
    assert made.slots == known.slots
    assert made.inputs == known.inputs
    assert made.outputs == known.outputs
    assert {(d.name, d.type, d.bus, d.address) for d in made.devices} == {
        (d.name, d.type, d.bus, d.address) for d in known.devices
    }
    assert {b.name: b for b in made.buses} == {b.name: b for b in known.buses}
    assert made.scanner == known.scanner


def test_what_is_only_assumed_is_said_in_the_file() -> None:
    proposal = propose(FULL, TYPES, NAMES)
    assert any("slot-10, slot-11, slot-12" in note for note in proposal.assumed)
    assert all(f"#   - {note}" in proposal.text for note in proposal.assumed)


@pytest.mark.parametrize(
    ("ports", "told"),
    [
        ([p for p in FULL if p is not CHARGERS], "0 chargers for 12 slots"),
        ([BUS_A, CHARGERS], "no battery answers"),
        ([bus("bus-a", (BOARD, 1)), *FULL[1:]], "1 boards do not fit"),
        ([], "no battery answers"),
    ],
    ids=["no-mains", "no-battery", "too-few-boards", "nothing"],
)
def test_what_is_missing_is_named_and_nothing_is_proposed(
    ports: list[PortFound], told: str
) -> None:
    proposal = propose(ports, TYPES, NAMES)
    assert proposal.text == ""
    assert any(told in text for text in proposal.missing), proposal.missing


def test_the_relays_of_the_mains_are_never_those_of_a_lock() -> None:
    boards = place_boards(FULL, TYPES)
    pins = power_pins(boards, 12)
    assert pins[0] == Pin("board-2", 4)
    made = parse(propose(FULL, TYPES, NAMES).text, Path("cabinet.toml"), {})
    locks = {(slot.lock.board, slot.lock.channel) for slot in made.slots}
    assert not locks & {(pin.board, pin.channel) for pin in pins}
    assert power_pins(boards[:1], 12) == ()


@pytest.mark.parametrize("seen", range(1, 17))
@pytest.mark.parametrize(
    "answering", [(1, 2, 3, 4), (1, 2), (1, 2, 3), (3, 4), (1,), (1, 2, 3, 4, 5)]
)
def test_power_never_closes_a_lock_s_relay(seen: int, answering: tuple[int, ...]) -> None:
    """On a cabinet of 12 slots, whatever boards are dead or extra and whatever ports are missing.

    With four slots seen two boards are a whole cabinet: only that case cannot be told apart.
    """
    if seen <= 4 and answering == (1, 2):
        return
    few = (
        bus("bus-a", *((BOARD, n) for n in answering)),
        *(battery(n) for n in range(1, seen + 1)),
    )
    placed = place_boards(few, TYPES)
    pins = power_pins(placed, seen)
    address = {board.name: board.address for board, _ in placed}
    closed = {(address[pin.board], pin.channel) for pin in pins}
    locks = {(1, channel) for channel in range(8)} | {(2, channel) for channel in range(4)}
    alarms = {(2, channel) for channel in (5, 6, 7)}
    assert not closed & (locks | alarms)
    if answering == (1, 2, 3, 4):
        assert ((2, 4) in closed) == (9 <= seen <= 12)


def test_what_serves_something_else_is_left_out() -> None:
    extra = bus("bus-x", (BOARD, 1))
    lamps = msgspec.structs.replace(BUS_A, devices=(*BUS_A.devices, Found(type=BOARD, address=5)))
    ports = (lamps, extra, *FULL[1:])
    assert propose(ports, TYPES, NAMES).text == ""
    told = propose(without(ports, ["bus-x", "bus-a:5"]), TYPES, NAMES)
    assert told.text == propose(FULL, TYPES, NAMES).text


@pytest.mark.parametrize(("boards", "slots"), [(2, 4), (3, 8), (4, 12), (6, 20)])
def test_how_many_slots_boards_can_serve(boards: int, slots: int) -> None:
    placed = place_boards([bus("bus-a", *((BOARD, n) for n in range(1, boards + 1)))], TYPES)
    wiring = wire_up(placed, slots)
    assert wiring is not None
    assert not set(wiring.commons) & {*wiring.doors, *wiring.mains}
    assert not set(wiring.doors) & set(wiring.mains)
    assert wire_up(placed, slots + 1) is None
    assert wire_up(placed, 0) is None


def test_lock_boards_of_their_own_leave_the_relays_to_the_mains() -> None:
    locks = bus("bus-l", ("kerong-kr-cu16", 0), protocol=Protocol.KERONG)
    relays = bus("bus-r", (BOARD, 1), (BOARD, 2))
    wiring = wire_up(place_boards([locks, relays], TYPES), 12)
    assert wiring is not None
    assert {pin.board for pin in wiring.doors} == {"board-1"}
    assert {pin.board for pin in (*wiring.mains, *wiring.commons)} == {"board-2", "board-3"}
    assert len(wiring.doors) == len(wiring.mains) == 12


def test_one_silent_port_too_many_is_named() -> None:
    proposal = propose((*FULL, port("slot-13")), TYPES, NAMES)
    assert proposal.text == ""
    assert "slot-13" in proposal.missing[0]


def test_a_lock_board_saves_the_boards_for_locks() -> None:
    ports = (
        bus("bus-a", (BOARD, 1), (BOARD, 2), ("xy-md02", 20)),
        bus("bus-locks", ("kerong-kr-cu16", 0), baud=19_200, protocol=Protocol.KERONG),
        bus("bus-meter", ("dlt645-meter", 0), baud=2_400, protocol=Protocol.DLT645),
        *FULL[1:],
    )
    made = parse(propose(ports, TYPES, NAMES).text, Path("cabinet.toml"), {})
    board = next(d.name for d in made.devices if d.type == "kerong-kr-cu16")
    assert {slot.lock.board for slot in made.slots} == {board}
    pins = power_pins(place_boards(ports, TYPES), 12)
    assert board not in {pin.board for pin in pins}
    assert next(d for d in made.devices if d.name == "meter").type == "dlt645-meter"


def test_unknown_devices_and_odd_port_names_do_not_spoil_it() -> None:
    long = "pci-0000:00:14.0-usb-0:1.3:1.0-port0"
    strange = bus("other", ("", 7))
    renamed = msgspec.structs.replace(BUS_A, name=long)
    proposal = propose((renamed, strange, *FULL[1:]), TYPES, NAMES)
    made = parse(proposal.text, Path("cabinet.toml"), {})
    assert bus_name(renamed) in {b.name for b in made.buses}
    assert "other" not in {b.name for b in made.buses}


def test_slots_are_ordered_as_people_count() -> None:
    assert sorted(["slot-10", "slot-2", "a"], key=by_number) == ["a", "slot-2", "slot-10"]


def test_only_ports_named_like_a_battery_s_are_empty_slots() -> None:
    ports = (battery(1), port("slot-02"), port("bus-b"), port("slot-x"), port("slot-1-2"))
    assert empty_slots(ports, TYPES) == ("slot-02",)
    usb = "/dev/serial/by-path/pci-0000:00:14.0-usb-0:{}:1.{}-port0"
    known = msgspec.structs.replace(battery(1), path=usb.format("1.3", 0))
    near = msgspec.structs.replace(port("near"), path=usb.format("1.3", 1))
    far = msgspec.structs.replace(port("far"), path=usb.format("1.2", 2))
    assert empty_slots((known, near, far), TYPES) == ("near",)


def verdicts(ports: tuple[PortFound, ...], **more: Any) -> dict[str, tuple[Verdict, Cause | None]]:
    told = judge_scan(ports, TYPES, **{"powered": False, **more})
    return {finding.subject: (finding.verdict, finding.cause) for finding in told}


def test_silent_ports_are_judged_beside_the_others() -> None:
    waiting = (BUS_A, port("bus-chargers"), battery(1), port("slot-02"))
    told = verdicts(waiting)
    assert told["bus-chargers"] == (Verdict.WARN, Cause.NO_MAINS)
    assert told["slot-02"] == (Verdict.SKIPPED, Cause.EMPTY_SLOT)
    assert told["bus-a address 1"] == (Verdict.OK, None)
    assert verdicts(waiting, powered=True)["bus-chargers"] == (Verdict.FAILED, Cause.NO_ANSWER)
    assert verdicts((port("bus-x"),))["bus-x"] == (Verdict.FAILED, Cause.NO_ANSWER)


def test_trouble_is_told_where_it_is() -> None:
    garbled = msgspec.structs.replace(BUS_A, cause=Cause.COLLISION, garbled=(5,))
    noisy = port("bus-n", PortState.TROUBLED, cause=Cause.NOISE)
    taken = port("bus-t", PortState.UNUSABLE, cause=Cause.PORT_BUSY, detail="cabinetd")
    late = port("bus-v", PortState.ANSWERED, devices=(Found(type="", address=8, heard=False),))
    slow = port("bus-w", PortState.ANSWERED, devices=(Found(type=BOARD, address=1, slow=True),))
    told = verdicts((garbled, noisy, taken, bus("bus-u", ("", 9)), late, slow))
    assert told["bus-v address 8"] == (Verdict.FAILED, Cause.UNSTEADY)
    assert told["bus-w address 1"] == (Verdict.WARN, Cause.SLOW)
    assert told["bus-a address 5"] == (Verdict.FAILED, Cause.COLLISION)
    assert told["bus-n"] == (Verdict.FAILED, Cause.NOISE)
    assert told["bus-t"] == (Verdict.FAILED, Cause.PORT_BUSY)
    assert told["bus-u address 9"] == (Verdict.FAILED, Cause.UNKNOWN_DEVICE)
