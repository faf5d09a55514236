"""PyPI's ``rd6006`` (on minimalmodbus) drives the simulated charger of one slot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import rd6006

from deploy.demo.waiting import until
from tests.support.mbpoll import Mbpoll, MbpollError
from tests.support.riden import riden
from tests.support.sim_process import SimProcess

pytestmark = [pytest.mark.system, pytest.mark.peer("rd6006", "riden-rd6006")]

SLOT: Final = 7  # holds a pack at 44 %
CONTACTOR: Final = (2, 4)
SLOT_AC: Final = (3, SLOT - 1)
HALF_A_CENTIVOLT: Final = 0.0051
HALF_A_MILLIAMP: Final = 0.00051
TOML: Final = (
    f'[physics]\nambient_c = 18.0\n[[pack]]\nslot = {SLOT}\nserial = "YZ48-000777"\nsoc_pct = 44\n'
)


@contextmanager
def charger(sim: SimProcess) -> Iterator[rd6006.RD6006]:
    device = riden(sim.ports["bus-chargers"], SLOT)
    try:
        yield device
    finally:
        device.instrument.serial.close()


def mains(sim: SimProcess, *, on: bool) -> None:
    bus = Mbpoll(sim.ports["bus-a"])
    for board, relay in (CONTACTOR, SLOT_AC):
        bus.set_coil(board, relay, on=on)


def test_unpowered_charger_is_silent(tmp_path: Path) -> None:
    # Asked with mbpoll: rd6006 asks again for ever when nobody answers.
    with SimProcess(tmp_path, config=TOML) as sim:
        line = Mbpoll(sim.ports["bus-chargers"], baud=115200)
        with pytest.raises(MbpollError, match="timed out"):
            line.holding(SLOT, 0, 1)
        mains(sim, on=True)
        assert line.holding(SLOT, 0, 1) == [60061]
        with pytest.raises(MbpollError, match="timed out"):
            line.holding(SLOT + 1, 0, 1)


def test_reads_and_sets_and_charges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SimProcess(tmp_path, config=TOML) as sim:
        mains(sim, on=True)
        with charger(sim) as device:
            assert (device.type, device.fw > 1.0) == (6006, True)
            assert device.enable == 0
            assert device.meastemp_external == 18
            device.voltage_protection = 56.0
            device.current_protection = 3.0
            device.voltage = 54.5
            device.current = 2.5
            device.enable = True
            until(
                lambda: sim.slot(SLOT)["charging"],
                within_s=60,
                what="the pack charges",
            )
            sim.freeze(frozen=True)
            true = sim.slot(SLOT)
            assert device.enable == 1
            assert device.voltage == true["charger"]["voltage_set_v"] == 54.5
            assert device.current == true["charger"]["current_set_a"] == 2.5
            assert device.voltage_protection == true["charger"]["ovp_v"] == 56.0
            assert device.current_protection == true["charger"]["ocp_a"] == 3.0
            assert true["charger"]["voltage_v"] > 40
            assert true["charger"]["current_a"] == pytest.approx(2.5, abs=0.01)
            assert device.measvoltage == pytest.approx(
                true["charger"]["voltage_v"], abs=HALF_A_CENTIVOLT
            )
            assert device.meascurrent == pytest.approx(
                true["charger"]["current_a"], abs=HALF_A_MILLIAMP
            )
            assert device.measpower == pytest.approx(true["charge_power_w"], abs=0.011)
            assert device.CVCC == 1
            assert device.ocpovp == 0
            device.status()  # the block 0 to 83, then every preset
            assert "OVP:56.0V, OCP:3.000A" in capsys.readouterr().out


def test_stop_and_power_loss_leave_the_output_off(tmp_path: Path) -> None:
    with SimProcess(tmp_path, config=TOML) as sim:
        mains(sim, on=True)
        with charger(sim) as device:
            device.voltage, device.current, device.enable = 54.5, 1.0, True
            until(lambda: sim.slot(SLOT)["charging"], within_s=60, what="the pack charges")
            device.enable = False
            assert device.enable == 0
            assert not sim.slot(SLOT)["charging"]
            device.enable = True
            until(lambda: sim.slot(SLOT)["charging"], within_s=60, what="it charges again")
            mains(sim, on=False)
            until(lambda: not sim.slot(SLOT)["charging"], within_s=60, what="no mains, no charge")
            mains(sim, on=True)
            until(lambda: sim.slot(SLOT)["charger"]["powered"], within_s=60, what="it has mains")
            assert device.enable == 0


def test_its_clock_and_backlight(tmp_path: Path) -> None:
    with SimProcess(tmp_path, config=TOML) as sim:
        mains(sim, on=True)
        with charger(sim) as device:
            device.date = (2026, 11, 24)
            device.time = (8, 9, 10)
            device.backlight = 3
            assert device.date == (2026, 11, 24)
            assert device.time == (8, 9, 10)
            assert device.backlight == 3
