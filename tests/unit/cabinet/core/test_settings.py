"""Settings of the fleet's: on the allow list, within the breaker, by the file, and not in mid-swap."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from cabinet.config_example import example_config
from cabinet.config_fits import fits_of
from cabinet.core.engine_model import DocumentReceived
from cabinet.core.engine_plan import offer_soc_pct
from protocols.enrolment import CREDENTIALS_VALUE
from protocols.messages import DesiredConfig
from protocols.settings import SETTINGS, faults
from tests.support.cabinet_rig import CABINET, Rig, signed


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
    assert offer_soc_pct(rig.state, rig.engine.config) == 60
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


def test_the_allow_list_is_no_wider_than_the_file(tmp_path: Path) -> None:
    """At both ends of every setting ``check-config`` agrees, given a breaker that is wide enough."""
    file = tmp_path / "cabinet.toml"
    file.write_text(example_config().replace("breaker_w = 3500", "breaker_w = 100000"))
    fits = fits_of(file, {})
    for name, setting in SETTINGS.items():
        for value in (setting.low, setting.high):
            assert faults({name: value}, 100_000) == []
            assert fits({name: value}) is None, (name, value)
        assert faults({name: setting.low - 1})
        assert faults({name: setting.high + 1})
