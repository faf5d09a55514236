"""The group key's file: made once, private, and its two keys over a rotation."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.adapters import secret_files
from fleet.errors import FleetError
from protocols import offline


def test_the_group_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    key = secret_files.group_key(tmp_path)
    assert len(key) == offline.GROUP_KEY_BYTES
    assert secret_files.group_key(tmp_path) == key
    file = tmp_path / secret_files.GROUP_KEY_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert offline.parse_group_key(file.read_text()) == key
    assert secret_files.group_key(tmp_path / "other") != key


def test_phones_stay_with_the_previous_key_until_it_is_retired(tmp_path: Path) -> None:
    old = secret_files.group_key(tmp_path)
    turned = secret_files.rotate_group_key(tmp_path)
    assert turned.previous == turned.codes == old != turned.current
    assert secret_files.group_keys(tmp_path) == turned
    assert secret_files.group_key(tmp_path) == turned.current
    with pytest.raises(FleetError, match="under way"):
        secret_files.rotate_group_key(tmp_path)
    retired = secret_files.retire_group_key(tmp_path)
    assert retired == secret_files.GroupKeys(turned.current)
    assert secret_files.group_keys(tmp_path).codes == turned.current
    assert (tmp_path / secret_files.GROUP_KEY_FILE).stat().st_mode & 0o777 == 0o600
    with pytest.raises(FleetError, match="none to retire"):
        secret_files.retire_group_key(tmp_path)


@pytest.mark.parametrize("text", ["not base64!", "AAAA", "\n".join(["A" * 43 + "="] * 3)])
def test_a_damaged_key_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / secret_files.GROUP_KEY_FILE).write_text(text)
    with pytest.raises(FleetError, match=r"group\.key"):
        secret_files.group_keys(tmp_path)
