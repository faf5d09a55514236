"""Instances and plans as ``.npz`` files: strict when reading, whole or not at all when writing.

Energies are held in 32 bits as soon as they have been checked, one array at a time, so that the
largest instance needs no second copy.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.instance import CABINET_ENERGY_MAX_WH, Floats, Instance, Plan, Shadows
from fleet.errors import InvalidError

VERSION: Final = 1
_ENERGIES: Final = ("energy_min_wh", "energy_max_wh", "step_max_wh")
_IDS: Final = ("feeder_of_cabinet", "region_of_feeder")
_LIMITS: Final = ("feeder_max_wh", "region_max_wh")
_PRICES: Final = ("price_per_kwh", "peak_price_per_kw", "peak_so_far_w")
_SHADOWS: Final = ("shadow_peak", "shadow_region", "shadow_feeder")  # per Wh
_SCALARS: Final = ("version", "step_s", "shortfall_price_per_kwh")


def load_instance(path: Path) -> Instance:
    """Read an instance; raise InvalidError naming the field that is missing or of a wrong kind."""
    with _open(path) as file:
        _need(path, file, (*_SCALARS, *_ENERGIES, *_IDS, *_LIMITS, *_PRICES))
        version = _scalar(file, "version")
        if version != VERSION:
            raise InvalidError(f"{path}: version: is {version}, expected {VERSION}")
        return Instance(
            step_s=_whole_scalar(file, "step_s"),
            energy_min_wh=_energies(file, "energy_min_wh"),
            energy_max_wh=_energies(file, "energy_max_wh"),
            step_max_wh=_energies(file, "step_max_wh"),
            feeder_of_cabinet=_whole(file, "feeder_of_cabinet", np.int32),
            region_of_feeder=_whole(file, "region_of_feeder", np.int32),
            feeder_max_wh=_whole(file, "feeder_max_wh", np.int64),
            region_max_wh=_whole(file, "region_max_wh", np.int64),
            price_per_kwh=_floats(file, "price_per_kwh"),
            peak_price_per_kw=_floats(file, "peak_price_per_kw"),
            peak_so_far_w=_floats(file, "peak_so_far_w"),
            shortfall_price_per_kwh=float(_scalar(file, "shortfall_price_per_kwh")),
        )


def save_instance(path: Path, instance: Instance) -> None:
    """Write an instance; a file of that name stays as it was until the new one is whole."""
    _save(
        path,
        version=np.int64(VERSION),
        step_s=np.int64(instance.step_s),
        shortfall_price_per_kwh=np.float64(instance.shortfall_price_per_kwh),
        **{name: getattr(instance, name).astype(np.int64, copy=False) for name in _ENERGIES},
        **{name: getattr(instance, name).astype(np.int32, copy=False) for name in _IDS},
        **{name: getattr(instance, name).astype(np.int64, copy=False) for name in _LIMITS},
        **{name: getattr(instance, name).astype(np.float64, copy=False) for name in _PRICES},
    )


def load_plan(path: Path) -> Plan:
    """Read a plan, such as the one to start from; raise InvalidError."""
    with _open(path) as file:
        _need(path, file, ("step_wh", "shortfall_wh", "cost", "lower_bound", "solve_s"))
        return Plan(
            step_wh=_energies(file, "step_wh"),
            shortfall_wh=_energies(file, "shortfall_wh"),
            cost=float(_scalar(file, "cost")),
            lower_bound=float(_scalar(file, "lower_bound")),
            solve_s=float(_scalar(file, "solve_s")),
            shadows=_shadows(path, file),
        )


def _shadows(path: Path, file: Any) -> Shadows | None:
    """The prices of the limits, which a plan of elsewhere need not have."""
    if not any(name in file for name in _SHADOWS):
        return None
    _need(path, file, _SHADOWS)
    found = [_floats(file, name) for name in _SHADOWS]
    for name, values in zip(_SHADOWS, found, strict=True):
        if values.ndim != 2 or not np.all(np.isfinite(values)) or np.any(values < 0):
            raise InvalidError(f"{name}: expected a table of finite numbers from 0 on")
    return Shadows(*found)


def save_plan(path: Path, plan: Plan) -> None:
    """Write a plan. Equal plans give equal bytes but for ``solve_s``."""
    _save(
        path,
        step_wh=plan.step_wh,
        shortfall_wh=plan.shortfall_wh,
        cost=np.float64(plan.cost),
        lower_bound=np.float64(plan.lower_bound),
        solve_s=np.float64(plan.solve_s),
        **dict(zip(_SHADOWS, _tables(plan.shadows), strict=True) if plan.shadows else ()),
    )


def _tables(shadows: Shadows) -> tuple[Floats, Floats, Floats]:
    return shadows.peak, shadows.region, shadows.feeder


def _open(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidError(f"{path}: can't be read as an npz file: {error}") from error


def _need(path: Path, file: Any, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in file]
    if missing:
        raise InvalidError(f"{path}: lacks {', '.join(missing)}")


def _array(file: Any, name: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = file[name]
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise InvalidError(f"{name}: can't be read: {error}") from error
    return array


def _scalar(file: Any, name: str) -> Any:
    value = _array(file, name)
    if value.shape != () or value.dtype.kind not in "fiu":
        raise InvalidError(f"{name}: has shape {value.shape}, expected a number")
    return value[()]


def _whole_scalar(file: Any, name: str) -> int:
    value = _scalar(file, name)
    if int(value) != value:
        raise InvalidError(f"{name}: is {value}, expected a whole number")
    return int(value)


def _whole(file: Any, name: str, kind: Any) -> NDArray[Any]:
    values = _array(file, name)
    if values.dtype.kind not in "iu":
        raise InvalidError(f"{name}: holds {values.dtype}, expected whole numbers")
    limits = np.iinfo(kind)
    if values.size and (values.min() < limits.min or values.max() > limits.max):
        raise InvalidError(f"{name}: a value does not fit {limits.dtype}")
    return values.astype(kind, copy=False)


def _energies(file: Any, name: str) -> NDArray[np.int32]:
    """Whole Wh as int32; chargers' energies beyond what a cabinet may hold are cut there."""
    values = _array(file, name)
    if values.dtype.kind not in "iu":
        raise InvalidError(f"{name}: holds {values.dtype}, expected whole numbers")
    if values.size and values.min() < 0:
        place = tuple(int(i) for i in np.argwhere(values < 0)[0])
        raise InvalidError(f"{name}{list(place)}: {values[place]} is negative")
    if name == "step_max_wh":
        values = np.minimum(values, CABINET_ENERGY_MAX_WH)
    elif values.size and values.max() > CABINET_ENERGY_MAX_WH:
        place = tuple(int(i) for i in np.argwhere(values > CABINET_ENERGY_MAX_WH)[0])
        raise InvalidError(
            f"{name}{list(place)}: {values[place]} is above {CABINET_ENERGY_MAX_WH} Wh"
        )
    return values.astype(np.int32)


def _floats(file: Any, name: str) -> NDArray[np.float64]:
    values = _array(file, name)
    if values.dtype.kind not in "fiu":
        raise InvalidError(f"{name}: holds {values.dtype}, expected numbers")
    return values.astype(np.float64, copy=False)


def _save(path: Path, **arrays: Any) -> None:
    target = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            _write_npz(file, arrays)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _write_npz(file: Any, arrays: Mapping[str, Any]) -> None:
    """As ``numpy.savez``, with a fixed date, so that the same arrays are the same bytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
