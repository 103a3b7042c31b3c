"""The length of a trajectory against its cost."""

from __future__ import annotations

from anf.lattice.actions import Phi4
from anf.samplers import hmc
from anf.samplers.trajectory import LENGTHS, tune_length


def test_the_cheapest_length_is_chosen_and_short_ones_decorrelate_slowly() -> None:
    length, trials = tune_length(Phi4(-4.0, 5.0, (12, 12)), hmc.Moves(), seed=1)
    assert [trial.length for trial in trials] == list(LENGTHS)
    costs = {trial.length: trial.cost for trial in trials}
    assert costs[length] == min(costs.values())
    taus = {trial.length: trial.tau_int for trial in trials}
    # A random walk of short steps: τ falls at least as the length.
    assert taus[0.5] > 2 * taus[1.0] > 3 * taus[2.0]
