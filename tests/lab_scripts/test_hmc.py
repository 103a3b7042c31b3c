from __future__ import annotations

import json

import numpy as np
import xarray as xr

from anf.lattice.actions import Graphene, Phi4


def test_a_run_file_holds_the_chains_and_their_action(xbar_json):
    answer = xbar_json("hmc", "--L", 2, "--configs", 2000, "--chains", 10, "--thermalisation", 100, "--out", "h.nc")
    with xr.open_dataset("h.nc") as run:
        assert set(run.data_vars) == {"phi", "action", "rng_state"}
        assert run["phi"].dims == ("chain", "draw", "x", "y")
        assert run["phi"].shape == (10, 200, 2, 2)
        assert run["action"].dims == ("chain", "draw")
        assert run["phi"].attrs["units"] == run["action"].attrs["units"] == "1"
        np.testing.assert_allclose(run["action"], Phi4(-4.0, 5.0, (2, 2))(run["phi"].to_numpy()), rtol=1e-12)
        assert run.attrs["acceptance"] == answer["acceptance"]


def test_equal_seeds_give_equal_bits_and_other_seeds_do_not(xbar_json):
    values = [
        xbar_json("hmc", "--L", 2, "--configs", 4000, "--chains", 20, "--seed", seed, "--out", f"{k}.nc")[
            "observables"
        ]["S"]["value"]
        for k, seed in enumerate((3, 3, 4))
    ]
    assert values[0] == values[1] != values[2]


def test_couplings_without_a_normalisable_weight_are_bad_input(xbar):
    result = xbar("hmc", "--lam", -1, "--out", "h.nc")
    assert result.exit_code == 2
    assert "lam = -1" in result.stderr
    assert "take lam > 0" in result.stderr


def test_an_unknown_action_is_named_with_those_that_exist(xbar):
    result = xbar("hmc", "--action", "phi6", "--out", "h.nc")
    assert result.exit_code == 2
    assert "'phi6' does not exist; choose one of: graphene, phi4" in result.stderr


def test_a_trajectory_of_no_length_is_bad_input(xbar):
    result = xbar("hmc", "--length", 0, "--out", "h.nc")
    assert result.exit_code == 2
    assert "trajectory_length = 0.0 must be positive" in result.stderr


def test_chains_that_are_too_short_are_named_and_exit_code_1(xbar):
    result = xbar("hmc", "--L", 4, "--configs", 100, "--out", "h.nc")
    assert result.exit_code == 1
    assert "autocorrelation times long, below 50; draw more" in result.stderr
    with xr.open_dataset("h.nc") as run:
        assert "draw more" in run.attrs["problems"]


def test_graphene_on_a_rectangle_with_its_own_couplings(xbar_json):
    answer = xbar_json(
        "hmc", "--action", "graphene", "--g", 0.8, "--u", 0.2, "--L", 4, "--Lt", 6, "--configs", 8000, "--chains", 20,
        "--out", "h.nc",
    )  # fmt: skip
    with xr.open_dataset("h.nc") as run:
        assert run["phi"].shape == (20, 400, 6, 4)
        np.testing.assert_allclose(run["action"], Graphene(0.8, 0.2, (6, 4))(run["phi"].to_numpy()), rtol=1e-9)
    tadpole = answer["observables"]["tadpole"]
    assert abs(tadpole["value"]) < 4 * tadpole["error"]
    gap = answer["mass_gap"]
    assert gap["gap"] > 2 * np.arcsinh(0.8 / np.sqrt(np.pi) / 2)  # the cosine adds to the mass
    assert len(gap["correlator"]) == 4
    assert gap["p_value"] > 0.01


def test_each_action_gets_its_own_table(xbar):
    tables = [
        xbar("hmc", "--action", name, "--L", 4, "--configs", 8000, "--out", f"{name}.nc").stdout
        for name in ("phi4", "graphene")
    ]
    of_phi4, of_graphene = (
        ("Ising energy E", "Binder", "ξ (eq 27)", "⟨φ⁴⟩"),
        ("⟨ψ̄ψ⟩, O = √(32π)/g", "O = 10/g", "tadpole"),
    )
    for text in of_phi4:
        assert text in tables[0]
        assert text not in tables[1]
    for text in of_graphene:
        assert text not in tables[0]
        assert text in tables[1]
    for text in ("|M|", "χ₂", "virial"):
        assert all(text in table for table in tables)
    # Four sites along time leave C at t = 1 and 2: not enough for a cosh and a test of it.
    assert all("no mass gap: C(0, t)" in table for table in tables)


def test_a_run_goes_on_where_another_ended(xbar, xbar_json):
    same = ("hmc", "--L", 4, "--chains", 20, "--clusters", 1, "--thin", 2)
    whole = xbar("hmc", *same[1:], "--configs", 600, "--seed", 3, "--out", "whole.nc")
    first = xbar("hmc", *same[1:], "--configs", 200, "--seed", 3, "--out", "first.nc")
    second = xbar("hmc", *same[1:], "--configs", 400, "--from", "first.nc", "--out", "second.nc")
    assert {run.exit_code for run in (whole, first, second)} <= {0, 1}
    with xr.open_dataset("whole.nc") as w, xr.open_dataset("first.nc") as a, xr.open_dataset("second.nc") as b:
        np.testing.assert_array_equal(xr.concat([a["phi"], b["phi"]], "draw"), w["phi"])
    for change, message in (
        (("--lam", 5.5), "is of sampled_action"),
        (("--clusters", 2), "is of moves"),
        (("--chains", 8), "has 20 chains"),
    ):
        refused = xbar(*same, *change, "--from", "first.nc", "--out", "x.nc")
        assert (refused.exit_code, message in refused.stderr) == (2, True), refused.stderr


def test_the_length_of_a_trajectory_is_tuned_unless_given(xbar):
    same = ("hmc", "--action", "graphene", "--g", 0.5, "--u", 0.1, "--L", 6, "--configs", 4000, "--chains", 64)
    # Exit code 1 of chains that are too short does not matter here.
    runs = (("--out", "a.nc"), ("--length", 0.5, "--out", "b.nc"))
    tuned, given = (json.loads(xbar(*same, *options, "--json").stdout) for options in runs)
    assert abs(given["step_size"] * given["n_leapfrog"] - 0.5) < 0.1
    assert tuned["observables"]["abs_M"]["tau_int"] < 0.5 * given["observables"]["abs_M"]["tau_int"]


def test_moves_can_be_chosen(xbar_json):
    same = ("hmc", "--L", 4, "--configs", 20_000, "--chains", 40, "--seed", 1)
    plain = xbar_json(*same, "--out", "a.nc")["observables"]
    other = xbar_json(*same, "--no-symmetry", "--clusters", 1, "--fourier-mass2", 1, "--out", "b.nc")["observables"]
    assert plain["S"]["value"] != other["S"]["value"]
    for name in ("S", "chi2"):
        error = np.hypot(plain[name]["error"], other[name]["error"])
        assert abs(plain[name]["value"] - other[name]["value"]) < 4 * error
