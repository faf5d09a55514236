"""What the daemon makes of a configuration: the limits that its deciding core goes by."""

from __future__ import annotations

import contextlib
import socket
import sys
import uuid
from pathlib import Path

import httpx2
import pytest

from cabinet.config import parse
from cabinet.config_example import Choice, example_config
from cabinet.config_layout import CABINET
from cabinet.config_schema import Number
from cabinet.daemon import _engine_config, serve
from cabinet.errors import ConfigError
from deploy.demo.processes import Program, free_port, wait_ready


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


def test_every_breaker_that_check_config_takes_is_one_that_the_daemon_runs_with(
    tmp_path: Path,
) -> None:
    bounds = CABINET.keys["breaker_w"]
    assert isinstance(bounds, Number)
    for breaker_w in (int(bounds.low), int(bounds.high)):
        variables = {
            "CABINETD__CABINET__BREAKER_W": str(breaker_w),
            "CABINETD__CABINET__POWER_DEFAULT_W": "100",
        }
        config = parse(example_config(), tmp_path / "cabinet.toml", variables)
        assert _engine_config(config, "test", 1).safety.breaker_w == breaker_w


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


def test_a_data_folder_that_cannot_be_made_is_no_reason_to_stay_away(tmp_path: Path) -> None:
    """Safety works without a journal; the status page says what to do about it."""
    (tmp_path / "disk").write_text("not mounted")
    port = free_port()
    text = example_config(
        run_dir=tmp_path / "wires", data_dir=tmp_path / "disk" / "cabinet", web_port=port
    )
    start = text.index("\n[fleet]")
    config = tmp_path / "cabinet.toml"
    config.write_text(text[:start] + text[text.index("\n[", start + 1) :], encoding="utf-8")
    argv = (str(Path(sys.executable).parent / "cabinetd"), "run", "--config", str(config))
    daemon = Program("cabinetd", argv, log=tmp_path / "log", run_mark=uuid.uuid4().hex)
    found: list[httpx2.Response] = []

    def answers() -> bool:
        with contextlib.suppress(httpx2.TransportError):
            found.append(httpx2.get(f"http://127.0.0.1:{port}/healthz"))
        return bool(found)

    daemon.start()
    try:
        wait_ready(answers, [daemon], within_s=60, what="the status page")
    finally:
        daemon.stop()
    assert found[0].status_code == 503
    assert "cabinetd journal check" in found[0].json()["store_error"]
