"""Runs measured block by block are the runs measured at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anf.flows.checkpoint import load_flow, shipped
from anf.lattice import exact
from anf.lattice.actions import Phi4
from anf.measurement.observables import estimate, measure_series, summarise
from anf.samplers import ensembles, hmc
from anf.samplers.ensembles import FlowPlan, HmcPlan, as_plain, run_flow, run_hmc

ACTION = Phi4(-4.0, 5.0, (4, 4))
PLAN = HmcPlan(32, 120, seed=3, thermalisation=50)


def test_blocks_give_the_series_of_the_whole_run(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = hmc.run(ACTION, 32, 120, seed=3, thermalisation=50)
    monkeypatch.setattr(ensembles, "_BLOCK_SITES", 32 * 16 * 7)
    seen = []
    ensemble = run_hmc(ACTION, PLAN, lambda done, total: seen.append((done, total)))
    assert seen[0] == (7, 120)
    assert seen[-1] == (120, 120)
    for name, values in measure_series(ACTION, whole.phi).values.items():
        np.testing.assert_allclose(ensemble.chains(name), values, rtol=1e-6, atol=1e-6)
    assert ensemble.statistics["acceptance"] == pytest.approx(whole.acceptance)
    for name, row in summarise(ACTION, whole.phi).items():
        ours = ensemble.estimates(ACTION)[name]
        assert (ours.value, ours.error) == pytest.approx((row.value, row.error), rel=1e-4), name


def test_bins_keep_mean_and_error() -> None:
    plan = replace(PLAN, draws=2000)
    fine, coarse = (run_hmc(ACTION, replace(plan, bin=n)).estimates(ACTION) for n in (1, 20))
    for name in ("chi2", "S", "E"):
        assert coarse[name].value == pytest.approx(fine[name].value, rel=1e-6)
        # τ of a few draws, bins of twenty: the errors agree to their own errors of about 5 %.
        assert coarse[name].error == pytest.approx(fine[name].error, rel=0.2)
    with pytest.raises(ValueError, match="bin = 7 must divide draws = 2000"):
        run_hmc(ACTION, replace(plan, bin=7))


def test_cluster_averages_have_the_exact_mean_and_less_noise() -> None:
    action = Phi4(-4.0, 5.5, (4, 4))
    plan = HmcPlan(256, 600, seed=5, thermalisation=100)
    plain, improved = (run_hmc(action, replace(plan, improve=it)).estimates(action) for it in (False, True))
    known = exact.phi4(4, -4.0, 5.5).chi2
    for estimates in (plain, improved):
        assert abs(estimates["chi2"].value - known) < 3 * estimates["chi2"].error
        assert abs(estimates["zero_mode"].pull) < 3
    large = Phi4(0.25, 0.0, (16, 16))
    noise = [run_hmc(large, replace(plan, draws=50, improve=it)).chains("chi2") for it in (False, True)]
    assert noise[1].std() < 0.7 * noise[0].std()
    assert abs(noise[1].mean() - 2.0) < 4 * noise[1].mean(1).std() / np.sqrt(256)


def test_proposals_of_a_flow_serve_chains_and_weights_alike() -> None:
    action = Phi4(-4.0, 5.5, (4, 4))
    flow, _ = load_flow(shipped(action, "mixer"), action)
    drawn = run_flow(flow, action, FlowPlan(16_384, 1, "x"))
    known = exact.phi4(4, -4.0, 5.5)
    for estimates in (drawn.estimates(action), drawn.reweighted(action)):
        for name, value in known.by_name().items():
            assert abs(estimates[name].value - value) < 3 * estimates[name].error, name
    assert abs(drawn.statistics["free_energy"] - known.free_energy) < 3 * drawn.statistics["free_energy_error"]
    assert drawn.verdict().converged, drawn.verdict().problems
    assert drawn.chains("M").shape == (8, 2048)
    with pytest.raises(ValueError, match=r"proposals = 100 must divide among chains = 8"):
        run_flow(flow, action, FlowPlan(100, 1, "x"))
    with pytest.raises(ValueError, match="a run of HMC has no weights"):
        run_hmc(action, PLAN).reweighted(action)


def test_a_drawn_proposal_that_diverged_counts_for_nothing() -> None:
    phi = 0.4 * np.random.default_rng(2).standard_normal((500, 4, 4))
    log_weights = np.zeros(500)
    clean = estimate(ACTION, measure_series(ACTION, phi[1:]), log_weights=log_weights[1:])
    phi[0, 0, 0], log_weights[0] = np.nan, -np.inf
    dirty = estimate(ACTION, measure_series(ACTION, phi), log_weights=log_weights)
    assert dirty["chi2"].value == pytest.approx(clean["chi2"].value, rel=1e-12)


def test_a_field_that_plans_of_before_did_not_have_leaves_their_name_as_it_was() -> None:
    plain = as_plain(HmcPlan(4, 10, 1))
    assert plain["moves"] == {"symmetry": True, "clusters": 0, "fourier_mass2": None}
    assert as_plain(HmcPlan(4, 10, 1, moves=hmc.Moves(even_half=True)))["moves"]["even_half"] is True
