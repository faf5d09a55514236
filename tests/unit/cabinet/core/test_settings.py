"""Settings of the fleet's: on the allow list, within the breaker, by the file, and not in mid-swap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from cabinet.config_example import example_config
from cabinet.config_fits import fits_of
from cabinet.core.charge import PackLimits
from cabinet.core.engine_model import DocumentReceived, EngineConfig
from cabinet.core.engine_plan import is_quiet, offer_soc_pct, power_limit_w
from cabinet.core.engine_running import PLACES, lay, told, unfit, value_of
from cabinet.core.model import Indicate
from protocols.enrolment import CREDENTIALS_VALUE
from protocols.messages import DesiredConfig, Status, decode, encode
from protocols.settings import LANGUAGES, SETTINGS, Safe, Setting, Value, faults
from tests.support.cabinet_rig import CABINET, WALL_MS, Rig, signed


def wish(rig: Rig, version: int, **values: int | float | str | bool) -> None:
    document = DesiredConfig(cabinet=CABINET, version=version, values=values)
    rig.feed(DocumentReceived(signed(document)))


def runs(rig: Rig) -> tuple[int, Mapping[str, object]]:
    config = rig.state.durable.config
    return (config.version, config.values) if config else (0, {})


def refused(rig: Rig) -> tuple[int, str]:
    refusal = rig.state.durable.config_refused
    return (refusal.version, refusal.why) if refusal else (0, "")


def test_what_fits_is_taken_over_and_journalled() -> None:
    rig = Rig().ready()
    wish(rig, 7, target_soc_pct=95, offer_soc_pct=60, power_default_w=500)
    assert runs(rig) == (7, {"target_soc_pct": 95, "offer_soc_pct": 60, "power_default_w": 500})
    assert offer_soc_pct(rig.engine.running(rig.state)) == 60
    assert [row.kind for row in rig.writes if getattr(row, "kind", "") == "config"] == ["config"]
    wish(rig, 6, target_soc_pct=50)
    assert runs(rig)[0] == 7, "never backwards"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"breaker_w": 9_000}, "breaker_w: may not be set from afar"),
        ({"target_soc_pct": 101}, "target_soc_pct 101: expected 50 to 100 %"),
        ({"target_soc_pct": 49}, "target_soc_pct 49: expected 50 to 100 %"),
        ({"offer_soc_pct": 19}, "offer_soc_pct 19: expected 20 to 100 %"),
        ({"offer_soc_pct": 50.5}, "offer_soc_pct 50.5: expected a whole number"),
        ({"offer_soc_pct": True}, "offer_soc_pct True: expected a whole number"),
        ({"power_default_w": 3_001}, "power_default_w 3001: is above the breaker's 3000 W"),
    ],
)
def test_what_does_not_fit_is_refused_as_a_whole(values: dict[str, object], why: str) -> None:
    rig = Rig().ready()
    wish(rig, 5, target_soc_pct=80)
    wish(rig, 8, **({"offer_soc_pct": 60} | values))  # type: ignore[arg-type]
    assert runs(rig) == (5, {"target_soc_pct": 80})
    assert refused(rig)[0] == 8
    assert why in refused(rig)[1]
    wish(rig, 9, target_soc_pct=85)
    assert runs(rig) == (9, {"target_soc_pct": 85})
    assert refused(rig) == (0, ""), "what came after it is in order"


def test_a_refused_document_still_names_the_secrets() -> None:
    rig = Rig().ready()
    named = {CREDENTIALS_VALUE: "keys-2"}
    wish(rig, 5, offer_soc_pct=1, **named)
    assert runs(rig) == (1, named), "nobody takes it for version 5"
    wish(rig, 6, target_soc_pct=80, **named)
    wish(rig, 7, offer_soc_pct=1, **{CREDENTIALS_VALUE: "keys-3"})
    assert runs(rig) == (6, {"target_soc_pct": 80, CREDENTIALS_VALUE: "keys-3"})
    assert refused(rig)[0] == 7


def test_never_while_somebody_is_served() -> None:
    rig = Rig().ready()
    assert rig.start().outcome == "accepted"
    wish(rig, 5, target_soc_pct=80)
    assert runs(rig)[0] == 0
    assert refused(rig)[0] == 0
    rig.boot()
    rig.run(400)
    assert runs(rig)[0] == 0, "the swap goes on after a restart, and so does the wait"
    assert rig.command("swap.cancel", swap_id="SWAP-1").outcome == "accepted"
    rig.shut(3)
    rig.run(60_000)
    assert runs(rig) == (5, {"target_soc_pct": 80})


def test_not_before_every_slot_was_read() -> None:
    rig = Rig()
    wish(rig, 5, target_soc_pct=80)
    assert runs(rig)[0] == 0
    rig.ready()
    rig.run(200)
    assert runs(rig)[0] == 5


def test_what_the_file_would_not_pass_is_never_applied(tmp_path: Path) -> None:
    file = tmp_path / "cabinet.toml"
    file.write_text(example_config().replace("breaker_w = 3500", "breaker_w = 2500"))
    fits = fits_of(file, {})
    assert fits({}) is None
    assert fits({"power_default_w": 2_500, "target_soc_pct": 90}) is None
    assert "above breaker_w" in (fits({"power_default_w": 2_501}) or "")
    rig = Rig()
    rig.engine = type(rig.engine)(rig.engine.config, rig.engine.verify, rig.token, (), fits)
    rig.ready()
    wish(rig, 5, power_default_w=2_600)
    assert runs(rig)[0] == 0
    assert "above breaker_w" in refused(rig)[1]


def ends(setting: Setting, usual: Value) -> tuple[Value, ...]:
    """The outermost values that a cabinet may take which has this one of its own."""
    if setting.choices:
        return setting.choices
    if setting.chars_max:
        return ("", "价" * setting.chars_max)
    assert isinstance(usual, int)
    low = usual if setting.safe is Safe.HIGHER else setting.low
    high = usual if setting.safe is Safe.LOWER else setting.high
    return low, high


#: What must go along, so that the limits of safety stand in order among themselves.
BESIDE: dict[str, dict[str, Value]] = {
    "charge_temp_min_c": {"charge_resume_cold_c": 20},
    "charge_temp_max_c": {"charge_derate_c": 30, "charge_resume_c": 30},
    "charge_stop_c": {"charge_temp_max_c": 40, "charge_derate_c": 35, "charge_resume_c": 38},
    "air_trip_c": {"air_warn_c": 45},
}
OWN = EngineConfig(
    cabinet=CABINET,
    slots=4,
    software="test",
    pack=PackLimits(),
    breaker_w=100_000,
    power_default_w=1_000,
    target_soc_pct=100,
)


def test_every_setting_has_a_place_and_a_bound() -> None:
    assert PLACES.keys() == SETTINGS.keys() == told(OWN).keys()
    for name, setting in SETTINGS.items():
        assert setting.is_text or setting.low < setting.high, name
        usual = value_of(OWN, name)
        inside = usual == "" or not faults({name: usual})
        assert inside, (name, usual, "what is built in could not be set back")


@pytest.mark.parametrize("name", SETTINGS)
def test_both_ends_are_taken_and_do_what_they_say(name: str, tmp_path: Path) -> None:
    """And ``check-config`` agrees, given a breaker that is wide enough."""
    file = tmp_path / "cabinet.toml"
    file.write_text(example_config().replace("breaker_w = 3500", "breaker_w = 100000"))
    fits = fits_of(file, {})
    for value in ends(SETTINGS[name], value_of(OWN, name)):
        beside = {**BESIDE.get(name, {}), name: value}
        assert unfit(OWN, beside) == "", (name, value)
        assert fits(beside) is None, (name, value)
        assert value_of(lay(OWN, beside), name) == value


@pytest.mark.parametrize("name", [each for each, one in SETTINGS.items() if not one.is_text])
def test_one_beyond_either_end_is_refused(name: str) -> None:
    setting, usual = SETTINGS[name], value_of(OWN, name)
    assert isinstance(usual, int)
    beyond = {setting.low - 1, setting.high + 1}
    if setting.safe is Safe.LOWER:
        beyond.add(usual + 1)
    elif setting.safe is Safe.HIGHER:
        beyond.add(usual - 1)
    for value in beyond:
        assert name in unfit(OWN, {name: value}), value


@pytest.mark.parametrize("name", [each for each, one in SETTINGS.items() if one.safe])
@pytest.mark.parametrize("off", [-1, 1, 1_000_000, -1_000_000])
def test_laid_over_all_the_same_it_is_never_looser(name: str, off: int) -> None:
    """What was taken over under another file must not loosen this one after a restart."""
    usual = value_of(OWN, name)
    assert isinstance(usual, int)
    now = value_of(lay(OWN, {name: usual + off}), name)
    assert isinstance(now, int)
    assert now <= usual if SETTINGS[name].safe is Safe.LOWER else now >= usual


def test_limits_that_contradict_one_another_are_refused_together() -> None:
    wrong = {"charge_temp_max_c": 40, "charge_derate_c": 40}
    assert "must be below" in unfit(OWN, wrong)
    assert lay(OWN, wrong) == OWN, "laid over all the same they leave everything as it is"
    assert unfit(OWN, wrong | {"charge_derate_c": 38, "charge_resume_c": 39}) == ""


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"kiosk_language": "fr"}, "expected zh or en"),
        ({"kiosk_language": 1}, "expected zh or en"),
        ({"kiosk_note_zh": "x" * 81}, "at most 80 printable"),
        ({"kiosk_note_en": "two\nlines"}, "printable"),
        ({"kiosk_note_en": 4}, "printable"),
        ({"keep_empty": "2"}, "expected a whole number"),
        ({"quiet_from_h": 24}, "expected 0 to 23 h"),
        ({"estop_fitted": False}, "may not be set from afar"),
        ({"breaker_w": 9_000}, "may not be set from afar"),
    ],
)
def test_words_of_what_is_wrong(values: dict[str, object], why: str) -> None:
    assert why in unfit(OWN, values)


def test_the_safety_core_judges_by_the_stricter_limit() -> None:
    rig = Rig().ready()
    rig.holes[3].serial, rig.holes[3].soc_pct, rig.holes[3].temp_c = "YZ48-000003", 40, 41.0
    rig.run(5_000)
    assert rig.chargers[3].on, "within the cabinet's own window"
    wish(rig, 5, charge_temp_max_c=40, charge_derate_c=38, charge_resume_c=38)
    rig.run(5_000)
    assert not rig.chargers[3].on
    wish(rig, 6)
    rig.holes[3].temp_c = 30.0
    rig.run(5_000)
    assert rig.chargers[3].on, "taken back"


def test_no_plan_goes_above_what_the_fleet_set_and_it_is_taken_back() -> None:
    rig = Rig().ready()

    def limit() -> int:
        return power_limit_w(rig.state, rig.engine.running(rig.state), rig.now)

    assert limit() == 1_000
    wish(rig, 5, power_max_w=400)
    assert limit() == 400
    assert rig.engine.telemetry(rig.state, rig.now).power_limit_w == 400
    wish(rig, 6, power_max_w=400, power_default_w=0)
    assert limit() == 0
    wish(rig, 7)
    assert limit() == 1_000


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [(22, 6, {22, 23, 0, 1, 2, 3, 4, 5}), (1, 3, {1, 2}), (5, 5, set()), (0, 0, set())],
)
def test_quiet_hours_are_local_and_need_a_clock(start: int, end: int, hours: set[int]) -> None:
    rig = Rig().ready()
    local = lay(OWN, {"quiet_from_h": start, "quiet_until_h": end, "quiet_power_w": 300})
    for offset in (0, 480, -330):
        config = replace(local, utc_offset_min=offset)
        quiet = set()
        for hour in range(24):
            wall_ms = (hour * 60 - offset) % 1_440 * 60_000 + 86_400_000
            now = replace(rig.now, wall_ms=wall_ms)
            if is_quiet(config, now):
                quiet.add(hour)
                assert power_limit_w(rig.state, config, now) == 300
            assert not is_quiet(config, replace(now, wall_synced=False))
        assert quiet == hours


def test_nothing_is_said_aloud_in_the_quiet_hours() -> None:
    def said(**values: int) -> list[str]:
        rig = Rig().ready()
        wish(rig, 5, **values)
        rig.start()
        rig.run(3_000)
        return [each.prompt for each in rig.effects if isinstance(each, Indicate)]

    assert any(said(target_soc_pct=90))
    hour = WALL_MS // 3_600_000 % 24
    quiet = said(quiet_from_h=hour, quiet_until_h=(hour + 2) % 24)
    assert quiet, "the lights are shown all the same"
    assert not any(quiet)


def test_waits_at_the_door_follow() -> None:
    rig = Rig().ready()
    wish(rig, 5, return_wait_s=30)
    assert rig.start().outcome == "accepted"
    rig.run(10_000)
    assert rig.state.durable.swap.__class__.__name__ == "AwaitReturn"
    rig.run(25_000)
    assert rig.state.durable.swap.__class__.__name__ != "AwaitReturn", "usually it waits 120 s"


def test_what_no_longer_fits_the_file_after_a_restart_is_given_up_and_told() -> None:
    rig = Rig().ready()
    named = {CREDENTIALS_VALUE: "keys-2"}
    wish(rig, 5, power_default_w=2_800, **named)
    assert runs(rig)[0] == 5
    rig.engine = type(rig.engine)(
        replace(rig.engine.config, breaker_w=2_000), rig.engine.verify, rig.token
    )
    held = rig.engine.running(rig.state)
    assert power_limit_w(rig.state, held, rig.now) == value_of(held, "power_default_w") == 2_000
    rig.boot()
    rig.run(500)
    assert runs(rig) == (1, named)
    assert refused(rig) == (5, "power_default_w 2800: is above the breaker's 2000 W")
    assert power_limit_w(rig.state, rig.engine.running(rig.state), rig.now) == 1_000
    wish(rig, 5, power_default_w=2_800, **named)  # retained, so it comes again
    assert refused(rig)[0] == 5
    wish(rig, 6, power_default_w=1_500, **named)
    assert runs(rig)[0] == 6


def test_what_waited_and_no_longer_fits_leaves_what_runs_as_it_is() -> None:
    rig = Rig().ready()
    wish(rig, 5, power_max_w=900)
    assert rig.start().outcome == "accepted"
    wish(rig, 6, power_max_w=900, power_default_w=2_800)
    rig.engine = type(rig.engine)(
        replace(rig.engine.config, breaker_w=2_000), rig.engine.verify, rig.token
    )
    rig.boot()
    rig.run(500)
    assert runs(rig) == (5, {"power_max_w": 900})
    assert refused(rig) == (6, "power_default_w 2800: is above the breaker's 2000 W")
    assert power_limit_w(rig.state, rig.engine.running(rig.state), rig.now) == 900
    rig.command("swap.cancel", swap_id="SWAP-1")
    rig.shut(3)
    rig.run(60_000)
    assert runs(rig)[0] == 5


def test_what_waited_and_fits_outlives_what_ran_with_its_own_secrets() -> None:
    rig = Rig().ready()
    wish(rig, 5, power_default_w=2_800, **{CREDENTIALS_VALUE: "keys-2"})
    assert rig.start().outcome == "accepted"
    wish(rig, 6, power_default_w=1_500, **{CREDENTIALS_VALUE: "keys-3"})
    rig.engine = type(rig.engine)(
        replace(rig.engine.config, breaker_w=2_000), rig.engine.verify, rig.token
    )
    rig.boot()
    rig.run(500)
    rig.command("swap.cancel", swap_id="SWAP-1")
    rig.shut(3)
    rig.run(60_000)
    assert runs(rig) == (6, {"power_default_w": 1_500, CREDENTIALS_VALUE: "keys-3"})


def test_settings_survive_a_restart_and_are_told() -> None:
    rig = Rig().ready()
    wish(rig, 5, kiosk_note_zh="今晚两点停电", kiosk_language="en", air_warn_c=50, air_trip_c=55)
    rig.boot()
    rig.run(500)
    actual = told(rig.engine.running(rig.state))
    assert actual["kiosk_note_zh"] == "今晚两点停电"
    assert (actual["kiosk_language"], actual["air_trip_c"]) == ("en", 55)
    assert actual["kiosk_language"] in LANGUAGES
    status = Status(online=True, session=1, boot_id="b", epoch=1, software="x", settings=actual)
    assert decode(encode(status), Status).settings == actual
