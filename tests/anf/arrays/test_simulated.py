"""Simulated layers: products, noise, quantisation, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anf.arrays.drive import Drive
from anf.arrays.mapped import MappedFlow
from anf.arrays.mapping import MAPPINGS
from anf.arrays.placement import place
from anf.arrays.simulated import ArrayNoise, Converters, SimulatedEngine

ARRAY = (32, 32)
CONVERTERS = Converters(input_v=0.1, rf_ohm=3500.0, dac_step_v=5 / 65536, adc_step_v=1e-4)
SIZES = [(6, 4), (40, 20), (64, 64), (7, 70)]


def engine(
    weight: np.ndarray, noise: ArrayNoise, mapping: str = "affine", seed: int = 0, drive: Drive | None = None,
    converters: Converters = CONVERTERS,
) -> SimulatedEngine:  # fmt: skip
    mapped = MappedFlow.of({"w": weight}, place({"w": weight.shape}, ARRAY, mapping=mapping, scaling="tile"))
    arrays = np.nan_to_num(mapped.targets_s({"w": weight}), nan=20e-6)
    generator = torch.Generator().manual_seed(seed)
    return SimulatedEngine(mapped.layers["w"], arrays, noise, generator, converters, drive)


def matrix(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=size)


def vectors(n: int, n_in: int) -> torch.Tensor:
    return torch.randn(n, n_in, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("slices", [1, 2])
def test_without_noise_it_is_the_product_itself_however_it_is_cut_and_mapped(size, mapping, slices) -> None:
    weight, x = matrix(size), vectors(9, size[1])
    y = engine(weight, ArrayNoise.off(), mapping, drive=Drive(slices=slices))(x)
    torch.testing.assert_close(y, x @ torch.from_numpy(weight).float().T, rtol=1e-4, atol=2e-4)


def test_read_noise_has_the_variance_of_independent_cells() -> None:
    # All cells at the top of the range; driven at full scale, a unit of output is 30 µS.
    noise, n = ArrayNoise(read=0.01, converter_v=0.0, quantise=False), 20_000
    y = engine(np.ones((1, 8)), noise)(torch.ones(n, 8))
    assert float(y.std()) == pytest.approx(8**0.5 * 0.01 * 80 / 30, rel=4 / (2 * n) ** 0.5)


def test_converter_noise_does_not_depend_on_the_array_and_enters_once_per_tile() -> None:
    noise, n = ArrayNoise(read=0.0, converter_v=1e-3, quantise=False), 20_000
    per_tile = 1e-3 / (CONVERTERS.rf_ohm * CONVERTERS.input_v) / 30e-6
    one = engine(np.ones((1, 8)), noise)(torch.ones(n, 8))
    two = engine(np.ones((1, 64)), noise)(torch.ones(n, 64))
    assert float(one.std()) == pytest.approx(per_tile, rel=4 / (2 * n) ** 0.5)
    assert float(two.std()) == pytest.approx(2**0.5 * per_tile, rel=4 / (2 * n) ** 0.5)


def test_outputs_are_whole_numbers_of_adc_steps() -> None:
    converters = Converters(input_v=0.1, rf_ohm=3500.0, dac_step_v=1e-15, adc_step_v=0.01)
    weight, x = matrix((4, 6)), torch.ones(1, 6)
    noise = ArrayNoise(read=0, converter_v=0)
    y = engine(weight, noise, converters=converters)(x)[0].double()
    scale = 30e-6 / np.abs(weight).max()
    # Current before the digital offset of 50 µS × Σu is taken away.
    steps = (y * scale + 6 * 50e-6) * converters.input_v * converters.rf_ohm / converters.adc_step_v
    torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
    exact = x[0].double() @ torch.from_numpy(weight).T
    assert float((y - exact).abs().max()) <= 0.5 * 0.01 / 350 / scale * (1 + 1e-3)
    assert float((y - exact).abs().max()) > 0


def test_coarse_dacs_lose_what_a_second_slice_brings_back() -> None:
    converters = Converters(input_v=0.1, rf_ohm=3500.0, dac_step_v=0.1 / 64, adc_step_v=1e-12)
    weight, x = matrix((8, 8)), vectors(500, 8)
    exact, quantised = x @ torch.from_numpy(weight).float().T, ArrayNoise(read=0, converter_v=0)
    errors = [
        float((engine(weight, quantised, drive=Drive(slices=s), converters=converters)(x) - exact).std())
        for s in (1, 2)
    ]
    assert errors[1] < errors[0] / 50


@pytest.mark.parametrize("size", SIZES[:3])
def test_gradients_pass_straight_through_quantisation(size) -> None:
    weight, x = matrix(size), vectors(5, size[1]).requires_grad_()
    engine(weight, ArrayNoise())(x).sum().backward()
    expected = torch.from_numpy(weight).float().sum(0).expand(5, -1)
    torch.testing.assert_close(x.grad, expected, rtol=1e-4, atol=1e-4)


def test_noise_repeats_with_its_seed_and_is_fresh_at_every_call() -> None:
    weight, x = matrix((6, 4)), vectors(3, 4)
    first, again, other = (engine(weight, ArrayNoise(), seed=s) for s in (5, 5, 6))
    y = first(x)
    assert torch.equal(y, again(x))
    assert not torch.equal(y, first(x))
    assert not torch.equal(y, other(x))


def test_inputs_beyond_a_calibrated_range_saturate_and_are_counted() -> None:
    weight = matrix((3, 2))
    clipping = engine(weight, ArrayNoise.off(), drive=Drive(full_scale=1.0))
    y = clipping(torch.tensor([[2.0, 0.5], [0.5, 0.5]]))
    expected = torch.tensor([[1.0, 0.5], [0.5, 0.5]]) @ torch.from_numpy(weight).float().T
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    assert clipping.drive.clipped_fraction == 0.25


def test_a_vector_of_zeros_stays_zero_but_for_noise() -> None:
    y = engine(matrix((6, 4)), ArrayNoise.off())(torch.zeros(3, 4))
    assert torch.equal(y, torch.zeros(3, 6))
