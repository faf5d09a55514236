"""Device drivers by the type name of the configuration; a driver is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from cabinet.adapters.devices import eastron
from cabinet.adapters.devices.jbd_bms import JbdBms
from cabinet.adapters.devices.riden_rd6006 import RidenRd6006
from cabinet.adapters.devices.waveshare_relay_d import WaveshareRelayD
from cabinet.adapters.devices.xy_md02 import XyMd02
from cabinet.calls import Place

#: What each driver implements follows from its type's role (``cabinet.config_devices``).
DRIVERS: Final[Mapping[str, Callable[[Place], Any]]] = MappingProxyType(
    {
        "waveshare-relay-d": WaveshareRelayD,
        "riden-rd6006": RidenRd6006,
        "eastron-sdm120": eastron.sdm120,
        "eastron-sdm630": eastron.sdm630,
        "xy-md02": XyMd02,
        "jbd-bms": JbdBms,
    }
)
