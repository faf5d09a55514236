"""Staged roll-outs: the table, the judge, and properties that hold whatever the cabinets do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fleet.core.rollout import BY_HAND, TABLE, advance, order, trouble
from fleet.core.rollout_model import (
    OVER,
    Criteria,
    Fact,
    Kind,
    Phase,
    Rollout,
    Send,
    Signal,
    check_stages,
    parse_stages,
)
from fleet.core.templates import check_template, parse_settings
from fleet.errors import InvalidError, RefusedError

T0 = 1_760_000_000_000
NEW = {"target_soc_pct": 90}
OLD = {"target_soc_pct": 100, "power_default_w": 800}
CRITERIA = Criteria(failures_pct=0)


def rollout(count: int = 40, **values: object) -> Rollout:
    given_: dict[str, object] = {
        "id": "R1",
        "kind": Kind.CONFIG,
        "model": "yz12",
        "actor": "operator:li",
        "reason": "summer",
        "created_ms": T0,
        "cabinets": tuple(f"C{n:02}" for n in range(count)),
        "values": NEW,
        "soak_s": 60,
        "criteria": CRITERIA,
    }
    return order(Rollout(**(given_ | values)), Signal.START, T0)  # type: ignore[arg-type]


class Street:
    """Cabinets that obey at once, but for those that are told otherwise."""

    def __init__(self, count: int = 40) -> None:
        self.facts = {
            f"C{n:02}": Fact(online=True, age_ms=1_000, held_version=5, held=OLD)
            for n in range(count)
        }
        self.sent: list[Send] = []
        self.deaf: set[str] = set()

    def take(self, sends: Sequence[Send]) -> None:
        self.sent += sends
        for send in sends:
            fact = replace(self.facts[send.cabinet], held_version=send.version, held=send.values)
            if send.cabinet not in self.deaf and fact.online:
                fact = replace(fact, version=send.version, refused=0, fault="")
            self.facts[send.cabinet] = fact

    def set(self, cabinet: str, **values: object) -> None:
        self.facts[cabinet] = replace(self.facts[cabinet], **values)

    def happen(self, what: str, cabinet: str, seconds: int) -> None:
        """One thing befalls one cabinet; "time" is none."""
        match what:
            case "deaf":
                self.deaf.add(cabinet)
            case "obey":
                self.deaf.discard(cabinet)
            case "away":
                self.set(cabinet, online=False, age_ms=seconds * 1_000)
            case "back":
                self.set(cabinet, online=True, age_ms=0)
            case "alarm":
                self.set(cabinet, alarms=("smoke",))
            case "refuse":
                self.set(cabinet, refused=self.facts[cabinet].held_version, fault="no")

    def run(self, now: Rollout, from_ms: int, seconds: int) -> Rollout:
        for second in range(seconds):
            now, sends = advance(now, self.facts, from_ms + second * 1_000)
            self.take(sends)
        return now


def test_stage_by_stage_to_the_end() -> None:
    street, sizes = Street(), []
    now = rollout()
    for _ in range(4):
        now = street.run(now, T0 + len(sizes) * 62_000, 62)
        sizes.append(len(street.sent))
    assert sizes == [1, 2, 10, 40]
    now = street.run(now, T0 + 4 * 62_000, 62)
    assert now.phase is Phase.DONE
    assert all(send.values == OLD | NEW for send in street.sent), "what is not named stays"
    assert all(send.version > 5 for send in street.sent)


def test_what_is_given_back_is_sent_no_more_and_comes_again_on_the_way_back() -> None:
    street = Street()
    now = street.run(rollout(values={"power_default_w": None, "kiosk_note_en": "hi"}), T0, 10)
    assert street.sent[0].values == {"target_soc_pct": 100, "kiosk_note_en": "hi"}
    street.run(order(now, Signal.ABORT, T0 + 10_000), T0 + 10_000, 2)
    assert street.sent[1].values == OLD


def test_versions_rise_however_wrong_a_clock_was() -> None:
    street = Street()
    for name, values in (("C00", {"held_version": 2 * T0}), ("C01", {"version": 3 * T0})):
        street.set(name, **values)
    now = street.run(rollout(), T0, 100)
    assert [send.version for send in street.sent] == [2 * T0 + 1, 3 * T0 + 1]
    street.run(order(now, Signal.ABORT, T0 + 100_000), T0 + 100_000, 2)
    assert [send.version for send in street.sent[2:]] == [2 * T0 + 2, 3 * T0 + 2]


def test_it_waits_out_the_soak() -> None:
    street = Street()
    now = street.run(rollout(), T0, 59)
    assert (now.phase, len(street.sent)) == (Phase.SOAKING, 1)


AMISS = {
    "refuses: offer_soc_pct 1": {"refused": 2 * T0, "fault": "offer_soc_pct 1"},
    "silent for 181 s": {"online": False, "age_ms": 181_000},
    "new alarm smoke": {"alarms": ("smoke",)},
}


@pytest.mark.parametrize(("why", "values"), AMISS.items())
@pytest.mark.parametrize("stage", [0, 2])
def test_what_is_amiss_takes_all_of_it_back(
    why: str, values: dict[str, object], stage: int
) -> None:
    street = Street()
    now = street.run(rollout(), T0, 64 * (stage + 1) - 20)
    had = {send.cabinet for send in street.sent}
    street.set(street.sent[-1].cabinet, **values)
    before = len(street.sent)
    now = street.run(now, T0 + 64_000 * (stage + 1), 3)
    assert now.cause == f"{street.sent[before - 1].cabinet}: {why}"
    back = street.sent[before:]
    assert {send.cabinet for send in back} == had
    assert all(send.values == OLD for send in back)
    versions = {send.cabinet: send.version for send in street.sent[:before]}
    assert all(send.version > versions[send.cabinet] for send in back)
    now = street.run(now, T0 + 700_000, 700)
    assert now.phase is Phase.ROLLED_BACK
    assert len(street.sent) == before + len(had), "and nothing more is ever sent"


def test_an_alarm_that_stood_before_is_nothing_new() -> None:
    street = Street()
    for cabinet in street.facts:
        street.set(cabinet, alarms=("door-stuck",))
    assert street.run(rollout(), T0, 70).phase is not Phase.ROLLING_BACK


def test_one_that_does_not_take_it_over_in_time_fails() -> None:
    street = Street()
    street.deaf = {"C00"}
    now = street.run(rollout(), T0, 600)
    assert now.phase is Phase.APPLYING, "silence is not success"
    assert len(street.sent) == 1
    street.run(now, T0 + 600_000, 5)
    now = street.run(now, T0 + 600_000, 5)
    assert "does not run version" in now.cause


def test_success_of_swaps_must_not_fall() -> None:
    street = Street()
    now = street.run(rollout(baseline_pct=97), T0, 10)
    street.set("C00", completed=18, failed=1)
    assert trouble(now, street.facts, T0 + 10_000) == "", "19 swaps say nothing"
    street.set("C00", completed=92, failed=8)
    assert trouble(now, street.facts, T0 + 10_000) == ""
    street.set("C00", completed=91, failed=9)
    assert trouble(now, street.facts, T0 + 10_000) == "91 of 100 swaps succeeded, 97 % were usual"


def test_cabinets_that_are_away_hold_nobody_up_but_are_no_canaries() -> None:
    street = Street()
    for cabinet in list(street.facts)[1:]:
        street.set(cabinet, online=False, age_ms=None)
    street.set("C00", online=False, age_ms=None)
    now = street.run(rollout(), T0, 500)
    assert street.sent == [], "nobody is there to try it on"
    street.set("C07", online=True, age_ms=0)
    now = street.run(now, T0 + 500_000, 30)
    assert [send.cabinet for send in street.sent] == ["C07"]
    for n in range(12):
        street.set(f"C{n:02}", online=True, age_ms=0)
    now = street.run(now, T0 + 530_000, 400)
    assert len(street.sent) == 40, "the last stage is sent to those that are away as well"
    assert now.phase is Phase.DONE


def test_some_may_fail_where_that_is_allowed() -> None:
    street = Street()
    now = rollout(criteria=Criteria(failures_max=1, failures_pct=0))
    now = street.run(now, T0, 200)
    one, two = (send.cabinet for send in street.sent[:2])
    street.set(one, alarms=("smoke",))
    assert trouble(now, street.facts, T0 + 200_000) == ""
    street.set(two, alarms=("smoke",))
    assert "and 1 more" in trouble(now, street.facts, T0 + 200_000)


def test_a_pause_sends_nothing_and_still_watches() -> None:
    street = Street()
    now = street.run(rollout(), T0, 10)
    now = order(now, Signal.PAUSE, T0 + 10_000)
    now = street.run(now, T0 + 10_000, 300)
    assert (now.phase, len(street.sent)) == (Phase.PAUSED, 1)
    resumed = order(now, Signal.RESUME, T0 + 310_000)
    assert street.run(resumed, T0 + 310_000, 30).phase is Phase.SOAKING, "it soaks anew"
    street.set("C00", alarms=("smoke",))
    assert street.run(now, T0 + 310_000, 1).phase is Phase.ROLLING_BACK


def test_a_release_is_watched_and_stopped_but_not_taken_back() -> None:
    street = Street()
    now = street.run(rollout(kind=Kind.SOFTWARE, software="2.0", values={}), T0, 900)
    assert (now.phase, street.sent, len(now.members)) == (Phase.APPLYING, [], 1)
    street.set("C00", software="2.0")
    now = street.run(now, T0 + 900_000, 70)
    assert len(now.members) == 2
    street.set("C01", alarms=("bus-down",))
    assert street.run(now, T0 + 970_000, 2).phase is Phase.STOPPED
    assert street.sent == []


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("signal", list(Signal))
def test_the_table_is_total(phase: Phase, signal: Signal) -> None:
    now = replace(rollout(), phase=phase)
    allowed = signal in BY_HAND and (phase, signal) in TABLE
    assert (phase not in OVER) or not allowed, "what is over stays over"
    if allowed:
        assert order(now, signal, T0).phase is not phase
    else:
        with pytest.raises(RefusedError) as caught:
            order(now, signal, T0)
        assert caught.value.code == "rollout-state"


TOLD = ("pause", "resume", "abort")
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["obey", "deaf", "away", "back", "alarm", "refuse", "pause", "resume",
                         "abort", "time"]),
        st.integers(0, 11),
        st.integers(1, 400),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.sampled_from([(100,), (0, 100), (0, 5, 25, 100), (0, 50, 100)]))
def test_whatever_happens(events: list[tuple[str, int, int]], stages: tuple[int, ...]) -> None:
    street, now, at_ms = Street(12), rollout(12, stages=stages), T0
    newest: dict[str, int] = {}
    for what, number, seconds in events:
        name = f"C{number:02}"
        if what in TOLD:
            if (now.phase, Signal(what)) in TABLE:
                now = order(now, Signal(what), at_ms)
        else:
            street.happen(what, name, seconds)
        before, sent = now, len(street.sent)
        was_over = now.over
        had = trouble(now, street.facts, at_ms)
        now, sends = advance(now, street.facts, at_ms)
        street.take(sends)
        fresh = [send for send in street.sent[sent:] if send.values != OLD]
        assert not (was_over and sends), "nothing is sent after the end"
        assert not (had and fresh), "nothing new while something is amiss"
        assert len(now.members) <= now.size(now.stage), "never more than the stage allows"
        assert set(before.members) <= set(now.members)
        for send in sends:
            assert send.version > newest.get(send.cabinet, 0), "versions only rise"
            newest[send.cabinet] = send.version
        if before.phase is Phase.PAUSED and now.phase is Phase.PAUSED:
            assert not sends
        at_ms += seconds * 1_000
    if now.phase is Phase.ROLLED_BACK:
        for name in now.members:
            assert street.facts[name].held == OLD, "all of it was taken back"


def test_fields_are_checked() -> None:
    assert parse_stages("0, 5,25,100") == (0, 5, 25, 100)
    for stages in ("5,1,100", "0,5", "100,100", "-1,100", ""):
        with pytest.raises(InvalidError):
            check_stages(parse_stages(stages), 60)
    with pytest.raises(InvalidError, match="soak_s"):
        check_stages((100,), -1)
    assert parse_settings(["target_soc_pct=90"]) == NEW
    with pytest.raises(InvalidError, match="whole number"):
        parse_settings(["target_soc_pct=9x"])
    typed = ["kiosk_note_zh=今晚 = 停电", "kiosk_language=en"]
    assert parse_settings(typed, ["power_max_w"]) == {
        "power_max_w": None,
        "kiosk_note_zh": "今晚 = 停电",
        "kiosk_language": "en",
    }
    check_template("yz12", 3_000, NEW)
    check_template("yz12", 3_000, {"power_max_w": None, "kiosk_language": "en"})
    for wrong in (
        ("yz 12", 3_000, NEW),
        ("yz12", 50, NEW),
        ("yz12", 3_000, {}),
        ("yz12", 3_000, {"breaker_w": 1}),
        ("yz12", 3_000, {"breaker_w": None}),
        ("yz12", 3_000, {"kiosk_language": "fr"}),
        ("yz12", 3_000, {"power_default_w": 3_001}),
    ):
        with pytest.raises(InvalidError):
            check_template(*wrong)
