"""What a sound battery and an idle charger answer, for tests of the commissioning checks."""

from __future__ import annotations

from typing import Final

from cabinet.core.model import BmsReading, ChargerReading

PACK: Final = BmsReading(
    at_ms=0,
    serial="YZ48-1",
    soc_pct=50,
    voltage_v=48.1,
    current_a=0.0,
    cell_v=(3.7,) * 13,
    temps_c=(25.0,),
)
CHARGER: Final = ChargerReading(
    at_ms=0,
    output_on=False,
    voltage_set_v=0.0,
    current_set_a=0.0,
    voltage_v=0.0,
    current_a=0.0,
    power_w=0.0,
)
