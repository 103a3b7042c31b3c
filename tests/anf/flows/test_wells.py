"""A zero mode spread over wells: monotone, with its exact density, begun in all the wells there are."""

from __future__ import annotations

import math

import pytest
import torch

from anf.flows.field_flow import FieldFlow, FieldFlowConfig
from anf.flows.flow import log_normal
from anf.flows.wells import Wells
from anf.lattice.actions import Graphene, Phi4
from anf.samplers.proposals import measure_ess_forward
from anf.training.evaluation import evaluate
from anf.training.loop import TrainingConfig, train

FROZEN = Graphene(0.2, 0.5, (6, 6))


@pytest.fixture
def wells() -> Wells:
    made = Wells(2)
    made.follow(Graphene(0.3, 0.8, (4, 4)), 0.9, 8)
    return made


def test_wells_are_a_shift_apart_and_weigh_what_the_mass_term_says(wells):
    # A uniform shift by k √π costs V g² k² / 2.
    expected = torch.exp(-0.5 * 16 * 0.09 * torch.tensor([4.0, 1, 0, 1, 4], dtype=torch.float64))
    torch.testing.assert_close(wells.log_weight.exp(), expected / expected.sum())
    # A zero mode ζ' moves each of N sites by a ζ' / √N.
    assert float(wells.spacing) * 0.9 / math.sqrt(8) == pytest.approx(math.sqrt(math.pi))


def test_the_density_is_that_of_white_noise_over_the_jacobian(wells):
    white = torch.randn(8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    image, log_density, score = wells(white)
    again, log_again = wells.inverse(image)
    torch.testing.assert_close(again, white, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_again, log_density)
    step = 1e-5 * torch.eye(8, dtype=torch.float64)
    for i in range(6):
        columns = [(wells(white[:, [i]] + s[:, None])[0] - wells(white[:, [i]] - s[:, None])[0])[:, 0] for s in step]
        jacobian = torch.linalg.slogdet(torch.stack(columns, 1) / 2e-5).logabsdet
        assert float(log_density[i]) == pytest.approx(float(log_normal(white)[i] - jacobian), abs=1e-5)
        rise = [
            wells.inverse(image[:, [i]] + s[:, None])[1] - wells.inverse(image[:, [i]] - s[:, None])[1] for s in step
        ]
        torch.testing.assert_close(score[:, i], torch.cat(rise) / 2e-5, rtol=1e-5, atol=1e-6)


def test_all_wells_are_begun_with_and_kept_by_training():
    """Forward ESS falls to zero where a well was dropped."""
    flow = FieldFlow(FieldFlowConfig(shape=FROZEN.shape, sweeps=4, wells=3), FROZEN)
    assert float(flow.wells.spacing) == pytest.approx(4.0)
    train(flow, FROZEN, TrainingConfig(steps=150, batch=256, learning_rate=1e-2))
    forward = measure_ess_forward(flow, FROZEN, seed=1)
    assert forward > 0.7
    assert abs(evaluate(flow, FROZEN, n=16_384).ess - forward) < 0.1


def test_an_action_without_a_shift_has_no_wells():
    with pytest.raises(ValueError, match="no shift symmetry"):
        FieldFlow(FieldFlowConfig(shape=(4, 4), wells=1), Phi4(-4.0, 5.0, (4, 4)))
