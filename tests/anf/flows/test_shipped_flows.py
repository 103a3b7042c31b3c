"""Shipped flows are what their records say; the small ones are measured again."""

from __future__ import annotations

import math

import pytest

from anf.arrays.mapped import map_flow
from anf.flows.checkpoint import load_flow, shipped, shipped_records
from anf.lattice.actions import action_from_name
from anf.samplers.sampling import sample
from anf.training.evaluation import evaluate

FIELD = {path: record for path, record in shipped_records().items() if record.architecture.kind == "field"}
MIXER = {
    path: record
    for path, record in shipped_records().items()
    if record.architecture.kind == "mixer" and record.architecture.completed
}
SMALL = [path for path, record in FIELD.items() if max(record.architecture.shape) <= 6]


def action_of(record):
    return action_from_name(record.action, record.architecture.shape, **record.parameters)


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_a_small_flow_has_the_ess_and_the_free_energy_of_its_record(path):
    record = FIELD[path]
    found = evaluate(load_flow(path)[0], action_of(record), n=8192, seed=5)
    assert found.ess > 0.9
    # Relative spread of an estimate of the ESS near 1: twice that of w², whose kurtosis is far below 100 here.
    assert abs(found.ess - record.ess) < 5 * math.sqrt(100 * (1 - record.ess) ** 2 / 8192) + 1e-3
    kept, error = record.summary["free_energy"], record.summary["free_energy_error"]
    assert abs(found.free_energy - kept) < 4 * math.hypot(found.free_energy_error, error)


# F from the transfer matrix (docs/theory.md).
@pytest.mark.parametrize(("lam", "exact"), [(5.0, -5.67100735), (5.5, -4.86949028), (6.0, -4.21772400)])
def test_the_free_energy_of_phi4_on_four_sites_is_the_exact_one(lam, exact):
    path = shipped(action_from_name("phi4", 4, m2=-4.0, lam=lam), "field")
    summary = FIELD[path].summary
    assert abs(summary["free_energy"] - exact) < 4 * summary["free_energy_error"]


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_the_chain_over_a_small_flow_satisfies_the_identities_of_its_action(path):
    action = action_of(FIELD[path])
    drawn = sample(load_flow(path)[0], action, 8192, seed=6)
    known = {name: estimate for name, estimate in drawn.estimates.items() if estimate.expected is not None}
    assert {"virial", "zero_mode"} <= set(known)
    for name, estimate in known.items():
        assert abs(estimate.value - estimate.expected) < 4 * estimate.error, name


@pytest.mark.parametrize("path", FIELD, ids=lambda path: path.stem)
def test_a_record_has_its_command_its_curve_and_both_ess_within_five_hundredths(path):
    record = FIELD[path]
    assert record.command.startswith("xbar train --flow field")
    assert record.summary["curve"][-1][0] <= record.summary["steps"]
    assert abs(record.ess - record.summary["ess_forward"]) < 0.05
    assert path.stat().st_size < 40_000


def test_the_best_flow_is_the_one_that_is_taken_without_a_choice():
    for record in FIELD.values():
        action = action_of(record)
        best = shipped_records()[shipped(action)]
        assert best.ess >= record.ess


@pytest.mark.parametrize(
    "path", [path for path, record in MIXER.items() if max(record.architecture.shape) <= 6], ids=lambda path: path.stem
)
def test_a_small_mixer_flow_has_the_ess_and_the_free_energy_of_its_record(path):
    record = MIXER[path]
    found = evaluate(load_flow(path)[0], action_of(record), n=8192, seed=5)
    # As in test_a_small_flow…, with tails: at an ESS of 0.9 the kurtosis of w² is some hundreds.
    assert abs(found.ess - record.ess) < 5 * math.sqrt(300 * (1 - record.ess) ** 2 / 8192) + 1e-3
    kept, error = record.summary["free_energy"], record.summary["free_energy_error"]
    assert abs(found.free_energy - kept) < 4 * math.hypot(found.free_energy_error, error)


@pytest.mark.parametrize("path", MIXER, ids=lambda path: path.stem)
def test_a_mixer_record_has_its_command_and_both_ess_and_an_adapter_trained_under_8_percent(path):
    record = MIXER[path]
    assert record.command.startswith("xbar train --flow mixer" if record.kind == "base" else "xbar finetune")
    assert record.summary["curve"][-1][0] <= record.summary["steps"]
    assert abs(record.ess - record.summary["ess_forward"]) < 0.05
    assert path.stat().st_size < 40_000
    if record.kind == "adapter":
        assert 0 < record.summary["share"] < 0.08
        assert set(record.summary["groups"]) == {"lora", "base", "site"}


@pytest.mark.parametrize(
    ("name", "side", "couplings"),
    [
        *(("phi4", side, {"m2": -4.0, "lam": lam}) for side in (4, 6) for lam in (5.0, 5.5, 6.0)),
        ("graphene", 6, {"g": 1.0, "u": 0.5}),
    ],
)
@pytest.mark.parametrize("kind", ["mixer", "field"])
def test_the_smallest_flow_of_each_kind_fits_one_array_up_to_6_by_6(kind, name, side, couplings):
    action = action_from_name(name, side, **couplings)
    path = shipped(action, kind, smallest=True)
    assert map_flow(load_flow(path)[0], (32, 32), max_arrays=1).placement.n_arrays == 1
    assert shipped_records()[path].ess > {5.0: 0.85, 5.5: 0.90, 6.0: 0.92}.get(couplings.get("lam"), 0.9)
