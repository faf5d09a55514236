"""Device drivers by the type name of the configuration.

A device whose definition in ``protocols.devices`` has a face needs no driver of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from cabinet.adapters.devices.faces import FaceBms, FaceCharger, FaceLocks, FaceMeter
from cabinet.adapters.devices.jbd_bms import JbdBms
from cabinet.adapters.devices.riden import Riden
from cabinet.adapters.devices.waveshare import WaveshareRelay
from cabinet.adapters.devices.xy_md02 import XyMd02
from cabinet.calls import Place
from protocols.device import Device
from protocols.devices import DEVICES
from protocols.devices.riden import MODELS

Driver = Callable[[Place], Any]

_OWN: Final[Mapping[str, Driver]] = {"xy-md02": XyMd02, "jbd-bms": JbdBms}


def _driver(device: Device) -> Driver:
    if device.meter is not None:
        return partial(FaceMeter, face=device.meter)
    if device.bms is not None:
        return partial(FaceBms, face=device.bms)
    if device.charger is not None:
        return partial(FaceCharger, face=device.charger)
    if device.locks_face is not None:
        return partial(FaceLocks, device=device, face=device.locks_face)
    if device.type in MODELS:
        return partial(Riden, model=MODELS[device.type])
    if device.relays:
        return partial(WaveshareRelay, device=device)
    return _OWN[device.type]


#: What each driver implements follows from its type's role (``cabinet.config_devices``).
DRIVERS: Final[Mapping[str, Driver]] = MappingProxyType(
    {type_: _driver(device) for type_, device in DEVICES.items()}
)
