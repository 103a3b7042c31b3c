"""The statements of `xbar check-physics` at a fraction of its size: they hold, and they can fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anf.lattice.actions import Action, Graphene, Phi4
from anf.measurement.observables import Series
from anf.samplers import checks
from anf.samplers.checks import Check
from anf.samplers.ensembles import Ensemble, HmcPlan, run_hmc


class Direct:
    """Runs as they are asked for, and no flow."""

    def hmc(self, action: Action, plan: HmcPlan) -> Ensemble:
        return run_hmc(action, replace(plan, thermalisation=150))

    def flow(
        self, action: Action, proposals: int, seed: int, *, chains: int = 8, exactly: bool = True
    ) -> Ensemble | None:
        return None


@pytest.mark.parametrize(("name", "L"), [("phi4", 4), ("graphene", 6)])
def test_hmc_agrees_with_all_that_is_known(name: str, L: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "INTERACTING_DRAWS", {L: 6e4})
    monkeypatch.setattr(checks, "FREE_DRAWS", {(name, L): 6e4})
    monkeypatch.setattr(checks, "NODE_DRAWS", {L: 2e4})
    rows = checks.check_hmc(name, L, Direct(), seed=1)
    for row in rows:
        assert abs(row.pull) < 3, row
        assert not row.problems
        # A fraction of the draws: errors up to ten times those of the command.
        assert row.precision is None or row.relative_error < 10 * checks.HMC_PRECISION, row
    names = {row.name for row in rows}
    assert {"virial", "zero_mode", "chi2", "E", "phi2", "abs_M", "S", "C(0, t), χ² as σ"} <= names
    assert ("F" in names, "cos" in names, "mass gap" in names) == (name == "phi4", name == "graphene", L > 4)


def test_a_sampler_of_another_coupling_is_caught() -> None:
    wrong = run_hmc(Phi4(-4.0, 5.1, (4, 4)), HmcPlan(256, 400, seed=1, thermalisation=100, bin=4))
    rows = checks.statements(Phi4(-4.0, 5.0, (4, 4)), wrong, "HMC", 1.0)
    caught = {row.name for row in rows if not row.holds}
    assert {"chi2", "E", "phi2", "phi4"} <= caught


def test_values_from_chains_that_disagree_hold_nothing() -> None:
    action = Graphene(1.0, 0.5, (6, 6))
    ensemble = run_hmc(action, HmcPlan(32, 200, seed=1, thermalisation=100))
    apart = {**ensemble.series.values, "M": ensemble.series.values["M"] + np.arange(32)[:, None]}
    rows = checks.statements(action, replace(ensemble, series=Series(apart, ensemble.series.slices)), "HMC", 1.0)
    assert rows
    assert not any(row.holds for row in rows)
    assert "M: R-hat" in rows[0].problems[0]


def test_a_row_holds_within_three_sigma_and_with_a_small_enough_error() -> None:
    row = Check("HMC", {}, "x", 1.02, 0.01, 1.0, precision=0.02)
    assert row.pull == pytest.approx(2.0)
    assert row.holds
    assert not replace(row, value=1.04).holds
    assert not replace(row, precision=0.005).holds
    assert not replace(row, error=float("nan")).holds
    assert replace(row, value=1.04, expected_error=0.02).holds
