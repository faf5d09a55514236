"""Every definition of every register map, in one loop; and the few facts that a loop cannot know."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import protocols.maps
from protocols.errors import RegisterError
from protocols.maps import eastron_sdm120, eastron_sdm630, riden_rd6006, waveshare_relay, xy_md02
from protocols.registers import UNIT_SUFFIX, Kind, Register, RegisterMap, Space, Span

MODULES = [
    importlib.import_module(f"protocols.maps.{info.name}")
    for info in pkgutil.iter_modules(protocols.maps.__path__)
]
MAPS: list[RegisterMap] = [module.MAP for module in MODULES]
DEFINITIONS = [
    pytest.param(table, register, id=f"{table.name}-{register.name}")
    for table in MAPS
    for register in table
]


def test_all_five_are_here() -> None:
    assert {table.name for table in MAPS} == {
        "waveshare-relay-d",
        "riden-rd6006",
        "eastron-sdm120",
        "eastron-sdm630",
        "xy-md02",
    }
    assert all(table.source for table in MAPS)


@pytest.mark.parametrize(("table", "register"), DEFINITIONS)
def test_definition(table: RegisterMap, register: Register) -> None:
    assert table[register.name] is register
    assert table.at(register.space, register.address) is register
    assert table.span(register.name) == Span(register.space, register.address, register.words)
    low, high = register.bounds
    assert low < high
    for value in (low, high):
        words = register.encode(value)
        assert len(words) == register.words
        assert register.decode(words) == pytest.approx(value, abs=register.scale / 2)
    beyond = abs(high) * 1.001 + register.scale
    if register.kind is not Kind.BIT:
        with pytest.raises(RegisterError, match=register.name):
            register.encode(high + beyond)
    if register.unit:
        assert register.name.endswith(UNIT_SUFFIX[register.unit])


@pytest.mark.parametrize(("table", "register"), DEFINITIONS)
def test_no_other_definition_shares_its_words(table: RegisterMap, register: Register) -> None:
    taken = range(register.address, register.end)
    others = [each for each in table if each is not register and each.space is register.space]
    assert not any(address in taken for each in others for address in range(each.address, each.end))


#: Table, name, address and what one raw reading means: from the makers' documents.
FACTS = [
    (waveshare_relay.MAP, "relay_7", 0x0007, [1], True),
    (waveshare_relay.MAP, "relay_all", 0x00FF, [1], True),
    (waveshare_relay.MAP, "input_0", 0x0000, [0], False),
    (waveshare_relay.MAP, "mode_7", 0x1007, [1], 1),
    (waveshare_relay.MAP, "uart", 0x2000, [1], 1),
    (waveshare_relay.MAP, "device_address", 0x4000, [255], 255),
    (waveshare_relay.MAP, "version", 0x8000, [0x00C8], 2.0),
    (riden_rd6006.MAP, "model_id", 0, [60061], 60061),
    (riden_rd6006.MAP, "serial", 1, [1, 0], 65536),
    (riden_rd6006.MAP, "voltage_set_v", 8, [5460], 54.6),
    (riden_rd6006.MAP, "current_set_a", 9, [3500], 3.5),
    (riden_rd6006.MAP, "voltage_out_v", 10, [5012], 50.12),
    (riden_rd6006.MAP, "current_out_a", 11, [1001], 1.001),
    (riden_rd6006.MAP, "power_w", 12, [0, 17510], 175.1),
    (riden_rd6006.MAP, "protection", 16, [2], 2),
    (riden_rd6006.MAP, "cv_cc", 17, [1], 1),
    (riden_rd6006.MAP, "output_on", 18, [1], 1),
    (riden_rd6006.MAP, "battery_voltage_v", 33, [5012], 50.12),
    (riden_rd6006.MAP, "external_temp_sign", 34, [1], 1),
    (riden_rd6006.MAP, "external_temp_c", 35, [25], 25),
    (riden_rd6006.MAP, "charge_ah", 38, [0, 1500], 1.5),
    (riden_rd6006.MAP, "energy_wh", 40, [1, 0], 65.536),
    (riden_rd6006.MAP, "boot_power_on", 68, [0], 0),
    (riden_rd6006.MAP, "ovp_v", 82, [5600], 56.0),
    (riden_rd6006.MAP, "ocp_a", 83, [6100], 6.1),
    (riden_rd6006.MAP, "preset_9_ocp_a", 119, [6100], 6.1),
    (eastron_sdm120.MAP, "power_w", 0x000C, [0x42C8, 0], 100.0),
    (eastron_sdm120.MAP, "import_kwh", 0x0048, [0x3F80, 0], 1.0),
    (eastron_sdm120.MAP, "total_kwh", 0x0156, [0x3F80, 0], 1.0),
    (eastron_sdm120.MAP, "demand_max_a", 0x0108, [0x3F80, 0], 1.0),
    (eastron_sdm630.MAP, "voltage_l3_v", 0x0004, [0x4366, 0], 230.0),
    (eastron_sdm630.MAP, "power_l2_w", 0x000E, [0x42C8, 0], 100.0),
    (eastron_sdm630.MAP, "power_w", 0x0034, [0x42C8, 0], 100.0),
    (eastron_sdm630.MAP, "voltage_line_mean_v", 0x00CE, [0x43C8, 0], 400.0),
    (eastron_sdm630.MAP, "total_l3_kwh", 0x016A, [0x3F80, 0], 1.0),
    (xy_md02.MAP, "temperature_c", 0x0001, [0xFFB5], -7.5),
    (xy_md02.MAP, "humidity_pct", 0x0002, [0x0222], 54.6),
    (xy_md02.MAP, "line_baud", 0x0102, [0x2580], 9600),
]


@pytest.mark.parametrize(("table", "name", "address", "raw", "value"), FACTS)
def test_facts(table: RegisterMap, name: str, address: int, raw: list[int], value: float) -> None:
    assert table[name].address == address
    assert table[name].decode(raw) == value


def test_riden_never_offers_calibration_or_bootloader_for_writing() -> None:
    writable = {register.address for register in riden_rd6006.MAP if register.writable}
    assert not writable & set(range(54, 63))
    assert riden_rd6006.MAP.at(Space.HOLDING, 256) is None


@pytest.mark.parametrize(("temp_c", "words"), [(25.4, (0, 25)), (0, (0, 0)), (-7.6, (1, 8))])
def test_riden_temperatures_have_their_sign_apart(temp_c: float, words: tuple[int, int]) -> None:
    assert riden_rd6006.temperature_words(temp_c) == words
    assert riden_rd6006.temperature_c(*words) == round(temp_c)


def test_one_read_covers_what_the_charger_loop_needs() -> None:
    span = riden_rd6006.MAP.span("model_id", "energy_wh")
    assert span == Span(Space.HOLDING, 0, 42)


@pytest.mark.parametrize(
    ("duration_ms", "steps"), [(1, 1), (100, 1), (101, 2), (500, 5), (8000, 80), (3_276_700, 32767)]
)
def test_a_flash_is_never_shorter_than_asked(duration_ms: int, steps: int) -> None:
    assert waveshare_relay.flash_steps(duration_ms) == steps


@pytest.mark.parametrize("duration_ms", [0, -1, 3_276_701])
def test_a_flash_that_the_board_cannot_time_is_refused(duration_ms: int) -> None:
    with pytest.raises(RegisterError, match="outside 1 to"):
        waveshare_relay.flash_steps(duration_ms)
