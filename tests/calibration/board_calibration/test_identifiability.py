"""What a method can know is what the rank of its Jacobian says, and what the procedures then find."""

from pathlib import Path

import pytest

from calibration.board_calibration.identifiability import METHODS, analyse, table


@pytest.fixture(scope="module")
def found():
    return {method: analyse(method) for method in METHODS}


def test_a_board_alone_lacks_two_voltages_and_a_bench_lacks_nothing(found):
    """The distance of the two references is its volt, and where both stand nobody sees."""
    missing = {method: each.parameters - each.rank for method, each in found.items()}
    assert missing == {"self": 2, "reference": 2, "bench": 0}


def test_a_board_alone_knows_offsets_and_ratios_of_dac_gains_but_no_amperes(found):
    alone = found["self"]
    assert alone.left["adc.zero_code"] < 0.01
    assert alone.left["tia.offset_v"] < 0.01
    assert alone.ratios["bl.volts_per_code"] < 0.01 < 0.1 < alone.left["bl.volts_per_code"]
    assert alone.left["tia.rf_ohm"] > 0.95
    assert alone.left["sl.amperes_per_code"] > 0.5


def test_a_resistor_gives_amperes_but_not_what_they_are_made_of(found):
    assert found["reference"].left["sl.amperes_per_code"] < 0.25
    assert found["reference"].left["tia.rf_ohm"] > 0.4
    assert found["reference"].left["adc.gain"] > 0.4


def test_a_bench_tells_all_of_them_apart(found):
    assert all(left < 0.1 for left in found["bench"].left.values())


def test_cells_are_told_from_gains_by_what_drivers_lose_only_if_they_lose_much():
    assert analyse("self", 470.0).left["tia.rf_ohm"] < 0.6
    assert "470 Ω" in table(470.0)


def test_the_page_on_calibration_has_the_table_as_it_comes_out():
    page = Path(__file__).parents[3] / "docs" / "calibration.md"
    assert table(1.0) in page.read_text(), "run: python -m calibration.board_calibration.identifiability"
