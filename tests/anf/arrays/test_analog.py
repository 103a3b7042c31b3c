"""Base weights on arrays: engines against the matrices that the arrays hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from anf.arrays.analog import ArrayDrifted, Deployment, deploy, survey
from anf.arrays.boards import Boards
from anf.arrays.drive import Drive
from anf.arrays.mapped import MappedFlow, MappedLayer, base_weights, map_flow
from anf.arrays.mapping import MAPPINGS
from anf.arrays.placement import PlacementError, place
from anf.arrays.simulated import ArrayNoise
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from drivers.connect import mock_board, open_crossbar
from firmware_bridge.mock.board import MockParams

SHAPES = {"a": (16, 8), "b": (40, 20)}
SCALE_S = {"a": 1e-5, "b": 2e-5}


def deployment_of_fresh_chips(
    mock: MockParams | None = None, mapping: str = "affine", drives: dict[str, Drive] | None = None
) -> Deployment:
    """Whatever conductances fresh chips have are weights like any other: nothing needs to be programmed to test a
    product."""
    placement = place(SHAPES, (32, 32), mapping=mapping)
    crossbars = tuple(open_crossbar("mock", seed=i, mock=mock) for i in range(placement.n_arrays))
    measured = np.stack([c.read_conductance(repeats=32) for c in crossbars])
    layers = {
        name: MappedLayer(
            tiles := placement.of_layer(name), tuple(np.full((1, 1), SCALE_S[name]) for _ in tiles), placement.cells
        )
        for name in SHAPES
    }
    return Deployment(Boards(crossbars), MappedFlow(placement, layers), measured, (), drives or {})


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return deployment_of_fresh_chips()


def inputs(layer: str, n: int = 400) -> torch.Tensor:
    return torch.randn(n, SHAPES[layer][1], generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("layer", SHAPES)
def test_an_ideal_board_multiplies_to_the_step_of_its_converters(layer: str, mapping: str) -> None:
    deployment = deployment_of_fresh_chips(MockParams.ideal(), mapping)
    truth = np.stack([mock_board(c).array.conductance_s(c.board_time_s) for c in deployment.crossbars])
    mapped = deployment.mapped.layers[layer]
    weight = torch.from_numpy(mapped.read(truth)).float()
    x = inputs(layer)
    error = deployment.crossbar()[layer](x) - x @ weight.T
    # An ADC step and the rounding of each DAC code, both uniform, scaled from full-scale input to x; twice where two
    # currents are subtracted.
    board = deployment.crossbars[0].board
    adc_a = 2 * board.adc.vref_v / 16384 / board.tia.rf_ohm
    dac_v = board.dac.span_v / 65536
    peak = x.abs().amax(1, keepdim=True) / (board.levels.input_v * SCALE_S[layer])
    n_terms = sum(t.row == 0 for t in mapped.tiles)
    n_lines = sum(len(t.bl) for t in mapped.tiles if t.row == 0)
    bound = 2 * peak * (n_terms * adc_a / 2 + dac_v / 2 * n_lines * (MAPPINGS[mapping].centre_s + truth.max()))
    assert (error.abs() <= bound).all()


@pytest.mark.parametrize("layer", SHAPES)
def test_with_every_non_ideality_off_digital_simulated_and_crossbar_agree(layer: str) -> None:
    """To the rounding of single precision, and of the board's converters, which can't be turned off."""
    deployment = deployment_of_fresh_chips(MockParams.ideal())
    x = inputs(layer)
    digital = x @ deployment.effective_weights()[layer].T
    exact = deployment.simulated(ArrayNoise.off(), torch.Generator())[layer](x)
    rounded = deployment.simulated(ArrayNoise(read=0, converter_v=0), torch.Generator())[layer](x)
    board = deployment.crossbar()[layer](x)
    torch.testing.assert_close(exact, digital, rtol=1e-4, atol=1e-4)
    # Same codes, but for ties and for conductances that were read, not known.
    step = float((rounded - digital).std())
    assert float((board - rounded).std()) < step
    assert 0 < step < 0.01 * float(digital.std())


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


def test_slices_and_clipped_ranges_go_through_the_board_as_through_the_model() -> None:
    drives = {"a": Drive(full_scale=1.0, slices=2), "b": Drive(slices=2)}
    deployment = deployment_of_fresh_chips(MockParams.ideal(), drives=drives)
    for layer in SHAPES:
        x = inputs(layer)
        expected = deployment.simulated(ArrayNoise.off(), torch.Generator())[layer](x)
        product = deployment.crossbar()[layer](x)
        assert float((product - expected).std() / expected.std()) < 0.01
    beyond = int((inputs("a").abs() > 1).sum())
    # Once by the model, once by the board.
    assert drives["a"].clipped == 2 * beyond > 0
    assert drives["b"].clipped == 0


def test_a_layer_takes_one_block_of_vectors_from_each_of_its_arrays(deployment: Deployment, mocker) -> None:
    calls = [mocker.spy(crossbar, "measure") for crossbar in deployment.crossbars]
    deployment.crossbar()["b"](inputs("b", 7))
    tiles = deployment.placement.of_layer("b")
    assert [call.call_count for call in calls] == [int(any(t.array == k for t in tiles)) for k in range(len(calls))]


def test_the_transcript_has_the_vectors_the_cycles_and_the_energy_of_what_was_executed(deployment: Deployment) -> None:
    layer, n = "b", 7
    engine = deployment.crossbar()[layer]
    engine(inputs(layer, n))
    before = deployment.cycles
    once = replace(engine.transcript)
    engine(inputs(layer, n))
    assert engine.transcript.drives == 2 * once.drives == 2 * n * len(deployment.placement.of_layer(layer))
    assert engine.transcript.cycles - once.cycles == deployment.cycles - before
    # Two tiles, one for the first 32 outputs and one for the others, are driven alike.
    u = inputs(layer, n) / inputs(layer, n).abs().amax(1, keepdim=True)
    volts_2 = (0.1 * u).square().sum(0).double().numpy()
    power = sum(
        float(volts_2 @ deployment.measured_s[t.array].sum(axis=0)[list(t.bl)])
        for t in deployment.placement.of_layer(layer)
    )
    seconds = (deployment.cycles - before) * deployment.crossbars[0].board.timing.period_s / (2 * n)
    assert engine.transcript.cells_j - once.cells_j == pytest.approx(power * seconds, rel=1e-3)


def test_gradients_through_the_board_are_those_of_the_weights_read_back(deployment: Deployment) -> None:
    x = inputs("a", 5).requires_grad_()
    deployment.crossbar()["a"](x).sum().backward()
    expected = deployment.effective_weights()["a"].sum(0)
    torch.testing.assert_close(x.grad, expected.expand(5, -1))


def test_a_vector_of_zeros_stays_zero_but_for_noise(deployment: Deployment) -> None:
    product = deployment.crossbar()["a"](torch.zeros(3, SHAPES["a"][1]))
    assert float(product.abs().max()) < 0.05 * float(deployment.effective_weights()["a"].abs().max())


@pytest.fixture(scope="module")
def flow() -> MixerFlow:
    return MixerFlow(MixerFlowConfig(shape=(4, 4), couplings=2, mixer=MixerConfig(channels=6)))


@pytest.mark.parametrize("name", ["affine", "differential"])
def test_a_programmed_flow_holds_its_weights_to_the_error_of_programming(flow: MixerFlow, name: str) -> None:
    with open_crossbar("mock", seed=3) as crossbar:
        mapped = map_flow(flow, crossbar.shape, mapping=name, scaling="output")
        deployment = deploy(flow, [crossbar], mapped=mapped)
        (result,) = deployment.programming
        for layer, weight in base_weights(flow).items():
            held = mapped.layers[layer]
            error = np.abs(deployment.effective_weights()[layer].numpy() - weight)
            step = max(2e-6 / float(s.min()) for s in held.scales_s)
            for t in held.tiles:
                good = result.converged[t.cells].reshape(t.n_rows, t.n_columns, -1).all(-1)
                assert np.quantile(error[t.outputs, t.inputs][good], 0.9) < step


def test_an_array_that_drifted_since_its_read_back_is_refused_and_nothing_is_programmed(flow: MixerFlow) -> None:
    with open_crossbar("mock", seed=3) as crossbar:
        deployment = deploy(flow, [crossbar])
        pulses = crossbar.pulse_count.sum()
        at_once = deployment.read_again()
        deployment.refuse_drifted(at_once)
        crossbar.wait(1e6)
        later = deployment.read_again()
        with pytest.raises(ArrayDrifted, match=r"array 0: changed by \d\.\d\d µS rms, .* \(±0.3 µS\)"):
            deployment.refuse_drifted(later, limit_s=0.3e-6)
        assert crossbar.pulse_count.sum() == pulses
    (drift_s,) = deployment.drift_s(later)
    assert drift_s > 2 * deployment.drift_s(at_once)[0]
    held = deployment.placement.occupied >= 0
    assert np.sqrt(np.mean((later.measured_s - deployment.measured_s)[held] ** 2)) == pytest.approx(drift_s)


def test_fewer_boards_than_arrays_are_filled_in_turn_and_multiply_as_well() -> None:
    flow = MixerFlow(MixerFlowConfig(shape=(4, 4), couplings=2, mixer=MixerConfig(channels=18, channel_hidden=18)))
    with open_crossbar("mock", seed=1) as crossbar:
        with pytest.raises(PlacementError, match="--time-share"):
            deploy(flow, [crossbar])
        deployment = deploy(flow, [crossbar], time_shared=True, read_repeats=4)
        n, boards = deployment.placement.n_arrays, deployment.boards
        assert n > 1
        assert deployment.time_shared
        assert (boards.fillings, boards.held) == ([n], (n - 1,))
        engines = deployment.crossbar()
        before, pulses = deployment.cycles, crossbar.pulse_count.sum()
        for name, engine in engines.items():
            weight = flow.base_layers()[name].weight.detach()
            x = torch.randn(20, weight.shape[1], generator=torch.Generator().manual_seed(0))
            correlation = np.corrcoef(engine(x).flatten(), (x @ weight.T).detach().flatten())[0, 1]
            assert correlation > 0.9  # one stuck cell is not made up for here
        spent = [engine.transcript for engine in engines.values()]
        assert crossbar.pulse_count.sum() > pulses
        assert sum(t.filling_cycles for t in spent) > 10 * sum(t.cycles for t in spent) > 0
        assert sum(t.filling_cycles + t.cycles for t in spent) == deployment.cycles - before
        # Nothing is filled for what a board holds already.
        fillings = boards.fillings[0]
        engines[name](x)
        assert boards.fillings[0] == fillings


@pytest.mark.parametrize("name", MAPPINGS)
def test_what_failed_cells_lack_is_added_digitally_on_the_board_and_in_its_model(flow: MixerFlow, name: str) -> None:
    with open_crossbar("mock", seed=3) as crossbar:
        mapped = map_flow(flow, crossbar.shape, mapping=name)
        plain, patched = (deploy(flow, [crossbar], mapped=mapped, patched=p) for p in (False, True))
        assert plain.patched == 0 < patched.patched
        worst = max(patched.patches, key=lambda layer: float(patched.patches[layer].abs().max()))
        weight, patch = flow.base_layers()[worst].weight.detach(), patched.patches[worst]
        x = torch.randn(300, weight.shape[1], generator=torch.Generator().manual_seed(0))
        error = {
            (name, kind): float((engine(x) - x @ weight.T).std())
            for name, deployed in (("plain", plain), ("patched", patched))
            for kind, engine in (
                ("board", deployed.crossbar()[worst]),
                ("model", deployed.simulated(ArrayNoise.off(), torch.Generator())[worst]),
            )
        }
        for kind in ("board", "model"):
            assert error["patched", kind] < 0.5 * error["plain", kind]
        # Where nothing failed there is nothing to add.
        failed = patched.programming[0].failure > 0
        touched = mapped.layers[worst].touched(failed[None])
        assert (patch.numpy()[~touched] == 0).all()


def test_a_survey_finds_the_cells_that_cannot_be_programmed_and_a_plan_around_them_misses_nothing(flow) -> None:
    with open_crossbar("mock", seed=3) as crossbar:
        (fault,) = survey([crossbar])
        stuck = mock_board(crossbar).array.faults > 0
        # Cells that never formed are found as well, and a stuck one may by chance sit at the level.
        assert stuck[np.isfinite(fault)].mean() > 0.5
        assert np.isfinite(fault)[stuck].mean() > 0.7
        deployment = deploy(flow, [crossbar], mapped=map_flow(flow, crossbar.shape, faults=[fault]))
        assert not np.isfinite(fault)[deployment.placement.occupied[0] >= 0].any()
        assert deployment.programming[0].converged[deployment.placement.occupied[0] >= 0].all()


def test_a_flow_too_large_for_the_boards_is_refused_before_anything_is_pulsed(flow: MixerFlow) -> None:
    wide = MixerFlow(MixerFlowConfig(shape=(4, 4), couplings=2, mixer=MixerConfig(channels=40)))
    with open_crossbar("mock", seed=0) as crossbar:
        with pytest.raises(PlacementError, match=r"need \d+ arrays of 32 × 32, but there is 1"):
            deploy(wide, [crossbar])
        assert crossbar.pulse_count.sum() == 0
