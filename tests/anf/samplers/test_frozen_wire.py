"""The wire where wells are deep and nearly equal, g = 0.2, u = 0.5 on 12 × 12: what freezes is seen, what does not
agrees."""

from __future__ import annotations

import numpy as np
import pytest

from anf.flows.checkpoint import load_flow, shipped
from anf.lattice.actions import Graphene
from anf.samplers import hmc
from anf.samplers.ensembles import Ensemble, FlowPlan, HmcPlan, run_flow, run_hmc

ACTION = Graphene(0.2, 0.5, (12, 12))
PLAN = HmcPlan(64, 400, seed=4, thermalisation=150, trajectory_length=1.0)


@pytest.fixture(scope="module")
def shifted() -> Ensemble:
    return run_hmc(ACTION, PLAN)


def between_wells(action: Graphene) -> float:
    """χ₂ of a zero mode that sits at multiples k of √π with weights exp(−(g²/2π) V π k²)."""
    k = np.arange(-20, 21)
    weight = np.exp(-0.5 * action.mass2 * action.volume * np.pi * k**2)
    return float(action.volume * np.pi * (weight * k**2).sum() / weight.sum())


def test_plain_and_fourier_accelerated_hmc_are_flagged_as_not_converged() -> None:
    for moves in (hmc.Moves(symmetry=False), hmc.Moves(symmetry=False, fourier_mass2=1.0)):
        verdict = run_hmc(ACTION, HmcPlan(32, 100, seed=4, thermalisation=100, moves=moves)).verdict()
        assert not verdict.converged
        assert any("M: R-hat" in problem and "the chains disagree" in problem for problem in verdict.problems)


def test_one_well_alone_gives_a_wrong_answer_with_a_small_error() -> None:
    # All chains begun in the middle well: they agree with each other, and not with the theory.
    start = hmc.run(ACTION, 16, 1, seed=5, thermalisation=50, moves=hmc.Moves(symmetry=False)).state
    wells = np.round(start.phi.mean((1, 2)) / ACTION.shift)
    state = hmc.HmcState(
        start.phi - (ACTION.shift * wells)[:, None, None], start.step_size, start.n_leapfrog, start.rng_state
    )
    phi = hmc.run(ACTION, 16, 200, state=state, moves=hmc.Moves(symmetry=False)).phi
    chi2 = ACTION.volume * phi.mean((-2, -1)) ** 2
    assert chi2.mean() < 0.1 * between_wells(ACTION)
    assert chi2.mean(1).std() < 0.1 * between_wells(ACTION)


def test_hmc_with_shifts_converges_to_the_weights_of_the_wells(shifted: Ensemble) -> None:
    ensemble = shifted
    assert ensemble.verdict().converged, ensemble.verdict().problems
    chi2 = ensemble.estimates(ACTION)["chi2"]
    # Within a well the zero mode adds about 1 / (M² + 4πu).
    inside = 1.0 / (ACTION.mass2 + 4.0 * np.pi * ACTION.u * ensemble.estimates(ACTION)["cos"].value)
    assert abs(chi2.value - between_wells(ACTION) - inside) < 3 * chi2.error + 0.02 * chi2.value
    assert chi2.error < 0.05 * chi2.value


def test_the_shipped_flow_gives_the_same_chi2_along_its_chain_and_by_its_weights(shifted: Ensemble) -> None:
    flow, _ = load_flow(shipped(ACTION), ACTION)
    drawn = run_flow(flow, ACTION, FlowPlan(16_384, 2, "x", improve=True))
    assert drawn.verdict().converged, drawn.verdict().problems
    reference = shifted.estimates(ACTION)
    for estimates in (drawn.estimates(ACTION), drawn.reweighted(ACTION)):
        for name in ("chi2", "abs_M", "cos", "phi2"):
            ours, theirs = estimates[name], reference[name]
            assert abs(ours.value - theirs.value) < 3 * np.hypot(ours.error, theirs.error), name
        assert estimates["chi2"].error < 0.1 * reference["chi2"].value
