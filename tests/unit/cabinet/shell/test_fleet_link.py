"""What a daemon takes from the credentials folder, and what explicit keys of the configuration win."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from cabinet.adapters.credentials import Vault
from cabinet.config import Config, parse
from cabinet.config_example import example_config
from cabinet.errors import ConfigError
from cabinet.fleet_link import FleetLink, link_of
from tests.unit.cabinet.shell.test_credentials import KEY, grant


def config(folder: Path, more: str = "", cabinet: str = "DH-0001") -> Config:
    text = example_config(cabinet, credentials_dir=str(folder / "credentials"))
    return parse(
        text.replace("telemetry_s = 5.0\n", f"telemetry_s = 5.0\n{more}"), folder / "c", {}
    )


def link(made: Config) -> FleetLink:
    found = link_of(made)
    assert found is not None
    return found


def test_everything_comes_from_the_folder(tmp_path: Path) -> None:
    Vault(tmp_path / "credentials").put(*grant(7))
    made = link(config(tmp_path))
    assert made.epoch == 7
    assert made.page_url == "https://x"
    assert made.signed
    assert len(made.group_keys) == 1
    place = made.broker()._endpoint
    assert (place.host, place.port, place.tls, place.username) == ("x", 1, True, "")
    assert place.client_file is not None


def test_a_running_daemon_follows_the_folder(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "credentials")
    vault.put(*grant(1))
    made = link(config(tmp_path))
    keys = made.group_keys
    before = tuple(keys)
    answer, key_pem = grant(2)
    fresh = "B" * 42 + "A="
    vault.put(structs.replace(answer, group_keys=(fresh, KEY)), key_pem)
    assert (len(before), len(keys), keys[1]) == (1, 2, before[0])
    assert made.epoch == 2
    (tmp_path / "credentials" / "current").unlink()
    assert tuple(keys) == (), "what cannot be read is no permission"


def test_explicit_keys_win(tmp_path: Path) -> None:
    Vault(tmp_path / "credentials").put(*grant(1))
    more = 'url = "mqtt://127.0.0.1:1"\nusername = "u"\npage_url = "https://pages"\nca_file = "other"\n'
    made = link(config(tmp_path, more))
    place = made.broker()._endpoint
    assert (place.host, place.port, place.tls, place.username) == ("127.0.0.1", 1, False, "u")
    assert place.ca_file == tmp_path / "other"
    assert made.page_url == "https://pages"


def test_before_enrolment_and_with_anothers_credentials(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cabinetd enrol"):
        link(config(tmp_path))
    Vault(tmp_path / "credentials").put(*grant(1))
    with pytest.raises(ConfigError, match="credentials of DH-0001"):
        link(config(tmp_path, cabinet="DH-0002"))
