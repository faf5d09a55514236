"""The configuration is read strictly, and its example is its default."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from simulator.config import EXAMPLE, Config, load
from simulator.errors import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cabinet.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    example = load(written(tmp_path, EXAMPLE))
    default = Config()
    assert (example.cabinet, example.physics, example.wire, example.devices) == (
        default.cabinet,
        default.physics,
        default.wire,
        default.devices,
    )
    (pack,) = example.packs
    assert (pack.serial, pack.soc_pct) == (default.packs[0].serial, default.packs[0].soc_pct)


def test_the_built_in_packs() -> None:
    packs = Config().packs
    assert [pack.slot for pack in packs] == list(range(1, 10))
    assert packs[8].serial == "YZ48-000009"
    assert all(96 <= pack.soc_pct <= 100 for pack in packs[:6])
    assert all(40 <= pack.soc_pct <= 70 for pack in packs[6:])


def test_a_small_cabinet_and_an_empty_one(tmp_path: Path) -> None:
    assert len(load(written(tmp_path, "[cabinet]\nslots = 4\n")).packs) == 4
    assert load(written(tmp_path, "pack = []\n")).packs == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[cabinett]\nid = 'A-1'", "unknown key cabinett: did you mean cabinet?"),
        ("[physics]\nsede = 4", "unknown key physics.sede: did you mean physics.seed?"),
        ("[[pack]]\nslot = 1\nserial = 'A'\nsocpct = 3", "did you mean pack.soc_pct?"),
        ("[wire]\nqqq = 1", "known: realistic_timing"),
        ("[cabinet]\nslots = 13", "cabinet.slots"),
        ("[cabinet]\nslots = 'many'", "cabinet.slots"),
        ("[cabinet]\nid = 'lower'", "cabinet.id"),
        ("[physics]\nspeed = 0", "physics.speed"),
        ("[wire]\nbus_a_baud = 9601", "wire.bus_a_baud"),
        ("[wire]\nmeter_reserved = 'maybe'", "wire.meter_reserved"),
        ("[[pack]]\nserial = 'A'", "slot"),
        ("[cabinet]\nslots = 2\n[[pack]]\nslot = 3\nserial = 'A'", "the cabinet has 2 slots"),
        (
            "[[pack]]\nslot = 3\nserial = 'A'\n[[pack]]\nslot = 3\nserial = 'B'",
            "two packs in one slot",
        ),
        ("[cabinet", "not TOML"),
        ("cabinet = 3", "cabinet"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text))
    assert words in str(caught.value)


def test_every_unknown_key_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, "[physics]\nsede = 4\nspede = 3\n"))
    assert "sede" in str(caught.value)
    assert "spede" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.toml")


def test_every_pack_setting_reaches_the_model(tmp_path: Path) -> None:
    text = "[[pack]]\nslot=2\nserial='A'\nsoc_pct=31.5\ntemp_c=12.0\ncycles=7\nsoh_pct=88.0\n"
    order = dataclasses.asdict(load(written(tmp_path, text)).packs[0].order)
    given = {key: value for key, value in order.items() if value is not None}
    assert given == {
        "serial": "A",
        "soc_pct": 31.5,
        "temp_c": 12.0,
        "cycles": 7,
        "soh_pct": 88.0,
    }
