"""The paper's estimate, literally, and where its printed numbers follow from it."""

import pytest

from anf.arrays.counting import LayerCount, totals
from anf.arrays.performance import (
    CORRECTED,
    LITERAL,
    NEAREST,
    READINGS,
    Assumptions,
    estimate,
    implied_analog_mac_j,
    implied_speedup,
    read_energy_j,
)
from anf.arrays.published import PUBLISHED, Published

FULL = LayerCount("w", n_out=32, n_in=32, vectors=100, uses=10)
TALL = LayerCount("w", n_out=33, n_in=64, vectors=100, uses=10)
WITH_LORA = LayerCount("w", n_out=32, n_in=32, vectors=100, uses=10, rank=2)


def published(name: str) -> Published:
    return next(p for p in PUBLISHED if p.name == name)


def test_an_operation_takes_17_89_ns() -> None:
    assert LITERAL.assumed.operation_s == pytest.approx(17.89e-9, rel=1e-12)


def test_full_arrays_do_5_72_tera_mac_per_second_and_square_millimetre() -> None:
    assert LITERAL.assumed.analog_macs_per_s_mm2 == pytest.approx(1024 / 17.89e-9 / 0.01, rel=1e-12)
    assert f"{LITERAL.assumed.analog_macs_per_s_mm2 / 1e12:.2f}" == "5.72"


def test_the_read_energy_of_a_cell_is_20_fj_where_the_text_says_2() -> None:
    assert read_energy_j() == pytest.approx(20e-15)
    assert Assumptions().cell_j == 2.0e-15


def test_a_full_array_costs_0_456_pj_per_mac_with_its_periphery() -> None:
    e = estimate([FULL], Assumptions())
    assert (e.cells_j + e.periphery_j) / FULL.macs == pytest.approx(
        2e-15 + (0.227e-12 + 3e-12 + 11.3e-12) / 32, rel=1e-12
    )
    assert e.efficiency == pytest.approx(1.204, abs=0.001)


def test_a_layer_takes_the_slower_of_its_two_parts() -> None:
    assumed = Assumptions()
    analog = FULL.macs / assumed.analog_macs_per_s_mm2
    digital = WITH_LORA.lora_macs / assumed.digital_macs_per_s_mm2
    assert digital > analog
    assert estimate([FULL, WITH_LORA], assumed).time_s == pytest.approx(analog + digital)
    assert estimate([WITH_LORA], assumed).digital_only_s == pytest.approx(digital + 102400 / 0.14e12)


def test_two_flops_per_mac_halve_the_rate_of_the_gpu() -> None:
    one, two = (estimate([FULL], Assumptions(flops_per_mac=n)).speedup for n in (1, 2))
    assert two == pytest.approx(2 * one)


def test_a_tile_that_is_not_full_takes_as_long_as_one_that_is() -> None:
    assumed = Assumptions(time_per="array operation")
    assert estimate([FULL], assumed).time_s == pytest.approx(estimate([FULL], Assumptions()).time_s)
    assert estimate([TALL], assumed).time_s == pytest.approx(4 * estimate([FULL], assumed).time_s)


def test_every_tile_converts_its_own_inputs_and_outputs() -> None:
    lengths, tiles = (Assumptions(converted=c) for c in ("vector", "tile"))
    output_j = lengths.tia_j + lengths.adc_j
    assert estimate([TALL], lengths).periphery_j == pytest.approx(100 * (64 * lengths.dac_j + 33 * output_j))
    assert estimate([TALL], tiles).periphery_j == pytest.approx(100 * (2 * 64 * tiles.dac_j + 2 * 33 * output_j))


def test_periphery_once_in_each_use_of_a_layer_is_shared_by_its_vectors() -> None:
    vector, layer = (estimate([FULL], Assumptions(periphery_per=p)) for p in ("vector", "layer"))
    assert layer.periphery_j == pytest.approx(vector.periphery_j / 10)


def test_each_part_on_half_the_area_takes_twice_as_long() -> None:
    assert estimate([WITH_LORA], Assumptions(area_share=0.5)).time_s == pytest.approx(
        2 * estimate([WITH_LORA], Assumptions()).time_s
    )


# The printed percentages have 0.1 as their last digit; the two graphene networks at the ends miss it by one.
@pytest.mark.parametrize("paper", PUBLISHED, ids=lambda p: p.name)
def test_networks_of_the_published_kind_have_the_printed_percentages(paper: Published) -> None:
    t = totals(paper.mixer.count("output pixels"))
    assert 100 * t.analog_weights == pytest.approx(paper.weights_percent, abs=0.15)
    assert 100 * t.analog_macs == pytest.approx(paper.macs_percent, abs=0.15)


def test_the_published_setting_gives_phi4_at_12_to_the_printed_digit() -> None:
    paper = published("φ⁴, L = 12")
    counted, real = (totals(paper.mixer.count(t)) for t in ("output pixels", "physical"))
    assert f"{100 * counted.analog_weights:.1f} {100 * counted.analog_macs:.1f}" == "96.0 98.9"
    assert f"{100 * real.analog_macs:.1f}" == "96.7"


@pytest.mark.parametrize("paper", PUBLISHED, ids=lambda p: p.name)
def test_printed_speed_ups_are_half_the_literal_ones(paper: Published) -> None:
    assert LITERAL.of(paper.mixer).speedup == pytest.approx(2 * NEAREST.of(paper.mixer).speedup)
    # 12 %: L = 4 of φ⁴, where one unit in the last printed digit of the MAC percentage moves the factor by 1 %.
    assert NEAREST.of(paper.mixer).speedup == pytest.approx(paper.speedup, rel=0.12)
    assert implied_speedup(paper.macs_percent / 100, NEAREST.assumed) == pytest.approx(paper.speedup, rel=0.12)


def test_printed_energy_needs_periphery_once_per_layer() -> None:
    paper = published("φ⁴, L = 12")
    assert LITERAL.of(paper.mixer).efficiency == pytest.approx(3.76, abs=0.01)
    assert NEAREST.of(paper.mixer).efficiency == pytest.approx(paper.efficiency, rel=0.02)
    assert CORRECTED.of(paper.mixer).efficiency == pytest.approx(1.02, abs=0.01)


def test_printed_savings_are_the_printed_factors() -> None:
    for paper in PUBLISHED:
        # 100 % - 1 / factor, to the rounding of both: 0.05 points, and 0.05 of the factor.
        slack = 0.05 + 100 * 0.05 / paper.efficiency**2
        assert 100 * (1 - 1 / paper.efficiency) == pytest.approx(paper.energy_saved_percent, abs=2 * slack)


def test_the_energy_implied_by_two_printed_numbers_is_that_of_the_third() -> None:
    layer = LayerCount("w", n_out=32, n_in=32, vectors=100, uses=10, rank=3)
    assumed = Assumptions(dac_j=0, tia_j=0, adc_j=0)
    implied = implied_analog_mac_j(totals([layer]).analog_macs, estimate([layer], assumed).efficiency, assumed)
    assert implied == pytest.approx(assumed.cell_j)


def test_the_largest_printed_factor_leaves_no_energy_for_a_converter() -> None:
    paper = published("graphene, L = 48")
    implied = implied_analog_mac_j(paper.macs_percent / 100, paper.efficiency, Assumptions())
    assert implied < Assumptions().cell_j


def test_every_reading_names_all_that_it_assumes() -> None:
    assert len({r.name for r in READINGS}) == len(READINGS)
    assert all(field.description for field in Assumptions.model_fields.values())
