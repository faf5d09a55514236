"""Which ports there are, and who holds them."""

from __future__ import annotations

import fcntl
import os
import pty
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cabinet.adapters.store_schema import lock_file
from cabinet.commission import ports
from cabinet.commission.ports import PlaceError, Port, daemon_at, find, trouble
from cabinet.core.commission.findings import Cause


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Path]:
    master, slave = pty.openpty()
    link = tmp_path / "bus-a"
    link.symlink_to(os.ttyname(slave))
    yield link
    os.close(master)
    os.close(slave)


def test_a_folder_s_devices_are_found_once_and_its_other_files_are_not(
    terminal: Path, tmp_path: Path
) -> None:
    (tmp_path / "bus-a-again").symlink_to(terminal)
    (tmp_path / "ready.json").write_text("{}")
    found = find([str(tmp_path), "tcp://10.0.0.7:4001"])
    assert [(port.name, port.path) for port in found] == [
        ("bus-a", str(terminal)),
        ("10.0.0.7-4001", "tcp://10.0.0.7:4001"),
    ]


def test_without_a_place_the_usual_ones_are_looked_at_as_far_as_they_have_ports(
    terminal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of the runtime files is there, and empty, on every installed cabinet."""
    empty = tmp_path / "run"
    empty.mkdir()
    places = (tmp_path / "missing", tmp_path, empty)
    monkeypatch.setattr(ports, "DEFAULT_PLACES", places)
    assert [port.path for port in find([])] == [str(terminal)]
    monkeypatch.setattr(ports, "DEFAULT_PLACES", (empty, tmp_path / "missing"))
    with pytest.raises(PlaceError, match="plug the adapters in"):
        find([])


def test_our_udev_rules_put_ports_where_they_are_looked_for() -> None:
    rules = Path("deploy/udev/99-yizhan.rules").read_text(encoding="utf-8")
    (link,) = re.findall(r'SYMLINK\+="([^$]+)/\$', rules)
    assert Path("/dev", link) in ports.DEFAULT_PLACES


def test_a_place_without_ports_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match="no serial port"):
        find([str(tmp_path)])
    with pytest.raises(PlaceError, match="ls -l"):
        find([str(tmp_path / "nothing")])


def test_a_port_that_is_locked_names_its_holder(terminal: Path) -> None:
    port = Port("bus-a", str(terminal))
    assert trouble(port) is None
    holder = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        wrong = trouble(port)
        assert wrong is not None
        assert wrong.cause is Cause.PORT_BUSY
        assert f"process {os.getpid()}" in wrong.detail
    finally:
        os.close(holder)
    assert trouble(port) is None


def test_a_port_that_is_gone(tmp_path: Path) -> None:
    wrong = trouble(Port("x", str(tmp_path / "x")))
    assert wrong is not None
    assert wrong.cause is Cause.PORT_MISSING
    assert trouble(Port("y", "tcp://127.0.0.1:9")) is None


def test_a_running_daemon_is_known_by_its_journal(tmp_path: Path) -> None:
    store = tmp_path / "cabinet.db"
    assert daemon_at(store) is None
    lock = lock_file(store)
    assert daemon_at(store) is not None
    os.close(lock)
    assert daemon_at(store) is None
