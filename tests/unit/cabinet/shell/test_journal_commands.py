"""``cabinetd journal``: tells what is wrong, and begins anew without losing the old file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cabinet.adapters.journal_file import replace
from cabinet.adapters.store import Store
from cabinet.adapters.store_schema import STORE_FILE
from cabinet.config_example import example_config
from cabinet.core.engine_model import Durable, decode_durable, encode_durable
from cabinet.core.records import EventRow, SnapshotRow
from cabinet.core.swap_model import AwaitReturn, Job, job_of
from cabinet.main import app
from protocols.messages import BootBody, Event, Kind, raw


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "cabinet.toml"
    data = tmp_path / "data"
    data.mkdir()
    file.write_text(example_config("DH-0001", run_dir=tmp_path, data_dir=data))
    return file


def journal(config: Path) -> Path:
    return config.parent / "data" / STORE_FILE


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["journal", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


async def write(path: Path, epoch: int = 4) -> None:
    job = Job(swap_id="SWAP-1", kind=Kind.SWAP, rider_id="R2", slot_in=3)
    durable = Durable(epoch=epoch, seq=1, swap=AwaitReturn(job=job, since_ms=5))
    one = Event(
        epoch=epoch, seq=1, boot_id="b", mono_ms=1, wall_ms=1, wall_synced=True, type="boot",
        body=raw(BootBody(software="v1")),
    )  # fmt: skip
    store = await Store.open(path)
    await store.commit([SnapshotRow(encode_durable(durable)), EventRow(one)])
    await store.close()


def break_it(path: Path, *, all_of_it: bool = False) -> bytes:
    data = bytearray(path.read_bytes())
    if all_of_it:
        data[:4_096] = b"\xa5" * 4_096
    else:
        data[-4_096:] = b"\xa5" * 4_096
    path.write_bytes(data)
    return bytes(data)


async def test_a_sound_journal(config: Path) -> None:
    await write(journal(config))
    code, out, _ = run("check", "--config", config)
    assert code == 0
    assert "sound; epoch 4, last event 1, 1 not yet at the fleet" in out
    assert "transaction under way: SWAP-1" in out
    code, out, _ = run("check", "--config", config, "--json")
    told = json.loads(out)
    assert (code, told["trouble"], told["open_swap"], told["epoch"]) == (0, None, "SWAP-1", 4)


async def test_a_journal_in_use_can_be_looked_at(config: Path) -> None:
    await write(journal(config))
    store = await Store.open(journal(config))
    assert run("check", "--config", config)[0] == 0
    await store.close()


def test_none_yet(config: Path) -> None:
    code, _, err = run("check", "--config", config)
    assert code == 1
    assert "no journal yet" in err


async def test_a_sound_journal_is_not_replaced_unless_forced(config: Path) -> None:
    await write(journal(config))
    before = journal(config).read_bytes()
    code, _, err = run("replace", "--config", config)
    assert code == 1
    assert "--force" in err
    assert journal(config).read_bytes() == before
    code, out, _ = run("replace", "--config", config, "--force", "--json")
    told = json.loads(out)
    assert (code, told["epoch"]) == (0, 5)
    assert (journal(config).parent / told["aside"]).read_bytes() == before


class PowerCutError(BaseException):
    """Nothing after it happens."""


async def in_the_log(path: Path) -> None:
    """A journal whose last step stands in the log beside the file, as after a power cut."""
    await write(path)
    store = await Store.open(path)
    job = Job(swap_id="SWAP-2", kind=Kind.SWAP, rider_id="R2", slot_in=3)
    durable = Durable(epoch=4, seq=1, swap=AwaitReturn(job=job, since_ms=5))
    await store.commit([SnapshotRow(encode_durable(durable))])
    files = [path, path.with_name(path.name + "-wal")]
    kept = {file: file.read_bytes() for file in files}
    await store.close()
    for file, data in kept.items():
        file.write_bytes(data)


@pytest.mark.parametrize("steps", range(6))
async def test_a_power_cut_while_it_is_replaced_never_leaves_the_file_without_its_log(
    config: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    path = journal(config)
    await in_the_log(path)
    left = steps

    def cut(does: Callable[..., None]) -> Callable[..., None]:
        def step(*args: Any) -> None:
            nonlocal left
            if left == 0:
                raise PowerCutError
            left -= 1
            does(*args)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", cut(os.link))
        patch.setattr(Path, "unlink", cut(Path.unlink))
        patch.setattr(Path, "rename", cut(Path.rename))
        with suppress(PowerCutError):
            replace(path, datetime(2026, 1, 1, tzinfo=UTC))
    store = await Store.open(path)
    restored = await store.load()
    await store.close()
    if restored.snapshot is None:  # as in a cabinet that is switched on for the first time
        return
    durable = decode_durable(restored.snapshot)
    job = job_of(durable.swap) if durable.epoch == 4 else None
    assert durable == Durable(epoch=5) or (job and job.swap_id == "SWAP-2")


@pytest.mark.parametrize("all_of_it", [False, True])
async def test_a_broken_journal_is_put_aside_and_a_new_epoch_begins(
    config: Path, *, all_of_it: bool
) -> None:
    path = journal(config)
    await write(path)
    broken = break_it(path, all_of_it=all_of_it)
    code, out, err = run("check", "--config", config)
    assert (code, out) == (1, "")
    assert "cabinetd journal replace" in err
    code, out, _ = run("replace", "--config", config)
    assert code == 0
    aside = [p.read_bytes() for p in path.parent.iterdir() if ".broken-" in p.name]
    assert broken in aside, "nothing is lost"
    store = await Store.open(path)
    restored = await store.load()
    await store.close()
    assert restored.snapshot is not None
    durable = decode_durable(restored.snapshot)
    assert durable == Durable(epoch=2 if all_of_it else 5)
    assert run("check", "--config", config)[0] == 0


async def test_the_log_goes_along_and_nothing_is_overwritten(config: Path) -> None:
    path = journal(config)
    await write(path)
    path.with_name(path.name + "-wal").write_bytes(b"left over")
    for _ in range(3):
        assert run("replace", "--config", config, "--force")[0] == 0
    names = sorted(p.name for p in path.parent.iterdir() if ".broken-" in p.name)
    assert len([n for n in names if not n.endswith(("-wal", "-shm"))]) == 3
    logs = [p for p in path.parent.iterdir() if p.name.endswith("-wal") and ".broken-" in p.name]
    assert b"left over" in [p.read_bytes() for p in logs]


async def test_an_epoch_may_be_given(config: Path) -> None:
    await write(journal(config))
    break_it(journal(config), all_of_it=True)
    code, out, _ = run("replace", "--config", config, "--epoch", 12, "--json")
    assert (code, json.loads(out)["epoch"]) == (0, 12)


async def test_not_while_a_daemon_uses_it(config: Path) -> None:
    await write(journal(config))
    store = await Store.open(journal(config))
    code, _, err = run("replace", "--config", config, "--force")
    await store.close()
    assert code == 1
    assert "another daemon" in err
    assert not [p for p in journal(config).parent.iterdir() if ".broken-" in p.name]


def test_a_wrong_configuration_is_wrong_usage(tmp_path: Path) -> None:
    file = tmp_path / "cabinet.toml"
    file.write_text("[cabinet]\n")
    assert run("check", "--config", file)[0] == 2
