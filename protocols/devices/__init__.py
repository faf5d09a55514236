"""Every device type that this project knows, by the name that a configuration gives it.

Adding one is a file here that defines ``DEVICE`` (``_template.py`` shows how) and a golden frame
in ``tests/golden``. Files whose name begins with an underscore are left out.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from protocols.device import Device


def _found() -> dict[str, Device]:
    devices: list[Device] = []
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            loaded = importlib.import_module(f"{__name__}.{module.name}")
            devices += getattr(loaded, "DEVICES", None) or (loaded.DEVICE,)
    table = {device.type: device for device in sorted(devices, key=_order)}
    assert len(table) == len(devices), "two device types of one name"
    return table


def _order(device: Device) -> tuple[str, str]:
    return device.role, device.type


#: By role, then by name.
DEVICES: Final[Mapping[str, Device]] = MappingProxyType(_found())
