"""Base weights on arrays: engines against the matrices that the arrays hold."""

import numpy as np
import pytest
import torch

from anf.analog import ArrayNoise, Deployment, SimulatedEngine
from anf.mapping import AffineMapping
from anf.placement import place
from drivers.connect import mock_board, open_crossbar
from firmware_bridge.mock.board import MockParams

SHAPES = {"a": (16, 8), "b": (40, 20)}
SCALE_S = {"a": 1e-5, "b": 2e-5}
MAPPING = AffineMapping()


def deployment_of_fresh_chips(mock: MockParams | None = None) -> Deployment:
    """Whatever conductances fresh chips have are weights like any other: nothing needs to be programmed to test a
    product."""
    placement = place(SHAPES, (32, 32))
    crossbars = tuple(open_crossbar("mock", seed=i, mock=mock) for i in range(placement.n_arrays))
    measured = np.stack([c.read_conductance(repeats=32) for c in crossbars])
    return Deployment(crossbars, placement, MAPPING, SCALE_S, measured, ())


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return deployment_of_fresh_chips()


def inputs(layer: str, n: int = 400) -> torch.Tensor:
    return torch.randn(n, SHAPES[layer][1], generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layer", SHAPES)
def test_an_ideal_board_multiplies_to_the_step_of_its_converters(layer: str) -> None:
    deployment = deployment_of_fresh_chips(MockParams.ideal())
    truth = np.stack([mock_board(c).array.conductance_s(c.board_time_s) for c in deployment.crossbars])
    weight = torch.from_numpy(MAPPING.weight(deployment.placement.extract(truth, layer), SCALE_S[layer])).float()
    x = inputs(layer)
    error = deployment.crossbar()[layer](x) - x @ weight.T
    # An ADC step and the rounding of each DAC code, both uniform, scaled from full-scale input to x.
    board = deployment.crossbars[0].board
    adc_a = 2 * board.adc.vref_v / 16384 / board.tia.rf_ohm
    dac_v = board.dac.span_v / 65536
    peak = x.abs().amax(1, keepdim=True) / (board.levels.input_v * SCALE_S[layer])
    tiles = deployment.placement.of_layer(layer)
    n_terms = sum(t.row == 0 for t in tiles)
    centre = MAPPING.centre_s
    bound = peak * (n_terms * adc_a / 2 + dac_v / 2 * x.shape[1] * (centre + truth.max()))
    assert (error.abs() <= bound).all()


@pytest.mark.parametrize("layer", SHAPES)
def test_a_real_board_multiplies_with_the_weights_that_were_read_back(deployment: Deployment, layer: str) -> None:
    x = inputs(layer)
    product = deployment.crossbar()[layer](x)
    expected = x @ deployment.effective_weights()[layer].T
    assert float((product - expected).std() / expected.std()) < 0.02


@pytest.mark.parametrize("layer", SHAPES)
def test_the_simulated_array_has_the_noise_of_the_board(deployment: Deployment, layer: str) -> None:
    x = inputs(layer, 2000)
    expected = x @ deployment.effective_weights()[layer].T
    simulated = deployment.simulated(ArrayNoise(), torch.Generator().manual_seed(1))[layer]
    board = (deployment.crossbar()[layer](x) - expected).std()
    model = (simulated(x) - expected).std()
    # Static errors of the real board (offsets, INL, the noise of the read-back) are not in the model, so the two agree
    # loosely.
    assert 0.6 < float(model / board) < 1.3


def test_gradients_through_the_board_are_those_of_the_weights_read_back(deployment: Deployment) -> None:
    x = inputs("a", 5).requires_grad_()
    deployment.crossbar()["a"](x).sum().backward()
    expected = deployment.effective_weights()["a"].sum(0)
    torch.testing.assert_close(x.grad, expected.expand(5, -1))


def test_a_vector_of_zeros_stays_zero_but_for_noise(deployment: Deployment) -> None:
    product = deployment.crossbar()["a"](torch.zeros(3, SHAPES["a"][1]))
    assert float(product.abs().max()) < 0.05 * float(deployment.effective_weights()["a"].abs().max())


def test_a_simulated_array_without_noise_is_the_product_itself() -> None:
    g = MAPPING.centre_s + 1e-5 * torch.randn(6, 4, generator=torch.Generator().manual_seed(2))
    engine = SimulatedEngine(
        g, MAPPING, 1e-5, ArrayNoise.off(), torch.Generator(), input_v=0.1, rf_ohm=3500.0, adc_lsb_v=1e-4
    )
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(engine(x), x @ ((g - MAPPING.centre_s) / 1e-5).T)


def test_simulated_read_noise_has_the_variance_of_independent_cells() -> None:
    g = torch.full((1, 8), 60e-6)
    noise = ArrayNoise(read=0.01, converter_v=0.0, quantise=False)
    generator = torch.Generator().manual_seed(4)
    engine = SimulatedEngine(g, MAPPING, 1e-5, noise, generator, input_v=0.1, rf_ohm=3500.0, adc_lsb_v=1e-4)
    n = 20_000
    y = engine(torch.ones(n, 8))
    expected = 8**0.5 * 0.01 * 60e-6 / 1e-5
    assert float(y.std()) == pytest.approx(expected, rel=4 / (2 * n) ** 0.5)


def test_simulated_noise_repeats_with_its_seed(deployment: Deployment) -> None:
    x = inputs("b", 3)
    first, second = (deployment.simulated(ArrayNoise(), torch.Generator().manual_seed(5))["b"](x) for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
