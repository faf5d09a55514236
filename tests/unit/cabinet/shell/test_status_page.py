"""The status page: both languages, whole, and nothing from a wire gets into its markup."""

from __future__ import annotations

import string

import pytest

from cabinet.status import BusStatus, DeviceStatus, Snapshot, SwapStatus, UplinkStatus
from cabinet.web.app import render
from cabinet.web.texts import TEXTS
from protocols.messages import Door, Presence, SlotState, SlotTelemetry, Telemetry
from protocols.sockets import SocketState, SocketTelemetry


def snapshot(name: str = "鼓楼") -> Snapshot:
    slots = tuple(
        SlotTelemetry(
            slot=n, state=state, door=Door.CLOSED, presence=Presence.UNKNOWN, soc_pct=None
        )
        for n, state in enumerate(SlotState, start=1)
    )
    sockets = tuple(
        SocketTelemetry(socket=n, state=state, power_w=151.0, reason="over-current")
        for n, state in enumerate(SocketState, start=1)
    )
    device = DeviceStatus(name="board-1", silent=True, missing=True, good=1, bad=2)
    return Snapshot(
        cabinet="DH-0001",
        name=name,
        software="0",
        uptime_s=1,
        ready=True,
        store_error=None,
        telemetry=Telemetry(
            wall_ms=0, boot_id="b", mono_ms=0, slots=slots, alarms=("smoke",), sockets=sockets
        ),
        buses=(BusStatus(name="bus-a", port="p", is_open=True, turn_age_ms=1, devices=(device,)),),
        uplink=UplinkStatus(configured=True),
        swap=SwapStatus(swap_id="s", kind="swap", step="AwaitReturn"),
    )


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_state_has_a_word_and_the_alarm_is_shown(language: str) -> None:
    page = render(snapshot(), language)
    for state in SlotState:
        assert TEXTS[language][state.value] in page
    for socket in SocketState:
        assert TEXTS[language][socket.value] in page
    assert "151 W" in page
    assert "smoke" in page
    assert TEXTS[language]["missing"] in page


def test_both_languages_have_the_same_words_and_zh_is_not_english() -> None:
    assert TEXTS["zh"].keys() == TEXTS["en"].keys()
    for key, text in TEXTS["zh"].items():
        assert not set(text) & set(string.ascii_letters), key


def test_a_name_cannot_bring_markup() -> None:
    assert "<script>" not in render(snapshot("<script>alert(1)</script>"), "en")
