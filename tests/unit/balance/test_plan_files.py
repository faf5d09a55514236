"""Instances and plans as files, and the commands on them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fleet.adapters.plan_files import load_instance, load_plan, save_instance
from fleet.core.balance.generate import generate
from fleet.errors import InvalidError
from fleet.main import app
from tests.support.plan_check import faults


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_from_file_to_file(tmp_path: Path) -> None:
    problem, answer, picture = (tmp_path / name for name in ("i.npz", "p.npz", "p.svg"))
    made = ("plan-instance", "--cabinets", "40", "--intervals", "48", "--seed", "4", "-o")
    code, out, _ = invoke(*made, str(problem))
    assert (code, out.split(",")[0], out.split(", ")[-1]) == (0, "40 cabinets", "48 steps\n")
    code, out, err = invoke(
        *("plan", str(problem), "-o", str(answer), "--json", "--plot", str(picture))
    )
    assert (code, "100%" in err) == (0, True)
    summary = json.loads(out)
    instance, plan = load_instance(problem), load_plan(answer)
    assert faults(instance, plan) == []
    assert summary["cost"] == plan.cost
    assert 0 <= summary["gap"] <= 0.0002
    assert "<svg" in picture.read_text()
    again = tmp_path / "again.npz"
    code, _, _ = invoke("plan", str(problem), "-o", str(again), "--warm", str(answer))
    assert code == 0
    assert load_plan(again).cost == pytest.approx(plan.cost, rel=4e-4)
    with np.load(answer) as file:
        arrays = {name: file[name] for name in file.files}
    bare = {name: values for name, values in arrays.items() if not name.startswith("shadow")}
    np.savez(tmp_path / "bare.npz", **bare)  # of another planner
    assert load_plan(tmp_path / "bare.npz").shadows is None
    np.savez(tmp_path / "bad.npz", **{**arrays, "shadow_peak": -arrays["shadow_peak"] - 1})
    with pytest.raises(InvalidError, match="shadow_peak: expected"):
        load_plan(tmp_path / "bad.npz")


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_instance(tmp_path / name, generate(30, 24, 9, day_ahead=True))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def _broken(tmp_path: Path, **changes: object) -> Path:
    save_instance(tmp_path / "good.npz", generate(5, 24, 1))
    with np.load(tmp_path / "good.npz") as file:
        arrays = {name: file[name] for name in file.files}
    for name, value in changes.items():
        if value is None:
            del arrays[name]
        else:
            arrays[name] = np.asarray(value)
    np.savez(tmp_path / "bad.npz", **arrays)
    return tmp_path / "bad.npz"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"price_per_kwh": None}, "lacks price_per_kwh"),
        ({"version": 2}, "version: is 2, expected 1"),
        ({"version": [1]}, r"version: has shape \(1,\)"),
        ({"step_s": 900.5}, r"step_s: is 900\.5, expected a whole number"),
        ({"energy_min_wh": np.zeros((5, 24))}, "energy_min_wh: holds float64"),
        ({"step_max_wh": np.full((5, 24), -1)}, r"step_max_wh\[0, 0\]: -1 is negative"),
        ({"energy_max_wh": np.full((5, 24), 2**40)}, r"energy_max_wh\[0, 0\]: \d+ is above"),
        ({"feeder_of_cabinet": np.full(5, 2**40)}, "feeder_of_cabinet: a value does not fit int32"),
        ({"price_per_kwh": np.array([["x"]])}, "price_per_kwh: holds <U1"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidError, match=says):
        load_instance(_broken(tmp_path, **changes))


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    path = _broken(tmp_path, energy_min_wh=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InvalidError, match="energy_min_wh: can't be read"):
        load_instance(path)


def test_what_is_no_file_of_ours(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    for path in (tmp_path / "text.npz", tmp_path / "none.npz"):
        code, _, err = invoke("plan", str(path), "-o", str(tmp_path / "out.npz"))
        assert (code, "can't be read" in err) == (1, True)
    assert not (tmp_path / "out.npz").exists()
