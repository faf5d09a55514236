"""What the daemon makes of a configuration: the limits that its deciding core goes by."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from cabinet.config import parse
from cabinet.config_example import Choice, example_config
from cabinet.daemon import _engine_config, serve
from cabinet.errors import ConfigError


@pytest.mark.parametrize(
    ("charger", "current_a", "power_w"),
    [
        ("riden-rd6006", 6.0, 360.0),
        ("riden-rd6012", 12.0, 720.0),
        ("mean-well-drs-480-48", 8.0, 460.8),
    ],
)
def test_packs_may_take_what_their_chargers_give(
    tmp_path: Path, charger: str, current_a: float, power_w: float
) -> None:
    text = example_config(choice=Choice(charger=charger))
    text = text.replace("current_max_a = 6.0", f"current_max_a = {current_a}")
    config = parse(text, tmp_path / "cabinet.toml", {})
    limits = _engine_config(config, "test", 1).pack
    assert limits.current_max_a == current_a
    assert limits.charger_power_max_w == pytest.approx(power_w)


async def test_a_port_that_is_taken_is_told_as_what_it_is(tmp_path: Path) -> None:
    """Not as a group of a group of errors with the daemon's own lines."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        text = example_config(run_dir=tmp_path / "wires", data_dir=tmp_path / "data", web_port=port)
        start, end = text.index("\n[fleet]"), text.index("\n[", text.index("\n[fleet]") + 1)
        config = parse(text[:start] + text[end:], tmp_path / "cabinet.toml", {})
        config.path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=f"{port} cannot be used; choose another port"):
            await serve(config, lambda _: None)
