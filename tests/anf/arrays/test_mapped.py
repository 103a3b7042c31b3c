"""Matrices of a flow in the cells of their arrays, and back."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anf.arrays.mapped import MappedFlow, base_weights, map_flow
from anf.arrays.mapping import MAPPINGS
from anf.arrays.placement import PlacementError, place
from anf.flows.field_flow import FieldFlow, FieldFlowConfig
from anf.flows.flow import Flow
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from anf.lattice.actions import Phi4

ARRAY = (32, 32)
SHAPES = st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70)), min_size=1, max_size=5)


def random(shapes: dict[str, tuple[int, int]]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


@pytest.fixture(params=["mixer", "circulant mixer", "field"])
def any_flow(request: pytest.FixtureRequest) -> Flow:
    if request.param == "field":
        flow = FieldFlow(FieldFlowConfig(shape=(4, 4), sines=1, cosines=2), Phi4(-4.0, 5.5, (4, 4)))
        torch.nn.init.normal_(flow.kernel.values, generator=torch.Generator().manual_seed(0))
        return flow
    hidden = None if request.param == "circulant mixer" else 6
    return MixerFlow(MixerFlowConfig(shape=(4, 4), couplings=2, mixer=MixerConfig(channels=6, token_hidden=hidden)))


@pytest.fixture
def flow() -> Flow:
    return MixerFlow(MixerFlowConfig(shape=(4, 4), couplings=2, mixer=MixerConfig(channels=6)))


@given(SHAPES, st.sampled_from(list(MAPPINGS)), st.sampled_from(["tile", "output"]))
def test_matrices_come_back_from_their_arrays(sizes: list[tuple[int, int]], name: str, scaling) -> None:
    weights = random({f"w{i}": size for i, size in enumerate(sizes)})
    placement = place({n: w.shape for n, w in weights.items()}, ARRAY, mapping=name, scaling=scaling)
    mapped = MappedFlow.of(weights, placement)
    targets = mapped.targets_s(weights)
    np.testing.assert_array_equal(np.isfinite(targets), placement.occupied >= 0)
    assert np.nanmin(targets) >= 20e-6 * (1 - 1e-9)
    assert np.nanmax(targets) <= 80e-6 * (1 + 1e-9)
    for layer, back in mapped.weights(targets).items():
        np.testing.assert_allclose(back, weights[layer], atol=1e-12 * np.abs(weights[layer]).max())


def test_every_tile_has_a_scale_of_its_own() -> None:
    weight = np.ones((40, 20))
    weight[:32] *= 5
    mapped = MappedFlow.of({"w": weight}, place({"w": (40, 20)}, ARRAY, scaling="tile"))
    scales = [float(s[0, 0]) for s in mapped.layers["w"].scales_s]
    assert scales == pytest.approx([30e-6 / 5, 30e-6])


def test_a_tile_of_zeros_has_the_scale_of_its_layer_but_a_layer_of_zeros_is_refused() -> None:
    weight = np.zeros((40, 20))
    weight[0, 0] = 2.0
    placement = place({"w": (40, 20)}, ARRAY, scaling="tile")
    scales = MappedFlow.of({"w": weight}, placement).layers["w"].scales_s
    assert [float(s[0, 0]) for s in scales] == pytest.approx([15e-6, 15e-6])
    with pytest.raises(ValueError, match="at least one that is not zero"):
        MappedFlow.of({"w": np.zeros((40, 20))}, placement)


def test_any_flow_is_mapped_with_all_its_layers(any_flow: Flow) -> None:
    mapped = map_flow(any_flow, ARRAY, max_arrays=1)
    assert set(mapped.layers) == set(any_flow.base_layers())
    weights = base_weights(any_flow)
    for name, back in mapped.weights(mapped.targets_s(weights)).items():
        np.testing.assert_allclose(back, weights[name], rtol=1e-9, atol=1e-12)


def test_known_faults_keep_weights_away(flow: Flow) -> None:
    fault = np.full(ARRAY, np.nan)
    fault[2, 3], fault[7] = 300e-6, 1e-6
    mapped = map_flow(flow, ARRAY, faults=[fault])
    assert np.isnan(mapped.targets_s(base_weights(flow))[0][np.isfinite(fault)]).all()


@pytest.mark.parametrize(("side", "cells"), [(4, 140), (6, 640)])
def test_the_kernel_of_a_field_flow_is_one_small_matrix_in_one_array(side: int, cells: int) -> None:
    shape = (side, side)
    flow = FieldFlow(FieldFlowConfig(shape=shape), Phi4(-4.0, 5.5, shape))
    torch.nn.init.normal_(flow.kernel.values, generator=torch.Generator().manual_seed(0))
    placement = map_flow(flow, ARRAY, max_arrays=1).placement
    assert (placement.occupied >= 0).sum() == cells


# -- refusals -------------------------------------------------------------------------------------------------------


def test_a_plan_made_for_other_matrices_is_refused(flow: Flow) -> None:
    shapes = {name: weight.shape for name, weight in base_weights(flow).items()}
    with pytest.raises(PlacementError, match="layer pixel is not in the plan"):
        map_flow(flow, ARRAY, placement=place({n: s for n, s in shapes.items() if n != "pixel"}, ARRAY))
    with pytest.raises(ValueError, match="in the plan: plan it anew"):
        map_flow(flow, ARRAY, placement=place(shapes | {"embed": (3, 3)}, ARRAY))


def test_a_plan_for_other_arrays_or_more_of_them_is_refused(flow: Flow) -> None:
    plan = map_flow(flow, ARRAY, mapping="differential").placement
    with pytest.raises(PlacementError, match=r"for arrays of \(32, 32\), these are \(16, 16\)"):
        map_flow(flow, (16, 16), placement=plan)
    many = map_flow(flow, (16, 16)).placement
    with pytest.raises(PlacementError, match=r"needs \d arrays, there are 1"):
        map_flow(flow, (16, 16), placement=many, max_arrays=1)
    assert map_flow(flow, ARRAY, placement=plan).placement.mapping == "differential"


def test_a_flow_that_needs_more_arrays_is_refused_with_their_number(flow: Flow) -> None:
    wide = MixerFlow(MixerFlowConfig(shape=(4, 4), couplings=2, mixer=MixerConfig(channels=40)))
    with pytest.raises(PlacementError, match=r"need \d+ arrays of 32 × 32, but there is 1"):
        map_flow(wide, ARRAY, max_arrays=1)


def test_a_weight_outside_a_mapping_made_for_others_is_refused() -> None:
    mapped = MappedFlow.of({"w": np.ones((2, 2))}, place({"w": (2, 2)}, ARRAY))
    with pytest.raises(ValueError, match="outside the mapping"):
        mapped.targets_s({"w": np.full((2, 2), 1.5)})
